"""What is said of the training rows after a fit, p(z) among it, and when to warn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._model import GMVAE
from ..fitted import Fitted, log_odds

__all__ = [
    "DESCRIPTION", "Description", "DescriptionRule", "component_weights", "describe",
    "warnings_of_clusters",
]


class DescriptionRule(NamedTuple):
    """What is said of a fit, and when it warns. Chosen by hand, for time.

    Attributes
    ----------
    bound_rows : int
        Rows, evenly among all, that `lower_bound_` is taken of at most.
    certainty_rows : int
        The same of the probabilities of rows' clusters at the means of q(x|y), q(w|y) and at draws.
    min_agreement : float
        Share of the probability at the means that there should be at draws: well below it (the
        paper's objective on digits has .94, docs/collapse.md) clusters are read from the noise.
    """

    bound_rows: int = 10_000
    certainty_rows: int = 2_000
    min_agreement: float = 0.5


DESCRIPTION = DescriptionRule()


class Description(NamedTuple):
    """What is said of the training rows: attributes of the estimator, less the underscore."""

    labels: NDArray[np.intp]
    cluster_counts: NDArray[np.intp]
    n_clusters_found: int
    exemplar_indices: NDArray[np.intp]
    cluster_centers: NDArray[np.float64]
    lower_bound: float


@torch.no_grad()
def component_weights(module: GMVAE, blocks: Iterable[Tensor]) -> Tensor:
    """Return the weights of the components over rows that come in blocks, (K,).

    They are the mean of p(z|y), to the power of the share of its entropy that rows take away: where
    rows say little of their component, as after few epochs, weights are nearly uniform, since
    undecided rows would all follow the largest. None is 0, as in GaussianMixture.
    """
    module.eval()
    total, entropy, n_rows = torch.zeros_like(module.log_weights), 0.0, 0
    for y in blocks:
        logits = module.cluster_logits(module.q(y))
        total += logits.exp().sum(0)
        entropy += float(torch.special.entr(logits.exp()).sum())
        n_rows += len(y)
    tiny = 10 * torch.finfo(total.dtype).eps
    weights = total / n_rows + tiny
    weights = weights / weights.sum()
    marginal_entropy = float(torch.special.entr(weights).sum())
    certainty = max(0.0, 1 - entropy / n_rows / max(marginal_entropy, tiny))
    return (certainty * weights.log()).softmax(0)


def describe(
    fitted: Fitted,
    X: NDArray[Any],
    *,
    largest_first: bool,
    rule: DescriptionRule = DESCRIPTION,
) -> tuple[Fitted, Description]:
    """Describe the rows of X, after ordering the components if asked to."""
    n_clusters = fitted.architecture.n_clusters
    logits = fitted.log_proba(X)
    if largest_first:
        counts = np.bincount(logits.argmax(1), minlength=n_clusters)
        order = np.argsort(-counts, kind="stable")
        module = fitted.module
        module.reorder_components(torch.from_numpy(order).to(fitted.device))
        fitted = Fitted(fitted.architecture, module, fitted.units)
        logits = logits[:, order]
    labels = logits.argmax(1)
    counts = np.bincount(labels, minlength=n_clusters)
    odds = log_odds(torch.from_numpy(logits)).numpy()
    exemplars = np.where(labels[:, None] == np.arange(n_clusters), odds, -np.inf).argmax(0)
    few = X[:: math.ceil(len(X) / rule.bound_rows)]
    return fitted, Description(
        labels=labels,
        cluster_counts=counts,
        n_clusters_found=int(np.count_nonzero(counts)),
        exemplar_indices=np.where(counts > 0, exemplars, -1),
        cluster_centers=fitted.centers(),
        lower_bound=float(np.mean(fitted.elbo(few).bound)),
    )


def warnings_of_clusters(
    fitted: Fitted,
    description: Description,
    X: NDArray[Any],
    pseudo_labels: NDArray[np.intp] | None,
    rule: DescriptionRule = DESCRIPTION,
) -> list[Warning]:
    """Warn of clusters without rows, and of such as are read from the noise."""
    messages = []
    n_found, n_clusters = description.n_clusters_found, fitted.architecture.n_clusters
    if n_found < n_clusters:
        if pseudo_labels is not None and len(np.unique(pseudo_labels)) < n_clusters:
            messages.append(
                f"The rows fall into {n_found} separate clusters; the other components of "
                f"n_clusters={n_clusters} have no rows. Lower n_clusters, or set init='random' to "
                "ask for even clusters."
            )
        else:
            messages.append(
                f"{n_clusters - n_found} of n_clusters={n_clusters} components died: they have no "
                "rows. Lower n_clusters if fewer clusters are as good, or raise consistency or "
                "min_information."
            )
    at_means, at_draws = fitted.certainty(X[:: math.ceil(len(X) / rule.certainty_rows)])
    if at_draws < rule.min_agreement * at_means:
        messages.append(
            "The clusters are not those that the model was fitted with: a row's cluster at the "
            f"means of q(x|y) and q(w|y) has a probability of {at_means:.2f} there, but "
            f"{at_draws:.2f} at draws from them. The model reads the cluster from the noise in w; "
            "raise consistency."
        )
    return [ConvergenceWarning(message) for message in messages]
