"""The three networks of a GMVAE: dense, convolutional, the paper's, or the user's own.

A factory is any callable ``factory(data_shape, latent_dim, style_dim, n_parameters)`` that
returns three modules:

1. ``encoder``: ``(B, *data_shape) -> (B, any width)``, the trunk that q(x|y) and q(w|y) share;
2. ``prior``: ``(B, style_dim) -> (B, any width)``, the trunk of p(x|w, z);
3. ``decoder``: ``(B, latent_dim) -> (B, any width)``, the trunk of p(y|x), which a linear layer
   follows; or ``(B, n_parameters, *data_shape)``, the parameters of p(y|x) themselves: the logit
   (Bernoulli, 1), the mean and the log-variance (Gaussian, 2), these and a number for the degrees
   of freedom (Student's t, 3), the logit of the share (Poisson, 1), or this and the logarithm of
   the dispersion (negative binomial, 2).

Batch norm aside, a network must have no state that training changes. `fit` raises a ValueError if
one draws random numbers while training, as dropout does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import nn

__all__ = [
    "LIGHT_LAYERS",
    "MNIST_LAYERS",
    "SVHN_LAYERS",
    "ConvLayer",
    "NetworkFactory",
    "Networks",
    "conv_networks",
    "dense_networks",
    "paper_conv_networks",
]


class Networks(NamedTuple):
    """The trunks of q(x|y) and q(w|y), of p(x|w, z) and of p(y|x).

    Attributes
    ----------
    encoder, prior, decoder : Module
        Their shapes are those at the head of :mod:`skgmvae.networks`.

    Examples
    --------
    >>> import torch
    >>> networks = dense_networks((8,), 2, 3, 2, hidden_layer_sizes=(16,))
    >>> networks.encoder(torch.zeros(5, 8)).shape, networks.prior(torch.zeros(5, 3)).shape
    (torch.Size([5, 16]), torch.Size([5, 16]))
    """

    encoder: nn.Module
    prior: nn.Module
    decoder: nn.Module


#: A callable from (data_shape, latent_dim, style_dim, n_parameters) to three modules.
NetworkFactory = Callable[[tuple[int, ...], int, int, int], tuple[nn.Module, nn.Module, nn.Module]]


class ConvLayer(NamedTuple):
    """One line of Tables A.1 and A.3: channels x kernel x kernel (stride-padding).

    Attributes
    ----------
    channels : int
        Number of channels of its output.
    kernel, stride, padding : int
        In pixels, the same in height and width.

    Examples
    --------
    >>> ConvLayer(channels=64, kernel=4, stride=2, padding=1).out_size(18)
    9
    """

    channels: int
    kernel: int
    stride: int
    padding: int

    def out_size(self, size: int) -> int:
        """Return the side of the image after the layer, in pixels."""
        return (size + 2 * self.padding - self.kernel) // self.stride + 1


#: Two layers of few channels, each of which halves the image: an eighth of the time of
#: `MNIST_LAYERS`.
LIGHT_LAYERS = (ConvLayer(16, 4, 2, 1), ConvLayer(32, 4, 2, 1))
#: The convolutions of the MNIST experiment (Tables A.1 and A.3).
MNIST_LAYERS = (ConvLayer(16, 6, 1, 0), ConvLayer(32, 6, 1, 0), ConvLayer(64, 4, 2, 1))
#: The convolutions of the SVHN experiment; 246 is the paper's figure.
SVHN_LAYERS = (ConvLayer(64, 4, 2, 1), ConvLayer(128, 4, 2, 1), ConvLayer(246, 4, 2, 1))


def _widths(hidden_layer_sizes: Sequence[int]) -> list[int]:
    widths = list(hidden_layer_sizes)
    if not widths:
        raise ValueError("hidden_layer_sizes=() must hold at least one width, as in (500, 500).")
    return widths


def _dense_stack(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear, batch norm, ReLU for each pair of sizes.

    No bias before batch norm, which removes it: its gradient is rounding noise, and Adam
    would turn that into drift.
    """
    stack: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        stack += [nn.Linear(n_in, n_out, bias=False), nn.BatchNorm1d(n_out), nn.ReLU()]
    return stack


