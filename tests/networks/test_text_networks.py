"""Networks of texts: padding is nothing, order is what the network says it is, gates do what their equations say."""

from __future__ import annotations

import functools

import pytest
import torch
from conftest import compose, models_for
from torch import Tensor, nn

from lightloom.config.compose import without_hydra
from lightloom.config.foreign import plain
from lightloom.config.instantiate import build
from lightloom.core.errors import UserError
from lightloom.networks.bag import BagOfWords
from lightloom.networks.embedding import Embedding
from lightloom.networks.recurrent import CELLS, Pooling, Recurrence, RecurrentClassifier, reversal
from lightloom.networks.text_transformer import TextTransformer
from lightloom.networks.textcnn import TextCNN

MODELS = models_for("text_classification")
POOLS = ("last", "max", "mean", "attention")
VOCABULARY = 40


@functools.cache
def network(model: str) -> nn.Module:
    """Of configs/model, of double precision, in evaluation mode."""
    facts = ("data.vocab_size=40", "data.num_classes=3", "data.max_length=32")
    cfg = without_hydra(compose(f"model={model}", "data=reviews_toy", *facts))
    torch.manual_seed(0)
    with torch.inference_mode(False):  # whichever test asks first
        return build(plain(cfg.model)["network"], "model.network").double().eval()


def texts(*lengths: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(1, VOCABULARY, (length,), generator=generator) for length in lengths]


def batch(*found: Tensor, length: int = 0) -> Tensor:
    longest = max(length, *(len(ids) for ids in found))
    return torch.stack([nn.functional.pad(ids, (0, longest - len(ids))) for ids in found])


