"""Gaussian heads and likelihoods against scipy."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgmvae.distributions import (
    LIKELIHOODS,
    LOG_VARIANCE_LIMIT,
    GaussianHead,
    categorical,
    log_prob_rows,
    normal,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def log_variance_of(raw):
    raw = torch.as_tensor(raw, dtype=torch.float64)
    return 2 * normal(torch.zeros_like(raw), raw).stddev.log()


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_the_log_variance_is_bounded_and_monotone(a, b):
    low, high = sorted((a, b))
    bounded = log_variance_of([low, high])
    assert bounded.abs().max() <= LOG_VARIANCE_LIMIT + 1e-12
    assert bounded[0] <= bounded[1] + 1e-12


def test_the_log_variance_is_strictly_monotone_and_nearly_itself_around_zero():
    raw = torch.linspace(-20, 20, 401, dtype=torch.float64)
    assert (log_variance_of(raw).diff() > 0).all()
    assert torch.allclose(log_variance_of([-0.3, 0.2]), torch.tensor([-0.3, 0.2]).double(),
                          atol=2e-4)


def test_an_extreme_log_variance_still_has_a_gradient():
    raw = torch.tensor([-20.0, 20.0], requires_grad=True)
    normal(torch.zeros(2), raw).stddev.log().sum().backward()
    assert (raw.grad > 0).all()


@pytest.mark.parametrize("shape", [(3,), (4, 3)])
@pytest.mark.parametrize("batch", [(5,), (2, 5)])
def test_a_head_has_the_shape_it_was_asked_for(shape, batch):
    distribution = GaussianHead(6, *shape)(torch.zeros(*batch, 6))
    assert distribution.mean.shape == distribution.stddev.shape == (*batch, *shape)


def test_a_head_is_a_linear_map_to_means_then_log_variances():
    head = GaussianHead(6, 4, 3).double()
    features = rng().normal(size=(5, 6))
    weight, bias = (p.detach().numpy() for p in (head.linear.weight, head.linear.bias))
    out = (features @ weight.T + bias).reshape(5, 2, 4, 3)
    distribution = head(torch.tensor(features))
    np.testing.assert_allclose(distribution.mean.detach(), out[:, 0], rtol=1e-12)
    expected = np.exp(0.5 * 8 * np.tanh(out[:, 1] / 8))
    np.testing.assert_allclose(distribution.stddev.detach(), expected, rtol=1e-12)


@given(st.permutations(range(4)))
def test_reordering_moves_mean_and_variance_of_a_component_together(order):
    torch_source = torch.Generator().manual_seed(0)
    head = GaussianHead(6, 4, 3)
    features = torch.randn(5, 6, generator=torch_source)
    before = head(features)
    head.reorder(torch.tensor(order))
    after = head(features)
    assert torch.allclose(after.mean, before.mean[:, order], atol=1e-6)
    assert torch.allclose(after.stddev, before.stddev[:, order], atol=1e-6)


def test_reordering_keeps_the_parameters_themselves():
    head = GaussianHead(6, 4, 3)
    parameters = list(head.parameters())
    head.reorder(torch.tensor([3, 2, 1, 0]))
    assert all(a is b for a, b in zip(parameters, head.parameters(), strict=True))
    assert all(p.requires_grad for p in parameters)


@given(st.lists(st.floats(0, 1), min_size=6, max_size=6))
def test_the_bernoulli_log_density_is_minus_the_cross_entropy_of_fractions_too(values):
    y = np.reshape(values, (2, 3))
    logits = rng(1).normal(scale=5, size=(2, 3))
    p = scipy.special.expit(logits)
    expected = (scipy.special.xlogy(y, p) + scipy.special.xlogy(1 - y, 1 - p)).sum(1)
    distribution = LIKELIHOODS["bernoulli"](torch.tensor(logits)[:, None])
    np.testing.assert_allclose(distribution.log_prob(torch.tensor(y)), expected, rtol=1e-9)
    np.testing.assert_allclose(distribution.mean, p, rtol=1e-12)


def test_a_bernoulli_with_extreme_logits_is_finite():
    distribution = LIKELIHOODS["bernoulli"](torch.tensor([[[1e4, -1e4]]]))
    np.testing.assert_allclose(distribution.log_prob(torch.tensor([[0.0, 0.0]])), [-1e4])


@pytest.mark.parametrize("data_shape", [(3,), (2, 3, 4)])
def test_the_gaussian_log_density_is_scipys(data_shape):
    y, mean, raw = rng(2).normal(size=(3, 5, *data_shape))
    distribution = LIKELIHOODS["gaussian"](torch.tensor(np.stack([mean, raw], 1)))
    deviation = np.exp(0.5 * 8 * np.tanh(raw / 8))
    expected = scipy.stats.norm.logpdf(y, mean, deviation).reshape(5, -1).sum(1)
    np.testing.assert_allclose(distribution.log_prob(torch.tensor(y)), expected, rtol=1e-10)
    assert distribution.batch_shape == (5,)


@pytest.mark.parametrize(("name", "n"), [("gaussian", 2), ("bernoulli", 1)])
def test_a_likelihood_knows_its_number_of_parameters(name, n):
    likelihood = LIKELIHOODS[name]
    assert (likelihood.name, likelihood.n_parameters) == (name, n)
    assert likelihood(torch.zeros(2, n, 5)).event_shape == (5,)


def test_categorical_normalises_in_log_space():
    logits = torch.tensor([[0.0, 1000.0], [-1000.0, -1001.0]], dtype=torch.float64)
    expected = scipy.special.log_softmax(logits.numpy(), axis=-1)
    np.testing.assert_allclose(categorical(logits).logits, expected, rtol=1e-12)


def test_log_prob_rows_pairs_sample_j_of_row_i_with_row_i():
    y, mean = rng(3).normal(size=(4, 2)), rng(4).normal(size=(3, 4, 2))
    parameters = torch.tensor(np.stack([mean, np.zeros_like(mean)], 2)).flatten(0, 1)
    values = log_prob_rows(LIKELIHOODS["gaussian"](parameters), torch.tensor(y), 3)
    expected = scipy.stats.norm.logpdf(y, mean, 1.0).sum(-1)
    np.testing.assert_allclose(values, expected, rtol=1e-12)
    assert math.prod(values.shape) == 12
