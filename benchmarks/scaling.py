"""An estimate, not a measurement: data-parallel training on 8 to 1,024 GPUs, from a step's time and published links.

    python benchmarks/scaling.py [--step 0.1] [--parameters 25.6e6] [--bytes 4] [--overlap 0.6]

step: seconds of one GPU's forward and backward pass and optimizer step, measured. bytes: of a gradient (4 in fp32, 2 in
bf16). overlap: the share of the step, its backward pass, during which gradients are already on their way.

A ring all-reduce sends 2 (n - 1) / n of the gradients through each GPU's link (Patarasuk & Yuan 2009), here first
inside the nodes and then between them: n is the GPUs of a node on NVLink, then the nodes, whose GPUs each send their
eighth through their own network card. What does not fit beside the backward pass is waited for.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

GPUS = (1, 8, 16, 32, 64, 128, 256, 512, 1024)
NODE = 8  # GPUs
MEMORY = 141e9  # bytes of an H200 (NVIDIA's data sheet)
STATE = 16  # bytes of a parameter, its gradient and Adam's two moments, all in fp32


@dataclass(frozen=True)
class Link:
    """Bytes per second in one direction for a GPU, seconds that a message takes at least, share of it that is reached.

    NVLink: 900 GB/s of a GPU in both directions together (NVIDIA H100 and H200 data sheets, fourth generation).
    InfiniBand NDR: 400 Gbit/s of a card (NVIDIA ConnectX-7 data sheet), one for each GPU. latency and efficiency are
    assumptions.
    """

    name: str
    bandwidth: float
    latency: float
    efficiency: float = 0.8

    def all_reduce(self, size: float, n: int) -> float:
        """Seconds in which n sum up `size` bytes around a ring."""
        if n == 1:
            return 0.0
        return 2 * (n - 1) / n * size / (self.bandwidth * self.efficiency) + 2 * (n - 1) * self.latency


NVLINK = Link("NVLink 4", 450e9, 2e-6)
INFINIBAND = Link("InfiniBand NDR", 50e9, 5e-6)


def communication(size: float, gpus: int) -> float:
    """Seconds of an all-reduce of `size` bytes: inside a node, then between the nodes for an eighth each."""
    inside, nodes = min(gpus, NODE), -(-gpus // NODE)
    return NVLINK.all_reduce(size, inside) + INFINIBAND.all_reduce(size / inside, nodes)


def step_time(step: float, size: float, gpus: int, overlap: float) -> float:
    """Seconds of a step when what is sent during `overlap` of it costs nothing."""
    return step + max(0.0, communication(size, gpus) - overlap * step)


def largest_model() -> float:
    """Parameters of which a GPU can hold all states, with a fifth of its memory left for activations."""
    return 0.8 * MEMORY / STATE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--step", type=float, default=0.1, help="seconds on one GPU")
    parser.add_argument("--parameters", type=float, default=25.6e6, help="of the model; ResNet-50 has 25.6e6")
    parser.add_argument("--bytes", type=float, default=4, help="of a gradient")
    parser.add_argument("--overlap", type=float, default=0.6, help="share of a step in which gradients are sent")
    args = parser.parse_args()
    size = args.parameters * args.bytes
    print(f"step {args.step} s, gradients {size / 1e6:,.1f} MB, overlap {args.overlap:.0%} of a step")
    for link in (NVLINK, INFINIBAND):
        share = f"{link.efficiency:.0%} of {link.bandwidth / 1e9:,.0f} GB/s one way"
        print(f"{link.name}: {share}, {1e6 * link.latency:.0f} µs a message")
    print("\n       all-reduce   efficiency, same batch on each GPU    efficiency, same batch in all")
    print(f"{'GPUs':>6} {'ms':>9} {'hidden':>12} {'nothing hidden':>19} {'hidden':>16} {'nothing hidden':>17}")
    for gpus in GPUS:
        print(f"{gpus:6} {1e3 * communication(size, gpus):9.2f}", end="")
        for step, widths in ((args.step, (13, 20)), (args.step / gpus, (17, 18))):
            for overlap, width in zip((args.overlap, 0.0), widths, strict=True):
                print(f"{step / step_time(step, size, gpus, overlap):{width}.1%}", end="")
        print()
    held = args.parameters * STATE / 1e9
    print(f"\nDDP holds {STATE} bytes per parameter on each GPU, here {held:,.2f} of {MEMORY / 1e9:.0f} GB, and")
    print(f"stops at {largest_model() / 1e9:.1f}e9 parameters. FSDP holds {STATE}/n bytes and sends 1.5 times as much.")


if __name__ == "__main__":
    main()
