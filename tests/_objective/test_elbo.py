"""The terms of Eq. 3 against formulas in float64 numpy and scipy, written from the paper."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp, xlogy
from scipy.stats import norm
from torch import nn
from torch.distributions import Categorical, Normal, kl_divergence
from torch.func import functional_call

from skgmvae._model import DiagonalNormal
from skgmvae._objective import Noise, Terms, draw_noise, drawn, elbo_terms, log_evidence
from skgmvae._objective.elbo import constrained_loss

UNEVEN = {
    1: [1.0], 2: [0.9, 0.1], 3: [0.6, 0.399, 0.001], 4: [0.5, 0.3, 0.15, 0.05],
    5: [0.4, 0.3, 0.15, 0.1, 0.05],
}


def with_weights(model, even):
    """Give the components uneven weights unless told otherwise."""
    if not even:
        model.set_weights(torch.tensor(UNEVEN[model.n_components], dtype=torch.float64))
    return model


def run(network, a):
    """Run a small network in numpy, in evaluation mode; its last axes are those of a row."""
    for layer in network:
        parameters = {name: t.detach().numpy() for name, t in layer.state_dict().items()}
        if isinstance(layer, nn.Linear):
            a = a @ parameters["weight"].T + parameters.get("bias", 0.0)
        elif isinstance(layer, nn.BatchNorm1d):
            a = (a - parameters["running_mean"]) / np.sqrt(parameters["running_var"] + layer.eps)
            a = a * parameters["weight"] + parameters["bias"]
        elif isinstance(layer, nn.ReLU):
            a = np.maximum(a, 0)
        elif isinstance(layer, nn.Tanh):
            a = np.tanh(a)
        elif isinstance(layer, nn.Unflatten):
            a = a.reshape(*a.shape[:-1], *layer.unflattened_size)
        else:
            assert isinstance(layer, nn.Flatten)  # of rows that are flat
    return a


def head(gaussian_head, features, *shape):
    out = run([gaussian_head.linear], features).reshape(*features.shape[:-1], 2, *shape)
    mean, raw = np.moveaxis(out, -1 - len(shape), 0)
    return mean, np.exp(4 * np.tanh(raw / 8))


def kl_normal(m1, s1, m2, s2):
    return np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


class Samples(NamedTuple):
    """The integrands at each draw, (M, B), and what the tighter bound needs."""

    reconstruction: np.ndarray
    conditional_prior: np.ndarray
    w_prior: np.ndarray
    z_prior: np.ndarray
    log_q_x: np.ndarray
    log_mixture: np.ndarray  # log sum_k p(z_k) p(x | w, z_k)


def oracle(model, y, noise, weights=None):
    K = model.n_components
    log_weights = np.log([1 / K] * K if weights is None else weights)
    y, noise_x, noise_w = (np.asarray(a) for a in (y, noise.x, noise.w))
    N_x, N_w = model.latent_dim, model.style_dim
    features = run(model.encoder, y)
    m_x, s_x = head(model.x_head, features, N_x)
    m_w, s_w = head(model.w_head, features, N_w)
    x, w = m_x + s_x * noise_x, m_w + s_w * noise_w
    prior_features = run(model.prior, w)
    m_k, s_k = head(model.component_head, prior_features, K, N_x)
    log_k = norm.logpdf(x[..., None, :], m_k, s_k).sum(-1)
    log_z = log_softmax(log_weights + log_k, axis=-1)
    p_z = np.exp(log_z)
    kl = kl_normal(m_x[:, None], s_x[:, None], m_k, s_k).sum(-1)
    decoded = np.moveaxis(run(model.y_head, run(model.decoder, x)), -2, 0)
    if len(decoded) == 2:  # a Gaussian
        mean, raw = decoded
        log_y = norm.logpdf(y, mean, np.exp(4 * np.tanh(raw / 8))).sum(-1)
    else:
        p = 1 / (1 + np.exp(-decoded[0]))
        log_y = (xlogy(y, p) + xlogy(1 - y, 1 - p)).sum(-1)
    return Samples(
        log_y,
        (p_z * kl).sum(-1),
        np.broadcast_to(kl_normal(m_w, s_w, 0.0, 1.0).sum(-1), log_y.shape),
        (p_z * (log_z - log_weights)).sum(-1),
        norm.logpdf(x, m_x, s_x).sum(-1),
        logsumexp(log_weights + log_k, axis=-1),
    )


def rows(n=5, n_features=4, likelihood="gaussian", seed=0):
    rng = np.random.default_rng(seed)
    draw = rng.random if likelihood == "bernoulli" else rng.standard_normal
    return torch.tensor(draw((n, n_features)))


def draws(n_samples, n_rows, model, seed=0):
    rng = np.random.default_rng(seed)
    return Noise(
        torch.tensor(rng.standard_normal((n_samples, n_rows, model.latent_dim))),
        torch.tensor(rng.standard_normal((n_samples, n_rows, model.style_dim))),
    )


def terms_of(model, y, noise):
    return elbo_terms(model, y, *model.q(y), noise)


def arrays(terms):
    return Terms(*(term.detach().numpy() for term in terms))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("n_clusters", [1, 2, 5])
@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize("even", [True, False], ids=["even", "uneven"])
def test_every_term_is_the_papers_formula(make_model, likelihood, n_clusters, n_samples, even):
    model = with_weights(make_model(n_clusters, 2, 3, likelihood), even)
    y = rows(likelihood=likelihood)
    noise = draws(n_samples, len(y), model)
    terms = arrays(terms_of(model, y, noise))
    expected = oracle(model, y, noise, None if even else UNEVEN[n_clusters])
    for name in Terms._fields:
        np.testing.assert_allclose(
            getattr(terms, name), getattr(expected, name).mean(0), rtol=1e-9, atol=1e-9,
            err_msg=name,
        )
    np.testing.assert_allclose(
        terms.bound,
        (expected.reconstruction - expected.conditional_prior
         - expected.w_prior - expected.z_prior).mean(0),
        rtol=1e-9,
    )


@pytest.mark.parametrize("even", [True, False], ids=["even", "uneven"])
def test_the_z_prior_is_torchs_divergence_from_the_weights(make_model, even):
    model, y = with_weights(make_model(4), even), rows()
    noise = draws(3, len(y), model)
    q_x, q_w = model.q(y)
    x, w = drawn(q_x, q_w, noise)
    posterior = Categorical(logits=model.p_z(x, model.p_x(w)).logits)
    weights = torch.tensor([0.25] * 4 if even else UNEVEN[4], dtype=torch.float64)
    prior = Categorical(weights.expand_as(posterior.probs))
    expected = kl_divergence(posterior, prior).mean(0)
    assert expected.min() > 0.05
    assert torch.allclose(elbo_terms(model, y, q_x, q_w, noise).z_prior, expected, rtol=1e-9)


def test_draws_are_means_and_noise_in_standard_deviations(make_model):
    model, y = make_model(3, 2, 3), rows()
    noise = draws(4, len(y), model)
    q_x, q_w = model.q(y)
    x, w = drawn(q_x, q_w, noise)
    assert x.shape == (4, 5, 2)
    assert w.shape == (4, 5, 3)
    assert torch.allclose((x - q_x.mean) / q_x.stddev, noise.x, rtol=1e-9)
    assert torch.allclose((w - q_w.mean) / q_w.stddev, noise.w, rtol=1e-9)


def test_noise_shared_by_all_rows_is_the_same_as_repeated_noise(make_model):
    model, y = make_model(), rows()
    shared = draws(3, 1, model)
    repeated = Noise(*(draw.expand(-1, len(y), -1) for draw in shared))
    for a, b in zip(terms_of(model, y, shared), terms_of(model, y, repeated), strict=True):
        assert torch.allclose(a, b, rtol=1e-12)


def test_permuting_components_changes_nothing(make_model):
    model, y = with_weights(make_model(4), even=False), rows()
    noise = draws(2, len(y), model)
    before = arrays(terms_of(model, y, noise))
    logits = model.cluster_logits(model.q(y))
    order = torch.tensor([2, 0, 3, 1])
    model.reorder_components(order)
    for a, b in zip(before, arrays(terms_of(model, y, noise)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    assert torch.allclose(model.cluster_logits(model.q(y)), logits[:, order], rtol=1e-10)


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 30), n_clusters=st.integers(1, 6))
def test_the_z_prior_is_between_0_and_log_k(make_model, seed, scale, n_clusters):
    model = make_model(n_clusters, seed=seed)
    with torch.no_grad():
        for parameter in model.component_head.parameters():
            parameter.mul_(scale)
    y = rows(3, seed=seed)
    terms = arrays(terms_of(model, y, draws(2, 3, model, seed)))
    assert (terms.z_prior >= -1e-12).all()
    assert (terms.z_prior <= np.log(n_clusters) + 1e-12).all()
    assert (terms.w_prior >= 0).all()
    assert (terms.conditional_prior >= 0).all()


def test_one_component_is_a_plain_vae_with_prior_p_x_given_w(make_model):
    model, y = make_model(1), rows()
    noise = draws(4, len(y), model)
    terms = arrays(terms_of(model, y, noise))
    features = run(model.encoder, y.numpy())
    m_x, s_x = head(model.x_head, features, 2)
    m_w, s_w = head(model.w_head, features, 2)
    m, s = head(model.component_head, run(model.prior, m_w + s_w * noise.w.numpy()), 2)
    np.testing.assert_allclose(
        terms.conditional_prior, kl_normal(m_x, s_x, m, s).sum(-1).mean(0), rtol=1e-10
    )
    np.testing.assert_array_equal(terms.z_prior, 0.0)


def gradients(model, value):
    grads = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
    return torch.cat([
        (torch.zeros_like(p) if g is None else g).flatten()
        for p, g in zip(model.parameters(), grads, strict=True)
    ])


def test_below_the_threshold_the_z_prior_has_no_gradient_and_above_it_all_of_it(make_model):
    model, y = make_model(), rows()
    terms = terms_of(model, y, draws(2, len(y), model))
    level = float(terms.z_prior.mean().detach())
    without = gradients(model, -(terms.bound + terms.z_prior).mean())
    terms = terms_of(model, y, draws(2, len(y), model))
    with_it = gradients(model, -terms.bound.mean())
    assert not torch.allclose(without, with_it, rtol=1e-3)

    terms = terms_of(model, y, draws(2, len(y), model))
    below = gradients(model, constrained_loss(terms, level + 0.1))
    terms = terms_of(model, y, draws(2, len(y), model))
    above = gradients(model, constrained_loss(terms, level - 0.1))
    assert torch.allclose(below, without, atol=1e-12)
    assert torch.allclose(above, with_it, atol=1e-12)


def test_the_loss_holds_the_threshold_or_the_z_prior_of_the_minibatch():
    terms = Terms(*(torch.tensor(t) for t in ([-5.0, -7.0], [1.0, 2.0], [0.5, 0.7], [0.1, 0.9])))
    rest = 6.0 + 1.5 + 0.6
    assert float(constrained_loss(terms, 0.0)) == pytest.approx(rest + 0.5)
    # of the mean, not of each row
    assert float(constrained_loss(terms, 0.4)) == pytest.approx(rest + 0.5)
    assert float(constrained_loss(terms, 0.8)) == pytest.approx(rest + 0.8)
    assert terms.z_prior.tolist() == pytest.approx([0.1, 0.9])
    assert terms.bound.tolist() == pytest.approx([-6.6, -10.6])


def test_the_gradient_with_respect_to_q_is_right(make_model):
    model, y = make_model(), rows(3)
    noise = draws(2, 3, model)
    with torch.no_grad():
        q_x, q_w = model.q(y)
    log_variances = 2 * q_x.stddev.log(), 2 * q_w.stddev.log()
    inputs = [t.clone().requires_grad_() for t in (q_x.mean, q_w.mean, *log_variances)]

    def value(m_x, m_w, v_x, v_w):
        terms = elbo_terms(model, y, DiagonalNormal(m_x, v_x), DiagonalNormal(m_w, v_w), noise)
        return constrained_loss(terms, 0.0)

    assert torch.autograd.gradcheck(value, inputs, atol=1e-5, rtol=1e-4)


def test_the_gradient_with_respect_to_the_components_is_right(make_model):
    class Loss(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, y, noise):
            return constrained_loss(terms_of(self.model, y, noise), 0.0)

    model, y = make_model(), rows(3)
    noise, module = draws(2, 3, model), Loss(model)
    name = "model.component_head.linear.bias"
    bias = model.component_head.linear.bias.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda b: functional_call(module, {name: b}, (y, noise)), (bias,), atol=1e-5, rtol=1e-4
    )


def test_many_draws_converge_to_the_integral(make_model):
    model, y = make_model(3, 1, 1), rows(2)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = weights / weights.sum()
    grid_x, grid_w = (g.reshape(-1, 1, 1) for g in np.meshgrid(nodes, nodes, indexing="ij"))
    weight = np.outer(weights, weights).reshape(-1, 1)
    grid = Noise(
        torch.tensor(np.broadcast_to(grid_x, (3600, 2, 1)).copy()),
        torch.tensor(np.broadcast_to(grid_w, (3600, 2, 1)).copy()),
    )
    integrands = oracle(model, y, grid)
    source = torch.Generator().manual_seed(0)
    noise = Noise(*(d.double() for d in draw_noise(2000, 2, 1, 1, source)))
    estimate, spread = arrays(terms_of(model, y, noise)), oracle(model, y, noise)
    for name in Terms._fields:
        exact = (weight * getattr(integrands, name)).sum(0)
        error = getattr(spread, name).std(0) / np.sqrt(2000)
        assert (np.abs(getattr(estimate, name) - exact) <= 4.5 * error + 2e-2).all(), name


def test_more_draws_have_less_variance(make_model):
    model, y = make_model(), rows(1)
    bounds = {
        n: [terms_of(model, y, draws(n, 1, model, seed)).bound.item() for seed in range(200)]
        for n in (1, 16)
    }
    assert np.var(bounds[16]) < np.var(bounds[1]) / 8


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("even", [True, False], ids=["even", "uneven"])
def test_the_bound_is_not_above_the_tighter_bound_of_eq_2(make_model, seed, even):
    model, y = with_weights(make_model(4, seed=seed), even), rows(3, seed=seed)
    noise = draws(2000, 3, model, seed)
    s = oracle(model, y, noise, None if even else UNEVEN[4])
    tight = s.reconstruction - (s.log_q_x - s.log_mixture) - s.w_prior
    ours = s.reconstruction - s.conditional_prior - s.w_prior - s.z_prior
    excess = ours - tight
    error = excess.std(0) / np.sqrt(len(excess))
    np.testing.assert_allclose(
        arrays(terms_of(model, y, noise)).bound, ours.mean(0), rtol=1e-9
    )
    assert (excess.mean(0) <= 4 * error).all()


@pytest.mark.parametrize("even", [True, False], ids=["even", "uneven"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_importance_weights_converge_to_the_evidence(make_model, likelihood, even):
    model = with_weights(make_model(3, 1, 1, likelihood), even)
    y, log_weights = rows(2, likelihood=likelihood), np.log([1 / 3] * 3 if even else UNEVEN[3])
    x, w = np.linspace(-30, 30, 3001), np.linspace(-6, 6, 241)
    m_k, s_k = head(model.component_head, run(model.prior, w[:, None]), 3, 1)  # (w, K, 1)
    log_x_given_z = norm.logpdf(x[:, None, None], m_k[..., 0], s_k[..., 0])
    log_x_w = logsumexp(log_weights + log_x_given_z, -1)
    p_x = (np.exp(log_x_w) * norm.pdf(w)).sum(1) * (w[1] - w[0])
    p_y = np.exp([
        model.p_y(torch.tensor(x[:, None])).log_prob(row.expand(len(x), -1)).detach().numpy()
        for row in y
    ])
    exact = np.log((p_y * p_x).sum(1) * (x[1] - x[0]))
    wide = torch.full((2, 1), 3.0, dtype=torch.float64)  # a random q(x|y) misses most of the mass
    q_x, q_w = Normal(torch.zeros_like(wide), wide), Normal(torch.zeros_like(wide), wide / 2)
    noise = draws(50_000, 1, model)
    found = log_evidence(model, y, q_x, q_w, noise).detach().numpy()
    np.testing.assert_allclose(found, exact, atol=0.06)
    assert (terms_of(model, y, noise).bound.detach().numpy() <= exact + 1e-6).all()


@pytest.mark.parametrize("even", [True, False], ids=["even", "uneven"])
def test_one_importance_weight_is_its_definition(make_model, even):
    model, y = with_weights(make_model(), even), rows(5)
    noise = draws(1, 5, model)
    s = oracle(model, y, noise, None if even else UNEVEN[3])
    q_w = model.q(y).q_w
    w = (q_w.mean + q_w.stddev * noise.w).detach()
    log_w = (norm.logpdf(w) - q_w.log_prob(w).detach().numpy()).sum(-1)
    np.testing.assert_allclose(
        log_evidence(model, y, *model.q(y), noise).detach().numpy(),
        (s.reconstruction + s.log_mixture - s.log_q_x + log_w)[0], rtol=1e-9,
    )


def test_noise_is_standard_normal_and_reproducible():
    def draw(seed):
        return draw_noise(50, 40, 3, 2, torch.Generator().manual_seed(seed))

    noise = draw(0)
    assert noise.x.shape == (50, 40, 3)
    assert noise.w.shape == (50, 40, 2)
    assert torch.equal(draw(0).w, noise.w)
    assert not torch.equal(draw(1).w, noise.w)
    for part in noise:
        assert abs(float(part.mean())) < 0.06
        assert abs(float(part.std()) - 1) < 0.06
    x, w = noise.x.flatten(0, 1).T, noise.w.flatten(0, 1).T
    assert torch.corrcoef(torch.cat([x, w])).fill_diagonal_(0).abs().max() < 0.1
