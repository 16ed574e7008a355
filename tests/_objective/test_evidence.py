"""The density by importance sampling, against closed forms and against sums over a grid."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import kstest, multivariate_normal
from torch.distributions import Independent, Normal

from skgmvae._model import LatentMixture
from skgmvae._objective import fixed_points, mixture_log_evidence, shifted_points
from skgmvae._objective.evidence import to_normal

MEANS = np.array([[0.0, 0.0], [3.0, 1.0], [-2.0, 2.0]])
COVARIANCES = np.array([[[1.0, 0.6], [0.6, 1.0]], [[0.5, 0.0], [0.0, 2.0]], np.eye(2)])
WEIGHTS = np.array([0.6, 0.3, 0.1])
LOADINGS = np.array([[1.0, 0.5, -0.5], [0.2, -1.0, 0.7]])
NOISE = 0.4


class LinearGaussian:
    """Stands for a model: y is x by the loadings, with noise of one standard deviation."""

    log_weights = torch.tensor(WEIGHTS).log()
    complete = True

    def p_y(self, x):
        mean = x.reshape(-1, 2) @ torch.tensor(LOADINGS)
        return Independent(Normal(mean, NOISE), 1)

    def q_x(self, y):
        """Return about the posterior under a standard normal prior: diagonal, so never exact."""
        precision = LOADINGS @ LOADINGS.T / NOISE**2 + np.eye(2)
        mean = y.numpy() @ LOADINGS.T / NOISE**2 @ np.linalg.inv(precision)
        scale = np.sqrt(np.diag(np.linalg.inv(precision)))
        return Normal(torch.tensor(mean), torch.tensor(scale).expand(len(y), 2))


def mixture():
    mean_rows = torch.tensor(MEANS @ LOADINGS)
    return LatentMixture.of_covariances(
        torch.tensor(MEANS), torch.tensor(COVARIANCES), mean_rows
    )


def rows(n=30, seed=0):
    source = np.random.default_rng(seed)
    z = source.choice(3, n, p=WEIGHTS)
    x = np.array([source.multivariate_normal(MEANS[k], COVARIANCES[k]) for k in z])
    return torch.tensor(x @ LOADINGS + NOISE * source.standard_normal((n, 3)))


def exact(y):
    """Return log p(y) in closed form: a Gaussian for each component."""
    return logsumexp([
        np.log(weight) + multivariate_normal.logpdf(
            y.numpy(), mean @ LOADINGS, LOADINGS.T @ covariance @ LOADINGS + NOISE**2 * np.eye(3)
        ) for weight, mean, covariance in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    ], axis=0)


def estimate(y, n_posterior=384, n_prior=128, inflation=1.2, latent=None, frequency=10.0):
    model = LinearGaussian()
    directions = frequency * torch.randn(
        2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    points = [
        shifted_points(fixed_points(n, 3, seed), y, of_kind)
        for seed, (n, of_kind) in enumerate(zip((n_posterior, n_prior), directions, strict=True))
    ]
    return mixture_log_evidence(
        model, latent or mixture(), y, model.q_x(y), *points, inflation
    ).numpy()


@pytest.mark.parametrize(("n_prior", "inflation"), [(1024, 1.0), (1024, 1.2), (0, 2.0)])
def test_the_density_is_that_of_the_closed_form(n_prior, inflation):
    y = rows()
    error = estimate(y, 4096, n_prior, inflation) - exact(y)
    assert np.abs(error).max() < 0.05
    assert abs(error.mean()) < 0.01


def test_one_point_is_the_definition():
    y, latent = rows(), mixture()
    found = estimate(y, 1, 0)
    directions = 10.0 * torch.randn(
        2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    q = LinearGaussian().q_x(y)
    noise = shifted_points(fixed_points(1, 3, 0), y, directions[0]).normal[0]
    x = q.mean + 1.2 * q.stddev * noise
    expected = (
        LinearGaussian().p_y(x).log_prob(y)
        + torch.logsumexp(latent.log_prob(x) + torch.tensor(WEIGHTS).log(), -1)
        - Normal(q.mean, 1.2 * q.stddev).log_prob(x).sum(-1)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_points_do_not_depend_on_the_default_dtype(dtype):
    expected = fixed_points(5, 3, 0)
    torch.set_default_dtype(dtype)
    try:
        found = fixed_points(5, 3, 0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.dtype == expected.dtype == torch.float64
    assert torch.equal(found, expected)
    assert torch.equal(fixed_points(1, 3, 0), expected[:1])
    assert fixed_points(0, 3, 0).shape == (0, 3)
    np.testing.assert_allclose(fixed_points(256, 3, 0).mean(0), 0.5, atol=1e-2)


def test_a_row_has_the_same_density_in_any_company():
    y = rows()
    whole = estimate(y)
    np.testing.assert_allclose(estimate(y[5:9]), whole[5:9], rtol=1e-10)
    np.testing.assert_allclose(estimate(y.flip(0)), whole[::-1], rtol=1e-10)


def test_errors_of_rows_cancel():
    y = rows(2000)
    errors = estimate(y, 24, 8) - exact(y)
    assert abs(np.exp(errors).mean() - 1) < 5 * np.exp(errors).std() / np.sqrt(2000)
    assert np.abs(errors).mean() > 0.01


def test_the_order_of_components_does_not_matter():
    order = torch.tensor([2, 0, 1])
    y, model = rows(), LinearGaussian()
    model.log_weights = model.log_weights[order]
    points = [shifted_points(fixed_points(256, 3, s), y, torch.ones(3, 3).double()) for s in (0, 1)]
    found = mixture_log_evidence(
        model, mixture().reordered(order), y, model.q_x(y), *points, 1.2
    )
    np.testing.assert_allclose(found, exact(y), atol=0.2)


def test_points_are_uniform_and_fixed_and_shifted_by_the_row_alone():
    points = fixed_points(256, 3, 0)
    assert torch.equal(points, fixed_points(256, 3, 0))
    assert not torch.equal(points, fixed_points(256, 3, 1))
    y = rows(4)
    shifted = shifted_points(points, y, torch.full((3, 3), 0.7, dtype=torch.float64))
    assert shifted.normal.shape == (256, 4, 2)
    assert shifted.uniform.shape == (256, 4)
    for column in (*shifted.normal.flatten(1).T, *torch.special.ndtri(shifted.uniform).T):
        assert kstest(column.numpy(), "norm").pvalue > 0.5  # more even than random ones
    unmoved = shifted_points(points, torch.zeros(1, 3).double(), torch.ones(3, 3).double())
    np.testing.assert_allclose(unmoved.uniform[:, 0], points[:, -1])
    assert torch.isfinite(to_normal(torch.tensor([0.0, 0.5, 1.0]))).all()
