"""What inspect_data.py finds wrong with a folder of images is what was done to it; the page shows it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from conftest import compose
from omegaconf import OmegaConf
from photographs import photograph
from PIL import Image

from lightloom.config import compose as config
from lightloom.predict import inspection
from lightloom.reporting import inspected

DATA = ("data=image_folder", "data.image_size=16", "data.val_fraction=0.2", "data.num_workers=0")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A test image that is a training image too, one in two classes, one scaled, three placeholders, one broken."""
    root = tmp_path / "<b>pets"
    for number, (part, name) in enumerate((p, c) for p in ("train", "test") for c in ("cat", "${dog}")):
        (root / part / name).mkdir(parents=True)
        for i in range(6):
            photograph(100 * number + i).save(root / part / name / f"{i}.png")
    shutil.copy(root / "train/cat/0.png", root / "test/cat/leak.png")
    shutil.copy(root / "train/cat/1.png", root / "train/${dog}/twin.png")
    photograph(2).resize((80, 80)).save(root / "test/cat/scaled.jpg")
    for i in range(3):
        Image.new("RGB", (48, 48), (7, 7, 7)).save(root / f"train/cat/none{i}.png")
    (root / "train/cat/broken.png").write_bytes(b"\x89PNG")
    return root


def inspect(root: Path, output: Path):
    cfg = config.without_hydra(compose(*DATA, f"data.root='{root}'", config_name="inspect_data"))
    OmegaConf.set_struct(cfg, False)
    cfg.paths.output_dir = str(output)
    datamodule = inspection.read(cfg)
    return inspection.choose(datamodule)(datamodule, cfg)


def test_each_fault_is_found_and_nothing_else_is(pets, tmp_path):
    found = inspect(pets, tmp_path)
    with (tmp_path / "findings.csv").open() as file:
        rows = [(r["kind"], {Path(r["file"]).name, Path(r["other"]).name}, r["more"]) for r in csv.DictReader(file)]
    told = {(kind, name) for kind, names, _ in rows for name in names}
    assert {("same", "leak.png"), ("same", "twin.png"), ("nearly the same", "scaled.jpg")} <= told
    assert ("unreadable", "broken.png") in told
    assert sum(kind == "outlier" for kind, _, _ in rows) == 3
    assert len(rows) == 1 + 1 + 1 + 2 + 3 + 1  # leak, twin, scaled, two more placeholders, three outliers, broken
    (doubles,) = (table for table in found.tables if table.title == "doubles")
    assert doubles.rows[0][:2] == ("same bytes", "4")
    assert doubles.rows[0][3] == "1"
    assert any("are in another part too" in note for note in found.notes)
    assert any("cannot be read" in note and "broken.png" in note for note in found.notes)


def test_the_page_holds_all_and_names_are_text(pets, tmp_path):
    found = inspect(pets, tmp_path)
    page = inspected.write(found, tmp_path).read_text()
    assert "${dog}" in page
    assert "<b>pets" not in page
    assert page.count("data:image/png;base64,") == len(found.pictures) == 5  # classes, sizes, doubles, outliers, sheet
    for table in found.tables:
        assert table.title in page


@pytest.mark.parametrize("data", ["digits", "digit_scenes", "signals", "digit_tags"])
def test_every_kind_has_a_page(data, tmp_path):
    place = {"digit_scenes": "data.reader", "digit_tags": "data.reader.reader"}.get(data)
    few = {"train_size": 6, "val_size": 2, "test_size": 2}
    small = [f"{place}.{name}={number}" for name, number in few.items()] + ["data.image_size=64"] if place else []
    cfg = config.without_hydra(compose(f"data={data}", *small, config_name="inspect_data"))
    cfg.paths.output_dir = str(tmp_path)
    datamodule = inspection.read(cfg)
    found = inspection.choose(datamodule)(datamodule, cfg)
    page = inspected.write(found, tmp_path).read_text()
    assert str(inspection.contract.summary(datamodule)) in page.replace("&#39;", "'")
    assert len(found.tables) >= 1
