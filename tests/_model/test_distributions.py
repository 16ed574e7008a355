"""What networks put out, as distributions, against scipy and torch's own."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from skgmvae._model import (
    DiagonalNormal,
    categorical,
    kl_from_standard_normal,
    kl_to_components,
    log_prob_points,
    log_prob_rows,
)
from skgmvae._model.distributions import LOG_VARIANCE_LIMIT


def rng(seed=0):
    return np.random.default_rng(seed)


def log_variance_of(raw):
    raw = torch.as_tensor(raw, dtype=torch.float64)
    return 2 * DiagonalNormal(torch.zeros_like(raw), raw).stddev.log()


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_the_log_variance_is_bounded_and_monotone(a, b):
    low, high = sorted((a, b))
    bounded = log_variance_of([low, high])
    assert bounded.abs().max() <= LOG_VARIANCE_LIMIT + 1e-12
    assert bounded[0] <= bounded[1] + 1e-12


def test_the_log_variance_reaches_its_bounds():
    bounds = log_variance_of([-1e3, 1e3]).numpy()
    np.testing.assert_allclose(bounds, [-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT])


def test_the_log_variance_is_strictly_monotone_and_nearly_itself_around_zero():
    raw = torch.linspace(-20, 20, 401, dtype=torch.float64)
    assert (log_variance_of(raw).diff() > 0).all()
    np.testing.assert_allclose(log_variance_of([-0.3, 0.2]), [-0.3, 0.2], atol=2e-4)


def test_an_extreme_log_variance_still_has_a_gradient():
    raw = torch.tensor([-20.0, 20.0], requires_grad=True)
    DiagonalNormal(torch.zeros(2), raw).stddev.log().sum().backward()
    assert (raw.grad > 0).all()


def test_the_mean_is_taken_as_it_is():
    mean = torch.tensor([-1e6, 0.0, 3.0])
    assert torch.equal(DiagonalNormal(mean, torch.zeros(3)).mean, mean)


def test_a_categorical_is_normalized_in_log_space():
    logits = torch.tensor([[0.0, 1000.0], [-1000.0, -1001.0]], dtype=torch.float64)
    expected = scipy.special.log_softmax(logits.numpy(), axis=-1)
    np.testing.assert_allclose(categorical(logits).logits, expected, rtol=1e-12)


def test_log_prob_rows_pairs_sample_j_of_row_i_with_row_i():
    y, mean = rng(3).normal(size=(4, 2)), rng(4).normal(size=(3, 4, 2))
    flat = torch.tensor(mean).flatten(0, 1)
    values = log_prob_rows(
        Independent(Normal(flat, torch.ones_like(flat)), 1), torch.tensor(y), 3
    )
    assert values.shape == (3, 4)
    np.testing.assert_allclose(values, scipy.stats.norm.logpdf(y, mean, 1.0).sum(-1), rtol=1e-12)


# Torch's own densities are the oracle: of values and of gradients.

def assert_same(found, expected, *inputs):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weights = torch.tensor(rng(9).normal(size=found.shape))
    for one, other in zip(
        torch.autograd.grad((weights * found).sum(), inputs, retain_graph=True),
        torch.autograd.grad((weights * expected).sum(), inputs, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def parameters(*shape, seed=0):
    """Return a mean and a log-variance that asks for the whole range."""
    draw = rng(seed).normal(size=(2, *shape)) * np.reshape([1.0, 4.0], (2, *[1] * len(shape)))
    return tuple(torch.tensor(part, requires_grad=True) for part in draw)


def torchs_normal(mean, raw):
    return Normal(mean, torch.exp(0.5 * LOG_VARIANCE_LIMIT * torch.tanh(raw / LOG_VARIANCE_LIMIT)))


def test_the_normal_is_torchs():
    mean, raw = parameters(5, 3)
    value = torch.tensor(rng(1).normal(size=(2, 5, 3)), requires_grad=True)
    found, expected = DiagonalNormal(mean, raw), torchs_normal(mean, raw)
    assert isinstance(found, Normal)
    assert_same(found.log_prob(value), expected.log_prob(value), mean, raw, value)
    assert_same(found.variance, expected.variance, raw)
    assert_same(found.entropy(), expected.entropy(), raw)
    assert_same(found.expand((2, 5, 3)).stddev, expected.expand((2, 5, 3)).stddev, raw)
    assert found.batch_shape == expected.batch_shape
    assert found.sample((7,)).shape == (7, 5, 3)


def test_the_density_of_points_is_that_of_independent_coordinates():
    mean, raw = parameters(2, 5, 4, 3)
    x = torch.tensor(rng(1).normal(size=(2, 5, 1, 3)), requires_grad=True)
    expected = Independent(torchs_normal(mean, raw), 1).log_prob(x)
    assert_same(log_prob_points(DiagonalNormal(mean, raw), x), expected, mean, raw, x)


def test_the_divergence_from_each_component_is_torchs():
    q, p = parameters(5, 3), parameters(2, 5, 4, 3, seed=1)
    for_each = torchs_normal(*(part.unsqueeze(-2) for part in q))
    expected = kl_divergence(for_each, torchs_normal(*p)).sum(-1)
    assert_same(kl_to_components(DiagonalNormal(*q), DiagonalNormal(*p)), expected, *q, *p)


def test_the_divergence_from_the_standard_normal_is_torchs():
    q = parameters(5, 3)
    p = Normal(torch.zeros(5, 3).double(), torch.ones(5, 3).double())
    expected = kl_divergence(torchs_normal(*q), p).sum(-1)
    assert_same(kl_from_standard_normal(DiagonalNormal(*q)), expected, *q)


def test_gradients_next_to_nothing_are_0():
    # of clusters far away, which would be no normal numbers: a processor is slow with these
    logits = torch.tensor([0.0, -20.0, -70.0, -95.0], requires_grad=True)
    categorical(logits).logits[0].backward()
    assert logits.grad[1] == pytest.approx(-np.exp(-20.0), rel=1e-5)
    assert not logits.grad[2:].any()
    mean = torch.zeros(1, 2, 3, requires_grad=True)
    p = DiagonalNormal(mean.double(), torch.zeros(1, 2, 3))
    kl = kl_to_components(DiagonalNormal(*parameters(1, 3)), p)
    (torch.tensor([1.0, 1e-40]) * kl).sum().backward()
    assert mean.grad[0, 0].all()
    assert not mean.grad[0, 1].any()


def test_the_categorical_is_torchs():
    logits = torch.tensor(rng().normal(scale=9, size=(2, 5, 4)), requires_grad=True)
    found, expected = categorical(logits), Categorical(logits=logits)
    assert isinstance(found, Categorical)
    assert_same(found.logits, expected.logits, logits)
    assert_same(found.probs, expected.probs, logits)
    assert_same(found.entropy(), expected.entropy(), logits)
    value = torch.tensor(rng(1).integers(4, size=(2, 5)))
    assert_same(found.log_prob(value), expected.log_prob(value), logits)
    assert found.batch_shape == expected.batch_shape
    assert found.expand((3, 2, 5)).probs.shape == (3, 2, 5, 4)
    assert found.sample((7,)).shape == (7, 2, 5)


@pytest.mark.parametrize("family", ["normal", "bernoulli"])
def test_missing_values_are_integrated_out(family):
    random = torch.Generator().manual_seed(0)
    parameters = torch.randn(6, 4, generator=random)  # of two samples of three rows
    y = torch.rand(3, 4, generator=random)
    base = (
        torch.distributions.Normal(parameters, 0.7) if family == "normal"
        else torch.distributions.Bernoulli(logits=parameters, validate_args=False)
    )
    p_y = Independent(base, 1, validate_args=False)
    complete = log_prob_rows(p_y, y, 2)
    torch.testing.assert_close(log_prob_rows(p_y, y, 2, complete=False), complete)
    y[0, 1] = y[2] = torch.nan
    found = log_prob_rows(p_y, y, 2, complete=False)
    of_values = base.log_prob(y.repeat(2, 1).nan_to_num()).view(2, 3, 4)
    of_values[:, 0, 1] = of_values[:, 2] = 0.0
    torch.testing.assert_close(found, of_values.sum(2))
