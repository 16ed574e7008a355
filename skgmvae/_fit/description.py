"""What is said of the training rows after a fit, p(z) among it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from scipy.sparse import csr_array
from torch import Tensor

from .._model import AGGREGATION, GMVAE, AggregationRule, LatentMixture, memberships
from .._objective import RegularizerInputs
from .._rows import Copies, Rows, Units, dense
from ..distributed import ALONE, Group
from ..fitted import Fitted
from ..runtime import CPU

__all__ = [
    "DESCRIPTION", "Description", "DescriptionRule", "aggregated", "component_weights", "describe",
    "latent_mixture", "of_given_rows", "weighted_blocks",
]


class DescriptionRule(NamedTuple):
    """How much of a fit is looked at. Chosen by hand, for time.

    Attributes
    ----------
    bound_rows : int
        Rows, evenly among all, that `lower_bound_` is taken of at most.
    """

    bound_rows: int = 10_000


DESCRIPTION = DescriptionRule()


class Description(NamedTuple):
    """What is said of the training rows: attributes of the estimator, less the underscore."""

    labels: NDArray[np.intp]
    init_labels: NDArray[np.intp] | None
    cluster_counts: NDArray[np.intp]
    n_clusters_found: int
    exemplar_indices: NDArray[np.intp]
    cluster_centers: NDArray[np.float64]
    lower_bound: float


def aggregated(
    module: GMVAE,
    rows: Rows,
    inputs: RegularizerInputs | None,
    units: Units,
    group: Group = ALONE,
) -> LatentMixture | None:
    """Set p(z) of a trained module by the rows and return p(x|z); None if they are the paper's.

    They are without a regularizer.
    """
    prior = inputs.prior(group) if inputs else None
    module.set_weights(prior)
    if inputs is None:
        return None
    fitted_to = None if prior is None else inputs.pseudo_labels
    module.set_weights(
        component_weights(module, rows.blocks(), fitted_to, inputs.weights, group)
    )
    return latent_mixture(
        module, rows.blocks(), weights_of_rows=inputs.weights, group=group, units=units
    )


@torch.no_grad()
def component_weights(
    module: GMVAE,
    blocks: Iterable[Tensor],
    pseudo_labels: csr_array | None = None,
    weights_of_rows: NDArray[np.float64] | None = None,
    group: Group = ALONE,
) -> Tensor:
    """Return the weights of the components over rows that come in blocks, (K,).

    They are the mean of p(z|y), to a power of at most 1: the certainty of rows, or its ratio to the
    certainty of their pseudo-labels. Where rows say little of their component, as after few epochs,
    weights are nearly uniform, since undecided rows would all follow the largest. None is 0, as in
    GaussianMixture.
    """
    module.eval()
    total, entropy, n_rows = torch.zeros_like(module.log_weights), 0.0, 0.0
    for y, weight in weighted_blocks(blocks, weights_of_rows):
        logits = module.cluster_logits(module.q(y))
        probabilities = logits.exp()
        total += weight @ probabilities
        entropy += float(weight @ torch.special.entr(probabilities).sum(1))
        n_rows += float(weight.sum())
    total, entropy, n_rows = map(group.sum, (total, entropy, n_rows))
    tiny = 10 * torch.finfo(total.dtype).eps
    weights = total / n_rows + tiny
    power = _certainty(entropy / n_rows, len(weights))
    if pseudo_labels is not None:
        to_fit = special.entr(pseudo_labels.data)
        if weights_of_rows is not None:
            to_fit = to_fit * weights_of_rows.repeat(np.diff(pseudo_labels.indptr))
        entropy_to_fit = group.sum(to_fit.sum(dtype=float)) / n_rows
        power = min(1.0, power / max(_certainty(entropy_to_fit, len(weights)), tiny))
    return (power * weights.log()).softmax(0)


def weighted_blocks(
    blocks: Iterable[Tensor], weights: NDArray[np.float64] | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield blocks of rows, each with their weights, (B,)."""
    first = 0
    for y in blocks:
        weight = y.new_ones(len(y))
        if weights is not None:
            weight = torch.from_numpy(weights[first : first + len(y)]).to(weight)
        first += len(y)
        yield y, weight


def _certainty(mean_entropy: float, n_components: int) -> float:
    """Return the share of log K, the largest entropy, that rows take away."""
    return max(0.0, 1 - mean_entropy / math.log(max(2, n_components)))


