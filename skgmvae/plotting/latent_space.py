"""Rows and components in the latent space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._axes import CROWDED, cluster_colors, label_ticks, make_axes
from ._last_step import last_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

__all__ = ["LatentSpaceDisplay"]


class PointArea(NamedTuple):
    """The area of a point, which falls with the number of rows; chosen by eye on 150 to 70,000.

    Attributes
    ----------
    total : float
        Of all points together, in square points of print.
    smallest, largest : float
        Of one point.
    """

    total: float = 10_000.0
    smallest: float = 3.0
    largest: float = 20.0

    def of(self, n_samples: int) -> float:
        """Return the area of each of `n_samples` points."""
        return float(np.clip(self.total / n_samples, self.smallest, self.largest))


POINT_AREA = PointArea()


class LatentSpaceDisplay:
    """Rows in a plane of the latent space, and the components as ellipses.

    The plane is spanned by the first two principal components of the rows' latent means. A latent
    space of two dimensions is drawn as it is, and one of one dimension with a line for each
    cluster. An ellipse is one standard deviation of
    p(x|z), the normal distribution that the fitted model has for each component; with the paper's
    objective, of p(x|w=0, z).

    Parameters
    ----------
    latent : ndarray of shape (n_samples, latent_dim)
        Means of q(x|y).
    labels : ndarray of shape (n_samples,)
        Component of each row.
    means : ndarray of shape (n_clusters, latent_dim)
        Mean of each component.
    covariances : ndarray of shape (n_clusters, latent_dim, latent_dim)
        Covariance of each component.
    cmap : str or Colormap, default=None
        Colors of the clusters. ``None`` gives each a color unlike its neighbors'.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the points and the ellipses.
    figure_ : matplotlib Figure
        Containing the Axes.

    See Also
    --------
    LatentSpaceDisplay.from_estimator : Draw the rows of X as a fitted clusterer sees them.

    Examples
    --------
    >>> from skgmvae.plotting import LatentSpaceDisplay
    >>> means, covariances = clusterer.latent_components()
    >>> display = LatentSpaceDisplay(
    ...     clusterer.transform(X), clusterer.predict(X), means, covariances
    ... )
    >>> len(display.plot(cmap="viridis").ax_.patches)
    3
    """

    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        latent: NDArray[Any],
        labels: NDArray[np.intp],
        means: NDArray[Any],
        covariances: NDArray[Any],
        *,
        cmap: str | Colormap | None = None,
    ) -> None:
        self.latent = latent
        self.labels = labels
        self.means = means
        self.covariances = covariances
        self.cmap = cmap

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        cmap: str | Colormap | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the rows of X as a fitted clusterer sees them.

        Parameters
        ----------
        estimator : GMVAEClustering, Pipeline or search
            Fitted; a pipeline or a search that ends in a GMVAEClustering.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that the estimator takes.
        cmap : str or Colormap, default=None
            Colors of the clusters. ``None`` gives each a color unlike its neighbors'.
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : LatentSpaceDisplay
            The display, which is drawn.

        Raises
        ------
        TypeError
            If the estimator is not, and does not end in, a GMVAEClustering.
        NotFittedError
            If it is not fitted.
        ValueError
            If it does not take X, or `cmap` is not known.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skgmvae.plotting import LatentSpaceDisplay
        >>> LatentSpaceDisplay.from_estimator(clusterer, X).ax_.get_xlabel()
        'principal component 1'
        """
        step = last_step(estimator, "transform", "predict", "latent_components")
        seen, clusterer = step.transform(X), step.clusterer
        labels = clusterer.predict(seen)
        latent = np.asarray(clusterer.transform(seen))
        return cls(latent, labels, *clusterer.latent_components(), cmap=cmap).plot(ax)

    def plot(self, ax: Axes | None = None, *, cmap: str | Colormap | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.
        cmap : str or Colormap, default=None
            Colors of the clusters. ``None`` takes those that the display was made with.

        Returns
        -------
        display : LatentSpaceDisplay
            The display itself.

        Raises
        ------
        ValueError
            If `cmap` is not known.
        ImportError
            If matplotlib is not installed.
        """
        n_clusters, latent_dim = self.means.shape
        crowded = n_clusters > CROWDED.n_clusters
        ax = make_axes(ax, (10, 10) if crowded else (6, 6))
        from matplotlib.patches import Ellipse

        origin, plane = _plane(self.latent)
        points, centers = (self.latent - origin) @ plane.T, (self.means - origin) @ plane.T
        if latent_dim == 1:
            points[:, 1], centers[:, 1] = self.labels, np.arange(n_clusters)
        colors = cluster_colors(n_clusters, self.cmap if cmap is None else cmap)
        ax.scatter(
            points[:, 0], points[:, 1], c=colors[self.labels], s=POINT_AREA.of(len(points)),
            alpha=0.6, linewidths=0, rasterized=True,
        )
        for k, center in enumerate(centers):
            lengths, axes = np.linalg.eigh(plane @ self.covariances[k] @ plane.T)
            height, width = 2 * np.sqrt(np.maximum(lengths, 0))
            ax.add_patch(Ellipse(
                tuple(center), width, height, angle=np.degrees(np.arctan2(axes[1, 1], axes[0, 1])),
                fill=False, edgecolor=colors[k], linewidth=0.5 if crowded else 1.5,
            ))
            ax.annotate(
                str(k), tuple(center), ha="center", va="center", fontsize=6 if crowded else 9,
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": colors[k], "alpha": 0.8},
            )
        axis = "latent dimension" if latent_dim <= 2 else "principal component"
        ax.set(xlabel=f"{axis} 1", ylabel="cluster" if latent_dim == 1 else f"{axis} 2")
        if latent_dim == 1:
            label_ticks(ax.yaxis, range(n_clusters))
            ax.set_ylim(-0.5, n_clusters - 0.5)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _plane(latent: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the origin (latent_dim,) and the two axes (2, latent_dim) of the plane drawn."""
    latent_dim = latent.shape[1]
    if latent_dim <= 2:
        return np.zeros(latent_dim), np.eye(2, latent_dim)
    # eigenvectors of the covariance, not PCA, which refuses a single row
    _, vectors = np.linalg.eigh(np.cov(latent.T, bias=True))
    return latent.mean(0), vectors[:, :-3:-1].T
