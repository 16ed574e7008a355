"""The distributions of Eqs. 1 and 4, by name and shape."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import norm
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
from torch.utils.flop_counter import FlopCounterMode

from skgmvae._model import Architecture
from skgmvae.likelihoods import LIKELIHOODS

CPU = torch.device("cpu")
UNEVEN = torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64)


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
    assert model.typical_p_x().mean.shape == (3, 2)


def test_images_keep_their_shape():
    architecture = Architecture(
        (3, 9, 8), 4, 2, 5, (8,), "conv", LIKELIHOODS["bernoulli"]
    )
    model = architecture.build(CPU, 0).eval()
    assert model.q(torch.zeros(2, 3, 9, 8)).q_x.mean.shape == (2, 2)
    p_y = model.p_y(torch.zeros(6, 2, 2))
    assert p_y.mean.shape == (12, 3, 9, 8)
    assert p_y.log_prob(torch.zeros(12, 3, 9, 8)).shape == (12,)


@pytest.mark.parametrize("weights", [None, UNEVEN])
def test_the_posterior_of_z_is_eq_4(make_model, weights):
    model = make_model(4)
    model.set_weights(weights)
    x, w = draw(6, 7, 2), draw(6, 7, 2, seed=1)
    p_x = model.p_x(w)
    log_weights = np.log([0.25] * 4 if weights is None else weights.numpy())
    log_joint = log_weights + norm.logpdf(
        x[:, :, None], p_x.mean.detach(), p_x.stddev.detach()
    ).sum(-1)
    expected = log_softmax(log_joint, axis=-1)
    np.testing.assert_allclose(model.p_z(x, p_x).logits.detach(), expected, rtol=1e-9)


def test_the_posterior_of_z_is_bayes_rule_for_the_mixture(make_model):
    model, x, w = make_model(4), draw(7, 2), draw(7, 2, seed=1)
    model.set_weights(UNEVEN)
    p_x = model.p_x(w)
    mixture = MixtureSameFamily(Categorical(UNEVEN.expand(7, 4)), Independent(p_x, 1))
    joint = UNEVEN.log() + Independent(p_x, 1).log_prob(x[:, None])
    expected = joint - mixture.log_prob(x)[:, None]
    np.testing.assert_allclose(
        model.p_z(x, p_x).logits.detach(), expected.detach(), rtol=1e-9
    )


def test_weights_are_even_unless_set(make_model):
    model = make_model(4)
    np.testing.assert_allclose(model.log_weights.exp(), [0.25] * 4)
    model.set_weights(UNEVEN)
    np.testing.assert_allclose(model.log_weights.exp(), UNEVEN)
    model.set_weights()
    np.testing.assert_allclose(model.log_weights.exp(), [0.25] * 4)
    assert "log_weights" in model.state_dict()
    assert "log_weights" not in dict(model.named_parameters())


def test_cluster_logits_are_eq_4_at_the_means(make_model):
    model, y = make_model(4), draw(5, 4)
    model.set_weights(UNEVEN)
    q_x, q_w = model.q(y)
    expected = model.p_z(q_x.mean, model.p_x(q_w.mean)).probs
    assert torch.allclose(model.cluster_logits((q_x, q_w)).exp(), expected, rtol=1e-10)
    assert torch.allclose(expected.sum(-1), torch.ones(5).double(), rtol=1e-12)


def test_the_posterior_of_z_is_finite_far_from_every_component(make_model):
    model = make_model(4)
    logits = model.p_z(torch.full((1, 2), 1e6).double(), model.p_x(draw(1, 2))).logits
    assert torch.isfinite(logits).all()
    assert float(logits.detach().exp().sum()) == pytest.approx(1)


def test_reordering_permutes_the_components_and_their_weights(make_model):
    model, w, order = make_model(4), draw(5, 2), [2, 0, 3, 1]
    model.set_weights(UNEVEN)
    before = model.p_x(w)
    model.reorder_components(torch.tensor(order))
    after = model.p_x(w)
    assert torch.equal(after.mean, before.mean[:, order])
    # exp of a value may depend on where it is in memory, in the last digit
    torch.testing.assert_close(after.stddev, before.stddev[:, order], rtol=1e-14, atol=0)
    assert not torch.equal(after.mean, before.mean)
    np.testing.assert_allclose(model.log_weights.exp(), UNEVEN[order])


def test_the_typical_components_are_those_at_no_noise(make_model):
    model = make_model(4, style_dim=3)
    at_zero = model.p_x(torch.zeros(2, 3).double())
    typical = model.typical_p_x()
    assert typical.mean.shape == (4, 2)
    for row in range(2):
        assert torch.allclose(typical.mean, at_zero.mean[row], rtol=1e-12)
        assert torch.allclose(typical.stddev, at_zero.stddev[row], rtol=1e-12)


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


def test_the_parameters_of_p_x_given_w_and_of_p_y_given_x_are_apart(make_model):
    model = make_model()
    p_y = model.p_y(draw(5, 2))
    of_y = torch.autograd.grad(p_y.mean.sum(), list(model.parameters()), allow_unused=True)
    reached = {
        name.split(".")[0] for (name, _), gradient
        in zip(model.named_parameters(), of_y, strict=True) if gradient is not None
    }
    assert reached == {"decoder", "y_head"}
    p_x = model.p_x(draw(5, 2))
    assert isinstance(p_x, Normal)
    of_x = torch.autograd.grad(p_x.mean.sum(), list(model.parameters()), allow_unused=True)
    reached = {
        name.split(".")[0] for (name, _), gradient
        in zip(model.named_parameters(), of_x, strict=True) if gradient is not None
    }
    assert reached == {"prior", "component_head"}


def test_the_multiplications_of_a_row_are_the_weights_of_dense_networks(make_model):
    model = make_model(n_features=4)
    weights = sum(
        value.numel() for name, value in model.state_dict().items()
        if name.endswith(("weight", "bias"))
    )
    assert model.n_multiplications((4,)) == weights


@pytest.mark.parametrize("training", [True, False])
def test_a_convolution_multiplies_by_its_weights_at_each_position(training):
    model = Architecture((1, 8, 12), 3, 2, 2, (8,), "conv", LIKELIHOODS["bernoulli"]).build(CPU, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train(training)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()
        posterior = model.q(torch.zeros(1, 1, 8, 12))
        model.p_x(posterior.q_w.mean[None])
        model.p_y(posterior.q_x.mean)
    model.train(training)
    n_biases = sum(weight.numel() for weight in model.parameters() if weight.ndim < 2)
    found = model.n_multiplications((1, 8, 12)) - n_biases
    assert found == counter.get_total_flops() / 2
    assert model.training == training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
