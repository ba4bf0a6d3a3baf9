"""Labels and numbers of images: what is learnt, resumed and predicted."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import Any

import commands
import pytest
import pytorch_lightning as pl
import torch
from conftest import at_hand, data_of
from one_step import reader_of_sets, train_and_restore
from PIL import Image
from resumable import SCHEDULES, KeepAll, continue_each, state, train

from lightloom.callbacks.run.checkpoints import RunCheckpoint
from lightloom.modules.targets import Regressor, Tagger, TargetModule

KINDS = {"tagger": "image_tags", "regressor": "image_values"}
SETS = [(model, name) for model, kind in KINDS.items() for name in data_of(kind)]
SMALL = ["data.batch_size=8", "data.image_size=48", "data.num_workers=0"]
TINY = ["data.reader.reader.train_size=24", "data.reader.reader.val_size=8", "data.reader.reader.test_size=8"]


DIGITS: dict[Any, tuple[str, list[str], str]] = {
    Tagger: ("tagger", [*SMALL, *TINY], "digit_tags"),
    Regressor: ("regressor", [*SMALL, *TINY], "digit_counts"),
}


def options() -> dict[str, Any]:
    """Of a module with two targets, for images of 2 x 2 pixels."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    return {"network": network, "optimizer": torch.optim.SGD, "num_targets": 2, "mean": [0.5], "std": [0.5]}


@pytest.mark.parametrize(("model", "data"), SETS)
def test_one_step_saved_and_reloaded_estimates_equally(model, data, tmp_path):
    overrides = [*SMALL, *(TINY if data.startswith("digit") else [])]
    found = at_hand(reader_of_sets(model, overrides)(data))
    _, module, again = train_and_restore(model, data, overrides, found, tmp_path)
    images = found.example(3, seed=1)
    with torch.inference_mode():
        assert torch.equal(module.estimate(images), again.estimate(images))


def test_a_regressor_learns_in_units_of_the_data():
    module = Regressor([10.0, -2.0], [4.0, 0.5], **options())
    images, targets = torch.rand(6, 3, 2, 2), torch.randn(6, 2)
    expected = ((module.estimate(images) - targets) / torch.tensor([4.0, 0.5])).square().mean()
    assert float(module.loss(module(images), targets).detach()) == pytest.approx(float(expected), rel=1e-6)
    found = module.measures("val", module(images), targets)
    errors = (module.estimate(images) - targets).square().sum(0) / (targets - targets.mean(0)).square().sum(0)
    assert float(found["r2"]) == pytest.approx(float((1 - errors).mean()), rel=1e-5)


def test_a_first_guess_costs_ln_2():
    """In nats, for each label, where the network says nothing."""
    module = Tagger(**options())
    assert float(module.loss(torch.zeros(5, 2), torch.ones(5, 2))) == pytest.approx(0.693147, abs=1e-6)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 plain pictures: red, green, both; and how much of red there is."""
    folder = tmp_path_factory.mktemp("photos")
    rows = [("file", "tags", "red")]
    for i in range(24):
        red, green = 40 * (i % 5), 200 * (i % 2)
        Image.new("RGB", (16, 16), (red, green, 0)).save(folder / f"{i}.png")
        rows.append((f"{i}.png", "|".join([*["red"] * (red > 60), *["green"] * (green > 0)]), str(red)))
    for name, columns in (("tags", (0, 1)), ("values", (0, 2))):
        text = "\n".join(",".join(row[c] for c in columns) for row in rows)
        (folder / f"{name}.csv").write_text(text + "\n")
    return folder


@pytest.mark.parametrize(("model", "table"), [("tagger", "tags"), ("regressor", "values")])
def test_a_table_is_learnt_and_predicted(model, table, photos, tmp_path):
    commands.run(
        tmp_path, f"model={model}", f"data=image_{table}", f"data.root={photos}", f"data.reader.table={table}.csv",
        "data.image_size=32", "data.batch_size=6", "data.num_workers=0", "data.val_fraction=0.25", "trainer=cpu",
        "trainer.max_epochs=2", "run_name=run",
    )  # fmt: skip
    run = tmp_path / "runs/run"
    commands.run(tmp_path, f"ckpt_path={run}", f"input={photos / '3.png'}", "trainer=cpu", script="predict")
    with next((tmp_path / "predict").iterdir()).joinpath("predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row) == (["file", "tags", "green", "red"] if model == "tagger" else ["file", "red"])
    if model == "tagger":
        weights = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        thresholds = dict(zip(["green", "red"], weights["thresholds"].tolist(), strict=True))
        assert row["tags"] == "|".join(name for name, t in thresholds.items() if float(row[name]) >= t)


def trained(
    kind: type[TargetModule], folder: Path, resume: Path | None = None, keeper: type[RunCheckpoint] = RunCheckpoint
) -> dict[str, Any]:
    """Two epochs of three steps, from `resume` on."""
    pl.seed_everything(0, verbose=False)
    data = reader_of_sets(*DIGITS[kind][:2])(DIGITS[kind][2])
    facts = data.facts()
    network = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(108, 10))
    optimizer = partial(torch.optim.AdamW, lr=0.01)
    fixed = {"network": network, "optimizer": optimizer, "num_targets": 10, "mean": [0.5], "std": [0.5]}
    fixed["scheduler"] = SCHEDULES["cosine"]
    module = kind(**fixed, **{name: facts[name] for name in facts if name.startswith("target_")})
    module.save_hyperparameters({"model": {}, "data": {}})
    keep = keeper(str(folder / "checkpoints"), "val/loss", "min", every_n_steps=1)
    return state(train(folder, module, data, keep, resume, max_epochs=2), folder, resume)


@pytest.mark.parametrize("kind", DIGITS)
def test_resume_is_exact(kind, tmp_path):
    full = trained(kind, tmp_path / "full", keeper=KeepAll)
    assert full["steps"] == 6
    assert continue_each(tmp_path, full, run=partial(trained, kind)) >= 2
