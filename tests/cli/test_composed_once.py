"""A single run is composed once, by lightloom: what it gets is what Hydra would have composed of the same line."""

import sys

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from lightloom.cli import launch
from lightloom.config import hydra_internals
from lightloom.core import run_dir

LINES = {
    "defaults": ("train", []),
    "groups and values": (
        "train",
        ["model=resnet18", "data=cifar10", "optimizer=sgd", "trainer=ddp_cpu", "model.optimizer.lr=1e-3", "seed=3"],
    ),
    "options that no YAML has": ("train", ["data.augment.mixup=0.2"]),
    "a group left out, a key deleted": ("train", ["callbacks=null", "~trainer.devices"]),
    "twice the same key": ("train", ["trainer.max_epochs=3", "trainer.max_epochs=4", "tags=[a,b]"]),
    "an experiment, and its folder by the overrides": (
        "train",
        [
            "experiment=lenet_mnist",
            "trainer.max_epochs=1",
            "hydra.run.dir='${paths.log_dir}/${hydra:job.override_dirname}'",
        ],
    ),
    "another class": ("train", ["model.network._target_=lightloom.networks.mlp.MLP", "model.init=he"]),
    "a named run of a GAN": ("train", ["model=wgan_gp", "data=digits", "run_name=é #1"]),
    "of another entry point": ("predict", ["ckpt_path=null", "input=null"]),
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_it_is_what_hydra_composes(line, tmp_path, monkeypatch):
    name, arguments = line
    monkeypatch.setenv(run_dir.RUN_TIME, "now")
    monkeypatch.setattr(sys, "argv", [f"{name}.py"])
    monkeypatch.setattr("hydra._internal.hydra.configure_log", lambda *args: None)  # it would switch off the tests' log
    monkeypatch.setattr("hydra.core.utils.configure_log", lambda *args: None)
    found = []

    def note(task, cfg):
        of_hydra = HydraConfig.instance().cfg
        flags = [OmegaConf.is_struct(cfg), OmegaConf.is_readonly(cfg), OmegaConf.is_readonly(of_hydra.hydra)]
        resolved = of_hydra.hydra.run.dir, of_hydra.hydra.job.name
        found.append([OmegaConf.to_yaml(cfg).splitlines(), OmegaConf.to_yaml(of_hydra).splitlines(), resolved, flags])

    monkeypatch.setattr(launch, "_one_job", note)
    lines, composed = launch.prepared([*arguments, f"paths.log_dir={tmp_path}"], name)
    assert composed is not None
    launch._run_hydra(None, name, lines, composed)
    launch._run_hydra(None, name, lines, None)
    for ours, hydras in zip(*found, strict=True):
        assert ours == hydras


@pytest.mark.parametrize("arguments", [["-m", "seed=1,2"], ["--cfg", "job"]])
def test_a_sweep_and_a_question_are_hydras(arguments):
    assert launch.prepared(arguments, "train")[1] is None


def test_afterwards_hydra_composes_again():
    before = hydra_internals.ConfigLoaderImpl.load_configuration
    with hydra_internals.told(None):
        assert hydra_internals.ConfigLoaderImpl.load_configuration is not before
    assert hydra_internals.ConfigLoaderImpl.load_configuration is before
