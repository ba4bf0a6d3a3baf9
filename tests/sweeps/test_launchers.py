"""A job is started where it should be, told to end, and found again."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from given_plan import LIMIT, TINY, ended, plan

from lightloom.core import errors
from lightloom.core.errors import UserError
from lightloom.sweeps import launchers
from lightloom.sweeps.launchers import Local, Submitit, build

WRITES = "import os, sys; from pathlib import Path; Path(sys.argv[1], 'seen').write_text(repr(dict(os.environ)))"
WORKER_ENDS = """import os, signal, sys, time; from pathlib import Path
if Path(sys.argv[1], 'begun').exists(): sys.exit(7)
Path(sys.argv[1], 'begun').touch(); os.kill(os.getppid(), signal.SIGKILL); time.sleep(1)"""
SLEEPS = "import sys, time; from pathlib import Path; Path(sys.argv[1], 'begun').touch(); time.sleep(600)"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch, tmp_path):
    """Instead of train.py, Python with the first option as its script and the second as a file."""
    script = tmp_path / "script.py"

    def command(options, prefix):
        script.write_text("".join(options[:1]))
        return [*prefix, sys.executable, str(script), *options[1:]]

    monkeypatch.setattr(launchers, "train_command", command)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + LIMIT
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def submitit_plan(folder: Path, *options: str):
    return plan(folder, *TINY, "seed=1,2", "sweep.launcher=submitit", "sweep.submitit.cluster=local", *options)


def test_trials_that_run_at_a_time_take_turns_on_the_gpus(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    local = Local(prefix=["env", "MARK=1"], gpus=[4, 6], n_jobs=3)
    jobs = [local.start([WRITES, str(tmp_path / str(slot))], tmp_path / str(slot), slot) for slot in range(3)]
    assert [ended(job) for job in jobs] == [0, 0, 0]
    seen = [eval((tmp_path / str(slot) / "seen").read_text()) for slot in range(3)]
    assert [s["CUDA_VISIBLE_DEVICES"] for s in seen] == ["4", "6", "4"]
    assert {s["MARK"] for s in seen} == {"1"}
    assert {int(s["OMP_NUM_THREADS"]) for s in seen} == {max(1, (launchers.os.cpu_count() or 1) // 3)}


def test_a_local_job_ends_when_told(tmp_path):
    job = Local([], None, 1).start([SLEEPS, str(tmp_path)], tmp_path, 0)
    wait_for(tmp_path / "begun")
    assert job.poll() is None
    job.stop()
    assert ended(job) == -15


@pytest.mark.parametrize("fault", [EOFError, ConnectionRefusedError])
def test_where_the_server_of_forks_dies_a_job_is_a_new_python(fault, tmp_path, monkeypatch):
    def dies(*given):
        raise fault

    monkeypatch.setattr(launchers.forks, "start", dies)
    assert ended(Local([], None, 1).start(["raise SystemExit(7)"], tmp_path, 0)) == 7


def test_a_prefix_that_is_no_program_is_named(tmp_path):
    with pytest.raises(UserError, match=r"sweep.prefix=\['nicer'\]: there is no program nicer"):
        Local(["nicer"], None, 1).start([], tmp_path, 0)


def test_a_job_of_submitit_gives_its_exit_code(tmp_path):
    launcher = build(submitit_plan(tmp_path))
    assert isinstance(launcher, Submitit)
    run = tmp_path / "run"
    job = launcher.start([WRITES, str(run)], run, 0)
    assert ended(job) == 0
    assert "LIGHTLOOM_SWEEP" in (run / "seen").read_text()
    assert ended(launcher.start(["import sys; sys.exit(3)"], run, 0)) == 3


def test_a_job_of_submitit_is_found_again_and_ends_when_told(tmp_path):
    found, run = submitit_plan(tmp_path), tmp_path / "run"
    build(found).start([SLEEPS, str(run)], run, 0)
    wait_for(run / "begun")
    (run / "begun").unlink()
    again = build(found).start([SLEEPS, str(run)], run, 0)
    assert again.poll() is None
    assert not (run / "begun").exists()
    again.stop()
    assert ended(again) == -15


@pytest.mark.parametrize("option", ["+sweep.submitit.partitions=gpu", "sweep.submitit.cluster=moon"])
def test_options_that_submitit_does_not_know_are_told(option, tmp_path):
    with pytest.raises(UserError, match=r"sweep.submitit: .*(partitions|moon)"):
        build(submitit_plan(tmp_path, option))


# --- Ray


def ray_plan(folder: Path, *options: str):
    return plan(folder, *TINY, "seed=1,2", "sweep.launcher=ray", *options)


def test_ray_that_is_not_installed_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"sweep.launcher=ray needs ray, not installed here: .*\[ray\]"):
        build(ray_plan(tmp_path))


@pytest.fixture
def ray():
    """A cluster of this machine; it starts in seconds."""
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    yield ray
    ray.shutdown()


def test_a_task_of_ray_gives_its_exit_code_ends_when_told_and_is_begun_again_when_lost(tmp_path, ray):
    """Seconds: Ray starts a cluster of processes."""
    launcher = build(ray_plan(tmp_path, "sweep.ray.cpus=0.5"))
    run = tmp_path / "run"
    assert ended(launcher.start(["import sys; sys.exit(3)"], run, 0)) == 3
    assert ended(launcher.start([WRITES, str(run)], run, 0)) == 0
    assert "LIGHTLOOM_SWEEP" in (run / "seen").read_text()
    job = launcher.start([WORKER_ENDS, str(run)], run, 0)
    wait_for(run / "begun")
    assert ended(job) == 7
    job = launcher.start([SLEEPS, str(run)], tmp_path / "stopped", 0)
    wait_for(tmp_path / "stopped" / launchers.BEAT)
    job.stop()
    assert ended(job) == -15
