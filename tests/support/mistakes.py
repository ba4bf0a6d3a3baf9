"""Mistakes of a user: the command, what it finds on disk, and what the message must name.

`python tests/support/mistakes.py` writes docs/errors.md: each command, and what it says.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
import resource
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import box_folders
import class_folders
import numpy as np
from commands import Command, start
from PIL import Image

from lightloom.cli.launch import prepared
from lightloom.core.errors import UserError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
SHORT = ("trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "test=false")
TINY = ("model=mlp", "model.network.hidden=[4]", *SHORT)

# Options that are refused before a run begins, and what the one line about them must contain.
COMMAND_LINE = [
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
    ("trainer.max_epoch=3", ["trainer.max_epoch=3", "Did you mean trainer.max_epochs"]),
    ("+trainer.max_epoch=3", ["Did you mean trainer.max_epochs"]),
    ("++trainer.max_epoch=3", ["Did you mean trainer.max_epochs"]),
    ("trainer.min_epochs=1", ["write +trainer.min_epochs=1"]),
    ("+trainer.max_epochs=3", ["write it without the +"]),
    ("data.augment.crop_mode=mirror", ["data.augment.crop_mode=mirror", "constant, reflect"]),
    ("model.init=xaver", ["Did you mean xavier?"]),
    ("data.augment.flip_order=alternate", ["Did you mean alternating?"]),
    ("model.test_views=mirror", ["expected none, flip, flip_and_shift"]),
    ("model.bias_lr=0", ["out of range", "above 0"]),
    ("data.augment.mixp=0.2", ["Did you mean data.augment.mixup"]),
    ("+data.augment.mixp=0.2", ["Did you mean data.augment.mixup"]),
    ("data.agment.mixup=0.2", ["Did you mean data.augment"]),
    ("model.opt.lr=0.1", ["Did you mean model.optimizer"]),
    ("data.transform.size=3", ["data.transform is null and has no options"]),
    ("task=classification", ["train.py has no choice of task", "model"]),
    ("lr=0.1", ["Did you mean model.optimizer.lr?"]),
    ("optimizer.lr=0.1", ["Did you mean model.optimizer.lr?"]),
    ("batch_size=12", ["Did you mean data.batch_size?"]),
    ("epochs=3", ["Did you mean trainer.max_epochs"]),
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
    ("-m model.optimizer.lr=0.1,abc", ["model.optimizer.lr=abc"]),
    ("model.optimizer.lr=${foo.bar}", ["model.optimizer.lr", "foo.bar"]),
    ("model.label_smoothing=2", ["out of range", "of at least 0 and below 1"]),
    ("data.val_fraction=1.5", ["out of range", "from 0 to 0.9"]),
    ("seed=-1", ["seed=-1 is out of range", "from 0 to 4294967295"]),
    ("seed=null", ["seed=null", "an integer"]),
    ("-m seed=1,abc", ["seed=abc"]),
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
    ("data.kind=detection", ["detection data", "needs image data", "data sets that fit: auto, cifar10", "digits"]),
    ("trainer.deterministic=maybe", ["expected warn, true, false"]),
    ("trainer.gradient_clip_val=abc", ["a number of at least 0 or null"]),
    ("trainer.accumulate_grad_batches=0", ["out of range", "at least 1"]),
    ("trainer.limit_train_batches=0", ["out of range", "at least 1"]),
    ("trainer.max_time=5", ["DD:HH:MM:SS"]),
    ("data.num_workers=-1", ["from 0 to 256"]),
    ("data.num_workers=1000", ["from 0 to 256"]),
    ("hydra.foo=1", ["hydra has no option 'foo'"]),
    ("+hydra.foo=1", ["hydra has no option 'foo'"]),
    ("hydra.run.dir=", ["expected a folder"]),
    ("paths.log_dir=null", ["expected a folder"]),
    ("run_name=../mine", ["expected a name"]),
    ("run_name=.", ["expected a name"]),
    ("test=null", ["expected true or false"]),
    ("seed=1,2", ["write -m seed=1,2"]),
    ("-m seed=1,2,x", ["seed=x"]),
    ("-m seed=1,2 ckpt_path=last", ["resume its runs one by one"]),
    ("--nonsense", ["unrecognized arguments: --nonsense"]),
    ("--resolve", ["--resolve goes with --cfg"]),
    ("--config-dir=/no/such/folder", ["there is no such folder"]),
    ("ckpt_path=configs/no.ckpt", ["there is no such file or folder"]),
    ("trainer.max_epochs==3", ["expected an integer"]),
    ("model=dcgan model.n_critic=0", ["model.n_critic=0 is out of range", "at least 1"]),
    ("model=dcgan trainer.gradient_clip_val=1", ["set model.gradient_clip_val=1"]),
    ("model=bigan trainer.accumulate_grad_batches=2", ["a step on each batch", "set data.batch_size=64"]),
    ("model=vae_gan trainer.gradient_clip_val=0.5", ["set model.gradient_clip_val=0.5"]),
    ("model=dcgan optimizer=adam", ["no model.optimizer", "optimizer@model.generator_optimizer=..."]),
    ("model=dcgan scheduler=cosine", ["no model.scheduler", "leave it out"]),
    ("model=lenet extractor=classifier", ["no callbacks.quality.extractor", "leave it out"]),
    ("model=dcgan extractor=classifier", ["callbacks.quality.extractor.checkpoint is not set"]),
    ("model=dcgan extractor=lpips", ["no such extractor", "pixels"]),
    ("model=dcgan data=signals", ["signal data", "needs image data", "digits"]),
    ("model=signal_ae data=digits", ["image data", "needs signal data", "signals"]),
    ("model=lenet data=signals", ["signal data", "needs image data"]),
    ("model=wgan_gp model.penalty.weight=-1", ["out of range"]),
    ("model=wgan model.constraint.limit=0", ["out of range", "above 0"]),
    ("model=vae model.iwae_samples=0", ["out of range", "at least 1"]),
    ("model=faster_rcnn data=digits", ["image data", "needs detection data", "digit_scenes"]),
    ("model=lenet data=digit_scenes", ["detection data", "needs image data", "digits"]),
]


@dataclass(frozen=True)
class Mistake:
    """A command (script and options), given in a folder where `files` has put what it finds.

    says: what its message contains. limits: of the process, as `resource.setrlimit` takes them.
    """

    topic: str
    what: str
    command: str
    says: Sequence[str]
    files: Callable[[Path], object] = lambda folder: None
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[int, int] = field(default_factory=dict)

    def start(self, folder: Path) -> Command:
        """The command, with options that keep a run short."""
        script, *options = shlex.split(self.command)
        given = {o.partition("=")[0].lstrip("+~") for o in options}
        short = () if script != "train" else SHORT if {"model", "experiment"} & given else TINY
        short = tuple(o for o in short if o.partition("=")[0] not in given)
        env = {"CUDA_VISIBLE_DEVICES": "", **self.env}
        return start(folder / "logs", *short, *options, script=script, env=env, cwd=folder, limits=self.limits)


# --- what lies in the folder


def holds(name: str, content: str | bytes) -> Callable[[Path], object]:
    """A file with this content."""

    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


def all_of(*makers: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: [make(folder) for make in makers]


def pets(folder: Path, names: Sequence[str] = ("cat", "dog"), images: int = 8) -> Path:
    """Class folders of small images."""
    for number, name in enumerate(names):
        (folder / "pets" / name).mkdir(parents=True)
        for i in range(images):
            Image.new("RGB", (8, 8), (50 * number, i, 0)).save(folder / "pets" / name / f"{i}.png")
    return folder / "pets"


def no_images(folder: Path) -> None:
    for path in pets(folder).glob("dog/*.png"):  # whichever is in the training part
        path.write_bytes(b"\x89PNG no image")


def boxes(folder: Path, line: str = "", images: int = 8) -> Path:
    """A set in YOLO's layout; `line` is the label of its first image."""
    holds("boxes/data.yaml", "names: [cat, dog]\n")(folder)
    (folder / "boxes/images").mkdir()
    for i in range(images):
        Image.new("RGB", (64, 64), (i, 0, 0)).save(folder / f"boxes/images/{i}.png")
        holds(f"boxes/labels/{i}.txt", (not i and line) or "0 0.5 0.5 0.2 0.2\n")(folder)
    return folder / "boxes"


