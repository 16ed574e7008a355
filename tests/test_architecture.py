"""From a description to a module."""

import pickle

import pytest
import torch
from torch import nn

from skgmvae.architecture import Architecture
from skgmvae.networks import Networks, dense_networks

CPU = torch.device("cpu")
DENSE = Architecture((5,), 4, 2, 3, (8,), "dense", "gaussian")
CONV = Architecture((1, 9, 9), 4, 2, 3, (8,), "conv", "bernoulli")


def states_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("architecture", [DENSE, CONV])
def test_the_module_has_the_shape_described(architecture):
    model = architecture.build(CPU, 0)
    assert (model.n_components, model.latent_dim, model.style_dim) == (4, 2, 3)
    assert model.data_shape == architecture.data_shape
    assert model.likelihood.name == architecture.likelihood
    y = torch.zeros(2, *architecture.data_shape)
    assert model.q(y).q_w.mean.shape == (2, 3)
    assert model.p_y(torch.zeros(2, 2)).mean.shape == y.shape


@pytest.mark.parametrize("architecture", [DENSE, CONV])
def test_weights_depend_on_the_key_alone(architecture, untouched_global_state):
    model = architecture.build(CPU, 3, 1)
    assert states_equal(model, architecture.build(CPU, 3, 1))
    assert not states_equal(model, architecture.build(CPU, 3, 2))
    assert not states_equal(model, architecture.build(CPU, 4, 1))


@pytest.mark.parametrize("architecture", [DENSE, CONV])
def test_hidden_layer_sizes_reach_the_networks(architecture):
    model = architecture._replace(hidden_layer_sizes=(9, 7)).build(CPU, 0)
    widths = [m.out_features for m in model.encoder if isinstance(m, nn.Linear)]
    assert widths == [9, 7]


class Factory:
    """A factory that records its arguments and hands out the same modules each time."""

    def __init__(self):
        self.calls = []
        self.networks = None

    def __call__(self, *arguments):
        self.calls.append(arguments)
        if self.networks is None:
            self.networks = dense_networks(*arguments, hidden_layer_sizes=(6,))
        return self.networks


def test_a_factory_gets_the_documented_arguments():
    factory = Factory()
    model = DENSE._replace(networks=factory).build(CPU, 0)
    assert factory.calls == [((5,), 2, 3, 2)]
    assert model.x_head.linear.in_features == 6
    of_images = Factory()
    CONV._replace(networks=of_images).build(CPU, 0)
    assert of_images.calls == [((1, 9, 9), 2, 3, 1)]


def test_a_factory_may_return_a_plain_tuple():
    model = DENSE._replace(networks=lambda *arguments: tuple(
        dense_networks(*arguments, hidden_layer_sizes=(6,))
    )).build(CPU, 0)
    assert model.q(torch.zeros(2, 5)).q_x.mean.shape == (2, 2)


def test_what_a_factory_hands_out_twice_is_not_shared():
    architecture = DENSE._replace(networks=Factory())
    one, other = architecture.build(CPU, 0), architecture.build(CPU, 1)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.fill_(7.0)
    assert not any((p == 7).all() for p in other.parameters())


def test_a_factorys_weights_come_from_the_key(untouched_global_state):
    def factory(data_shape, latent_dim, style_dim, n_parameters):
        return Networks(
            nn.Linear(5, 6), nn.Linear(style_dim, 6),
            nn.Sequential(nn.Linear(latent_dim, 10), nn.Unflatten(1, (2, 5))),
        )

    architecture = DENSE._replace(networks=factory)
    assert states_equal(architecture.build(CPU, 1), architecture.build(CPU, 1))
    assert not states_equal(architecture.build(CPU, 1), architecture.build(CPU, 2))


def test_architectures_compare_and_travel():
    assert Architecture(*DENSE) == DENSE != CONV
    assert pickle.loads(pickle.dumps(DENSE)) == DENSE
