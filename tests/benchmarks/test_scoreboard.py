"""The scoreboard says what run folders hold, says it again the same, and fails where a figure has drifted."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import commands
import pytest
from conftest import ROOT, names

BOARD = """\
metric: test/acc
tolerance: 0.001
rows:
  tiny: {what: a tiny MLP, options: [model=mlp, "model.network.hidden=[8]", trainer.max_epochs=1], published: "0.99"}
  never: {what: never run, options: [model=lenet]}
  elsewhere: {what: run elsewhere, options: [model=vgg11], needs: a GPU, group: the large ones}
"""
TINY = ("model=mlp", "model.network.hidden=[8]", "trainer.max_epochs=1", "logger=csv", "trainer=cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Three seeds of one row, and a run of no row."""
    logs = tmp_path_factory.mktemp("logs")
    for seed in (0, 1, 2):
        commands.run(logs, *TINY, f"seed={seed}", f"run_name=seed{seed}")
    commands.run(logs, *TINY, "data.batch_size=64", "run_name=other")
    return logs


@pytest.fixture
def board(tmp_path, runs):
    """The script in a folder of its own; gives (exit code, output)."""
    (tmp_path / "rows.yaml").write_text(BOARD)
    page = "# Page\n\n<!-- scoreboard: written by make scoreboard -->\n<!-- end of the scoreboard -->\n\nProse.\n"
    (tmp_path / "page.md").write_text(page)

    def run(*options: str, logs: Path = runs) -> tuple[int, str]:
        places = ["--rows", "rows.yaml", "--kept", "kept.json", "--page", "page.md", "--logs", str(logs)]
        command = [sys.executable, str(ROOT / "benchmarks/scoreboard.py"), *places, *options]
        env = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    return run


def accuracies(runs: Path) -> list[float]:
    return [json.loads((runs / f"runs/seed{i}/results.json").read_text())["test/acc"] for i in range(3)]


def test_the_table_is_of_the_runs_and_is_written_again_the_same(board, runs, tmp_path):
    assert board("--record")[0] == 0
    first = (tmp_path / "page.md").read_text(), (tmp_path / "kept.json").read_text()
    found = accuracies(runs)
    assert f"| {statistics.mean(found):.4g} ± {statistics.stdev(found):.2g} | 3 |" in first[0]
    assert "| never run | `python src/train.py model=lenet` | nothing for this split | test/acc |  | 0 |" in first[0]
    alone, grouped = first[0].split("\n\nOf the large ones:\n\n")
    assert alone.endswith("| none yet |")
    assert grouped.partition("\n\n")[0].endswith("| wants a GPU |")
    assert first[0].startswith("# Page\n\n<!--")
    assert first[0].endswith("-->\n\nProse.\n")
    assert list(json.loads(first[1])) == ["tiny"]
    assert board("--record") == board("--record")
    assert ((tmp_path / "page.md").read_text(), (tmp_path / "kept.json").read_text()) == first


def test_without_run_folders_a_row_says_what_is_kept(board, tmp_path):
    board("--record")
    with_runs = (tmp_path / "page.md").read_text()
    code, _ = board(logs=tmp_path / "nothing")
    assert code == 0
    assert (tmp_path / "page.md").read_text().replace(", not rerun", "") == with_runs
    assert "not rerun" not in with_runs


@pytest.mark.parametrize(("shift", "code"), [(0.0, 0), (0.9, 0), (1.1, 1), (-1.1, 1)])
def test_a_mean_beyond_the_interval_is_a_drift(board, runs, tmp_path, shift, code):
    """Student's t with two degrees of freedom: 4.3027 standard deviations times sqrt(1/3 + 1/3)."""
    board("--record")
    kept = json.loads((tmp_path / "kept.json").read_text())
    allowed = max(4.3027 * statistics.stdev(accuracies(runs)) * (2 / 3) ** 0.5, 0.001)
    for run in kept["tiny"].values():
        run["test/acc"] += shift * allowed
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    found, text = board()
    assert found == code, text
    assert ("drift: tiny test/acc" in text) == bool(code)


def test_one_run_is_judged_by_the_tolerance(board, tmp_path):
    board("--record")
    kept = json.loads((tmp_path / "kept.json").read_text())
    kept["tiny"] = {"0": kept["tiny"]["0"] | {"test/acc": 0.0}}
    (tmp_path / "kept.json").write_text(json.dumps(kept))
    assert board()[0] == 1


def test_any_runs_make_a_table(board, runs):
    code, text = board("--of", *(str(runs / f"runs/{name}") for name in ("seed0", "other")), "--metrics", "test/loss")
    loss = json.loads((runs / "runs/seed0/results.json").read_text())["test/loss"]
    assert code == 0
    assert f"| seed0 | 1 | {loss:.4g} | 1 |" in text
    assert text.count("\n| other |") == 1


def test_the_page_has_each_row_of_the_board():
    from omegaconf import OmegaConf

    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    rows = OmegaConf.load(ROOT / "benchmarks/scoreboard.yaml").rows
    for row in rows.values():
        assert f"`python src/train.py {' '.join(row.options)}`" in page
        chosen = [o.partition("=")[2] for o in row.options if o.startswith("experiment=")]
        assert set(chosen) <= set(names("experiment"))


def test_what_is_kept_are_figures_and_a_date():
    """No path of the machine that measured them."""
    kept = json.loads((ROOT / "benchmarks/results/scoreboard.json").read_text(encoding="utf-8"))
    for run in (run for runs in kept.values() for run in runs.values()):
        assert [key for key, value in run.items() if isinstance(value, str)] == ["date"]
