"""Whether a Gaussian mixture in the space of the data is the right model, and what it says.

Where clusters overlap, no graph can tell them apart: their border has no gap. A mixture of normal
distributions can, if that is what they are; and its responsibilities are then the probabilities
that rows have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from scipy.special import ndtri, softmax
from scipy.stats import rankdata
from sklearn.mixture import GaussianMixture
from sklearn.utils import gen_batches

from .._rows import BLOCK_ROWS
from .neighbors import FEW_FEATURES
from .quiet import fit_quietly

__all__ = [
    "MIXTURE_TEST", "FoundMixture", "MixtureTest", "best_mixture", "fewer_suffice",
    "normal_scores", "responsibilities", "sparse_probabilities",
]


class MixtureTest(NamedTuple):
    """When a Gaussian mixture of K components is taken for right.

    Attributes
    ----------
    covariance_types : tuple of str
        Families that are tried.
    factors : tuple of float
        Multiples of K: none of the families with so many components may have a lower BIC. Shapes
        that are no normal distributions are better described by more of them: a spiral by eight
        times as many, most others by twice as many.
    max_features : int
        With more, no mixture is tried: of images, in principal components, mixtures had the lowest
        BIC and clusters that were no digits (ARI .6 on USPS).
    max_fit_rows : int
        Rows that mixtures are fitted to, to save time.
    rows_per_mean : int
        Least number of rows for each number in the means. With 5 in place of 2, small tables with
        flags or ratings, of 30 to 110 rows, have a mean adjusted Rand index of .86 instead of .99.
    min_init, max_init, values_of_init : int
        Initializations by the seeds of k-means++: as many as there may be values of rows, for each
        component, in all of them, within these limits. (K-means itself ends in the same clusters
        nearly always.)
    tol, max_iter : float, int
        When EM ends: where clusters overlap it gains little at a step, and scikit-learn's 1e-3 ends
        far from the best mixture (accuracy .80 instead of .84 two standard deviations apart).
    tol_of_rough : float
        The same of mixtures of more components, of which only the BIC counts, and of those of K
        before the best of each family is continued.
    reg_covar : float
        Variance that is added, in the model's units.
    lenience : float
        Share of BIC's penalty that more components are charged where fewer are at stake. By the
        whole of it iris has two clusters as often as three; at half, blobs that are cut in two are
        still found to be one.
    """

    covariance_types: tuple[str, ...] = ("full", "tied", "diag")
    factors: tuple[float, ...] = (2.0, 4.0, 8.0, 1.5)
    max_features: int = FEW_FEATURES
    max_fit_rows: int = 5000
    rows_per_mean: int = 2
    min_init: int = 3
    max_init: int = 10
    values_of_init: int = 500_000
    tol: float = 1e-5
    tol_of_rough: float = 1e-3
    max_iter: int = 500
    reg_covar: float = 1e-4
    lenience: float = 0.5


MIXTURE_TEST = MixtureTest()


class FoundMixture(NamedTuple):
    """The mixture of the lowest BIC, and whether none of more components has a lower one."""

    mixture: GaussianMixture
    is_right: bool


def best_mixture(
    values: NDArray[np.float32],
    partitions: list[NDArray[np.intp]],
    n_clusters: int,
    random: np.random.RandomState,
    *,
    others: NDArray[np.float32] | None = None,
    policy: MixtureTest = MIXTURE_TEST,
) -> FoundMixture | None:
    """Return the Gaussian mixture of the lowest BIC, and whether it is the right model.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
    partitions : list of ndarray of shape (n_rows,)
        Into `n_clusters` clusters, from which fits begin beside k-means.
    n_clusters : int
    random : RandomState
    others : ndarray of shape (n_rows, n_features) or None
        The same rows with other noise, on which mixtures are compared: one that was fitted to the
        noise of the values is not as good there.
    policy : MixtureTest, default=MIXTURE_TEST

    Returns
    -------
    FoundMixture or None
        With `n_clusters` components; None where none can be tried.
    """
    rows = _fit_rows(values, n_clusters, random, policy)
    if rows is None:
        return None
    some = values[rows].astype(np.float64)
    seed = random.randint(np.iinfo(np.int32).max)
    partitions = [labels[rows] for labels in partitions]
    mixtures = _mixtures(some, partitions, n_clusters, seed, policy)

    def bic(mixture: GaussianMixture) -> float:
        return float(mixture.bic(some))

    judged = some if others is None else others[rows].astype(np.float64)
    best = min(mixtures, key=lambda mixture: mixture.bic(judged))
    lowest = bic(best)
    for factor in policy.factors:
        n_components = n_clusters + max(1, int((factor - 1) * n_clusters))
        for kind in reversed(policy.covariance_types):  # the cheapest first
            if not _has_few_parameters(some, n_components, kind):
                continue
            more = _fitted(some, n_components, kind, seed, policy, tol=policy.tol_of_rough)
            if bic(more) > lowest:
                continue
            # EM may have missed a cluster that more components have found
            labels = _merged_components(some, more, n_clusters)
            again = [
                fit_quietly(mixture.set_params(tol=policy.tol), some)
                for mixture in _begun_with(some, labels, n_clusters, seed, policy)
            ]
            best = min([best, *again], key=lambda mixture: mixture.bic(judged))
            lowest = bic(best)
            if bic(more) <= lowest:
                return FoundMixture(best, is_right=False)
    return FoundMixture(best, is_right=True)


def normal_scores(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values with columns that are normal one by one: the quantiles of their ranks.

    A mixture of normal distributions in these says how columns depend on each other, however each
    of them is distributed. Missing values, NaN, stay so.

    Examples
    --------
    >>> column = np.array([1.0, 100.0, 7.0, np.nan, 7.0], np.float32)
    >>> normal_scores(column[:, None]).ravel().round(2)
    array([-1.15,  1.15,  0.  ,   nan,  0.  ], dtype=float32)
    """
    ranks = rankdata(values, axis=0, nan_policy="omit")
    scores: NDArray[np.float64] = ndtri((ranks - 0.5) / np.isfinite(ranks).sum(0))
    return scores.astype(np.float32)


