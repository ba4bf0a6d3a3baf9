"""predictions.csv: each node of the graph that `data=` names, whether it has a label or not."""

from __future__ import annotations

from omegaconf import DictConfig

from lightloom.config.foreign import plain
from lightloom.engine.evaluate import swapped_data
from lightloom.predict.nodes.predictor import Predictor
from lightloom.predict.tables import predictions


def run(cfg: DictConfig, trained: DictConfig, predictor: Predictor) -> None:
    """Node, class and probability. See `lightloom.predict.contract`."""
    nodes = swapped_data(cfg, trained).everything()
    best, labels = predictor.predict(nodes).max(1)
    classes = plain(trained.data.classes)
    with predictions(cfg.paths.output_dir, ("node", "class", "probability")) as table:
        rows = zip(nodes.index.tolist(), labels.tolist(), best.tolist(), strict=True)
        table.add([(nodes.graph.name(node), classes[label], share) for node, label, share in rows])
        table.show()
