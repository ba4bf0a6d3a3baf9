"""The Transformer: who sees what, where it looks, and that what is remembered changes nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from lightloom.core.errors import UserError
from lightloom.networks.transformer.attention import CrossAttention, attention_weights
from lightloom.networks.transformer.encoder_decoder import EncoderDecoder

VOCABULARY = 50
WAYS = [{}, {"positions": "learned"}, {"positions": "rotary"}, {"norm": "post"}, {"tied": False}]


def network(**options: Any) -> EncoderDecoder:
    torch.manual_seed(0)
    sizes = {"encoder_layers": 2, "decoder_layers": 2, "heads": 2, "dim": 16, "dropout": 0.0}
    return EncoderDecoder(VOCABULARY, 24, **{**sizes, **options}).eval()


def texts(count: int, length: int, seed: int = 0) -> Tensor:
    """Of unequal length, with padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, VOCABULARY, (count, length), generator=generator)
    return ids * (torch.arange(length) < torch.randint(2, length + 1, (count, 1), generator=generator))


@pytest.mark.parametrize("options", WAYS)
def test_an_id_is_predicted_from_those_before_it_and_the_whole_text(options):
    model, source, target = network(**options), texts(3, 9), texts(3, 8, 1).clamp(min=2)
    logits = model(source, target)
    for place in range(8):
        changed = target.clone()
        changed[:, place] = changed[:, place] % (VOCABULARY - 2) + 2
        found = model(source, changed)
        assert torch.equal(found[:, :place], logits[:, :place])
        assert not torch.equal(found[:, place], logits[:, place])
    for place in range(9):
        changed = torch.where(source[:, place] > 0, source[:, place] % (VOCABULARY - 2) + 2, 0)
        other = torch.cat([source[:, :place], changed[:, None], source[:, place + 1 :]], 1)
        is_seen = (model(other, target) - logits).abs().amax((1, 2)) > 0
        assert torch.equal(is_seen, source[:, place] != changed)


def test_padding_changes_nothing():
    model, source, target = network(), texts(3, 9), texts(3, 8, 1)
    found = model(pad(source, (0, 7)), pad(target, (0, 7)))[:, :8]
    torch.testing.assert_close(found, model(source, target))


@pytest.mark.parametrize("options", WAYS)
def test_what_is_remembered_gives_what_the_whole_gives(options):
    """By pieces of one id and of three, for rows that change places and are continued twice."""
    model, source, target = network(**options), texts(3, 9), texts(3, 8, 1).clamp(min=2)
    expected = model(source, target)
    memory, found, first = model.encode(source, cached=True), [], 0
    for size in (1, 3, 1, 1, 2):
        found.append(model.decode(target[:, first : first + size], memory))
        first += size
    torch.testing.assert_close(torch.cat(found, 1), expected, rtol=1e-4, atol=1e-5)
    rows = torch.tensor([2, 0, 2])
    memory = model.encode(source, cached=True)
    model.decode(target[:, :4], memory)
    memory.pick(rows)
    found = model.decode(target[rows, 4:], memory)
    torch.testing.assert_close(found, expected[rows, 4:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", WAYS)
def test_before_training_all_ids_are_equally_likely(options):
    model, source, target = network(**options), texts(40, 9), texts(40, 9, 1).clamp(min=2)
    loss = cross_entropy(model(source, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten())
    assert float(loss.detach()) == pytest.approx(math.log(VOCABULARY), rel=0.02)


def test_vectors_are_shared_where_they_are_tied():
    size = VOCABULARY * 16
    tied, untied = (sum(p.numel() for p in network(tied=flag).parameters()) for flag in (True, False))
    assert untied - tied == 2 * size  # one for the source, the target and the output


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_where_it_looks_is_what_its_attention_weighs_by(norm):
    """The weights times the values are what the last layer's attention gives."""
    model, source, target = network(norm=norm), texts(3, 9), texts(3, 8, 1).clamp(min=2)
    layer, seen = model.decoder[-1], {}
    hook = layer.cross_attention.register_forward_hook(lambda part, given, out: seen.update(given=given, out=out))
    model(source, target)
    hook.remove()
    x, (keys, values), mask = seen["given"]
    weights = layer.cross_attention.weights(x, (keys, values), mask)
    found = layer.cross_attention.out((weights @ values).transpose(1, 2).flatten(2))
    torch.testing.assert_close(found, seen["out"])
    alignment = model.alignment(source, target)
    torch.testing.assert_close(alignment, weights.mean(1))
    torch.testing.assert_close(alignment.sum(2), torch.ones(3, 8))
    assert (alignment.transpose(1, 2)[source == 0] == 0).all()


def test_one_head_is_the_formula():
    torch.manual_seed(0)
    part, x, memory = CrossAttention(8, 1), torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    seen = torch.arange(7) < torch.tensor([[7], [4]])
    key, value = part.projections(memory).chunk(2, 2)
    expected = part.out(attention_weights(part.queries(x), key, seen[:, None]) @ value)
    torch.testing.assert_close(part(x, part.remember(memory), seen[:, None, None]), expected)


def test_heads_that_do_not_fit_are_told():
    with pytest.raises(UserError, match="no multiple of 2 x 3 heads"):
        network(heads=3)
