"""From features to the parameters of distributions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgmvae._model import DiagonalNormal, parameter_head
from skgmvae._model.heads import GaussianHead


def features(*shape):
    return torch.tensor(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("shape", [(3,), (4, 3)])
@pytest.mark.parametrize("batch", [(5,), (2, 5)])
def test_a_head_has_the_shape_it_was_asked_for(shape, batch):
    distribution = GaussianHead(6, *shape)(torch.zeros(*batch, 6))
    assert distribution.mean.shape == distribution.stddev.shape == (*batch, *shape)


@pytest.mark.parametrize("shape", [(3,), (4, 3)])
def test_a_head_is_a_linear_map_to_means_then_log_variances(shape):
    head = GaussianHead(6, *shape).double()
    weight, bias = (p.detach().numpy() for p in (head.linear.weight, head.linear.bias))
    out = (features(5, 6).numpy() @ weight.T + bias).reshape(5, 2, *shape)
    distribution = head(features(5, 6))
    np.testing.assert_allclose(distribution.mean.detach(), out[:, 0], rtol=1e-12)
    expected = DiagonalNormal(torch.zeros(()), torch.tensor(out[:, 1])).stddev
    np.testing.assert_allclose(distribution.stddev.detach(), expected, rtol=1e-12)


@given(st.permutations(range(4)))
def test_reordering_moves_mean_and_variance_of_a_component_together(order):
    head = GaussianHead(6, 4, 3).double()
    before = head(features(5, 6))
    head.reorder(torch.tensor(order))
    after = head(features(5, 6))
    np.testing.assert_allclose(after.mean.detach(), before.mean[:, order].detach(), rtol=1e-12)
    np.testing.assert_allclose(after.stddev.detach(), before.stddev[:, order].detach(), rtol=1e-12)


def test_reordering_keeps_the_parameters_themselves():
    head = GaussianHead(6, 4, 3)
    parameters = list(head.parameters())
    head.reorder(torch.tensor([3, 2, 1, 0]))
    assert all(a is b for a, b in zip(parameters, head.parameters(), strict=True))
    assert all(p.requires_grad for p in parameters)


@pytest.mark.parametrize("shape", [(2, 5), (1, 3, 4, 2)])
def test_a_parameter_head_is_a_linear_map_to_parameters(shape):
    head = parameter_head(6, *shape).double()
    weight, bias = (p.detach().numpy() for p in head.parameters())
    expected = (features(7, 6).numpy() @ weight.T + bias).reshape(7, *shape)
    np.testing.assert_allclose(head(features(7, 6)).detach(), expected, rtol=1e-12)
