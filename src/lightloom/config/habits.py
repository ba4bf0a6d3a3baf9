"""What users of lightning-hydra-template write, and how it is written here: hints by meaning, not by spelling."""

from __future__ import annotations

from lightloom.core.places import as_spoken

OPTIONS = {  # an option there -> what to write here; of `a.b` the longest part that is known counts
    "task_name": "run_name=<name> names the run and its folder",
    "hparams_search": "a search is python src/sweep.py sweep=<name>; a few values are -m <option>=<a>,<b>",
    "optimized_metric": "a sweep optimizes monitor.metric, with monitor.mode",
    "extras": "warnings go to run.log, options to config.yaml of the run; --cfg job --resolve prints them",
    "extras.enforce_tags": "tags=[<word>,...] gives a run its tags",
    "extras.print_config": "--cfg job --resolve prints the configuration",
    "extras.ignore_warnings": "warnings go to run.log only",
    "train": "python src/eval.py ckpt_path=<run> measures without training",
    "paths.root_dir": "paths.root",
    "paths.work_dir": "paths.root",
    "data.data_dir": "data.root is this set's folder, paths.data_dir that of all sets",
    "data.train_val_test_split": "data.val_fraction is the share of validation",
    "data.pin_memory": "memory is pinned where there is a GPU, without an option",
    "data.persistent_workers": "workers stay from epoch to epoch, without an option",
    "model.net": "model.network",
    "model.compile": "model.compile is of classifiers",
    "callbacks.model_checkpoint": "callbacks.checkpoint",
    "callbacks.model_checkpoint.save_top_k": "best.ckpt and last.ckpt are kept; callbacks.checkpoint has the options",
    "callbacks.rich_progress_bar": "callbacks.console; callbacks.console=null leaves the bar out",
    "callbacks.model_summary": "+trainer.enable_model_summary=true",
    "logger.tensorboard.log_graph": "+logger.tensorboard.log_graph=true",
    "logger.wandb.offline": "logger.wandb.mode=offline, which is the default",
    "logger.wandb.name": "run_name=<name>",
    "logger.wandb.log_model": "checkpoints stay in the run's folder",
}
CHOICES = {  # (group, choice) there -> what to write here
    ("logger", "many_loggers"): "logger=[default,wandb]",
    ("logger", "comet"): "any logger of Lightning's: +logger.comet._target_=pytorch_lightning.loggers.CometLogger",
    (
        "logger",
        "neptune",
    ): "any logger of Lightning's: +logger.neptune._target_=pytorch_lightning.loggers.NeptuneLogger",
    ("logger", "aim"): "mlflow, swanlab, trackio and wandb need no server",
    ("trainer", "ddp_sim"): "trainer=ddp_cpu",
    ("callbacks", "none"): "callbacks=null",
    ("callbacks", "model_checkpoint"): "callbacks=default has it",
    ("callbacks", "rich_progress_bar"): "callbacks=default has it",
    ("callbacks", "model_summary"): "+trainer.enable_model_summary=true",
    ("debug", "default"): "debug=limit",
    ("experiment", "example"): "experiment=lenet_fashion_mnist is a short one",
    ("data", "mnist_datamodule"): "data=mnist",
    ("model", "mnist"): "model=mlp, with data=mnist",
}


def option(key: str) -> str:
    """` Here: ...` for an option of the template or one below it; empty for any other."""
    parts = key.lstrip("+~").split(".")
    known = (OPTIONS.get(".".join(parts[:end])) for end in range(len(parts), 0, -1))
    return _said(next(filter(None, known), None))


def choice(group: str, name: object) -> str:
    """` Here: ...` for a choice of one of its groups; empty for any other."""
    return _said(CHOICES.get((group, str(name))))


def _said(hint: str | None) -> str:
    return f" Here: {as_spoken(hint)}." if hint else ""
