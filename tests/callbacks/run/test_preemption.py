"""What a signal does: the exit code, what is saved, and that the continued run has the bits of an uninterrupted one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
import torch
from interruptions import HERE, TOLD, WATCHED, diary, differences, saved
from torch.utils.data import Dataset, SequentialSampler

from lightloom.callbacks.run.preemption import Preemption
from lightloom.data.loading import loader
from lightloom.engine import checkpoint

SHORT = ("model=mlp", "trainer.max_epochs=2", "trainer.limit_train_batches=6", "data.eval_batch_size=30", "test=false")
SHORT += (
    "run_name=run",
    *WATCHED,
    "callbacks.preemption.seconds_to_agree=0.001",
)  # processes agree at each step


class Numbers(Dataset):
    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(0.01)
        return torch.tensor(index)


EXIT = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 0}
RUN, LAST = Path("runs/run"), "checkpoints/last.ckpt"


def told(name: str, batch: int, stage: str = "train", rank: int = 0, times: int = 1) -> dict[str, str]:
    return {TOLD: f"{int(getattr(signal, name))} {stage} {batch} {rank} {times}"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[int, Path]:
    """The run that nobody interrupts, of one and of two processes."""
    logs = tmp_path_factory.mktemp("whole")
    commands.run(logs / "1", *SHORT, env=HERE)
    commands.run_two(logs / "2", *SHORT, env=HERE)
    return {n: logs / str(n) / RUN for n in (1, 2)}


def start(processes: int, logs: Path, *options: str, env: dict[str, str] | None = None) -> list[commands.Command]:
    env = {**HERE, **(env or {})}
    if processes == 1:
        return [commands.start(logs, *SHORT, *options, env=env)]
    return commands.start_two(logs, *SHORT, *options, env=env)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("name", EXIT)
def test_in_training(tmp_path, whole, name, processes):
    """Saved after the step in which the signal came, on whichever process; with SIGUSR1 the run goes on."""
    ranks = start(processes, tmp_path, env=told(name, batch=2, rank=processes - 1))
    assert [rank.wait() for rank in ranks] == [EXIT[name]] * processes, ranks[0].text
    run = tmp_path / RUN
    assert ranks[0].text.count(f"{name} in epoch 1, step ") == 1
    assert f"saved {run / LAST}" in ranks[0].text
    if name != "SIGUSR1":
        assert checkpoint.load(run / LAST)["global_step"] == 2
        assert f"continue with ckpt_path={run}" in ranks[0].text
        again = start(processes, tmp_path)
        assert [rank.wait() for rank in again] == [0] * processes, again[0].text
    assert not differences(saved(whole[processes]), saved(run))
    assert (run / "metrics.csv").read_text() == (whole[processes] / "metrics.csv").read_text()


@pytest.mark.parametrize(("name", "processes"), [("SIGTERM", 2), ("SIGINT", 1), ("SIGUSR1", 2)])
def test_in_validation(tmp_path, whole, name, processes):
    """The last safe checkpoint stands: here that of the first epoch, for the signal comes in the second validation."""
    ranks = start(processes, tmp_path, env=told(name, batch=8 if processes == 1 else 5, stage="val"))
    assert [rank.wait() for rank in ranks] == [EXIT[name]] * processes, ranks[0].text
    run = tmp_path / RUN
    if name != "SIGUSR1":
        assert f"{name} in epoch 2, step 12: {run / LAST} stands; continue" in ranks[0].text
        assert checkpoint.load(run / LAST)["global_step"] == 6
        again = start(processes, tmp_path)
        assert [rank.wait() for rank in again] == [0] * processes, again[0].text
    assert not differences(saved(whole[processes]), saved(run))
    assert (run / "metrics.csv").read_text() == (whole[processes] / "metrics.csv").read_text()


def test_between_epochs_nothing_is_lost(tmp_path, whole):
    """The epoch that has just ended is saved, and its metrics are in the log, when the signal is answered."""
    (command,) = start(1, tmp_path, env=told("SIGTERM", batch=1, stage="end"))
    assert command.wait() == 143
    run = tmp_path / RUN
    commands.run(tmp_path, *SHORT, env=HERE)
    assert not differences(saved(whole[1]), saved(run))
    assert (run / "metrics.csv").read_text() == (whole[1] / "metrics.csv").read_text()


def test_before_anything_was_saved(tmp_path):
    (command,) = start(1, tmp_path, env=told("SIGTERM", batch=1, stage="val"))
    assert command.wait() == 143
    assert "SIGTERM in epoch 1, step 6: nothing was saved yet." in command.text
    assert not list(tmp_path.rglob("*.ckpt"))


def test_inside_an_accumulation(tmp_path):
    """Four batches to a step, the epoch's rest to its last: saved after the fourth, not after the second."""
    options = ("trainer.accumulate_grad_batches=4", "trainer.max_epochs=1")
    (command,) = start(1, tmp_path, *options, env=told("SIGINT", batch=2))
    assert command.wait() == 130
    run = tmp_path / RUN
    assert checkpoint.load(run / LAST)["global_step"] == 1
    assert [row["n"] for row in diary(run)] == [1, 2, 3, 4]


