"""Samples of several runs side by side, a row for each, of the latents of one seed.

python benchmarks/samples.py <checkpoint or run folder> ... [--names gan vae] [--into samples.png] [--seed 0]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lightloom.core import run_dir
from lightloom.core.environment import variable
from lightloom.engine import checkpoint
from lightloom.ops.images.grid import captioned, grid, write_png
from lightloom.ops.rng import latents

ROOT = Path(__file__).parents[1]
COLUMNS = 12


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--names", nargs="+", help="of the rows; the runs' own where there are none")
    parser.add_argument("--into", type=Path, default=Path("samples.png"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logs = Path(variable("LIGHTLOOM_LOG_DIR") or ROOT / "logs")
    made, names = [], []
    for run in args.runs:
        cfg, module = checkpoint.restore(run_dir.find_checkpoint(run, logs, prefer="best"))
        made.append(module.eval().decode(latents(args.seed, COLUMNS, module.latent_dim)))
        names.append(str(cfg.run_name))
    page = captioned(grid(torch.cat(made), COLUMNS), left=args.names or names)
    write_png(args.into, page)
    print(f"{args.into}: {len(names)} rows of {COLUMNS} samples")


if __name__ == "__main__":
    main()
