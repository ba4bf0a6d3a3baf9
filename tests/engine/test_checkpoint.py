"""A checkpoint is whole or the old one; what is damaged or hostile ends in one sentence, and nothing in it runs."""

from __future__ import annotations

import os
import resource
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.demos.boring_classes import BoringModel

from lightloom.config import compose
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.engine import checkpoint


def content(**more: Any) -> dict[str, Any]:
    weights = {"layer.weight": torch.arange(300.0), "layer.bias": torch.zeros(3)}
    return {"state_dict": weights, "hyper_parameters": {"model": {}, "data": {"name": "x"}}, "epoch": 1, **more}


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "run" / "last.ckpt"
    checkpoint.save(content(), path)
    return path


def test_what_is_saved_is_loaded(saved):
    assert torch.equal(checkpoint.load(saved)["state_dict"]["layer.weight"], torch.arange(300.0))
    assert [p.name for p in saved.parent.iterdir()] == ["last.ckpt"]
    assert saved.stat().st_mode & 0o044


# --- written whole


@pytest.mark.parametrize("error", [RuntimeError("crash"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_crash_while_saving_leaves_the_old_file(saved, monkeypatch, error):
    before = saved.read_bytes()

    def crash(value: Any, file: Any) -> None:
        file.write(b"half of a")
        raise error

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(UserError if isinstance(error, OSError) else type(error)):
        checkpoint.save(content(), saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["last.ckpt"]


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(saved):
    """A real write that fails half-way: the file size limit of a forked process."""
    before = saved.read_bytes()
    pid = os.fork()
    if pid == 0:
        code = 1
        torch.set_num_threads(1)  # the threads of the parent's pool were not forked
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            checkpoint.save(content(big=torch.zeros(100_000)), saved)
        except UserError as error:
            code = 0 if "cannot write the checkpoint" in str(error) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["last.ckpt"]


def test_a_kill_while_saving_leaves_one_file_that_the_next_save_takes(saved):
    pid = os.fork()
    if pid == 0:
        torch.save = lambda value, file: os.kill(os.getpid(), signal.SIGKILL)
        checkpoint.save(content(), saved)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert checkpoint.load(saved)["epoch"] == 1
    checkpoint.save(content(epoch=2), saved)
    assert checkpoint.load(saved)["epoch"] == 2
    assert [p.name for p in saved.parent.iterdir()] == ["last.ckpt"]


def test_a_folder_that_cannot_be_written_is_one_sentence(saved):
    with pytest.raises(UserError, match=r"paths\.log_dir"):
        checkpoint.save(content(), saved / "below_a_file" / "last.ckpt")


# --- damaged


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match=r"last\.ckpt"):
        checkpoint.load(saved)


def test_a_flipped_bit_in_the_weights_is_refused(saved):
    whole = bytearray(saved.read_bytes())
    at = whole.find(torch.arange(300.0).numpy().tobytes()) + 600
    whole[at] ^= 1
    saved.write_bytes(whole)
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(saved)


def test_a_flipped_byte_anywhere_is_refused_or_harmless(saved):
    """Never another exception, never other weights: 200 places over the whole file, its directory included."""
    whole = saved.read_bytes()
    for at in range(0, len(whole), len(whole) // 200):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        saved.write_bytes(damaged)
        try:
            loaded = checkpoint.load(saved)
        except UserError:
            continue
        assert torch.equal(loaded["state_dict"]["layer.weight"], torch.arange(300.0))


@pytest.mark.parametrize(("offset", "bit"), [(10, 8), (38, 16)], ids=["compressed", "a folder"])
def test_a_flipped_bit_in_the_directory_is_refused(saved, offset, bit):
    """No checksum covers these: torch would read a member that is marked as a folder as memory that nobody wrote."""
    whole = saved.read_bytes()
    entries = [at for at in range(len(whole)) if whole.startswith(b"PK\x01\x02", at)]
    assert len(entries) > 4
    for entry in entries:
        damaged = bytearray(whole)
        damaged[entry + offset] ^= bit
        saved.write_bytes(damaged)
        with pytest.raises(UserError, match="damaged"):
            checkpoint.load(saved)


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none.ckpt")
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.ckpt")
    with pytest.raises(UserError, match="holds no lightloom run"):
        checkpoint.load(tmp_path / "foreign.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(UserError, match="holds no lightloom run"):
        checkpoint.load(tmp_path / "list.ckpt")
    with zipfile.ZipFile(tmp_path / "zip.ckpt", "w") as archive:
        archive.writestr("hello", "world")
    with pytest.raises(UserError, match=r"zip\.ckpt"):
        checkpoint.load(tmp_path / "zip.ckpt")
    with pytest.raises(UserError):
        checkpoint.load(tmp_path)


# --- hostile


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("force", [None, "1"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickled_object_is_refused_and_not_run(tmp_path, monkeypatch, force, legacy):
    if force:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", force)
    path = tmp_path / "evil.ckpt"
    torch.save(content(evil=Touch(tmp_path / "ran")), path, _use_new_zipfile_serialization=not legacy)
    for load in (checkpoint.load, checkpoint.restore, checkpoint.SafeCheckpointIO().load_checkpoint):
        with pytest.raises(UserError):
            load(path)
    assert not (tmp_path / "ran").exists()


def test_the_trainers_own_request_for_unsafe_loading_is_ignored(tmp_path):
    path = tmp_path / "evil.ckpt"
    torch.save(content(evil=Touch(tmp_path / "ran")), path)
    with pytest.raises(UserError):
        checkpoint.SafeCheckpointIO().load_checkpoint(path, weights_only=False)
    assert not (tmp_path / "ran").exists()


TRICKS = [
    {"_target_": "os.system", "command": "touch ran"},
    {"_target_": "builtins.exec", "_args_": ["open('ran', 'w')"]},
    {"_target_": "torch.os.system", "command": "touch ran"},
    {"_target_": "torch.builtins.exec", "_args_": ["open('ran', 'w')"]},
    {"_target_": "torch.builtins.open", "file": "ran", "mode": "w"},
    {"_target_": "lightloom.cli.launch.os.system", "command": "touch ran"},
    {"_target_": "lightloom.networks.library.torch.hub.load", "repo_or_dir": "a/b", "model": "c"},
    {"_target_": "torch.load", "f": "evil.ckpt", "weights_only": False},
    {"_target_": "torch.serialization.load", "f": "evil.ckpt"},
    {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"},
    {"_target_": "torch.utils.cpp_extension.load", "name": "a", "sources": []},
    {"_target_": "torch.utils.collect_env.run", "command": "touch ran"},
    {"_target_": "torch.compile", "model": None},
    {"_target_": "timm.models.load_checkpoint", "model": None, "checkpoint_path": "evil.ckpt"},
    {"_target_": "pytorch_lightning.Trainer"},
    {"_target_": "lightloom.modules.classifier.Classifier.load_from_checkpoint", "checkpoint_path": "evil.ckpt"},
    {"_target_": "lightloom.engine.checkpoint.load", "path": "evil.ckpt"},
    {"_target_": "lightloom.config.instantiate.build", "cfg": {}, "where": ""},
    {"_target_": "torch.nn.Linear.__init__.__globals__"},
    {"_target_": "hydra.utils.instantiate"},
    {"_target_": "lightloom.nothing.here"},
    {"_target_": "torch"},
    {"_target_": "torch.nn"},
    {"_target_": ""},
    {"_target_": ".."},
]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda t: t["_target_"])
@pytest.mark.parametrize("place", ["top", "nested", "list", "interpolated"])
def test_a_configuration_cannot_call_what_is_no_part_of_a_model(tmp_path, monkeypatch, trick, place):
    monkeypatch.chdir(tmp_path)
    model: Any = {
        "top": trick,
        "nested": {"_target_": "torch.nn.Identity", "network": {"layers": trick}},
        "list": {"_target_": "torch.nn.Sequential", "_args_": [[trick]]},
        "interpolated": {
            "_target_": "torch.nn.Identity",
            "word": trick["_target_"],
            "a": {**trick, "_target_": "${..word}"},
        },
    }[place]
    data = {"name": "x"}
    path = tmp_path / "evil.ckpt"
    checkpoint.save(content(hyper_parameters={"model": model, "data": data}), path)
    with pytest.raises(UserError, match="not built"):
        checkpoint.restore(path)
    assert not (tmp_path / "ran").exists()


# --- a module from its checkpoint


def classifier(*overrides: str) -> tuple[Any, Any]:
    cfg = compose.without_hydra(compose.compose("train", ["model=lenet", *overrides]))
    module = build(cfg.model, "model")
    return module, plain(cfg)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_module_is_restored_from_its_file_alone(tmp_path, compiled):
    module, cfg = classifier(f"model.compile={compiled}", "model.network.norm=batch")
    path = tmp_path / "last.ckpt"
    checkpoint.save({"state_dict": module.state_dict(), "hyper_parameters": cfg}, path)
    loaded_cfg, loaded = checkpoint.restore(path)
    assert loaded_cfg.data.name == "digits"
    assert not loaded.training
    images = torch.rand(2, 1, 28, 28)
    module, _ = classifier("model.network.norm=batch")  # not compiled: the keys are the same
    module.load_state_dict(checkpoint.load(path)["state_dict"])
    assert torch.equal(module.eval()(images), loaded(images))


def test_another_models_checkpoint_is_refused_with_the_first_difference(tmp_path):
    module, cfg = classifier()
    wider, _ = classifier("data.num_classes=12", "data.classes=null")
    with pytest.raises(UserError, match=r"10.*instead of.*12"):
        checkpoint.check_fits({"state_dict": module.state_dict(), "config": cfg}, wider, tmp_path / "x.ckpt")


def test_a_file_of_weights_alone_holds_the_run_too(tmp_path):
    record = checkpoint.RunRecord({"model": {"name": "x"}, "data": {"name": "y"}}, {"words": ["a"]})
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    keeper = ModelCheckpoint(tmp_path, "weights", save_weights_only=True)
    plugins = [checkpoint.SafeCheckpointIO(record)]
    trainer = pl.Trainer(max_steps=1, callbacks=[keeper], plugins=plugins, **quiet)
    trainer.fit(BoringModel())
    content = checkpoint.load(tmp_path / "weights.ckpt")
    assert content["config"] == record.config
    assert content["data_state"] == record.state
