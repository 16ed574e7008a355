"""The parameters and networks in `skgmvae.paper` are those of the paper."""

import numpy as np
import pytest
import torch

from helpers import QUIET
from skgmvae import GMVAEClustering, paper
from skgmvae.networks import MNIST_LAYERS, SVHN_LAYERS

pytestmark = QUIET


def fitted(settings, X, **changes):
    changes = {"max_iter": 1, "random_state": 0, "device": "cpu", **changes}
    return GMVAEClustering(2, **(settings | changes)).fit(X)


@pytest.mark.parametrize("settings", [paper.ARCS, paper.MNIST, paper.SVHN])
def test_the_objective_has_no_additional_terms(settings):
    clusterer = GMVAEClustering(10, **settings)
    assert clusterer.consistency == 0
    assert clusterer.min_information == 0
    assert clusterer.learning_rate == "constant"
    assert clusterer.learning_rate_init == 1e-4


def shapes(module, kind):
    return [tuple(layer.weight.shape) for layer in module.modules() if isinstance(layer, kind)]


def test_arcs_networks_are_those_of_appendix_a():
    X = np.random.RandomState(0).standard_normal((20, 2))
    model = fitted(paper.ARCS, X).module_
    assert shapes(model.encoder, torch.nn.Linear) == [(120, 2), (120, 120)]
    assert shapes(model.prior, torch.nn.Linear) == [(120, 2)]
    assert shapes(model.decoder, torch.nn.Linear) == [(120, 2), (120, 120), (4, 120)]
    assert not shapes(model, torch.nn.BatchNorm1d)
    assert (model.latent_dim, model.style_dim) == (2, 2)


@pytest.mark.parametrize(("settings", "shape", "layers"), [
    (paper.MNIST, (28, 28), MNIST_LAYERS), (paper.SVHN, (32, 32, 3), SVHN_LAYERS),
])
def test_image_networks_are_those_of_appendix_a(settings, shape, layers):
    X = np.random.RandomState(0).randint(0, 256, (6, np.prod(shape)), dtype=np.uint8)
    model = fitted(settings, X).module_
    convolutions = shapes(model.encoder, torch.nn.Conv2d)
    assert [weight[0] for weight in convolutions] == [layer.channels for layer in layers]
    assert [weight[2] for weight in convolutions] == [layer.kernel for layer in layers]
    transposed = shapes(model.decoder, torch.nn.ConvTranspose2d)
    assert [weight[0] for weight in transposed] == [layer.channels for layer in layers[::-1]]
    assert shapes(model.prior, torch.nn.Linear) == [(500, 150)]
    assert shapes(model.x_head, torch.nn.Linear) == [(2 * 200, 500)]
    assert shapes(model.w_head, torch.nn.Linear) == [(2 * 150, 500)]
    p_y = model.p_y(torch.zeros(2, model.latent_dim))
    assert isinstance(p_y.base_dist, torch.distributions.Bernoulli)
    assert p_y.base_dist.logits.shape[0] == 2
    assert p_y.base_dist.logits[0].numel() == np.prod(shape)
