"""A user's mistake ends in one message that names value, place, expectation and remedy, and in exit code 2."""

import gzip
import re
from pathlib import Path

import pytest
from commands import start
from PIL import Image

from lightlab.config import check, expand_shorthand
from lightlab.errors import UserError
from lightlab.launch import prepared

NETWORK = ("model=mlp", "model.network.hidden=[4]")
TINY = (*NETWORK, "trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "test=false")

SCENES = ("data=digit_scenes", "data.image_size=64", "data.reader.train_size=2", "data.reader.val_size=1")
SCENES += ("data.batch_size=2", "trainer=cpu", "test=false")

# Overrides, and what the one line about them must contain.
MISTAKES = [
    ("model=resnet81", ["model=resnet81", "Did you mean", "resnet18", "Known:", "lenet"]),
    ("model=Lenet", ["Did you mean lenet?"]),
    ("model=", ["model=", "Known:"]),
    ("data=cifar", ["Did you mean cifar10"]),
    ("experiment=foo", ["experiment=foo", "no such experiment"]),
    ("optimizer=adamx", ["Did you mean adam"]),
    ("callbacks=[ema,foo]", ["callbacks=foo", "early_stopping"]),
    ("model=[lenet,nin]", ["one model", "-m model=lenet,nin"]),
    ("+model=lenet", ["write it without the +"]),
    ("~model", ["a run needs one model"]),
    ("trainer=null", ["a run needs one trainer"]),
    ("hydra/launcher=joblib", ["hydra/launcher", "basic"]),
    ("optimizer@model.optimizers=sgd", ["optimizer@model.optimizer"]),
    ("trainer.max_epoch=3", ["trainer.max_epoch=3", "Did you mean trainer.max_epochs?"]),
    ("+trainer.max_epoch=3", ["Did you mean trainer.max_epochs?"]),
    ("++trainer.max_epoch=3", ["Did you mean trainer.max_epochs?"]),
    ("trainer.min_epochs=1", ["write +trainer.min_epochs=1"]),
    ("+trainer.max_epochs=3", ["write it without the +"]),
    ("data.augment.crop_mode=mirror", ["data.augment.crop_mode=mirror", "constant, reflect"]),
    ("model.init=xaver", ["Did you mean xavier?"]),
    ("data.augment.mixp=0.2", ["Did you mean data.augment.mixup"]),
    ("+data.augment.mixp=0.2", ["Did you mean data.augment.mixup"]),
    ("data.agment.mixup=0.2", ["Did you mean data.augment"]),
    ("model.opt.lr=0.1", ["Did you mean model.optimizer?"]),
    ("data.transform.size=3", ["data.transform is null and has no options"]),
    ("task=classification", ["train.py has no choice of task", "model"]),
    ("lr=0.1", ["Did you mean model.optimizer.lr?"]),
    ("optimizer.lr=0.1", ["Did you mean model.optimizer.lr?"]),
    ("batch_size=12", ["Did you mean data.batch_size?"]),
    ("epochs=3", ["Did you mean trainer.max_epochs?"]),
    ("+foo=3", ["no option 'foo'", "seed"]),
    ("~callbacks.foo", ["callbacks has no option 'foo'"]),
    ("+callbacks.ema.decay=0.9", ["callbacks.ema is no object", "callbacks=ema"]),
    ("foo", ["'foo' is not of the form key=value"]),
    ("=3", ["'=3' is not of the form key=value"]),
    ("data.root=/tmp/a(b", ["""'data.root="/tmp/a(b"'"""]),
    ("trainer.max_epochs=abc", ["trainer.max_epochs=abc", "expected an integer of at least 1"]),
    ("trainer.max_epochs=2.5", ["trainer.max_epochs=2.5", "expected an integer"]),
    ("trainer.max_epochs=ten", ["trainer.max_epochs=ten", "expected an integer"]),
    ("trainer.max_epochs=", ["expected an integer"]),
    ("trainer.max_epochs=0", ["out of range", "at least 1"]),
    ("data.batch_size=-4", ["data.batch_size=-4 is out of range", "at least 1"]),
    ("data.batch_size=true", ["expected an integer"]),
    ("model.optimizer.lr=fast", ["model.optimizer.lr=fast", "a number above 0"]),
    ("model.optimizer.lr=-1", ["out of range", "above 0"]),
    ("model.optimizer.lr=nan", ["out of range"]),
    ("model.optimizer.lr=0.1,abc", ["model.optimizer.lr=abc"]),
    ("model.optimizer.lr=${foo.bar}", ["model.optimizer.lr", "foo.bar"]),
    ("model.label_smoothing=2", ["out of range", "from 0 to 0.999"]),
    ("data.val_fraction=1.5", ["out of range", "from 0 to 0.9"]),
    ("seed=-1", ["seed=-1 is out of range", "from 0 to 4294967295"]),
    ("seed=null", ["seed=null", "an integer"]),
    ("seed=1,abc", ["seed=abc"]),
    ("test=maybe", ["expected true or false"]),
    ("data.mean=0.5", ["expected a list such as [0.3058]"]),
    ("data.mean=[a]", ["data.mean=a: expected a number"]),
    ("model.optimizer=sgd", ["model.optimizer.<option>=<value>"]),
    ("trainer.devices=0", ["out of range", "all"]),
    ("trainer.precision=17", ["trainer.precision=17", "16-mixed"]),
    ("trainer.accelerator=gpus", ["Did you mean gpu?"]),
    ("trainer.limit_train_batches=1.5", ["a share of them"]),
    ("trainer.gradient_clip_val=-1", ["out of range", "null"]),
    ("monitor.mode=maxi", ["Did you mean max?"]),
    ("data.kind=detection", ["detection data", "needs image data", "data sets that fit: cifar10", "digits"]),
]


@pytest.mark.parametrize(("line", "fragments"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_one_mistake_is_one_line(line, fragments):
    with pytest.raises(UserError) as caught:
        check("train", [expand_shorthand(line)])
    message = str(caught.value)
    assert "\n" not in message
    assert [f for f in fragments if f not in message] == [], message


GENERATIVE = [
    ("model=dcgan", "model.n_critic=0", ["model.n_critic=0 is out of range", "at least 1"]),
    ("model=dcgan", "trainer.gradient_clip_val=1", ["set model.gradient_clip_val=1"]),
    ("model=bigan", "trainer.accumulate_grad_batches=2", ["a step on each batch", "set data.batch_size=64"]),
    ("model=vae_gan", "trainer.gradient_clip_val=0.5", ["set model.gradient_clip_val=0.5"]),
    ("model=dcgan", "optimizer=adam", ["no model.optimizer", "optimizer@model.generator_optimizer=..."]),
    ("model=dcgan", "scheduler=cosine", ["no model.scheduler", "leave it out"]),
    ("model=lenet", "extractor=classifier", ["no callbacks.quality.extractor", "leave it out"]),
    ("model=dcgan", "extractor=classifier", ["callbacks.quality.extractor.checkpoint is not set"]),
    ("model=dcgan", "extractor=lpips", ["no such extractor", "pixels"]),
    ("model=dcgan", "data=signals", ["signal data", "needs image data", "digits"]),
    ("model=signal_ae", "data=digits", ["image data", "needs signal data", "signals"]),
    ("model=lenet", "data=signals", ["signal data", "needs image data"]),
    ("model=wgan_gp", "model.penalty.weight=-1", ["out of range"]),
    ("model=wgan", "model.constraint.limit=0", ["out of range", "above 0"]),
    ("model=vae", "model.iwae_samples=0", ["out of range", "at least 1"]),
    ("model=faster_rcnn", "data=digits", ["image data", "needs detection data", "digit_scenes"]),
    ("model=lenet", "data=digit_scenes", ["detection data", "needs image data", "digits"]),
]


@pytest.mark.parametrize(("model", "line", "fragments"), GENERATIVE, ids=[f"{m} {line}" for m, line, _ in GENERATIVE])
def test_one_mistake_about_a_generative_model_is_one_line(model, line, fragments):
    with pytest.raises(UserError) as caught:
        prepared([model, line], "train")
    message = str(caught.value)
    assert "\n" not in message
    assert [f for f in fragments if f not in message] == [], message


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


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["-m", "seed=1,2,x"], "seed=x"),
        (["--nonsense"], "--nonsense"),
        (["--config-dir=/no/such/folder"], "/no/such/folder"),
        (["--config-name=foo"], "foo"),
        (["-m", "model.optimizer.lr=interval(0.1,1)"], "INTERVAL_SWEEP"),
        (["ckpt_path=last"], "there is no"),
        (["ckpt_path=/no/such/file.ckpt"], "/no/such/file.ckpt"),
        (["hydra.run.dir=/proc/no"], "/proc/no"),
        (["paths.log_dir=/proc/no"], "paths.log_dir="),
        ([*TINY, "+trainer.foo=3", "+model.optimizer.bar=3"], "trainer.foo: pytorch_lightning.Trainer has no"),
        ([*TINY, "data.reader=null"], "data.reader is empty"),
        ([*TINY, "model.init=xaver"], "xaver"),
        ([*TINY, "trainer.max_time=abc"], "DD:HH:MM:SS"),
        ([*TINY, "data=mnist", "paths.data_dir=/no/such"], "data.download=true"),
        ([*TINY, "data=image_folder", "data.root=/no/such"], "/no/such"),
        ([*TINY, "data.batch_size=99999"], "digits has 1293 training images; set data.batch_size=1293"),
        ([*TINY, "data.num_classes=7"], "data.num_classes is 7, but digits has 10 classes"),
        ([*TINY, "data.channels=3", "data.mean=[0,0,0]", "data.std=[1,1,1]"], "data.channels is 3"),
        ([*TINY, "monitor.metric=val/accuracy"], "training logs no such metric. Did you mean val/acc?"),
        ([*TINY, "callbacks=early_stopping", "callbacks.early_stopping.monitor=val/los"], "val/los"),
        ([*SCENES, "model=yolo", "model.network.backbone.norm=frozen"], "set model.network.backbone.checkpoint=<file>"),
        ([*SCENES, "model=ssdlite", "data.batch_size=1"], "batch norm in SSD cannot learn from batches of 1"),
    ],
    ids=lambda value: " ".join(a for a in value if a not in (*TINY, *SCENES)) if isinstance(value, list) else "",
)
def test_a_mistake_ends_in_one_message_and_exit_code_2(arguments, fragment, tmp_path):
    failed(tmp_path, *arguments, fragment=fragment)


