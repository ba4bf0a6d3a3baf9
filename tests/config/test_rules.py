"""Which rule a key has: the entry points' own, a library's, or that of whoever takes the option."""

import math

import pytest
from omegaconf import OmegaConf

from lightloom.config.annotations import options_class
from lightloom.config.command_line import quote
from lightloom.config.compose import check
from lightloom.config.overrides import taker_of
from lightloom.config.rules import LIBRARIES, RULES, rule_for, type_problem
from lightloom.config.values import Number
from lightloom.core.errors import UserError

ADAM, EARLY = "torch.optim.Adam", "pytorch_lightning.callbacks.EarlyStopping"
PLATEAU, DATA = "lightloom.optim.schedules.plateau", "lightloom.data.images.datamodule.ImageDataModule"


@pytest.mark.parametrize(
    "key", ["data.batch_size", "data.num_workers", "trainer.max_epochs", "seed", "trainer.devices"]
)
@pytest.mark.parametrize("value", ["abc", "2.5", "ten", "", 2.5, True, math.nan, math.inf, {"a": 1}, -7])
def test_no_count_is_any_of_these(key, value):
    assert key in str(type_problem(key, None, value, DATA))


@pytest.mark.parametrize(
    ("key", "target", "good", "bad"),
    [
        ("model.optimizer.lr", ADAM, [1e-9, "1e-3", 10], [0, -1, "x", math.nan, math.inf, True]),
        ("model.critic_optimizer.lr", ADAM, [0.1], [-1]),
        ("model.optimizer.momentum", "torch.optim.SGD", [0, 0.99], [1, -0.1]),
        ("model.optimizer.lr", "timm.optim.create_optimizer_v2", [0.1], [-1]),
        ("callbacks.stop.patience", EARLY, [0, 3], [-1, 0.5]),
        ("model.optimizer._target_", None, ["torch.optim.SGD"], ["SGD", -1, math.inf, None, "a..b", "os.system(x)"]),
        ("model.scheduler._partial_", None, [True, False], [None, "???", 1.5]),
        ("model.network._convert_", None, ["all"], ["some", 3]),
        ("trainer.profiler", None, ["simple", None], [[], 3, "fast"]),
        ("seed", None, [0, 2**32 - 1], [-1, 2**32, None, 0.5]),
        ("data.seed", DATA, [0, 2**32 - 1], [-1, 2**32, None, 0.5]),
        ("format", None, ["voc", "csv", "onnx", None], ["docx", 3]),
        ("min_score", None, [0, 0.5, 1], [1.1, -0.1, None, "x"]),
        ("max_frames", None, [1, None], [0, 1.5]),
        ("num_samples", None, [1, "64", None], [0, -1, "x"]),
        ("tolerance", None, ["1e-4"], [0, None]),
        ("trainer.devices", None, [1, 8, "all", "auto", -1, [0, 1]], [0, -2, "gpu", [], [-1]]),
        ("trainer.limit_train_batches", None, [5, 0.5, 1.0, None], [0, 0.0, 1.5, -1, "x"]),
        ("trainer.limit_val_batches", None, [0, 0.0, 5, 0.5, 1.0, None], [1.5, -1, "x"]),
        ("trainer.deterministic", None, [True, False, "warn", None], ["maybe", 3]),
        ("trainer.max_time", None, ["00:12:00:00", "1:00:00:00", None], ["abc", "12:00", 5, ""]),
        ("run_name", None, ["first", "a b=é", "a/b"], [None, "", "/a", "..", "../a", "a/../b"]),
        ("trainer.gradient_clip_val", None, [None, 0, 0.5, 10], [-1, "x"]),
        ("trainer.precision", None, [32, "32-true", "bf16-mixed", None], ["17", "fp8", 8]),
        ("trainer.max_epochs", None, [1, -1, None], [0, -2]),
        ("trainer.fast_dev_run", None, [True, False, 3], ["x", -1]),
        ("model.scheduler.factor", PLATEAU, [0.1], [0, 1, 2]),
        ("model.network.scale.factor", None, [2, "x"], []),  # the key of another object
        ("model.network.width", None, [0.5, [8, 8]], []),
        ("model.network.depth", "lightloom.networks.resnet.ResNet", [18, "20"], [19, "x", None]),
        ("model.network.hidden", "lightloom.networks.mlp.MLP", [[], [3, 4]], [[0], ["a"], 3, None]),
        ("model.attention", "lightloom.modules.classifier.Classifier", ["se", "none"], ["sE", None, 3]),
        ("callbacks.ema.decay", "lightloom.callbacks.run.ema.WeightAverage", [0.9], [1.1, "x"]),
    ],
)
def test_ranges(key, target, good, bad):
    assert [v for v in good if type_problem(key, None, v, target)] == []
    assert [v for v in bad if not type_problem(key, None, v, target)] == []


