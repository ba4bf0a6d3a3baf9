"""Rules from annotations, read from the source; the module on disk is imported by nobody."""

import sys

import pytest

from lightloom.config import annotations, source
from lightloom.config.annotations import option_rule, options_of
from lightloom.config.declarations import optimizes_manually
from lightloom.config.values import AnyOf, Flag, Items, Number, OneOf, Word

LEAF = """
import typing as t
from typing import Annotated, Literal, Optional, Union
from annotated_types import Ge, Gt, Le, Lt
from lightloom.core.ranges import Count
HIGH = 5
Small = Annotated[Count, Le(HIGH)]
Kind = Literal["a", "b"]
raise RuntimeError("imported")
"""
MODULE = """
from __future__ import annotations
import collections.abc as c
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
import nowhere.at_all
from .leaf import Ge, Gt, Lt, Small, Kind as Word, Annotated, Optional, Union, t

class Base:
    def __init__(self, width: Small, rate: Annotated[float, Gt(0), Lt(1)] = 0.5) -> None: ...
class Own(Base):
    def __init__(self, kind: Word = "a", **options) -> None:
        super().__init__(**options)
class Keeps(Base):
    def __init__(self, kind: Word = "a", **options) -> None:
        super().__init__(3)
        self.options = options
class Looks(Base):
    def __init__(self, **options) -> None:
        self.extra = options.pop("extra", None)
        Base.__init__(self, **options)
class Closed(Base):
    pass
class Foreign(nowhere.at_all.Net):
    pass
@dataclass
class Fields:
    size: int
    name: str | None = None

class Takes:
    def __init__(
        self, plain: int, quoted: "Small", flag: bool, none: Optional[Small], union: Union[int, str, None],
        listed: Sequence[Small], pair: tuple[int, int], many: tuple[float, ...], path: str | Path, implicit: int = None,
        wrong: int = "auto", *, bare=3, switch=False, made: Callable[[int], int], net: nowhere.at_all.Net | None = None,
        other: t.Literal["x", None], deep: c.Sequence[c.Sequence[int]] = (), unknown=None, text="a",
    ) -> None: ...

def function(width: Small, anything: typing.Any = None): ...
"""
SMALL = Number(int, 1, 5)


@pytest.fixture
def own(tmp_path, monkeypatch) -> str:
    """The name of somebody's own package, on sys.path."""
    (tmp_path / "somebody").mkdir()
    (tmp_path / "somebody/__init__.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "somebody/leaf.py").write_text(LEAF)
    (tmp_path / "somebody/nets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    clear()
    yield "somebody.nets"
    clear()
    assert "somebody" not in sys.modules


def clear() -> None:
    for module in (source, annotations):
        for found in vars(module).values():
            if hasattr(found, "cache_clear"):
                found.cache_clear()


@pytest.mark.parametrize(
    ("option", "rule"),
    [
        ("plain", Number(int)),
        ("quoted", SMALL),
        ("flag", Flag()),
        ("none", Number(int, 1, 5, also=(None,))),
        ("union", AnyOf((Number(int), Word()), also=(None,))),
        ("listed", Items(SMALL)),
        ("pair", Items(Number(int), length=2)),
        ("many", Items(Number(float))),
        ("path", Word()),
        ("implicit", Number(int, also=(None,))),
        ("wrong", None),  # its own default breaks it
        ("bare", Number(float)),
        ("switch", Flag()),
        ("made", None),
        ("net", None),
        ("other", OneOf(("x",), also=(None,))),
        ("deep", Items(Items(Number(int)))),
        ("unknown", None),
        ("text", None),
        ("missing", None),
    ],
)
def test_an_annotation_is_a_rule(own, option, rule):
    assert option_rule(f"{own}.Takes", option) == rule


def test_a_base_says_what_is_handed_on(own):
    assert options_of(f"{own}.Own") == ("width", "rate", "kind")
    assert options_of(f"{own}.Closed") == ("width", "rate")
    assert option_rule(f"{own}.Own", "width") == SMALL
    assert option_rule(f"{own}.Own", "rate") == Number(float, 0, 1, above=True, below=True)
    assert option_rule(f"{own}.Own", "kind") == OneOf(("a", "b"))
    assert options_of(f"{own}.Foreign") is None


def test_any_option_is_taken_where_the_rest_is_not_only_handed_on(own):
    assert options_of(f"{own}.Keeps") is None
    assert option_rule(f"{own}.Keeps", "width") is None
    assert options_of(f"{own}.Looks") is None
    assert option_rule(f"{own}.Looks", "width") == SMALL


def test_fields_and_functions(own):
    assert options_of(f"{own}.Fields") == ("size", "name")
    assert option_rule(f"{own}.Fields", "size") == Number(int)
    assert options_of(f"{own}.function") == ("width", "anything")
    assert option_rule(f"{own}.function", "anything") is None


@pytest.mark.parametrize("target", ["somebody.nets.Nothing", "somebody.nothing.Net", "nowhere.Net", "None", "", "a..b"])
def test_what_is_not_there_has_no_rules(own, target):
    assert options_of(target) is None
    assert option_rule(target, "width") is None


def test_the_options_of_our_objects_are_those_of_their_signatures():
    import inspect

    from lightloom.data.images.augment import Augment
    from lightloom.modules.classifier import Classifier
    from lightloom.networks.dcgan import Generator
    from lightloom.optim.schedules import cosine

    for found in (Augment, Classifier, Generator, cosine):
        assert options_of(f"{found.__module__}.{found.__qualname__}") == tuple(inspect.signature(found).parameters)


@pytest.mark.parametrize(
    "target", ["torch.optim.SGD", "lightloom.nothing.Here", "lightloom.networks.library.from_timm"]
)
def test_the_options_of_others_are_not_known(target):
    assert options_of(target) is None


def test_what_libraries_annotate_is_read_too():
    assert option_rule("torch.optim.SGD", "nesterov") == Flag()
    assert option_rule("pytorch_lightning.Trainer", "num_sanity_val_steps") == Number(int, also=(None,))
    assert option_rule("torch.optim.Adam", "lr") is None  # a tensor, too


@pytest.mark.parametrize(
    ("name", "manual"),
    [
        ("lightloom.modules.gan.GAN", True),
        ("lightloom.modules.bigan.BiGAN", True),
        ("lightloom.modules.vae_gan.VAEGAN", True),
        ("lightloom.modules.vae.VAE", False),
        ("lightloom.modules.nothing.Here", False),
    ],
)
def test_a_module_says_that_it_alternates(name, manual):
    assert optimizes_manually(name) == manual
