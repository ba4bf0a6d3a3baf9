"""Captchas of another's drawing follow from a seed, though the package that draws them asks the system for numbers."""

from __future__ import annotations

import importlib
import secrets
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    """benchmarks/captchas.py beside a package that writes its numbers in place of a picture."""
    package, drawing = ModuleType("captcha"), ModuleType("captcha.image")
    drawing.secrets = secrets

    class ImageCaptcha:
        def write(self, text: str, path: str) -> None:
            given = drawing.secrets
            Path(path).write_text(f"{given.randbelow(10**9)} {given.randbits(32)} {given.choice(range(10**9))}")

    drawing.ImageCaptcha = ImageCaptcha
    monkeypatch.setitem(sys.modules, "captcha", package)
    monkeypatch.setitem(sys.modules, "captcha.image", drawing)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("captchas")


def written(benchmark, monkeypatch, folder: Path, seed: int) -> dict[str, str]:
    options = ["--train", "30", "--val", "5", "--test", "5", "--seed", str(seed)]
    monkeypatch.setattr(sys, "argv", ["captchas.py", "library", str(folder), *options])
    benchmark.main()
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.png"))}


def test_they_follow_from_the_seed_and_no_text_is_in_two_splits(benchmark, monkeypatch, tmp_path):
    one, again, other = (written(benchmark, monkeypatch, tmp_path / n, s) for n, s in (("a", 0), ("b", 0), ("c", 1)))
    assert one == again
    assert not set(one.values()) & set(other.values())
    texts = [Path(name).name.split("_")[0] for name in one]
    assert len(set(texts)) == len(texts) == 40
