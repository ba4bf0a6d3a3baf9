"""Every detector keeps torchvision's convention, without torchvision's surprises."""

import pytest
import timm
import torch
from conftest import real
from statistics_of_batches import initial_share
from torch import Tensor

from lightloom.networks import library
from lightloom.networks.detection import rcnn, torchvision
from lightloom.networks.detection.yolo import Yolo, assign, decode, grid, losses
from lightloom.ops.images.selective_search import SelectiveSearch

CLASSES = 2
SEARCH = SelectiveSearch(scales=[200], longest=48, most=20)


def small(out_channels: int = 16, **options) -> torchvision.Pyramid:
    return torchvision.pyramid(out_channels=out_channels, width=8, **options)


MAKERS = {
    "faster_rcnn": lambda: torchvision.faster_rcnn(CLASSES, 64, small(), width=16, rois=32),
    "mask_rcnn": lambda: torchvision.mask_rcnn(CLASSES, 64, small(), width=16, rois=32, mask_layers=1),
    "fast_rcnn": lambda: rcnn.fast_rcnn(CLASSES, 64, small(), SEARCH, width=16, rois=32, pooling="max"),
    "rcnn": lambda: rcnn.rcnn(CLASSES, 64, small(), SEARCH, width=16, rois=32, crop_size=32, svm=False),
    "retinanet": lambda: torchvision.retinanet(CLASSES, 64, small(norm="group"), score_thresh=0.0),
    "fcos": lambda: torchvision.fcos(CLASSES, 64, small(32), score_thresh=0.0),
    "yolo": lambda: Yolo(CLASSES, 64, small(pool=False), score_thresh=0.0),
    "ssdlite": lambda: torchvision.ssdlite(CLASSES, size=64),
}


def batch() -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Two images of different sizes; on the second there is nothing."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 64, 80, generator=generator), torch.rand(3, 70, 60, generator=generator)]
    boxes = torch.tensor([[5.0, 5, 25, 30], [40, 20, 76, 60]])
    masks = torch.zeros(2, 64, 80, dtype=torch.uint8)
    masks[0, 5:30, 5:25] = masks[1, 20:60, 40:76] = 1
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    nothing["masks"] = torch.zeros(0, 70, 60, dtype=torch.uint8)
    return images, [{"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": masks}, nothing]


@pytest.fixture(scope="module", params=MAKERS)
def network(request):
    torch.manual_seed(0)
    return MAKERS[request.param]()


def test_losses_are_those_named_finite_and_reach_every_weight(network):
    images, targets = batch()
    found = network.train()(images, targets)
    assert set(found) == set(network.losses)
    assert all(torch.isfinite(loss) for loss in found.values())
    network.zero_grad()
    sum(found.values()).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_images_without_boxes_are_learned_from_without_nan(network):
    images, targets = batch()
    found = network.train()([images[1]] * 2, [targets[1]] * 2)
    loss = sum(found.values())
    network.zero_grad()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_detections_lie_inside_each_image_the_surest_first(network):
    images, _ = batch()
    with torch.inference_mode():
        found = network.eval()(images)
    assert len(found) == len(images)
    assert any(len(one["boxes"]) for one in found)
    for image, one in zip(images, found, strict=True):
        low, high = one["boxes"].unflatten(1, (2, 2)).unbind(1)
        limit = torch.tensor([image.shape[-1], image.shape[-2]])
        assert (low >= 0).all()
        assert (high <= limit + 1e-3).all()
        assert (low <= high).all()
        assert (one["scores"].diff() <= 0).all()
        assert set(one["labels"].tolist()) <= {0, 1, 2}
        assert len(one["boxes"]) <= torchvision.MOST
        if "masks" in one:
            assert one["masks"].shape == (len(one["boxes"]), 1, *image.shape[-2:])


def test_what_is_found_on_an_image_does_not_depend_on_its_batch(network):
    images, _ = batch()
    twin = torch.rand(images[0].shape)
    with torch.inference_mode():
        alone, beside = network.eval()(images[:1])[0], network.eval()([images[0], twin])[0]
    torch.testing.assert_close(alone["scores"], beside["scores"], rtol=1e-3, atol=1e-4)


# --- pyramids


