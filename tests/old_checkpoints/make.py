"""A small checkpoint of each family, with what the code that wrote it measured: <family>.ckpt and expected.json.

The files beside this one were made at commit 71619bb, whose package is called `lightlab`:

    python tests/old_checkpoints/make.py <folder>            make them
    python tests/old_checkpoints/make.py <folder> --check    measure them again and compare

Nothing here imports the package: all is done by the commands in src. In the options of expected.json `{checkpoint}`
stands for a checkpoint's path and `{pictures}` for a folder that `write_pictures` has filled.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[2]
PLACE = Path("/tmp/old-lightlab")  # where the runs are trained: checkpoints hold their folders
RENAMED = {"test/iwae_50": "test/iwae"}
LATER = ("train_seconds", "test/parzen_sigma", "test/nearest_neighbour_of")  # measured since then, or never the same
ROWS = 10  # of predictions.csv, the first ones
PIXELS = ((2, 3), (5, 4), (3, 6), (6, 2), (4, 4))  # row and column, of each sample

TINY = ["data=digits", "data.image_size=8"]  # for perceptrons
SMALL = ["data=digits", "data.image_size=16"]  # the least that convolutions take
SHORT = ["trainer=cpu", "logger=csv", "trainer.max_epochs=2", "trainer.limit_train_batches=40"]
FEW = ["callbacks.quality.val_samples=200", "callbacks.quality.test_samples=200"]
NO_PICTURES = ["~callbacks.samples", "~callbacks.filmstrip", "~callbacks.interpolation"]
GAME = [f"model.{player}_optimizer.lr=0.01" for player in ("generator", "discriminator")]
VAE_GAME = [f"model.{player}_optimizer.lr=0.01" for player in ("encoder", "decoder", "discriminator")]
SGD = ["optimizer=sgd"]  # keeps no state, which makes the file small

TRAIN = {
    "classifier": [
        *("model=mlp", "model.network.hidden=[4]", "model.optimizer.lr=0.02"),
        *(*TINY, "data.augment.crop_padding=0"),
    ],
    "gan": [
        *("model=gan", "model.generator.latent_dim=4", "model.generator.hidden=3"),
        *("model.discriminator.units=1", "model.discriminator.pieces=2", *GAME, *TINY, *FEW),
    ],
    "wgan_gp": [
        *("model=wgan_gp", "model.generator.latent_dim=4", "model.generator.width=2", "model.discriminator.width=2"),
        *(*GAME, *SMALL, *FEW, *NO_PICTURES),
    ],
    "bigan": [
        *("model=bigan", "model.generator.latent_dim=4", "model.generator.width=2", "model.generator.norm=none"),
        *("model.encoder.width=1", "model.encoder.norm=none", "model.discriminator.width=1"),
        *("model.discriminator.hidden=4", "model.discriminator.norm=none"),
        *(*GAME, *SMALL, *FEW, *NO_PICTURES),
    ],
    "autoencoder": [
        *("model=autoencoder", "model.encoder.outputs=2", "model.encoder.hidden=[3]", "model.decoder.hidden=[3]"),
        *(*SGD, "model.optimizer.lr=1.0", *TINY),
    ],
    "vae": [
        *("model=vae", "model.decoder.latent_dim=2", "model.encoder.hidden=[3]", "model.decoder.hidden=[3]"),
        *(*SGD, "model.optimizer.lr=0.01", *TINY, *FEW, *NO_PICTURES),
    ],
    "vae_gan": [
        *("model=vae_gan", "model.decoder.latent_dim=2", "model.encoder.width=1", "model.encoder.norm=none"),
        *("model.decoder.width=2", "model.decoder.norm=none"),
        *("model.discriminator.width=1", "model.discriminator.norm=none"),
        *(*VAE_GAME, *SMALL, *FEW, *NO_PICTURES),
    ],
    "detector": [
        *("model=yolo", "model.network.norm=none", "model.network.score_thresh=0.01"),
        *("model.network.backbone.width=1", "model.network.backbone.out_channels=2"),
        *("model.network.backbone.norm=group", "model.optimizer.lr=0.02", "data=digit_scenes", "data.image_size=64"),
        *("data.reader.train_size=320", "data.reader.val_size=8", "data.reader.test_size=16"),
    ],
    "signal_ae": [
        *("model=signal_ae", "model.encoder.code=2", *SGD, "data=signals"),
        *("data.train_size=1280", "data.val_size=64", "data.test_size=64"),
    ],
}
WITHOUT_OPTIMIZER = ("wgan_gp", "bigan", "vae_gan", "detector")  # would double the file
CLASSES = {"kind": "classes", "options": ["data=digits"]}
RECONSTRUCTIONS = {"kind": "reconstructions", "options": ["input={pictures}"]}
SAMPLES = {"kind": "samples", "options": ["num_samples=3"]}
BOXES = {"kind": "boxes", "options": ["input={pictures}", "min_score=0.0427"]}
PREDICT = {
    "classifier": [CLASSES],
    "gan": [SAMPLES],
    "wgan_gp": [SAMPLES],
    "bigan": [RECONSTRUCTIONS, SAMPLES],
    "autoencoder": [RECONSTRUCTIONS],
    "vae": [RECONSTRUCTIONS, SAMPLES],
    "vae_gan": [RECONSTRUCTIONS, SAMPLES],
    "detector": [BOXES],
    "signal_ae": [],  # src/predict.py reads images
}
RESUMED = ("classifier", "gan")
TOLERANCE = {  # of a number x: absolute + relative * |x|
    "metrics": {"absolute": 1e-5, "relative": 1e-5},
    "classes": {"absolute": 1e-5, "relative": 0.0},
    "reconstructions": {"absolute": 1e-5, "relative": 0.0},
    "samples": {"absolute": 1.0, "relative": 0.0},  # levels of 256, for a pixel may be rounded the other way
    "boxes": {"absolute": 1e-5, "relative": 1e-5},
    "weights": {"absolute": 1e-5, "relative": 1e-5},
}


# --- making and comparing ---------------------------------------------------------------------------------------------


def make(folder: Path) -> None:
    """Train each family, copy its last checkpoint into `folder` and write down what is measured of it."""
    if PLACE.exists():
        sys.exit(f"{PLACE} exists; remove it.")
    folder.mkdir(parents=True, exist_ok=True)
    families = {}
    for name, options in TRAIN.items():
        train = [*options, *SHORT, f"run_name={name}"]
        run("train", [*train, f"paths.root={PLACE}"], PLACE / "runs" / name)
        checkpoint = folder / f"{name}.ckpt"
        copy(PLACE / "runs" / name / "checkpoints/last.ckpt", checkpoint, whole=name not in WITHOUT_OPTIMIZER)
        families[name] = measure(plan(name, train), checkpoint, PLACE)
        print(name, checkpoint.stat().st_size, "bytes", flush=True)
    lines = ",\n".join(f'  "{name}": {json.dumps(found)}' for name, found in families.items())
    text = f'{{"tolerance": {json.dumps(TOLERANCE)},\n "families": {{\n{lines}\n}}}}\n'
    (folder / "expected.json").write_text(text)


def copy(source: Path, target: Path, whole: bool) -> None:
    """Byte for byte; or all but the optimizers' state, where not whole."""
    if whole:
        target.write_bytes(source.read_bytes())
    else:
        torch.save(torch.load(source, map_location="cpu", weights_only=True) | {"optimizer_states": []}, target)


