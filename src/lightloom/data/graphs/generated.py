"""Graphs that need no file: Zachary's karate club, and communities that are drawn."""

from __future__ import annotations

import torch

from lightloom.core.parts import part
from lightloom.core.ranges import Count, Seed, Share, checked
from lightloom.data.graphs.graph import Graph, undirected
from lightloom.data.sampling import stratified_split
from lightloom.ops.rng import mix, mix_tensor, uniforms


@part
class KarateClub:
    """Zachary 1977: 34 members and the club that each joined when theirs split. A feature for each member.

    The two leaders are known, whose quarrel it was, as in Kipf & Welling 2017, appendix A.
    """

    def read(self) -> Graph:
        """34 nodes and 78 edges; of those that are no leaders a quarter for validation, the rest for the test."""
        import networkx

        club = networkx.karate_club_graph()
        edges, names = torch.tensor(list(club.edges)).T, [f"member {i + 1}" for i in club]
        joined = [club.nodes[i]["club"] for i in club]
        classes = sorted(set(joined))
        labels = torch.tensor([classes.index(name) for name in joined])
        adjacency, notes = undirected(edges, len(club))
        leaders = torch.tensor([0, len(club) - 1])
        others = torch.arange(1, len(club) - 1)
        test, val = stratified_split(labels[others], 0.25, 0)
        parts = {"train": leaders, "val": others[val], "test": others[test]}
        return Graph(torch.eye(len(club)), adjacency, labels, classes, parts, names, notes=notes)


@part
class Communities:
    """A stochastic block model (Holland, Laskey & Leinhardt 1983) whose nodes say words, some of them of their block.

    nodes: of all `blocks` together, by turns. within, between: probability of an edge. words: of all blocks together.
    topical, other: probability that a node says a word of its block, or of another. train_per_class: labelled nodes.
    """

    @checked
    def __init__(
        self,
        nodes: Count = 600,
        blocks: Count = 4,
        within: Share = 0.03,
        between: Share = 0.005,
        words: Count = 64,
        topical: Share = 0.3,
        other: Share = 0.1,
        train_per_class: Count = 10,
        seed: Seed = 0,
    ) -> None:
        self.nodes, self.blocks, self.within, self.between = nodes, blocks, within, between
        self.words, self.topical, self.other = words, topical, other
        self.train_per_class, self.seed = train_per_class, seed

    def read(self) -> Graph:
        """The graph that the seed draws: words are float (nodes, words), 0 or 1; classes are the blocks."""
        nodes = torch.arange(self.nodes)
        labels = nodes % self.blocks
        same = labels[:, None] == labels
        chance = torch.where(same, self.within, self.between)
        linked = uniforms(mix_tensor(mix(self.seed, 0), nodes), self.nodes) < chance
        edges = linked.triu(1).nonzero().T
        own = torch.arange(self.words) % self.blocks == labels[:, None]
        said = uniforms(mix_tensor(mix(self.seed, 1), nodes), self.words) < torch.where(own, self.topical, self.other)
        adjacency, notes = undirected(edges, self.nodes)
        first = self.train_per_class * self.blocks
        val, test = (nodes[first:][half::2] for half in range(2))
        parts = {"train": nodes[:first], "val": val, "test": test}
        classes = [f"community {i + 1}" for i in range(self.blocks)]
        return Graph(said.float(), adjacency, labels, classes, parts, notes=notes)