def failed(log_dir: Path, *arguments: str, fragment: str) -> str:
    """Run a command that must fail with one message containing `fragment`; returns what it says."""
    command = start(log_dir, *arguments)
    assert (command.wait(), command.text.count("Traceback")) == (2, 0), command.text
    errors = [line for line in command.text.splitlines() if line.startswith("error: ")]
    assert sum(fragment in line for line in errors) == 1, command.text
    assert len(errors) == (2 if "+model.optimizer.bar=3" in arguments else 1), command.text
    return command.text


def test_the_run_s_log_has_the_traceback(tmp_path):
    said = failed(tmp_path, *TINY, "monitor.metric=val/foo", fragment="val/foo")
    log = Path(re.search(r"Full traceback: (.*run\.log)", said)[1])
    assert tmp_path in log.parents
    text = log.read_text()
    assert text.count("Traceback (most recent call last)") == 1
    assert "lightlab.errors.UserError: monitor.metric=val/foo" in text
    assert not list(log.parent.glob("checkpoints/*"))  # found before training


@pytest.fixture
def folders(tmp_path) -> Path:
    """Two classes of eight images, with hidden files and folders among them."""
    for number, name in enumerate(("cat", "dog", ".thumbnails")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(8):
            Image.new("RGB", (8, 8), (100 * number, i, 0)).save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "pets" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "pets" / "cat" / ".hidden.png").write_bytes(b"x")
    return tmp_path / "pets"


