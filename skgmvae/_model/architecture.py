"""What fixes the shape of the module, and how its weights are drawn."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from ..networks import NetworkFactory, Networks, conv_networks, dense_networks
from ..runtime import (
    CPU,
    generator,
    global_draws_from,
    uninterrupted,
    watched_global_draws,
)
from .gmvae import GMVAE

__all__ = ["INITIALIZATION", "NETWORKS", "Architecture", "Family", "Initialization"]

NETWORKS: dict[str, Callable[..., Networks]] = {"dense": dense_networks, "conv": conv_networks}


class Initialization(NamedTuple):
    """The distance between components before training.

    The layer alone puts them 23 nats apart in 200 dimensions: p(z|x, w) is then nearly certain
    before anything is learned, and most clusters die. Measured on MNIST with the paper's networks
    by ``examples/benchmarks/paper_variants.py``, see docs/reproduction.md.

    Attributes
    ----------
    max_separated_dimensions : int
        Latent dimensions beyond which components are drawn together, at no larger a distance than
        in so many (about 2 nats).
    """

    max_separated_dimensions: int = 16


INITIALIZATION = Initialization()


class Family(Protocol):
    """What the model asks of a likelihood, see :mod:`skgmvae.likelihoods`."""

    n_parameters: int

    def head(self, n_features: int, data_shape: tuple[int, ...]) -> nn.Module: ...
    def distribution(self, parameters: Tensor) -> Independent[Any]: ...
    def read(self, y: Tensor) -> Tensor: ...


class Architecture(NamedTuple):
    """All that fixes the shape of the module: with it, weights alone make a model.

    With `reads_missing` the encoder reads which values of a row are missing; one that a factory of
    the user's makes reads zeros there, the mean of the data.
    """

    data_shape: tuple[int, ...]
    n_clusters: int
    latent_dim: int
    style_dim: int
    hidden_layer_sizes: tuple[int, ...]
    networks: str | NetworkFactory
    likelihood: Family
    reads_missing: bool = False

    def build(
        self, device: torch.device, *key: int, rule: Initialization = INITIALIZATION
    ) -> GMVAE:
        """Make a module with random weights drawn from `key`, in training mode.

        Raises
        ------
        ValueError, TypeError
            If a factory of the user's does not keep to its contract.
        """
        source = generator(CPU, *key)
        return self.drawn(self.skeleton(source), source, rule).to(device)

    def drawn(
        self, module: GMVAE, source: torch.Generator, rule: Initialization = INITIALIZATION
    ) -> GMVAE:
        """Give a skeleton random weights."""
        draw_weights(module, source)
        module.log_weights = torch.empty(self.n_clusters, device=CPU, dtype=torch.float32)
        module.set_weights()
        # the distance between components, in nats, grows as the square of the weights
        factor = min(1.0, math.sqrt(rule.max_separated_dimensions / self.latent_dim))
        with torch.no_grad():
            for parameter in module.component_head.parameters():
                parameter.mul_(factor)
        return module

    def skeleton(self, source: torch.Generator) -> GMVAE:
        """Make the module without weights: of shapes alone, nothing is allocated and nothing drawn.

        But for the networks that a factory of the user's makes.
        """
        if callable(self.networks):
            networks, shapes = self._made_by_factory(self.networks, source)
            (n_features,), (n_prior_features,), decoded = shapes
        else:
            with uninterrupted(), torch.device("meta"):
                # whose decoders do not depend on the shape of a row
                networks = NETWORKS[self.networks](
                    self._in_shapes[0], *self._factory_arguments[1:],
                    hidden_layer_sizes=self.hidden_layer_sizes,
                )
            n_features, n_prior_features, n_decoded = map(width, networks)
            decoded = (n_decoded,)
        with uninterrupted(), torch.device("meta"):
            whole = len(decoded) > 1
            return GMVAE(
                networks,
                nn.Identity() if whole else self.likelihood.head(decoded[0], self.data_shape),
                self.likelihood.distribution,
                read=self.likelihood.read,
                n_features=n_features, n_prior_features=n_prior_features,
                n_components=self.n_clusters, latent_dim=self.latent_dim,
                style_dim=self.style_dim,
                reads_missing=self.reads_missing and not callable(self.networks),
            ).to(torch.float32)

    def differences(self, other: Architecture) -> list[str]:
        """Say in which fields `other` is another, with both values."""
        return [
            f"{name} from {old!r} to {new!r}"
            for name, old, new in zip(self._fields, self, other, strict=True)
            if not _are_equal(old, new)
        ]

    @property
    def _in_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of what each network reads of a row."""
        read = self.data_shape
        if self.reads_missing and not callable(self.networks):
            read = 2 * read[0], *read[1:]
        return read, (self.style_dim,), (self.latent_dim,)

    @property
    def _factory_arguments(self) -> tuple[tuple[int, ...], int, int, int]:
        return self.data_shape, self.latent_dim, self.style_dim, self.likelihood.n_parameters

    def _made_by_factory(
        self, factory: NetworkFactory, source: torch.Generator
    ) -> tuple[Networks, list[tuple[int, ...]]]:
        """Call a factory of the user's, and raise unless it keeps to its contract.

        Returns the networks, and the shape of what each makes of a row.
        """
        contract = f"networks={factory!r} must return three torch modules"
        # layers are made on torch's default device, and drawn from the generator of it
        with torch.device(CPU), global_draws_from(source):
            made = factory(*self._factory_arguments)
        if (
            not isinstance(made, Sequence)
            or len(made) != 3
            or not all(isinstance(network, nn.Module) for network in made)
        ):
            raise ValueError(f"{contract}, encoder, prior and decoder; it returned {made!r}.")
        alternatives = None, None, (self.likelihood.n_parameters, *self.data_shape)
        shapes = []
        for name, network, in_shape, alternative in zip(
            Networks._fields, made, self._in_shapes, alternatives, strict=True
        ):
            with torch.device(CPU), global_draws_from(source):
                shapes.append(
                    check_network(network, f"{contract}; its {name}", in_shape, alternative)
                )
        # copied: what a factory hands out twice must not be trained twice
        return Networks(*copy.deepcopy(tuple(made))), shapes


