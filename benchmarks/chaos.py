"""Runs of every algorithm, interrupted at random and repeated by the same command, against the same runs left alone.

    python benchmarks/chaos.py [--only NAME ...] [--interruptions 6] [--seed 0]

SIGKILL, SIGTERM and SIGINT come at random moments, between or inside batches, in validation, while a checkpoint is
written. A run is identical where each step's batch and losses, everything in its last checkpoint (weights, averages,
optimizers, schedules, counters, the best score) and its metrics.csv are those of the run that was left alone, bit for
bit. `redone` counts the batches that were trained a second time because a SIGKILL or a validation left nothing newer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/support"))

SHORT = ("data=digits", "trainer.max_epochs=3", "trainer.limit_train_batches=12", "data.eval_batch_size=60")
SHORT += ("test=false", "trainer=cpu", "callbacks.checkpoint.every_n_steps=2")
FEW = ("callbacks.quality.val_samples=40",)
NARROW = ("model.generator.width=4", "model.discriminator.width=4", *FEW)
NARROW_CODES = ("model.encoder.width=4", "model.discriminator.width=4", *FEW)
LENET = ("model=lenet", "model.network.norm=batch")
SCENES = ("data=digit_scenes", "data.reader.train_size=24", "data.reader.val_size=8", "data.image_size=64")
WORKERS = (("data.num_workers=0",), ("data.num_workers=2",))
RUNS: dict[str, tuple[str, ...]] = {
    "classifier": LENET,
    "classifier, plateau schedule, 0 and 2 workers": (*LENET, "scheduler=plateau"),
    "classifier, accumulation of 4, dropout": ("model=nin", "trainer.accumulate_grad_batches=4"),
    "classifier, moving average": (*LENET, "callbacks=ema"),
    "classifier, validation every 5 batches": (*LENET, "+trainer.val_check_interval=5"),
    "GAN": ("model=dcgan", *NARROW),
    "WGAN-GP, k = 5": ("model=wgan_gp", "model.n_critic=5", *NARROW),
    "WGAN-GP, k = 5, average, 0 and 2 workers": ("model=wgan_gp", "model.n_critic=5", *NARROW, "callbacks=ema"),
    "BiGAN": ("model=bigan", "model.encoder.width=4", *NARROW),
    "VAE": ("model=vae", *FEW),
    "VAE+GAN": ("model=vae_gan", "model.decoder.width=4", *NARROW_CODES),
    "detector": ("model=yolo", *SCENES, "data.batch_size=2", "data.num_workers=0"),
}


def main() -> None:
    from interruptions import until_done

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--interruptions", type=int, default=6, help="of each run, at most")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(f"torch {torch.__version__}, CPU, at most {args.interruptions} interruptions a run, seed {args.seed}")
    print(f"{'run':46} {'interruptions':>13}  {'KILL TERM INT':13}  {'redone':>6}  identical")
    total, same = 0, 0
    for name in args.only:
        varied = WORKERS if "workers" in name else ((),)
        with tempfile.TemporaryDirectory() as scratch:
            options = (*SHORT, *RUNS[name])
            chaos = until_done(Path(scratch), options, args.interruptions, args.seed, varied=varied, wait=0.03)
        kinds = Counter(ending.split()[0] for ending in chaos.endings)
        shown = "  ".join(f"{kinds[f'SIG{kind}']:3}" for kind in ("KILL", "TERM", "INT"))
        total, same = total + len(chaos.endings), same + (not chaos.wrong)
        verdict = "yes" if not chaos.wrong else f"NO: {', '.join(chaos.wrong[:4])}"
        print(f"{name:46} {len(chaos.endings):13}  {shown:13}  {chaos.redone:6}  {verdict}", flush=True)
    print(f"{same} of {len(args.only)} identical, {total} interruptions")


if __name__ == "__main__":
    main()
