"""R-CNN and Fast R-CNN: what pooling, regression, classifiers and the two networks are to each other."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, smooth_l1_loss
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import roi_pool

from lightloom.core.errors import UserError
from lightloom.metrics.detection import CocoPrecision
from lightloom.networks.detection import rcnn
from lightloom.networks.detection.torchvision import pyramid
from lightloom.ops.images.selective_search import SelectiveSearch

CLASSES, SIDE = 2, 64
SEARCH = SelectiveSearch(scales=[200], longest=48, most=20)
BOX = torch.tensor([[0.0, 0, SIDE, SIDE]])


def small() -> nn.Module:
    return pyramid(out_channels=16, width=8, norm="group")


def fast(**options):
    torch.manual_seed(0)
    return rcnn.fast_rcnn(CLASSES, SIDE, small(), SEARCH, width=16, **options)


def slow(**options):
    torch.manual_seed(0)
    return rcnn.rcnn(CLASSES, SIDE, small(), SEARCH, width=16, **options)


def images(count: int = 1) -> list[Tensor]:
    return list(torch.rand(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)))


# --- pooling


def test_pooling_of_the_whole_map_to_one_cell_is_the_largest_value():
    maps = torch.randn(2, 3, 6, 8)
    whole = torch.tensor([[0.0, 0, 7, 5]])
    assert torch.equal(roi_pool(maps, [whole, whole], 1)[..., 0, 0], maps.amax((2, 3)))


@pytest.mark.parametrize("size", [14, 21])
def test_pooling_of_whole_pixels_is_adaptive_max_pooling(size):
    """torchvision's boxes count their last pixel in."""
    maps = torch.randn(1, 3, 30, 30)
    found = roi_pool(maps, [torch.tensor([[4.0, 2, 3 + size, 1 + size]])], 7)
    assert torch.equal(found, adaptive_max_pool2d(maps[..., 2 : 2 + size, 4 : 4 + size], 7))


