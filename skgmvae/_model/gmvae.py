"""The Gaussian mixture variational autoencoder: one method for each distribution.

Dilokthanakul et al., arXiv:1611.02648v2, Eqs. 1 and 4. Symbols and shapes as in the paper:
y (B, *data_shape), x (M, B, N_x), w (M, B, N_w); the component z is the axis K.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Independent, Normal
from torch.nn.modules.conv import _ConvNd as Convolution

from ..networks import Networks
from .distributions import DiagonalNormal, categorical, log_prob_points
from .heads import GaussianHead

__all__ = ["GMVAE", "Posterior"]


class Posterior(NamedTuple):
    """The two Gaussian factors of q(x, w, z | y), of shapes (B, N_x) and (B, N_w)."""

    q_x: DiagonalNormal
    q_w: DiagonalNormal


class GMVAE(nn.Module):
    """The generative model (Eq. 1) and the inference model (Section 3.2).

    Parameters
    ----------
    networks : Networks
        The trunks of q(x|y) and q(w|y), of p(x|w, z) and of p(y|x).
    y_head : Module
        From what the trunk of p(y|x) puts out to the parameters of p(y|x).
    distribution : callable
        From these parameters to p(y|x), a distribution over rows of independent values.
    n_features, n_prior_features : int
        Width of the first two trunks.
    n_components, latent_dim, style_dim : int
        K, N_x and N_w.
    read : callable
        From rows to what the encoder reads of them, of the same shape.
    reads_missing : bool, default=False
        Whether the encoder reads, besides a row, which of its values are missing.

    Attributes
    ----------
    complete : bool
        Whether rows are known to have no missing values (NaN), so that none are looked for.
    """

    log_weights: Tensor

    def __init__(
        self,
        networks: Networks,
        y_head: nn.Module,
        distribution: Callable[[Tensor], Independent[Any]],
        *,
        n_features: int,
        n_prior_features: int,
        n_components: int,
        latent_dim: int,
        style_dim: int,
        read: Callable[[Tensor], Tensor] = lambda y: y,
        reads_missing: bool = False,
    ) -> None:
        super().__init__()
        self.read = read
        self.reads_missing = reads_missing
        self.complete = False
        self.n_components = n_components
        self.latent_dim = latent_dim
        self.style_dim = style_dim
        self.distribution = distribution
        self.encoder, self.prior, self.decoder = networks
        self.y_head = y_head
        self.x_head = GaussianHead(n_features, latent_dim)
        self.w_head = GaussianHead(n_features, style_dim)
        self.component_head = GaussianHead(n_prior_features, n_components, latent_dim)
        self.register_buffer("log_weights", torch.empty(n_components))

    @torch.no_grad()
    def n_multiplications(self, data_shape: tuple[int, ...]) -> int:
        """About how many a row of such a shape takes on its way through the networks.

        As many as there are weights; where there are convolutions, which use theirs once for each
        position, a row is sent through the encoder and the decoder.
        """
        convolutions = [layer for layer in self.modules() if isinstance(layer, Convolution)]
        n_uses = {id(layer.weight): 1 for layer in convolutions}

        def count(layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            n_uses[id(layer.weight)] = math.prod(output.shape[2:])

        if convolutions:
            mode, hooks = self.training, [
                layer.register_forward_hook(count) for layer in convolutions
            ]
            try:
                y = self.log_weights.new_zeros(1, *data_shape)
                self.eval().p_y(self.q(y).q_x.mean)
            finally:
                self.train(mode)
                for hook in hooks:
                    hook.remove()
        return sum(weight.numel() * n_uses.get(id(weight), 1) for weight in self.parameters())

    def q(self, y: Tensor) -> Posterior:
        """q(x|y) and q(w|y), from one trunk."""
        features = self.encoder(self._read(y))  # (B, F)
        return Posterior(self.x_head(features), self.w_head(features))

    def _read(self, y: Tensor) -> Tensor:
        """Return what the encoder reads: 0 in place of missing values and, if asked to, where."""
        if self.complete and not self.reads_missing:
            return self.read(y)
        is_missing = y.isnan()
        filled = self.read(y.masked_fill(is_missing, 0.0))
        return torch.cat([filled, is_missing.to(y.dtype)], 1) if self.reads_missing else filled

    def p_x(self, w: Tensor) -> DiagonalNormal:
        """p(x|w, z) for every z (Eq. 1c): (..., B, N_w) -> a normal over (..., B, K, N_x)."""
        features = self.prior(w.reshape(-1, self.style_dim))  # (M * B, F)
        return self.component_head(features.unflatten(0, w.shape[:-1]))

    def typical_p_x(self) -> Normal:
        """p(x|w, z) at w = 0 for every z: a normal over (K, N_x)."""
        weight = self.component_head.linear.weight
        p_x = self.p_x(weight.new_zeros(1, self.style_dim))
        return Normal(p_x.mean[0], p_x.stddev[0], validate_args=False)

    def p_z(self, x: Tensor, p_x: DiagonalNormal) -> Categorical:
        """p(z|x, w) (Eq. 4) for x (..., N_x), given p(x|w, z) at the same w."""
        return categorical(log_prob_points(p_x, x.unsqueeze(-2)) + self.log_weights)  # (..., K)

    def p_y(self, x: Tensor) -> Independent[Any]:
        """p(y|x) (Eq. 1d): (..., N_x) -> a distribution over rows, leading axes flattened."""
        return self.distribution(self.y_head(self.decoder(x.reshape(-1, self.latent_dim))))

    def cluster_logits(self, posterior: tuple[DiagonalNormal, DiagonalNormal]) -> Tensor:
        """Log p(z|x, w) (Eq. 4) at the means of q(x|y) and q(w|y), (B, K)."""
        q_x, q_w = posterior
        return self.p_z(q_x.mean, self.p_x(q_w.mean)).logits

    @torch.no_grad()
    def set_weights(self, weights: Tensor | None = None) -> None:
        """Set p(z), the prior of the components: uniform (Eq. 1b), or `weights` (K,)."""
        if weights is None:
            self.log_weights.fill_(-math.log(self.n_components))
        else:
            self.log_weights.copy_(weights.log())

    @torch.no_grad()
    def reorder_components(self, order: Tensor) -> None:
        """Permute the mixture components, in the weights themselves."""
        self.component_head.reorder(order)
        self.log_weights.copy_(self.log_weights[order])
