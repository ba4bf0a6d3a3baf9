"""The classifier's losses and measures against closed forms."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import log_softmax

from lightloom.config.compose import compose, without_hydra
from lightloom.core.errors import UserError
from lightloom.data.images.augment import mixup
from lightloom.engine import train
from lightloom.engine import trainer as trainers
from lightloom.modules.classifier import AUXILIARY_WEIGHT, Classifier
from lightloom.networks.googlenet import GoogLeNet
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.param_groups import build_optimizer

SGD = partial(torch.optim.SGD, lr=0.1, weight_decay=0.5)


class Table(nn.Module):
    """The first pixel of an image chooses its logits."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[images[:, 0, 0, 0].round().long()]


def classifier(network: nn.Module, num_classes: int, **options) -> Classifier:
    return Classifier(network, SGD, num_classes, mean=[0.0], std=[1.0], **options)


def batch(n: int, num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(n).float().view(n, 1, 1, 1), torch.arange(n) % num_classes


def test_loss_is_the_mean_negative_log_probability():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    module, (images, labels) = classifier(Table(logits), 3), batch(6, 3)
    expected = -log_softmax(logits, 1)[torch.arange(6), labels].mean()
    assert torch.isclose(module.training_step((images, labels), 0), expected)


def test_label_smoothing_spreads_its_mass_over_all_classes():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    module, (images, labels) = classifier(Table(logits), 5, label_smoothing=0.2), batch(4, 5)
    target = torch.full((4, 5), 0.2 / 5)
    target[torch.arange(4), labels] += 0.8
    expected = -(target * log_softmax(logits, 1)).sum(1).mean()
    assert torch.isclose(module.training_step((images, labels), 0), expected)


def test_mixed_labels_cost_what_their_parts_cost():
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(2))
    module, (images, labels) = classifier(Table(logits), 5), batch(4, 5)
    _, soft = mixup(images, labels, torch.arange(4), 5, alpha=1.0)
    expected = -(soft * log_softmax(logits, 1)).sum(1).mean()
    assert torch.isclose(module.training_step((images, soft), 0), expected)


def test_auxiliary_classifiers_weigh_a_third_of_the_main_one_in_training_only():
    network = GoogLeNet(in_channels=1, num_classes=3, image_size=64)
    module, images, labels = classifier(network, 3), torch.rand(4, 1, 64, 64), torch.tensor([0, 1, 2, 0])
    torch.manual_seed(0)  # the same dropout in both
    main, *auxiliary = (nn.functional.cross_entropy(out, labels) for out in network(images))
    assert len(auxiliary) == 2
    torch.manual_seed(0)
    assert torch.isclose(module.training_step((images, labels), 0), main + AUXILIARY_WEIGHT * sum(auxiliary))
    assert module.eval()(images).shape == (4, 3)  # in evaluation the main one only


def test_input_is_normalised_by_the_statistics_of_each_channel():
    module = Classifier(nn.Flatten(), SGD, 2, mean=[0.5, 0.25], std=[0.5, 0.25])
    images = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
    assert module(images).tolist() == [[1.0, -1.0]]


def test_measures_of_a_test_agree_with_counting():
    logits = torch.tensor([[3.0, 0, 0], [3.0, 0, 0], [0, 3.0, 0], [0, 0, 3.0], [0, 0, 3.0]])
    module, images, labels = classifier(Table(logits), 3), batch(5, 3)[0], torch.tensor([0, 1, 1, 2, 2])
    module.test_step((images[:2], labels[:2]), 0)
    module.test_step((images[2:], labels[2:]), 1)
    metrics = {name: float(metric.compute()) for name, metric in module.metrics["test"].items()}
    confidence = float(logits[0].softmax(0)[0])
    assert metrics["acc"] == pytest.approx(4 / 5)
    assert metrics["f1_macro"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert metrics["calibration_error"] == pytest.approx(confidence - 4 / 5, abs=1e-6)
    assert module.confusion.compute().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 2]]


@pytest.mark.parametrize(("num_classes", "there"), [(5, False), (6, True)])
def test_top_5_is_measured_where_it_can_be_wrong(num_classes, there):
    assert ("test/acc_top5" in classifier(nn.Flatten(), num_classes).logged) == there


