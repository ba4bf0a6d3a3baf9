"""Parameter groups against groups written by hand, timm's own, and the definition."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.networks.lenet import LeNet
from lightloom.networks.resnet import ResNet
from lightloom.optim import schedules
from lightloom.optim.groups import OptimizerGroups
from lightloom.optim.layer_decay import layers_of
from lightloom.optim.param_groups import build_optimizer, parameter_groups
from lightloom.optim.patterns import most_specific, reach

SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01)


class Detector(nn.Module):
    """A backbone, a head and queries of its own, as DETR has them."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.head = nn.Linear(4, 2)
        self.queries = nn.Parameter(torch.zeros(3, 4))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images).mean((2, 3)) + self.queries.sum(0))


def detector() -> Detector:
    torch.manual_seed(0)
    return Detector()


def trained(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> list[Tensor]:
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(steps):
        optimizer.zero_grad()
        network(images).square().sum().backward()
        optimizer.step()
    return [p.detach().clone() for p in network.parameters()]


def rates(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, float]:
    return {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "depth"),
    [
        ("backbone", "network.backbone.conv1.weight", 2),
        ("back", "network.backbone.conv1.weight", 0),
        ("back*", "network.backbone.conv1.weight", 2),
        ("layer1.*.conv2", "network.layer1.0.conv2.weight", 4),
        ("layer1.*.conv2", "network.layer1.0.block.conv2.weight", 0),
        ("network.layer?", "network.layer3.0.weight", 2),
        ("bias", "head.bias", 2),
        ("0", "layers.0.0.weight", 3),
        ("head.bias.more", "head.bias", 0),
    ],
)
def test_a_pattern_is_some_parts_of_a_name_in_a_row(pattern, name, depth):
    assert reach(pattern, name) == depth


@pytest.mark.parametrize(
    ("patterns", "wins"),
    [
        (["backbone", "layer1"], "layer1"),
        (["layer1", "backbone"], "layer1"),
        (["*", "conv1", "weight"], "weight"),
        (["layer1.conv1", "conv1"], "layer1.conv1"),
        (["conv*", "conv1"], "conv1"),
        (["head"], None),
    ],
)
def test_the_deepest_match_counts_then_the_one_with_more_letters(patterns, wins):
    assert most_specific(patterns, "network.backbone.layer1.conv1.weight") == wins


@pytest.mark.parametrize("option", ["lr_multipliers", "decay", "freeze"])
def test_a_pattern_that_matches_nothing_is_one_sentence_with_what_is_near(option):
    value: Any = ["backbon"] if option == "freeze" else {"backbon": 0.1}
    with pytest.raises(UserError, match=rf"^model\.optimizer_groups\.{option}: 'backbon' .* Did you mean backbone"):
        build_optimizer(SGD, detector(), OptimizerGroups(**{option: value}))


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_are_those_that_one_would_write_by_hand():
    ours, theirs = detector(), detector()
    groups = OptimizerGroups(lr_multipliers={"backbone": 0.1, "queries": 2}, decay={"head": 0.5, "backbone.3": 0.0})
    by_hand = torch.optim.SGD(
        [
            {"params": [theirs.queries], "lr": 0.2, "weight_decay": 0.01},
            {"params": [theirs.backbone[0].weight], "lr": 0.01, "weight_decay": 0.01},
            {
                "params": [theirs.backbone[0].bias, *theirs.backbone[1].parameters(), *theirs.backbone[3].parameters()],
                "lr": 0.01,
                "weight_decay": 0.0,
            },
            {"params": [theirs.head.weight], "weight_decay": 0.5},
            {"params": [theirs.head.bias], "weight_decay": 0.0},
        ],
        lr=0.1,
        momentum=0.9,
    )
    found = trained(ours, build_optimizer(SGD, ours, groups))
    assert all(torch.equal(a, b) for a, b in zip(found, trained(theirs, by_hand), strict=True))


@pytest.mark.parametrize(("decay", "bias_lr"), [(0.0, 1.0), (0.01, 1.0), (0.0, 8.0), (0.01, 8.0)])
def test_without_options_the_groups_and_their_order_are_those_of_old_checkpoints(decay, bias_lr):
    network = detector()
    flat = [p for p in network.parameters() if p.ndim <= 1]
    deep = [p for p in network.parameters() if p.ndim > 1]
    expected = [flat, deep] if decay or bias_lr != 1 else [list(network.parameters())]
    found = parameter_groups(network, decay, 0.1, OptimizerGroups(bias_lr_multiplier=bias_lr))
    assert [list(map(id, group["params"])) for group in found] == [list(map(id, group)) for group in expected]
    assert found[-1].keys() == {"params", "weight_decay"}


def test_a_bias_decays_only_where_its_own_name_is_given():
    network = detector()
    found = parameter_groups(network, 0.0, 0.1, OptimizerGroups(decay={"head": 0.5, "0.bias": 0.25}))
    decays = {id(p): group["weight_decay"] for group in found for p in group["params"]}
    assert (decays[id(network.head.weight)], decays[id(network.head.bias)]) == (0.5, 0.0)
    assert decays[id(network.backbone[0].bias)] == 0.25


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layer_decay": 0.5},
        {"lr_multipliers": {"*": 0.5, "head": 3}},
        {"freeze": ["backbone"]},
        {"freeze": ["backbone"], "unfreeze_at_epoch": 2, "decay": {"weight": 0.1}, "bias_lr_multiplier": 2},
    ],
)
def test_each_parameter_that_learns_is_in_one_group(options):
    network, still = detector(), {"backbone"} if "freeze" in options and len(options) == 1 else set()
    optimizer = build_optimizer(SGD, network, OptimizerGroups(**options))
    found = [id(p) for group in optimizer.param_groups for p in group["params"]]
    expected = [id(p) for name, p in network.named_parameters() if name.partition(".")[0] not in still]
    assert sorted(found) == sorted(expected)


