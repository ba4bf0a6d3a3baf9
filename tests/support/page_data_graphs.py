"""A graph as two tables, for pages of docs/."""

from pathlib import Path

from lightloom.data.graphs.generated import KarateClub


def fill(project: Path) -> None:
    """data/my_graph with nodes.csv and edges.csv: the karate club, with numbers of neighbours as features."""
    graph = KarateClub().read()
    folder = project / "data/my_graph"
    folder.mkdir(parents=True)
    pairs = graph.adjacency.to_dense().triu(1).nonzero().tolist()
    edges = [f"{graph.name(a)},{graph.name(b)}" for a, b in pairs]
    (folder / "edges.csv").write_text("\n".join(["source,target", *edges]) + "\n")
    degrees = graph.adjacency.to_dense().sum(1).int().tolist()
    rows = [f"{graph.name(i)},{graph.classes[graph.labels[i]]},{i < 17:d},{d}" for i, d in enumerate(degrees)]
    (folder / "nodes.csv").write_text("\n".join(["id,label,old,friends", *rows]) + "\n")