def test_one_batch_is_not_all_batches():
    """Lightning: 1 is one batch, 1.0 is all of them."""
    rule = rule_for("trainer.limit_train_batches")
    assert [type(rule.coerce(v)) for v in (1, 1.0, "1", "1.0")] == [int, float, int, float]


@pytest.mark.parametrize(
    ("current", "good", "bad"),
    [
        (True, [False], [0, "yes"]),
        (3, [4, None, "${seed}"], ["3", 3.5, "x", [3]]),
        (0.5, [1, 2.5], ["x", [0.5]]),
        ([1, 2], [[3], []], [3, "x", ["a"], [1.5]]),
        ([0.5], [[1, 2.5]], ["x", ["a"]]),
        (["a"], [["b"]], ["b"]),
        ({"_target_": "x"}, [{"_target_": "y"}], ["y", 3]),
        ("block", ["conv", ["layer1", "layer2"], 3], []),
        (None, [3, "x", [1]], []),
    ],
)
def test_a_value_without_a_rule_has_the_type_of_what_it_replaces(current, good, bad):
    current = OmegaConf.create({"here": current})["here"]
    assert [v for v in good if type_problem("model.some", current, v)] == []
    assert [v for v in bad if not type_problem("model.some", current, v)] == []


def test_no_component_of_ours_is_in_a_table():
    """The keys are of entry points, of Hydra and of the Trainer; the takers are libraries' classes."""
    first = {key.partition(".")[0] for key in RULES if "." in key}
    assert first == {"monitor", "paths", "hydra", "sweep", "trainer"}
    assert {taker.partition(".")[0] for taker, _ in LIBRARIES} == {"datetime", "torch", "timm", "pytorch_lightning"}


@pytest.mark.parametrize("key", RULES)
def test_each_rule_names_its_key(key):
    assert key in str(RULES[key].problem(key, ""))


GROUPS = "lightloom.optim.groups.OptimizerGroups"


@pytest.mark.parametrize("module", ["classifier.Classifier", "detector.Detector", "gan.GAN"])
def test_the_fields_of_a_dataclass_are_the_rules_below_an_option(module):
    assert options_class(f"lightloom.modules.{module}", "optimizer_groups") == GROUPS
    assert options_class(f"lightloom.modules.{module}", "network") is None


@pytest.mark.parametrize(
    ("option", "good", "bad"),
    [
        ("layer_decay", [0.75, 1, None], [0, 2, "abc"]),
        ("freeze", [["layer1"], None], ["layer1", 3]),
        ("unfreeze_at_epoch", [1, None], [0, 1.5]),
        ("bias_lr_multiplier", [8, None], [0, -1]),
    ],
)
def test_what_stands_below_optimizer_groups_is_judged_before_torch_is_there(option, good, bad):
    cfg = OmegaConf.create({"model": {"_target_": "lightloom.modules.vae.VAE", "optimizer_groups": {option: None}}})
    key = f"model.optimizer_groups.{option}"
    assert [v for v in good if type_problem(key, None, v, taker_of(cfg, key))] == []
    assert [v for v in bad if not type_problem(key, None, v, taker_of(cfg, key))] == []


def test_an_integer_too_large_for_a_tensor_is_a_float():
    rule = Number(float, 0)
    assert rule.coerce(10**21) == 1e21
    assert isinstance(rule.coerce(10**21), float)
    assert rule.problem("model.focal_gamma", 10**400)
    assert rule.coerce(3) == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.optimizer", "'${run_name}'"),
        ("model.network", quote("???")),
        ("data.augment", quote("${a")),
        ("callbacks.nan_guard", "'${seed}'"),
    ],
)
def test_an_interpolation_is_no_object_where_one_belongs(key, value):
    with pytest.raises(UserError, match=rf"{key}=.*: expected options"):
        check("train", ["model=mlp", f"{key}={value}"])