def test_players_have_patterns_on_the_names_of_the_whole_module():
    network = detector()
    groups = OptimizerGroups(lr_multipliers={"backbone.0": 0.5, "head.weight": 3})
    players = [build_optimizer(SGD, network, groups, [part]) for part in (network.backbone, network.head)]
    assert rates(players[0])[network.backbone[0].weight] == pytest.approx(0.05)
    assert rates(players[1]) == pytest.approx({network.head.weight: 0.3, network.head.bias: 0.1})


@pytest.mark.parametrize("schedule", [schedules.cosine, schedules.triangular, schedules.one_cycle])
def test_a_multiple_stays_one_through_a_schedule(schedule):
    network = detector()
    optimizer = build_optimizer(SGD, network, OptimizerGroups(lr_multipliers={"backbone": 0.25}))
    scheduler = schedule(optimizer, total_steps=12)["scheduler"]
    for _ in range(12):
        found = rates(optimizer)
        assert found[network.backbone[0].weight] == pytest.approx(found[network.head.weight] / 4)
        optimizer.step()
        scheduler.step()


def test_a_graph_network_decays_its_first_layer_only():
    """Kipf & Welling 2017, section 5.2: L2 on the weights of the first layer."""
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    adam = build_optimizer(partial(torch.optim.Adam, lr=0.01), network, OptimizerGroups(decay={"0": 5e-4}))
    assert {p: g["weight_decay"] for g in adam.param_groups for p in g["params"]} == {
        network[0].weight: 5e-4,
        **dict.fromkeys([network[0].bias, network[1].weight, network[1].bias], 0.0),
    }


# --- layers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vit_tiny_patch16_224", {"img_size": 32, "embed_dim": 12, "depth": 4}),
        ("resnet10t", {}),
        ("convnext_atto", {}),
    ],
)
def test_layers_of_timms_networks_have_timms_rates(name, options):
    network = timm.create_model(name, num_classes=3, **options)
    module = nn.ModuleDict({"network": network})
    optimizer = build_optimizer(SGD, module, OptimizerGroups(layer_decay=0.75))
    theirs = param_groups_layer_decay(network, 0.01, layer_decay=0.75)
    assert rates(optimizer) == pytest.approx({p: 0.1 * g["lr_scale"] for g in theirs for p in g["params"]})


def test_a_head_above_a_network_of_timm_is_of_its_top_layer():
    network = nn.ModuleDict({"body": timm.create_model("resnet10t", num_classes=0), "head": nn.Linear(512, 2)})
    layers = layers_of(network)
    assert layers[network["head"].weight] == max(layers.values()) > layers[network["body"].conv1[0].weight] == 0


def test_layers_of_our_networks_are_their_blocks_in_order():
    lenet = LeNet(1, 3, image_size=28)
    layers = [layers_of(lenet)[p] for p in lenet.parameters() if p.ndim > 1]
    assert layers == [0, 1, 2, 3, 4]
    resnet = ResNet(1, 3, image_size=8, depth=8)
    numbers = {name: layers_of(resnet)[p] for name, p in resnet.named_parameters()}
    blocks = ["stem", "layer1.0", "layer2.0", "layer3.0", "classifier"]
    assert [{n for k, n in numbers.items() if k.startswith(block)} for block in blocks] == [{i} for i in range(5)]


def test_a_norm_is_of_the_layer_before_it():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2))
    assert [layers_of(network)[p] for p in network.parameters()] == [0, 0, 0, 0, 1, 1, 1, 1]


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr_multipliers": {"head": 0}}, r"lr_multipliers\.head is 0; expected a number above 0"),
        ({"lr_multipliers": 0.1}, "lr_multipliers is 0.1; expected a mapping"),
        ({"decay": {"head": "much"}}, r"decay\.head is much; expected at least 0"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5; expected a number above 0 and at most 1"),
        ({"bias_lr_multiplier": -1}, "bias_lr_multiplier is -1; expected a number above 0"),
        ({"freeze": "backbone"}, "freeze is backbone; expected a list"),
        ({"freeze": ["backbone"], "unfreeze_at_epoch": 0}, "unfreeze_at_epoch is 0; expected at least 1"),
        ({"freeze": ["backbone"], "unfreeze_at_epoch": 1.5}, "expected an integer"),
        ({"unfreeze_at_epoch": 2}, "nothing is frozen; set .*freeze="),
        ({"freeze": ["*"]}, "freeze leaves nothing"),
        ({"lr_multiplier": {"head": 2}}, "no option 'lr_multiplier'. Did you mean lr_multipliers"),
    ],
)
def test_mistakes_are_one_sentence(options, said):
    with pytest.raises(UserError, match=rf"^model\.optimizer_groups.*{said}"):
        build_optimizer(SGD, detector(), OptimizerGroups.of(options))


def test_an_optimizer_without_weight_decay_is_told():
    rprop = partial(torch.optim.Rprop, lr=0.1)
    with pytest.raises(UserError, match=r"decay: Rprop has no weight decay"):
        build_optimizer(rprop, detector(), OptimizerGroups(decay={"head": 0.1}))
