"""Cross-validation: each training sample is left out once, and what the runs say of it stands in one table."""

import csv
import json

import pytest
from given_plan import Forked, plan, search_all

from lightloom.core.errors import UserError
from lightloom.data.images.readers import Digits
from lightloom.sweeps.report import report

SMALL = ("model=mlp", "model.network.hidden=[8]", "trainer=cpu", "logger=csv", "trainer.max_epochs=1")
SMALL += ("trainer.limit_train_batches=2", "preflight=false")


def test_each_fold_is_a_trial(tmp_path):
    found = plan(tmp_path, "cross_validate=4", "model=mlp", "data=digits")
    assert [point["data.fold"] for point in found.grid()] == [0, 1, 2, 3]
    assert {"data.folds=4", "callbacks=predictions"} <= {*found.overrides}


@pytest.mark.parametrize("count", ["1", "0", "-3", "x", "2.5", "true"])
def test_no_number_of_folds_is_any_of_these(count, tmp_path):
    with pytest.raises(UserError, match=r"sweep\.folds"):
        plan(tmp_path, f"cross_validate={count}", "model=mlp")


def test_a_set_without_folds_is_refused_before_the_first_trial(tmp_path):
    with pytest.raises(UserError, match=r"data\.folds"):
        plan(tmp_path, "cross_validate=3", "model=faster_rcnn", "data=bccd")


def test_every_sample_is_predicted_once_by_a_run_that_has_not_seen_it(tmp_path, capsys):
    found = plan(tmp_path, "cross_validate=2", *SMALL)
    study = search_all(found, Forked())
    assert report(found, study) == 0
    rows = list(csv.DictReader((found.folder / "test_predictions.csv").read_text().splitlines()))
    labels = Digits().read("train").labels
    assert sorted(int(row["label"]) for row in rows) == sorted(labels.tolist())
    for fold, run in enumerate(sorted((found.folder / "trials").glob("*/seed-0"))):
        own = [row for row in rows if row["fold"] == str(fold)]
        right = sum(row["label"] == row["predicted"] for row in own) / len(own)
        assert right == pytest.approx(json.loads((run / "results.json").read_text())["test/acc"])
        assert sum(float(own[0][str(k)]) for k in range(10)) == pytest.approx(1, abs=1e-4)
    assert "recall_macro" in capsys.readouterr().out
    assert not list(tmp_path.rglob("best_*.yaml"))  # folds are no options to choose
