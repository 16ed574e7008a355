"""What is said of the training rows after a fit, p(z) among it, and when to warn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Tensor

from .._model import AGGREGATION, GMVAE, AggregationRule, LatentMixture, memberships
from .._objective import RegularizerInputs
from .._rows import Copies, Rows, Units, dense, moments, rows_at_a_time, slices
from ..distributed import ALONE, Group
from ..exceptions import (
    EmptyClustersWarning,
    InitialPartitionWarning,
    OneColumnWarning,
    SamplesWarning,
    StyleClustersWarning,
    UniformPosteriorWarning,
)
from ..fitted import ESTIMATION, Fitted
from ..runtime import CPU

__all__ = [
    "DESCRIPTION", "Description", "DescriptionRule", "aggregated", "component_weights", "describe",
    "latent_mixture", "of_given_rows", "warnings_of_clusters", "weighted_blocks",
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
    min_certainty : float
        Least probability of a row's cluster, on the way from 1 / K, where all are alike, to 1.
    min_agreement_with_init : float
        Least adjusted Rand index of the labels and the initial partition.
    max_values : int
        Values up to which a column has few.
    max_information_of_one_column : float
        Normalized mutual information of the labels and such a column, above which they are it.
    n_samples, max_samples, max_sampled_values : int
        Samples of each cluster, and of all clusters together, that are looked at, and their values.
    min_share_of_samples : float
        Least share of the rows from its latent distribution that should be of it.
    max_distance_of_samples : float
        Distance of the mean sample from the mean row, in standard deviations within the cluster,
        beyond which the decoder has not learned its rows.
    max_spread_of_samples : float
        Standard deviation of the samples by that of the rows, in the median of the columns, beyond
        which it has not learned how they vary. It was .9 to 1.7 for clusters of 16 rows and more of
        iris, wine, digits, USPS and eight generated tables, and 3 to 70 for rare clusters.
    """

    bound_rows: int = 10_000
    certainty_rows: int = 2_000
    min_agreement: float = 0.5
    min_certainty: float = 0.1
    min_agreement_with_init: float = 0.8
    max_values: int = 10
    max_information_of_one_column: float = 0.9
    n_samples: int = 200
    max_samples: int = 20_000
    max_sampled_values: int = 2**21
    min_share_of_samples: float = 0.5
    max_distance_of_samples: float = 1.0
    max_spread_of_samples: float = 2.0

    def max_uniform(self, n_clusters: int) -> float:
        """Return the mean probability of rows' clusters below which they are as good as alike."""
        return 1 / n_clusters + self.min_certainty * (1 - 1 / n_clusters)


DESCRIPTION = DescriptionRule()
#: What makes no sense of clusters of one row each: a column tells rows apart, and one pair of them
#: in one cluster is an adjusted Rand index of 0.
OF_GROUPS = (InitialPartitionWarning, OneColumnWarning, StyleClustersWarning)


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


def warnings_of_clusters(
    fitted: Fitted,
    description: Description,
    X: NDArray[Any],
    names: Sequence[Any],
    *,
    n_distinct: int,
    learning_rate_init: float | str,
    continued: bool,
    converged: bool,
) -> list[Warning]:
    """Return what a user should know of the clusters, each once.

    Samples are looked at only if the loss was flat at the end: those of a shorter fit are not
    expected to be good. Of clusters of one distinct row each nothing else can be said but that
    there are fewer of them.
    """
    some = slice(None, None, math.ceil(X.shape[0] / DESCRIPTION.certainty_rows))
    first = "" if learning_rate_init == "auto" else (
        f"Set learning_rate_init={learning_rate_init:g} back to 'auto' first. "
    )
    found = [
        *_of_empty_clusters(fitted, description, continued, first),
        *_of_probabilities(fitted, X[some], first),
        *_of_initial_partition(description, first),
        *_of_one_column(description.labels[some], X[some], names),
        *(_of_samples(fitted, description, X) if converged else ()),
    ]
    if n_distinct <= fitted.architecture.n_clusters:
        return [warning for warning in found if not isinstance(warning, OF_GROUPS)]
    return found


def _of_empty_clusters(
    fitted: Fitted, description: Description, continued: bool, first: str
) -> Iterator[Warning]:
    n_found, n_clusters = description.n_clusters_found, fitted.architecture.n_clusters
    if n_found == n_clusters:
        return
    begun = description.init_labels
    begun_with_fewer = begun is not None and len(np.unique(begun)) < n_clusters
    if begun_with_fewer and continued:
        yield EmptyClustersWarning(
            f"{n_clusters - n_found} of n_clusters={n_clusters} components have no rows, and some "
            "had none before this fit, which does not bring them back. Fit a new model "
            "(warm_start=False), with a lower n_clusters or with init='random' to ask for even "
            "clusters."
        )
    elif begun_with_fewer:
        yield EmptyClustersWarning(
            f"The rows fall into {n_found} separate clusters; the other components of "
            f"n_clusters={n_clusters} have no rows. Lower n_clusters, or set init='random' to "
            "ask for even clusters."
        )
    else:
        yield EmptyClustersWarning(
            f"{n_clusters - n_found} of n_clusters={n_clusters} components died: they have no "
            f"rows. {first}Lower n_clusters if fewer clusters are as good, or raise consistency or "
            "min_information."
        )


