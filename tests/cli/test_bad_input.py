"""A user's mistake ends in one message that names value, place, expectation and remedy, and in exit code 2."""

import os
import re

import pytest
from commands import run, start
from mistakes import SHORT, TINY, pets

from lightloom.config.compose import check
from lightloom.core.errors import UserError


def test_several_mistakes_are_reported_together_in_their_order_of_kind():
    wrong = ["foo", "model=resnet81", "data.batch_size=0", "model.optimizer.lr=abc", "trainer.max_epoch=3"]
    with pytest.raises(UserError) as caught:
        check("train", wrong)
    assert [re.split("[:= ]", line)[0].strip("'") for line in str(caught.value).splitlines()] == [
        w.partition("=")[0] for w in wrong
    ]


# --- what only a process shows ----------------------------------------------------------------------------------------


def test_a_mistake_in_the_command_line_answers_without_torch(run_cli, tmp_path):
    done = run_cli("model=resnet81", "trainer.max_epochs=abc", "+lr=1", flags=("-X", "importtime"))
    assert done.returncode == 2
    assert not re.search(r"\| +(torch|pytorch_lightning|torchvision|timm)$", done.stderr, re.MULTILINE)
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert [line.split()[:2] for line in said] == [
        ["error:", "model=resnet81:"], ["error:", "trainer.max_epochs=abc:"], ["error:", "+lr=1:"],
    ]  # fmt: skip
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_user_s_own_module_keeps_its_traceback(tmp_path):
    command = start(tmp_path, *SHORT, "model=mlp", "model.network._target_=faulty.Network", "~model.network.hidden")
    assert command.wait() == 1
    assert command.text.count("ZeroDivisionError: of the user's own module") == 1


PETS = (*TINY, "data=image_folder", "data.image_size=8", "data.batch_size=2", "trainer.limit_train_batches=1.0")

# --- what is no mistake -----------------------------------------------------------------------------------------------


def test_names_of_any_kind_and_stray_files_are_no_mistakes(tmp_path):
    """Spaces, accents, = in paths; a file name that is not UTF-8; what systems leave behind; data that is read-only."""
    root = pets(tmp_path).rename(tmp_path / "my pêts=a b")
    (root / "cat/0.png").rename(root / "cat" / os.fsdecode(b"\xff.png"))
    for name in ("Thumbs.db", ".DS_Store", "notes.txt", "cat/Thumbs.db", "cat/.hidden.png", ".thumbnails/0.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"x")
    for folder in (root, *root.iterdir()):
        folder.chmod(0o555 if folder.is_dir() else 0o444)
    before = sorted(os.fsencode(path) for path in root.rglob("*"))
    where = ("ckpt_path=rün a=b/checkpoints/last.ckpt", "trainer.max_epochs=2")
    try:
        for options in ((), where):
            command = start(
                tmp_path / "logs",
                *PETS,
                "data.root=my pêts=a b",
                "data.num_workers=0",
                "hydra.run.dir=rün a=b",
                *options,
                cwd=tmp_path,
            )
            assert command.wait() == 0, command.text
        command = start(tmp_path / "logs", "ckpt_path=rün a=b", "input=my pêts=a b", script="predict", cwd=tmp_path)
        assert command.wait() == 0, command.text
        (predictions,) = (tmp_path / "logs/predict").glob("*/predictions.csv")
        assert b"my p\xc3\xaats=a b/cat/\xff.png,cat," in predictions.read_bytes().replace(b",dog,", b",cat,")
        assert sorted(os.fsencode(path) for path in root.rglob("*")) == before
    finally:
        for folder in (root, *(path for path in root.iterdir() if path.is_dir())):
            folder.chmod(0o755)


def test_a_cpu_asked_for_float16_uses_bfloat16_and_says_so(tmp_path):
    said = run(tmp_path, *TINY, "trainer.precision=16-mixed")
    assert [line for line in said.splitlines() if "16-mixed" in line] == [
        "trainer.precision=16-mixed needs a GPU; on the CPU this run uses bf16-mixed."
    ]


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> bytes:
    """last.ckpt of a run of one step."""
    logs = tmp_path_factory.mktemp("trained")
    command = start(logs, *TINY)
    assert command.wait() == 0, command.text
    return next(logs.glob("runs/*/*/checkpoints/last.ckpt")).read_bytes()


def test_the_whole_checkpoint_is_resumed(checkpoint, tmp_path):
    (tmp_path / "whole.ckpt").write_bytes(checkpoint)
    command = start(tmp_path / "logs", *TINY, f"ckpt_path={tmp_path}/whole.ckpt", "trainer.max_epochs=2")
    assert command.wait() == 0, command.text


def test_sigterm_is_no_success(tmp_path):
    long = [o for o in TINY if "limit" not in o and "max_epochs" not in o]
    command = start(tmp_path, *long, "trainer.max_epochs=10000")
    command.wait_until(lambda: "epoch 1/" in command.text)
    command.process.terminate()
    assert command.wait() == 143
    assert "continue with ckpt_path=" in command.text
