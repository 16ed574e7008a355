"""What fixes the shape of the module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from .distributions import LIKELIHOODS
from .model import GMVAE
from .networks import NetworkFactory, Networks, conv_networks, dense_networks
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
            # copied: what a factory hands out twice must not be trained twice
            module = GMVAE(
                Networks(*map(copy.deepcopy, networks)),
                self.data_shape, self.n_clusters, self.latent_dim, self.style_dim, likelihood,
            )
        return module.to(device)
