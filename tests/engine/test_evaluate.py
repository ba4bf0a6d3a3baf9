"""A checkpoint alone is enough to test and to predict, and gives what training gave."""

import csv
import json
import logging
from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from lightloom.engine import evaluate

QUICK = ("trainer.max_epochs=1", "trainer.limit_train_batches=4", "trainer=cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The run folder of an MLP on the digits."""
    logs = tmp_path_factory.mktemp("logs")
    commands.run(logs, "model=mlp", *QUICK)
    return commands.runs(logs)[0]


def results(folder: Path) -> dict[str, float]:
    return json.loads((folder / "results.json").read_text())


def newest(logs: Path, kind: str) -> Path:
    return sorted((logs / kind).iterdir())[-1]


@pytest.mark.parametrize("trainer", ["cpu", "ddp_cpu"])
def test_eval_repeats_the_test_of_training(trained, tmp_path, trainer):
    commands.run(tmp_path, f"ckpt_path={trained}", f"trainer={trainer}", "batch_size=100", script="eval")
    again = results(newest(tmp_path, "eval"))
    expected = {name: value for name, value in results(trained).items() if name.startswith("test/")}
    assert again == pytest.approx(expected, abs=1e-6)
    assert (newest(tmp_path, "eval") / "confusion_matrix.png").is_file()


def test_data_may_be_swapped_for_a_set_with_the_same_facts(trained, tmp_path):
    for i in range(10):
        (tmp_path / "pictures/test" / str(i)).mkdir(parents=True)
        (tmp_path / "pictures/train" / str(i)).mkdir(parents=True)
        Image.new("L", (20, 20), 20 * i).save(tmp_path / f"pictures/test/{i}/a.png")
        Image.new("L", (20, 20), 20 * i).save(tmp_path / f"pictures/train/{i}/a.png")
    grey = (
        "data=image_folder",
        "data.channels=1",
        "data.mean=[0.5]",
        "data.std=[0.5]",
        f"data.root={tmp_path}/pictures",
    )
    commands.run(tmp_path, f"ckpt_path={trained}", *grey, "trainer=cpu", script="eval")
    assert 0 <= results(newest(tmp_path, "eval"))["test/acc"] <= 1


def test_data_with_other_facts_is_refused(trained, tmp_path):
    (tmp_path / "pictures/a").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "pictures/a/a.png")
    command = commands.start(
        tmp_path, f"ckpt_path={trained}", "data=image_folder", f"data.root={tmp_path}/pictures", script="eval"
    )
    assert command.wait() == 2
    assert "channels 3, but the checkpoint was trained on digits with channels 1" in command.text


def test_predictions_do_not_depend_on_how_the_images_are_named(trained, tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for name in ("a.png", "b.png", "deep/c.png"):
        pixels = torch.randint(256, (30, 40, 3), generator=generator, dtype=torch.uint8).numpy()
        Image.fromarray(pixels).save(folder / name)
    (folder / ".hidden.png").write_text("not an image")
    rows = {}
    for where in (folder, folder / "a.png", folder / "*.png"):
        commands.run(tmp_path, f"ckpt_path={trained}", f"input={where}", "trainer=cpu", script="predict")
        with (newest(tmp_path, "predict") / "predictions.csv").open() as file:
            rows[where] = list(csv.DictReader(file))
    names = [[Path(row["file"]).name for row in found] for found in rows.values()]
    assert names == [["a.png", "b.png", "c.png"], ["a.png"], ["a.png", "b.png"]]
    first, *others = ([row for row in found if row["file"].endswith("a.png")] for found in rows.values())
    assert all(other == first for other in others)
    assert first[0]["label"] in {str(i) for i in range(10)}
    assert 0.1 <= float(first[0]["probability"]) <= 1


@pytest.mark.parametrize(
    ("where", "says"),
    [("nothing_here", "no such file or folder"), ("empty", "no images there"), ("*.tiff", "no images there")],
)
def test_no_images_is_one_message(trained, tmp_path, where, says):
    (tmp_path / "empty").mkdir()
    command = commands.start(tmp_path, f"ckpt_path={trained}", f"input={tmp_path}/{where}", script="predict")
    assert command.wait() == 2
    assert says in command.text
    assert "Traceback (most" not in command.text


def test_kaggle_submission_has_the_competitions_header_and_order(tmp_path):
    root = tmp_path / "kaggle_cifar10"
    for split, count in (("train", 20), ("test", 12)):
        (root / split).mkdir(parents=True)
        for i in range(1, count + 1):
            Image.new("RGB", (32, 32), (i, 2 * i, 3 * i)).save(root / split / f"{i}.png")
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    (root / "trainLabels.csv").write_text("id,label\n" + "".join(f"{i},{classes[i % 10]}\n" for i in range(1, 21)))
    data = ("data=kaggle_cifar10", f"data.root={root}")
    commands.run(
        tmp_path, "model=mlp", *data, "data.batch_size=4", "data.num_workers=0", "data.val_fraction=0.3", *QUICK
    )
    commands.run(tmp_path, "ckpt_path=last", *data, "trainer=cpu", script="predict")
    lines = (newest(tmp_path, "predict") / "submission.csv").read_text().splitlines()
    assert lines[0] == "id,label"
    assert [line.split(",")[0] for line in lines[1:]] == [str(i) for i in range(1, 13)]
    assert {line.split(",")[1] for line in lines[1:]} <= set(classes)


def test_nothing_in_a_checkpoint_but_its_model_and_data_is_built(trained, tmp_path):
    checkpoint = torch.load(trained / "checkpoints/best.ckpt", weights_only=True)
    trap = {"_target_": "tempfile.mkdtemp", "prefix": "trap", "dir": str(tmp_path)}
    checkpoint["lightloom"]["config"]["callbacks"]["confusion_matrix"] = {"_target_": "builtins.dict", "x": trap}
    torch.save(checkpoint, tmp_path / "trap.ckpt")
    commands.run(tmp_path, f"ckpt_path={tmp_path}/trap.ckpt", "trainer=cpu", script="eval")
    assert not list(tmp_path.glob("trap?*/"))


@pytest.mark.parametrize(
    ("declared", "labelled", "warned"), [(("classes",), True, 1), (("classes",), False, 0), ((), True, 0)]
)
def test_other_names_of_labels_are_warned_of_where_the_data_says_which_they_are(declared, labelled, warned, caplog):
    data = OmegaConf.create({"name": "a", "classes": ["cat"]})
    trained = OmegaConf.create({"name": "b", "classes": ["dog"]})
    with caplog.at_level(logging.WARNING):
        evaluate.check_same_facts(SimpleNamespace(names_of_labels=declared), data, trained, labelled)
    assert caplog.text.count("The classes of a are called otherwise than those of b") == warned
