"""Displays that are tables: what sets clusters apart, and clusters against known labels."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from .display import Display, label_clusters

__all__ = ["ClusterMatrixDisplay", "ClusterProfileDisplay"]

MOST_NUMBERED_CELLS = 400


class ClusterProfileDisplay(Display):
    """Which features set a cluster apart: a table of deviations from the mean of all rows.

    Parameters
    ----------
    deviations : ndarray of shape (n_clusters, n_features)
        Mean of the cluster less the mean of all rows, in standard deviations of the feature;
        NaN for a cluster without rows.
    feature_names : ndarray of shape (n_features,)
    n_features : int, default=20
        Features drawn: those that deviate most in any cluster.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.plotting import ClusterProfileDisplay
    >>> X = load_iris().data
    >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
    >>> ClusterProfileDisplay.from_estimator(clusterer, X).deviations.shape
    (3, 4)
    """

    def __init__(
        self, deviations: NDArray[Any], feature_names: NDArray[Any], *, n_features: int = 20
    ) -> None:
        self.deviations = deviations
        self.feature_names = feature_names
        self.n_features = n_features

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, *, n_features: int = 20, ax: Any = None
    ) -> Self:
        """Draw the profiles of the clusters that a fitted clusterer finds in X.

        Parameters
        ----------
        estimator : GMVAEClustering
        X : array-like of shape (n_samples, n_features)
        n_features : int, default=20
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ClusterProfileDisplay
        """
        check_is_fitted(estimator)
        labels = estimator.predict(X)
        rows = np.asarray(X, dtype=np.float64)
        spread = rows.std(0)
        standardised = (rows - rows.mean(0)) / np.where(spread > 0, spread, 1.0)
        deviations = np.full((len(estimator.weights_), rows.shape[1]), np.nan)
        for k in np.unique(labels):
            deviations[k] = standardised[labels == k].mean(0)
        names = getattr(
            estimator, "feature_names_in_", np.array([f"x{j}" for j in range(rows.shape[1])])
        )
        return cls(deviations, names, n_features=n_features).plot(ax)

    def _draw(self, ax: Any) -> None:
        strength = np.nan_to_num(np.abs(self.deviations)).max(0)
        shown = np.sort(np.argsort(-strength, kind="stable")[: self.n_features])
        values = self.deviations[:, shown]
        n_clusters = len(values)
        height = max(3.5, 1.8 + 0.25 * n_clusters)
        ax = self._axes(ax, figsize=(2 + 0.4 * len(shown), height))
        limit = max(float(strength.max()), 1e-12)
        image = ax.imshow(values, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
        ax.set_xticks(range(len(shown)), self.feature_names[shown], rotation=60, ha="right")
        label_clusters(ax.yaxis, range(n_clusters))
        ax.set_ylabel("cluster")
        self.figure_.colorbar(image, ax=ax, label="from the mean (std.)")


class ClusterMatrixDisplay(Display):
    """Clusters against known labels: how many rows of each label are in each cluster.

    Parameters
    ----------
    matrix : ndarray of shape (n_labels, n_clusters)
    labels : ndarray of shape (n_labels,)
    clusters : ndarray of shape (n_clusters,)

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from skgmvae.plotting import ClusterMatrixDisplay
    >>> ClusterMatrixDisplay.from_predictions(["a", "a", "b"], [1, 1, 0]).matrix
    array([[2, 0],
           [0, 1]])
    """

    def __init__(
        self, matrix: NDArray[np.int64], labels: NDArray[Any], clusters: NDArray[Any]
    ) -> None:
        self.matrix = matrix
        self.labels = labels
        self.clusters = clusters

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, y: ArrayLike, *, ax: Any = None
    ) -> Self:
        """Draw the clusters that a fitted clusterer finds in X against the labels y.

        Parameters
        ----------
        estimator : GMVAEClustering
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ClusterMatrixDisplay
        """
        check_is_fitted(estimator)
        return cls.from_predictions(y, estimator.predict(X), ax=ax)

    @classmethod
    def from_predictions(cls, y_true: ArrayLike, y_pred: ArrayLike, *, ax: Any = None) -> Self:
        """Draw clusters against labels.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples,)
            Known labels, and clusters.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ClusterMatrixDisplay
            Clusters stand in the order of the label that most of their rows have.
        """
        y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
        matrix = contingency_matrix(y_true, y_pred)
        order = np.lexsort((-matrix.max(0), matrix.argmax(0)))
        return cls(
            matrix[:, order], unique_labels(y_true), unique_labels(y_pred)[order]
        ).plot(ax)

    def _draw(self, ax: Any) -> None:
        n_labels, n_clusters = self.matrix.shape
        ax = self._axes(ax, figsize=(2 + 0.45 * min(n_clusters, 25), 1.5 + 0.4 * min(n_labels, 25)))
        image = ax.imshow(self.matrix, cmap="Blues", vmin=0, aspect="auto")
        if self.matrix.size <= MOST_NUMBERED_CELLS:
            for (i, j), count in np.ndenumerate(self.matrix):
                if count:
                    ax.text(
                        j, i, count, ha="center", va="center", fontsize=7,
                        color="white" if count > 0.6 * self.matrix.max() else "black",
                    )
        else:
            self.figure_.colorbar(image, ax=ax, label="rows")
        label_clusters(ax.xaxis, self.clusters)
        label_clusters(ax.yaxis, self.labels)
        ax.set(xlabel="cluster", ylabel="label")
