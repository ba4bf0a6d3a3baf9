"""What a value may be."""

import math

import pytest
from omegaconf import OmegaConf

from lightloom.config import values
from lightloom.config.values import Number, options_of, rule_for, type_problem


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("10", 10), (0.5, 0.5), (3, 3), ("abc", "abc"), ("", ""), (True, True), (None, None)],
)
def test_a_float_is_what_the_text_means(text, value):
    coerced = Number(float).coerce(text)
    assert (coerced, type(coerced)) == (value, type(value))


@pytest.mark.parametrize(("text", "value"), [("1e3", 1000), (2.0, 2), ("7", 7), ("2.5", 2.5)])
def test_an_integer_is_a_whole_number_however_written(text, value):
    coerced = Number(int).coerce(text)
    assert (coerced, type(coerced)) == (value, type(value))


@pytest.mark.parametrize(
    "key", ["data.batch_size", "trainer.max_epochs", "seed", "trainer.devices", "data.num_workers"]
)
@pytest.mark.parametrize("value", ["abc", "2.5", "ten", "", 2.5, True, math.nan, math.inf, {"a": 1}, -7])
def test_no_count_is_any_of_these(key, value):
    assert key in str(type_problem(key, None, value))


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("model.optimizer.lr", [1e-9, "1e-3", 10], [0, -1, "x", math.nan, math.inf, True]),
        ("model.critic_optimizer.lr", [0.1], [-1]),
        ("seed", [0, 2**32 - 1], [-1, 2**32, None, 0.5]),
        ("trainer.devices", [1, 8, "all", "auto", -1, [0, 1]], [0, -2, "gpu", [], [-1]]),
        ("trainer.limit_train_batches", [5, 0.5, 1.0, None], [0, 0.0, 1.5, -1, "x"]),
        ("trainer.limit_val_batches", [0, 0.0, 5, 0.5, 1.0, None], [1.5, -1, "x"]),
        ("trainer.deterministic", [True, False, "warn", None], ["maybe", 3]),
        ("trainer.max_time", ["00:12:00:00", "1:00:00:00", None], ["abc", "12:00", 5, ""]),
        ("run_name", ["first", "a b=é", "a/b"], [None, "", "/a", "..", "../a", "a/../b"]),
        ("trainer.gradient_clip_val", [None, 0, 0.5, 10], [-1, "x"]),
        ("trainer.precision", [32, "32-true", "bf16-mixed", None], ["17", "fp8", 8]),
        ("trainer.max_epochs", [1, -1, None], [0, -2]),
        ("trainer.fast_dev_run", [True, False, 3], ["x", -1]),
        ("model.scheduler.factor", [0.1], [0, 1, 2]),
        ("model.network.scale.factor", [2, "x"], []),  # the key of another object
        ("model.network.width", [0.5, [8, 8]], []),
    ],
)
def test_ranges(key, good, bad):
    assert [v for v in good if type_problem(key, None, v)] == []
    assert [v for v in bad if not type_problem(key, None, v)] == []


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


def test_the_options_of_our_objects_are_read_without_importing_them():
    import inspect

    from lightloom.data.images.augment import Augment
    from lightloom.modules.classifier import Classifier
    from lightloom.optim.schedules import cosine

    for found in (Augment, Classifier, cosine):
        assert options_of(f"{found.__module__}.{found.__qualname__}") == tuple(inspect.signature(found).parameters)


@pytest.mark.parametrize(
    "target", ["torch.optim.SGD", "lightloom.nothing.Here", "lightloom.networks.library.from_timm", "None"]
)
def test_the_options_of_others_are_not_known(target):
    assert options_of(target) is None


def test_each_rule_is_of_use():
    """It accepts what its range says and names its key when it does not."""
    for ending, rule in values.RULES.items():
        key = f"a{ending}" if ending.startswith(".") else ending
        assert rule_for(key) is rule
        assert key in str(rule.problem(key, ""))
