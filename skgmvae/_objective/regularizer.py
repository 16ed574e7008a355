"""The optional regularizer of the cluster posterior at the means, p(z|y) := p(z | E x, E w).

Regularized information maximization (Krause, Perona & Gomes 2010) with self-augmented
training (Hu et al., ICML 2017) and the virtual adversarial perturbation of Miyato et al.
(2018), put on the GMVAE's own posterior:

    E KL(p(z|y) || p(z|y~)) + entropy * (E H(z|y) + marginal * KL(p(z) || sizes))

Where rows have pseudo-labels, the posterior is also fitted to these, by a loss with a weight of its
own (`PseudoLabels`). Mostly they take the place of the entropy terms, which make it certain and
even.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .._model import kl_categorical

__all__ = [
    "INFORMATION_WEIGHTS", "InformationWeights", "PseudoLabels", "Regularizer",
    "regularizer", "with_frozen_statistics",
]


class InformationWeights(NamedTuple):
    """Weights of the information terms against the first one, the disagreement.

    Chosen by hand on MNIST and USPS, with their labels in sight, and not varied since. What the
    terms gain is in docs/collapse.md, by ``examples/benchmarks/ablation.py``.

    Attributes
    ----------
    entropy : float
        Of both entropy terms.
    marginal : float
        Of the imbalance, times `entropy`.
    """

    entropy: float = 0.1
    marginal: float = 2.0


INFORMATION_WEIGHTS = InformationWeights()


class Regularizer(NamedTuple):
    """Its parts for a minibatch, in nats.

    Tensors while training; arrays by epoch in a history.
    """

    disagreement: Any  # E KL(p(z|y) || p(z|y~))
    conditional_entropy: Any  # E H(z|y)
    marginal_entropy: Any  # H(z)
    imbalance: Any  # KL(p(z) || expected sizes)
    information: Any  # the weighted sum of entropy and imbalance
    pseudo_label_loss: Any  # weighted, see `PseudoLabels`

    def total(self) -> Any:
        """Return the sum that is minimized, times `consistency`."""
        return self.disagreement + self.information


class PseudoLabels(NamedTuple):
    """Soft pseudo-labels: probabilities that the posterior is fitted to, and by what weight."""

    probabilities: Tensor  # (B, K)
    weight: Tensor  # 0-d, in nats

    def loss(self, logits: Tensor) -> Tensor:
        """Return the weighted cross entropy of normalized logits (B, K), a mean over rows."""
        return -self.weight * (self.probabilities * logits).sum(-1).mean()


def regularizer(
    logits: Tensor,
    perturbed_logits: Tensor,
    log_sizes: Tensor,
    pseudo_labels: PseudoLabels | None = None,
    weights: InformationWeights = INFORMATION_WEIGHTS,
) -> Regularizer:
    """Compute the regularizer from normalized logits (B, K) at y and at a perturbed y.

    The sizes that clusters are expected to have come as logarithms, up to a constant.
    """
    fixed = logits.detach()
    known = logits if weights.entropy else fixed  # what is only recorded needs no gradient
    entropy = -(known.exp() * known).sum(-1).mean()
    marginal = known.logsumexp(0).log_softmax(-1)
    imbalance = kl_categorical(marginal, log_sizes.log_softmax(-1))
    return Regularizer(
        kl_categorical(fixed, perturbed_logits).mean(),
        entropy,
        -(marginal.exp() * marginal).sum(),
        imbalance,
        weights.entropy * (entropy + weights.marginal * imbalance),
        pseudo_labels.loss(logits) if pseudo_labels else torch.zeros_like(entropy),
    )


def with_frozen_statistics(module: nn.Module) -> nn.Module:
    """Return a module of the same weights whose norm layers leave the running statistics alone.

    While training they use the batch, as those of `module` do. Parameters and buffers are the
    same tensors: flags of one module would have to be set and reset at every step.
    """
    shared: dict[int, Any] = {
        id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())
    }
    twin = copy.deepcopy(module, memo=shared)
    for layer in twin.modules():
        if isinstance(layer, nn.modules.batchnorm._NormBase):
            layer.track_running_stats = False
    return twin
