"""Selective search against slow references, and what its regions, similarities and boxes always are."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torchvision.ops import box_iou

from lightloom.core.errors import UserError
from lightloom.ops.images import selective_search as search
from lightloom.ops.images.colours import SPACES, planes
from lightloom.ops.images.segments import SMOOTHING, segments

# --- segments


def picture(seed: int, height: int = 14, width: int = 18) -> np.ndarray:
    """Blocks of colour under noise, uint8 (3, H, W)."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (3, -(-height // 5), -(-width // 5))).repeat(5, 1).repeat(5, 2)[:, :height, :width]
    return (blocks + rng.normal(0, 25, blocks.shape)).clip(0, 255).astype(np.uint8)


def slow_segments(values: np.ndarray, scale: float, min_size: int) -> list[set[tuple[int, int]]]:
    """As the paper has it, with sets of pixels: an edge joins two that it is light for, then small ones are joined."""
    smooth = np.stack([gaussian_filter(plane, SMOOTHING) for plane in values])
    height, width = values.shape[1:]
    edges = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for y in range(height):
            for x in range(width):
                if y + down < height and 0 <= x + right < width:
                    weight = np.sqrt(((smooth[:, y, x] - smooth[:, y + down, x + right]) ** 2).sum())
                    edges.append((weight, (y, x), (y + down, x + right)))
    edges.sort(key=lambda edge: edge[0])
    of = {(y, x): {(y, x)} for y in range(height) for x in range(width)}
    heaviest = {id(pixels): 0.0 for pixels in of.values()}
    for is_light in (True, False):
        for weight, a, b in edges:
            one, other = of[a], of[b]
            if one is other:
                continue
            light = all(weight <= heaviest[id(s)] + scale / len(s) for s in (one, other))
            if light if is_light else min(len(one), len(other)) < min_size:
                both = one | other
                of.update(dict.fromkeys(both, both))
                heaviest[id(both)] = weight
    return [set(pixels) for pixels in {frozenset(pixels) for pixels in of.values()}]


@pytest.mark.parametrize(
    ("seed", "scale", "min_size"), [(0, 100, 1), (1, 100, 6), (2, 500, 10), (3, 30, 4), (4, 2000, 1)]
)
def test_segments_are_those_of_the_slow_reference(seed, scale, min_size):
    values = planes(picture(seed), "rgb")
    (labels,) = segments(values, [scale], min_size)
    found = [{(int(y), int(x)) for y, x in np.argwhere(labels == n)} for n in range(labels.max() + 1)]
    expected = slow_segments(values, scale, min_size)
    assert 1 < len(found) < values[0].size / 2
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))


def test_each_pixel_is_in_one_segment_and_no_number_is_left_out():
    for labels in segments(planes(picture(5), "lab"), [20, 200], 5):
        assert labels.shape == (14, 18)
        assert np.unique(labels).tolist() == list(range(labels.max() + 1))
        assert np.bincount(labels.ravel()).min() >= 5


@pytest.mark.parametrize("space", SPACES)
def test_a_constant_picture_is_one_segment(space):
    (labels,) = segments(planes(np.full((3, 9, 7), 90, np.uint8), space), [10], 3)
    assert not labels.any()


# --- colours


def test_colours_are_those_of_closed_forms():
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [128, 128, 128], [0, 0, 0]], np.uint8)
    row = colours.T[:, None]
    hue, saturation, value = planes(row, "hsv")[:, 0] / 255
    assert hue == pytest.approx([0, 1 / 3, 2 / 3, 1 / 6, 0, 0])
    assert saturation == pytest.approx([1, 1, 1, 1, 0, 0])
    assert value == pytest.approx([1, 1, 1, 1, 128 / 255, 0])
    lightness = planes(row, "lab")[0, 0] / 2.55
    assert lightness == pytest.approx([53.24, 87.73, 32.30, 97.14, 53.59, 0], abs=0.05)
    assert planes(row, "lab")[1:, 0, 4:] == pytest.approx(np.full((2, 2), 128), abs=0.1)  # greys have no colour
    assert planes(row, "grey")[0, 0] == pytest.approx([76.245, 149.685, 29.07, 225.93, 128, 0])
    assert planes(row, "rgi")[:2, 0, 4] == pytest.approx([85, 85])


@pytest.mark.parametrize("space", SPACES)
def test_planes_stay_in_their_range(space):
    values = planes(np.random.default_rng(0).integers(0, 256, (3, 20, 30)).astype(np.uint8), space)
    assert values.min() >= 0
    assert values.max() <= 255


# --- regions


def regions_of(seed: int) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], search.Regions]:
    values = planes(picture(seed), "rgb")
    (labels,) = segments(values, [100], 5)
    coded = search.codes(values)
    return labels, coded, search.described(labels, *coded)


def test_a_union_is_what_its_pixels_say():
    """Its histograms are the means by pixels (eq. 4), its box and size those of both, as computed anew."""
    labels, coded, regions = regions_of(0)
    i, j = search.neighbours(labels)[3]
    joined = regions.with_room(1)
    joined.join(i, j, len(regions.pixels))
    anew = search.described(
        np.unique(np.where(labels == j, i, labels), return_inverse=True)[1].reshape(labels.shape), *coded
    )
    assert joined.pixels[-1] == anew.pixels[i]
    assert joined.boxes[-1].tolist() == anew.boxes[i].tolist()
    assert joined.colour[-1] == pytest.approx(anew.colour[i])
    assert joined.texture[-1] == pytest.approx(anew.texture[i])
    assert anew.colour.sum(1) == pytest.approx(1)


