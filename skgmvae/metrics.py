"""Accuracy of a clustering against known labels: the paper's protocol, and Hungarian.

Makhzani et al. (2015), as used in Section 4.2 of arXiv:1611.02648v2: the row with the highest
probability of belonging to a cluster gives its true label to every row assigned to the cluster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_array, check_consistent_length, column_or_1d

__all__ = [
    "clustering_accuracy", "max_probability_accuracy", "max_probability_labels",
    "max_probability_scorer",
]

RESPONSES = ("decision_function", "predict_log_proba", "predict_proba")


def max_probability_labels(y_true: ArrayLike, scores: ArrayLike) -> NDArray[Any]:
    """Return the label of each cluster: that of the row which most surely belongs to it.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Known labels, of any type.
    scores : array-like of shape (n_samples, n_clusters)
        Higher is surer: log-odds (`decision_function`) or probabilities. Probabilities
        saturate at 1 and then tie; log-odds do not.

    Returns
    -------
    labels : ndarray of shape (n_clusters,)
        Where several rows tie for the highest score, the most frequent label among them, and
        of equally frequent ones the first in sorted order: the order of the rows is of no
        effect. A cluster that no row is assigned to has a label by the same rule, which
        nothing then uses.

    Raises
    ------
    ValueError
        If the lengths differ, `y_true` is missing, or a score is NaN.

    References
    ----------
    Makhzani et al., Adversarial Autoencoders, arXiv:1511.05644, Section 5.

    Examples
    --------
    >>> max_probability_labels(["a", "b", "b"], [[2, -2], [1, -1], [-3, 3]])
    array(['a', 'b'], dtype='<U1')
    """
    classes, codes, scores = _check(y_true, scores)
    # log-odds of a lone cluster are infinite: they tie, and nothing else is asked of them
    at_maximum = scores == scores.max(0)  # (n_samples, K)
    counts = np.stack([
        np.bincount(codes[column], minlength=len(classes)) for column in at_maximum.T
    ])
    return classes[counts.argmax(1)]


def max_probability_accuracy(
    y_true: ArrayLike,
    scores: ArrayLike,
    *,
    y_labelling: ArrayLike | None = None,
    scores_labelling: ArrayLike | None = None,
) -> float:
    """Return the accuracy by the paper's protocol.

    It rises with the number of clusters whatever their worth, to 1 with a cluster for each
    row: compare it at equal K only, and never choose K by it alone.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Known labels.
    scores : array-like of shape (n_samples, n_clusters)
        As in :func:`max_probability_labels`; a row is assigned to the cluster of its highest
        score.
    y_labelling, scores_labelling : array-like, default=None
        A separate set to take the clusters' labels from, as Makhzani et al. do. By default
        they come from the evaluated rows themselves, as in the GMVAE paper.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If only one of the labelling arrays is given, or as :func:`max_probability_labels`.

    Examples
    --------
    >>> max_probability_accuracy([0, 0, 1], [[2, -2], [1, -1], [-3, 3]])
    1.0
    """
    if (y_labelling is None) != (scores_labelling is None):
        raise ValueError("y_labelling and scores_labelling go together: give both or neither.")
    if y_labelling is None:
        y_labelling, scores_labelling = y_true, scores
    assert scores_labelling is not None
    cluster_labels = max_probability_labels(y_labelling, scores_labelling)
    classes, codes, scores = _check(y_true, scores)
    if scores.shape[1] != len(cluster_labels):
        raise ValueError(
            f"scores has {scores.shape[1]} clusters and scores_labelling {len(cluster_labels)}; "
            "both must come from the same estimator."
        )
    return float(np.mean(classes[codes] == cluster_labels[scores.argmax(1)]))


def max_probability_scorer(estimator: Any, X: Any, y: ArrayLike | None = None) -> float:
    """Score an estimator, or a Pipeline that ends in one, by the paper's protocol.

    For ``GridSearchCV(scoring=max_probability_scorer)``, best beside a second metric such as
    ``"adjusted_rand_score"``, since this one rises with the number of clusters.

    Parameters
    ----------
    estimator : estimator
        Fitted; has `decision_function`, `predict_log_proba` or `predict_proba`, the first of
        which is used.
    X : array-like of shape (n_samples, n_features)
    y : array-like of shape (n_samples,)
        Known labels.

    Returns
    -------
    accuracy : float

    Raises
    ------
    ValueError
        If y is missing.
    TypeError
        If the estimator has none of these methods.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.mixture import GaussianMixture
    >>> X, y = load_iris(return_X_y=True)
    >>> max_probability_scorer(GaussianMixture(3, random_state=0).fit(X), X, y) > 0.9
    True
    """
    if y is None:
        raise ValueError(
            "The max-probability protocol compares with known labels: pass y, as in "
            "GridSearchCV.fit(X, y). Fitting does not use it."
        )
    for name in RESPONSES:
        if hasattr(estimator, name):
            return max_probability_accuracy(y, getattr(estimator, name)(X))
    raise TypeError(f"{type(estimator).__name__} has none of the methods {', '.join(RESPONSES)}.")


def clustering_accuracy(y_true: ArrayLike, labels: ArrayLike) -> float:
    """Return the accuracy under the best one-to-one matching of clusters to classes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Known labels.
    labels : array-like of shape (n_samples,)
        Cluster of each row. With more clusters than classes, those left over count as wrong.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the lengths differ or are zero.

    Examples
    --------
    >>> clustering_accuracy(["a", "a", "b", "b"], [1, 1, 0, 1])
    0.75
    """
    if y_true is None:
        raise ValueError("y_true is missing: the accuracy compares with known labels.")
    check_consistent_length(y_true, labels)
    counts = contingency_matrix(column_or_1d(y_true), column_or_1d(labels))
    if counts.size == 0:
        raise ValueError("y_true is empty: an accuracy needs at least one row.")
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return float(matched / counts.sum())


def _check(
    y_true: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.intp], NDArray[Any]]:
    if y_true is None:
        raise ValueError("y_true is missing: the protocol compares with known labels.")
    y_true = column_or_1d(y_true)
    checked: NDArray[Any] = check_array(scores, ensure_all_finite=False, input_name="scores")
    check_consistent_length(y_true, checked)
    if np.isnan(checked).any():
        raise ValueError("scores contains NaN; every row needs a score for every cluster.")
    classes, codes = np.unique(y_true, return_inverse=True)
    return classes, codes, checked
