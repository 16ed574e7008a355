"""Rows that the model makes of each cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._last_step import last_step
from ._mosaic import draw_images, draw_profiles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

__all__ = ["ClusterSamplesDisplay"]


class ClusterSamplesDisplay:
    """Rows sampled from each component, a line of them for each cluster.

    Images share one scale, from the least value of all to the greatest. Profiles are lines across
    the features, each of which is scaled from its least to its greatest value.

    Parameters
    ----------
    rows : ndarray of shape (n_clusters, n_samples, n_features)
        The samples.
    cluster_counts : array-like of shape (n_clusters,)
        Number of training rows in each cluster, which labels it.
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
    ClusterSamplesDisplay.from_estimator : Draw samples of a fitted clusterer.
    ExemplarsDisplay : Rows of the data instead.

    Examples
    --------
    >>> from skgmvae.plotting import ClusterSamplesDisplay
    >>> rows, _ = clusterer.sample(6, cluster=[0, 0, 1, 1, 2, 2])
    >>> display = ClusterSamplesDisplay(
    ...     rows.reshape(3, 2, 4), cluster_counts=clusterer.cluster_counts_
    ... )
    >>> len(display.plot(image_shape=(2, 2)).ax_.images)
    6
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
        *,
        n_samples: int = 10,
        w: ArrayLike | None = None,
        observation_noise: bool = False,
        image_shape: Sequence[int] | None = None,
        cmap: str | Colormap = "gray_r",
        ax: Axes | None = None,
    ) -> Self:
        """Draw samples of a fitted clusterer.

        Parameters
        ----------
        estimator : GMVAEClustering, Pipeline or search
            Fitted; a pipeline or a search that ends in a GMVAEClustering. The samples are in the
            units that this last step was fitted to, after all the steps before it.
        n_samples : int, default=10
            Number of samples for each cluster.
        w : array-like of shape (style_dim,) or (n_samples, style_dim), default=None
            The style of all samples, or of each column. ``None`` does without a style, as
            `sample` does.
        observation_noise : bool, default=False
            Whether the samples are draws from p(y|x) rather than its means.
        image_shape : tuple of int, default=None
            (height, width) or (height, width, channels) of a row as an image. ``None`` is that of
            the clusterer; if it has none, profiles are drawn.
        cmap : str or Colormap, default="gray_r"
            Colormap of images that are neither RGB nor RGBA.
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : ClusterSamplesDisplay
            The display, which is drawn.

        Raises
        ------
        TypeError
            If the estimator is not, and does not end in, a GMVAEClustering, or `n_samples` is not
            an integer.
        NotFittedError
            If it is not fitted.
        ValueError
            If `n_samples` is not positive, or `w` or `image_shape` has another shape.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skgmvae.plotting import ClusterSamplesDisplay
        >>> ClusterSamplesDisplay.from_estimator(clusterer, n_samples=5).rows.shape
        (3, 5, 4)
        """
        step = last_step(
            estimator, "sample", "image_shape", "cluster_centers_", "cluster_counts_"
        )
        clusterer = step.clusterer
        n_clusters = len(clusterer.cluster_centers_)
        if w is not None and np.ndim(w) == 2:
            w = np.asarray(w)
            if len(w) != n_samples:
                raise ValueError(
                    f"w has {len(w)} styles: pass one for each of n_samples={n_samples} columns, "
                    "or one for all."
                )
            w = np.tile(w, (n_clusters, 1))
        rows, _ = clusterer.sample(
            n_clusters * n_samples, np.repeat(np.arange(n_clusters), n_samples), w,
            observation_noise=observation_noise,
        )
        rows = step.numbers(rows).reshape(n_clusters, n_samples, -1)
        return cls(
            rows,
            cluster_counts=clusterer.cluster_counts_,
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
        display : ClusterSamplesDisplay
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
        if image_shape is None:
            linestyles = ["-"] * self.rows.shape[1]
            ax = draw_profiles(
                ax, self.rows, self.cluster_counts, linestyles, self.feature_names
            )
        else:
            ax = draw_images(ax, self.rows, self.cluster_counts, image_shape, cmap)
        self.ax_, self.figure_ = ax, ax.figure
        return self
