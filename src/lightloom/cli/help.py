"""Print `--help`: each choice with the first line of its YAML file, read without Hydra or torch."""

from __future__ import annotations

import shutil
from pathlib import Path

from lightloom.core.places import CONFIG_FOLDERS, as_spoken

USAGE = {
    "train": (
        "Train a model, then test its best checkpoint.",
        "python src/train.py [model=NAME] [data=NAME] [trainer=NAME] [option=value ...]",
        (
            "python src/train.py model=resnet18 data=cifar10_small trainer.max_epochs=20",
            "python src/train.py optimizer=nag scheduler=cosine model.optimizer.lr=0.1",
            "python src/train.py model=wgan_gp data=fashion_mnist trainer=ddp",
            "python src/train.py model=lenet run_name=first   # repeated, it continues, in logs/runs/first",
            "python src/train.py ckpt_path=last            # resume the newest run",
            "python src/train.py -m seed=1,2,3 model=lenet,nin",
            "python src/train.py model=vit --cfg job --resolve   # show every option and its value",
        ),
        (
            "model",
            "data",
            "trainer",
            "experiment",
            "optimizer",
            "scheduler",
            "extractor",
            "callbacks",
            "logger",
            "debug",
        ),
    ),
    "sweep": (
        "Search for the best options: each trial a run of train.py in a process of its own. Repeated, it continues.",
        "python src/sweep.py [sweep=NAME] [sweep.option=value ...] [option=value|values ...]",
        (
            "python src/sweep.py sweep=learning_rate model=lenet trainer.max_epochs=5",
            "python src/sweep.py sweep.name=mine sweep.sampler=grid model=lenet,nin optimizer=adamw,nag",
            "python src/sweep.py 'model.optimizer.lr=tag(log,interval(1e-4,1e-1))' sweep.n_trials=10 sweep.seeds=3",
        ),
        ("sweep",),
    ),
    "eval": (
        "Test a checkpoint, on its own data or on another set.",
        "python src/eval.py ckpt_path=FILE|FOLDER|URL|last [data=NAME] [split=test] [option=value ...]",
        ("python src/eval.py ckpt_path=last", "python src/eval.py ckpt_path=best.ckpt data=mnist"),
        ("data", "trainer", "extractor"),
    ),
    "export": (
        "Write a checkpoint's model for other programs, checked against the model.",
        "python src/export.py ckpt_path=FILE|FOLDER|URL|last [format=onnx|torch_export|safetensors] [option=value ...]",
        (
            "python src/export.py ckpt_path=last                             # ONNX",
            "python src/export.py ckpt_path=last format=safetensors",
            "python src/export.py ckpt_path=last use=sample                  # the decoder of a VAE",
        ),
        ("data",),
    ),
    "inspect_data": (
        "Look at a data set: its splits and classes; of boxes also sizes, faults, and a contact sheet.",
        "python src/inspect_data.py data=NAME [option=value ...]",
        ("python src/inspect_data.py data=digits", "python src/inspect_data.py data=bccd"),
        ("data",),
    ),
    "report": (
        "Write a run's report and model card anew, or compare several runs on one page.",
        "python src/report.py runs=FOLDER|GLOB|[LIST]|last [option=value ...]",
        (
            "python src/report.py runs=last",
            "python src/report.py runs=logs/runs",
            "python src/report.py runs=logs/multiruns/2026-11-21_09-30-00",
        ),
        (),
    ),
    "runs": (
        "List, filter, compare and clean runs: what they came to, and what they take on the disk.",
        "python src/runs.py [runs=FOLDER] [tag=|name=|state=|OPTION=PATTERN ...] [sort=age|size|score|name]",
        (
            "python src/runs.py data.name=digits tag=first sort=score",
            "python src/runs.py name='lenet*' compare=true",
            "python src/runs.py clean=previous             # shows what would go, and asks; yes=true does not",
            "python src/runs.py state=ended clean=unfinished",
        ),
        (),
    ),
    "smooth": (
        "Follow and steady boxes of a video that another program found.",
        "python src/smooth.py boxes=FILE [smoothing=NAME] [rate=25] [truth=FILE] [option=value ...]",
        (
            "python src/smooth.py boxes=det.txt                # MOT text, or a CSV with a header",
            "python src/smooth.py boxes=det.txt truth=gt.txt smoothing=one_euro",
        ),
        ("smoothing",),
    ),
    "predict": (
        "Predict with a checkpoint: classes, boxes or reconstructions of inputs, or new samples.",
        "python src/predict.py ckpt_path=FILE|FOLDER|last input=IMAGES|VIDEO|CAMERA|num_samples=N [option=value ...]",
        (
            "python src/predict.py ckpt_path=last input=photos/",
            "python src/predict.py ckpt_path=last data=kaggle_cifar10",
            "python src/predict.py ckpt_path=last num_samples=64 seed=1",
            "python src/predict.py ckpt_path=last input=photos/ format=voc    # a detector's boxes",
            "python src/predict.py ckpt_path=last input=street.mp4            # its tracks; input=0 for a camera",
        ),
        ("data", "trainer", "smoothing"),
    ),
    "serve": (
        "Serve a checkpoint as a web page and an API: pictures, films and a live camera.",
        "python src/serve.py [ckpt_path=FILE|FOLDER|last|MODEL.onnx] [host=0.0.0.0] [ssl=self] [option=value ...]",
        (
            "python src/serve.py                              # the newest run, for this machine alone",
            "python src/serve.py ckpt_path=model.onnx         # an exported file, without torch",
            "python src/serve.py host=0.0.0.0 ssl=self        # for others, who need the token that is printed",
        ),
        ("trainer",),
    ),
}


def text(config_name: str) -> str:
    """The whole help text of one entry point."""
    purpose, usage, examples, groups = USAGE[config_name]
    parts = [purpose, "", f"Usage: {usage}", "", "Examples:", *(f"  {e}" for e in examples if _is_possible(e))]
    for group in groups:
        entries = {name: summary(path) for name, path in sorted(choices(group).items())}
        if entries:
            parts += ["", f"{group}=", *_columns(entries)]
    return as_spoken("\n".join(parts))


def _is_possible(example: str) -> bool:
    """Is each choice of a group that it makes there? A project may have been made without some."""
    made = [option.split("=") for option in example.split() if option.count("=") == 1]
    known = {group: choices(group) for group, _ in made}
    return all(name in known[group] for group, names in made for name in names.split(",") if known[group])


def choices(group: str) -> dict[str, Path]:
    """The names that `group=` takes, with their files; of a project, its own first."""
    return {path.stem: path for folder in reversed(CONFIG_FOLDERS) for path in (folder / group).glob("*.yaml")}


def summary(path: Path) -> str:
    """The first comment of a YAML file that is not a Hydra directive."""
    with path.open(encoding="utf-8") as lines:
        comments = (line[1:].strip() for line in lines if line.startswith("#") and "@package" not in line)
        return next(comments, "")


def _columns(entries: dict[str, str]) -> list[str]:
    name_width = max(map(len, entries))
    room = max(shutil.get_terminal_size((120, 24)).columns, 80) - name_width - 4
    cut = {name: line if len(line) <= room else line[: room - 1] + "…" for name, line in entries.items()}
    return [f"  {name:<{name_width}}  {line}" for name, line in cut.items()]
