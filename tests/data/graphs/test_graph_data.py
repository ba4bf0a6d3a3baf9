"""A graph is the same however its edges are listed; what a part may not see does not reach it; files are data."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import compose

from lightloom.config import compose as config
from lightloom.config.instantiate import build_datamodule
from lightloom.core.errors import UserError
from lightloom.data.graphs.datamodule import GraphDataModule
from lightloom.data.graphs.generated import Communities, KarateClub
from lightloom.data.graphs.graph import undirected
from lightloom.data.graphs.readers import NpzGraph
from lightloom.data.graphs.tables import GraphTable

PAIRS = torch.tensor([[0, 1, 2, 4, 4], [1, 2, 0, 5, 5]])


def data(reader: object, **options: object) -> GraphDataModule:
    return GraphDataModule(reader, "a", "graph", **options)  # type: ignore[arg-type]


# --- edges


def test_order_direction_and_copies_of_edges_change_no_bit():
    expected = undirected(PAIRS, 7, torch.tensor([1.0, 2.0, 3.0, 4.0, 4.0]))[0]
    weights = torch.tensor([4.0, 3.0, 1.0, 2.0, 1.0, 9.0])
    listed = torch.tensor([[5, 0, 0, 2, 1, 6], [4, 2, 1, 1, 0, 6]])
    found, notes = undirected(listed, 7, weights)
    for part in ("crow_indices", "col_indices", "values"):
        assert torch.equal(getattr(found, part)(), getattr(expected, part)())
    assert torch.equal(found.to_dense(), found.to_dense().T)
    assert notes == [
        "4 edges",
        "1 loops left out",
        "3 edges in one direction that were given the other",
        "2 nodes without neighbours",
    ]


def test_an_edge_has_one_weight():
    with pytest.raises(UserError, match=r"the edge of nodes [12] and [12] has two weights"):
        undirected(torch.tensor([[0, 1, 2], [1, 2, 1]]), 3, torch.tensor([1.0, 1.0, 2.0]))


# --- what a part sees


@pytest.mark.parametrize("name", ["communities", "karate"])
def test_what_needs_no_file_is_as_its_configuration_says(name):
    options = config.without_hydra(compose(f"data={name}", "model=gcn")).data
    found, again = build_datamodule(options), build_datamodule(options)
    facts, parts = found.facts(), [found.split(part) for part in ("train", "val", "test")]
    assert facts["num_features"] == found.graph.features.shape[1]
    indices = torch.cat([part.index for part in parts])
    assert len(indices) == len(indices.unique()) == len(found.graph)
    assert all(part.labelled for part in parts)
    assert len({part.identity().sha256() for part in parts}) == 3
    assert again.split("train").identity().sha256() == parts[0].identity().sha256()


def poisoned(reader: object, part: str, what: str) -> GraphDataModule:
    """With other labels or features of the nodes of a part."""
    found = data(reader)
    graph, index = reader.read(), found.split(part).index  # type: ignore[attr-defined]
    values = getattr(graph, what)
    values[index] = (values[index] + 1) % 2
    return data(type("Reader", (), {"read": lambda self: graph})())


@pytest.mark.parametrize("setting", ["transductive", "inductive"])
@pytest.mark.parametrize("part", ["val", "test"])
def test_labels_of_other_parts_never_enter(setting, part):
    expected, found = data(Communities(200), setting=setting), poisoned(Communities(200), part, "labels")
    found.setting = setting
    for own in {"train", "val", "test"} - {part}:
        for a, b in zip(expected.split(own)[0], found.split(own)[0], strict=True):
            assert torch.equal(a.to_dense(), b.to_dense())
    assert not torch.equal(expected.split(part).labels, found.split(part).labels)


@pytest.mark.parametrize(("part", "blind"), [("val", ["train"]), ("test", ["train", "val"])])
def test_inductive_training_sees_no_features_and_edges_of_later_parts(part, blind):
    expected, found = data(Communities(200), setting="inductive"), poisoned(Communities(200), part, "features")
    found.setting = "inductive"
    for own in ("train", "val", "test"):
        features, adjacency, *_ = found.split(own)[0]
        same = torch.equal(expected.split(own)[0][0].to_dense(), features.to_dense())
        assert same == (own in blind)
        later = expected.split(part).index
        assert bool(adjacency.to_dense()[later].any()) == (own not in blind)
        assert torch.equal(adjacency.to_dense(), adjacency.to_dense().T)


def test_rows_of_features_sum_to_one_unless_asked_otherwise():
    graph = data(Communities(200)).graph
    sums = graph.features.to_dense().sum(1)
    torch.testing.assert_close(sums[sums > 0], torch.ones(int((sums > 0).sum())))
    assert data(Communities(200), row_normalize=False).graph.features.to_dense().unique().tolist() == [0, 1]


def test_a_graph_is_not_shared_between_processes():
    found = data(Communities(200))
    found.trainer = type("Trainer", (), {"global_rank": 0, "world_size": 2})()  # type: ignore[assignment]
    with pytest.raises(UserError, match="a is one graph, which 2 processes cannot share"):
        found.train_dataloader()


# --- files

WHOLE = {
    "x": np.eye(6, 4, dtype=np.float32),
    "y": np.array([0, 1, 0, 1, -1, 0]),
    "edge_index": np.array([[0, 1, 4], [1, 2, 5]]),
}
BROKEN = {
    "no labels": ({"y": None}, "has no y, labels"),
    "an object": ({"x": np.array([{}] * 6, dtype=object)}, "is no .npz of plain arrays"),
    "an edge to nowhere": ({"edge_index": np.array([[0], [6]])}, "edge_index has 0 to 6; expected from 0 to 5"),
    "edges of three": ({"edge_index": np.zeros((3, 2), dtype=int)}, "expected .2, E."),
    "labels with a point": ({"y": np.zeros(6)}, "y is of type float64; expected whole numbers"),
    "other lengths": ({"x": np.eye(5, 4)}, "expected finite numbers .6, features."),
    "no number": ({"x": np.full((6, 4), np.nan)}, "expected finite numbers"),
    "a mask of numbers": ({"train_mask": np.zeros(6)}, "train_mask is float64"),
    "weights below 0": ({"edge_weight": np.array([1.0, -1.0, 1.0])}, "3 numbers above 0"),
    "classes too few": ({"classes": np.array(["a"])}, "y goes up to 1, but there are 1 classes"),
    "a weight each way": (
        {"edge_index": np.array([[0, 1, 4], [1, 0, 5]]), "edge_weight": np.array([1.0, 2.0, 1.0])},
        "has two weights",
    ),
}


def saved(folder: Path, **changed: object) -> NpzGraph:
    np.savez(folder / "a.npz", **{k: v for k, v in {**WHOLE, **changed}.items() if v is not None})
    return NpzGraph(str(folder), "a")


def test_a_graph_of_a_file(tmp_path):
    found = data(saved(tmp_path, classes=np.array(["x", "=y"])), val_fraction=0.25, test_fraction=0.25)
    assert found.facts() == {"num_features": 4, "num_classes": 2, "classes": ["x", "=y"]}
    assert sum(len(found.split(part)) for part in ("train", "val", "test")) == 5
    assert len(found.whole()) == 5
    assert len(found.everything()) == 6
    assert not found.everything().labelled


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_a_file_is_said(name, tmp_path):
    changed, said = BROKEN[name]
    with pytest.raises(UserError, match=f"a.npz: .*{said}"):
        saved(tmp_path, **changed).read()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", pickle.dumps({"x": 1})])
def test_what_is_no_archive_is_refused(content, tmp_path):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"is no \.npz of plain arrays"):
        NpzGraph(str(tmp_path), "a").read()


def test_an_archive_that_unpacks_to_more_than_is_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTLOOM_MAX_BYTES", "100000")
    np.savez_compressed(tmp_path / "a.npz", **{**WHOLE, "z": np.zeros(1_000_000)})
    with pytest.raises(UserError, match=r"holds 8,0.* bytes, more than 100,000"):
        NpzGraph(str(tmp_path), "a").read()


NODES = "id,label,split,height,weight\nann,x,train,1,2\nbob,y,train,3,4\ncid,,,5,6\ndan,y,val,7,8\n=eve,x,test,9,-1\n"
TABLES = {
    "a missing column": ({"nodes": "name\na\n"}, "nodes.csv: has no column id"),
    "a node twice": ({"nodes": "id\na\na\n"}, "the id a is there twice"),
    "no rows": ({"nodes": "id\n"}, "nodes.csv: has no rows"),
    "a word among numbers": ({"nodes": "id,f\na,1\nb,high\n"}, "line 3: f is 'high'; expected a finite number"),
    "a part of another name": ({"nodes": "id,split\na,dev\n"}, "line 2: split is 'dev'"),
    "a cell too few": ({"nodes": "id,f\na\n"}, "line 2 has 1 cells; expected 2"),
    "a column twice": ({"nodes": "id,f,f\na,1,1\n"}, "two columns of one name"),
    "an unknown node": ({"edges": "source,target\nann,zoe\n"}, "edges.csv: line 2: there is no node 'zoe'"),
    "ends of other names": ({"edges": "source,targt\nann,bob\n"}, "has no column target. Did you mean targt"),
    "a weight of nothing": ({"edges": "source,target,weight\nann,bob,0\n"}, "line 2: weight is 0"),
}


def written(folder: Path, nodes: str = NODES, edges: str = "source,target\nann,bob\nbob,cid\n") -> GraphTable:
    (folder / "nodes.csv").write_text(nodes)
    (folder / "edges.csv").write_text(edges)
    return GraphTable(str(folder))


def test_a_graph_of_two_tables(tmp_path):
    found = data(written(tmp_path), row_normalize=False)
    assert found.facts() == {"num_features": 2, "num_classes": 2, "classes": ["x", "y"]}
    assert found.graph.features.tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, -1]]
    assert found.graph.names == ["ann", "bob", "cid", "dan", "=eve"]
    assert found.graph.labels.tolist() == [0, 1, -1, 1, 0]
    assert [len(found.split(part)) for part in ("train", "val", "test")] == [2, 1, 1]
    assert found.graph.adjacency.to_dense()[1].tolist() == [1, 0, 1, 0, 0]


@pytest.mark.parametrize("name", TABLES)
def test_what_is_wrong_with_a_table_is_said(name, tmp_path):
    changed, said = TABLES[name]
    with pytest.raises(UserError, match=said):
        written(tmp_path, **changed).read()


def test_columns_come_in_the_order_that_a_model_knows(tmp_path):
    known = data(written(tmp_path), row_normalize=False)
    known.facts()
    swapped = "id,weight,label,height\nann,2,y,1\nbob,4,y,3\n"
    other = data(written(tmp_path, swapped, "source,target\n"), row_normalize=False, test_fraction=0.0)
    other.adopt(known.state())
    other.match({"classes": ["x", "y"]}, labelled=True)
    assert other.facts()["classes"] == ["x", "y"]
    assert other.graph.features.tolist() == [[1, 2], [3, 4]]
    assert other.graph.labels.tolist() == [1, 1]
    lacking = data(written(tmp_path, "id,weight\nann,2\n", "source,target\n"))
    lacking.adopt(known.state())
    with pytest.raises(UserError, match="has no feature height"):
        lacking.facts()
    strange = data(written(tmp_path, "id,label\na,x\nb,z\n", "source,target\n"))
    strange.match({"classes": ["x", "y"]}, labelled=True)
    with pytest.raises(UserError, match="classes that the model does not know: z"):
        strange.facts()


def test_the_karate_club_is_zachary_s():
    graph = KarateClub().read()
    assert len(graph) == 34
    assert graph.notes == ["78 edges"]
    assert graph.labels.bincount().tolist() == [17, 17]
