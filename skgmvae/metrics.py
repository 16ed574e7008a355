"""Accuracy of a clustering against known labels.

There are two measures. The max-probability accuracy is that of the paper (Section 4.2 of
arXiv:1611.02648v2, after Makhzani et al., 2015): the row with the highest probability of belonging
to a cluster gives its true label to every row of the cluster. The clustering accuracy pairs each
cluster with one class by the Hungarian algorithm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_array

from .runtime import without_array_api

__all__ = [
    "clustering_accuracy", "max_probability_accuracy", "max_probability_labels",
    "max_probability_scorer",
]

RESPONSES = ("decision_function", "predict_log_proba", "predict_proba")


def max_probability_labels(y_true: ArrayLike, scores: ArrayLike) -> NDArray[Any]:
    """Return the label of each cluster, which is that of its most confident row.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        The known labels: numbers, strings, or anything else that can be sorted.
    scores : array-like of shape (n_samples, n_clusters)
        The confidence that each row belongs to each cluster: log-odds (`decision_function`) or
        probabilities. Probabilities saturate at 1 and are then tied, while log-odds are not.

    Returns
    -------
    labels : ndarray of shape (n_clusters,)
        Of the dtype of `y_true`. If several rows share the highest score of a cluster, it gets the
        most frequent label among them, and of equally frequent labels the first in sorted order.
        The order of the rows therefore does not matter. A cluster to which no row is assigned gets
        a label in the same way, although nothing uses it.

    Raises
    ------
    ValueError
        If `y_true` is None, empty, not one-dimensional or has missing labels; if `scores` is not a
        two-dimensional array of numbers or contains NaN; or if their lengths differ.
    TypeError
        If `y_true` is a single value or its labels cannot be sorted, or if `scores` is sparse or
        holds dates.

    References
    ----------
    Makhzani et al., Adversarial Autoencoders, arXiv:1511.05644, Section 5.

    Examples
    --------
    >>> max_probability_labels(["a", "b", "b"], [[2, -2], [1, -1], [-3, 3]])
    array(['a', 'b'], dtype='<U1')
    """
    return _cluster_labels(_check(y_true, scores))


def max_probability_accuracy(
    y_true: ArrayLike,
    scores: ArrayLike,
    *,
    y_labeling: ArrayLike | None = None,
    scores_labeling: ArrayLike | None = None,
) -> float:
    """Return the max-probability accuracy, as in Table 1 of the paper (Section 4.2).

    The accuracy rises with the number of clusters, however poor they are, and reaches 1 with one
    cluster per row. Compare it only between clusterings with the same number of clusters, and do
    not choose `n_clusters` by it alone.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        The known labels.
    scores : array-like of shape (n_samples, n_clusters)
        The confidence that each row belongs to each cluster, as in
        :func:`max_probability_labels`. A row is assigned to the cluster with its highest score.
    y_labeling : array-like of shape (n_labeling,), default=None
        The known labels of a separate set of rows that names the clusters, as in the protocol of
        Makhzani et al. By default, the evaluated rows name the clusters themselves, as in the
        GMVAE paper.
    scores_labeling : array-like of shape (n_labeling, n_clusters), default=None
        The scores of these rows. Pass both or neither.

    Returns
    -------
    accuracy : float
        The fraction of rows whose cluster has their label, between 0 and 1.

    Raises
    ------
    ValueError
        If only one of `y_labeling` and `scores_labeling` is given, if they have another number of
        clusters, or as in :func:`max_probability_labels`.
    TypeError
        If the labels in `y_true` and `y_labeling` are of different types, or as in
        :func:`max_probability_labels`.

    Examples
    --------
    >>> max_probability_accuracy([0, 0, 1], [[2, -2], [1, -1], [-3, 3]])
    1.0
    """
    evaluated = _check(y_true, scores)
    if y_labeling is None and scores_labeling is None:
        return _accuracy(evaluated, evaluated)
    if y_labeling is None or scores_labeling is None:
        raise ValueError("y_labeling and scores_labeling go together: pass both or neither.")
    labeling = _check(y_labeling, scores_labeling, "y_labeling", "scores_labeling")
    n_clusters, n_named = evaluated.scores.shape[1], labeling.scores.shape[1]
    if n_clusters != n_named:
        raise ValueError(
            f"scores has {n_clusters} clusters and scores_labeling has {n_named}; both must come "
            "from the same estimator."
        )
    _check_sortable(
        [*evaluated.classes[:1].tolist(), *labeling.classes[:1].tolist()],
        "y_true and y_labeling together",
    )
    return _accuracy(evaluated, labeling)


def max_probability_scorer(estimator: Any, X: Any, y: ArrayLike | None = None) -> float:
    """Score an estimator, or a Pipeline that ends in one, by the max-probability accuracy.

    The function can be passed as ``scoring`` to ``GridSearchCV``. Since the accuracy rises with
    the number of clusters, it is best used together with a second metric such as
    ``"adjusted_rand_score"``.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator with at least one of the methods `decision_function`,
        `predict_log_proba` and `predict_proba`. The first one that exists is used.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The rows to score.
    y : array-like of shape (n_samples,), default=None
        The known labels. They are required: the default is there for scikit-learn's scorers.

    Returns
    -------
    accuracy : float
        The max-probability accuracy, between 0 and 1.

    Raises
    ------
    ValueError
        If y is None, or as in :func:`max_probability_accuracy`.
    TypeError
        If the estimator has none of these methods, or as in :func:`max_probability_accuracy`.

    Examples
    --------
    >>> max_probability_scorer(clusterer, X, y) > 0.6
    True
    """
    if y is None:
        raise ValueError(
            "The max-probability accuracy compares clusters with known labels: pass y, as in "
            "GridSearchCV.fit(X, y). The labels are not used to fit the estimator."
        )
    for name in RESPONSES:
        if hasattr(estimator, name):
            evaluated = _check(y, getattr(estimator, name)(X), "y", f"{name}(X)", "X")
            return _accuracy(evaluated, evaluated)
    raise TypeError(f"{type(estimator).__name__} has none of the methods {', '.join(RESPONSES)}.")


def clustering_accuracy(y_true: ArrayLike, labels: ArrayLike) -> float:
    """Return the accuracy under the best one-to-one matching of clusters to classes.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        The known labels: numbers, strings, or anything else that can be sorted.
    labels : array-like of shape (n_samples,)
        The cluster of each row. If there are more clusters than classes, the rows of those that
        are not matched count as errors.

    Returns
    -------
    accuracy : float
        The fraction of rows whose cluster is matched to their class, between 0 and 1.

    Raises
    ------
    ValueError
        If `y_true` or `labels` is None, empty, not one-dimensional or has missing labels, or if
        their lengths differ.
    TypeError
        If an argument is a single value, or its labels cannot be sorted.

    References
    ----------
    Xie et al., Unsupervised Deep Embedding for Clustering Analysis, arXiv:1511.06335.

    Examples
    --------
    >>> clustering_accuracy(["a", "a", "b", "b"], [1, 1, 0, 1])
    0.75
    """
    _, classes_of_rows = encode_labels(y_true, "y_true", "labels")
    _, clusters_of_rows = encode_labels(labels, "labels", "y_true")
    check_lengths(len(classes_of_rows), "y_true", len(clusters_of_rows), "labels")
    counts = contingency_matrix(classes_of_rows, clusters_of_rows)
    matched = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return float(matched / counts.sum())


class _Scored(NamedTuple):
    """Known labels, as the sorted classes and the class of each row, and the rows' scores."""

    classes: NDArray[Any]
    codes: NDArray[np.intp]
    scores: NDArray[Any]


