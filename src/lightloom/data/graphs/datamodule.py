"""The nodes of one graph. The graph is a batch, so that an epoch is a step; parts differ in the nodes that count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.utils.data import Dataset

from lightloom.core.errors import UserError
from lightloom.core.ranges import Count, Seed, Workers
from lightloom.data.contract import SPLITS, WHOLE, Summary
from lightloom.data.graphs.graph import UNKNOWN, Graph, compact, rows_to_one, with_classes, with_columns
from lightloom.data.identity import Identity, of_values
from lightloom.data.loading import Batches, KeyedDataModule, evaluation_order, rank_of, training_order
from lightloom.data.sampling import stratified_split
from lightloom.data.stated import check_classes

Setting = Literal["transductive", "inductive"]
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
MOST_KEPT = 2 * len(SPLITS)  # tensors on a device
REMEDIES = {
    "train": "say which nodes train, or give them labels",
    "val": "say which nodes validate, or set data.val_fraction and leave all parts out",
    "test": "say which nodes are tested, or set data.test_fraction and leave all parts out",
}
Fraction = Annotated[float, Ge(0), Le(0.9)]


class Reader(Protocol):
    """Reads a graph, once."""

    def read(self) -> Graph: ...


@dataclass(frozen=True)
class Nodes(Dataset[Batch]):
    """The nodes `index`, int64 (n,), of a graph, which is all that a model sees meanwhile."""

    graph: Graph
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, batch: Any) -> Batch:
        """The whole graph, whatever is asked for: features (N, F), adjacency (N, N), index (n,) and its labels (n,)."""
        return self.graph.features, self.graph.adjacency, self.index, self.labels

    @property
    def labels(self) -> Tensor:
        """Of these nodes, int64 (n,); of no others."""
        return self.graph.labels[self.index]

    @property
    def labelled(self) -> bool:
        return len(self) > 0 and bool((self.labels != UNKNOWN).all())

    def identity(self) -> Identity:
        features, adjacency = self.graph.features, self.graph.adjacency
        places = () if features.layout == torch.strided else (features.crow_indices(), features.col_indices())
        values = features if not places else features.values()
        edges = (adjacency.crow_indices(), adjacency.col_indices(), adjacency.values())
        return of_values(values, *places, *edges, self.index, self.labels)

    def pick(self, indices: Tensor) -> Nodes:
        return replace(self, index=self.index[indices])


class GraphDataModule(KeyedDataModule):
    """The nodes of a reader's graph.

    A batch is (features, adjacency, index, labels): features float (N, F), strided or CSR, of all nodes that may be
    seen; adjacency CSR (N, N), symmetric, without loops; the nodes that count, int64 (n,), and their classes.
    setting: transductive, training sees the features and edges of all nodes, but no label of others; inductive, it does
    not see the nodes of val and test, nor validation those of test. row_normalize: divide each node's features by their
    sum. val_fraction, test_fraction: of the labelled nodes, of each class, where the data has no parts of its own.
    Batch sizes, num_workers, shuffle and augment are what other data takes; here the graph is the batch.
    """

    items: ClassVar[str] = "labelled nodes"
    must_match: ClassVar[tuple[str, ...]] = ("num_features",)
    labels_must_match: ClassVar[tuple[str, ...]] = ("num_classes",)
    names_of_labels: ClassVar[tuple[str, ...]] = ("classes",)
    adopts: ClassVar[tuple[str, ...]] = ("row_normalize",)
    splits_by: ClassVar[tuple[str, ...]] = ("seed", "val_fraction", "test_fraction")

    def __init__(
        self,
        reader: Reader,
        name: str,
        kind: str,
        num_features: Count | None = None,
        num_classes: Count | None = None,
        classes: Sequence[str] | None = None,
        root: str = "",
        setting: Setting = "transductive",
        row_normalize: bool = True,
        val_fraction: Fraction = 0.2,
        test_fraction: Fraction = 0.2,
        seed: Seed = 0,
        batch_size: Count = 1,
        eval_batch_size: Count = 1,
        num_workers: Workers = 0,
        shuffle: bool = False,
        augment: None = None,
    ) -> None:
        super().__init__()
        self.reader, self.name, self.kind = reader, name, kind
        self.num_features, self.num_classes = num_features, num_classes
        self.classes = list(classes) if classes else None
        self.setting, self.row_normalize, self.seed = setting, row_normalize, seed
        self.val_fraction, self.test_fraction = val_fraction, test_fraction
        self.batch_size = self.eval_batch_size = 1  # of graphs
        self.shuffle = False
        self.known_columns, self.known_classes = list[str](), list[str]()
        self._on_device: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}  # with what it was sent of

    # --- the data and its facts

    @cached_property
    def graph(self) -> Graph:
        """All of it, with its parts; features as the model gets them."""
        found = self.reader.read()
        if self.known_columns:
            found = with_columns(found, self.known_columns, str(self.name))
        if self.known_classes:
            found = with_classes(found, self.known_classes, str(self.name))
        values = rows_to_one(found.features) if self.row_normalize else found.features
        return replace(found, features=compact(values), parts=self._parts(found))

    def state(self) -> dict[str, Any]:
        """The names of the features, where they have any."""
        return {"columns": list(self.graph.columns)} if self.graph.columns else {}

    def adopt(self, state: dict[str, Any]) -> None:
        """Features come in the order that the model knows."""
        self.known_columns = [str(name) for name in state.get("columns", ())]

    def match(self, trained: Mapping[str, Any], labelled: bool) -> None:
        """Number the classes as the model does, where they are some of those that it knows."""
        known = list(map(str, trained.get("classes") or []))
        own = self.graph.classes
        if known and own != known and (not own or set(own) & set(known)):
            del self.graph
            self.known_classes = known

    def _parts(self, found: Graph) -> dict[str, Tensor]:
        if found.parts:
            return dict(found.parts)
        known = (found.labels != UNKNOWN).nonzero().flatten()
        if not len(known):
            return {}
        train, test = stratified_split(found.labels[known], self.test_fraction, self.seed)
        rest, val = stratified_split(found.labels[known][train], self.val_fraction, self.seed)
        return {"train": known[train[rest]], "val": known[train[val]], "test": known[test]}

    def facts(self) -> dict[str, Any]:
        """What the data says of itself, checked against the configuration: num_features, num_classes and classes."""
        classes, features = list(self.graph.classes), self.graph.features.shape[1]
        check_classes(str(self.name), self.num_classes, self.classes, classes)
        if self.num_features not in (None, features):
            raise UserError(
                f"data.num_features is {self.num_features}, but {self.name} has {features}; set data.num_features=null."
            )
        self.num_features, self.num_classes, self.classes = features, len(classes), classes
        return {"num_features": features, "num_classes": len(classes), "classes": classes}

    def split(self, name: str) -> Nodes:
        """The nodes of `train`, `val` or `test`."""
        if name == WHOLE:
            return self.splits.setdefault(name, self.whole())
        if name not in self.splits:
            index = self.graph.parts.get(name)
            if index is None or not len(index):
                raise UserError(f"{self.name} has no {name} nodes; {REMEDIES[name]}.")
            self.splits[name] = Nodes(self._seen(name), index)
        return self.splits[name]  # type: ignore[no-any-return]

    def whole(self) -> Nodes:
        """Every node that has a label."""
        return Nodes(self.graph, (self.graph.labels != UNKNOWN).nonzero().flatten())

    def everything(self) -> Nodes:
        """Every node, labelled or not."""
        return Nodes(self.graph, torch.arange(len(self.graph)))

    def _seen(self, name: str) -> Graph:
        """The graph as the stage of a part sees it."""
        later = SPLITS[SPLITS.index(name) + 1 :]
        if self.setting == "transductive" or not later:
            return self.graph
        hidden = torch.zeros(len(self.graph), dtype=torch.bool)
        for part in later:
            hidden[self.graph.parts.get(part, [])] = True
        return self.graph.without(hidden)

    def setup(self, stage: str = "fit") -> None:
        """Read the parts that the stage needs, once."""
        if stage in ("fit", "validate"):
            self.split("train")
            self.split("val")

    def summary(self) -> Summary:
        found = super().summary()
        notes = (f"{len(self.graph):,} nodes", *self.graph.notes)
        return replace(found, of=f"{len(self.graph.classes):,} classes", notes=notes)

    # --- batches

    @property
    def num_train_batches(self) -> int:
        return 1

    def train_dataloader(self) -> Batches:
        _, processes = rank_of(self)
        if processes > 1:
            raise UserError(
                f"data={self.name} is one graph, which {processes} processes cannot share; use trainer=default, or "
                f"trainer.devices=1 and trainer.num_nodes=1."
            )
        return Batches(self.split("train"), training_order(self, 1))

    def eval_loader(self, name: str) -> Batches:
        """Any split once; its batch is the graph."""
        return Batches(self.split(name), evaluation_order(self, 1, name))

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """What is large is sent to a device once, and is the same object from then on."""
        features, adjacency, *nodes = batch
        return self._sent(features, device), self._sent(adjacency, device), *(part.to(device) for part in nodes)

    def _sent(self, values: Tensor, device: torch.device) -> Tensor:
        if values.device == device:
            return values
        key = (id(values), device)
        if key not in self._on_device:
            if len(self._on_device) == MOST_KEPT:
                self._on_device.clear()
            self._on_device[key] = (values, values.to(device))
        return self._on_device[key][1]