def masks(folder: Path, values: int = 3, images: int = 8, size: int = 64) -> Path:
    """Images with masks that have so many classes; `size` is that of the first mask."""
    for kind in ("images", "masks"):
        (folder / "river" / kind).mkdir(parents=True)
    for i in range(images):
        side = size if not i else 64
        Image.new("RGB", (64, 64), (i, 0, 0)).save(folder / f"river/images/{i}.png")
        rows = np.arange(side * side, dtype=np.uint8).reshape(side, side) // 16 % values
        Image.fromarray(rows).save(folder / f"river/masks/{i}.png")
    return folder / "river"


def labelled(line: str) -> Callable[[Path], object]:
    return lambda folder: boxes(folder, line)


def coco(**annotation: object) -> Callable[[Path], object]:
    """Images with a file of COCO's that has this one annotation."""
    images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in range(8)]
    content = {"images": images, "categories": [{"id": 1, "name": "cat"}]}
    one = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 9, 9], **annotation}
    return all_of(boxes, holds("boxes/train.json", json.dumps({**content, "annotations": [one]})))


def emptied(folder: Path) -> None:
    for path in (boxes(folder) / "labels").iterdir():
        path.write_text("")


def mnist(folder: Path) -> None:
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        holds(f"data/mnist/raw/{name}-ubyte.gz", gzip.compress(bytes(100))[:-10])(folder)