def _prior_network(style_dim: int, width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(style_dim, width), nn.Tanh())  # Table A.2


def dense_networks(
    data_shape: tuple[int, ...],
    latent_dim: int,
    style_dim: int,
    n_parameters: int,
    *,
    hidden_layer_sizes: Sequence[int] = (500, 500),
) -> Networks:
    """Build fully connected networks; the decoder is the encoder run backward.

    Parameters
    ----------
    data_shape : tuple of int
        Shape of one observation.
    latent_dim, style_dim : int
        N_x and N_w.
    n_parameters : int
        Parameters of p(y|x) for each value: 1 (Bernoulli, Poisson), 2 (Gaussian, negative
        binomial) or 3 (Student's t).
    hidden_layer_sizes : sequence of int, default=(500, 500)
        Widths of the encoder's layers; batch norm and ReLU follow each.

    Returns
    -------
    networks : Networks
        The encoder, the prior and the decoder.

    Raises
    ------
    ValueError
        If `hidden_layer_sizes` is empty.

    Examples
    --------
    >>> import torch
    >>> networks = dense_networks((8,), 2, 3, 2, hidden_layer_sizes=(16,))
    >>> networks.decoder(torch.zeros(5, 2)).shape
    torch.Size([5, 16])
    """
    hidden = _widths(hidden_layer_sizes)
    return Networks(
        nn.Sequential(nn.Flatten(), *_dense_stack([math.prod(data_shape), *hidden])),
        _prior_network(style_dim, hidden[-1]),
        nn.Sequential(*_dense_stack([latent_dim, *hidden[::-1]])),
    )


def conv_networks(
    data_shape: tuple[int, ...],
    latent_dim: int,
    style_dim: int,
    n_parameters: int,
    *,
    hidden_layer_sizes: Sequence[int] = (500, 500),
    layers: Sequence[ConvLayer] = LIGHT_LAYERS,
) -> Networks:
    """Build an encoder of convolutions before dense layers, and a dense decoder.

    What tells clusters apart is the encoder's; convolutions in the decoder would cost several
    times as much as those in the encoder.

    Parameters
    ----------
    data_shape : tuple of int
        (channels, height, width).
    latent_dim, style_dim, n_parameters : int
        As in :func:`dense_networks`.
    hidden_layer_sizes : sequence of int, default=(500, 500)
        Dense layers between the convolutions and the heads; the decoder has them in reverse.
    layers : sequence of ConvLayer, default=LIGHT_LAYERS
        From the first one that does not fit what is left of the image, all are left out.

    Returns
    -------
    networks : Networks
        The encoder, the prior and the decoder.

    Raises
    ------
    ValueError
        If `data_shape` does not have three numbers, not even the first layer fits the image, or
        `layers` or `hidden_layer_sizes` is empty.

    Examples
    --------
    >>> import torch
    >>> networks = conv_networks((1, 28, 28), 10, 10, 1)
    >>> networks.encoder(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 500])
    """
    hidden = _widths(hidden_layer_sizes)
    return Networks(
        _conv_encoder(layers, _shapes_between(layers, data_shape), hidden),
        _prior_network(style_dim, hidden[-1]),
        nn.Sequential(*_dense_stack([latent_dim, *hidden[::-1]])),
    )