def _cluster_labels(labeling: _Scored) -> NDArray[Any]:
    classes, codes, scores = labeling
    # the log-odds of a single cluster are infinite: all its rows are tied
    at_maximum = scores == scores.max(0)  # (n_samples, n_clusters)
    counts = np.stack([
        np.bincount(codes[column], minlength=len(classes)) for column in at_maximum.T
    ])
    return classes[counts.argmax(1)]


def _accuracy(evaluated: _Scored, labeling: _Scored) -> float:
    assigned = _cluster_labels(labeling)[evaluated.scores.argmax(1)]
    return float(np.mean(evaluated.classes[evaluated.codes] == assigned))


def _check(
    y: Any, scores: Any, y_name: str = "y_true", scores_name: str = "scores", rows_name: str = "",
) -> _Scored:
    """Return labels and scores as arrays of one length, or raise an error that names them."""
    classes, codes = encode_labels(y, y_name, rows_name or scores_name)
    try:
        with without_array_api():
            checked = check_array(scores, ensure_all_finite=False, input_name=scores_name)
        if checked.dtype == object:  # a list with None in it
            checked = checked.astype(np.float64)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"{scores_name} should be an array of numbers of shape (n_samples, n_clusters): "
            + str(error).splitlines()[0].rstrip(":")
        ) from error
    if checked.dtype.kind not in "biuf":
        raise TypeError(f"{scores_name} should hold real numbers, not {checked.dtype}.")
    check_lengths(len(codes), y_name, len(checked), scores_name)
    if np.isnan(checked).any():
        raise ValueError(
            f"{scores_name} contains NaN; every row needs a score for every cluster."
        )
    return _Scored(classes, codes, checked)