@pytest.mark.parametrize("model", MODELS)
@torch.inference_mode()
def test_logits_do_not_depend_on_padding_nor_on_other_texts(model):
    found = texts(1, 2, 5, 13, 24)
    together = network(model)(batch(*found))
    assert together.shape == (5, 3)
    for ids, expected in zip(found, together, strict=True):
        for length in (0, 16, 31):
            torch.testing.assert_close(network(model)(batch(ids, length=length))[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", MODELS)
@torch.inference_mode()
def test_at_equal_shapes_the_bits_are_equal(model):
    one, *others = texts(9, 24, 3, 7, 1)
    first = network(model)(batch(one, *others))[0]
    for seed in (1, 2):
        assert torch.equal(network(model)(batch(one, *texts(24, 3, 7, 1, seed=seed)))[0], first)


@pytest.mark.parametrize("model", MODELS)
def test_a_gradient_reaches_every_weight_and_no_padding(model):
    made = network(model)
    made.zero_grad()
    made(batch(*texts(3, 11))).logsumexp(1).sum().backward()
    assert [name for name, weight in made.named_parameters() if weight.grad is None] == []
    (embedding,) = (layer for layer in made.modules() if isinstance(layer, nn.Embedding))
    assert not embedding.weight.grad[0].any()


@pytest.mark.parametrize("model", MODELS)
@torch.inference_mode()
def test_order_counts_but_for_a_bag(model):
    (ids,) = texts(12)
    shuffled = ids[torch.randperm(12, generator=torch.Generator().manual_seed(1))]
    same = torch.equal(network(model)(batch(ids)), network(model)(batch(shuffled)))
    assert same == (model == "bag")


@pytest.mark.parametrize("model", MODELS)
@torch.inference_mode()
def test_an_empty_text_is_finite(model):
    assert network(model)(torch.zeros(2, 8, dtype=torch.int64)).isfinite().all()


@torch.inference_mode()
def test_any_order_of_a_bag_has_the_same_bits():
    torch.manual_seed(0)
    bag = BagOfWords(VOCABULARY, 3, dim=16).eval()
    (ids,) = texts(50)
    expected = bag(batch(ids))
    for seed in range(20):
        order = torch.randperm(50, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(bag(batch(ids[order])), expected)


# --- convolutions


def test_a_filter_sees_as_many_words_as_it_is_wide():
    torch.manual_seed(0)
    for width in (1, 3, 5):
        net = TextCNN(VOCABULARY, 1, dim=4, widths=[width], filters=1, dropout=0.0).double().eval()
        net.filters[0].bias.data.fill_(10.0)  # open, wherever it is asked
        net.head.weight.data.fill_(1.0)
        vectors = net.embedding(batch(*texts(12))).detach().requires_grad_()
        net.embedding.forward = lambda ids, vectors=vectors: vectors
        net(batch(*texts(12))).backward()
        touched = vectors.grad[0].any(1).nonzero().flatten()
        assert 1 <= len(touched) <= width
        assert touched[-1] - touched[0] < width
        inner = net.filters[0](vectors.transpose(1, 2))[0, 0, width + 2]  # one that sees words alone
        (gradient,) = torch.autograd.grad(inner, vectors)
        assert gradient[0].any(1).sum() == width


@torch.inference_mode()
def test_a_text_may_stand_anywhere_in_its_padding():
    for length in (1, 2, 7):
        (ids,) = texts(length)
        found = [network("textcnn")(nn.functional.pad(ids, (left, 12 - left))[None]) for left in range(13)]
        for one in found[1:]:
            torch.testing.assert_close(one, found[0], rtol=0, atol=1e-12)


@torch.inference_mode()
def test_a_convolution_over_a_text_is_the_largest_over_its_windows():
    """Beside a loop over windows, padded with zero vectors, each with a word at least."""
    net, (ids,) = network("textcnn"), texts(6)
    x = net.embedding(ids)
    answers = []
    for layer in net.filters:
        (width,) = layer.kernel_size
        padded = nn.functional.pad(x, (0, 0, width - 1, width - 1))
        windows = [padded[begin : begin + width] for begin in range(len(ids) + width - 1)]
        answers.append(torch.stack([(layer.weight * w.T).sum((1, 2)) + layer.bias for w in windows]).relu().amax(0))
    torch.testing.assert_close(net.head(torch.cat(answers)), net(ids[None])[0])


# --- recurrence


def recurrence(cell: str, features: int = 3, width: int = 4, **options) -> Recurrence:
    torch.manual_seed(0)
    return Recurrence(features, width, cell, **options).double().eval()


def inside(*lengths: int) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


@torch.inference_mode()
def test_an_lstm_is_hochreiters_six_equations():
    net = recurrence("lstm")
    (layer,) = net.layers[0]
    w_x, w_h = (w.view(4, 4, -1) for w in (layer.weight_ih_l0, layer.weight_hh_l0))
    bias = (layer.bias_ih_l0 + layer.bias_hh_l0).view(4, 4)
    x = torch.randn(1, 6, 3, dtype=torch.float64)
    h = c = torch.zeros(4, dtype=torch.float64)
    states, _ = net(x, inside(6))
    for t in range(6):
        i, f, g, o = (w_x[k] @ x[0, t] + w_h[k] @ h + bias[k] for k in range(4))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        torch.testing.assert_close(states[0, t], h)


def test_forget_gates_begin_open():
    (layer,) = recurrence("lstm").layers[0]
    assert (layer.bias_ih_l0[4:8] == 1).all()
    assert not (layer.bias_ih_l0[:4] == 1).any()


def test_an_open_forget_gate_carries_a_cell_unchanged_for_a_thousand_steps():
    """With the input gate shut: the constant error carousel, whose gradient is 1."""
    layer = nn.LSTM(1, 2).double()
    for weights in layer.parameters():
        weights.data.zero_()
    layer.bias_ih_l0.data[:4] = torch.tensor([-1e3, -1e3, 1e3, 1e3])  # input shut, forget open
    cell = torch.tensor([[0.3, -0.7]], dtype=torch.float64, requires_grad=True)
    _, (_, last) = layer(torch.randn(1000, 1, dtype=torch.float64), (torch.zeros(1, 2).double(), cell))
    assert torch.equal(last, cell)
    last.sum().backward()
    assert torch.equal(cell.grad, torch.ones_like(cell))


@pytest.mark.parametrize("largest", [0.5, 0.9, 1.0])
def test_a_gradient_through_an_rnn_falls_as_its_largest_eigenvalue(largest):
    """Around 0, where tanh has slope 1 (Hochreiter 1991; Bengio et al. 1994)."""
    layer = nn.RNN(1, 2).double()
    for weights in layer.parameters():
        weights.data.zero_()
    layer.weight_hh_l0.data = torch.diag(torch.tensor([largest, largest / 3], dtype=torch.float64))
    for steps in (1, 10, 100):
        begin = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
        _, last = layer(torch.zeros(steps, 1, dtype=torch.float64), begin)
        (gradient,) = torch.autograd.grad(last[0, 0], begin)
        torch.testing.assert_close(gradient.norm(), torch.tensor(largest**steps, dtype=torch.float64))


def test_a_gru_whose_update_gate_is_shut_copies():
    layer = nn.GRU(3, 2).double()
    layer.bias_ih_l0.data[2:4] = 1e3  # z = 1: the state before counts alone (in torch's, and Cho's, order)
    begin = torch.tensor([[0.4, -0.2]], dtype=torch.float64)
    states, _ = layer(torch.randn(20, 3, dtype=torch.float64), begin)
    torch.testing.assert_close(states, begin.expand(20, 2), rtol=0, atol=1e-14)  # (1 - z) n is rounded, not absent


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@torch.inference_mode()
def test_of_a_reversed_text_the_directions_change_places(cell, layers):
    """Where both share their weights, which of a second layer expect the halves in turned order."""
    net = recurrence(cell, layers=layers, bidirectional=True)
    for depth, (forward, backward) in enumerate(net.layers):
        backward.load_state_dict(forward.state_dict())
        if depth:
            backward.weight_ih_l0.data = forward.weight_ih_l0.data.roll(4, 1)
    x, mask = torch.randn(1, 7, 3, dtype=torch.float64), inside(7)
    states, last = net(x, mask)
    turned, last_turned = net(x.flip(1), mask)
    torch.testing.assert_close(turned.flip(1).roll(4, 2), states)
    torch.testing.assert_close(last_turned.roll(4, 1), last)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@torch.inference_mode()
def test_states_are_those_of_packed_sequences(cell, bidirectional):
    """Beside torch's own way, of one layer: pack, run, unpack."""
    net = recurrence(cell, bidirectional=bidirectional)
    library = CELLS[cell](3, 4, batch_first=True, bidirectional=bidirectional).double()
    for name, weights in net.layers[0][0].named_parameters():
        getattr(library, name).data = weights.data
        if bidirectional:
            getattr(library, f"{name}_reverse").data = net.layers[0][1].get_parameter(name).data
    x, lengths = torch.randn(4, 9, 3, dtype=torch.float64), [9, 1, 4, 6]
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    found, hidden = library(packed)
    expected, _ = nn.utils.rnn.pad_packed_sequence(found, batch_first=True)
    states, last = net(x, inside(*lengths))
    torch.testing.assert_close(states * inside(*lengths)[..., None], expected)
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    torch.testing.assert_close(last, torch.cat(list(hidden), 1))


def test_a_reversal_is_its_own_inverse_and_leaves_padding():
    places = reversal(inside(5, 1, 3))
    assert places.tolist() == [[4, 3, 2, 1, 0], [0, 1, 2, 3, 4], [2, 1, 0, 3, 4]]
    assert torch.equal(places.gather(1, places), torch.arange(5).expand(3, 5))


@pytest.mark.parametrize("pool", POOLS)
@torch.inference_mode()
def test_each_pool_sees_a_texts_own_places_only(pool):
    torch.manual_seed(0)
    states, mask = torch.randn(3, 6, 4, dtype=torch.float64), inside(6, 2, 1)
    last = torch.stack([row[m.sum() - 1] for row, m in zip(states, mask, strict=True)])
    layer = Pooling(pool, 4).double()
    found = layer(states, last, mask)
    for row, own, m in zip(states, found, mask, strict=True):
        inner = row[m]
        expected = {
            "last": lambda inner: inner[-1],
            "max": lambda inner: inner.amax(0),
            "mean": lambda inner: inner.mean(0),
            "attention": lambda inner: (layer.score(inner).softmax(0) * inner).sum(0),
        }[pool](inner)
        torch.testing.assert_close(own, expected)


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("cell", CELLS)
@torch.inference_mode()
def test_every_cell_goes_with_every_pool(cell, pool):
    torch.manual_seed(0)
    options = {"dim": 6, "width": 5, "cell": cell, "layers": 2, "bidirectional": True, "pool": pool}
    net = RecurrentClassifier(VOCABULARY, 2, **options).double().eval()
    short, long = texts(3, 9)
    torch.testing.assert_close(net(batch(short, long))[0], net(batch(short))[0], rtol=0, atol=1e-12)


def test_dim_and_heads_must_fit():
    with pytest.raises(UserError, match="dim 10 is not divisible by 4 heads"):
        TextTransformer(VOCABULARY, 2, 16, dim=10)


def test_dropout_of_vectors_is_in_training_only():
    layer = Embedding(VOCABULARY, 8, dropout=0.5)
    ids = batch(*texts(6))
    assert not torch.equal(layer(ids), layer(ids))
    assert torch.equal(layer.eval()(ids), layer(ids))
