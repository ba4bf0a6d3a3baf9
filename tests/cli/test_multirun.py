"""A sweep is one command with several runs, whatever the runs do with processes and environment."""

from __future__ import annotations

import json

from commands import run, start

from lightloom.cli.launch import prepared

SHORT = ("model=mlp", "trainer.limit_train_batches=2", "trainer.max_epochs=1", "data.eval_batch_size=200", "logger=csv")


EXPERIMENT = """\
# @package _global_
hydra:
  mode: MULTIRUN
  sweeper: {params: {seed: "1,2"}}
"""


def test_a_sweep_with_ddp_is_one_sweep(tmp_path):
    """Two runs, not four, and the second forms a process group of its own."""
    output = run(tmp_path, "-m", "seed=1,2", *SHORT, "trainer=ddp_cpu")
    (sweep,) = (tmp_path / "multiruns").iterdir()
    folders = sorted(p for p in sweep.iterdir() if p.is_dir())
    assert [p.name for p in folders] == ["0-mlp-digits", "1-mlp-digits"]
    scores = [json.loads((p / "results.json").read_text())["test/loss"] for p in folders]
    assert scores[0] != scores[1]
    assert output.count("Training in 2 CPU processes") == 2
    assert not (tmp_path / "runs").exists()


def test_a_failed_run_does_not_take_the_others_with_it(tmp_path):
    command = start(tmp_path, "-m", "data.batch_size=9999,32", *SHORT)
    assert command.wait() == 2
    (sweep,) = (tmp_path / "multiruns").iterdir()
    assert [p.parent.name for p in sweep.glob("*/results.json")] == ["1-mlp-digits"]
    assert "data.batch_size" in command.text


def test_a_sweep_over_models_takes_options_that_the_default_model_has_not(tmp_path):
    narrow = ("model.generator.width=4", "model.discriminator.width=4", "callbacks.quality.val_samples=20")
    short = ("trainer.limit_train_batches=2", "trainer.max_epochs=1", "test=false", "logger=csv")
    run(tmp_path, "-m", "model=wgan,wgan_gp", "model.n_critic=2", *narrow, *short)
    (sweep,) = (tmp_path / "multiruns").iterdir()
    found = {p.parent.name: json.loads(p.read_text())["steps"] for p in sweep.glob("*/results.json")}
    assert found == {"0-wgan-digits": 1, "1-wgan_gp-digits": 1}


def test_an_experiment_may_be_a_sweep(tmp_path, monkeypatch):
    """`hydra.mode: MULTIRUN` in a YAML file is -m, and no run's folder is made beside the sweep's."""
    monkeypatch.setenv("LIGHTLOOM_LOG_DIR", str(tmp_path / "logs"))
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/seeds.yaml").write_text(EXPERIMENT)
    arguments = [f"--config-dir={tmp_path}", "experiment=seeds"]
    assert prepared(arguments, "train")[0] == [arguments[0], "--multirun", arguments[1]]
    assert not (tmp_path / "logs/runs").exists()