def plan(name: str, train: list[str]) -> dict[str, Any]:
    """The options of a family's commands, without what they find."""
    tested = ["ckpt_path={checkpoint}", "trainer=cpu"]
    planned: dict[str, Any] = {"train": {"options": train}, "eval": {"options": tested}}
    planned["predict"] = [{**one, "options": [*tested, *one["options"]]} for one in PREDICT[name]]
    if name in RESUMED:
        longer = [option.replace("max_epochs=2", "max_epochs=3") for option in train]
        planned["resume"] = {"options": [*longer, "ckpt_path={checkpoint}"]}
    return planned


def measure(planned: dict[str, Any], checkpoint: Path, place: Path) -> dict[str, Any]:
    """`planned`, each command with what it finds of the checkpoint; its runs are written into `place`."""
    pictures = write_pictures(place / "pictures")

    def done(script: str, options: list[str], name: str) -> Path:
        return run(script, filled(options, checkpoint, pictures), place / name / checkpoint.stem)

    measured = dict(planned)
    options = planned["eval"]["options"]
    measured["eval"] = {"options": options, "metrics": metrics(done("eval", options, "eval"))}
    measured["predict"] = [
        {**one, "found": predicted(one["kind"], done("predict", one["options"], one["kind"]))}
        for one in planned["predict"]
    ]
    if "resume" in planned:
        options = planned["resume"]["options"]
        folder = done("train", options, "resumed")
        last = folder / "checkpoints/last.ckpt"
        measured["resume"] = {"options": options, "metrics": metrics(folder), **weights(last)}
    return measured


def check(folder: Path) -> list[str]:
    """What is measured otherwise now than expected.json says, one line each."""
    expected = json.loads((folder / "expected.json").read_text())
    found = []
    for name, planned in expected["families"].items():
        with tempfile.TemporaryDirectory() as place:
            measured = measure(planned, folder / f"{name}.ckpt", Path(place))
        wrong = list(differences(planned, measured, expected["tolerance"]))
        found += [f"{name}: {line}" for line in wrong]
        print(name, "differs" if wrong else "agrees", flush=True)
    return found


def differences(planned: dict[str, Any], measured: dict[str, Any], tolerance: dict[str, Any]) -> Iterator[str]:
    """One line for each value of a family that is further from the expected one than its tolerance."""
    parts = [("eval metrics", "metrics", planned["eval"]["metrics"], measured["eval"]["metrics"])]
    for one, again in zip(planned["predict"], measured["predict"], strict=True):
        parts.append((f"predict {one['kind']}", one["kind"], one["found"], again["found"]))
    for part in ("metrics", "weights") if "resume" in planned else ():
        parts.append((f"resume {part}", part, planned["resume"][part], measured["resume"][part]))
    for where, kind, expected, found in parts:
        if kind == "metrics":  # of which a later version may have more
            found = {name: value for name, value in found.items() if name in expected}
        yield from unlike(expected, found, **tolerance[kind], where=where)


