"""What becomes of each option of Lightning's Trainer and each of its callbacks in a run: one table, complete by a test.

`docs/lightning-options.md` is written from it (`make lightning-options`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightloom.core.errors import UserError

OURS = "lightloom."
OFF = (None, False, 0, 0.0)  # values with which an option changes nothing


@dataclass(frozen=True)
class Verdict:
    """about: what it means in a run, or, of what is refused, what would go wrong; instead: the remedy.

    off: values with which it changes nothing.
    """

    about: str
    refused: bool = False
    instead: str = ""
    off: tuple[Any, ...] = OFF


def runs(about: str) -> Verdict:
    """Supported, and recorded in the configuration."""
    return Verdict(about)


def refused(about: str, instead: str, off: tuple[Any, ...] = OFF) -> Verdict:
    """Refused in one line, but for the values with which it changes nothing."""
    return Verdict(about, True, instead, off)


FREEZE = "set model.optimizer_groups.freeze"
TRAINER: Mapping[str, Verdict] = {
    "accelerator": runs("auto, cpu, gpu, mps; what is not there is said"),
    "strategy": runs("auto, DDP, FSDP"),
    "devices": runs("a number, a list, auto"),
    "num_nodes": runs("machines; torchrun or srun starts the processes"),
    "precision": runs("on a CPU 16-mixed becomes bf16-mixed"),
    "logger": refused("a run's loggers are built from their group", "choose logger=<name>"),
    "callbacks": refused(
        "a run's callbacks are built from their group", "choose callbacks=<name> or +callbacks.<name>"
    ),
    "plugins": refused("checkpoints are written and read by the project's own plugin", "leave it out"),
    "fast_dev_run": runs("some batches of each stage; keeps no checkpoint"),
    "max_epochs": runs("may be changed in a run that is continued, if it is not shorter"),
    "min_epochs": runs("before which nothing stops the run"),
    "max_steps": runs("optimizer steps; the generator's of a GAN"),
    "min_steps": runs("before which nothing stops the run"),
    "max_time": runs("ends after the step in progress, which is saved"),
    "limit_train_batches": runs("batches of an epoch, or a share"),
    "limit_val_batches": runs("0: nothing validates, and what waits for a metric of validation is refused"),
    "limit_test_batches": runs("batches, or a share"),
    "limit_predict_batches": runs("batches, or a share; predict.py has its own options"),
    "overfit_batches": refused(
        "it puts another order in place of the one that a run is continued by, and validates on what it trains on",
        "choose debug=overfit",
    ),
    "val_check_interval": runs("batches, a share of an epoch, or a time, of which no two runs are alike"),
    "check_val_every_n_epoch": runs(
        "the best checkpoint, schedules and early stopping look when something was measured"
    ),
    "num_sanity_val_steps": runs("validation batches before the first step"),
    "log_every_n_steps": runs("steps between two rows of the logs"),
    "enable_checkpointing": refused(
        "a run that keeps no checkpoint cannot be continued", "use fast_dev_run for a trial", off=(None, True)
    ),
    "enable_progress_bar": runs("Lightning's bar beside callbacks.console"),
    "enable_model_summary": runs("a table of layers before the first step"),
    "accumulate_grad_batches": runs("not with manual optimization"),
    "gradient_clip_val": runs("not with manual optimization; beside fused optimizers too"),
    "gradient_clip_algorithm": runs("norm, or value"),
    "deterministic": runs("true, false, warn"),
    "benchmark": runs("cuDNN's search for the fastest algorithms"),
    "inference_mode": runs("of validation and test"),
    "use_distributed_sampler": runs("true for data whose order is left to Lightning, which is then set by itself"),
    "profiler": runs("with Lightning's own steps"),
    "detect_anomaly": runs("slow; names the operation that made a NaN"),
    "barebones": refused(
        "it leaves out checkpoints, logs and the guards", "leave it out; trainer.loop=fast costs little"
    ),
    "sync_batchnorm": runs("of several processes"),
    "reload_dataloaders_every_n_epochs": refused(
        "a loader that is made anew begins with the first epoch's order", "leave it out: each epoch has its own order"
    ),
    "default_root_dir": runs("the run's folder"),
    "enable_autolog_hparams": runs("the configuration is told to the loggers once"),
    "model_registry": refused("nothing is sent anywhere but by a logger", "choose logger=<name>"),
}

CALLBACKS: Mapping[str, Verdict] = {
    "BackboneFinetuning": refused("it adds groups of parameters that the schedule does not know", FREEZE),
    "BaseFinetuning": refused("it adds groups of parameters that the schedule does not know", FREEZE),
    "BasePredictionWriter": runs("nothing in training; predict.py writes its own files"),
    "BatchSizeFinder": refused(
        "it trains with another batch size than the one that is recorded", "set data.batch_size, after doctor=true"
    ),
    "Callback": runs("your own: see docs/as-a-library.md"),
    "Checkpoint": runs("your own; RunCheckpoint keeps last.ckpt all the same"),
    "DeviceStatsMonitor": runs("into the loggers"),
    "EarlyStopping": runs("callbacks=early_stopping; looks when its metric was measured"),
    "GradientAccumulationScheduler": refused(
        "schedules have their length from trainer.accumulate_grad_batches and would end elsewhere",
        "set trainer.accumulate_grad_batches",
    ),
    "LambdaCallback": runs("your own"),
    "LearningRateFinder": refused(
        "it trains with another rate than the one that is recorded", "try some: sweep.py sweep=learning_rate"
    ),
    "LearningRateMonitor": runs("into the loggers; train/lr is there without it"),
    "ModelCheckpoint": runs("files of its own, in a dirpath of its own; a run continues from last.ckpt"),
    "ModelPruning": refused("it renames weights, so that a checkpoint no longer loads", "prune what predict.py loads"),
    "ModelSummary": runs("a table of layers before the first step"),
    "OnExceptionCheckpoint": refused(
        "it saves where a run cannot be continued", "set callbacks.checkpoint.every_n_steps"
    ),
    "ProgressBar": runs("beside callbacks.console"),
    "RichModelSummary": runs("a table of layers before the first step"),
    "RichProgressBar": runs("beside callbacks.console"),
    "StochasticWeightAveraging": refused(
        "it puts a schedule of its own in place of the recorded one", "choose callbacks=ema"
    ),
    "SpikeDetection": refused(
        "it ends a run in a traceback and skips batches in the next", "set trainer.gradient_clip_val"
    ),
    "ThroughputMonitor": runs("into the loggers"),
    "Timer": runs("ends the run as trainer.max_time does"),
    "TQDMProgressBar": runs("beside callbacks.console"),
    "EMAWeightAveraging": refused(
        "a test that loads the best checkpoint gets the weights that are not averaged", "choose callbacks=ema"
    ),
    "WeightAveraging": refused(
        "a test that loads the best checkpoint gets the weights that are not averaged", "choose callbacks=ema"
    ),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Raise UserError for an option of the Trainer with which a run would not be what it records."""
    for name, value in options.items():
        verdict = TRAINER.get(str(name))
        if verdict is not None and verdict.refused and value not in verdict.off:
            raise UserError(f"trainer.{name}={value}: {verdict.about}; {verdict.instead}.")


