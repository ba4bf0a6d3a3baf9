"""A module that no capability knows is exported by its own example, or refused in one sentence."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from conftest import compose
from omegaconf import OmegaConf
from torch import nn

from lightloom.config import compose as config
from lightloom.core.errors import UserError
from lightloom.exporting import steps
from lightloom.exporting.contract import batch_shape
from lightloom.exporting.formats import FORMATS

TRAINED = OmegaConf.create({"run_name": "mine", "data": {"kind": "letters", "name": "poems", "vocabulary": 5}})
ANY = OmegaConf.create({"use": None})


class Letters(pl.LightningModule):
    """Tokens (B, 6) from 0 to 4 to logits (B, 6, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))

    def forward(self, tokens):
        return self.network(tokens)


class WithExample(Letters):
    example_input_array = torch.tensor([[0, 4, 1, 2, 3, 0]])


def test_a_module_with_an_example_is_exported_for_any_batch(tmp_path):
    graph = steps.choose_graph(ANY, TRAINED, WithExample())
    assert (graph.shape, graph.outputs, graph.meaning) == (("batch", 6), ("output",), "int64, as in training")
    steps.write(graph, FORMATS["torch_export"], tmp_path / "model.pt2", {})
    run = FORMATS["torch_export"].open(tmp_path / "model.pt2", graph)
    inputs = [graph.draw(seed, sizes) for seed, sizes in enumerate(graph.sizes())]
    assert [x.shape for x in inputs] == [(1, 6), (3, 6)]
    assert all(x.dtype == torch.int64 and x.min() >= 0 and x.max() <= 4 for x in inputs)
    assert steps.largest_difference(graph, run, inputs) <= 1e-6


def test_data_of_another_shape_than_the_example_is_refused_in_one_sentence():
    graph = steps.choose_graph(ANY, TRAINED, WithExample())
    steps.check_shapes(graph, [torch.zeros(3, 6)], "poems")
    with pytest.raises(UserError, match=r"^The batches of poems are \(3, 7\), but .* is \(batch, 6\); let example\(\)"):
        steps.check_shapes(graph, [torch.zeros(3, 7)], "poems")


def test_one_without_is_told_what_is_needed():
    with pytest.raises(UserError) as caught:
        steps.choose_graph(ANY, TRAINED, Letters())
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("mine: Letters, trained on data of kind letters, does none of what export.py records: ")
    assert "find (detect), classify (predict_step" in said
    assert "forward (forward, and a tensor example_input_array or data with example())" in said


def test_the_shape_of_a_batch_is_the_examples_or_what_the_data_draws():
    images = config.without_hydra(compose("data=digits", "data.image_size=8")).data
    signals = config.without_hydra(compose("data=signals", "data.length=9", "model=signal_ae")).data
    assert batch_shape(nn.Identity(), images) == ("batch", 1, 8, 8)
    assert batch_shape(nn.Identity(), signals) == ("batch", 2, 9)
    assert batch_shape(nn.Identity(), {"kind": "letters"}) is None
    assert batch_shape(WithExample(), images) == ("batch", 6)