def test_only_the_largest_value_of_a_cell_learns():
    maps = torch.randn(1, 1, 14, 14, requires_grad=True)
    roi_pool(maps, [torch.tensor([[0.0, 0, 13, 13]])], 7).sum().backward()
    largest = torch.zeros(14, 14)
    for y in range(0, 14, 2):
        for x in range(0, 14, 2):
            place = int(maps[0, 0, y : y + 2, x : x + 2].argmax())
            largest[y + place // 2, x + place % 2] = 1
    assert torch.equal(maps.grad[0, 0], largest)


def test_each_region_is_pooled_on_the_level_of_its_size():
    pool = rcnn.MultiScaleRoIPool(3, finest=4)
    features = {str(i): torch.full((2, 1, 128 // 2**i, 128 // 2**i), float(i)) for i in range(3)}
    boxes = [torch.tensor([[0.0, 0, 500, 500], [0, 0, 30, 30]]), torch.tensor([[10.0, 10, 130, 130]])]
    assert pool(features, boxes, [(512, 512)] * 2)[:, 0, 0, 0].tolist() == [2, 0, 1]


# --- boxes and losses


def test_a_box_is_encoded_and_decoded_to_itself_and_no_change_is_nought():
    coder = fast().roi_heads.box_coder
    low = 40 * torch.rand(20, 2)
    regions = torch.cat([low, low + 5 + 20 * torch.rand(20, 2)], 1)
    truths = regions + torch.rand(20, 4)
    changes = coder.encode([truths], [regions])[0]
    torch.testing.assert_close(coder.decode(changes, [regions])[:, 0], truths)
    assert coder.encode([regions], [regions])[0].abs().max() < 1e-6


def test_smooth_l1_and_its_slope_are_continuous_at_one():
    x = torch.tensor([1 - 1e-4, 1, 1 + 1e-4], dtype=torch.float64, requires_grad=True)
    loss = smooth_l1_loss(x, torch.zeros(3, dtype=torch.float64), reduction="none")
    loss.sum().backward()
    assert loss.diff().abs().max() < 1.01e-4
    assert x.grad.diff().abs().max() < 1.01e-4
    assert loss[1] == 0.5


def test_hinge_is_that_of_the_slow_reference():
    margins = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = [0, 1, -1, 3, 2, 0]
    total = 0.0
    for row, label in zip(margins.tolist(), labels, strict=True):
        for c, margin in enumerate(row, start=1):
            total += 0 if label < 0 else max(0.0, 1 - (margin if c == label else -margin))
    assert float(rcnn.hinge(margins, torch.tensor(labels))) == pytest.approx(total / 6)


def test_regions_that_hardly_touch_an_object_are_no_background_where_others_are():
    heads = fast().roi_heads
    truth, labels = [torch.tensor([[0.0, 0, 10, 10]])], [torch.tensor([2])]
    regions = torch.tensor([[0.0, 0, 10, 9], [0, 0, 10, 30], [40, 40, 50, 50]])
    assert heads.assign_targets_to_proposals([regions], truth, labels)[1][0].tolist() == [2, 0, -1]
    assert heads.assign_targets_to_proposals([regions[2:]], truth, labels)[1][0].tolist() == [0]  # none is nearer
    nothing = [torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)]
    assert heads.assign_targets_to_proposals([regions], *nothing)[1][0].tolist() == [0, 0, 0]


# --- the networks


class Oracle(nn.Module):
    """Sure of the class of each of the regions, and that their boxes are right."""

    svm = None

    def __init__(self, labels: Tensor) -> None:
        super().__init__()
        self.labels = labels

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        logits = 20 * nn.functional.one_hot(self.labels, CLASSES + 1).float()
        return logits, torch.zeros(len(values), 4 * (CLASSES + 1))


@pytest.mark.parametrize("made", [fast, partial(slow, svm=False)], ids=["fast", "rcnn"])
def test_the_truths_as_regions_and_a_perfect_classifier_are_perfect(made):
    boxes, labels = torch.tensor([[3.0, 4, 20, 25], [30, 30, 60, 50], [5, 40, 25, 60]]), torch.tensor([1, 2, 1])
    network = made().eval()
    network.roi_heads.box_predictor = Oracle(labels)
    with torch.inference_mode():
        found = network(images(), [{"proposals": boxes}])
    measured = CocoPrecision(False)
    rest = {"area": (boxes[:, 2:] - boxes[:, :2]).prod(1), "iscrowd": torch.zeros(3, dtype=torch.int64)}
    measured.update(found, [{"boxes": boxes, "labels": labels, "image_id": torch.tensor(0), **rest}])
    assert measured.compute()["map"] == pytest.approx(1)


@pytest.mark.parametrize(("made", "calls"), [(fast, 1), (slow, 2)], ids=["fast", "rcnn"])
def test_the_backbone_sees_an_image_once_whatever_its_regions_or_each_region(made, calls):
    """R-CNN's regions go through it by the hundreds."""
    network = made().eval()
    trunk = network.backbone if made is fast else network.roi_heads.box_roi_pool.backbone
    seen = []
    trunk.register_forward_hook(lambda layer, given, found: seen.append(len(given[0])))
    for count in (1, 300):
        seen.clear()
        with torch.inference_mode():
            network(images(), [{"proposals": BOX.repeat(count, 1)}])
        assert seen == [1] if made is fast or count == 1 else sum(seen) == count
    assert len(seen) == calls


def test_both_agree_on_a_region_that_is_the_whole_image():
    one = fast(score_thresh=0.0, nms_thresh=0.5).eval()
    each = slow(svm=False, crop_size=SIDE, context=0.0, score_thresh=0.0, nms_thresh=0.5).eval()
    each.roi_heads.box_roi_pool.backbone.load_state_dict(one.backbone.state_dict())
    each.roi_heads.box_head.load_state_dict(one.roi_heads.box_head.state_dict())
    each.roi_heads.box_predictor.load_state_dict(one.roi_heads.box_predictor.state_dict())
    with torch.inference_mode():
        (a,), (b,) = (network(images(), [{"proposals": BOX}]) for network in (one, each))
    assert len(a["boxes"]) > 0
    for name, values in a.items():
        torch.testing.assert_close(values, b[name])


def test_a_crop_shows_its_region_with_context_around_it():
    pool = slow(crop_size=50, context=0.1).roi_heads.box_roi_pool
    assert pool._widened(torch.tensor([[10.0, 20, 50, 60]])).tolist() == [[5, 15, 55, 65]]


@pytest.mark.parametrize("made", [fast, slow], ids=["fast", "rcnn"])
def test_images_bring_their_proposals_or_are_searched(made):
    network = made(score_thresh=0.0).eval()
    (image,) = images()
    with torch.inference_mode():
        given = network([image], [{"proposals": SEARCH(image.mul(255).round().byte()).float()}])
        searched, none = network([image]), network([image], [{"proposals": torch.zeros(0, 4)}])
    assert torch.equal(given[0]["boxes"], searched[0]["boxes"])
    assert len(none[0]["boxes"]) > 0  # the whole image is one


@pytest.mark.parametrize(("svm", "regression"), [(True, True), (True, False), (False, True), (False, False)])
def test_machines_score_beside_each_other_and_without_regression_a_region_is_the_box(svm, regression):
    network = slow(svm=svm, regression=regression, score_thresh=0.0, nms_thresh=1.0)
    boxes = torch.tensor([[3.0, 4, 20, 25], [30, 30, 60, 50]])
    target = {"boxes": boxes, "labels": torch.tensor([1, 2]), "proposals": boxes}
    losses = network.train()(images(), [target])
    assert tuple(losses) == network.losses
    sum(losses.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    with torch.inference_mode():
        (found,) = network.eval()(images(), [target])
    if svm:
        margins = network.roi_heads.box_predictor.margins
        torch.testing.assert_close(found["scores"], margins.sigmoid().flatten().sort(descending=True).values)
    if not regression:
        torch.testing.assert_close(found["boxes"].unique(dim=0), boxes)


def test_the_machines_leave_the_backbone_alone():
    network = slow()
    network.train()(images(), [{"boxes": BOX / 2, "labels": torch.tensor([1])}])["loss_svm"].backward()
    assert {name for name, p in network.named_parameters() if p.grad is not None} == {
        f"roi_heads.box_predictor.svm.{name}" for name in ("weight", "bias")
    }


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match=r"context 0.5 leaves a region no room.*below 0.5"):
        slow(context=0.5)
    with pytest.raises(ValueError, match=r"pooling.*mean.*align, max"):
        fast(pooling="mean")
    network = fast().eval()
    with pytest.raises(UserError, match=r"FastRCNN looks at regions that selective search finds.*format=safetensors"):
        torch.jit.trace(lambda image: network([image])[0]["boxes"], images()[0], strict=False)


def test_a_predictor_of_both_kinds_has_the_names_of_torchvisions():
    ours, theirs = rcnn.RegionPredictor(4, CLASSES, False, True), FastRCNNPredictor(4, CLASSES + 1)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
