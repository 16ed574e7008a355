"""Tables of flags and one-hot encoded categories alone: the latent class model.

In such a table rows have no gaps between them and no shapes, and many are identical: a cluster is
known by how often each category occurs in it. That is a mixture of independent categories
(Lazarsfeld & Henry 1968), fitted by EM.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import logsumexp
from sklearn.cluster import KMeans

from .._rows import Rows
from .dequantization import one_hot_groups
from .mixtures import sparse_probabilities
from .quiet import fit_quietly

__all__ = ["LATENT_CLASSES", "LatentClasses", "class_probabilities", "encoded_categories"]


class LatentClasses(NamedTuple):
    """How the latent class model is fitted, and when.

    Attributes
    ----------
    max_flags : int
        Columns of two values that are part of no one-hot encoded category: with more, they are
        taken for what depends on its surroundings, as black and white pixels do.
    n_init : int
        Fits, each of which begins with one k-means: where a class has three of a hundred rows, one
        fit alone misses it often.
    max_fit_rows : int
        Rows that the model is fitted to, to save time.
    alpha : float
        Rows added to each category in each class (Laplace smoothing, as in `CategoricalNB`).
    tol, max_iter : float, int
        When EM ends: at less gain in the mean log-likelihood of a row.
    """

    max_flags: int = 50
    n_init: int = 10
    max_fit_rows: int = 20_000
    alpha: float = 1.0
    tol: float = 1e-5
    max_iter: int = 500


LATENT_CLASSES = LatentClasses()


class Categories(NamedTuple):
    """One column for each category of each variable.

    Attributes
    ----------
    is_in : ndarray of bool of shape (n_rows, n_categories)
        Of each variable just one is True in a row, or none where it is missing.
    variable : ndarray of shape (n_categories,)
        The number of its variable.
    """

    is_in: NDArray[np.bool_]
    variable: NDArray[np.intp]


def encoded_categories(rows: Rows, *, policy: LatentClasses = LATENT_CLASSES) -> Categories | None:
    """Return the categories of the rows, None if some columns are neither flags nor one-hot."""
    values = _flags(rows)
    if values is None:
        return None
    varies = (values == 1).any(0) & (values == 0).any(0)
    groups = one_hot_groups(values)
    varies[[column for group in groups for column in group]] = False
    flags = values[:, varies]
    if not len(groups) + flags.shape[1] > 0 or flags.shape[1] > policy.max_flags:
        return None
    # of a category that is missing in part nothing is taken for known
    of_groups = [
        (values[:, group] == 1) & ~np.isnan(values[:, group]).any(1, keepdims=True)
        for group in groups
    ]
    variables = of_groups + [np.stack([flag == 0, flag == 1], axis=1) for flag in flags.T]
    sizes = [variable.shape[1] for variable in variables]
    return Categories(np.hstack(variables), np.repeat(np.arange(len(sizes)), sizes))


def _flags(rows: Rows) -> NDArray[np.float16] | None:
    """Return 1 for the higher of a column's two values and 0 for the lower; NaN stays.

    None if some column has more values.
    """
    low, high = np.array(np.nan, np.float32), np.array(np.nan, np.float32)
    for block in rows.blocks():
        values = block.flatten(1).cpu().numpy()
        lowest, highest = np.fmin.reduce(values), np.fmax.reduce(values)
        if not _are_two_values(values, lowest, highest):
            return None  # most tables end here, at the first block
        low, high = np.fmin(low, lowest), np.fmax(high, highest)
    found = []
    for block in rows.blocks():
        values = block.flatten(1).cpu().numpy()
        if not _are_two_values(values, low, high):
            return None
        is_high = (values == high).astype(np.float16)
        found.append(np.where(np.isnan(values), np.float16(np.nan), is_high))
    return np.concatenate(found)


def _are_two_values(
    values: NDArray[np.float32], low: NDArray[np.float32], high: NDArray[np.float32]
) -> bool:
    return bool(((values == low) | (values == high) | np.isnan(values)).all())


def class_probabilities(
    categories: Categories,
    n_classes: int,
    random: np.random.RandomState,
    *,
    policy: LatentClasses = LATENT_CLASSES,
) -> csr_array:
    """Return the probabilities that rows are of each class, (n_rows, n_classes).

    Those that single precision does not tell from 0 beside 1 are 0, and take no memory.
    """
    n_rows = len(categories.is_in)
    some = random.permutation(n_rows)[: policy.max_fit_rows]
    fitted_to = categories.is_in[some].astype(np.float64)
    models = [
        _fit(fitted_to, categories.variable, n_classes, random, policy)
        for _ in range(policy.n_init)
    ]
    # of few variables many models are as likely, and then clusters had better be compact: likelier
    # is what gains more than BIC charges for one parameter of each class
    charge = n_classes * np.log(len(some)) / 2 / len(some)
    enough = max(model.log_likelihood for model in models) - charge
    best = min(
        (model for model in models if model.log_likelihood >= enough),
        key=lambda model: model.inertia,
    )
    return sparse_probabilities(
        lambda block: best.posterior(categories.is_in[block].astype(np.float64))[0], n_rows
    )


class _Model(NamedTuple):
    """A latent class model.

    Attributes
    ----------
    log_weights : ndarray of shape (n_classes,)
    log_shares : ndarray of shape (n_classes, n_categories)
        Logarithms of the probability of a category in a class.
    inertia : float
        Of the k-means from which EM began.
    log_likelihood : float
        The mean of a row.
    """

    log_weights: NDArray[np.float64]
    log_shares: NDArray[np.float64]
    inertia: float
    log_likelihood: float

    def posterior(self, is_in: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
        """Return the probabilities of classes (n_rows, n_classes), and the mean log-likelihood."""
        joint = is_in @ self.log_shares.T + self.log_weights
        evidence = logsumexp(joint, axis=1, keepdims=True)
        return np.exp(joint - evidence), float(evidence.mean())


def _fit(
    is_in: NDArray[np.float64],
    variable: NDArray[np.intp],
    n_classes: int,
    random: np.random.RandomState,
    policy: LatentClasses,
) -> _Model:
    """Fit a model by EM from k-means."""
    kmeans = KMeans(n_classes, n_init=1, random_state=random)
    posterior = np.eye(n_classes)[fit_quietly(kmeans, is_in).labels_]
    inertia = float(kmeans.inertia_)
    same_variable = np.equal.outer(variable, variable).astype(np.float64)
    tiny = np.finfo(np.float64).tiny
    log_likelihood = -np.inf
    for _ in range(policy.max_iter):
        counts = posterior.T @ is_in + policy.alpha
        model = _Model(
            np.log(np.maximum(posterior.mean(0), tiny)),
            np.log(counts / (counts @ same_variable)),
            inertia,
            log_likelihood,
        )
        posterior, log_likelihood = model.posterior(is_in)
        if log_likelihood - model.log_likelihood < policy.tol:
            break
    return model._replace(log_likelihood=log_likelihood)
