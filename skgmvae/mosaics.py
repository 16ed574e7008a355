"""Displays that show rows of the data: images as images, other rows as profiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from .display import CROWDED, Display, colours, label_clusters

__all__ = ["ClusterSamplesDisplay", "ExemplarsDisplay"]

GAP = 0.08  # between images, as a share of their side


class _MosaicDisplay(Display):
    """A cell for each cluster (down) and each of its rows (across), on one Axes.

    Parameters
    ----------
    rows : ndarray of shape (n_clusters, n_columns, n_features)
        NaN where a cluster has fewer rows.
    image_shape : tuple of int or None
        (height, width) or (height, width, channels); ``None`` draws profiles.
    cluster_counts : ndarray of shape (n_clusters,)
    """

    def __init__(
        self,
        rows: NDArray[Any],
        *,
        image_shape: Sequence[int] | None = None,
        cluster_counts: NDArray[np.intp],
    ) -> None:
        self.rows = rows
        self.image_shape = image_shape
        self.cluster_counts = cluster_counts

    def _draw(self, ax: Any) -> None:
        n_clusters, n_columns, _ = self.rows.shape
        cell = 0.55 if n_clusters <= CROWDED else 0.35
        if self.image_shape is None:
            ax = self._axes(ax, figsize=(6, 1 + 1.3 * cell * n_clusters))
            self._draw_profiles(ax)
        else:
            ax = self._axes(ax, figsize=(1 + cell * n_columns, 0.6 + cell * n_clusters))
            self._draw_images(ax, tuple(self.image_shape))
        label_clusters(
            ax.yaxis,
            [f"{k} ({count})" for k, count in enumerate(self.cluster_counts)],
        )
        ax.set_ylabel("cluster (rows in it)")

    def _draw_images(self, ax: Any, image_shape: tuple[int, ...]) -> None:
        from matplotlib.cm import ScalarMappable

        low, high = np.nanmin(self.rows), np.nanmax(self.rows)
        span = high - low if high > low else 1.0
        images = np.clip((self.rows - low) / span, 0, 1).reshape(*self.rows.shape[:2], *image_shape)
        if images.ndim == 4 or images.shape[-1] not in (3, 4):
            grey = images if images.ndim == 4 else images.mean(-1)  # no colours: channels averaged
            images = ScalarMappable(cmap="gray_r").to_rgba(grey.ravel()).reshape(*grey.shape, 4)
        half = 0.5 - GAP / 2
        for (row, column), image in zip(
            np.ndindex(images.shape[:2]), images.reshape(-1, *images.shape[2:]), strict=True
        ):
            if np.isfinite(self.rows[row, column]).all():
                ax.imshow(image, extent=(column - half, column + half, row + half, row - half))
        ax.set(
            xlim=(-0.5, images.shape[1] - 0.5), ylim=(images.shape[0] - 0.5, -0.5), aspect="equal",
            xticks=[],
        )

    def _draw_profiles(self, ax: Any) -> None:
        n_clusters, n_columns, n_features = self.rows.shape
        low, high = np.nanmin(self.rows, (0, 1)), np.nanmax(self.rows, (0, 1))
        # each feature from its least to its greatest value, the height of a cell
        scaled = (self.rows - low) / np.where(high > low, high - low, 1.0)
        palette = colours(n_clusters)
        styles = self._styles(n_columns)
        for k in range(n_clusters):
            for profile, style in zip(scaled[k], styles, strict=True):
                ax.plot(
                    np.arange(n_features), k + 0.4 - 0.8 * profile, style, color=palette[k],
                    alpha=0.7, linewidth=0.9,
                )
        ax.set(
            xlabel="feature (from its least value, below, to its greatest)",
            ylim=(n_clusters - 0.4, -0.6),
        )

    def _styles(self, n_columns: int) -> list[str]:
        return ["-"] * n_columns


class ClusterSamplesDisplay(_MosaicDisplay):
    """Rows drawn from each component, a line of them for each cluster.

    Parameters
    ----------
    rows : ndarray of shape (n_clusters, n_samples, n_features)
    image_shape : tuple of int or None
        (height, width) or (height, width, channels); ``None`` draws profiles.
    cluster_counts : ndarray of shape (n_clusters,)

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.plotting import ClusterSamplesDisplay
    >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(load_iris().data)
    >>> ClusterSamplesDisplay.from_estimator(clusterer).rows.shape
    (3, 10, 4)
    """

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_samples: int = 10,
        w: ArrayLike | None = None,
        observation_noise: bool = False,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw samples of a fitted clusterer.

        Parameters
        ----------
        estimator : GMVAEClustering
        n_samples : int, default=10
            For each cluster.
        w : array-like of shape (style_dim,) or (n_samples, style_dim), default=None
            The style of all samples, or of each column.
        observation_noise : bool, default=False
            As in `GMVAEClustering.sample`.
        image_shape : tuple of int, default=None
            ``None`` is that of the estimator.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ClusterSamplesDisplay
        """
        check_is_fitted(estimator)
        n_clusters = len(estimator.weights_)
        if w is not None and np.ndim(w) == 2:
            w = np.tile(np.asarray(w), (n_clusters, 1))
        rows, _ = estimator.sample(
            n_clusters * n_samples, np.repeat(np.arange(n_clusters), n_samples), w,
            observation_noise=observation_noise,
        )
        return cls(
            rows.reshape(n_clusters, n_samples, -1),
            image_shape=estimator.image_shape if image_shape is None else image_shape,
            cluster_counts=estimator.cluster_counts_,
        ).plot(ax)


