"""What a run asks of its data, and the answer for a LightningDataModule that was not written for it.

`Data` and `Split` say what a datamodule may offer. Nobody has to: the functions below ask for it, and take what
Lightning itself promises where it is not there. The engine asks through them only.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

import pytorch_lightning as pl
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor

from lightloom.config.foreign import plain
from lightloom.core.errors import UserError
from lightloom.core.text import first_of
from lightloom.data.identity import Identity, describe_split, digest_of_state

log = logging.getLogger("lightloom")

SPLITS = ("train", "val", "test")
WHOLE = "all"  # the split that is every labelled item
STAGES = {"train": "fit", "val": "validate", "test": "test"}  # of Lightning, in which a split is set up
STATE_SHA256 = "state_sha256"  # in the configuration of data that has a state


@dataclass(frozen=True)
class Summary:
    """What a run says of its data in one line, and records.

    items: what the data consists of, in the plural. parts: split -> how many, of those that have been read. of: what
    they are sorted into, `10 classes`. notes: what was left out, mended or is missing, each with its count.
    """

    items: str
    parts: dict[str, int]
    of: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {count:,}" for name, count in self.parts.items())
        said = " of ".join(filter(None, (f"{sum(self.parts.values()):,} {self.items}", self.of)))
        return "; ".join([f"{said} ({sizes})", *self.notes])


class Split(Protocol):
    """Items in an order. labelled: is known of each what a supervised task needs (classes, boxes, next tokens)?"""

    @property
    def labelled(self) -> bool: ...

    def __len__(self) -> int: ...

    def identity(self) -> Identity:
        """What tells these items from others."""
        ...

    def pick(self, indices: Tensor) -> Split:
        """The items at these indices, int64 (N,), in that order."""
        ...


class Data(Protocol):
    """A datamodule that states facts, can begin at any batch, and has splits by name.

    must_match, labels_must_match: facts in which a set must agree with the one that a model was trained on, always or
    where its task needs labels. names_of_labels: facts in which it may differ then, with a warning. adopts: facts that
    it takes over from that one where it is put in its place. adopts_state_of: kinds of data beside its own whose state
    it adopts where training begins with weights of a model of them. splits_by: options that decide what a split holds,
    taken over by a set of the same name.
    """

    name: str
    kind: str
    batch_size: int
    must_match: ClassVar[tuple[str, ...]]
    labels_must_match: ClassVar[tuple[str, ...]]
    names_of_labels: ClassVar[tuple[str, ...]]
    adopts: ClassVar[tuple[str, ...]]
    adopts_state_of: ClassVar[tuple[str, ...]]
    splits_by: ClassVar[tuple[str, ...]]

    def facts(self) -> dict[str, Any]:
        """What the data says of itself, checked against the configuration, which it completes: plain, small values.

        Called before a split is read. Raises UserError where the two disagree.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Facts that are too big for a configuration, such as a vocabulary: plain data, kept in the checkpoint."""
        ...

    def adopt(self, state: dict[str, Any]) -> None:
        """Take over the state of the data that a model was trained on, before which this data is put: before `facts`.

        A text is then encoded by the vocabulary that the model knows.
        """
        ...

    def split(self, name: str) -> Split:
        """`train`, `val` or `test`, or `all` where it can be asked for; raises UserError where there is none."""
        ...

    def match(self, trained: Mapping[str, Any], labelled: bool) -> None:
        """Number labels as the set does that a model was trained on, before which this one is put: before `facts`.

        trained: the configuration of that set. labelled: does the model need labels? Raises UserError where the model
        cannot know them.
        """
        ...

    def whole(self) -> Split:
        """Every labelled item, whatever its part: what a model is measured on that has trained on none of them."""
        ...

    def describe(self, split: str) -> dict[str, Any]:
        """count, sha256 and what that is `of`: for the record of a run and for the check of one that is resumed."""
        ...

    def summary(self) -> Summary:
        """What was found in the splits that have been read, left out and mended: the line of a run about its data."""
        ...

    def can_be_tested(self, labelled: bool = True) -> bool:
        """Is there a test split, with labels where they are asked for?"""
        ...

    @property
    def num_train_batches(self) -> int:
        """Of an epoch, over all processes together."""
        ...

    def train_dataloader(self) -> Any: ...

    def eval_loader(self, name: str) -> Any:
        """Any split once, in its order, without augmentation."""
        ...

    def resume_at(self, epoch: int, batch: int) -> None:
        """The next training loader starts with this batch of this epoch."""
        ...

    def example(self, count: int, seed: int) -> Any:
        """`count` inputs as a module gets them, drawn from the seed: to try or export a model without the data."""
        ...


def offered(data: pl.LightningDataModule | None, name: str, *arguments: Any) -> Any:
    """The method of `Data` with that name; None where the data has no such, or something else of its own so called.

    Common names (`split = 0.1`, `splits`, `state`) are free to data that was not written for this: what is taken for
    the method can be called with these arguments.
    """
    found = getattr(data, name, None)
    if not callable(found):
        return None
    try:
        inspect.signature(found).bind(*arguments)
    except (TypeError, ValueError):  # other arguments, or none that Python can tell
        return None
    return found


# --- facts


def facts(data: pl.LightningDataModule) -> dict[str, Any]:
    """What the data finds out about itself; nothing where it does not say. With a state, its SHA-256."""
    own = offered(data, "facts")
    found = dict(own()) if own else {}
    kept = state(data)
    return {**found, STATE_SHA256: digest_of_state(kept)} if kept else found


def state(data: pl.LightningDataModule) -> dict[str, Any]:
    """What travels in the checkpoint because it is too big for the configuration."""
    own = offered(data, "state")
    return dict(own()) if own else {}


def adopt(data: pl.LightningDataModule, kept: dict[str, Any]) -> None:
    """Let data that can do so take over a state that a checkpoint kept."""
    if kept and hasattr(data, "adopt"):
        data.adopt(kept)


def match(data: pl.LightningDataModule, trained: Mapping[str, Any], labelled: bool) -> None:
    """Let data that can do so number its labels as a model knows them."""
    if own := offered(data, "match", trained, labelled):
        own(trained, labelled)


def check_agrees(data: Mapping[str, Any], trained: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise UserError where a set cannot be put before a model that was trained on another.

    data, trained: the configurations of both. names: of the facts that must be the same.
    """
    for fact in names:
        ours, theirs = (_listed(known.get(fact)) for known in (data, trained))
        if ours != theirs:
            raise UserError(
                f"data={data.get('name')} has {fact} {_shown(ours)}, but the checkpoint was trained on "
                f"{trained.get('name')} with {fact} {_shown(theirs)}; choose a data set that agrees."
            )