def responsibilities(mixture: GaussianMixture, values: NDArray[np.float32]) -> csr_array:
    """Return the probabilities that rows are of each component, (n_rows, n_components).

    Missing values, NaN, are integrated out.
    """
    return sparse_probabilities(lambda block: _posterior(mixture, values[block]), len(values))


def sparse_probabilities(
    posterior: Callable[[slice], NDArray[np.float64]], n_rows: int
) -> csr_array:
    """Return the probabilities that `posterior` returns for blocks of rows.

    Those that single precision does not tell from 0 beside 1 are 0, and take no memory.
    """
    parts = []
    for block in gen_batches(n_rows, BLOCK_ROWS):
        found = posterior(block).astype(np.float32)
        found[found < np.finfo(np.float32).eps] = 0
        parts.append(csr_array(found))
    return vstack(parts, format="csr")


def _posterior(mixture: GaussianMixture, values: NDArray[np.float32]) -> NDArray[np.float64]:
    is_there = ~np.isnan(values)
    found = np.empty((len(values), mixture.n_components))
    patterns, inverse = np.unique(is_there, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        rows = inverse.ravel() == number
        if pattern.all():
            found[rows] = mixture.predict_proba(values[rows])
        else:
            found[rows] = _marginal_posterior(mixture, values[rows][:, pattern], pattern)
    return found


def _marginal_posterior(
    mixture: GaussianMixture, values: NDArray[np.float32], features: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the probabilities by some of the features, (n_rows, n_components)."""
    covariances = mixture.covariances_
    if mixture.covariance_type == "diag":
        covariances = covariances[:, None] * np.eye(covariances.shape[1])
    covariances = np.broadcast_to(
        covariances, (mixture.n_components, len(features), len(features))
    )[:, features][:, :, features]
    factors = np.linalg.cholesky(covariances)
    differences = values - mixture.means_[:, None, features]  # (K, n_rows, n_features)
    scaled = np.linalg.solve(factors, differences.transpose(0, 2, 1))
    log_volumes = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
    logits = np.log(mixture.weights_) - log_volumes - 0.5 * (scaled**2).sum(1).T
    probabilities: NDArray[np.float64] = softmax(logits, axis=1)
    return probabilities


def fewer_suffice(
    values: NDArray[np.float32],
    labels: NDArray[np.intp],
    partitions: list[NDArray[np.intp]],
    n_clusters: int,
    random: np.random.RandomState,
    *,
    policy: MixtureTest = MIXTURE_TEST,
) -> bool:
    """Whether mixtures speak for the clusters of the labels, fewer than `n_clusters`.

    True also where no mixture can be tried. Parameters are those of `best_mixture`, and `labels`
    of the same rows.
    """
    rows = _fit_rows(values, n_clusters, random, policy)
    if rows is None:
        return True
    some = values[rows].astype(np.float64)
    seed = random.randint(np.iinfo(np.int32).max)
    _, fewer = np.unique(labels, return_inverse=True)

    def charged(mixture: GaussianMixture) -> float:
        deviance = -2 * len(some) * mixture.score(some)
        return float(deviance + policy.lenience * (mixture.bic(some) - deviance))

    def least_charge(begin: list[NDArray[np.intp]], number: int) -> float:
        return min(map(charged, _mixtures(some, begin, number, seed, policy)))

    as_asked = least_charge([other[rows] for other in partitions], n_clusters)
    return least_charge([fewer[rows]], int(fewer.max()) + 1) < as_asked


def _fit_rows(
    values: NDArray[np.float32],
    n_clusters: int,
    random: np.random.RandomState,
    policy: MixtureTest,
) -> NDArray[np.intp] | None:
    """Draw the rows that mixtures are fitted to; None where none is tried."""
    rows: NDArray[np.intp] = random.permutation(len(values))[: policy.max_fit_rows]
    n_features = values.shape[1]
    enough = len(rows) >= policy.rows_per_mean * n_clusters * (n_features + 1)
    return rows if n_features <= policy.max_features and enough else None


def _mixtures(
    some: NDArray[np.float64],
    partitions: list[NDArray[np.intp]],
    n_clusters: int,
    seed: int,
    policy: MixtureTest,
) -> list[GaussianMixture]:
    """Fit each family, beginning with k-means, and with the best of the partitions and seeds.

    Which is the best is told after a rough fit; all that are returned are fitted to the end. (After
    rough fits families cannot be compared: the right one may be 200 in BIC behind.)
    """
    n_init = policy.values_of_init // (some.size * n_clusters)
    n_init = min(max(policy.min_init, n_init), policy.max_init)
    begun: dict[str, list[GaussianMixture]] = {kind: [] for kind in policy.covariance_types}
    rough = partial(_fitted, some, n_clusters, seed=seed, policy=policy, tol=policy.tol_of_rough)
    for labels in partitions:
        for mixture in _begun_with(some, labels, n_clusters, seed, policy):
            begun[mixture.covariance_type].append(mixture)
    for kind in policy.covariance_types:
        # of many parameters, what fits best of several is what fits chance best
        if _has_few_parameters(some, n_clusters, kind):
            begun[kind].append(rough(kind, init_params="k-means++", n_init=n_init))
    by_kmeans = [rough(kind) for kind in policy.covariance_types]
    others = [max(of, key=attrgetter("lower_bound_")) for of in begun.values() if of]
    return [
        fit_quietly(mixture.set_params(tol=policy.tol), some) for mixture in by_kmeans + others
    ]


def _begun_with(
    some: NDArray[np.float64],
    labels: NDArray[np.intp],
    n_clusters: int,
    seed: int,
    policy: MixtureTest,
) -> list[GaussianMixture]:
    """Fit each family roughly, beginning with these labels."""
    return [
        _fitted(some, n_clusters, kind, seed, policy, tol=policy.tol_of_rough, **begin)
        for kind, begin in _beginnings(some, labels, n_clusters, policy)
    ]


def _merged_components(
    some: NDArray[np.float64], mixture: GaussianMixture, n_clusters: int
) -> NDArray[np.intp]:
    """Return labels of rows by components that were merged one by one into `n_clusters`.

    The pair is merged that adds the least to the scatter within clusters (Ward), in units in which
    that within the components is the same in all directions.
    """
    _, labels = np.unique(mixture.predict(some), return_inverse=True)
    sizes = np.bincount(labels).astype(float)
    means = np.array([some[labels == number].mean(0) for number in range(len(sizes))])
    factor = np.linalg.cholesky(_within(some, labels, means, mixture.reg_covar))
    means = np.linalg.solve(factor, means.T).T
    while len(sizes) > n_clusters:
        squared = ((means[:, None] - means) ** 2).sum(-1)
        added = squared / (1 / sizes[:, None] + 1 / sizes)
        np.fill_diagonal(added, np.inf)
        first, second = sorted(np.unravel_index(added.argmin(), added.shape))
        pair = [first, second]
        means[first] = np.average(means[pair], 0, sizes[pair])
        sizes[first] += sizes[second]
        means, sizes = np.delete(means, second, 0), np.delete(sizes, second)
        labels = np.where(labels == second, first, labels)
        labels -= labels > second
    return labels


def _within(
    some: NDArray[np.float64], labels: NDArray[np.intp], means: NDArray[np.float64], added: float
) -> NDArray[np.float64]:
    """Return the covariance within clusters, and a variance that is added."""
    within = np.cov((some - means[labels]).T, bias=True).reshape(2 * some.shape[1:])
    return within + added * np.eye(len(within))


def _fitted(
    some: NDArray[np.float64],
    n_components: int,
    kind: str,
    seed: int,
    policy: MixtureTest,
    **how: Any,
) -> GaussianMixture:
    mixture = GaussianMixture(
        n_components, covariance_type=kind, random_state=seed, max_iter=policy.max_iter,
        reg_covar=policy.reg_covar, warm_start=True, **how,
    )
    return fit_quietly(mixture, some)


def _beginnings(
    some: NDArray[np.float64], labels: NDArray[np.intp], n_clusters: int, policy: MixtureTest
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a family and what its fit begins with: clusters of one shape at the labels' means.

    K-means, where fits begin otherwise, divides what is large before it separates what is small.
    """
    sizes = np.bincount(labels, minlength=n_clusters)
    if not sizes.all():
        return
    means = np.array([some[labels == cluster].mean(0) for cluster in range(n_clusters)])
    within = _within(some, labels, means, policy.reg_covar)
    precision = np.linalg.inv(within)
    precisions = {
        "full": np.tile(precision, (n_clusters, 1, 1)), "tied": precision,
        "diag": np.tile(1 / np.diag(within), (n_clusters, 1)),
    }
    for kind in policy.covariance_types:
        yield kind, {
            "weights_init": sizes / sizes.sum(), "means_init": means,
            "precisions_init": precisions[kind],
        }


def _has_few_parameters(some: NDArray[np.float64], n_components: int, kind: str) -> bool:
    return 2 * n_parameters(kind, n_components, some.shape[1]) <= len(some)


def n_parameters(kind: str, n_components: int, n_features: int) -> int:
    """Return the number of free parameters of a mixture."""
    covariance = n_features * (n_features + 1) // 2
    of_covariances = {
        "full": n_components * covariance, "tied": covariance, "diag": n_components * n_features,
    }
    return of_covariances[kind] + n_components * (n_features + 1) - 1