@torch.no_grad()
def latent_mixture(
    module: GMVAE,
    blocks: Iterable[Tensor],
    before: LatentMixture | None = None,
    n_rows_before: Tensor | None = None,
    rule: AggregationRule = AGGREGATION,
    weights_of_rows: NDArray[np.float64] | None = None,
    group: Group = ALONE,
    units: Units | None = None,
) -> LatentMixture:
    """Fit a Gaussian to the aggregate posterior of each component, over rows that come in blocks.

    Ex-post density estimation (Ghosh et al., ICLR 2020): p(x|z) gets the mean and the covariance of
    the mixture of q(x|y) over rows, weighted by their `memberships`; the mean row is weighted in
    the same way. Moments of rows `before` count for `n_rows_before` (K,) more; without them those
    of p(x|w, z) at w = 0 do, for next to none. All is summed up in double precision, on the CPU.

    With `units` the mean row is the mean in the units of X: of counts, not of their logarithms.
    """
    module.eval()
    if before is None:
        p_x = module.typical_p_x()
        factors, mean_rows = torch.diag_embed(p_x.stddev), module.p_y(p_x.mean).mean
        before = LatentMixture(p_x.mean, factors, mean_rows).to(CPU, torch.float64)
    n_prior_rows = rule.n_prior_rows if group.rank == 0 else 0.0  # which count once
    n_rows = torch.full((module.n_components,), n_prior_rows, dtype=torch.float64, device=CPU)
    if n_rows_before is not None:
        n_rows += n_rows_before
    # sums of y, where it is there, and of 1, x and x x^T under q(x|y)
    summable = _as_it_is if units is None else units.summable
    rows = n_rows[:, None] * summable(before.mean_rows.flatten(1))  # (K, n_features)
    n_values = n_rows[:, None].expand_as(rows).clone()
    sums = n_rows[:, None] * before.means  # (K, N_x)
    squares = n_rows[:, None, None] * (before.covariances + _outer(before.means))  # (K, N_x, N_x)
    for y, weight in weighted_blocks(blocks, weights_of_rows):
        posterior = module.q(y)
        weights = memberships(module.cluster_logits(posterior), rule) * weight[:, None]
        weights = weights.to(CPU, torch.float64)
        mean = posterior.q_x.mean.to(CPU, torch.float64)  # (B, N_x)
        variance = posterior.q_x.variance.to(CPU, torch.float64)
        n_rows += weights.sum(0)
        values = summable(y.flatten(1).to(CPU, torch.float64))
        rows += weights.T @ values.nan_to_num()
        n_values += weights.T @ (~values.isnan()).double()
        sums += weights.T @ mean
        squares += torch.diag_embed(weights.T @ variance)
        for k, of_component in enumerate(weights.T):
            squares[k] += (of_component[:, None] * mean).T @ mean
    n_rows, n_values, rows, sums, squares = map(
        group.sum, (n_rows, n_values, rows, sums, squares)
    )
    means, mean_rows = sums / n_rows[:, None], rows / n_values
    if units is not None:
        mean_rows = units.of_summable(mean_rows)
    return LatentMixture.of_covariances(
        means, squares / n_rows[:, None, None] - _outer(means),
        mean_rows.view_as(before.mean_rows),
    )


def _as_it_is(values: Tensor) -> Tensor:
    return values


def _outer(x: Tensor) -> Tensor:
    return x.unsqueeze(-1) * x.unsqueeze(-2)


def describe(
    fitted: Fitted,
    X: NDArray[Any],
    pseudo_labels: csr_array | None,
    *,
    largest_first: bool,
    weights: NDArray[np.float64] | None = None,
    rule: DescriptionRule = DESCRIPTION,
    group: Group = ALONE,
) -> tuple[Fitted, Description]:
    """Describe the rows of X, and those pseudo-labels, after ordering components if asked to.

    In a group the labels are of the rows that were given to this process, all else is of the rows
    of all processes.
    """
    n_clusters = fitted.architecture.n_clusters
    labels, odds, is_tied = fitted.assignment(X)
    if largest_first:
        sizes = group.sum(np.bincount(labels, weights, minlength=n_clusters))
        order = np.argsort(-sizes, kind="stable")
        module = fitted.module
        module.reorder_components(torch.from_numpy(order).to(fitted.device))
        latent = fitted.latent_mixture
        if latent is not None:
            latent = latent.reordered(torch.from_numpy(order))
        fitted = Fitted(fitted.architecture, module, fitted.units, latent)
        labels = np.argsort(order)[labels]
        if is_tied.any():  # the first of components that are as probable, in their new order
            labels[is_tied] = fitted.labels(X[is_tied])
        pseudo_labels = None if pseudo_labels is None else pseudo_labels[:, order]
    counts = group.sum(np.bincount(labels, minlength=n_clusters))
    exemplars = _first_largest(odds, labels, n_clusters, group)
    stride = math.ceil(group.n_rows(X.shape[0]) / rule.bound_rows)
    few_weights = None if weights is None else group.every(stride, weights)
    return fitted, Description(
        labels=group.of_given(labels),
        init_labels=(
            None if pseudo_labels is None else group.of_given(_most_probable(pseudo_labels))
        ),
        cluster_counts=counts,
        n_clusters_found=int(np.count_nonzero(counts)),
        exemplar_indices=np.where(counts > 0, exemplars, -1),
        cluster_centers=_centers(fitted, X, labels, group),
        lower_bound=float(
            np.average(fitted.elbo(group.every(stride, X)).bound, weights=few_weights)
        ),
    )