def _listed(value: Any) -> Any:
    value = plain(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return first_of(value, 5)
    return "null" if value is None else str(value)


# --- splits


def prepare(data: pl.LightningDataModule, here: bool = True) -> None:
    """Download and unpack once, `here` in this process or in another: a fit and a test do not ask again."""
    if is_overridden("prepare_data", data, pl.LightningDataModule):
        if here:
            data.prepare_data()
        data.prepare_data = _prepared  # type: ignore[method-assign]


def _prepared() -> None:
    """In place of `prepare_data` when that is done."""


def read_splits(data: pl.LightningDataModule, test: bool = False) -> None:
    """Read what a run needs, with `test` its test too, so that what is wrong with it is said at once.

    What is not ours reads in the fit.
    """
    if split := offered(data, "split", "train"):
        data.setup("fit")
        split("train")
        if test:
            data.setup("test")


def unreadable(data: pl.LightningDataModule) -> dict[str, dict[Path, str]]:
    """split -> file -> what is wrong with it, of the splits that have been read, where the data can tell."""
    own = offered(data, "unreadable")
    return own() if own else {}


def can_be_tested(data: pl.LightningDataModule, labelled: bool = True) -> bool:
    """Is there something to test on, with labels where they are asked for?"""
    if own := offered(data, "can_be_tested", labelled):
        return bool(own(labelled))
    return is_overridden("test_dataloader", data, pl.LightningDataModule)


def check_labelled(data: pl.LightningDataModule, split: str) -> None:
    """Raise UserError where a split has no labels to compare with; data that does not say is taken to have them."""
    own = offered(data, "split", split)
    if own and not own(split).labelled:
        raise UserError(
            f"The {split} data of {name(data)} has no labels to compare with; use split=val, or predict.py."
        )


def training_labels(data: pl.LightningDataModule | None) -> Tensor:
    """What is known of each training item, in order; UserError where the data does not say."""
    own = offered(data, "split", "train")
    labels = getattr(own("train"), "labels", None) if own else None
    if not isinstance(labels, Tensor):
        raise UserError("the training data does not say how often it has each class (its split has no `labels`).")
    return labels


def describe(
    data: pl.LightningDataModule, known: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """What identifies each split that has been read, where it is not `known` yet; nothing of splits that do not say."""
    splits, own = getattr(data, "splits", None), offered(data, "describe", "train")
    found = {**known}
    for split, items in splits.items() if isinstance(splits, Mapping) else ():
        if split not in known and (own or offered(items, "identity")):
            found[split] = own(split) if own else describe_split(items)
    return found


def summary(data: pl.LightningDataModule) -> Summary | None:
    """What was found in the splits that have been read; None where the data does not say."""
    own = offered(data, "summary")
    found = own() if own else None
    return found if isinstance(found, Summary) else None


def name(data: pl.LightningDataModule) -> str:
    """As its configuration calls it, or its class."""
    return str(getattr(data, "name", None) or type(data).__name__)


# --- batches


def eval_loader(data: pl.LightningDataModule, split: str) -> Any:
    """A split once and in its order; of a plain LightningDataModule the loader that it has for the split's stage."""
    if own := offered(data, "eval_loader", split):
        return own(split)
    data.setup(STAGES[split])
    return getattr(type(data), f"{split}_dataloader")(data)  # an evaluation puts this function in its place


def num_train_batches(data: pl.LightningDataModule | None) -> int | None:
    """Of an epoch, over all processes together; None where only the training loader knows."""
    batches = getattr(data, "num_train_batches", None)
    return batches if isinstance(batches, int) else None


def total_steps(trainer: pl.Trainer) -> float:
    """Optimizer steps of the whole run, infinite where nothing ends it.

    From the number of training batches where the data says it, and else from the loader: which Lightning then builds
    early, so that loaders that can begin inside an epoch must not be asked (Lightning #20550).
    """
    batches = num_train_batches(getattr(trainer, "datamodule", None))
    if batches is None:
        return trainer.estimated_stepping_batches
    limit = trainer.limit_train_batches
    if limit is not None:
        batches = int(batches * limit) if isinstance(limit, float) else min(batches, limit)
    per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
    steps = per_epoch * trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else math.inf
    return min(steps, trainer.max_steps if trainer.max_steps > 0 else math.inf)


def orders_its_batches(data: pl.LightningDataModule | None) -> bool:
    """Does it share batches between processes itself, and begin where a checkpoint says?"""
    return offered(data, "resume_at", 0, 0) is not None


def resume_at(data: pl.LightningDataModule | None, epoch: int, batch: int) -> None:
    """Begin with this batch of this epoch. One line where that cannot be: the run then goes on, not bit for bit."""
    if own := offered(data, "resume_at", epoch, batch):
        own(epoch, batch)
        return
    where = f"inside epoch {epoch + 1}" if batch else f"with epoch {epoch + 1}"
    who = "plain data loaders have" if data is None else f"{name(data)} has"
    log.warning(
        "Continuing %s: %s no resume_at, so what is left of the epoch comes in a new order; the run goes on, but not "
        "bit for bit.",
        where,
        who,
    )
