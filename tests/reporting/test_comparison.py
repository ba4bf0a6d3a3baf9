"""Runs that differ only in their seed belong together, and the page says in what the others differ."""

import shutil
from statistics import fmean, stdev

import commands
import pytest
import reported

from lightloom.core.errors import UserError
from lightloom.reporting import comparison, facts, find, page


@pytest.fixture
def compared():
    return [facts.read(run) for run in find.runs(str(reported.seeds()), "")]


def test_groups_are_seeds_with_their_mean_and_deviation(compared, tmp_path):
    columns, rows, more = comparison.rows(compared, tmp_path)
    assert (sorted(columns), more) == (["model.network.hidden", "seed"], 0)
    groups = comparison.groups(rows)
    assert sorted(g.name for g in groups) == ["model.network.hidden=[4]", "model.network.hidden=[8]"]
    for group in groups:
        own = [run for run in compared if f"model.network.hidden={group.name[-3:]}" in run.overrides]
        values = [run.results["test/acc"] for run in own]
        assert group.spread["test/acc"] == (pytest.approx(fmean(values)), pytest.approx(stdev(values)), 2)
        assert comparison.spread_text(group.spread["epochs"]) == "2"


def test_the_page_links_to_each_runs_own(compared, tmp_path):
    text = comparison.html(compared, tmp_path)
    assert text.count(f'/{page.REPORT}">') == 4
    assert "± " in text


def test_what_the_command_line_does_not_tell_is_read_from_the_configuration(tmp_path):
    """Defaults that were changed between two runs of the same command."""
    twins = [shutil.copytree(reported.run("classifier"), tmp_path / name) for name in "ab"]
    config = (twins[0] / "config.yaml").read_text()
    (twins[0] / "config.yaml").write_text(config.replace("label_smoothing: 0.0", "label_smoothing: 0.3"))
    found = [facts.read(run) for run in twins]
    columns, rows, _ = comparison.rows(found, tmp_path)
    assert columns == ["model.label_smoothing"]
    assert [row.options for row in rows] == [["0.3"], ["0.0"]]
    assert len(comparison.groups(rows)) == 2


def test_a_run_of_another_place_and_name_is_the_same(tmp_path):
    twin = shutil.copytree(reported.run("classifier"), tmp_path / "twin")
    config = (twin / "config.yaml").read_text()
    (twin / "config.yaml").write_text(
        config.replace(str(reported.run("classifier")), "/elsewhere").replace("seed: 0", "seed: 7")
    )
    found = [facts.read(run) for run in (reported.run("classifier"), twin)]
    assert len(comparison.groups(comparison.rows(found, tmp_path)[1])) == 1


# --- which runs, and the command


def test_a_folder_a_glob_a_list_and_a_file_name_runs():
    every = find.runs(str(reported.seeds()), "")
    assert len(every) == 4
    assert find.runs(f"{reported.seeds()}/*/*", "") == every
    first, second, *rest = every
    assert find.runs([str(second), f"{reported.seeds()}/*"], "") == [second, first, *rest]
    one = reported.run("classifier")
    assert find.runs(str(one / "checkpoints/best.ckpt"), "") == find.runs(str(one), "") == [one]
    assert find.runs("last", str(one.parents[1])) == [one]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(None, "runs is not set"), ("/no/such", "no such file or folder"), ("/etc", "no run has trained there"),
     ("last", "there is no run in")],
)  # fmt: skip
def test_where_there_is_no_run_the_message_says_what_to_give(asked, expected, tmp_path):
    with pytest.raises(UserError, match=expected) as error:
        find.runs(asked, str(tmp_path))
    assert "runs=<run folder" in str(error.value)


def test_the_command_writes_a_report_anew(tmp_path, run_cli):
    where = shutil.copytree(reported.run("classifier"), tmp_path / "run")
    (where / page.REPORT).unlink()
    done = run_cli(f"runs={where}", script="report", flags=("-X", "importtime"))
    assert done.returncode == 0, done.stderr
    assert (where / page.REPORT).is_file()
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not list((tmp_path / "report").iterdir())  # its own folder had nothing to hold


def test_the_command_compares(tmp_path):
    text = commands.run(tmp_path, f"runs={reported.seeds()}", script="report")
    assert "=[8]" in text
    assert "=[4]" in text
    assert len(list((tmp_path / "report").glob(f"*/{page.REPORT}"))) == 1