def model(network: str, base: str = "base/classifier") -> Callable[[Path], object]:
    """A user's own model=mine in the folder `mine`."""
    return holds("mine/model/mine.yaml", f"defaults:\n  - {base}\n  - _self_\nnetwork: {network}\n")


@functools.cache
def _run() -> Path:
    """A finished run of two epochs, of one step each."""
    where = Path(tempfile.mkdtemp(prefix="lightloom-run-"))
    command = Mistake("", "", "train trainer.max_epochs=2 hydra.run.dir=run", ()).start(where)
    assert command.wait() == 0, command.text
    return where / "run"


def run(folder: Path) -> None:
    """A finished run in the folder `run`."""
    shutil.copytree(_run(), folder / "run")


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def damaged(damage: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: holds("a.ckpt", damage((_run() / "checkpoints/last.ckpt").read_bytes()))(folder)


PETS = "train data=image_folder data.root=pets data.image_size=8 data.batch_size=2 data.num_workers=0"
RIVER = "train model=unet model.network.width=4 data=masks data.root=river data.num_workers=0 data.batch_size=2"
BOXES = "train model=yolo data=yolo data.root=boxes data.image_size=64 data.batch_size=2"
ENDLESS = "a: &a [1,1]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrs"))
COCO = "train model=yolo data=coco data.root=boxes data.image_size=64 data.batch_size=2 data.reader.train=train.json"
SCENES = "train data=digit_scenes data.image_size=64 data.reader.train_size=2 data.reader.val_size=1"
MINE = "train --config-dir=mine model=mine"

