"""An estimate, not a measurement: training on 1 to 1,024 GPUs, and what becomes the bottleneck where.

    python benchmarks/scaling.py [--work resnet50 gpt faster_rcnn] [--mfu 0.3] [--cores 12] [--storage 100e9]
    python benchmarks/scaling.py --step 0.1 [--parameters 25.6e6] [--bytes 4] [--overlap 0.6]

Works: the same batch on each GPU. A step is what its arithmetic takes at a share (mfu) of the GPU's peak, which is
assumed. Each GPU reads and decodes its own samples, in its share of a node's cores; all read from one storage; rank 0
writes the checkpoints, and the others wait. With --step: one model whose step was measured, in the same batch on each
GPU and in the same batch over all.

overlap: the share of the step, its backward pass, during which gradients are already on their way. A ring all-reduce
sends 2 (n - 1) / n of the gradients through each GPU's link (Patarasuk & Yuan 2009), here first inside the nodes and
then between them: n is the GPUs of a node on NVLink, then the nodes, whose GPUs each send their eighth through their
own network card. What does not fit beside the backward pass is waited for.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

GPUS = (1, 8, 16, 32, 64, 128, 256, 512, 1024)
NODE = 8  # GPUs
MEMORY = 141e9  # bytes of an H200 (NVIDIA's data sheet)
PEAK = 989e12  # bf16 operations a second of an H200, dense (NVIDIA's data sheet)
STATE = 16  # bytes of a parameter, its gradient and Adam's two moments, all in fp32
KEPT = 12  # of them in a checkpoint: no gradient


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


@dataclass(frozen=True)
class Work:
    """What a model asks of a machine: arithmetic of a sample in training, three times its forward pass.

    size: bytes of a sample in its shard. decoded: samples that one core reads, decodes and augments in a second.
    """

    name: str
    parameters: float
    operations: float
    batch: int
    size: float
    decoded: float


def transformer(parameters: float, depth: int, width: int, context: int) -> float:
    """Operations of a text in training: 6 for each parameter and token, and attention (PaLM, appendix B)."""
    return context * (6 * parameters + 12 * depth * width * context)


# Multiply-adds and parameters: torchvision's model cards. Bytes: the mean file of ImageNet and COCO, 2 for a token.
# Decoded: photographs were measured (benchmarks/shards.py), the other two are assumed.
WORKS = {
    "resnet50": Work("ResNet-50, 224 px", 25.6e6, 6 * 4.089e9, 256, 110e3, 193),
    "gpt": Work("GPT-2 of 124 M, 1,024 tokens", 124e6, transformer(124e6, 12, 768, 1024), 32, 2048, 50e3),
    "faster_rcnn": Work("Faster R-CNN, 800 px", 41.8e6, 6 * 134.4e9, 8, 160e3, 40),
}


@dataclass(frozen=True)
class Machine:
    """What is assumed of the machine: see the options of main."""

    mfu: float
    cores: float
    storage: float
    written: float
    minutes: float
    overlap: float


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


def computed(work: Work, machine: Machine) -> float:
    """Seconds of one GPU's step, the gradients' way not counted."""
    return work.batch * work.operations / (machine.mfu * PEAK)


def paces(work: Work, machine: Machine, gpus: int) -> dict[str, float]:
    """Seconds of a step by each of those that may be the slowest; they work beside each other."""
    return {
        "arithmetic": computed(work, machine),
        "gradients": step_time(computed(work, machine), 4 * work.parameters, gpus, machine.overlap),
        "decoding": work.batch / (machine.cores * work.decoded),
        "storage": gpus * work.batch * work.size / machine.storage,
    }


def waited(work: Work, machine: Machine) -> float:
    """The share of the time in which all wait until rank 0 has written its checkpoint."""
    seconds = KEPT * work.parameters / machine.written
    return seconds / (seconds + 60 * machine.minutes)


def estimate(work: Work, machine: Machine) -> list[str]:
    """Rows of Markdown: samples a second, against n times one GPU that waits for nothing, and who is the slowest."""
    alone = work.batch / computed(work, machine)
    rows = []
    for gpus in GPUS:
        times = paces(work, machine, gpus)
        slowest = max(times, key=times.__getitem__)
        rate = gpus * work.batch / times[slowest] * (1 - waited(work, machine))
        rows.append(
            f"| {gpus} | {rate:,.0f} | {rate / (gpus * alone):.1%} | {slowest} | "
            + " | ".join(f"{1e3 * seconds:.1f}" for seconds in times.values())
            + " |"
        )
    return rows


def print_works(names: list[str], machine: Machine) -> None:
    print("assumed:", machine, NVLINK, INFINIBAND, sep="\n")
    for work in map(WORKS.__getitem__, names):
        print(f"\n{work}\ncheckpoints: {KEPT * work.parameters / 1e9:.2f} GB, {waited(work, machine):.2%} of the time")
        needed = work.batch / computed(work, machine) / work.decoded
        print(f"cores that keep up with one GPU: {needed:.1f}\n")
        print("| GPUs | samples/s | efficiency | slowest | arithmetic, ms | with gradients | decoding | storage |")
        print("| --- " * 8 + "|", *estimate(work, machine), sep="\n")


def print_step(step: float, parameters: float, width: float, overlap: float) -> None:
    """The table of one model, by the time of its step."""
    size = parameters * width
    print(f"step {step} s, gradients {size / 1e6:,.1f} MB, overlap {overlap:.0%} of a step")
    for link in (NVLINK, INFINIBAND):
        share = f"{link.efficiency:.0%} of {link.bandwidth / 1e9:,.0f} GB/s one way"
        print(f"{link.name}: {share}, {1e6 * link.latency:.0f} µs a message")
    print("\n       all-reduce   efficiency, same batch on each GPU    efficiency, same batch in all")
    print(f"{'GPUs':>6} {'ms':>9} {'hidden':>12} {'nothing hidden':>19} {'hidden':>16} {'nothing hidden':>17}")
    for gpus in GPUS:
        print(f"{gpus:6} {1e3 * communication(size, gpus):9.2f}", end="")
        for seconds, widths in ((step, (13, 20)), (step / gpus, (17, 18))):
            for share, room in zip((overlap, 0.0), widths, strict=True):
                print(f"{seconds / step_time(seconds, size, gpus, share):{room}.1%}", end="")
        print()
    print(f"\nDDP holds {STATE} bytes per parameter on each GPU, here {parameters * STATE / 1e9:,.2f} of")
    print(f"{MEMORY / 1e9:.0f} GB, and stops at {largest_model() / 1e9:.1f}e9 parameters. FSDP holds {STATE}/n bytes")
    print("and sends 1.5 times as much.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", nargs="+", choices=list(WORKS), default=list(WORKS))
    parser.add_argument("--mfu", type=float, default=0.3, help="share of the GPU's peak that a step reaches")
    parser.add_argument("--cores", type=float, default=12, help="cores for each GPU that read and decode")
    parser.add_argument("--storage", type=float, default=100e9, help="bytes a second that all can read together")
    parser.add_argument("--written", type=float, default=2e9, help="bytes a second of a checkpoint")
    parser.add_argument("--minutes", type=float, default=10, help="between two checkpoints")
    parser.add_argument("--overlap", type=float, default=0.6, help="share of a step in which gradients are sent")
    parser.add_argument("--step", type=float, help="seconds of a measured step on one GPU")
    parser.add_argument("--parameters", type=float, default=25.6e6, help="of its model; ResNet-50 has 25.6e6")
    parser.add_argument("--bytes", type=float, default=4, help="of a gradient: 4 in fp32, 2 in bf16")
    args = parser.parse_args()
    if args.step:
        print_step(args.step, args.parameters, args.bytes, args.overlap)
        return
    machine = Machine(args.mfu, args.cores, args.storage, args.written, args.minutes, args.overlap)
    print_works(args.work, machine)


if __name__ == "__main__":
    main()
