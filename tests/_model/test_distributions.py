"""What networks put out, as distributions, against scipy."""

import numpy as np
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal

from skgmvae._model import categorical, log_prob_rows, normal
from skgmvae._model.distributions import LOG_VARIANCE_LIMIT


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


def test_the_log_variance_reaches_its_bounds():
    bounds = log_variance_of([-1e3, 1e3]).numpy()
    np.testing.assert_allclose(bounds, [-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT])


def test_the_log_variance_is_strictly_monotone_and_nearly_itself_around_zero():
    raw = torch.linspace(-20, 20, 401, dtype=torch.float64)
    assert (log_variance_of(raw).diff() > 0).all()
    np.testing.assert_allclose(log_variance_of([-0.3, 0.2]), [-0.3, 0.2], atol=2e-4)


def test_an_extreme_log_variance_still_has_a_gradient():
    raw = torch.tensor([-20.0, 20.0], requires_grad=True)
    normal(torch.zeros(2), raw).stddev.log().sum().backward()
    assert (raw.grad > 0).all()


def test_the_mean_is_taken_as_it_is():
    mean = torch.tensor([-1e6, 0.0, 3.0])
    assert torch.equal(normal(mean, torch.zeros(3)).mean, mean)


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