RUNS = [
    # what is chosen
    Mistake(
        "options", "options that a class does not have", "train +trainer.foo=3 +model.optimizer.bar=3", ["trainer.foo"]
    ),
    Mistake("options", "an option that is empty", "train data.reader=null", ["data.reader is empty"]),
    Mistake("options", "a refused value", "train model.optimizer.betas=[2,3]", ["model.optimizer: Invalid beta"]),
    Mistake(
        "options", "a class that does not exist", "train model.optimizer._target_=torch.optim.Adamm", ["no such object"]
    ),
    Mistake(
        "options",
        "a schedule without an end",
        "train trainer.max_epochs=-1 trainer.max_time=00:00:00:01",
        ["scheduler=constant"],
    ),
    Mistake(
        "options",
        "a range for a sweeper without ranges",
        "train -m model.optimizer.lr=interval(0.1,1)",
        ["list the values"],
    ),
    Mistake("options", "a metric that is not logged", "train monitor.metric=val/accuracy", ["Did you mean val/acc?"]),
    Mistake("options", "a metric of the test", "train monitor.metric=test/acc", ["training logs no such metric"]),
    Mistake("options", "a metric kept at its worst", "train monitor.metric=val/loss", ["set monitor.mode=min"]),
    Mistake(
        "options",
        "another callback's metric",
        "train callbacks=early_stopping callbacks.early_stopping.monitor=val/los",
        ["val/los"],
    ),
    Mistake(
        "options",
        "pretrained weights drawn anew",
        "train model=timm model.network.checkpoint=a.pth model.init=he",
        ["model.init=default"],
    ),
    Mistake(
        "options",
        "a name that timm does not know",
        "train model=timm model.network.name=resnet_18",
        ["timm has no network"],
    ),
    Mistake(
        "options",
        "a patch that does not divide the image",
        "train model=vit model.network.patch_size=5",
        ["set model.network.patch_size"],
    ),
    Mistake(
        "options",
        "an image that a network cannot make",
        "train model=dcgan data.image_size=30",
        ["set data.image_size=32"],
    ),
    Mistake(
        "options",
        "an image that is too small",
        "train model=ssd data=digit_scenes data.image_size=8",
        ["set data.image_size=40"],
    ),
    Mistake(
        "options",
        "batch norm and one image",
        f"{SCENES} model=ssdlite data.batch_size=1",
        ["batch norm in SSD cannot learn from batches of 1"],
    ),
    Mistake(
        "options",
        "frozen statistics of no weights",
        f"{SCENES} model=yolo data.batch_size=2 model.network.backbone.norm=frozen",
        ["set model.network.backbone.checkpoint=<file>"],
    ),
    Mistake(
        "options",
        "weights for a backbone that they are not of",
        f"{SCENES} model=yolo data.batch_size=2 model.network.backbone.checkpoint=nowhere.pth",
        ["nowhere.pth", "set model.network.backbone.name"],
    ),
    Mistake(
        "options",
        "a gradient penalty with batch norm",
        "train model=wgan_gp model.discriminator.norm=batch",
        ["set model.discriminator.norm=none"],
    ),
    Mistake(
        "options",
        "an extractor that was never trained",
        "train model=dcgan extractor=classifier callbacks.quality.extractor.checkpoint=last",
        ["there is no"],
    ),
    Mistake(
        "options",
        "a learning rate too high",
        "train optimizer=sgd scheduler=constant model.optimizer.lr=1e30 trainer.limit_train_batches=5",
        ["the loss is", "lr"],
    ),
    # YAML of one's own
    Mistake(
        "YAML of your own", "no YAML", MINE, ["mine.yaml", "line 1"], holds("mine/model/mine.yaml", "network: [1\n")
    ),
    Mistake("YAML of your own", "nothing in it", MINE, ["no _target_"], holds("mine/model/mine.yaml", "# later\n")),
    Mistake("YAML of your own", "a misspelt base", MINE, ["base/classifyer"], model("{}", base="base/classifyer")),
    Mistake(
        "YAML of your own",
        "a misspelt class",
        MINE,
        ["model.network._target_"],
        model("{_target_: lightloom.networks.mlp.MLPP}"),
    ),
    Mistake(
        "YAML of your own",
        "a module that is not there",
        MINE,
        ["no module 'nowhere'"],
        model("{_target_: nowhere.Net}"),
    ),
    Mistake(
        "YAML of your own",
        "a misspelt option",
        MINE,
        ["Did you mean model.network.hidden?"],
        model("{_target_: lightloom.networks.mlp.MLP, hiden: [3]}"),
    ),
    Mistake(
        "YAML of your own",
        "arguments of another class",
        MINE,
        ["has no options in_channels", "also needs out_features"],
        model("{_target_: torch.nn.Linear, in_features: 3}"),
    ),
    # data
    Mistake(
        "data", "more images in a batch than there are", "train data.batch_size=99999", ["set data.batch_size=1293"]
    ),
    Mistake(
        "data",
        "one image in a batch, of which batch norm learns nothing",
        "train model.network.norm=batch data.batch_size=1",
        ["one value per channel", "set a larger data.batch_size"],
    ),
    Mistake(
        "data",
        "another number of classes",
        "train data.num_classes=7",
        ["data.num_classes is 7, but digits has 10 classes"],
    ),
    Mistake(
        "data",
        "another number of channels",
        "train data.channels=3 data.mean=[0,0,0] data.std=[1,1,1]",
        ["data.channels is 3"],
    ),
    Mistake("data", "no validation images", "train data.val_fraction=0", ["set a larger data.val_fraction"]),
    Mistake("data", "data that was not downloaded", "train data=mnist paths.data_dir=data", ["data.download=true"]),
    Mistake(
        "data",
        "a download without a network",
        "train data=mnist paths.data_dir=data data.download=true",
        ["check the network"],
        env={"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    ),
    Mistake(
        "data",
        "half a download",
        "train data=mnist paths.data_dir=data",
        ["train-images-idx3-ubyte.gz: not a whole gzip file"],
        mnist,
    ),
    Mistake(
        "data",
        "a pickle that asks for another function",
        "train data=cifar10 paths.data_dir=data",
        ["it asks for os.system"],
        all_of(
            *(
                holds(f"data/cifar10/cifar-10-batches-py/{name}", b"\x80\x04cos\nsystem\n.")
                for name in ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6)))
            )
        ),
    ),
    Mistake("data", "a folder that is not there", PETS, ["pets"]),
    Mistake("data", "a file in place of the folder", PETS, ["pets"], holds("pets", "x")),
    Mistake("data", "a folder without images", PETS, ["no class folders"], holds("pets/notes.txt", "x")),
    Mistake(
        "data", "an empty class folder", PETS, ["no images", "['emu']"], lambda folder: (pets(folder) / "emu").mkdir()
    ),
    Mistake("data", "a file that is no image", PETS, ["pets/dog/", "cannot be read"], no_images),
    Mistake(
        "data",
        "the same, read by worker processes",
        PETS.replace("workers=0", "workers=2"),
        ["pets/dog/", "cannot be read"],
        no_images,
    ),
    Mistake("data", "a folder of other classes", f"{PETS} data.num_classes=3", ["has 2 classes (cat, dog)"], pets),
    Mistake(
        "data",
        "a transform of images in memory",
        "train data.transform={_target_:torchvision.transforms.v2.RandomCrop,size:8}",
        ["use data.augment"],
    ),
    Mistake(
        "data",
        "a csv with another first line",
        "train data=kaggle_cifar10 data.root=kaggle",
        ["expected a first line `id,label`"],
        holds("kaggle/trainLabels.csv", "name,class\n1,cat\n"),
    ),
    Mistake(
        "data",
        "a csv that is no text",
        "train data=kaggle_cifar10 data.root=kaggle",
        ["is no text in UTF-8"],
        holds("kaggle/trainLabels.csv", b"id,label\n1,\xff\xfe\n"),
    ),
    Mistake(
        "data",
        "a csv of images that are not there",
        "train data=kaggle_cifar10 data.root=kaggle data.num_classes=1",
        ["1 of 1 rows name no image"],
        holds("kaggle/trainLabels.csv", "id,label\n1,cat\n"),
    ),
    # boxes
    Mistake(
        "boxes", "a folder of another layout", BOXES.replace("data=yolo", "data=voc"), ["no XML annotations in"], boxes
    ),
    Mistake(
        "boxes", "a class beyond num_classes", BOXES, ["none of the data's: 1 (0.png)"], labelled("5 0.5 0.5 0.2 0.2")
    ),
    Mistake("boxes", "pixels where shares are expected", BOXES, ["beyond [0, 1]", "0.png"], labelled("0 32 32 10 10")),
    Mistake(
        "boxes", "shares where pixels are expected", COCO, ["multiply x by the width"], coco(bbox=[0.1, 0.1, 0.5, 0.5])
    ),
    Mistake("boxes", "a corner that is not finite", BOXES, ["NaN or infinite corners"], labelled("0 nan 0.5 0.2 0.2")),
    Mistake("boxes", "a name in place of a number", BOXES, ["labels/0.txt, line 1"], labelled("cat 0.5 0.5 0.2 0.2")),
    Mistake("boxes", "empty annotation files only", BOXES, ["none of its 8 training images has a box"], emptied),
    Mistake(
        "boxes",
        "an image that cannot be read",
        BOXES,
        ["cannot be read: 1 (3.png)"],
        all_of(boxes, holds("boxes/images/3.png", "x")),
    ),
    Mistake(
        "boxes",
        "half a JSON",
        COCO,
        ["train.json: is no whole JSON"],
        all_of(boxes, holds("boxes/train.json", '{"images": [')),
    ),
    Mistake("boxes", "an annotation of no image", COCO, ["of image 99, which is not listed"], coco(image_id=99)),
    Mistake("boxes", "a category that is not listed", COCO, ["none of the data's: 1 (0.png)"], coco(category_id=7)),
    Mistake("boxes", "a text where a number is expected", COCO, ["annotations[0].area is 'x'"], coco(area="x")),
    Mistake(
        "boxes",
        "an image outside of the data's folder",
        BOXES,
        ["1 of its 1 images lie outside", "set data.root"],
        all_of(
            boxes, holds("boxes/list.txt", "../x.png\n"), holds("boxes/data.yaml", "train: list.txt\nnames: [cat]\n")
        ),
    ),
    Mistake(
        "boxes",
        "a YAML that is small and endless",
        BOXES,
        ["more than 200,000 values"],
        all_of(boxes, holds("boxes/data.yaml", ENDLESS)),
    ),
    Mistake(
        "boxes",
        "another number of classes",
        f"{BOXES} data.num_classes=1",
        ["has 2 classes (cat, dog), background not counted"],
        boxes,
    ),
    Mistake(
        "boxes", "a model of masks, data of boxes", BOXES.replace("yolo", "mask_rcnn", 1), ["has boxes only"], boxes
    ),
    Mistake("boxes", "a part that there is not", "inspect_data split=each", ["expected train, val, test"]),
    # checkpoints
    Mistake("checkpoints", "no run to resume", "train ckpt_path=last", ["there is no"]),
    Mistake(
        "checkpoints",
        "fewer epochs than are done",
        "train ckpt_path=run trainer.max_epochs=1",
        ["trainer.max_epochs=2 or more"],
        run,
    ),
    Mistake(
        "checkpoints",
        "another learning rate",
        "train ckpt_path=run model.optimizer.lr=0.5",
        ["model.optimizer.lr: ", " -> 0.5"],
        run,
    ),
    Mistake(
        "checkpoints", "another batch size", "train ckpt_path=run data.batch_size=8", ["data.batch_size: 32 -> 8"], run
    ),
    Mistake("checkpoints", "another seed", "train ckpt_path=run seed=1", ["seed: 0 -> 1"], run),
    Mistake(
        "checkpoints",
        "another optimizer",
        "train ckpt_path=run optimizer=sgd",
        ["model.optimizer._target_: torch.optim.AdamW -> torch.optim.SGD"],
        run,
    ),
    Mistake(
        "checkpoints",
        "another network",
        "train ckpt_path=run model.network.hidden=[5]",
        ["model.network.hidden: [4] -> [5]"],
        run,
    ),
    Mistake(
        "checkpoints",
        "another number of classes",
        f"{PETS} ckpt_path=run",
        ["readers.Digits -> lightloom.data.images.readers.ImageFolder"],
        all_of(run, pets),
    ),
    Mistake(
        "checkpoints",
        "a folder that is not to be continued",
        "train hydra.run.dir=run resume=never",
        ["holds a run already"],
        run,
    ),
    Mistake(
        "checkpoints",
        "nothing that must be continued",
        "train run_name=first resume=must",
        ["has no checkpoint to continue from"],
    ),
    Mistake("checkpoints", "an address of another kind", "train ckpt_path=ftp://127.0.0.1/a.ckpt", ["http"]),
    Mistake(
        "checkpoints",
        "half a file",
        "train ckpt_path=a.ckpt",
        ["a.ckpt is not a whole checkpoint"],
        damaged(lambda content: content[: len(content) // 2]),
    ),
    Mistake("checkpoints", "a bit flipped", "train ckpt_path=a.ckpt", ["a.ckpt"], damaged(_flipped)),
    Mistake(
        "checkpoints",
        "an empty file",
        "train ckpt_path=a.ckpt",
        ["a.ckpt is not a whole checkpoint"],
        holds("a.ckpt", ""),
    ),
    Mistake(
        "checkpoints",
        "a text file",
        "train ckpt_path=a.ckpt",
        ["a.ckpt is not a whole checkpoint"],
        holds("a.ckpt", "weights\n"),
    ),
    Mistake(
        "checkpoints",
        "another zip file",
        "train ckpt_path=a.ckpt",
        ["a.ckpt"],
        holds("a.ckpt", b"PK\x05\x06" + b"\0" * 18),
    ),
    Mistake("checkpoints", "nothing named to evaluate", "eval", ["ckpt_path is not set"]),
    Mistake("checkpoints", "a run that is not there", "eval ckpt_path=last", ["there is no"]),
    Mistake(
        "checkpoints",
        "evaluation on other classes",
        "eval ckpt_path=run data=image_folder data.root=pets data.channels=1 data.mean=[0] data.std=[1]",
        ["num_classes 2", "choose a data set that agrees"],
        all_of(run, pets),
    ),
    Mistake("checkpoints", "nothing to predict", "predict ckpt_path=run", ["Say what to predict"], run),
    Mistake(
        "checkpoints", "two things to predict", "predict ckpt_path=run input=run num_samples=3", ["two things"], run
    ),
    Mistake(
        "checkpoints",
        "new images from a classifier",
        "predict ckpt_path=run num_samples=3",
        ["makes no new images"],
        run,
    ),
    Mistake("checkpoints", "an image that is not there", "predict ckpt_path=run input=a.png", ["no such file"], run),
    Mistake("checkpoints", "a folder without images", "predict ckpt_path=run input=run", ["no images there"], run),
    Mistake(
        "checkpoints",
        "an image that cannot be read",
        "predict ckpt_path=run input=a.png",
        ["a.png"],
        all_of(run, holds("a.png", "x")),
    ),
    Mistake(
        "checkpoints",
        "prediction in several processes",
        "predict ckpt_path=run input=a.png trainer=ddp",
        ["one process"],
        all_of(run, holds("a.png", "x")),
    ),
    # masks
    Mistake("masks", "images without masks", "train model=unet data=masks data.root=pets", ["no images beside"], pets),
    Mistake(
        "masks",
        "an image whose mask is missing",
        RIVER,
        ["1 of 9 images have no mask, as 9.png"],
        all_of(masks, lambda folder: Image.new("RGB", (64, 64)).save(folder / "river/images/9.png")),
    ),
    Mistake(
        "masks",
        "a value that is no class",
        RIVER,
        ["river/masks/0.png (has the value 2", "classes are 0 to 1"],
        all_of(masks, holds("river/classes.txt", "land\nriver\n")),
    ),
    Mistake(
        "masks",
        "a mask of another size",
        RIVER,
        ["is 32 x 32 pixels, its image"],
        lambda folder: masks(folder, size=32),
    ),
    Mistake(
        "masks", "a damaged mask", RIVER, ["cannot be read as a mask"], all_of(masks, holds("river/masks/3.png", "x"))
    ),
    Mistake("masks", "no term of the loss", f"{RIVER} model.loss.cross_entropy=0", ["all of cross_entropy"], masks),
    Mistake(
        "masks", "weights for other classes", f"{RIVER} model.loss.class_weights=[1,2]", ["2 numbers for 3"], masks
    ),
    Mistake("masks", "masks for a model of boxes", "train model=yolo data=river_scenes", ["needs detection data"]),
    # export
    Mistake("export", "no checkpoint named", "export", ["ckpt_path is not set"]),
    Mistake("export", "a checkpoint that is not there", "export ckpt_path=a.ckpt", ["there is no such file"]),
    Mistake("export", "a format misspelt", "export ckpt_path=run format=onxx", ["Did you mean onnx?"], run),
    Mistake("export", "a format of boxes", "export ckpt_path=run format=voc", ["expected onnx, torch_export"], run),
    Mistake("export", "a use that a model has not", "export ckpt_path=run use=sample", ["can classify"], run),
    Mistake("export", "no difference allowed", "export ckpt_path=run tolerance=0", ["a number above 0"], run),
    Mistake(
        "export", "a model's format for boxes", "predict ckpt_path=run input=run format=onnx", ["expected coco"], run
    ),
    # the machine
    Mistake("the machine", "no GPU", "train trainer=gpu", ["trainer=cpu"]),
    Mistake("the machine", "16-bit weights on a CPU", "train trainer.precision=16-true", ["bf16-mixed"]),
    Mistake("the machine", "more devices than one process takes", "train trainer.devices=3", ["use trainer=ddp"]),
    Mistake(
        "the machine",
        "a batch that processes cannot share",
        "train trainer=ddp_cpu data.batch_size=3",
        ["set data.batch_size=2"],
    ),
    Mistake(
        "the machine",
        "a folder that cannot be made",
        "train paths.log_dir=file",
        ["Not a directory"],
        holds("file", "x"),
    ),
    Mistake(
        "the machine",
        "a run's folder that cannot be made",
        "train hydra.run.dir=file/run",
        ["Not a directory"],
        holds("file", "x"),
    ),
    Mistake(
        "the machine",
        "a full disk at a checkpoint",
        "train",
        ["cannot write the checkpoint", "free some space"],
        limits={resource.RLIMIT_FSIZE: 20_000},
    ),
    Mistake(
        "the machine", "a full disk from the start", "train", ["free some space"], limits={resource.RLIMIT_FSIZE: 500}
    ),
    Mistake(
        "the machine",
        "too few open files for the workers",
        "train data.num_workers=8",
        ["ulimit -n"],
        limits={resource.RLIMIT_NOFILE: 64},
    ),
    Mistake(
        "the machine",
        "a model larger than the memory",
        "train model.network.hidden=[100000000]",
        ["Out of memory", "smaller model"],
        limits={resource.RLIMIT_AS: 32 << 30},
    ),
    # reports
    Mistake("reports", "no runs to report on", "report", ["runs is not set", "runs=<run folder"]),
    Mistake("reports", "runs that are not there", "report runs=runs/first", ["no such file or folder"]),
    Mistake("reports", "a folder without runs", "report runs=.", ["no run has trained there"]),
    Mistake(
        "reports",
        "a run whose configuration is damaged",
        "report runs=broken",
        ["broken/config.yaml", "name another run"],
        all_of(holds("broken/config.yaml", "a: ["), holds("broken/overrides.txt", "")),
    ),
    Mistake("reports", "an option that reports do not have", "report run=last", ["Did you mean runs?"]),
    # sweeps
    Mistake("sweeps", "nothing to try", "sweep model=mlp", ["nothing to try", "several values"]),
    Mistake("sweeps", "a sweep that there is not", "sweep sweep=lr", ["no such sweep", "learning_rate"]),
    Mistake("sweeps", "an option of sweeps that there is not", "sweep sweep.trials=3 seed=1,2", ["n_trials"]),
    Mistake("sweeps", "a key of the space", "sweep model.optimizer.rl=0.1,0.2", ["no option 'rl'", "lr"]),
    Mistake("sweeps", "a value of the space", "sweep model.optimizer.lr=interval(-1,1)", ["out of range", "above 0"]),
    Mistake("sweeps", "a choice of the space", "sweep model=mlp,lnet", ["no such model", "lenet"]),
    Mistake(
        "sweeps",
        "a range without a step in a grid",
        "sweep model.optimizer.lr=interval(0.1,1) sweep.sampler=grid",
        ["choices or a step"],
    ),
    Mistake(
        "sweeps",
        "a logarithmic scale that begins at 0",
        "sweep data.augment.mixup=tag(log,interval(0,1))",
        ["expected low above 0"],
    ),
    Mistake("sweeps", "two kinds of model", "sweep model=mlp,vae", ["val/acc", "val/elbo", "cannot be compared"]),
    Mistake("sweeps", "a prefix", "sweep sweep.prefix=[nicer] seed=1,2", ["there is no program nicer"]),
    Mistake("sweeps", "seeds twice", "sweep seed=1,2 sweep.seeds=3", ["set sweep.seeds=1"]),
    Mistake("sweeps", "Hydra's flag", "sweep -m seed=1,2", ["-m: sweep.py takes"]),
]

# --- what they say


def refused(line: str) -> str:
    """What is said of train.py's options before a run begins."""
    try:
        prepared(shlex.split(line), "train")
    except UserError as error:
        return "\n".join(f"error: {problem}" for problem in str(error).splitlines())
    raise AssertionError(f"{line}: nothing is said")


def refused_class_folder(name: str, folder: Path) -> tuple[str, str]:
    """(the command, what is said) of a folder of images with classes that is refused when it is read."""
    (folder / "pets").mkdir()
    class_folders.CASES[name].build(folder / "pets")
    try:
        class_folders.read(folder / "pets")
    except UserError as error:
        return "train data=image_folder data.root=pets", said(f"error: {error}", folder)
    raise AssertionError(f"{name}: nothing is said")


def refused_folder(name: str, folder: Path) -> tuple[str, str]:
    """(the command, what is said) of a folder with boxes that is refused when it is read."""
    row = box_folders.REFUSED[name]
    row.build(folder / "boxes")
    options = [f"data.{'' if key in OF_ALL_READERS else 'reader.'}{key}={value}" for key, value in row.options.items()]
    try:
        box_folders.datamodule(folder / "boxes", row.choice, row.options).setup("fit")
    except UserError as error:
        return " ".join(["train", f"data={row.choice} data.root=boxes", *options]), said(f"error: {error}", folder)
    raise AssertionError(f"{name}: nothing is said")


def said(text: str, folder: Path) -> str:
    """From the first error on, without what differs from run to run."""
    text = (
        text[max(text.find("error: "), 0) :].rstrip().replace(str(folder), "<folder>").replace(str(ROOT), "<lightloom>")
    )
    text = re.sub(r"archive/data/\d+", "archive/data/<n>", text)
    return re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(-\d+)?", "<time>", text)


def row(what: str, command: str, said: str) -> str:
    """One line of the page's tables: lists of many names are shortened, the place of the log is left out."""
    problems = [line.removeprefix("error: ") for line in said.splitlines() if not line.startswith("Full traceback: ")]
    shown = [re.sub(r"((?:[^\s,]+, ){3})(?:[^\s,]+, ){2,}[^\s,.;)]+\.?", r"\1...", problem) for problem in problems]
    cells = [" ".join(filter(None, (what, _code(command)))), "<br>".join(map(_code, shown))]
    return f"| {' | '.join(cells)} |"


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    inner = text.replace("|", "\\|")
    return f"{fence} {inner} {fence}" if fence == "``" else f"`{inner}`"


def rows(page: str) -> list[str]:
    lines = page.splitlines()
    return [unlisted(line) for line in lines if line.startswith("| ") and not line.startswith(("| mistake", "| ---"))]


def unlisted(row: str) -> str:
    """A row without the names with which a long list begins: a project that has others says the same."""
    return re.sub(r"(?:[^\s,]+, ){3}\.\.\.", "...", row)


INTRODUCTION = """\
# Mistakes, and what is said of them

Written by `make errors`; `tests/cli/test_mistakes.py` gives each command and compares. Each line that is said begins
with `error:`, and the exit code is 2. Where the run has a folder already, its `run.log` has the traceback, and a last
line names the file. Nothing that was there is changed. A fault of the program, or of a module of your own, ends with
its traceback and exit code 1.

The commands stand for `python src/<command>.py ...`; options that only make a run short are left out, and long lists of
names are shortened.
"""
OF_ALL_READERS = ("images", "annotations")  # options of `data` that each reader takes
FOLDERS, CLASSES = "Folders with boxes", "Folders with classes"
HEADER = "| mistake | what is said |\n| --- | --- |"


def page() -> str:
    """docs/errors.md, from giving every command."""
    parts = [INTRODUCTION, "## The command line\n", HEADER]
    parts += [row("", f"train {line}", refused(line)) for line, _ in COMMAND_LINE]
    for topic in dict.fromkeys(mistake.topic for mistake in RUNS):
        parts += [f"\n## {topic[0].upper()}{topic[1:]}\n", HEADER]
        for mistake in RUNS:
            if mistake.topic == topic:
                with tempfile.TemporaryDirectory() as name:
                    folder = Path(name).resolve()
                    mistake.files(folder)
                    command = mistake.start(folder)
                    command.wait()
                    parts.append(row(mistake.what + ":", mistake.command, said(command.text, folder)))
    parts += [f"\n## {FOLDERS}\n", HEADER, *folder_rows(box_folders.REFUSED, refused_folder)]
    parts += [f"\n## {CLASSES}\n", HEADER, *folder_rows(class_folders.REFUSED, refused_class_folder)]
    return "\n".join(parts) + "\n"


def folder_rows(names: Iterable[str], refused: Callable[[str, Path], tuple[str, str]]) -> list[str]:
    """A row for each folder that is refused."""
    found = []
    for name in names:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place).resolve()
            found.append(row(f"{name}:", *refused(name, folder)))
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
