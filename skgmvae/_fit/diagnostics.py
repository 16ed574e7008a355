"""When a fit warns: of rows, of epochs, of clusters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from .._rows import Units, dense, moments, rows_at_a_time, slices
from .._training import Schedule
from ..exceptions import (
    EmptyClustersWarning,
    FarRowsWarning,
    IdentifierWarning,
    InitialPartitionWarning,
    OneColumnWarning,
    SamplesWarning,
    StyleClustersWarning,
    UniformPosteriorWarning,
)
from ..fitted import ESTIMATION, Fitted
from .description import Description
from .state import Previous

__all__ = [
    "DIAGNOSTICS", "DiagnosticsRule", "warnings_of_clusters", "warnings_of_epochs",
    "warnings_of_far_rows", "warnings_of_learning_rate", "warnings_of_row_numbers",
]


class DiagnosticsRule(NamedTuple):
    """When a fit warns of its clusters. Chosen by hand.

    Attributes
    ----------
    certainty_rows : int
        Rows, evenly among all, whose probabilities at the means of q(x|y), q(w|y) and at draws are
        looked at, at most.
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
        beyond two standard errors, from which on the decoder has not learned its rows.
    max_spread_of_samples : float
        Standard deviation of the samples by that of the rows, in the median of the columns, beyond
        which it has not learned how they vary. It was .9 to 1.7 for clusters of 16 rows and more of
        iris, wine, digits, USPS and eight generated tables, and 3 to 70 for rare clusters.
    min_numbered_rows : int
        Fewer rows may have evenly spaced values of any kind.
    """

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
    min_numbered_rows: int = 20

    def max_uniform(self, n_clusters: int) -> float:
        """Return the mean probability of rows' clusters below which they are as good as alike."""
        return 1 / n_clusters + self.min_certainty * (1 - 1 / n_clusters)


DIAGNOSTICS = DiagnosticsRule()
#: What makes no sense of clusters of one row each: a column tells rows apart, and one pair of them
#: in one cluster is an adjusted Rand index of 0.
OF_GROUPS = (InitialPartitionWarning, OneColumnWarning, StyleClustersWarning)


def warnings_of_far_rows(
    estimator: Any, X: Any, units: Units, previous: Previous | None, names: Sequence[Any]
) -> list[Warning]:
    """Return a warning if rows of X are far from all others, or from those of an earlier fit."""
    if previous:
        return previous.fitted.conversion_warnings(X)
    n_far, found = units.far_from_others(X)
    if not n_far:
        return []
    columns = [repr(names[int(number)]) for number in found]
    where = f"column{'s' * (len(columns) > 1)} {', '.join(columns[:3])}"
    if len(columns) > 3:
        where += f" and {len(columns) - 3} more"
    done = (
        f"With scale={estimator.scale!r} they count in the location and scale of X; scale='auto' "
        "leaves them out."
        if estimator.scale in ("range", "std") else
        "They were left out of the location and scale of X, and the model sees them nearer; with "
        "scale='range' or 'std' they count in full."
    )
    return [FarRowsWarning(
        f"{n_far} of {X.shape[0]} rows are far from all others in {where} of X. {done} Look at "
        "these rows: drop them if they are errors, impute them if such values mean missing ones."
    )]


def warnings_of_row_numbers(X: Any, names: Sequence[Any]) -> list[Warning]:
    """Return a warning of each column of an array that may number the rows, or be their time."""
    n_rows, n_features = X.shape
    if not isinstance(X, np.ndarray) or n_features == 1 or n_rows < DIAGNOSTICS.min_numbered_rows:
        return []
    found: list[Warning] = []
    for name, column in zip(names, X.T, strict=True):
        low, high = float(column.min()), float(column.max())
        with np.errstate(over="ignore", invalid="ignore"):
            off_center = abs(column.mean(dtype=np.float64) - (low + high) / 2)
            may_be = off_center <= 1e-6 * (high - low) < np.inf
        if low < high and may_be:  # other columns, most of them, need not be sorted
            evenly_spaced = np.linspace(low, high, n_rows)
            tolerance = 0.01 * (high - low) / n_rows
            if np.abs(np.sort(column) - evenly_spaced).max() <= tolerance:
                found.append(IdentifierWarning(
                    f"Column {name!r} of X has {n_rows} evenly spaced values in {n_rows} rows, as "
                    "a number of the row or a time has. Drop it if clusters should not depend on "
                    "it."
                ))
    return found


def warnings_of_epochs(estimator: Any, schedule: Schedule, settled: bool) -> list[Warning]:
    """Return a warning if no epoch was run, or fewer than the loss needed to settle."""
    if schedule.n_epochs == 0:
        return [ConvergenceWarning(
            f"No epoch was run: the model has had all that max_iter={estimator.max_iter!r} stands "
            "for. Raise max_iter to train it on."
        )]
    if estimator.max_iter != "auto" and not settled:
        return [ConvergenceWarning(
            f"The loss was still changing after max_iter={estimator.max_iter} epochs; raise "
            "max_iter, or leave it at 'auto'."
        )]
    return []