def check_callbacks(callbacks: Mapping[str, Any]) -> None:
    """Raise UserError for a callback of Lightning's with which a run would not be what it records. By its name."""
    for name, callback in callbacks.items():
        for kind in type(callback).__mro__ if not type(callback).__module__.startswith(OURS) else ():
            verdict = CALLBACKS.get(kind.__name__) if kind.__module__.startswith("pytorch_lightning.") else None
            if verdict is not None and verdict.refused:
                raise UserError(f"callbacks.{name}: {kind.__name__}: {verdict.about}; {verdict.instead}.")


def page() -> str:
    """docs/lightning-options.md."""
    return "\n".join(
        [
            "# Options and callbacks of Lightning",
            "",
            "Written by `make lightning-options` from `engine/lightning_options.py`. What runs is recorded in",
            "`config.yaml` and in each checkpoint, as all options are; what is refused is refused in one line.",
            "",
            *_table("the Trainer's option", TRAINER),
            "",
            *_table("callback", CALLBACKS),
            "",
        ]
    )


def _table(what: str, verdicts: Mapping[str, Verdict]) -> Sequence[str]:
    head = [f"| {what} | in a run | |", "| --- | --- | --- |"]
    return head + [
        f"| `{name}` | {'refused' if v.refused else 'runs'} | {v.about}{f'; {v.instead}' if v.instead else ''} |"
        for name, v in verdicts.items()
    ]