class ExemplarsDisplay(_MosaicDisplay):
    """The most certain members of each cluster, and on the right its least certain ones.

    Parameters
    ----------
    rows : ndarray of shape (n_clusters, 2 * n_exemplars, n_features)
        NaN where a cluster has fewer rows.
    image_shape : tuple of int or None
        (height, width) or (height, width, channels); ``None`` draws profiles, those of the least
        certain members dashed.
    cluster_counts : ndarray of shape (n_clusters,)

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.plotting import ExemplarsDisplay
    >>> X = load_iris().data
    >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
    >>> ExemplarsDisplay.from_estimator(clusterer, X).rows.shape
    (3, 10, 4)
    """

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_exemplars: int = 5,
        image_shape: Sequence[int] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw members of the clusters that a fitted clusterer finds in X, by their log-odds.

        Parameters
        ----------
        estimator : GMVAEClustering
        X : array-like of shape (n_samples, n_features)
        n_exemplars : int, default=5
            Of each kind and cluster.
        image_shape : tuple of int, default=None
            ``None`` is that of the estimator.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ExemplarsDisplay
        """
        check_is_fitted(estimator)
        odds = np.asarray(estimator.decision_function(X))
        labels = odds.argmax(1)
        data = np.asarray(X, dtype=np.float64)
        n_clusters = odds.shape[1]
        rows = np.full((n_clusters, 2 * n_exemplars, data.shape[1]), np.nan)
        for k in range(n_clusters):
            members = np.flatnonzero(labels == k)
            members = members[np.argsort(-odds[members, k], kind="stable")]
            most, least = members[:n_exemplars], members[n_exemplars:][-n_exemplars:]
            rows[k, : len(most)] = data[most]
            rows[k, n_exemplars : n_exemplars + len(least)] = data[least]
        return cls(
            rows,
            image_shape=estimator.image_shape if image_shape is None else image_shape,
            cluster_counts=np.bincount(labels, minlength=n_clusters),
        ).plot(ax)

    def _draw(self, ax: Any) -> None:
        super()._draw(ax)
        if self.image_shape is not None:
            n_exemplars = self.rows.shape[1] // 2
            self.ax_.axvline(n_exemplars - 0.5, color="0.3", linewidth=1)
            middle = (n_exemplars - 1) / 2
            self.ax_.set_xticks(
                [middle, n_exemplars + middle], ["most certain", "least certain"]
            )
        else:
            self.ax_.set_title("most certain members, and the least certain dashed", fontsize=9)

    def _styles(self, n_columns: int) -> list[str]:
        return ["-"] * (n_columns // 2) + ["--"] * (n_columns // 2)
