"""Classes of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightloom.reporting.contract import Chapter
from lightloom.reporting.facts import Run


class Graphs(Chapter):
    """What classifiers of nodes leave: accuracy by the number of neighbours, and a map of hidden states."""

    place = 45
    tasks = ("node classification",)
    pipeline = "graph-ml"
    example = "data=cora"
    hyperparameters = ("data.setting", "data.row_normalize")

    def facts(self, run: Run) -> list[tuple[str, Any]]:
        return [("classes", run.data.get("num_classes")), ("features", run.data.get("num_features"))]

    def inputs(self, run: Run) -> str | None:
        return (
            f"Features are float (N, {run.data.get('num_features')}), strided or CSR; the adjacency matrix is CSR "
            f"(N, N), symmetric, without loops. The network normalises it itself."
        )

    def pictures(self, run: Run) -> Mapping[str, str]:
        return {
            "accuracy_by_degree.png": "Accuracy by the number of neighbours, with 95 % intervals",
            "hidden_map.png": "Hidden states of the nodes that were tested, their two principal components",
        }
