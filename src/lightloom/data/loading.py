"""What every datamodule does alike: whose batches these are, in which order, and who loads them."""

from __future__ import annotations

import resource
import shutil
import signal
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from lightloom.core import watchdog
from lightloom.core.errors import UserError
from lightloom.core.text import megabytes
from lightloom.data.contract import SPLITS, WHOLE, Summary
from lightloom.data.identity import describe_split
from lightloom.data.sampling import Batch as Order
from lightloom.data.sampling import Blocks, EvenBatches, KeyedBatches
from lightloom.data.token_batches import TokenBatches
from lightloom.ops.torch_internals import report_unsent

HEARD = {*watchdog.ENDING, *([signal.SIGUSR1] if hasattr(signal, "SIGUSR1") else [])}
TIMEOUT = 300.0  # seconds
SHARED, WAITING = Path("/dev/shm"), 2  # where workers put batches, and how many each may have there
LOOKED_AT = 4  # samples
FILES, FILES_PER_WORKER = 60, 25  # open files of a run, and of a worker of its two loaders


class Batches:
    """A DataLoader without workers, and without a DataLoader's cost per batch. Lightning sets its sampler's epoch."""

    batch_sampler = None

    def __init__(self, dataset: Dataset[Any], sampler: Sampler[Order]) -> None:
        self.dataset, self.sampler = dataset, sampler

    def __len__(self) -> int:
        return len(self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        """The dataset's items for the sampler's batches; of a dataset that has `all_of`, in its own way."""
        own = getattr(self.dataset, "all_of", None)
        return map(self.dataset.__getitem__, self.sampler) if own is None else own(self.sampler)


class DeafLoader(DataLoader[Any]):
    """Its workers hear no signal: what is sent to all processes of a run is the training process's to answer, which
    still needs its batches. They inherit what is blocked while they are started.
    """

    def __iter__(self) -> Any:
        if not hasattr(signal, "pthread_sigmask"):
            return super().__iter__()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class KeyedDataModule(pl.LightningDataModule):
    """A datamodule whose training can begin at any batch of any epoch, and whose splits are each read by one loader.

    What `contract.Data` asks is here where it is the same for all kinds; `split`, `train_dataloader` and `eval_loader`
    are a kind's own.
    """

    items: ClassVar[str] = "items"  # what a split consists of, in the plural
    must_match: ClassVar[tuple[str, ...]] = ()
    labels_must_match: ClassVar[tuple[str, ...]] = ()
    names_of_labels: ClassVar[tuple[str, ...]] = ()
    adopts: ClassVar[tuple[str, ...]] = ()
    adopts_state_of: ClassVar[tuple[str, ...]] = ()
    splits_by: ClassVar[tuple[str, ...]] = ("seed", "val_fraction")

    def __init__(self) -> None:
        super().__init__()
        self.position = (0, 0)
        self.splits: dict[str, Any] = {}

    def facts(self) -> dict[str, Any]:
        """What the data says of itself, checked against the configuration, which it completes; by default nothing."""
        return {}

    def state(self) -> dict[str, Any]:
        """Facts that are too big for the configuration, kept in the checkpoint; by default none."""
        return {}

    def split(self, name: str) -> Any:
        """The data of `train`, `val` or `test`; raises UserError where there is none."""
        raise NotImplementedError

    def as_precise(self, batch: Any) -> Any:
        """The batch in the run's precision, which Lightning gives it before it is on the device, still in integers."""
        precision = getattr(self.trainer, "precision_plugin", None)
        return batch if precision is None else precision.convert_input(batch)

    def describe(self, split: str) -> dict[str, Any]:
        """count, and sha256 with what it is `of`, where the split has an `identity`."""
        return describe_split(self.split(split))

    def summary(self) -> Summary:
        """What was found in the splits that have been read; a kind adds what it sorts, leaves out and mends."""
        names = [WHOLE] if WHOLE in self.splits else [name for name in SPLITS if name in self.splits]
        return Summary(self.items, {name: len(self.splits[name]) for name in names})

    def can_be_tested(self, labelled: bool = True) -> bool:
        """Is there a test split, with labels where they are asked for?"""
        try:
            test = self.split("test")
        except UserError:
            return False
        return bool(test.labelled) or not labelled

    @property
    def num_train_batches(self) -> int:
        """Of an epoch, over all processes together."""
        return len(self.split("train")) // self.batch_size  # type: ignore[attr-defined, no-any-return]

    def resume_at(self, epoch: int, batch: int) -> None:
        """The next training loader starts with this batch of this epoch."""
        self.position = (epoch, batch)

    def eval_loader(self, name: str) -> DataLoader[Any] | Batches:
        """Any split once, in its order, without augmentation."""
        raise NotImplementedError

    def val_dataloader(self) -> DataLoader[Any] | Batches:
        return self.eval_loader("val")

    def test_dataloader(self) -> DataLoader[Any] | Batches:
        return self.eval_loader("test")

    def predict_dataloader(self) -> DataLoader[Any] | Batches:
        return self.eval_loader("test")


def loader(
    dataset: Dataset[Any], sampler: Sampler[Order], num_workers: int, seed: int, timeout: float = TIMEOUT
) -> DataLoader[Any] | Batches:
    """A loader of a dataset whose items are whole batches, asked for by the sampler.

    timeout: seconds that its workers may take for the next batch.
    """
    if num_workers == 0:
        return Batches(dataset, sampler)
    allow_files(num_workers)
    return DeafLoader(
        dataset,
        batch_size=None,  # the sampler yields whole batches
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator().manual_seed(seed),
        timeout=timeout,
        worker_init_fn=report_unsent,
    )


def files_of(batches: Any, number: int) -> list[Path]:
    """The files of the samples of a loader's batch, counted from 0; [] where its dataset has no `paths`."""
    paths = getattr(getattr(batches, "dataset", None), "paths", None)
    if paths is None:
        return []
    return [paths[i] for i in indices_of(batches, number)]


def indices_of(batches: Any, number: int) -> list[int]:
    """Places in its split of the samples of a loader's batch, counted from 0."""
    indices, _ = next(islice(batches.sampler, number, None))
    return indices.tolist()  # type: ignore[no-any-return]


def bytes_of_sample(batches: Any) -> int:
    """What a sample of a loader with workers takes in shared memory, by the first of them; 0 of one without workers."""
    if not isinstance(batches, DataLoader) or not batches.num_workers:
        return 0
    order = tuple(part[:LOOKED_AT] for part in next(iter(batches.sampler)))
    return -(-_bytes(batches.dataset[order]) // max(len(order[0]), 1))


def check_shared_memory(sample: int, sizes: Sequence[int], num_workers: int, processes: int) -> None:
    """Raise UserError where the batches that workers have ready do not fit into the memory that hands them over.

    sample: bytes of one. sizes: of the batches of each loader. A worker without room drops its batch, and the run would
    wait for it.
    """
    needed = sample * sum(sizes) * WAITING * num_workers * processes
    remedy = "set data.num_workers=0 or a smaller data.batch_size"
    free = shutil.disk_usage(SHARED).free if SHARED.is_dir() else needed
    if needed > free:
        raise UserError(
            f"data.num_workers={num_workers}: the batches that wait take up to {megabytes(needed)} of shared memory, "
            f"and {SHARED} has {megabytes(free)} free; {remedy}, or give it more room (docker run --shm-size=8g)."
        )
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY and sample * max(sizes) > limit:
        raise UserError(
            f"data.num_workers={num_workers}: a batch takes up to {megabytes(sample * max(sizes))} of shared memory, "
            f"and files may have {megabytes(limit)} (ulimit -f); {remedy}, or raise that limit."
        )


def _bytes(batch: Any) -> int:
    if isinstance(batch, torch.Tensor):
        return batch.nbytes
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, list | tuple) else ()
    return sum(map(_bytes, parts))


def allow_files(num_workers: int) -> None:
    """Let this process open as many files as its workers need; UserError where the system does not allow it.

    A worker holds pipes and one file per tensor that waits; short of them, workers die one by one with a traceback.
    """
    needed = FILES + FILES_PER_WORKER * num_workers
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UserError(
            f"data.num_workers={num_workers} needs about {needed} open files, and the limit is {hard}; raise it with "
            f"ulimit -n {max(4096, needed)}, or set data.num_workers=0."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def blocks_of(split: Any) -> Blocks | None:
    """Where a split's samples lie, of one that is best read block by block."""
    return getattr(split, "blocks", None)


def fetch(split: Any, indices: Tensor) -> None:
    """Let a split that reads from afar bring the samples of a batch together; others are left alone."""
    if own := getattr(split, "fetch", None):
        own(indices.tolist())


class OrdersBatches(Protocol):
    """A datamodule that orders its batches by these. position: the epoch and the batch that it begins with, once."""

    name: str | None
    batch_size: int
    eval_batch_size: int
    seed: int
    shuffle: bool
    position: tuple[int, int]
    trainer: pl.Trainer | None


def training_order(
    data: OrdersBatches,
    size: int,
    alternate: bool = False,
    weights: Tensor | None = None,
    lengths: Tensor | None = None,
    blocks: Blocks | None = None,
    batch_tokens: int | None = None,
) -> KeyedBatches:
    """This process's share of a datamodule's training batches of `size` samples, from where `data.position` says.

    alternate, weights, lengths, blocks: as in KeyedBatches. batch_tokens: of samples of these lengths, see
    TokenBatches. Raises UserError where the processes cannot share a batch equally.
    """
    rank, world_size = rank_of(data)
    if data.batch_size % world_size:
        raise UserError(
            f"data.batch_size is {data.batch_size}, which {world_size} processes cannot share equally; "
            f"set data.batch_size={data.batch_size // world_size * world_size or world_size}."
        )
    if batch_tokens is not None and lengths is not None:
        order: KeyedBatches = TokenBatches(
            lengths, data.batch_size, batch_tokens, data.seed, data.shuffle, rank, world_size
        )
    else:
        order = KeyedBatches(
            size, data.batch_size, data.seed, data.shuffle, rank, world_size, alternate, weights, lengths, blocks
        )
    order.set_epoch(data.position[0])
    order.start_at(data.position[1])
    data.position = (0, 0)
    return order


def evaluation_order(data: OrdersBatches, size: int, split: str) -> EvenBatches:
    """This process's share of each of `size` samples once; UserError where there are more processes than samples."""
    rank, world_size = rank_of(data)
    if size < world_size:
        raise UserError(f"{data.name} has {size} samples in {split}, fewer than the {world_size} processes; use fewer.")
    return EvenBatches(size, data.eval_batch_size, rank, world_size)


def rank_of(data: OrdersBatches) -> tuple[int, int]:
    """The number of this process, and how many there are; (0, 1) outside a run."""
    return (data.trainer.global_rank, data.trainer.world_size) if data.trainer else (0, 1)


def _as_it_is(batch: Any) -> Any:
    return batch