def of_given_rows(
    description: Description, fitted: Fitted, copies: Copies, X: NDArray[Any], group: Group = ALONE
) -> Description:
    """Describe the rows of X as they were given, from what is said of their copies.

    Rows without weight, which have no copy, are predicted, and had no part in the initial
    partition: -1.
    """
    n_clusters, has_copy = len(description.exemplar_indices), copies.inverse >= 0
    labels = description.labels[copies.inverse]
    if not has_copy.all():
        labels[~has_copy] = fitted.labels(X[~has_copy])
    begun = description.init_labels
    if begun is not None:
        begun = np.where(has_copy, begun[copies.inverse], -1)
    exemplars, counts = description.exemplar_indices, np.bincount(labels, minlength=n_clusters)
    if group.is_alone or group.has_one_source:
        exemplars = copies.order[exemplars]
    else:
        counts = group.sum(counts)
        before = sum(group.gathered(X.shape[0])[: group.rank])
        own = exemplars - group.first_row
        is_own = (own >= 0) & (own < len(copies.order))
        exemplars = group.sum(
            np.where(is_own, before + copies.order[np.where(is_own, own, 0)], 0)
        )
    return description._replace(
        labels=labels, init_labels=begun, cluster_counts=counts,
        n_clusters_found=int(np.count_nonzero(counts)),
        exemplar_indices=np.where(description.exemplar_indices < 0, -1, exemplars),
    )


def _centers(
    fitted: Fitted, X: NDArray[Any], labels: NDArray[np.intp], group: Group
) -> NDArray[np.float64]:
    """Return the center of each component, which is predicted to be in it if a row of X is.

    The mean of a ring may be in the disc that it surrounds: the row of the cluster that is nearest
    to the component's mean in the latent space takes its place then.
    """
    centers, means = fitted.centers(), fitted.components()[0]
    for k in np.flatnonzero(fitted.labels(centers) != np.arange(len(centers))):
        members = np.flatnonzero(labels == k)
        distances = np.full(X.shape[0], np.inf)
        if len(members):
            distances[members] = np.linalg.norm(fitted.latent(X[members]) - means[k], axis=1)
        nearest = _first_largest(-distances, np.zeros_like(labels), 1, group)
        if group.sum(len(members)):
            (center,) = dense(group.rows_at(nearest, X))
            centers[k] = np.where(np.isnan(center), centers[k], center)
    return centers


def _first_largest(
    values: NDArray[Any], labels: NDArray[np.intp], n_labels: int, group: Group
) -> NDArray[np.intp]:
    """Return which of all rows of each label has the largest value, the first of equals."""
    order = np.lexsort((-values, labels))
    found, begins = np.unique(labels[order], return_index=True)
    rows, largest = np.zeros(n_labels, np.intp), np.full(n_labels, -np.inf)
    rows[found] = order[begins]
    largest[found] = values[rows[found]]
    of_all = np.stack(group.gathered(largest))
    numbers = np.stack(group.gathered(rows + group.first_row))
    first: NDArray[np.intp] = numbers[of_all.argmax(0), np.arange(n_labels)]
    return first


def _most_probable(probabilities: csr_array) -> NDArray[np.intp]:
    """Return the cluster of each row, the first of equals; each row has some that is not 0."""
    begins = probabilities.indptr[:-1]
    largest = np.maximum.reduceat(probabilities.data, begins)
    is_largest = probabilities.data == largest.repeat(np.diff(probabilities.indptr))
    clusters = np.where(is_largest, probabilities.indices, probabilities.shape[1])
    return np.minimum.reduceat(clusters, begins).astype(np.intp)
