"""The distributions of Eqs. 1 and 4, by name and shape."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import norm
from torch.distributions import Normal, kl_divergence

from skgmvae.distributions import LIKELIHOODS
from skgmvae.model import GMVAE
from skgmvae.networks import conv_networks, dense_networks


def draw(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).standard_normal(shape))


def test_every_distribution_has_the_papers_shape(make_model):
    model = make_model(n_clusters=3, latent_dim=2, style_dim=5, n_features=4)
    y, x, w = draw(7, 4), draw(6, 7, 2), draw(6, 7, 5)
    q_x, q_w = model.q(y)
    assert q_x.mean.shape == (7, 2)
    assert q_w.mean.shape == (7, 5)
    p_x = model.p_x(w)
    assert p_x.mean.shape == p_x.stddev.shape == (6, 7, 3, 2)
    assert model.p_z(x, p_x).probs.shape == (6, 7, 3)
    assert model.p_y(x).mean.shape == (42, 4)
    assert model.cluster_logits((q_x, q_w)).shape == (7, 3)


def test_images_keep_their_shape():
    networks = conv_networks((3, 9, 8), 2, 5, 1, hidden_layer_sizes=(8,))
    model = GMVAE(networks, (3, 9, 8), 4, 2, 5, LIKELIHOODS["bernoulli"]).eval()
    assert model.q(torch.zeros(2, 3, 9, 8)).q_x.mean.shape == (2, 2)
    assert model.p_y(torch.zeros(2, 2)).mean.shape == (2, 3, 9, 8)


def test_the_posterior_of_z_is_eq_4(make_model):
    model = make_model(4)
    x, w = draw(6, 7, 2), draw(6, 7, 2, seed=1)
    p_x = model.p_x(w)
    log_joint = np.log(1 / 4) + norm.logpdf(
        x[:, :, None], p_x.mean.detach(), p_x.stddev.detach()
    ).sum(-1)
    expected = log_softmax(log_joint, axis=-1)
    np.testing.assert_allclose(model.p_z(x, p_x).logits.detach(), expected, rtol=1e-9)


def test_cluster_logits_are_eq_4_at_the_means(make_model):
    model, y = make_model(4), draw(5, 4)
    q_x, q_w = model.q(y)
    expected = model.p_z(q_x.mean, model.p_x(q_w.mean)).probs
    assert torch.allclose(model.cluster_logits((q_x, q_w)).exp(), expected, rtol=1e-10)
    assert torch.allclose(expected.sum(-1), torch.ones(5).double(), rtol=1e-12)


def test_components_begin_as_near_in_many_latent_dimensions_as_in_few():
    def nats_apart(latent_dim):
        torch.manual_seed(0)
        networks = dense_networks((4,), latent_dim, 2, 1, hidden_layer_sizes=(64,))
        model = GMVAE(networks, (4,), 10, latent_dim, 2, LIKELIHOODS["bernoulli"])
        p_x = model.p_x(torch.randn(100, 2))
        one, other = (
            Normal(p_x.mean.unsqueeze(axis), p_x.stddev.unsqueeze(axis)) for axis in (1, 2)
        )
        return float(kl_divergence(one, other).sum(-1).mean().detach())

    assert nats_apart(2) < nats_apart(16)
    assert nats_apart(200) == pytest.approx(nats_apart(16), rel=0.2)


def test_the_posterior_of_z_is_finite_far_from_every_component(make_model):
    model = make_model(4)
    logits = model.p_z(torch.full((1, 2), 1e6).double(), model.p_x(draw(1, 2))).logits
    assert torch.isfinite(logits).all()
    assert float(logits.detach().exp().sum()) == pytest.approx(1)


def test_reordering_permutes_the_components(make_model):
    model, w = make_model(3), draw(5, 2)
    before = model.p_x(w)
    model.reorder_components(torch.tensor([2, 0, 1]))
    after = model.p_x(w)
    assert torch.equal(after.mean, before.mean[:, [2, 0, 1]])
    assert torch.equal(after.stddev, before.stddev[:, [2, 0, 1]])
    assert not torch.equal(after.mean, before.mean)


def test_both_posteriors_share_one_trunk(make_model):
    model, y = make_model(), draw(5, 4)
    for part in model.q(y):
        (gradient,) = torch.autograd.grad(
            part.mean.sum(), model.encoder[1].weight, retain_graph=True
        )
        assert gradient.abs().max() > 0


def test_the_components_are_read_off_w_alone(make_model):
    model = make_model()
    w = draw(5, 2)
    together, alone = model.p_x(w).mean, model.p_x(w[2:3]).mean[0]
    assert torch.allclose(together[2], alone, rtol=1e-12)
    assert not torch.allclose(together[2], together[3])


def test_building_leaves_batch_statistics_alone():
    networks = conv_networks((1, 20, 20), 2, 2, 1, hidden_layer_sizes=(8,))
    GMVAE(networks, (1, 20, 20), 3, 2, 2, LIKELIHOODS["bernoulli"])
    norms = [m for m in networks.encoder.modules() if hasattr(m, "running_mean")]
    assert norms
    for norm_layer in norms:
        assert norm_layer.training
        assert int(norm_layer.num_batches_tracked) == 0