def test_similarities_are_symmetric_and_shares():
    labels, _, regions = regions_of(1)
    i, j = search.neighbours(labels).T
    there, back = (search.similarities(regions, *pair, labels.size) for pair in ((i, j), (j, i)))
    assert set(there) == set(search.ALL)
    for name, values in there.items():
        assert np.array_equal(values, back[name])
        assert (values >= 0).all()
        assert (values <= 1 + 1e-12).all()


def slow_boxes(labels: np.ndarray, coded: tuple[np.ndarray, np.ndarray], parts: tuple[str, ...]) -> list[list[int]]:
    """Algorithm 1 with a picture of numbers: of the two neighbours most alike, all is computed anew."""
    labels, boxes = labels.copy(), []
    numbers = list(range(labels.max() + 1))

    def described(number: int) -> search.Regions:
        return search.described((labels == number).astype(int), *coded)

    def box(number: int) -> list[int]:
        y, x = np.nonzero(labels == number)
        return [x.min(), y.min(), x.max() + 1, y.max() + 1]

    def alike(i: int, j: int) -> float:
        a, b = described(i), described(j)
        pair = search.Regions(
            *(np.stack([p[1], q[1]]) for p, q in zip(vars(a).values(), vars(b).values(), strict=True))
        )
        found = search.similarities(pair, np.array([0]), np.array([1]), labels.size)
        return float(sum(found[name][0] for name in parts))

    boxes = [box(number) for number in numbers]
    while len(np.unique(labels)) > 1:
        pairs = search.neighbours(labels)
        i, j = max(pairs.tolist(), key=lambda pair: alike(*pair))
        labels[np.isin(labels, (i, j))] = labels.max() + 1
        boxes.append(box(labels.max()))
    return [list(map(int, one)) for one in boxes]


@pytest.mark.parametrize("parts", search.SIMILARITIES)
def test_hierarchies_are_those_of_the_slow_reference(parts):
    labels, coded, regions = regions_of(2)
    found = search.grouped(regions, search.neighbours(labels), parts)
    assert len(found) == 2 * len(regions.pixels) - 1 > 10
    assert found.tolist() == slow_boxes(labels, coded, parts)
    assert found[-1].tolist() == [0, 0, 18, 14]  # the whole picture


# --- boxes


def small(**options) -> search.SelectiveSearch:
    return search.SelectiveSearch(**{"smallest": 2, "scales": [50], "distinct": 0.999, **options})


def test_boxes_are_distinct_inside_and_large_enough_and_the_whole_is_among_them():
    image = torch.from_numpy(picture(3, 30, 40))
    boxes = small(smallest=4)(image)
    assert boxes.dtype == torch.int16
    assert len(boxes.unique(dim=0)) == len(boxes) > 10
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= torch.tensor([40, 30])).all()
    assert ((boxes[:, 2:] - boxes[:, :2]) >= 4).all()
    assert [0, 0, 40, 30] in boxes.tolist()
    assert torch.equal(small(smallest=4, most=7)(image), boxes[:7])


def test_a_search_is_a_function_of_picture_options_and_seed():
    image = torch.from_numpy(picture(4, 30, 40))
    assert torch.equal(small()(image), small()(image.clone()))
    other = small(seed=1)(image)
    assert not torch.equal(small()(image), other)
    assert sorted(small()(image).tolist()) == sorted(other.tolist())  # the seed decides on their order only
    assert repr(small()) == repr(small()) != repr(small(seed=1))


def test_no_box_is_like_one_before_it():
    image = torch.from_numpy(picture(4, 30, 40))
    every, unlike = small()(image), small(distinct=0.617)(image)
    overlap = box_iou(unlike.float(), unlike.float()).fill_diagonal_(0)
    assert overlap.max() < 0.617
    assert len(unlike) < len(every)
    assert box_iou(every.float(), unlike.float()).amax(1).min() > 0.617  # what is left out is like one that is kept


def test_a_mirrored_picture_has_mirrored_boxes():
    image = torch.from_numpy(picture(6, 30, 40))
    boxes, back = small()(image), small()(image.flip(-1))
    mirrored = torch.stack([40 - back[:, 2], back[:, 1], 40 - back[:, 0], back[:, 3]], 1)
    assert sorted(mirrored.tolist()) == sorted(boxes.tolist())


def test_boxes_of_a_large_picture_are_in_its_own_pixels():
    image = torch.from_numpy(picture(7, 20, 30))
    large = image.repeat_interleave(4, 1).repeat_interleave(4, 2)
    boxes = small(longest=30, smallest=1)(large)
    assert [0, 0, 120, 80] in boxes.tolist()
    assert (boxes % 4 == 0).all()


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 9), (1, 12, 10), (3, 5, 4)])
def test_tiny_and_grey_pictures_have_a_box(shape):
    boxes = small(smallest=8)(torch.randint(0, 256, shape, dtype=torch.uint8))
    assert [0, 0, shape[2], shape[1]] in boxes.tolist()


def test_an_unknown_space_is_named():
    with pytest.raises(UserError, match=r"spaces.* is cmyk; expected .*hsv"):
        search.SelectiveSearch(spaces=["cmyk"])
