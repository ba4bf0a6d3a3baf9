"""README.md in a run's folder: a model card in Hugging Face's form, of what the run knows and nothing else.

Mitchell et al. 2019, Model Cards for Model Reporting. The metadata is what huggingface.co reads of a model's README:
tags, data sets, metrics, and the results as a `model-index`. There is no licence, which only its owner can give.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lightloom.core import atomic_io, run_dir
from lightloom.core.redaction import redact_options
from lightloom.reporting.contract import chapter_of
from lightloom.reporting.facts import Run
from lightloom.reporting.render import render

CARD = "README.md"
HYPERPARAMETERS = (  # keys of the configuration, where it has them
    *("trainer.max_epochs", "trainer.max_steps", "trainer.precision", "trainer.gradient_clip_val"),
    "trainer.accumulate_grad_batches",
)
PARTS = ("optimizer", "scheduler", "loss", "penalty", "constraint")  # of a model; `generator_optimizer` is one too


def write(run: Run) -> Path:
    """Write the card into the run's folder; returns its path."""
    path = run.folder / CARD
    atomic_io.write_text(path, text(run))
    return path


def text(run: Run) -> str:
    """The whole card."""
    import yaml

    own = chapter_of(run)
    about = yaml.safe_dump(redact_options(metadata(run)), sort_keys=False, allow_unicode=True, width=120)
    body = render(
        "card.md.jinja",
        run=run,
        use=own.example,
        inputs=own.inputs(run),
        best=run.best(),
        augment=_given(run.data.get("augment")),
        hyperparameters=hyperparameters(run),
        checkpoint=next(
            (n for n in (run_dir.BEST, run_dir.LAST) if (run.folder / run_dir.CHECKPOINTS / n).is_file()), None
        ),
    )
    return f"---\n{about}---\n\n{body}"


def metadata(run: Run) -> dict[str, Any]:
    """The front matter; what the run does not know is left out."""
    pipeline = chapter_of(run).pipeline
    measured = {name: value for name, value in run.metrics.items() if name.startswith("test/")}
    about: dict[str, Any] = {
        "library_name": "lightloom",
        "pipeline_tag": pipeline,
        "tags": [tag for tag in ("lightloom", "pytorch-lightning", run.model.lower(), pipeline) if tag],
        "datasets": [run.data_name],
        "metrics": sorted({_type(name) for name in measured}),
    }
    if measured:
        about["model-index"] = [
            {
                "name": run.name,
                "results": [
                    {
                        "task": {"type": pipeline or run.task},
                        "dataset": {"name": run.data_name, "type": run.data_name, "split": "test"},
                        "metrics": [{"type": _type(n), "name": n, "value": v} for n, v in measured.items()],
                    }
                ],
            }
        ]
    return {name: value for name, value in about.items() if value}


def _type(metric: str) -> str:
    """Hugging Face's word for a metric where it is the same thing, else ours."""
    name = metric.rpartition("/")[2]
    return {"acc": "accuracy", "f1_macro": "f1", "mse": "mse"}.get(name, name)


def hyperparameters(run: Run) -> list[tuple[str, Any]]:
    """(key, value) of what decides how a model learns: the numbers of the model itself among them."""
    keys = ("seed", "data.batch_size", *chapter_of(run).hyperparameters, *_numbers(run), *HYPERPARAMETERS)
    found = [(key, value) for key in keys if (value := _select(run.config, key)) not in (None, -1)]
    model = run.config.get("model") or {}
    parts = [part for kind in PARTS for part in model if part.rpartition("_")[2] == kind]
    return found + [(f"model.{part}", _called(model[part])) for part in parts if _is_built(model[part])]


def _numbers(run: Run) -> list[str]:
    """The options of the model that are numbers, without facts of the data."""
    model = run.config.get("model") or {}
    own = {k: v for k, v in model.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return [f"model.{key}" for key, value in own.items() if run.data.get(key) != value]


def _is_built(part: Any) -> bool:
    return isinstance(part, dict) and "_target_" in part


def _called(part: dict[str, Any]) -> str:
    """`AdamW(lr=0.001, ...)`."""
    options = ", ".join(f"{k}={v}" for k, v in part.items() if not k.startswith("_") and v is not None)
    return str(part["_target_"]).rpartition(".")[2] + (f"({options})" if options else "")


def _select(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = config.get(name) if isinstance(config, dict) else None
    return config


def _given(augment: Any) -> dict[str, Any]:
    """The changes to training data that are switched on."""
    off = (None, False, 0, 0.0)
    kept = {
        k: v
        for k, v in (augment if isinstance(augment, dict) else {}).items()
        if not k.startswith("_") and v not in off
    }
    return {k: v for k, v in kept.items() if not re.search(r"mode|order|size", k)}
