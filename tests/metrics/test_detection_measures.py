"""Boxes against truths: the truth is perfect, order does not matter, counts add up, processes agree."""

import pytest
import torch
from torch import distributed as dist
from torchmetrics.detection import MeanAveragePrecision
from torchvision.ops import box_iou

from lightloom.metrics.detection import (
    SUMMARY,
    BoxConfusion,
    CocoPrecision,
    average_precision,
    confusion,
    match,
    precision_recall,
)

SIDE, CLASSES = 100, 3


def scene(generator: torch.Generator, image_id: int = 0, count: int = 5) -> tuple[dict, dict]:
    """A truth, and detections that are near it, or false, or of another class; one place in ten is tied in score."""
    rand = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    corner, size = rand(count, 2) * 60, 10 + rand(count, 2) * 30
    boxes = torch.cat([corner, corner + size], 1)
    labels = torch.randint(1, CLASSES + 1, (count,), generator=generator)
    truth = {"boxes": boxes, "labels": labels, "image_id": torch.tensor(image_id)}
    truth |= {"area": size.prod(1), "iscrowd": torch.zeros(count, dtype=torch.int64)}
    twice = torch.cat([torch.arange(count), torch.arange(count)[:2]])
    near = boxes[twice] + 8 * (rand(len(twice), 4) - 0.5)
    taken_for = torch.where(rand(len(twice)) < 0.8, labels[twice], 1)
    found = {"boxes": near, "labels": taken_for, "scores": (rand(len(twice)) * 10).round() / 10}
    return found, truth


def scenes(count: int, seed: int = 0) -> tuple[list[dict], list[dict]]:
    generator = torch.Generator().manual_seed(seed)
    both = [scene(generator, i, 1 + i % 5) for i in range(count)]
    return [found for found, _ in both], [truth for _, truth in both]


def measured(found: list[dict], truths: list[dict], **options) -> dict[str, float]:
    metric = CocoPrecision(**options)
    metric.update(found, truths)
    return {name: float(value) for name, value in metric.compute().items()}


def certain(truth: dict) -> dict:
    return {
        **{k: truth[k] for k in ("boxes", "labels", "masks") if k in truth},
        "scores": torch.ones(len(truth["boxes"])),
    }


def with_masks(truth: dict) -> dict:
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    x1, y1, x2, y2 = (v[:, None, None] for v in truth["boxes"].unbind(1))
    return {**truth, "masks": ((x >= x1) & (x < x2) & (y >= y1) & (y < y2)).byte()}


def test_the_truth_itself_is_perfect():
    truths = [with_masks(t) for t in scenes(6)[1]]
    result = measured([certain(t) for t in truths], truths, masks=True, per_class=True)
    assert {"map", "map50", "mask_map", "mask_map50", "map_of_1", "mask_map_of_3"} <= set(result)
    assert all(value == pytest.approx(1.0) for value in result.values())


def test_nothing_found_is_zero_and_no_truth_has_no_measures():
    found, truths = scenes(3)
    nothing = [{name: values[:0] for name, values in f.items()} for f in found]
    assert measured(nothing, truths)["map"] == 0
    empty = [{n: (v if n == "image_id" else v[:0]) for n, v in t.items()} for t in truths]
    assert measured(found, empty) == {"map": 0, "map50": 0}


def test_neither_the_order_of_boxes_nor_of_images_matters():
    found, truths = scenes(8)
    for i, f in enumerate(found):  # equal scores are ordered by place: there a shuffle is another ranking
        f["scores"] = (torch.arange(len(f["scores"])) * 7 % 11 + i / 10) / 20
    expected = measured(found, truths, per_class=True)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1)).tolist()
    shuffled = []
    for f in found:
        p = torch.randperm(len(f["boxes"]))
        shuffled.append({name: values[p] for name, values in f.items()})
    assert measured([shuffled[i] for i in order], [truths[i] for i in order], per_class=True) == pytest.approx(expected)


def test_classes_average_to_the_whole():
    result = measured(*scenes(12), per_class=True)
    of_classes = [value for name, value in result.items() if name.startswith("map_of_")]
    assert result["map"] == pytest.approx(sum(of_classes) / len(of_classes), abs=1e-6)
    assert 0 < result["map"] < 1


def coco_scenes() -> tuple[list[dict], list[dict]]:
    """With masks, crowds, large and small boxes, areas left out, an image without boxes and one without detections."""
    found, truths = scenes(40, seed=3)
    for i, truth in enumerate(truths):
        both = (found[i], truth)
        if i % 3 == 1:
            for one in both:
                one["boxes"] = one["boxes"] * (0.4 if i % 2 else 1.4)
        truth["area"] = truth["area"] * (i % 4)
        truth["iscrowd"][0] = int(i % 5 == 0)
    found[1] = {name: values[:0] for name, values in found[1].items()}
    truths[2] = {n: (v if n == "image_id" else v[:0]) for n, v in truths[2].items()}
    return [with_masks(f) for f in found], [with_masks(t) for t in truths]


@pytest.mark.parametrize("masks", [False, True])
def test_all_figures_are_those_of_pycocotools(masks):
    pytest.importorskip("pycocotools", reason="the reference implementation, in the extra `dev`")
    found, truths = coco_scenes()
    kinds = {"bbox": "", "segm": "mask_"} if masks else {"bbox": ""}
    reference = MeanAveragePrecision(iou_type=tuple(kinds), backend="pycocotools", class_metrics=True)
    reference.update(found, truths)
    result = {name: value.tolist() for name, value in reference.compute().items()}
    expected = {}
    for kind, prefix in kinds.items():
        theirs = f"{kind}_" if masks else ""
        for name in SUMMARY:
            expected[prefix + name] = result[theirs + name.replace("map50", "map_50").replace("map75", "map_75")]
        of_classes = zip(result["classes"], result[f"{theirs}map_per_class"], strict=True)
        expected |= {f"{prefix}map_of_{label}": value for label, value in of_classes}
    ours = measured(found, truths, masks=masks, per_class=True)
    assert 0.1 < ours["map"] < 0.9
    assert ours == pytest.approx({name: value for name, value in expected.items() if value >= 0}, abs=1e-6)


