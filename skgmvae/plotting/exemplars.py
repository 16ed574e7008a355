"""The most and the least certain members of each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_scalar

from ._last_step import last_step
from ._mosaic import draw_images, draw_profiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

__all__ = ["ExemplarsDisplay"]


class ExemplarsDisplay:
    """The most certain members of each cluster, and to their right its least certain ones.

    Images share one scale, from the least value of all to the greatest. Profiles are lines across
    the features, each of which is scaled from its least to its greatest value; those of the least
    certain members are dashed.

    Parameters
    ----------
    rows : ndarray of shape (n_clusters, 2 * n_exemplars, n_features)
        For each cluster the most certain members, then the least certain ones; NaN where it has
        fewer members.
    cluster_counts : array-like of shape (n_clusters,)
        Number of rows in each cluster, which labels it.
    image_shape : tuple of int, default=None
        (height, width) or (height, width, channels) of a row as an image; ``None`` draws profiles.
        Three channels are RGB, four RGBA; of another number the mean is drawn.
    feature_names : array-like of shape (n_features,), default=None
        Names of the features below profiles; ``None``, or more than there is room for, numbers
        them.
    cmap : str or Colormap, default="gray_r"
        Colormap of images that are neither RGB nor RGBA.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With all images or profiles.
    figure_ : matplotlib Figure
        Containing the Axes.

    See Also
    --------
    ExemplarsDisplay.from_estimator : Draw members of the clusters that a clusterer finds in X.
    ClusterSamplesDisplay : Samples of the model instead.

    Examples
    --------
    >>> from skgmvae.plotting import ExemplarsDisplay
    >>> rows = X[[[0, 1], [50, 51], [100, 101]]]
    >>> display = ExemplarsDisplay(rows, cluster_counts=[50, 50, 50]).plot()
    >>> display.ax_.get_title()
    'most certain members, and the least certain dashed'
    """

    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        rows: NDArray[Any],
        *,
        cluster_counts: Sequence[int] | NDArray[np.intp],
        image_shape: Sequence[int] | None = None,
        feature_names: ArrayLike | None = None,
        cmap: str | Colormap = "gray_r",
    ) -> None:
        self.rows = rows
        self.cluster_counts = cluster_counts
        self.image_shape = image_shape
        self.feature_names = feature_names
        self.cmap = cmap

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_exemplars: int = 5,
        image_shape: Sequence[int] | None = None,
        cmap: str | Colormap = "gray_r",
        ax: Axes | None = None,
    ) -> Self:
        """Draw members of the clusters that a fitted clusterer finds in X, by their log-odds.

        Parameters
        ----------
        estimator : GMVAEClustering, Pipeline or search
            Fitted; a pipeline or a search that ends in a GMVAEClustering. The rows are drawn in
            the units that this last step sees, after all the steps before it.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that the estimator takes.
        n_exemplars : int, default=5
            Number of the most certain members of each cluster, and of the least certain ones. A
            member is shown once.
        image_shape : tuple of int, default=None
            (height, width) or (height, width, channels) of a row as an image. ``None`` is that of
            the clusterer; if it has none, profiles are drawn.
        cmap : str or Colormap, default="gray_r"
            Colormap of images that are neither RGB nor RGBA.
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : ExemplarsDisplay
            The display, which is drawn.

        Raises
        ------
        TypeError
            If the estimator is not, and does not end in, a GMVAEClustering, or `n_exemplars` is not
            an integer.
        NotFittedError
            If it is not fitted.
        ValueError
            If it does not take X, `n_exemplars` is not positive, or `image_shape` has another
            number of values than a row.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skgmvae.plotting import ExemplarsDisplay
        >>> ExemplarsDisplay.from_estimator(clusterer, X, n_exemplars=3).rows.shape
        (3, 6, 4)
        """
        step = last_step(estimator, "decision_function", "image_shape", "cluster_centers_")
        check_scalar(n_exemplars, "n_exemplars", Integral, min_val=1)
        seen, clusterer = step.transform(X), step.clusterer
        log_odds = np.asarray(clusterer.decision_function(seen))
        labels = log_odds.argmax(1)
        data = step.numbers(seen)
        n_clusters = log_odds.shape[1]
        rows = np.full((n_clusters, 2 * n_exemplars, data.shape[1]), np.nan)
        for k in range(n_clusters):
            members = np.flatnonzero(labels == k)
            members = members[np.argsort(-log_odds[members, k], kind="stable")]
            most, least = members[:n_exemplars], members[n_exemplars:][-n_exemplars:]
            rows[k, : len(most)] = _dense(data[most])
            rows[k, n_exemplars : n_exemplars + len(least)] = _dense(data[least])
        return cls(
            rows,
            cluster_counts=np.bincount(labels, minlength=n_clusters),
            image_shape=clusterer.image_shape if image_shape is None else image_shape,
            feature_names=step.feature_names(rows.shape[-1]),
            cmap=cmap,
        ).plot(ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        image_shape: Sequence[int] | None = None,
        cmap: str | Colormap | None = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.
        image_shape : tuple of int, default=None
            (height, width) or (height, width, channels) of a row as an image. ``None`` is what the
            display was made with.
        cmap : str or Colormap, default=None
            Colormap of images without colors. ``None`` is what the display was made with.

        Returns
        -------
        display : ExemplarsDisplay
            The display itself.

        Raises
        ------
        ValueError
            If rows have another number of values than images of `image_shape`.
        ImportError
            If matplotlib is not installed.
        """
        image_shape = self.image_shape if image_shape is None else image_shape
        cmap = self.cmap if cmap is None else cmap
        n_exemplars = self.rows.shape[1] // 2
        if image_shape is None:
            linestyles = ["-"] * n_exemplars + ["--"] * n_exemplars
            ax = draw_profiles(
                ax, self.rows, self.cluster_counts, linestyles, self.feature_names
            )
            ax.set_title("most certain members, and the least certain dashed", fontsize=9)
        else:
            ax = draw_images(ax, self.rows, self.cluster_counts, image_shape, cmap)
            ax.axvline(n_exemplars - 0.5, color="0.3", linewidth=1)
            middle = (n_exemplars - 1) / 2
            ax.set_xticks(
                [middle, n_exemplars + middle], ["most\ncertain", "least\ncertain"], fontsize=8
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _dense(rows: Any) -> NDArray[Any]:
    return np.asarray(rows.toarray() if sparse.issparse(rows) else rows)