def unlike(expected: Any, found: Any, absolute: float, relative: float, where: str = "") -> Iterator[str]:
    """One line for each value that differs: numbers by more than the tolerance, all else at all."""
    if type(expected) is not type(found) or (isinstance(expected, dict | list) and len(expected) != len(found)):
        yield f"{where}: {expected} expected, {found} found"
    elif isinstance(expected, dict | list):
        for key in expected if isinstance(expected, dict) else range(len(expected)):
            if isinstance(found, dict) and key not in found:
                yield f"{where}: no {key}"
            else:
                yield from unlike(expected[key], found[key], absolute, relative, f"{where} {key}")
    elif isinstance(expected, float):
        if not math.isclose(expected, found, rel_tol=0, abs_tol=absolute + relative * abs(expected)):
            yield f"{where}: {expected} expected, {found} found"
    elif expected != found:
        yield f"{where}: {expected} expected, {found} found"


# --- commands and what they write -------------------------------------------------------------------------------------


def run(script: str, options: list[str], folder: Path) -> Path:
    """python src/<script>.py on one CPU core, its run in `folder`; returns `folder`."""
    own = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(ROOT / f"src/{script}.py"), *options, f"hydra.run.dir={folder}"]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return folder


def filled(options: list[str], checkpoint: Path, pictures: Path) -> list[str]:
    """The options with paths for `{checkpoint}` and `{pictures}`."""
    places = {"{checkpoint}": str(checkpoint.resolve()), "{pictures}": str(pictures)}
    for mark, path in places.items():
        options = [option.replace(mark, path) for option in options]
    return options


def write_pictures(folder: Path) -> Path:
    """Four PNG files, 64 x 64, each of four of scikit-learn's digits; returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    digits = load_digits().images[:16].astype(np.uint8) * 15
    tiles = np.pad(np.kron(digits, np.ones((1, 3, 3), np.uint8)), ((0, 0), (4, 4), (4, 4)))
    for i, four in enumerate(tiles.reshape(4, 2, 2, 32, 32)):
        Image.fromarray(four.transpose(0, 2, 1, 3).reshape(64, 64)).save(folder / f"{i}.png")
    return folder


def metrics(folder: Path) -> dict[str, float]:
    """results.json of a run or an evaluation, with the names of version 0.1, without the time that it took."""
    found = json.loads((folder / "results.json").read_text())
    return {RENAMED.get(name, name): value for name, value in found.items() if name not in LATER}


def predicted(kind: str, folder: Path) -> dict[str, Any]:
    """What a prediction wrote into its folder, in short."""
    readers = {"classes": classes, "reconstructions": reconstructions, "samples": samples, "boxes": boxes}
    return readers[kind](folder)


def classes(folder: Path) -> dict[str, Any]:
    """How many rows predictions.csv has; label and probability of the first ones."""
    rows = table(folder)
    first = rows[:ROWS]
    labels, probabilities = [row["label"] for row in first], [float(row["probability"]) for row in first]
    return {"count": len(rows), "labels": labels, "probabilities": probabilities}


def reconstructions(folder: Path) -> dict[str, Any]:
    """The mean squared errors in predictions.csv."""
    return {"mse": [float(row["mse"]) for row in table(folder)]}


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def samples(folder: Path) -> dict[str, Any]:
    """Mean, standard deviation and some pixels of each image, in levels from 0 to 255."""
    images = [np.asarray(Image.open(path), np.float64) for path in sorted((folder / "samples").glob("*.png"))]
    return {
        "mean": [round(float(image.mean()), 6) for image in images],
        "std": [round(float(image.std()), 6) for image in images],
        "pixels": [[float(image[at]) for at in PIXELS] for image in images],
    }


def boxes(folder: Path) -> dict[str, Any]:
    """[file, class, score, x, y, width, height] of each box in boxes.json."""
    content = json.loads((folder / "boxes.json").read_text())
    files = {image["id"]: image["file_name"] for image in content["images"]}
    names = {category["id"]: category["name"] for category in content["categories"]}
    rows = [
        [files[box["image_id"]], names[box["category_id"]], box["score"], *box["bbox"]]
        for box in content["annotations"]
    ]
    return {"boxes": rows}


def weights(checkpoint: Path) -> dict[str, Any]:
    """A hash of a checkpoint's weights, and mean and standard deviation of each."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    sha, short = hashlib.sha256(), {}
    for name in sorted(state):
        values = state[name].contiguous()
        sha.update(name.encode() + values.numpy().tobytes())
        short[name] = [float(values.double().mean()), float(values.double().std(correction=0))]
    return {"sha256": sha.hexdigest(), "weights": short}


def main() -> None:
    if sys.argv[2:] == ["--check"]:
        sys.exit("\n".join(check(Path(sys.argv[1]))) or None)
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