def test_no_image_at_all_is_zero():
    assert measured([], []) == {"map": 0, "map50": 0}


def slow_precision_recall(found, truths, label, iou):
    """Each detection in turn, in plain Python."""
    ranked = sorted(
        (
            (float(f["scores"][j]), -i, -j)
            for i, f in enumerate(found)
            for j in range(len(f["boxes"]))
            if f["labels"][j] == label
        ),
        reverse=True,
    )
    taken, hits, points = set(), 0, []
    total = sum(int((t["labels"] == label).sum()) for t in truths)
    for n, (_, i, j) in enumerate(ranked, start=1):
        best, which = 0.0, None
        for k, box in enumerate(truths[-i]["boxes"]):
            if truths[-i]["labels"][k] == label and (-i, k) not in taken:
                overlap = float(box_iou(found[-i]["boxes"][-j][None], box[None]))
                if overlap >= iou and overlap > best:
                    best, which = overlap, (-i, k)
        if which:
            taken.add(which)
            hits += 1
        points.append((hits / total, hits / n))
    return points


@pytest.mark.parametrize("iou", [0.5, 0.75])
def test_precision_over_recall_is_that_of_a_slow_loop(iou):
    found, truths = scenes(10)
    recall, precision, score = precision_recall(found, truths, label=2, iou=iou)
    assert list(zip(recall.tolist(), precision.tolist(), strict=True)) == [
        pytest.approx(point) for point in slow_precision_recall(found, truths, 2, iou)
    ]
    assert (score.diff() <= 0).all()
    assert (recall.diff() >= 0).all()


def test_the_areas_under_the_curves_are_coco_s():
    """Crowds, ties and images without boxes or detections included."""
    found, truths = coco_scenes()
    present = sorted({k for t in truths for k in t["labels"][t["iscrowd"] == 0].tolist()})
    areas = [average_precision(*precision_recall(found, truths, k)[:2]) for k in present]
    assert sum(areas) / len(areas) == pytest.approx(measured(found, truths)["map50"], abs=1e-6)
    assert average_precision(torch.empty(0), torch.empty(0)) == 0


def test_the_confusion_counts_each_truth_and_each_false_box_once():
    found, truths = scenes(10)
    metric = BoxConfusion(CLASSES, min_score=0.0)
    metric.update(found, truths)
    matrix = metric.compute()
    matched = sum(int((match(f, t) >= 0).sum()) for f, t in zip(found, truths, strict=True))
    false = sum(len(f["boxes"]) for f in found) - matched
    assert matrix.sum() == sum(len(t["boxes"]) for t in truths) + false
    assert matrix[0].sum() == false
    assert matrix[1:].sum(1).tolist() == [sum(int((t["labels"] == c).sum()) for t in truths) for c in (1, 2, 3)]
    assert matrix[:, 1:].sum() == sum(len(f["boxes"]) for f in found)


def test_the_truth_is_taken_for_itself():
    truth = scenes(5)[1][4]
    matrix = confusion(certain(truth), truth, CLASSES)
    assert torch.equal(matrix, torch.bincount(truth["labels"], minlength=CLASSES + 1).diag())


def test_what_is_found_in_a_crowd_is_neither_right_nor_false():
    box = torch.tensor([[0.0, 0, 50, 50]])
    truth = {"boxes": box, "labels": torch.tensor([1]), "iscrowd": torch.tensor([1])}
    inside = {"boxes": box / 2, "labels": torch.tensor([1]), "scores": torch.ones(1)}
    assert confusion(inside, truth, CLASSES).sum() == 0
    assert len(precision_recall([inside], [truth], 1)[0]) == 0


def test_a_truth_is_taken_once_and_by_the_surest():
    box = torch.tensor([[10.0, 10, 30, 30]])
    twice = {"boxes": box.repeat(2, 1), "labels": torch.tensor([1, 1]), "scores": torch.tensor([0.3, 0.9])}
    assert match(twice, {"boxes": box, "labels": torch.tensor([1])}).tolist() == [-1, 0]


def with_an_image_in_which_nothing_is_found() -> tuple[list[dict], list[dict]]:
    found, truths = scenes(7)
    found[1] = {name: values[:0] for name, values in found[1].items()}
    return [with_masks(f) for f in found], [with_masks(t) for t in truths]


def measured_by(rank: int, address: str, expected: dict[str, float]) -> None:
    own = slice(5, 7) if rank == 0 else slice(0, 5)
    found, truths = with_an_image_in_which_nothing_is_found()
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    try:
        assert measured(found[own], truths[own], masks=True, per_class=True) == expected
    finally:
        dist.destroy_process_group()


def second(index: int, *given) -> None:
    measured_by(1, *given)


def test_two_processes_with_unequal_shares_equal_one(tmp_path):
    expected = measured(*with_an_image_in_which_nothing_is_found(), masks=True, per_class=True)
    given = (f"file://{tmp_path}/meet", expected)
    other = torch.multiprocessing.spawn(second, given, nprocs=1, join=False)
    measured_by(0, *given)
    other.join()