PETS = (*TINY, "data=image_folder", "data.image_size=8", "data.batch_size=2", "trainer.limit_train_batches=1.0")


@pytest.mark.parametrize("workers", [0, 2])
def test_hidden_files_and_folders_are_no_data(folders, workers, tmp_path):
    command = start(tmp_path / "logs", *PETS, f"data.root={folders}", f"data.num_workers={workers}")
    assert command.wait() == 0, command.text


@pytest.mark.parametrize("workers", [0, 2])
def test_an_unreadable_image_is_named(folders, workers, tmp_path):
    """In a worker process too, whose exception arrives inside a traceback."""
    for i in range(8):  # whichever is in the training part
        (folders / "dog" / f"{i}.png").write_bytes(b"\x89PNG no image")
    failed(tmp_path / "logs", *PETS, f"data.root={folders}", f"data.num_workers={workers}", fragment=f"{folders}/dog/")


def test_a_folder_of_other_classes_disagrees_with_the_facts(folders, tmp_path):
    failed(tmp_path / "logs", *PETS, f"data.root={folders}", "data.num_classes=3", fragment="has 2 classes (cat, dog)")


def test_a_truncated_download_is_named(tmp_path):
    raw = tmp_path / "mnist" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte.gz").write_bytes(gzip.compress(bytes(100))[:-10])
    expected = "train-images-idx3-ubyte.gz: not a whole gzip file"
    failed(tmp_path / "logs", *TINY, "data=mnist", f"paths.data_dir={tmp_path}", fragment=expected)


