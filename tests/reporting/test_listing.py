"""Runs are listed, filtered and cleaned; the best is never deleted, and nothing is without a yes."""

import json
import os

import pytest
import yaml

from lightloom.core import lock
from lightloom.core.errors import UserError
from lightloom.reporting import listing

RUNS = {  # name: options, the best val/acc, whether it ended by itself
    "good": ({"data": "digits", "tags": ["paper"]}, 0.9, True),
    "fair": ({"data": "digits", "tags": ["paper", "draft"]}, 0.8, True),
    "other": ({"data": "mnist", "tags": []}, 0.5, True),
    "broken": ({"data": "digits", "tags": []}, 0.1, False),
}


@pytest.fixture
def logs(tmp_path):
    """Run folders with two checkpoints of 1,000 bytes each, one of which has two names."""
    for age, (name, (options, score, ended)) in enumerate(RUNS.items()):
        run = tmp_path / "runs" / name
        (run / "checkpoints").mkdir(parents=True)
        for file in ("last", "previous"):
            (run / f"checkpoints/{file}.ckpt").write_bytes(bytes(1000))
        os.link(run / "checkpoints/last.ckpt", run / "checkpoints/best.ckpt")
        model = {"_target_": "some.Net", "network": {"_target_": "some.Net", "width": 8}}
        config = {"run_name": name, "tags": options["tags"], "data": {"name": options["data"]}, "model": model}
        (run / "config.yaml").write_text(yaml.dump({**config, "monitor": {"metric": "val/acc", "mode": "max"}}))
        (run / "overrides.txt").write_text("")
        (run / "metrics.csv").write_text(f"epoch,step,val/acc\n0,1,0.05\n1,2,{score}\n")
        if ended:
            figures = {"best val/acc": score, "epochs": 2, "steps": 2, "monitor": "val/acc"}
            (run / "results.json").write_text(json.dumps(figures))
        os.utime(run / "config.yaml", (2e9 - 86400 * age, 2e9 - 86400 * age))
        os.utime(run, (1e9, 1e9))
    return tmp_path


def names(capsys) -> set[str]:
    said = capsys.readouterr().out
    return {name for name in RUNS if f"/{name}" in said.replace("\n", "")}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ((), {*RUNS}),
        (("tag=paper",), {"good", "fair"}),
        (("data.name=digits", "state=finished"), {"good", "fair"}),
        (("state=ended",), {"broken"}),
        (("tag=none",), set()),
        (("name=*o*", "model.network.width=8"), {"good", "other", "broken"}),
    ],
)
def test_filters(logs, capsys, monkeypatch, asked, found):
    monkeypatch.setenv("COLUMNS", "500")
    assert listing.listed(asked, logs) == 0
    assert names(capsys) == found


def test_the_best_is_of_a_metric_and_a_data_set(logs):
    entries = listing.ranked([listing.entry(logs / "runs" / name) for name in RUNS])
    assert {one.run.name: one.place for one in entries} == {"good": 0, "fair": 1, "other": 0, "broken": 2}
    assert [one.state for one in entries] == ["finished", "finished", "finished", "ended"]


def test_a_file_with_two_names_is_on_the_disk_once(logs):
    run = logs / "runs/good"
    others = sum(path.stat().st_size for path in run.iterdir() if path.is_file())
    assert listing.size(run) == 2000 + others


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ("previous", {f"{name}/checkpoints/previous.ckpt" for name in ("good", "fair", "other")}),
        ("last", {f"{n}/checkpoints/{f}.ckpt" for n in ("good", "fair", "other") for f in ("last", "previous")}),
        ("unfinished", {"broken"}),
        ("all", {"fair", "broken"}),
    ],
)
def test_what_is_cleaned_is_deleted_after_a_yes_only(logs, capsys, what, gone):
    def there() -> set[str]:
        return {str(path.relative_to(logs / "runs")) for path in (logs / "runs").rglob("*")}

    before = there()
    assert listing.listed([f"clean={what}"], logs) == 0
    assert there() == before
    assert "Nothing is deleted; say yes=true" in capsys.readouterr().out
    assert listing.listed([f"clean={what}", "yes=true"], logs) == 0
    assert before - there() == {path for path in before if path in gone or any(path.startswith(f"{g}/") for g in gone)}


def test_a_run_that_runs_is_left_alone(logs):
    lock.take(logs / "runs/broken")
    try:
        assert listing.entry(logs / "runs/broken").state == "running"
        listing.listed(["clean=unfinished", "yes=true"], logs)
    finally:
        lock.release()
    assert (logs / "runs/broken").is_dir()
    assert listing.entry(logs / "runs/broken").state == "ended"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["clean=everything"], "clean=everything: it is one of unfinished, previous, last, all."),
        (["sort=sice"], "Did you mean size or score?"),
        (["paper"], "paper: write option=pattern"),
    ],
)
def test_a_mistake_is_one_sentence(logs, asked, said):
    with pytest.raises(UserError, match=said.replace(".", r"\.").replace("?", r"\?")):
        listing.listed(asked, logs)