def warnings_of_learning_rate(asked: float, used: float) -> list[Warning]:
    """Return a warning if the learning rate had to be lowered."""
    if used == asked:
        return []
    return [ConvergenceWarning(
        f"The loss was not finite at learning_rate_init={asked:g}; the fit went on at {used:.2g}. "
        "Lower learning_rate_init, or look for extreme values in X."
    )]


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
    some = slice(None, None, math.ceil(X.shape[0] / DIAGNOSTICS.certainty_rows))
    first = "" if learning_rate_init == "auto" else (
        f"Set learning_rate_init={learning_rate_init:g} back to 'auto' first. "
    )
    agreement, least = math.nan, DIAGNOSTICS.min_agreement_with_init
    if description.init_labels is not None:
        agreement = adjusted_rand_score(description.init_labels, description.labels)
    found = [
        *_of_empty_clusters(fitted, description, continued, first),
        *_of_probabilities(fitted, X[some], first, is_as_begun=agreement >= least),
        *_of_initial_partition(agreement, first),
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
            f"Only {n_found} of n_clusters={n_clusters} clusters have rows, since no more were "
            "found to begin with. Lower n_clusters, or set init='random' to ask for even clusters."
        )
    else:
        yield EmptyClustersWarning(
            f"{n_clusters - n_found} of n_clusters={n_clusters} components died: they have no "
            f"rows. {first}Lower n_clusters if fewer clusters are as good, or raise consistency or "
            "min_information."
        )


def _of_probabilities(
    fitted: Fitted, X: NDArray[Any], first: str, *, is_as_begun: bool
) -> Iterator[Warning]:
    n_clusters = fitted.architecture.n_clusters
    at_means, at_draws = fitted.certainty(X)
    if n_clusters > 1 and at_means < DIAGNOSTICS.max_uniform(n_clusters):
        yield UniformPosteriorWarning(
            f"The components have merged: a row's most probable cluster has a probability of "
            f"{at_means:.2f} on average, where {1 / n_clusters:.2f} is as good as none. "
            f"{first}Raise min_information or consistency, or train longer."
        )
    # a posterior that was fitted to these clusters has them at the means, whatever the bound says
    elif at_draws < DIAGNOSTICS.min_agreement * at_means and not is_as_begun:
        yield StyleClustersWarning(
            "The clusters are not those that the model was fitted with: a row's cluster at the "
            f"means of q(x|y) and q(w|y) has a probability of {at_means:.2f} there, but "
            f"{at_draws:.2f} at draws from them. The model reads the cluster from the noise in w; "
            "raise consistency."
        )


def _of_initial_partition(agreement: float, first: str) -> Iterator[Warning]:
    if agreement < DIAGNOSTICS.min_agreement_with_init:
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
        if not 1 < len(values) <= DIAGNOSTICS.max_values:
            continue
        information = normalized_mutual_info_score(number, labels[is_there])
        if information > DIAGNOSTICS.max_information_of_one_column:
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
    most = min(DIAGNOSTICS.max_samples, DIAGNOSTICS.max_sampled_values // X.shape[1])
    n_samples = min(DIAGNOSTICS.n_samples, math.ceil(most / len(found)))
    stays = fitted.sample_confusion(n_samples, ESTIMATION.seed).diagonal()[found]
    if stays.min() < DIAGNOSTICS.min_share_of_samples:
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
    if distances.max() > DIAGNOSTICS.max_distance_of_samples:
        yield SamplesWarning(
            f"The mean of what `sample` draws from cluster {found[distances.argmax()]} lies "
            f"{distances.max():.1f} standard deviations away from the mean of its rows: the "
            "decoder has not learned them, which takes long for few rows far from others. Train "
            "longer (a max_iter above n_iter_) if you need samples or the density; labels and "
            "probabilities may be good nevertheless."
        )
    elif spreads.max() > DIAGNOSTICS.max_spread_of_samples:
        widest = spreads.argmax()
        yield SamplesWarning(
            f"What `sample` draws from cluster {found[widest]} varies {spreads[widest]:.1f} times "
            "as much as its rows. In skewed columns samples are too wide, and may be impossible, "
            "as negative amounts: fit the logarithms. For few rows far from others it takes long "
            "to learn how near to each other they are: train longer (a max_iter above n_iter_). "
            "Labels and probabilities may be good nevertheless."
        )


def _beside_rows(
    samples: NDArray[np.float64], X: NDArray[Any], members: NDArray[np.intp]
) -> tuple[float, float]:
    """Return how far samples are from these rows of X, and how many times as wide.

    The distance of the means is in standard deviations of the rows, less two standard errors; the
    ratio of standard deviations is that of the median of the columns that vary in the rows.
    """
    if not len(members):
        return 0.0, 1.0
    mean, variance, *_ = moments(
        dense(X[members[block]]) for block in slices(len(members), rows_at_a_time(X))
    )
    # the mean of equal values is not always that value
    variance = np.where(np.sqrt(variance) > 1e-12 * np.abs(mean), variance, 0.0)
    total = np.nansum(variance)  # of columns that have values in this cluster
    if not total > 0:
        return 0.0, 1.0
    varies = variance > 0
    ratio = np.median(samples[:, varies].var(0) / variance[varies])
    distance = np.sqrt(np.nansum((samples.mean(0) - mean) ** 2) / total)
    # the mean of samples that vary much is far from theirs by chance
    error = np.sqrt(np.nansum(samples.var(0)) / len(samples) / total)
    return max(0.0, float(distance - 2 * error)), float(np.sqrt(ratio))