def test_a_failed_download_says_what_to_do(tmp_path):
    offline = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    overrides = [*TINY, "data=mnist", "data.download=true", f"paths.data_dir={tmp_path}"]
    command = start(tmp_path / "logs", *overrides, env=offline)
    assert command.wait() == 2, command.text
    errors = [line for line in command.text.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "check the network" in errors[0]


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> bytes:
    """last.ckpt of a run of one step."""
    logs = tmp_path_factory.mktemp("trained")
    command = start(logs, *TINY)
    assert command.wait() == 0, command.text
    return next(logs.glob("runs/*/*/checkpoints/last.ckpt")).read_bytes()


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "a bit flipped": _flipped,
    "empty": lambda content: b"",
    "text": lambda content: b"not a checkpoint\n",
    "another zip": lambda content: b"PK\x05\x06" + b"\0" * 18,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_named(damage, checkpoint, tmp_path):
    path = tmp_path / "damaged.ckpt"
    path.write_bytes(DAMAGES[damage](checkpoint))
    failed(tmp_path / "logs", *TINY, f"ckpt_path={path}", fragment=str(path))


def test_the_whole_checkpoint_is_resumed(checkpoint, tmp_path):
    (tmp_path / "whole.ckpt").write_bytes(checkpoint)
    command = start(tmp_path / "logs", *TINY, f"ckpt_path={tmp_path}/whole.ckpt", "trainer.max_epochs=2")
    assert command.wait() == 0, command.text


def test_a_checkpoint_of_another_model_is_told(checkpoint, tmp_path):
    (tmp_path / "mlp.ckpt").write_bytes(checkpoint)
    overrides = [*TINY, f"ckpt_path={tmp_path}/mlp.ckpt", "model.network.hidden=[5]"]
    expected = "was trained with other options: model.network.hidden: [4] -> [5]"
    failed(tmp_path / "logs", *overrides, fragment=expected)


STOPPED = {
    "several values without -m": (("seed=1,2",), "write -m seed=1,2"),
    "a sweep that resumes": (("-m", "seed=1,2", "ckpt_path=last"), "resume its runs one by one"),
    "a monitor that only the test logs": (("monitor.metric=test/acc",), "training logs no such metric"),
    "a monitor kept at its worst": (("monitor.metric=val/loss",), "set monitor.mode=min"),
    "no validation images": (("data.val_fraction=0",), "set a larger data.val_fraction"),
    "a schedule without an end": (("trainer.max_epochs=-1", "trainer.max_time=00:00:00:01"), "scheduler=constant"),
    "a loss that is not finite": (
        ("optimizer=sgd", "model.optimizer.lr=1e20", "scheduler=constant", "trainer.limit_train_batches=5"),
        "training loss is",
    ),
    "a refused optimizer option": (("model.optimizer.betas=[2,3]",), "model.optimizer: Invalid beta"),
    "an image size that a network cannot make": (("model=dcgan", "data.image_size=30"), "set data.image_size=32"),
    "a gradient penalty with batch norm": (
        ("model=wgan_gp", "model.discriminator.norm=batch"),
        "set model.discriminator.norm=none",
    ),
    "an extractor that was never trained": (
        ("model=dcgan", "extractor=classifier", "callbacks.quality.extractor.checkpoint=last"),
        "callbacks.quality.extractor.checkpoint=last: there is no",
    ),
    "pretrained weights drawn anew": (
        ("model=timm", "model.network.checkpoint=a.pth", "model.init=he"),
        "model.init=default",
    ),
}


@pytest.mark.parametrize(("options", "says"), STOPPED.values(), ids=STOPPED)
def test_a_run_that_cannot_be_right_is_stopped(options, says, tmp_path):
    given = [o.partition("=")[0] for o in options]
    command = start(
        tmp_path,
        *(o for o in TINY if o.partition("=")[0] not in given and not ("model" in given and "hidden" in o)),
        *options,
    )
    assert command.wait() == 2
    assert says in command.text
    assert "Traceback (most" not in command.text


def test_sigterm_is_no_success(tmp_path):
    long = [o for o in TINY if "limit" not in o and "max_epochs" not in o]
    command = start(tmp_path, *long, "trainer.max_epochs=10000")
    command.wait_until(lambda: "epoch 1/" in command.text)
    command.process.terminate()
    assert command.wait() == 143
    assert "continue with ckpt_path=" in command.text