def width(network: nn.Module) -> int:
    """Return the width of what a network of ours puts out, that of its last linear layer."""
    return [layer.out_features for layer in network.modules() if isinstance(layer, nn.Linear)][-1]


def draw_weights(module: nn.Module, source: torch.Generator) -> None:
    """Give each layer that has no weights yet those that torch's constructors draw."""
    for layer in module.modules():
        own = list(layer.parameters(recurse=False))
        if not own or not own[0].is_meta:
            continue
        layer.to_empty(device=CPU, recurse=False)
        layer.to(torch.float32)
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=source)
            if layer.bias is not None:
                limit = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -limit, limit, generator=source)
        else:
            cast(nn.BatchNorm1d, layer).reset_parameters()  # which draws nothing


@torch.no_grad()
def check_network(
    network: nn.Module, subject: str, in_shape: tuple[int, ...], alternative: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Try a network of the user's on two rows of zeros, which also shapes its lazy layers.

    Parameters
    ----------
    network : Module
        Is moved to the CPU and made single precision.
    subject : str
        Begins the message of an error.
    in_shape : tuple of int
        Shape of the rows that it reads.
    alternative : tuple of int or None
        Shape that a row may become, if not a vector of any width.

    Returns
    -------
    shape : tuple of int
        Of what it makes of a row.

    Raises
    ------
    ValueError, TypeError
        If it does not keep to the contract. What its own code raises passes unchanged.
    """
    rows = torch.zeros(2, *in_shape, device=CPU, dtype=torch.float32)
    shape = tuple(rows.shape)
    try:
        # in evaluation mode: batch statistics of zeros must not enter the running ones
        made = network.to(CPU, torch.float32).eval()(rows)
        made_of_double = copy.deepcopy(network).double()(rows.double())
        with watched_global_draws() as were_any:
            copy.deepcopy(network).train()(rows)
            drew = were_any()
    except RuntimeError as error:  # by which torch says that shapes or types do not fit
        raise ValueError(f"{subject} fails on {shape}: {error}") from error
    network.train()
    if not isinstance(made, Tensor):
        raise TypeError(f"{subject} must return a tensor, but returns a {type(made).__name__}.")
    if made.dtype != torch.float32 or made_of_double.dtype != torch.float64:
        raise TypeError(
            f"{subject} must return the dtype of the rows it is given: it makes {made.dtype} of "
            f"torch.float32 and {made_of_double.dtype} of torch.float64."
        )
    n_rows, *row = made.shape or (0,)
    if n_rows != 2 or not (tuple(row) == alternative or (len(row) == 1 and row[0] > 0)):
        expected = f"(any width,) or {alternative}" if alternative else "(any width,)"
        raise ValueError(
            f"{subject} maps {shape} to {tuple(made.shape)}, where each row should become "
            f"{expected}."
        )
    if drew:
        raise ValueError(
            f"{subject} draws random numbers while training, as dropout does: no seed could fix "
            "the fit. Leave such layers out; n_mc_samples and perturbation are what regularizes."
        )
    return tuple(row)


def _are_equal(one: Any, other: Any) -> bool:
    """Whether two parameters are the same; a `partial` is if what it holds is."""
    if isinstance(one, partial) and isinstance(other, partial):
        return (
            _are_equal(one.func, other.func)
            and len(one.args) == len(other.args)
            and all(map(_are_equal, one.args, other.args))
            and one.keywords.keys() == other.keywords.keys()
            and all(_are_equal(one.keywords[name], other.keywords[name]) for name in one.keywords)
        )
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # arrays and tensors, which are compared value by value
        return one is other