def check_lengths(length: int, name: str, other_length: int, other_name: str) -> None:
    """Raise a ValueError that names two arguments if one has more rows than the other."""
    if length != other_length:
        raise ValueError(
            f"Inconsistent numbers of samples: {name} has {length} and {other_name} has "
            f"{other_length}."
        )


def encode_labels(labels: Any, name: str, other_name: str) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the sorted classes, and for each row the index of its class.

    Raises
    ------
    ValueError, TypeError
        If a label is missing, or labels are not one-dimensional or cannot be sorted; it names the
        argument.
    """
    if labels is None:
        raise ValueError(f"{name} is None; one label for each row is needed.")
    values, elements = _as_arrays(labels, name)
    n_missing = _count_missing(elements)
    if n_missing:
        raise ValueError(
            f"{name} has {n_missing} missing {'label' if n_missing == 1 else 'labels'} (NaN, None, "
            f"NaT or NA): drop those rows from {name} and {other_name}."
        )
    if elements.dtype == object:
        _check_sortable(elements.tolist(), name)
    classes, codes = np.unique(values, return_inverse=True)
    return classes, codes


def _as_arrays(labels: Any, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the labels as an array, twice: the second keeps the objects NumPy made into strings.

    NumPy turns the list ``["a", nan]`` into the strings "a" and "nan".
    """
    try:
        if isinstance(labels, np.ma.MaskedArray) and np.ma.is_masked(labels):
            labels = labels.tolist()  # None where masked
        values = np.asarray(labels)
        text_of_list = values.dtype.kind in "US" and not hasattr(labels, "dtype")
        as_objects = text_of_list or values.dtype.kind == "T"  # T is NumPy's StringDType
        elements = np.asarray(labels, dtype=object) if as_objects else values
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} should be a one-dimensional array of labels: {error}") from error
    if values.ndim == 0:
        raise TypeError(
            f"{name} should be a one-dimensional array of labels, not {type(labels).__name__}."
        )
    if values.ndim > 2 or (values.ndim == 2 and values.shape[1] != 1):
        raise ValueError(
            f"{name} should be a one-dimensional array of labels; its shape is {values.shape}."
        )
    if not len(values):
        raise ValueError(f"{name} is empty; at least one row is needed.")
    if values.dtype.kind in "cV":
        raise TypeError(f"{name} should hold labels that can be sorted, not {values.dtype}.")
    return values.ravel(), elements.ravel()


def _count_missing(elements: NDArray[Any]) -> int:
    if elements.dtype.kind in "fmM":
        return int(np.count_nonzero(elements != elements))
    if elements.dtype == object:
        return sum(map(_is_missing, elements))
    return 0


def _is_missing(label: Any) -> bool:
    """Tell whether a label is None, NaN, NaT or pandas.NA, without importing pandas."""
    differs = label != label
    if isinstance(differs, bool | np.bool_):
        return label is None or bool(differs)
    return differs is label  # pandas.NA answers every comparison with itself


def _check_sortable(labels: list[Any], name: str) -> None:
    """Raise an error that names the labels if they are of mixed types, such as str and int."""
    try:
        sorted(set(labels))
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in labels})
        raise TypeError(
            f"{name} should hold labels of one type that can be sorted, not {', '.join(kinds)}: "
            "convert them first, for example to str."
        ) from error
