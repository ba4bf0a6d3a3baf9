"""Graphs to the classes of their nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lightloom.data.graphs.datamodule import Nodes
from lightloom.predict.contract import Request


class Predictor:
    """The classes of a graph's nodes. See `lightloom.predict.contract`."""

    ways: Mapping[str, str] = {"data": "data=<graph>"}
    needs = "states, of a graph"
    lacks = "classifies no nodes"
    formats = ()

    def __init__(self, module: Any, data: Mapping[str, Any]) -> None:
        self.module = module

    @staticmethod
    def accepts(module: Any, request: Request) -> bool:
        return hasattr(module, "states") and request.data.get("kind") == "graph"

    @torch.inference_mode()
    def predict(self, inputs: Nodes) -> Tensor:
        """Probabilities (n, K) of the nodes that count."""
        device, graph = self.module.device, inputs.graph
        logits = self.module(graph.features.to(device), graph.adjacency.to(device))
        return logits[inputs.index.to(device)].float().softmax(1).cpu()  # type: ignore[no-any-return]
