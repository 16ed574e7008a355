"""What fixes the shape of the module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from .distributions import LIKELIHOODS
from .model import GMVAE
from .networks import (
    NetworkFactory,
    Networks,
    conv_networks,
    dense_networks,
    output_shape,
)
from .runtime import generator, random_initialisation

__all__ = ["Architecture"]

NETWORKS: dict[str, Callable[..., Networks]] = {"dense": dense_networks, "conv": conv_networks}


class Architecture(NamedTuple):
    """All that fixes the shape of the module: with it, weights alone make a model."""

    data_shape: tuple[int, ...]
    n_clusters: int
    latent_dim: int
    style_dim: int
    hidden_layer_sizes: tuple[int, ...]
    networks: str | NetworkFactory
    likelihood: str

    def build(self, device: torch.device, *key: int) -> GMVAE:
        """Make a module with random weights drawn from `key`."""
        likelihood = LIKELIHOODS[self.likelihood]
        if callable(self.networks):
            factory = self.networks
        else:
            factory = partial(
                NETWORKS[self.networks], hidden_layer_sizes=self.hidden_layer_sizes
            )
        with random_initialisation(generator(torch.device("cpu"), *key)):
            networks = factory(
                self.data_shape, self.latent_dim, self.style_dim, likelihood.n_parameters
            )
            _check_networks(networks, self, likelihood.n_parameters)
            module = GMVAE(
                # copied: what a factory hands out twice must not be trained twice
                Networks(*copy.deepcopy(tuple(networks))),
                self.data_shape, self.n_clusters, self.latent_dim, self.style_dim, likelihood,
            )
        return module.to(device)


def _check_networks(networks: Any, architecture: Architecture, n_parameters: int) -> None:
    """Raise a ValueError unless a factory kept to its contract."""
    contract = f"networks={architecture.networks!r} must return three torch modules"
    if (
        not isinstance(networks, Sequence)
        or len(networks) != 3
        or not all(isinstance(network, nn.Module) for network in networks)
    ):
        raise ValueError(f"{contract}, encoder, prior and decoder; it returned {networks!r}.")
    data_shape, _, latent_dim, style_dim, *_ = architecture
    ins = data_shape, (style_dim,), (latent_dim,)
    outs = None, None, (n_parameters, *data_shape)
    for name, network, in_shape, out_shape in zip(
        Networks._fields, networks, ins, outs, strict=True
    ):
        try:
            got = output_shape(network, *in_shape)
        except RuntimeError as error:
            raise ValueError(
                f"{contract}; its {name} fails on {(2, *in_shape)}: {error}"
            ) from error
        if got != out_shape if out_shape else len(got) != 1:
            expected = out_shape or "(any width,)"
            raise ValueError(
                f"{contract}; its {name} maps {(2, *in_shape)} to {(2, *got)}, where each row "
                f"should become {expected}."
            )
