"""Variances of activations and gradients by depth are those of Glorot & Bengio 2010 and He et al. 2015."""

import importlib
import itertools
import math
from statistics import fmean

import pytest
from conftest import ROOT

DEPTH, WIDTH = 12, 576


@pytest.fixture
def mean_field(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("mean_field")


@pytest.mark.parametrize(("scheme", "activation"), [*itertools.product(("default", "xavier", "he"), ("tanh", "relu"))])
def test_a_network_has_the_variances_of_the_formulas(mean_field, scheme, activation):
    """From layer to layer the logarithm of a variance has a standard deviation of at most sqrt(5 / n), that of ReLU
    with weights of He: Var |phi(Wx)|^2 / n is the kurtosis of a rectified normal.
    """
    expected = mean_field.formula(scheme, activation, DEPTH, WIDTH)
    found = mean_field.measured(scheme, activation, DEPTH, WIDTH)
    deviation = math.sqrt(5 / WIDTH)
    for ours, theirs in zip(found, expected, strict=True):
        errors = [math.log(a * d / (b * c)) for (a, b), (c, d) in zip(steps(ours), steps(theirs), strict=True)]
        assert max(map(abs, errors)) < 4 * deviation < math.log(2)
        assert abs(fmean(errors)) < 4 * deviation / math.sqrt(len(errors))


def steps(variances):
    """(n + 1-th, n-th) from layer to layer."""
    return [(b, a) for a, b in itertools.pairwise(variances)]


def test_he_keeps_the_variance_of_relu_and_xavier_that_of_a_line(mean_field):
    he = mean_field.formula("he", "relu", 50, 100)
    assert he.forward == pytest.approx([2.0] * 50)
    assert he.backward == pytest.approx([1.0] * 50)
    halved = mean_field.formula("xavier", "relu", 50, 100)
    assert halved.forward == pytest.approx([0.5**i for i in range(50)])
    small = mean_field.formula("xavier", "tanh", 50, 100, variance=1e-6)  # where tanh is a line
    assert small.forward == pytest.approx([1e-6] * 50, rel=1e-3)
    assert small.backward == pytest.approx([1.0] * 50, rel=1e-3)
