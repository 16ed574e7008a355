"""The optional regularizer of the cluster posterior at the means, p(z|y) := p(z | E x, E w).

Regularized information maximization (Krause, Perona & Gomes 2010) with self-augmented
training (Hu et al., ICML 2017) and the virtual adversarial perturbation of Miyato et al.
(2018), put on the GMVAE's own posterior:

    E KL(p(z|y) || p(z|y~)) + entropy * (E H(z|y) + marginal * KL(p(z) || sizes))

The sizes are those of the pseudo-labels, the initial partition, which the posterior is also fitted
to (`PseudoLabelWeights`); without them they are even, and the last term is log K - H(z).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from .._model import categorical
from ..perturbations import kl_rows

__all__ = [
    "INFORMATION_WEIGHTS", "InformationWeights", "PseudoLabelWeights", "PseudoLabels",
    "Regularizer", "frozen_statistics", "regularizer",
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
    pseudo_label_loss: Any  # weighted, see `PseudoLabelWeights`

    def total(self, weights: InformationWeights = INFORMATION_WEIGHTS) -> Any:
        """Return the weighted sum that is minimized."""
        entropies = self.conditional_entropy + weights.marginal * self.imbalance
        return self.disagreement + self.pseudo_label_loss + weights.entropy * entropies


class PseudoLabels(NamedTuple):
    """Clusters that rows should have, (B,), and the log of the sizes to expect, (K,)."""

    labels: Tensor
    log_sizes: Tensor


class PseudoLabelWeights(NamedTuple):
    """Weights of the two losses by which the posterior is fitted to pseudo-labels.

    The cross entropy repeats them whole, their errors too. The probability of another cluster is
    bounded (Ghosh, Kumar & Sastry, AAAI 2017): it draws rows that the model is not sure of, and
    lets go of those that it is sure of.
    """

    cross_entropy: Tensor  # of E -log p(z = label|y)
    other_cluster: Tensor  # of E (1 - p(z = label|y))


def regularizer(
    logits: Tensor,
    perturbed_logits: Tensor,
    pseudo: PseudoLabels | None = None,
    weights: PseudoLabelWeights | None = None,
) -> Regularizer:
    """Compute the regularizer from normalized logits (B, K) at y and at a perturbed y.

    Without pseudo-labels even clusters are expected.
    """
    posterior, marginal = categorical(logits), categorical(torch.logsumexp(logits, 0))
    if pseudo is None or weights is None:
        loss, expected = logits.new_zeros(()), torch.zeros_like(logits[0])
    else:
        log_p = -nll_loss(logits, pseudo.labels, reduction="none")
        loss = (weights.other_cluster * (1 - log_p.exp()) - weights.cross_entropy * log_p).mean()
        expected = pseudo.log_sizes
    return Regularizer(
        kl_rows(logits.detach(), perturbed_logits).mean(),
        posterior.entropy().mean(),
        marginal.entropy(),
        kl_rows(marginal.logits, expected.log_softmax(-1)),
        loss,
    )


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Within this context norm layers use the batch and leave their running statistics alone."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._NormBase)]
    tracked = [norm for norm in norms if norm.track_running_stats]
    for norm in tracked:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracked:
            norm.track_running_stats = True