def test_biases_and_norms_do_not_decay():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    build_optimizer(SGD, network).step()
    for name, parameter in network.named_parameters():
        factor = 1 - 0.1 * 0.5 if parameter.ndim > 1 else 1.0
        assert torch.allclose(parameter, factor * before[name]), name


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_biases_and_norms_have_a_rate_of_their_own(weight_decay):
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))
    factory = partial(torch.optim.SGD, lr=0.1, weight_decay=weight_decay)
    groups = build_optimizer(factory, network, OptimizerGroups(bias_lr_multiplier=8)).param_groups
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    assert len(rates) == len(list(network.parameters()))
    for parameter in network.parameters():
        assert rates[id(parameter)] == pytest.approx(0.1 if parameter.ndim > 1 else 0.8)
    assert groups[-1]["lr"] == 0.1  # what train/lr tells


def test_a_multiple_of_a_rate_that_is_not_given_is_refused():
    with pytest.raises(UserError, match=r"model\.bias_lr is 2 .* set model\.optimizer\.lr"):
        build_optimizer(partial(torch.optim.SGD), nn.Linear(2, 2), OptimizerGroups(bias_lr_multiplier=2))


def test_views_are_averaged_in_evaluation_only():
    """Against the definition of flip_and_shift."""
    torch.manual_seed(0)
    network, images = (
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3)),
        torch.rand(5, 1, 6, 6),
    )
    module = classifier(network, 3, test_views="flip_and_shift").eval()
    padded = nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    shifted = [images, padded[..., :6, :6], padded[..., 2:, 2:]]
    plain = [(module(view) + module(view.flip(-1))) / 2 for view in shifted]
    expected = (plain[0] + (plain[1] + plain[2]) / 2) / 2
    assert torch.allclose(module.predict_step((images,), 0), expected.softmax(1), atol=1e-6)
    labels = torch.arange(5) % 3
    assert torch.isclose(module.training_step((images, labels), 0), nn.functional.cross_entropy(module(images), labels))


def test_an_image_and_its_mirror_have_the_same_logits():
    torch.manual_seed(0)
    images, network = torch.rand(5, 1, 6, 6), nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    module = classifier(network, 3, test_views="flip")
    assert torch.allclose(module.predict_step((images,), 0), module.predict_step((images.flip(-1),), 0), atol=1e-6)
    assert not torch.allclose(module(images), module(images.flip(-1)), atol=0.01)


def test_memory_layout_is_used_and_does_not_change_the_logits():
    torch.manual_seed(0)
    network, images = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3)), torch.rand(2, 3, 6, 6)
    expected = classifier(network, 3)(images)
    module = classifier(network, 3, channels_last=True)
    assert torch.allclose(module(images), expected, atol=1e-6)
    assert module(images).is_contiguous(memory_format=torch.channels_last)
    assert not expected.is_contiguous(memory_format=torch.channels_last)


def test_frozen_parameters_are_left_to_themselves():
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    optimized = [p for group in build_optimizer(SGD, network).param_groups for p in group["params"]]
    assert [id(p) for p in optimized] == [id(network.weight)]


def test_weights_of_classes_are_those_of_the_training_images_and_no_part_of_a_checkpoint(tmp_path):
    cfg = without_hydra(compose("train", ["model=mlp", "model.class_weights=balanced", "trainer=cpu"]))
    cfg, datamodule = train.build_data(cfg)
    module = train.build_module(cfg)
    before = set(module.state_dict())
    options = {"logger": False, "enable_checkpointing": False, "default_root_dir": str(tmp_path)}
    trainers.make(cfg.trainer, max_epochs=1, **options).fit(module, datamodule=datamodule)
    counts = datamodule.split("train").labels.bincount()
    torch.testing.assert_close(counts * module.loss.weights, torch.full((10,), counts.sum() / 10))
    assert set(module.state_dict()) == before


def test_as_many_weights_as_classes():
    with pytest.raises(UserError, match="has 2 values for 3 classes"):
        classifier(Table(torch.zeros(3, 3)), 3, class_weights=[1.0, 2.0])