def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    (command,) = start(1, tmp_path, env=told("SIGINT", batch=2, times=2))
    assert command.wait() == 130
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_run_that_is_stuck_in_a_step_ends(tmp_path):
    """It is a signal that ends a terminal, and then nothing moves for as long as `Stuck` has patience."""
    stuck = "+callbacks.stuck={_target_: interruptions.Stuck}"
    (command,) = start(1, tmp_path, stuck, env=told("SIGHUP", batch=2))
    command.wait_until(lambda: len(diary(tmp_path / RUN)) == 1)
    began = time.monotonic()
    assert command.wait() == 129
    assert time.monotonic() - began < 12
    assert "error: SIGHUP: nothing has moved in " in command.text


def test_workers_do_not_hear():
    """SLURM signals every process of a job: the workers still load what is needed up to the safe point."""
    batches = iter(loader(Numbers(), SequentialSampler(range(40)), num_workers=2, seed=0))
    found = [int(next(batches))]
    for worker in batches._workers:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            os.kill(worker.pid, number)
    assert [*found, *map(int, batches)] == list(range(40))


def test_a_signal_between_the_end_of_training_and_of_the_fit_is_answered():
    """The weights' average, loggers and other callbacks may take seconds there."""
    usual = signal.getsignal(signal.SIGTERM)
    guard, trainer = Preemption(), SimpleNamespace(world_size=1)
    guard.setup(trainer, None, "fit")
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        guard.teardown(trainer, None, "fit")
    assert left.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == usual
    guard.setup(trainer, None, "fit")
    guard.teardown(trainer, None, "fit")


def test_handlers_are_as_they_were(tmp_path):
    """After a fit in one's own program, signals are what they were before."""
    from resumable import fit

    from lightloom.callbacks.run.preemption import Preemption

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
    fit(tmp_path, max_epochs=1, callbacks=[Preemption()])
    assert {number: signal.getsignal(number) for number in before} == before


# --- no process waits for one that has ended, and none is left behind


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def launched(tmp_path: Path, *options: str) -> tuple[commands.Command, int]:
    """A run of two processes that Lightning's launcher started, and the second's pid, once both train."""
    (command,) = start(1, tmp_path, "trainer=ddp_cpu", "trainer.max_epochs=1000", *options)
    command.wait_until(lambda: len(diary(tmp_path / RUN)) > 2)
    (second,) = children(command.pid)
    return command, second


def test_a_killed_launcher_takes_the_others_with_it(tmp_path):
    command, second = launched(tmp_path)
    os.kill(command.pid, signal.SIGKILL)
    assert command.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while alive(second) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(second)


def test_a_killed_process_ends_the_run(tmp_path):
    command, second = launched(tmp_path)
    os.kill(second, signal.SIGKILL)
    assert command.wait() == 1
    assert "error: Process 1 of 2 ended with SIGKILL" in command.text
    assert "run-rank1.log" in command.text


def test_sigterm_to_the_launcher_ends_all(tmp_path):
    command, second = launched(tmp_path, "callbacks.checkpoint.every_n_steps=1")
    os.kill(command.pid, signal.SIGTERM)
    assert command.wait() == 143, command.text
    assert not alive(second)
    assert f"; continue with ckpt_path={tmp_path / RUN}." in command.text


def test_a_stalled_process_is_given_up(tmp_path):
    first, second = start(2, tmp_path, "trainer.max_epochs=1000", "trainer.strategy.timeout.minutes=0.15")
    first.wait_until(lambda: len(diary(tmp_path / RUN)) > 2)
    os.kill(second.pid, signal.SIGSTOP)
    assert first.wait() == 1, first.text
    assert "trainer.strategy.timeout" in first.text
    second.process.kill()


def test_an_error_of_another_process_is_told(tmp_path):
    """Rank 1 alone meets it, and rank 0 says what it was."""
    (command,) = start(1, tmp_path, "trainer=ddp_cpu", "+callbacks.failing={_target_: interruptions.Failing, rank: 1}")
    assert command.wait() == 2, command.text
    assert "error: Process 1 of 2 ended with exit code 2: the cat is on the keyboard; its log is" in command.text
