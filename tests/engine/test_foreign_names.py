"""Class folders and files of hostile names: trained, tested, predicted and exported, each name shown as it is."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import commands
import numpy as np
import pytest
from hostile import NAMES, SECRET, VARIABLE
from PIL import Image

from lightloom.core import cells
from lightloom.core.text import line, printable
from lightloom.engine import checkpoint
from lightloom.reporting.markdown import escaped

SMALL = ("data.image_size=8", "data.batch_size=8", "data.num_workers=0", "data.val_fraction=0.5", "trainer=cpu")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, tuple[Path, str]]:
    """What each command left and said. Five of them, in processes that have loaded the libraries already: 16 s."""
    root = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for split, count in (("train", 2), ("test", 1)):
        for name in NAMES:
            (root / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / "data" / split / name / f"{name[:100]}{number}.png")
    (root / "data/test/null/broken.png").write_bytes(b"no picture")
    folder = root / "runs" / "hostile[b]"
    train = ("model=mlp", "data=image_folder", f"data.root={root / 'data'}", "model.network.hidden=[4]", *SMALL)
    few = ("trainer.max_epochs=1", "trainer.limit_train_batches=2", "test=false", "preflight=false")
    asked = {
        "train": (*train, *few, r"run_name='hostile[b]'"),
        "eval": (f"ckpt_path='{folder}'", "num_workers=0", "split=val"),
        "predict": (f"ckpt_path='{folder}'", f"input={root / 'data/test'}", "num_workers=0", "trainer=cpu"),
        "export": (f"ckpt_path='{folder}'", "format=safetensors"),
    }
    codes = {"predict": 2}  # one of its pictures is none
    found = {}
    for script, arguments in asked.items():
        command = commands.start(
            root / "logs", *arguments, script=script, env={VARIABLE: SECRET, "LIGHTLOOM_LOG_DIR": str(root)}
        )
        assert command.wait() == codes.get(script, 0), command.text
        places = sorted(path for path in (root / script).glob("*") if path.is_dir())
        found[script] = (places[-1] if places else folder, command.text)
    return found


def test_no_variable_of_the_environment_is_in_any_file(outputs):
    root = outputs["train"][0].parent.parent
    assert not [p for p in root.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]
    assert not [p for p in root.rglob("*") if SECRET in str(p)]


def test_the_classes_are_the_names(outputs):
    run = outputs["train"][0]
    names = sorted(NAMES)
    assert checkpoint.load(run / "checkpoints/last.ckpt")["config"]["data"]["classes"] == names
    from safetensors import safe_open

    (exported,) = (run / "export").glob("*.safetensors")
    with safe_open(exported, framework="pt") as file:
        assert json.loads(file.metadata()["classes"]) == names
    with cells.open_csv(outputs["eval"][0] / "confusion_matrix.csv") as file:
        assert next(cells.rows(file))[1:] == names


def test_predictions_name_files_and_classes_as_they_are(outputs):
    folder, said = outputs["predict"]
    data = folder.parent.parent / "data/test"
    with cells.open_csv(folder / "predictions.csv") as file:
        rows = list(cells.dicts(file))
    expected = [str(path) for path in sorted(data.rglob("*.png")) if path.name != "broken.png"]
    assert [row["file"] for row in rows] == expected
    assert {row["label"] for row in rows} <= {*NAMES}
    assert f"1 of {len(NAMES) + 1} inputs were left out" in said
    assert "broken.png: cannot be read as an image" in (folder / "unreadable.csv").read_text()


def test_no_cell_of_a_table_is_a_formula(outputs):
    tables = [path for folder, _ in outputs.values() for path in folder.rglob("*.csv")]
    assert len(tables) >= 3
    for path in tables:
        with cells.open_csv(path) as file:
            import csv

            wrong = [c for row in csv.reader(file) for c in row if c.startswith(cells.FORMULA) and not _number(c)]
        assert not wrong, (path, wrong)


def _number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", text) is not None


def test_the_page_and_the_card_show_each_name(outputs):
    run = outputs["train"][0]
    card = (run / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if escaped(name) not in card] == []
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert [name for name in NAMES if _in_yaml(name) and printable(name) not in html.unescape(page)] == []


def _in_yaml(name: str) -> bool:
    """Does YAML, which shows all options on the page, write it without escapes?"""
    return line(name) == name and not set(name) & set("'\"\\")


def test_what_is_said_neither_colours_nor_breaks_a_terminal(outputs):
    for script, (folder, said) in outputs.items():
        log = (folder / "run.log").read_text(encoding="utf-8") if (folder / "run.log").exists() else ""
        assert "\x1b" not in said + log, script
        assert "Traceback" not in said, script