def paper_conv_networks(
    data_shape: tuple[int, ...],
    latent_dim: int,
    style_dim: int,
    n_parameters: int,
    *,
    hidden_layer_sizes: Sequence[int] = (500,),
    layers: Sequence[ConvLayer] | None = None,
) -> Networks:
    """Build the convolutional networks of Tables A.1-A.3 for images of any size.

    Parameters
    ----------
    data_shape : tuple of int
        (channels, height, width).
    latent_dim, style_dim, n_parameters : int
        As in :func:`dense_networks`.
    hidden_layer_sizes : sequence of int, default=(500,)
        Dense layers between the convolutions and the heads.
    layers : sequence of ConvLayer, default=None
        ``None`` takes `MNIST_LAYERS` for one channel and a height and width of at least 16 pixels,
        else `SVHN_LAYERS`. From the first one that does not fit what is left of the image, all are
        left out.

    Returns
    -------
    networks : Networks
        The encoder, the prior and the decoder.

    Raises
    ------
    ValueError
        If `data_shape` does not have three numbers, not even the first layer fits the image, or
        `layers` or `hidden_layer_sizes` is empty.

    Examples
    --------
    >>> import torch
    >>> networks = paper_conv_networks((1, 28, 28), 10, 10, 1)
    >>> networks.decoder(torch.zeros(2, 10)).shape
    torch.Size([2, 1, 1, 28, 28])
    """
    n_channels, *size = data_shape
    if layers is None:
        layers = MNIST_LAYERS if n_channels == 1 and min(size, default=0) >= 16 else SVHN_LAYERS
    shapes = _shapes_between(layers, data_shape)
    hidden = _widths(hidden_layer_sizes)

    def dropped(n_before: int, n_after: int, layer: ConvLayer) -> int:
        """Rows of pixels that the encoder's stride left out."""
        return n_before - ((n_after - 1) * layer.stride - 2 * layer.padding + layer.kernel)

    decoder: list[nn.Module] = [
        *_dense_stack([latent_dim, *hidden[::-1], math.prod(shapes[-1])]),
        nn.Unflatten(1, shapes[-1]),
    ]
    for index in reversed(range(len(shapes) - 1)):
        layer, before, after = layers[index], shapes[index], shapes[index + 1]
        last = index == 0
        decoder.append(nn.ConvTranspose2d(
            layer.channels,
            before[0] * (n_parameters if last else 1),
            layer.kernel, layer.stride, layer.padding,
            output_padding=(
                dropped(before[1], after[1], layer), dropped(before[2], after[2], layer),
            ),
            bias=last,
        ))
        if not last:
            decoder += [nn.BatchNorm2d(before[0]), nn.ReLU()]
    return Networks(
        _conv_encoder(layers, shapes, hidden),
        _prior_network(style_dim, hidden[-1]),
        nn.Sequential(*decoder, nn.Unflatten(1, (n_parameters, n_channels))),
    )


def _shapes_between(
    layers: Sequence[ConvLayer], data_shape: tuple[int, ...]
) -> list[tuple[int, ...]]:
    """Return the shape of the image before each layer that fits, and after the last."""
    if len(data_shape) != 3:
        raise ValueError(
            f"Convolutions need images of (channels, height, width), but a row has the shape "
            f"{tuple(data_shape)}: pass image_shape=(height, width) or (height, width, channels)."
        )
    if not layers:
        raise ValueError("layers=() must hold at least one ConvLayer; see also dense_networks.")
    shapes = [tuple(data_shape)]
    for layer in layers:
        shape = layer.channels, *map(layer.out_size, shapes[-1][1:])
        if min(shape) < 1:
            break
        shapes.append(shape)
    if len(shapes) == 1:
        _, height, width = data_shape
        raise ValueError(
            f"image_shape gives images of {height} x {width} pixels, too small for a kernel of "
            f"{layers[0].kernel}; use networks='dense' or pass `layers` of your own."
        )
    return shapes


def _conv_encoder(
    layers: Sequence[ConvLayer], shapes: Sequence[tuple[int, ...]], hidden: Sequence[int]
) -> nn.Module:
    """Convolution, batch norm, ReLU between each two shapes, then the dense layers."""
    stack: list[nn.Module] = []
    for layer, before in zip(layers, shapes[:-1], strict=False):
        stack += [
            nn.Conv2d(before[0], *layer, bias=False), nn.BatchNorm2d(layer.channels), nn.ReLU(),
        ]
    return nn.Sequential(*stack, nn.Flatten(), *_dense_stack([math.prod(shapes[-1]), *hidden]))
