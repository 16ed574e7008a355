"""Shapes of the networks, and the tables of Appendix A."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skgmvae.networks import (
    MNIST_LAYERS,
    SVHN_LAYERS,
    ConvLayer,
    conv_networks,
    dense_networks,
    paper_conv_networks,
)

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def check_shapes(networks, data_shape, decoded, width):
    features = networks.encoder(torch.zeros(2, *data_shape))
    assert features.shape == (2, width)
    assert networks.prior(torch.zeros(2, 5)).shape == (2, width)
    assert networks.decoder(torch.zeros(2, 3)).shape == (2, *decoded)


def decoded_by(factory, data_shape, n_parameters, width):
    """Return what the decoder makes of a row: the paper's is whole, the others are trunks."""
    return (n_parameters, *data_shape) if factory is paper_conv_networks else (width,)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3),
    st.lists(st.integers(2, 9), min_size=1, max_size=3),
    st.sampled_from([1, 2]),
)
def test_dense_shapes(data_shape, hidden, n_parameters):
    networks = dense_networks(tuple(data_shape), 3, 5, n_parameters, hidden_layer_sizes=hidden)
    check_shapes(networks, tuple(data_shape), (hidden[0],), hidden[-1])


@pytest.mark.parametrize("factory", [conv_networks, paper_conv_networks])
@settings(max_examples=15)
@given(
    channels=st.integers(1, 3), height=st.integers(8, 40), width=st.integers(8, 40),
    n_parameters=st.sampled_from([1, 2]),
)
def test_conv_shapes(factory, channels, height, width, n_parameters):
    data_shape = (channels, height, width)
    with torch.device("meta"):  # shapes only
        networks = factory(data_shape, 3, 5, n_parameters, hidden_layer_sizes=(7, 6))
    encoded = networks.encoder.to_empty(device="cpu").eval()
    decoded = networks.decoder.to_empty(device="cpu").eval()
    prior = networks.prior.to_empty(device="cpu")
    check_shapes(networks._replace(encoder=encoded, decoder=decoded, prior=prior),
                 data_shape, decoded_by(factory, data_shape, n_parameters, 7), 6)


@pytest.mark.parametrize("factory", [conv_networks, paper_conv_networks])
@settings(max_examples=15)
@given(
    layers=st.lists(
        st.builds(ConvLayer, st.integers(1, 4), st.integers(1, 5), st.integers(1, 3),
                  st.integers(0, 2)).filter(lambda layer: layer.padding < layer.kernel),
        min_size=1, max_size=3,
    ),
    height=st.integers(5, 17), width=st.integers(5, 17),
)
def test_conv_shapes_with_layers_of_ones_own(factory, layers, height, width):
    data_shape = (2, height, width)
    networks = factory(data_shape, 3, 5, 2, hidden_layer_sizes=(7, 6), layers=layers)
    check_shapes(networks, data_shape, decoded_by(factory, data_shape, 2, 7), 6)


def sides(network, image):
    found = []
    for layer in network:
        image = layer(image)
        if isinstance(layer, CONVOLUTIONS):
            found.append(image.shape[1:])
    return found


def test_the_mnist_encoder_is_table_a1():
    encoder, _, decoder = paper_conv_networks((1, 28, 28), 200, 150, 1)
    found = sides(encoder, torch.zeros(2, 1, 28, 28))
    assert found == [(16, 23, 23), (32, 18, 18), (64, 9, 9)]
    dense = [m for m in encoder if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in dense] == [(64 * 9 * 9, 500)]
    assert sides(decoder, torch.zeros(2, 200)) == [(32, 18, 18), (16, 23, 23), (1, 28, 28)]


def test_the_svhn_encoder_is_table_a1():
    with torch.device("meta"):
        encoder, _, decoder = paper_conv_networks((3, 32, 32), 200, 150, 1)
        assert sides(encoder, torch.zeros(2, 3, 32, 32)) == [
            (64, 16, 16), (128, 8, 8), (246, 4, 4),
        ]
        assert sides(decoder, torch.zeros(2, 200)) == [(128, 8, 8), (64, 16, 16), (3, 32, 32)]


def test_the_layer_tables_are_the_papers():
    assert MNIST_LAYERS == ((16, 6, 1, 0), (32, 6, 1, 0), (64, 4, 2, 1))
    assert SVHN_LAYERS == ((64, 4, 2, 1), (128, 4, 2, 1), (246, 4, 2, 1))


