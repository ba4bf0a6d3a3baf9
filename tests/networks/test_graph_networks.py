"""Networks over graphs: what they average is a matrix of known eigenvalues, and whom a node hears a matter of hops."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import pytest
import torch
from random_graphs import laplacian, path_graph, permuted, random_graph
from scipy.sparse.csgraph import connected_components
from torch import Tensor, nn

from lightloom.core.errors import UserError
from lightloom.data.graphs.graph import undirected
from lightloom.networks.graphs.chebnet import ChebLayer, ChebNet
from lightloom.networks.graphs.gcn import GCN
from lightloom.networks.graphs.propagation import propagation
from lightloom.networks.graphs.sgc import SGC
from lightloom.ops import sparse
from lightloom.ops.sparse import Operand

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # each with the edges that a node hears across
    "gcn": (lambda: GCN(12, 3), 2),
    "gcn of four layers": (lambda: GCN(12, 3, depth=4), 4),
    "gcn without normalization": (lambda: GCN(12, 3, normalization="none"), 2),
    "gcn of a random walk": (lambda: GCN(12, 3, normalization="random_walk", self_loops=False, bias=True), 2),
    "chebnet": (lambda: ChebNet(12, 3, order=3), 6),
    "sgc": (lambda: SGC(12, 3, hops=3), 3),
}


@pytest.fixture(params=NETWORKS)
def network(request) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[request.param][0]().double().eval()


# --- what all of them are


def test_nodes_may_be_numbered_otherwise(network):
    """f(P A P^T, P X) = P f(A, X)."""
    features, adjacency = random_graph()
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(1))
    found = network(features[order], permuted(adjacency, order))
    torch.testing.assert_close(found, network(features, adjacency)[order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_node_hears_nothing_from_beyond_its_hops(name):
    """Bit for bit; and something from the last node within them."""
    torch.manual_seed(0)
    make, hops = NETWORKS[name]
    network, adjacency = make().double().eval(), path_graph(12)
    features = torch.rand(12, 12, dtype=torch.float64)
    before = network(features, adjacency)[0]
    far, near = features.clone(), features.clone()
    far[hops + 1 :] += 1
    near[hops] += 10
    assert torch.equal(network(far, adjacency)[0], before)
    if "random walk" not in name:  # without loops only every other node is heard
        assert not torch.equal(network(near, adjacency)[0], before)


def test_sparse_features_are_dense_ones(network):
    features, adjacency = random_graph()
    features = features * (features > 0.6)
    found = network(sparse.of_dense(features), adjacency)
    torch.testing.assert_close(found, network(features, adjacency), rtol=1e-12, atol=1e-12)


def test_gradients_repeat_bit_for_bit(network):
    features, adjacency = random_graph(300, 2000)
    kinds = [features, sparse.of_dense(features * (features > 0.8))]
    for values in kinds:
        found = []
        for _ in range(3):
            network.zero_grad()
            network.train()
            torch.manual_seed(0)
            network(values, adjacency).square().sum().backward()
            found.append([p.grad.clone() for p in network.parameters()])
        for other in found[1:]:
            assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_what_is_kept_of_a_graph_is_of_that_graph(network):
    """And neither copied nor saved."""
    graphs = [random_graph(seed=seed) for seed in range(5)]
    fresh = [copy.deepcopy(network)(*graph) for graph in graphs]
    for graph, expected in [*zip(graphs, fresh, strict=True)] * 2:
        assert torch.equal(network(*graph), expected)
    assert {*network.state_dict()} == {name for name, _ in network.named_parameters()}


def test_a_single_layer_has_no_hidden_state():
    features, adjacency = random_graph()
    assert len(GCN(12, 3, depth=1).double().states(features, adjacency)) == 1
    with pytest.raises(UserError, match="depth is 0"):
        GCN(12, 3, depth=0)


# --- the matrix


def test_eigenvalues_of_the_symmetric_matrix():
    """In (-1, 1]; sqrt of the degrees is an eigenvector of 1, which is there once for each component."""
    _, adjacency = random_graph()
    matrix = propagation(adjacency).to_dense()
    values = torch.linalg.eigvalsh(matrix)
    assert values.min() > -1
    assert values.max() < 1 + 1e-12
    root = (adjacency.to_dense().sum(1) + 1).sqrt()
    torch.testing.assert_close(matrix @ root, root)
    components, _ = connected_components(adjacency.to_dense().numpy())
    assert int((values > 1 - 1e-9).sum()) == components > 1


@pytest.mark.parametrize("self_loops", [True, False])
def test_rows_of_a_random_walk_sum_to_one(self_loops):
    _, adjacency = random_graph()
    sums = propagation(adjacency, "random_walk", self_loops).to_dense().sum(1)
    lonely = adjacency.to_dense().sum(1) == 0
    assert lonely.any()
    torch.testing.assert_close(sums, (~lonely | torch.tensor(self_loops)).double())


@pytest.mark.parametrize("normalization", ["symmetric", "random_walk", "none"])
@pytest.mark.parametrize("self_loops", [True, False])
def test_the_matrix_is_what_its_definition_says(normalization, self_loops):
    _, adjacency = random_graph()
    dense = adjacency.to_dense() + (torch.eye(40, dtype=torch.float64) if self_loops else 0)
    inverse = torch.where(dense.sum(1) > 0, 1 / dense.sum(1), 0)
    expected = {
        "symmetric": inverse.sqrt()[:, None] * dense * inverse.sqrt(),
        "random_walk": inverse[:, None] * dense,
        "none": dense,
    }
    found = propagation(adjacency, normalization, self_loops)
    torch.testing.assert_close(found.to_dense(), expected[normalization])


def test_products_with_a_transposed_matrix_are_gradients(monkeypatch):
    """Also where there are no products of CSR matrices, and of a matrix that is not symmetric."""
    matrix = torch.rand(6, 9, dtype=torch.float64).relu() * (torch.rand(6, 9) > 0.5)
    for has_csr in (True, False):
        monkeypatch.setattr(sparse, "HAS_CSR", has_csr)
        operand = Operand.of(sparse.of_dense(matrix))
        assert torch.autograd.gradcheck(
            lambda x, operand=operand: operand @ x, torch.rand(9, 2, dtype=torch.float64, requires_grad=True)
        )
        torch.testing.assert_close(operand.transposed.to_dense(), matrix.T)


# --- ChebNet


def test_a_polynomial_of_the_laplacian_is_a_filter_of_its_spectrum():
    """sum_k theta_k T_k(L~) x = U g(Lambda) U^T x, T_k by the cosine of the angle; ten nodes, degree 4."""
    torch.manual_seed(0)
    _, adjacency = random_graph(10, 14)
    layer = ChebLayer(1, 1, 4, 2.0, bias=False).double()
    x = torch.rand(10, 1, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(laplacian(adjacency))
    angle = (values - 1).clamp(-1, 1).arccos()  # L~ = L - I with lambda_max = 2
    g = sum(theta.weight.squeeze() * (k * angle).cos() for k, theta in enumerate(layer.thetas))
    found = layer(x, Operand.of(propagation(adjacency, self_loops=False)))
    torch.testing.assert_close(found, vectors @ (g[:, None] * (vectors.T @ x)))


@pytest.mark.parametrize("lambda_max", [2.0, 1.6])
def test_of_the_first_order_it_is_what_a_gcn_begins_with(lambda_max):
    """theta_0 = -theta_1 = theta and lambda_max = 2: theta (I + D^-1/2 A D^-1/2) x, equation 7."""
    _, adjacency = random_graph()
    layer = ChebLayer(1, 1, 1, lambda_max, bias=False).double()
    nn.init.constant_(layer.thetas[0].weight, 0.7)
    nn.init.constant_(layer.thetas[1].weight, -0.7)
    x, identity = torch.rand(40, 1, dtype=torch.float64), torch.eye(40, dtype=torch.float64)
    scaled = 2 / lambda_max * laplacian(adjacency) - identity
    found = layer(x, Operand.of(propagation(adjacency, self_loops=False)))
    torch.testing.assert_close(found, 0.7 * (identity - scaled) @ x)
    if lambda_max == 2:
        torch.testing.assert_close(found, 0.7 * (2 * identity - laplacian(adjacency)) @ x)


# --- graphs at the ends


def test_without_edges_a_gcn_is_a_multilayer_perceptron():
    features, _ = random_graph()
    gcn = GCN(12, 3, bias=True).double().eval()
    alone = undirected(torch.empty(2, 0, dtype=torch.int64), 40)[0].double()
    first, second = gcn.layers
    expected = (features @ first.weight.T + first.bias).relu() @ second.weight.T + second.bias
    torch.testing.assert_close(gcn(features, alone), expected)
    without_loops = GCN(12, 3, self_loops=False).double().eval()
    assert not without_loops(features, alone).any()


def test_in_a_complete_graph_all_nodes_are_one():
    features, _ = random_graph()
    pairs = torch.tensor([*itertools.combinations(range(40), 2)]).T
    complete = undirected(pairs, 40)[0].double()
    for depth in (1, 8):
        found = GCN(12, 3, depth=depth).double().eval()(features, complete)
        torch.testing.assert_close(found, found[:1].expand_as(found))


def test_many_layers_leave_the_degrees_and_nothing_else():
    """P^k x of a connected graph becomes a multiple of sqrt(d), whatever x is: over-smoothing."""
    adjacency = path_graph(6)
    matrix, x = propagation(adjacency), torch.rand(6, 1, dtype=torch.float64)
    for _ in range(600):
        x = matrix @ x
    ratio = x.squeeze() / (adjacency.to_dense().sum(1) + 1).sqrt()
    torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))


def test_entries_grow_as_edges_do():
    """A product multiplies once for each entry, and there are two for an edge and one for a node."""
    for edges in (100, 200, 400):
        _, adjacency = random_graph(5000, edges)
        assert adjacency.values().numel() <= 2 * edges
        assert propagation(adjacency).values().numel() == adjacency.values().numel() + 5000


def test_dropout_draws_for_what_is_there_only():
    """Zeros stay zeros; the mean is kept; a different half at each step."""
    features = torch.eye(200, dtype=torch.float64)
    gcn = GCN(200, 200, depth=1, dropout=0.5).double()
    nn.init.eye_(gcn.layers[0].weight)
    alone = undirected(torch.empty(2, 0, dtype=torch.int64), 200)[0].double()

    def draw(seed: int, values: Tensor) -> Tensor:
        torch.manual_seed(seed)
        return gcn.train()(values, alone)

    one, other = draw(0, sparse.of_dense(features)), draw(1, sparse.of_dense(features))
    assert not torch.equal(one, other)
    for found in (one, other, draw(0, features)):
        assert set(found.unique().tolist()) == {0.0, 2.0}
        assert 70 < int((found > 0).sum()) < 130
