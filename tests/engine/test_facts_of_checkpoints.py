"""What a checkpoint says of its data is held against the class of that data, whatever will believe it."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import compose

from lightloom.config.compose import without_hydra
from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.engine.checkpoint import check_facts

PATH = Path("a.ckpt")
FACTS = {  # data set -> facts that its predictors ask for
    "tales": ["block_size", "vocab_size"],
    "reviews_toy": ["max_length"],
    "phrasebook": ["max_length", "source"],
    "captchas": ["height", "width", "channels"],
    "deeds": ["block_size", "end"],
}


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_of_another_type_or_none_is_refused(name):
    data = plain(without_hydra(compose(f"data={name}", config_name="inspect_data")).data)
    check_facts(data, PATH)
    for fact in FACTS[name]:
        for value in ({"a": 1}, [[1]], [], None, float("nan")) if fact != "vocab_size" else (-3, [[1]]):
            if isinstance(value, dict) or (fact in ("end", "source") and isinstance(value, float)):
                continue  # an object is refused where it is built; a number is a text too
            with pytest.raises(UserError, match=rf"^a\.ckpt: data\.{fact}="):
                check_facts({**data, fact: value}, PATH)
    lacking = {key: value for key, value in data.items() if key != "batch_size"}
    with pytest.raises(UserError, match=r"^a\.ckpt: its data has no batch_size"):
        check_facts(lacking, PATH)


def test_data_of_somebody_else_is_not_judged():
    check_facts({"_target_": "mine.Data", "block_size": "x"}, PATH)