@pytest.mark.parametrize(("shape", "channels"), [
    ((1, 16, 16), 16), ((1, 15, 30), 64), ((3, 16, 16), 64),
])
def test_the_table_is_chosen_by_the_image(shape, channels):
    with torch.device("meta"):
        assert paper_conv_networks(shape, 2, 2, 1).encoder[0].out_channels == channels


def test_the_light_networks_halve_the_image_twice_and_decode_densely():
    encoder, _, decoder = conv_networks((1, 28, 28), 3, 5, 1, hidden_layer_sizes=(8, 4))
    assert sides(encoder, torch.zeros(2, 1, 28, 28)) == [(16, 14, 14), (32, 7, 7)]
    dense = dense_networks((1, 28, 28), 3, 5, 1, hidden_layer_sizes=(8, 4)).decoder
    assert str(decoder) == str(dense)


def test_layers_that_use_a_small_image_up_are_left_out():
    encoder = paper_conv_networks((3, 5, 5), 2, 2, 1, hidden_layer_sizes=(4,)).encoder
    assert sum(isinstance(m, nn.Conv2d) for m in encoder) == 2  # 5 -> 2 -> 1


@pytest.mark.parametrize("factory", [conv_networks, paper_conv_networks])
def test_rows_that_are_no_images_are_refused_by_the_name_of_the_parameter(factory):
    with pytest.raises(ValueError, match=r"\(784,\): pass image_shape=\(height, width\)"):
        factory((784,), 2, 2, 1)


def test_a_too_small_image_is_refused_by_the_name_of_the_parameter():
    with pytest.raises(ValueError, match=r"image_shape.* 1 x 3 .*networks='dense'"):
        conv_networks((1, 1, 3), 2, 2, 1)
    with pytest.raises(ValueError, match="kernel of 7"):
        conv_networks((1, 6, 6), 2, 2, 1, layers=[ConvLayer(2, 7, 1, 0)])


@pytest.mark.parametrize("factory", [dense_networks, conv_networks, paper_conv_networks])
def test_networks_without_layers_are_refused_by_the_name_of_the_parameter(factory):
    with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(\)"):
        factory((1, 20, 20), 2, 2, 1, hidden_layer_sizes=())
    if factory is not dense_networks:
        with pytest.raises(ValueError, match=r"layers=\(\)"):
            factory((1, 20, 20), 2, 2, 1, layers=())


@pytest.mark.parametrize("networks", [
    dense_networks((6,), 2, 2, 2, hidden_layer_sizes=(8, 4)),
    conv_networks((1, 20, 20), 2, 2, 2, hidden_layer_sizes=(8, 4)),
    paper_conv_networks((1, 20, 20), 2, 2, 2, hidden_layer_sizes=(8, 4)),
], ids=["dense", "conv", "paper"])
def test_there_is_no_bias_before_batch_norm_and_one_everywhere_else(networks):
    n_before_norm = 0
    for network in networks:
        layers = [m for m in network if isinstance(m, (nn.Linear, *CONVOLUTIONS, *NORMS))]
        for layer, following in pairwise([*layers, None]):
            if isinstance(following, NORMS):
                n_before_norm += 1
                assert layer.bias is None
            elif not isinstance(layer, NORMS):
                assert layer.bias is not None
    assert n_before_norm >= 4


@pytest.mark.parametrize("factory", [conv_networks, paper_conv_networks])
def test_every_norm_is_followed_by_relu(factory):
    for network in factory((1, 20, 20), 2, 2, 2, hidden_layer_sizes=(8,)):
        for layer, following in pairwise(network):
            if isinstance(layer, NORMS):
                assert isinstance(following, nn.ReLU)


def test_the_prior_is_one_tanh_layer():
    linear, activation = dense_networks((6,), 2, 3, 2, hidden_layer_sizes=(8, 4)).prior
    assert (linear.in_features, linear.out_features) == (3, 4)
    assert isinstance(activation, nn.Tanh)


def test_the_dense_decoder_is_the_encoder_backwards():
    encoder, _, decoder = dense_networks((6,), 2, 3, 2, hidden_layer_sizes=(8, 4))
    widths = [
        [(m.in_features, m.out_features) for m in network if isinstance(m, nn.Linear)]
        for network in (encoder, decoder)
    ]
    assert widths == [[(6, 8), (8, 4)], [(2, 4), (4, 8)]]


@given(st.integers(1, 40), st.builds(
    ConvLayer, st.just(2), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2)
))
def test_out_size_is_what_torch_makes_of_it(size, layer):
    padded = size + 2 * layer.padding
    expected = len(range(0, padded - layer.kernel + 1, layer.stride))
    assert max(0, layer.out_size(size)) == expected