def _of_probabilities(fitted: Fitted, X: NDArray[Any], first: str) -> Iterator[Warning]:
    n_clusters = fitted.architecture.n_clusters
    at_means, at_draws = fitted.certainty(X)
    if n_clusters > 1 and at_means < DESCRIPTION.max_uniform(n_clusters):
        yield UniformPosteriorWarning(
            f"The components have merged: a row's most probable cluster has a probability of "
            f"{at_means:.2f} on average, where {1 / n_clusters:.2f} is as good as none. "
            f"{first}Raise min_information or consistency, or train longer."
        )
    elif at_draws < DESCRIPTION.min_agreement * at_means:
        yield StyleClustersWarning(
            "The clusters are not those that the model was fitted with: a row's cluster at the "
            f"means of q(x|y) and q(w|y) has a probability of {at_means:.2f} there, but "
            f"{at_draws:.2f} at draws from them. The model reads the cluster from the noise in w; "
            "raise consistency."
        )


def _of_initial_partition(description: Description, first: str) -> Iterator[Warning]:
    if description.init_labels is None:
        return
    agreement = adjusted_rand_score(description.init_labels, description.labels)
    if agreement < DESCRIPTION.min_agreement_with_init:
        yield InitialPartitionWarning(
            f"The clusters are not those that the fit began with: labels_ and init_labels_ have "
            f"an adjusted Rand index of {agreement:.2f}. {first}Look at both; train longer "
            "(max_iter), with wider layers (hidden_layer_sizes), or from other seeds "
            "(random_state)."
        )


def _of_one_column(
    labels: NDArray[np.intp], X: NDArray[Any], names: Sequence[Any]
) -> Iterator[Warning]:
    if X.shape[1] == 1 or len(np.unique(labels)) == 1:
        return
    for j, column in enumerate(dense(X).T):
        is_there = ~np.isnan(column)
        values, number = np.unique(column[is_there], return_inverse=True)
        if not 1 < len(values) <= DESCRIPTION.max_values:
            continue
        information = normalized_mutual_info_score(number, labels[is_there])
        if information > DESCRIPTION.max_information_of_one_column:
            yield OneColumnWarning(
                f"The clusters are the {len(values)} values of column {names[j]!r} of X. If that "
                "column is a label or a flag that clusters should not depend on, leave it out."
            )
            return


def _of_samples(
    fitted: Fitted, description: Description, X: NDArray[Any]
) -> Iterator[Warning]:
    found = np.flatnonzero(description.cluster_counts)
    if len(found) == 1 or fitted.latent_mixture is None:
        return
    most = min(DESCRIPTION.max_samples, DESCRIPTION.max_sampled_values // X.shape[1])
    n_samples = min(DESCRIPTION.n_samples, math.ceil(most / len(found)))
    stays = fitted.kept(n_samples, ESTIMATION.seed).diagonal()[found]
    if stays.min() < DESCRIPTION.min_share_of_samples:
        yield SamplesWarning(
            f"Of what the latent distribution of cluster {found[stays.argmin()]} generates, only "
            f"{stays.min():.0%} is of that cluster: `sample` draws the rest again, and the density "
            "of `score_samples` is too wide there. Labels and probabilities may be good "
            "nevertheless; a larger latent_dim or a longer fit (max_iter) may help."
        )
        return
    drawn, _ = fitted.sample(
        n_samples * len(found), ESTIMATION.seed, labels=found.repeat(n_samples), style=None,
        observation_noise=True,
    )
    distances, spreads = np.array([
        _beside_rows(samples, X, np.flatnonzero(description.labels == k))
        for k, samples in zip(found, np.split(drawn, len(found)), strict=True)
    ]).T
    if distances.max() > DESCRIPTION.max_distance_of_samples:
        yield SamplesWarning(
            f"The mean of what `sample` draws from cluster {found[distances.argmax()]} lies "
            f"{distances.max():.1f} standard deviations away from the mean of its rows: the "
            "decoder has not learned them, as it takes long to for few rows far from others. "
            "Train longer (max_iter) if you need samples or the density; labels and "
            "probabilities may be good nevertheless."
        )
    elif spreads.max() > DESCRIPTION.max_spread_of_samples:
        widest = spreads.argmax()
        yield SamplesWarning(
            f"What `sample` draws from cluster {found[widest]} varies {spreads[widest]:.1f} times "
            "as much as its rows: the decoder has not learned how near to each other they are, as "
            "it takes long to for few rows far from others. Train longer (max_iter) if you need "
            "samples or the density; labels and probabilities may be good nevertheless."
        )


def _beside_rows(
    samples: NDArray[np.float64], X: NDArray[Any], members: NDArray[np.intp]
) -> tuple[float, float]:
    """Return how far samples are from these rows of X, and how many times as wide.

    The distance of the means is in standard deviations of the rows; the ratio of standard
    deviations is that of the median of the columns that vary in the rows.
    """
    if not len(members):
        return 0.0, 1.0
    mean, variance, *_ = moments(
        dense(X[members[block]]) for block in slices(len(members), rows_at_a_time(X))
    )
    total = np.nansum(variance)  # of columns that have values in this cluster
    if not total > 0:
        return 0.0, 1.0
    varies = variance > 0
    ratio = np.median(samples[:, varies].var(0) / variance[varies])
    distance = np.nansum((samples.mean(0) - mean) ** 2) / total
    return float(np.sqrt(distance)), float(np.sqrt(ratio))
