"""What waits for a fact that only the data knows stays as it is written, wherever the fact is asked for."""

import pytest
from omegaconf import OmegaConf

from lightloom.config import compose as config
from lightloom.config import null_facts
from lightloom.core.errors import UserError
from lightloom.engine import facts

ASKING = {
    "alone": ("${data.v}", 7),
    "in a list": (["${data.v}", 3], [7, 3]),
    "in a list of objects": ([{"n": "${data.v}"}], [{"n": 7}]),
    "in a text": ("x${data.v}", "x7"),
    "by a resolver": ("${twice:${data.v}}", 14),
    "in brackets": ("${data[v]}", 7),
    "through a key": ("${model.other}", 7),
    "through an object": ("${model.others}", {"n": 7}),
    "from beside it": ("${.other}", 7),
    "from around it": ({"n": "${..other}"}, {"n": 7}),
}


def asking(value, **data):
    config.register_resolvers("train")
    known = {"name": "x", "v": None, **data}
    model = {"value": value, "other": "${data.v}", "others": {"n": "${data.v}"}, "known": "${data.name}"}
    return config.without_hydra(OmegaConf.create({"model": model, "data": known}))


@pytest.mark.parametrize("how", ASKING)
def test_it_is_filled_in_when_the_data_has_stated_it(how):
    value, expected = ASKING[how]
    cfg = asking(value)
    raw = OmegaConf.to_container(cfg)
    assert raw["model"]["value"] == value
    assert raw["model"]["known"] == "x"
    cfg.data.v = 7
    facts.fill_in(cfg, {"v": 7})
    assert OmegaConf.to_container(cfg)["model"]["value"] == expected


@pytest.mark.parametrize("how", ASKING)
def test_a_fact_that_is_known_is_resolved_at_once(how):
    value, expected = ASKING[how]
    assert OmegaConf.to_container(asking(value, v=7))["model"]["value"] == expected


@pytest.mark.parametrize("value", ["x${data.v}", "${twice:${data.v}}"])
def test_what_cannot_be_made_of_null_is_one_sentence(value):
    with pytest.raises(UserError, match=r"^model\.value asks for data\.v, which is null") as caught:
        facts.fill_in(asking(value), {"w": 1})
    assert "(facts it finds: w); set data.v=<value>" in str(caught.value)


def test_a_list_is_what_its_option_allows():
    layer = {"_target_": "torch.nn.LayerNorm", "normalized_shape": ["${data.v}", 3]}
    with pytest.raises(UserError, match=r"^model\.value\.normalized_shape\.0 asks for data\.v"):
        facts.fill_in(asking(layer), {})


def test_null_that_is_no_fact_of_the_data_and_rings_wait_for_nothing():
    raw = {"a": "${b}", "b": None, "c": "${d}", "d": "x${c}", "data": {"v": None}, "e": "${lost.v}", "f": "${a.b.c}"}
    assert list(null_facts.waiting(raw)) == []


def test_the_check_of_a_command_line_asks_nothing_of_what_waits(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/wide.yaml").write_text(
        "defaults: [lenet, _self_]\noptimizer:\n  half: ${twice:${data.num_classes}}\n"
    )
    line = ["model=wide", "data=image_folder", "data.root=x"]
    assert config.check("train", line, str(tmp_path)) == line
    cfg = config.without_hydra(config.compose("train", line, str(tmp_path)))
    assert OmegaConf.to_container(cfg)["model"]["optimizer"]["half"] == "${twice:${data.num_classes}}"
