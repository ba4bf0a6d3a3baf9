"""deploy/train.sbatch, with stubs of SLURM's commands: it ends a run before its time is over, and queues it again."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import ROOT

SRUN = """#!/bin/bash
echo "srun $*" >> $SEEN
trap 'echo saved >> $SEEN; exit 143' TERM
touch $SEEN.running
for i in {1..600}; do [ -e $SEEN.done ] && exit $(cat $SEEN.done); sleep 0.02; done
"""
SCONTROL = '#!/bin/bash\necho "scontrol $*" >> $SEEN\n'


@pytest.fixture
def job(tmp_path):
    """The script, running; and what its stubs have seen."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SEEN": str(tmp_path / "seen"), "SLURM_JOB_ID": "17"}
    command = ["bash", str(ROOT / "deploy/train.sbatch"), "model=lenet", "run_name=a b"]
    process = subprocess.Popen(command, env=os.environ | own)
    deadline = time.monotonic() + 30
    while not (tmp_path / "seen.running").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield process, tmp_path / "seen"
    process.kill()
    process.wait()


def test_a_signal_before_the_end_saves_and_queues_the_job_again(job):
    process, seen = job
    process.send_signal(signal.SIGUSR1)
    assert process.wait(30) == 0
    started = "srun python src/train.py trainer=ddp model=lenet run_name=a b"
    assert seen.read_text().splitlines() == [started, "saved", "scontrol requeue 17"]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_run_that_ends_is_not_queued_again_and_its_code_is_the_jobs(job, code):
    process, seen = job
    Path(f"{seen}.done").write_text(str(code))
    assert process.wait(30) == code
    assert "scontrol" not in seen.read_text()
