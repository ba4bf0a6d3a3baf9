"""What each step from R-CNN to Faster R-CNN bought: time, precision and the proposals' recall on one backbone and data.

    python benchmarks/rcnn.py table [--data digit_scenes|bccd] [--models faster_rcnn,fast_rcnn,rcnn] [--epochs 6]
    python benchmarks/rcnn.py recall [--data coco128] [--images 128] [longest=320 ...]

table: each model learns by its own configuration and is measured on the test images: CPU seconds of training, of an
image given its proposals, and mAP at an IoU of 0.5; of R-CNN with and without its support vector machines and its
regression, all of one training. The proposals' CPU seconds are those of a search that keeps nothing. Further options
are Hydra's, for every model; of recall those of data.proposals. recall: the share of objects that some proposal
overlaps by 0.5 and 0.7, by the number of proposals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from lightloom.config import compose
from lightloom.config.instantiate import build
from lightloom.data import contract
from lightloom.data.boxes.datamodule import Batch, DetectionDataModule
from lightloom.data.boxes.proposals import recall
from lightloom.engine import facts, train
from lightloom.metrics.detection import CocoPrecision
from lightloom.modules.detector import Detector

SIZES = {
    "digit_scenes": ("data.reader.train_size=500", "data.reader.val_size=50", "data.reader.test_size=100"),
    "bccd": ("data.image_size=240", "data.proposals.longest=320"),
}
SHARED = ("data.batch_size=4", "data.eval_batch_size=1", "+model.network.backbone.width=16")
OVERLAPS = (0.5, 0.7)
NUMBERS = (50, 100, 200, 500, 1000, 2000)
TIMED = 20  # images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table")
    table.add_argument("--data", default="digit_scenes")
    table.add_argument("--models", default="faster_rcnn,fast_rcnn,rcnn")
    table.add_argument("--epochs", type=int, default=6)
    found = commands.add_parser("recall")
    found.add_argument("--data", default="coco128")
    found.add_argument("--images", type=int, default=128)
    args, options = parser.parse_known_args()
    torch.set_num_threads(1)
    if args.command == "recall":
        measure_recall(args, options)
        return
    print("| model | proposals, s an image | network, s an image | training, CPU s | mAP50 | mAP | recall@.5 |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for model in args.models.split(","):
        for row in measured(model, args.data, args.epochs, options):
            print("| " + " | ".join(row) + " |", flush=True)


def configuration(model: str, data: str, options: Sequence[str]) -> Any:
    sizes = [o for o in SIZES.get(data, ()) if model != "faster_rcnn" or "proposals" not in o]
    given = [o for o in options if model != "faster_rcnn" or "proposals" not in o]
    return compose.without_hydra(compose.compose("train", [f"model={model}", f"data={data}", *SHARED, *sizes, *given]))


def data_of(cfg: Any) -> DetectionDataModule:
    _, datamodule = train.build_data(cfg)
    found = contract.facts(datamodule)
    cfg.data.update(found)
    facts.fill_in(cfg, found)
    return datamodule


def measured(model: str, data: str, epochs: int, options: Sequence[str]) -> Iterator[list[str]]:
    """A row of the table for each way of scoring."""
    cfg = configuration(model, data, options)
    datamodule = data_of(cfg)
    pl.seed_everything(0, verbose=False)
    module = train.build_module(cfg)
    datamodule.setup("fit")
    datamodule.train_dataloader()  # what is to be found and kept is found before the clock runs
    trained = learned(module, datamodule, epochs)
    images = list(batches(datamodule))
    search, share = proposed(cfg, images)
    for name, network in ways(model, module.network):
        seconds, result = precision(module.eval(), network, images)
        scores = [f"{result['map50']:.3f}", f"{result['map']:.3f}"]
        yield [f"{model}{name}", search, f"{seconds:.3f}", f"{trained:.0f}", *scores, share]


def learned(module: Detector, datamodule: DetectionDataModule, epochs: int) -> float:
    """CPU seconds of a training."""
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, limit_val_batches=0, use_distributed_sampler=False,
        **dict.fromkeys(quiet, False),
    )  # fmt: skip
    begun = time.process_time()
    trainer.fit(module, datamodule=datamodule)
    return time.process_time() - begun


def batches(datamodule: DetectionDataModule) -> Iterator[Batch]:
    """The test images, one at a time, with what is known of them."""
    datamodule.setup("test")
    yield from (datamodule.on_after_batch_transfer(batch, 0) for batch in datamodule.eval_loader("test"))


def proposed(cfg: Any, images: Sequence[Batch]) -> tuple[str, str]:
    """Seconds of a search on an image, and recall of all proposals; of a network without them, that it has none."""
    if not cfg.data.proposals:
        return "its own", "-"
    search = build(cfg.data.proposals, "data.proposals")
    begun = time.process_time()
    for (image,), _ in images[:TIMED]:
        search(image.mul(255).round().byte())
    seconds = (time.process_time() - begun) / min(TIMED, len(images))
    targets = [target for _, (target,) in images]
    share = recall([t["proposals"] for t in targets], [t["boxes"] for t in targets], OVERLAPS[:1])
    return f"{seconds:.2f}", f"{share[0]:.3f}"


def ways(model: str, network: Any) -> Iterator[tuple[str, Any]]:
    """The network; of R-CNN also without its support vector machines and its regression, which do not come back."""
    yield "", network
    predictor = network.roi_heads.box_predictor
    if model == "rcnn":
        machines, boxes = predictor.svm, predictor.bbox_pred
        predictor.bbox_pred = None
        yield ", no regression", network
        predictor.svm, predictor.bbox_pred = None, boxes
        network.roi_heads.score_thresh *= machines.out_features
        yield ", softmax", network
        predictor.bbox_pred = None
        yield ", softmax, no regression", network


def precision(module: Detector, network: Any, images: Sequence[Batch]) -> tuple[float, dict[str, Tensor]]:
    """CPU seconds of an image and COCO's measures."""
    metric = CocoPrecision(False)
    seconds = 0.0
    with torch.inference_mode():
        for batch in images:
            begun = time.process_time()
            detections = module.detect(*batch)
            seconds += time.process_time() - begun
            metric.update(detections, batch[1])
    return seconds / len(images), metric.compute()


def measure_recall(args: argparse.Namespace, options: Sequence[str]) -> None:
    """Print a row for each number of proposals."""
    given = [f"data.proposals.{option}" for option in options]
    cfg = compose.without_hydra(compose.compose("train", ["model=fast_rcnn", f"data={args.data}", *given]))
    split = data_of(cfg).split("train")
    search = build(cfg.data.proposals, "data.proposals")
    proposals, truths, seconds = [], [], 0.0
    for i in range(0, len(split), -(-len(split) // args.images)):
        image, target = split[i]
        begun = time.process_time()
        proposals.append(search(image).float())
        seconds += time.process_time() - begun
        truths.append(target["boxes"][target["iscrowd"] == 0])
    mean = sum(map(len, proposals)) / len(proposals)
    print(f"{args.data}: {len(truths)} images, {sum(map(len, truths))} objects, {mean:.0f} proposals and "
          f"{seconds / len(truths):.2f} CPU s an image")  # fmt: skip
    print("| proposals | recall@.5 | recall@.7 |\n| --- | --- | --- |")
    for number in NUMBERS:
        shares = recall([boxes[:number] for boxes in proposals], truths, OVERLAPS)
        print(f"| {number} | {shares[0]:.3f} | {shares[1]:.3f} |", flush=True)


if __name__ == "__main__":
    main()
