"""A space means the same as YAML and on the command line; a grid is the product of what counts together."""

from __future__ import annotations

import itertools

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from lightloom.core.errors import UserError
from lightloom.sweeps import space
from lightloom.sweeps.space import Parameter, check_conditions, from_override, grid, parameter, written

PARSER = OverridesParser.create()
KIND = parameter("model.attention", {"choices": ["none", "se", "eca"]})
STAGES = parameter(
    "model.attention_stages", {"choices": [[1], [2, 3]], "when": {"model.attention": ["se", "eca"], "seed": 1}}
)


def test_a_grid_has_each_combination_that_counts_once():
    seeds = parameter("seed", {"low": 0, "high": 2})
    points = grid([KIND, seeds, STAGES])
    expected = [
        {"model.attention": kind, "seed": seed} | ({"model.attention_stages": stages} if stages else {})
        for kind, seed in itertools.product(["none", "se", "eca"], range(3))
        for stages in ([[1], [2, 3]] if kind != "none" and seed == 1 else [None])
    ]
    assert points == expected


def test_what_hangs_on_an_option_that_does_not_count_does_not_count():
    last = parameter("c", {"choices": [1, 2], "when": {"b": [1]}})
    middle = parameter("b", {"choices": [1], "when": {"a": ["x"]}})
    points = grid([parameter("a", {"choices": ["x", "y"]}), middle, last])
    assert points == [{"a": "x", "b": 1, "c": 1}, {"a": "x", "b": 1, "c": 2}, {"a": "y"}]


@pytest.mark.parametrize(
    ("line", "spec"),
    [
        ("model=lenet,nin", {"choices": ["lenet", "nin"]}),
        ("model.attention_stages=[1],[2,3]", {"choices": [[1], [2, 3]]}),
        ("model.optimizer.lr=interval(0.1,1)", {"low": 0.1, "high": 1.0}),
        ("model.optimizer.lr=tag(log,interval(1e-4,1e-1))", {"low": 1e-4, "high": 1e-1, "log": True}),
        ("data.batch_size=tag(int,interval(8,64))", {"low": 8, "high": 64}),
        ("seed=range(1,9,2)", {"choices": [1, 3, 5, 7]}),
        ("model.network.dropout=range(0,0.3,0.1)", {"choices": [0.0, 0.1, 0.2]}),
    ],
)
def test_the_command_line_and_yaml_mean_the_same(line, spec):
    key = line.partition("=")[0]
    found, expected = from_override(PARSER.parse_override(line)), parameter(key, spec)
    assert [pytest.approx(v) if isinstance(v, float) else v for v in expected.samples()] == found.samples()
    assert (found.log, found.is_integer or bool(found.choices)) == (
        expected.log,
        expected.is_integer or bool(expected.choices),
    )


@pytest.mark.parametrize(
    "value",
    [
        1,
        1.0,
        1e-05,
        -3,
        True,
        None,
        "lenet",
        "a b",
        "it's",
        "x=1,2",
        "{a}",
        "",
        [1, [2, "b c"]],
        {"a": [1], "b": "c,d"},
    ],
    ids=str,
)
def test_a_value_survives_the_command_line(value):
    override = PARSER.parse_override(f"a.b={written(value)}")
    assert override.value() == value
    assert type(override.value()) is type(value)


@pytest.mark.parametrize(
    ("spec", "lowest", "highest", "step"),
    [({"low": 2, "high": 11, "step": 3}, 2, 11, 3), ({"low": 1e-4, "high": 1e-1, "log": True}, 1e-4, 1e-1, None)],
)
def test_draws_stay_in_the_range_and_on_the_step(spec, lowest, highest, step):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    draws = [parameter("a", spec).suggest(study.ask()) for _ in range(200)]
    assert lowest <= min(draws) < max(draws) <= highest
    if step:
        assert {(draw - lowest) % step for draw in draws} == {0}
    else:  # evenly on a logarithmic scale: half of them below the geometric mean of the ends
        below = sum(draw < (lowest * highest) ** 0.5 for draw in draws)
        assert abs(below - 100) < 4 * 50**0.5


def test_a_stored_trial_has_its_values_again():
    values = {"model.attention": "se", "seed": 1, "model.attention_stages": [2, 3]}
    parameters = [KIND, Parameter("seed", (0, 1)), STAGES]
    trial = optuna.trial.FixedTrial(space.stored(values, parameters))
    assert space.suggest(trial, parameters) == values


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, r"expected \{choices"),
        ({"choices": []}, "expected a list of values"),
        ({"choices": [1, "1"]}, "has a value twice"),
        ({"low": 1}, "high=null; expected a number"),
        ({"low": "a", "high": 2}, "low=a; expected a number"),
        ({"low": 2, "high": 1}, "from 2 to 1; expected low below high"),
        ({"low": 0, "high": 1, "log": True}, "expected low above 0"),
        ({"low": 0, "high": 1, "step": 0}, "expected a step above 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "and no log"),
        ({"lo": 1, "high": 2}, "Did you mean low"),
    ],
)
def test_what_is_no_space_is_refused(spec, message):
    with pytest.raises(UserError, match=message):
        parameter("model.optimizer.lr", spec)


def test_conditions_name_what_there_is():
    with pytest.raises(UserError, match=r"when names seed, no parameter before it; there are model\.attention"):
        check_conditions([KIND, STAGES])
    with pytest.raises(UserError, match=r"model\.attention is never cbam; expected one of \[none,se,eca\]"):
        check_conditions([KIND, Parameter("a", (1,), when={"model.attention": ("cbam",)})])


def test_a_grid_needs_steps():
    with pytest.raises(UserError, match="a grid needs choices or a step"):
        grid([parameter("model.optimizer.lr", {"low": 0.1, "high": 1.0})])
    assert parameter("a", {"low": 0.1, "high": 0.3, "step": 0.1}).grid() == pytest.approx([0.1, 0.2, 0.3])
