"""A mixture of Gaussians with full covariances."""

import numpy as np
import torch
from torch.distributions import MultivariateNormal

from skgmvae._model import LatentMixture


def made_up(n_components=3, latent_dim=4):
    source = torch.Generator().manual_seed(0)
    means = torch.randn(n_components, latent_dim, generator=source, dtype=torch.float64)
    roots = torch.randn(
        n_components, latent_dim, 2 * latent_dim, generator=source, dtype=torch.float64
    )
    covariances = roots @ roots.mT / latent_dim
    return LatentMixture.of_covariances(means, covariances, means), covariances


def test_the_density_of_each_component_is_that_of_torch():
    mixture, covariances = made_up()
    x = torch.randn(5, 7, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = MultivariateNormal(mixture.means, covariances).log_prob(x.unsqueeze(-2))
    np.testing.assert_allclose(mixture.log_prob(x), expected, rtol=1e-10)
    np.testing.assert_allclose(mixture.covariances, covariances, rtol=1e-10)


def test_points_have_the_moments_of_their_component():
    mixture, covariances = made_up()
    source = torch.Generator().manual_seed(1)
    z = torch.arange(3).repeat(20_000)
    x = mixture.points(z, torch.randn(60_000, 4, generator=source, dtype=torch.float64))
    for k in range(3):
        np.testing.assert_allclose(x[z == k].mean(0), mixture.means[k], atol=0.05)
        np.testing.assert_allclose(torch.cov(x[z == k].T), covariances[k], atol=0.15)


def test_reordering_permutes_densities():
    mixture, _ = made_up()
    order, x = torch.tensor([2, 0, 1]), torch.ones(1, 4, dtype=torch.float64)
    np.testing.assert_allclose(mixture.reordered(order).log_prob(x), mixture.log_prob(x)[:, order])