@pytest.mark.parametrize("finest", [4, 8])
@pytest.mark.parametrize("name", ["small", "mobilenet_v3_large", "resnet10t"])
def test_each_level_is_half_of_the_one_before_beginning_at_the_finest(name, finest):
    pyramid = torchvision.pyramid(name, out_channels=16, finest=finest).eval()
    with torch.inference_mode():
        maps = pyramid(torch.zeros(1, 3, 16 * finest, 32 * finest))
    assert [m.shape[1:] for m in maps.values()] == [(16, 16 // 2**i, 32 // 2**i) for i in range(pyramid.depth)]
    assert list(maps)[:-1] == pyramid.levels


def test_weights_of_a_file_are_those_of_the_pyramid_and_stay_when_frozen():
    path = real("weights/tf_efficientnet_lite0_timm.pth")
    pyramid = torchvision.pyramid("tf_efficientnet_lite0", 16, norm="frozen", checkpoint=str(path))
    saved, own = library.read(str(path)), pyramid.body.state_dict()
    assert len(own) > 200
    assert all(torch.equal(value, saved[name.removeprefix("body.")]) for name, value in own.items())
    pyramid.train()(torch.rand(2, 3, 64, 64))
    assert all(
        torch.equal(value, saved[name.removeprefix("body.")]) for name, value in pyramid.body.state_dict().items()
    )


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("resnet10t").state_dict(), path)
    with pytest.raises(ValueError, match=r"does not fit EfficientNet"):
        torchvision.pyramid("tf_efficientnet_lite0", 16, checkpoint=str(path))


@pytest.mark.parametrize("name", ["small", "mobilenet_v3_large", "resnet10t", "tf_efficientnet_lite0"])
def test_statistics_of_batches_follow_within_a_few_steps(name):
    assert initial_share(torchvision.pyramid(name, 16), steps=50) < 0.25


def test_anchors_grow_with_the_image_and_are_the_papers_at_its_size():
    assert torchvision.anchor_sizes(800, 5) == [32, 64, 128, 256, 512]
    assert torchvision.anchor_sizes(100, 4) == [size / 8 for size in (64, 128, 256, 512)]
    assert torchvision.anchor_sizes(100, 4, largest=0.24) == [3, 6, 12, 24]


@pytest.mark.parametrize("build", [torchvision.faster_rcnn, torchvision.mask_rcnn, torchvision.retinanet])
def test_small_anchors_reach_the_network(build):
    network = build(1, 100, torchvision.pyramid("small", 16), largest_anchor=0.24)
    generator = getattr(network, "rpn", network).anchor_generator
    assert [sizes[0] for sizes in generator.sizes] == [3, 6, 12, 24]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "resnet5000"}, "resnet5000"),
        ({"norm": "layer"}, "batch, group, frozen"),
        ({"name": "resnet10t", "norm": "group"}, "norm=batch"),
        ({"name": "resnet10t", "checkpoint": "nowhere.pth"}, "nowhere.pth does not exist"),
        ({"checkpoint": "nowhere.pth"}, "nowhere.pth is of a classifier.*model.network.backbone.name"),
    ],
)
def test_a_mistake_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        torchvision.pyramid(**options)


def test_heads_in_groups_want_channels_that_divide():
    with pytest.raises(ValueError, match=r"out_channels is 16.*multiple of 32"):
        torchvision.fcos(CLASSES, 64, small(16))


# --- YOLO


def test_an_untouched_prediction_is_a_square_of_two_strides_around_its_point():
    points = grid(2, 3, stride=8.0, device=torch.device("cpu"))
    assert points[:, :2].tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    boxes = decode(torch.zeros(1, 6, 4), points)[0]
    assert torch.equal((boxes[:, :2] + boxes[:, 2:]) / 2, points[:, :2])
    assert torch.equal(boxes[:, 2:] - boxes[:, :2], torch.full((6, 2), 16.0))


def given_points() -> tuple[Tensor, Tensor]:
    points = torch.cat([grid(64 // s, 64 // s, float(s), torch.device("cpu")) for s in (4, 8)])
    return points, decode(torch.zeros(1, len(points), 4), points)[0]


def test_every_truth_is_learned_by_points_in_it_and_no_point_learns_two():
    points, boxes = given_points()
    truth = torch.tensor([[4.0, 4, 24, 24], [20, 20, 52, 60], [40, 2, 60, 12]])
    labels = torch.eye(3)[[0, 1, 0]]
    at, which = assign(boxes, torch.zeros(len(points)), torch.zeros(len(points), 3), points, truth, labels)
    assert set(which.tolist()) == {0, 1, 2}
    assert len(at.unique()) == len(at)
    centre, (low, high) = points[at, :2], truth[which].split(2, 1)
    assert ((centre > low) & (centre < high)).all()


def test_the_assignment_follows_the_truths_when_they_change_places():
    points, boxes = given_points()
    boxes = boxes + torch.rand(boxes.shape, generator=torch.Generator().manual_seed(0))
    truth, labels = torch.tensor([[4.0, 4, 24, 24], [20, 20, 52, 60]]), torch.eye(2)
    zeros = torch.zeros(len(points)), torch.zeros(len(points), 2)
    at, which = assign(boxes, *zeros, points, truth, labels)
    again, swapped = assign(boxes, *zeros, points, truth.flip(0), labels.flip(0))
    assert torch.equal(at, again)
    assert torch.equal(which, 1 - swapped)


def test_perfect_predictions_cost_nothing():
    points, _ = given_points()
    truth = torch.tensor([[8.0, 8, 24, 24]])
    target = {"boxes": truth, "labels": torch.tensor([2])}
    at, _ = assign(
        truth.expand(len(points), 4),
        torch.zeros(len(points)),
        torch.zeros(len(points), 2),
        points,
        truth,
        torch.tensor([[0.0, 1]]),
    )
    objectness, classes = torch.full((1, len(points)), -50.0), torch.full((1, len(points), 2), -50.0)
    objectness[0, at], classes[0, at, 1] = 50.0, 50.0
    found = losses(truth.expand(1, len(points), 4), objectness, classes, points, [target])
    assert all(float(loss) == pytest.approx(0, abs=1e-5) for loss in found.values())
