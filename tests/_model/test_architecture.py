"""From a description to a module, and the contract of a user's networks."""

import operator
import pickle
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from skgmvae._model import Architecture
from skgmvae._model.architecture import Initialization, check_network
from skgmvae.likelihoods import LIKELIHOODS
from skgmvae.networks import Networks, dense_networks, paper_conv_networks

CPU = torch.device("cpu")
DENSE = Architecture((5,), 4, 2, 3, (8,), "dense", LIKELIHOODS["gaussian"])
CONV = Architecture((1, 9, 9), 4, 2, 3, (8,), "conv", LIKELIHOODS["bernoulli"])


def linear_factory(data_shape, latent_dim, style_dim, n_parameters):
    return nn.Linear(*data_shape, 6), nn.Linear(style_dim, 7), nn.Linear(latent_dim, 8)


OWN = DENSE._replace(networks=linear_factory)
OWN_CONV = CONV._replace(networks=partial(paper_conv_networks, hidden_layer_sizes=(6,)))
ALL = pytest.mark.parametrize(
    "architecture", [DENSE, CONV, OWN, OWN_CONV], ids=["dense", "conv", "own", "own conv"]
)


def states_equal(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(
        torch.equal(a[name], b[name]) and a[name].dtype == b[name].dtype for name in a
    )


def trains(model, data_shape):
    """Whether all parameters get a finite gradient, from the bound of a few rows."""
    y = torch.rand(6, *data_shape, generator=torch.Generator().manual_seed(0))
    q_x, q_w = model.q(y)
    p_x = model.p_x(q_w.mean)
    value = (
        model.p_y(q_x.mean).log_prob(y).sum() + model.p_z(q_x.mean, p_x).logits[:, 0].sum()
        + p_x.stddev.sum() + q_x.stddev.sum() + q_w.stddev.sum()
    )
    value.backward()
    return all(
        p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters()
    )


@ALL
def test_the_module_has_the_shape_described(architecture):
    model = architecture.build(CPU, 0)
    assert (model.n_components, model.latent_dim, model.style_dim) == (4, 2, 3)
    assert model.training
    y = torch.zeros(2, *architecture.data_shape)
    assert model.q(y).q_w.mean.shape == (2, 3)
    assert model.p_x(torch.zeros(2, 3)).mean.shape == (2, 4, 2)
    assert model.p_y(torch.zeros(2, 2)).mean.shape == y.shape
    for name, tensor in model.state_dict().items():
        assert tensor.device == CPU, name
        assert torch.isfinite(tensor).all(), name
        if not name.endswith("num_batches_tracked"):
            assert tensor.dtype == torch.float32, name


@ALL
def test_a_new_module_trains(architecture):
    assert trains(architecture.build(CPU, 0), architecture.data_shape)


@pytest.mark.parametrize("architecture", [DENSE, CONV])
def test_hidden_layer_sizes_reach_the_networks(architecture):
    model = architecture._replace(hidden_layer_sizes=(9, 7)).build(CPU, 0)
    widths = [m.out_features for m in model.encoder if isinstance(m, nn.Linear)]
    assert widths == [9, 7]


def test_layers_are_drawn_as_torchs_constructors_draw_them():
    model = DENSE._replace(data_shape=(100,), hidden_layer_sizes=(400,)).build(CPU, 0)
    limit = 1 / np.sqrt(100)
    weight = model.encoder[1].weight
    assert limit * 0.99 < weight.abs().max() <= limit
    assert float(weight.detach().std()) == pytest.approx(limit / np.sqrt(3), rel=0.02)
    of_the_head = model.y_head[0]
    for values in (of_the_head.weight, of_the_head.bias):
        assert values.abs().max() <= 1 / np.sqrt(400)
        assert float(values.detach().std()) == pytest.approx(1 / np.sqrt(3 * 400), rel=0.1)
    encoder = CONV.build(CPU, 0).encoder
    convolution = next(m for m in encoder if isinstance(m, nn.Conv2d))
    assert convolution.weight.abs().max() <= 1 / np.sqrt(convolution.weight[0].numel())
    norm = next(m for m in encoder if isinstance(m, nn.BatchNorm2d))
    assert (norm.weight == 1).all()
    assert not norm.bias.any()
    assert (norm.running_var == 1).all()
    assert not norm.running_mean.any()


@ALL
def test_building_leaves_no_trace_in_batch_statistics(architecture):
    model = architecture.build(CPU, 0)
    norms = [m for m in model.modules() if hasattr(m, "running_mean")]
    for norm in norms:
        assert norm.training
        assert int(norm.num_batches_tracked) == 0
        assert not norm.running_mean.any()
    assert len(norms) > 1 or architecture is OWN


@pytest.mark.parametrize("n_dimensions", [4, 16])
def test_components_begin_as_near_in_many_latent_dimensions_as_in_few(n_dimensions):
    def nats_apart(latent_dim):
        architecture = Architecture(
            (4,), 10, latent_dim, 2, (64,), "dense", LIKELIHOODS["bernoulli"]
        )
        model = architecture.build(CPU, 0, rule=Initialization(n_dimensions))
        p_x = model.p_x(torch.randn(100, 2, generator=torch.Generator().manual_seed(0)))
        one, other = (
            Normal(p_x.mean.unsqueeze(axis), p_x.stddev.unsqueeze(axis)) for axis in (1, 2)
        )
        return float(kl_divergence(one, other).sum(-1).mean().detach())

    assert nats_apart(n_dimensions // 2) < 0.8 * nats_apart(n_dimensions)
    assert nats_apart(200) == pytest.approx(nats_apart(n_dimensions), rel=0.35)


# Where the weights come from.

@ALL
def test_weights_depend_on_the_key_alone(architecture, untouched_global_state):
    model = architecture.build(CPU, 3, 1)
    with torch.random.fork_rng():
        torch.rand(7)  # whatever was drawn before
        assert states_equal(model, architecture.build(CPU, 3, 1))
    for key in [(3, 2), (4, 1), (3,)]:
        other = architecture.build(CPU, *key)
        for (name, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
            assert torch.equal(one, two) == (one.dim() == 1 and set(one.tolist()) <= {0, 1}), name


@contextmanager
def defaults(device=None, dtype=torch.float32):
    """Within this context torch makes other tensors than usual where it is not told."""
    torch.set_default_device(device)
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


@ALL
def test_weights_are_the_same_whatever_the_default_device(architecture):
    expected = architecture.build(CPU, 1)
    with defaults(device="meta"):
        model = architecture.build(CPU, 1)
    assert states_equal(model, expected)
    assert trains(model, architecture.data_shape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("architecture", [DENSE, CONV])
def test_weights_are_the_same_whatever_the_default_dtype(architecture, dtype):
    expected = architecture.build(CPU, 1)
    with defaults(dtype=dtype):
        model = architecture.build(CPU, 1)
        assert torch.get_default_dtype() == dtype
    assert states_equal(model, expected)


@pytest.mark.parametrize("architecture", [OWN, OWN_CONV])
def test_weights_of_a_factory_are_single_precision_whatever_the_default_dtype(
    architecture, untouched_global_state
):
    # what it draws in another precision is not for us to say
    with defaults(dtype=torch.float64):
        model = architecture.build(CPU, 1)
        assert states_equal(model, architecture.build(CPU, 1))
    assert all(p.dtype == torch.float32 for p in model.parameters())


@ALL
def test_weights_are_the_same_in_inference_mode(architecture):
    expected = architecture.build(CPU, 1)
    with torch.inference_mode():
        model = architecture.build(CPU, 1)
        assert states_equal(model, expected)


# Factories of a user's own.

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


@pytest.mark.parametrize("kind", [tuple, list, Networks._make])
def test_a_factory_may_return_any_sequence(kind):
    model = DENSE._replace(networks=lambda *arguments: kind(linear_factory(*arguments))).build(
        CPU, 0
    )
    widths = [
        head.linear.in_features for head in (model.x_head, model.w_head, model.component_head)
    ]
    assert widths == [6, 6, 7]
    assert model.y_head[0].in_features == 8
    assert states_equal(model, OWN.build(CPU, 0))


def test_what_a_factory_hands_out_twice_is_not_shared():
    factory = Factory()
    architecture = DENSE._replace(networks=factory)
    one, other = architecture.build(CPU, 0), architecture.build(CPU, 1)
    with torch.no_grad():
        for parameter in one.parameters():
            parameter.fill_(7.0)
    assert not any((p == 7).all() for p in other.parameters())
    assert not any((p == 7).all() for network in factory.networks for p in network.parameters())


def test_a_decoder_may_be_a_trunk_or_whole():
    def whole(data_shape, latent_dim, style_dim, n_parameters):
        encoder, prior, _ = linear_factory(data_shape, latent_dim, style_dim, n_parameters)
        decoder = nn.Sequential(
            nn.Linear(latent_dim, n_parameters * 5), nn.Unflatten(1, (n_parameters, 5))
        )
        return encoder, prior, decoder

    model = DENSE._replace(networks=whole).build(CPU, 0)
    assert not list(model.y_head.parameters())
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.p_y(x).mean, model.decoder(x)[:, 0])
    assert trains(model, (5,))
    trunk = OWN.build(CPU, 0)
    assert trunk.decoder(x).shape == (4, 8)
    assert trunk.p_y(x).mean.shape == (4, 5)
    assert trains(trunk, (5,))


def test_lazy_layers_are_shaped_and_drawn_from_the_key_and_train(untouched_global_state):
    def lazy(data_shape, latent_dim, style_dim, n_parameters):
        return (
            nn.Sequential(nn.LazyLinear(6, bias=False), nn.LazyBatchNorm1d(), nn.ReLU()),
            nn.LazyLinear(7), nn.LazyLinear(8),
        )

    architecture = DENSE._replace(networks=lazy)
    model = architecture.build(CPU, 1)
    assert [model.encoder[0].in_features, model.prior.in_features, model.decoder.in_features] == [
        5, 3, 2,
    ]
    assert states_equal(model, architecture.build(CPU, 1))
    assert not states_equal(model, architecture.build(CPU, 2))
    assert trains(model, (5,))


def test_networks_without_weights_are_networks():
    model = DENSE._replace(
        networks=lambda *arguments: (nn.Identity(), nn.Identity(), nn.Identity())
    ).build(CPU, 0)
    assert model.x_head.linear.in_features == 5
    assert model.component_head.linear.in_features == 3
    assert trains(model, (5,))


def test_networks_in_double_precision_are_taken_in_single():
    def double(*arguments):
        return [network.double() for network in linear_factory(*arguments)]

    model = DENSE._replace(networks=double).build(CPU, 0)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


class Ends(nn.Module):
    """A linear layer, and something that is done to what it makes."""

    def __init__(self, n_features, end):
        super().__init__()
        self.linear = nn.Linear(n_features, 4)
        self.end = end

    def forward(self, y):
        return self.end(self.linear(y))


class SinglePrecision(nn.Module):
    """A network whose own tensor does not follow it into double precision."""

    def __init__(self, n_features):
        super().__init__()
        self.at = torch.ones(n_features, 4)

    def forward(self, y):
        return y @ self.at


BREACHES = {
    "a tuple": (lambda y: (y, y), TypeError, "must return a tensor, but returns a tuple"),
    "None": (lambda y: None, TypeError, "must return a tensor, but returns a NoneType"),
    "numpy": (lambda y: y.numpy(), TypeError, "must return a tensor, but returns a ndarray"),
    "float64": (lambda y: y.double(), TypeError, r"the dtype .* it makes torch\.float64"),
    "float32": (lambda y: y.float(), TypeError, r"and torch\.float32 of torch\.float64"),
    "fewer rows": (lambda y: y[:1], ValueError, r"to \(1, 4\), where each row"),
    "no width": (lambda y: y[:, :0], ValueError, r"to \(2, 0\), where each row"),
    "a number": (lambda y: y.sum(), ValueError, r"to \(\), where each row"),
    "a vector": (lambda y: y[:, 0], ValueError, r"to \(2,\), where each row"),
    "an image": (lambda y: y[:, :, None], ValueError, r"to \(2, 4, 1\), where each row"),
    "another shape": (lambda y: y.view(3, 5), ValueError, r"fails on \(2, [235]\): shape"),
    "dropout": (nn.Dropout(0.5), ValueError, "draws random numbers while training"),
    "noise": (lambda y: y + torch.randn(y.shape), ValueError, "draws random numbers"),
}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("breach", BREACHES)
def test_a_network_that_breaks_the_contract_is_named(breach, place, untouched_global_state):
    end, kind, message = BREACHES[breach]

    def factory(data_shape, latent_dim, style_dim, n_parameters):
        networks = list(linear_factory(data_shape, latent_dim, style_dim, n_parameters))
        networks[place] = Ends(networks[place].in_features, end)
        return networks

    name = Networks._fields[place]
    contract = rf"(?s)^networks=.*factory.* must return three torch modules; its {name} "
    with pytest.raises(kind, match=f"{contract}.*{message}"):
        DENSE._replace(networks=factory).build(CPU, 0)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_network_that_cannot_run_in_double_precision_is_named(place):
    def factory(*arguments):
        networks = list(linear_factory(*arguments))
        networks[place] = SinglePrecision(networks[place].in_features)
        return networks

    name = Networks._fields[place]
    with pytest.raises(ValueError, match=f"networks=.* its {name} fails on .*double.*float"):
        DENSE._replace(networks=factory).build(CPU, 0)


def test_a_decoder_whose_parameters_are_of_another_shape_is_told_which():
    def factory(data_shape, latent_dim, style_dim, n_parameters):
        encoder, prior, _ = linear_factory(data_shape, latent_dim, style_dim, n_parameters)
        return encoder, prior, nn.Sequential(nn.Linear(2, 15), nn.Unflatten(1, (3, 5)))

    with pytest.raises(ValueError, match=r"its decoder maps .* \(any width,\) or \(2, 5\)"):
        DENSE._replace(networks=factory).build(CPU, 0)


@pytest.mark.parametrize("made", [
    (nn.Linear(5, 6), nn.Linear(3, 6)),
    (nn.Linear(5, 6), nn.Linear(3, 6), nn.Linear(2, 6), nn.Linear(2, 6)),
    (nn.Linear(5, 6), nn.Linear(3, 6), torch.tanh),
    (nn.Linear, nn.Linear, nn.Linear),
    nn.Linear(5, 6), None, 3, "abc",
], ids=["two", "four", "a function", "classes", "one", "None", "a number", "a text"])
def test_a_factory_that_returns_no_three_modules_is_named(made):
    with pytest.raises(ValueError, match=r"(?s)networks=.* three torch modules, .*; it returned"):
        DENSE._replace(networks=lambda *arguments: made).build(CPU, 0)


class Own(Exception):
    pass


@pytest.mark.parametrize("where", ["the factory", "a network"])
@pytest.mark.parametrize("error", [Own, KeyError, TypeError, KeyboardInterrupt])
def test_what_a_users_code_raises_passes_unchanged(error, where, untouched_global_state):
    raised = error("of the user's")

    def fail(*arguments):
        raise raised

    def factory(*arguments):
        encoder, _, decoder = linear_factory(*arguments)
        return encoder, Ends(3, fail), decoder

    with pytest.raises(error) as caught:
        DENSE._replace(networks=fail if where == "the factory" else factory).build(CPU, 0)
    assert caught.value is raised


# Comparing.

def test_architectures_compare_and_travel():
    assert Architecture(*DENSE) == DENSE != CONV
    assert pickle.loads(pickle.dumps(DENSE)) == DENSE
    of_a_copy = pickle.loads(pickle.dumps(OWN_CONV))
    assert OWN_CONV.differences(of_a_copy) == []


def test_differences_are_named_with_both_values():
    assert DENSE.differences(Architecture(*DENSE)) == []
    other = DENSE._replace(n_clusters=7, hidden_layer_sizes=(9, 9))
    assert DENSE.differences(other) == [
        "n_clusters from 4 to 7", "hidden_layer_sizes from (8,) to (9, 9)",
    ]
    assert other.differences(DENSE)[0] == "n_clusters from 7 to 4"


@pytest.mark.parametrize(("other", "same"), [
    (partial(paper_conv_networks, hidden_layer_sizes=(6,)), True),
    (partial(paper_conv_networks, hidden_layer_sizes=(7,)), False),
    (partial(dense_networks, hidden_layer_sizes=(6,)), False),
    (partial(paper_conv_networks, (1, 9, 9), hidden_layer_sizes=(6,)), False),
    (paper_conv_networks, False),
    ("conv", False),
])
def test_a_partial_is_what_it_holds(other, same):
    assert operator.not_(OWN_CONV.differences(OWN_CONV._replace(networks=other))) is same


def test_partial_factories_that_hold_tensors_are_compared():
    values = torch.arange(3)
    one, same = (partial(dense_networks, hidden_layer_sizes=values) for _ in range(2))
    other = partial(dense_networks, hidden_layer_sizes=torch.arange(3))
    architecture = Architecture((4,), 3, 2, 2, (8,), one, LIKELIHOODS["gaussian"])
    assert architecture.differences(architecture._replace(networks=same)) == []
    (difference,) = architecture.differences(architecture._replace(networks=other))
    assert difference.startswith("networks from ")


def test_a_network_without_values_breaks_the_contract():
    def factory(data_shape, latent_dim, style_dim, n_parameters):
        with torch.device("meta"):
            return tuple(torch.nn.Linear(width, 4) for width in (4, 2, 2))

    architecture = Architecture((4,), 3, 2, 2, (8,), factory, LIKELIHOODS["gaussian"])
    with pytest.raises(ValueError, match=r"networks=.*its encoder fails"):
        architecture.build(CPU, 0)


def test_a_check_returns_the_shape_of_a_row_and_leaves_no_trace():
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert check_network(network, "it", (2, 3), None) == (4,)
    assert all(module.training for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(p.grad is not None for p in network.parameters())
    images = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3))
    assert check_network(images, "it", (1, 5, 4), (3, 4, 3)) == (3, 4, 3)
    assert check_network(nn.Flatten(), "it", (2, 3), None) == (6,)
