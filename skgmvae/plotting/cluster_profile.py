"""Which features set a cluster apart."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_scalar

from ._axes import label_ticks, make_axes
from ._last_step import last_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

__all__ = ["ClusterProfileDisplay"]


class ProfileLayout(NamedTuple):
    """Inches of a new figure, chosen by eye on 2 to 50 clusters, and names of 1 to 28 letters.

    Attributes
    ----------
    beside, above : float
        For the tick labels and the colorbar, and for the margins.
    column, row : float
        Of a feature's column and of a cluster's row.
    min_table : float
        Height of a table of few clusters.
    letter : float
        Height that a letter of the longest name takes below the table.
    """

    beside: float = 2.0
    above: float = 0.6
    column: float = 0.4
    row: float = 0.25
    min_table: float = 2.2
    letter: float = 0.07

    def figsize(self, n_clusters: int, names: NDArray[Any]) -> tuple[float, float]:
        """Return the width and the height of a figure with columns of these names."""
        table = max(self.min_table, self.row * n_clusters)
        longest = max(len(str(name)) for name in names)
        return self.beside + self.column * len(names), self.above + table + self.letter * longest


LAYOUT = ProfileLayout()


class ClusterProfileDisplay:
    """Which features set a cluster apart: a table of deviations from the mean of all rows.

    Clusters without rows are gray.

    Parameters
    ----------
    deviations : ndarray of shape (n_clusters, n_features)
        Mean of the cluster less the mean of all rows, in standard deviations of the feature over
        all rows; NaN for a cluster without rows.
    feature_names : array-like of shape (n_features,)
        Names of the features.
    n_features : int, default=20
        Number of features drawn: those that deviate most in any cluster.
    cmap : str or Colormap, default="RdBu_r"
        A diverging colormap; its middle is no deviation.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the table.
    figure_ : matplotlib Figure
        Containing the Axes.

    See Also
    --------
    ClusterProfileDisplay.from_estimator : Draw the profiles of the clusters that a clusterer
        finds in X.

    Examples
    --------
    >>> from skgmvae.plotting import ClusterProfileDisplay
    >>> deviations = (clusterer.cluster_centers_ - X.mean(axis=0)) / X.std(axis=0)
    >>> display = ClusterProfileDisplay(deviations, ["sepal", "width", "petal", "its width"])
    >>> len(display.plot(n_features=2).ax_.get_xticklabels())
    2
    """

    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        deviations: NDArray[Any],
        feature_names: ArrayLike,
        *,
        n_features: int = 20,
        cmap: str | Colormap = "RdBu_r",
    ) -> None:
        self.deviations = deviations
        self.feature_names = feature_names
        self.n_features = n_features
        self.cmap = cmap

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_features: int = 20,
        cmap: str | Colormap = "RdBu_r",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the profiles of the clusters that a fitted clusterer finds in X.

        Parameters
        ----------
        estimator : GMVAEClustering, Pipeline or search
            Fitted; a pipeline or a search that ends in a GMVAEClustering. The features are those
            that this last step sees, after all the steps before it.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that the estimator takes.
        n_features : int, default=20
            Number of features drawn: those that deviate most in any cluster.
        cmap : str or Colormap, default="RdBu_r"
            A diverging colormap; its middle is no deviation.
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : ClusterProfileDisplay
            The display, which is drawn.

        Raises
        ------
        TypeError
            If the estimator has no `predict` or no `cluster_centers_`, or `n_features` is not an
            integer.
        NotFittedError
            If it is not fitted.
        ValueError
            If it does not take X, `n_features` is not positive, or `cmap` is not known.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skgmvae.plotting import ClusterProfileDisplay
        >>> ClusterProfileDisplay.from_estimator(clusterer, X).deviations.shape
        (3, 4)
        """
        step = last_step(estimator, "predict", "cluster_centers_")
        seen = step.transform(X)
        labels = step.clusterer.predict(seen)
        rows = step.numbers(seen)
        # knows which columns are constant up to rounding: their scale is 1
        scaler = _scaler_of(rows)
        deviations = np.full((len(step.clusterer.cluster_centers_), rows.shape[1]), np.nan)
        for k in np.unique(labels):
            deviations[k] = (_scaler_of(rows[labels == k]).mean_ - scaler.mean_) / scaler.scale_
        names = step.feature_names(rows.shape[1])
        return cls(deviations, names, n_features=n_features, cmap=cmap).plot(ax)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        n_features: int | None = None,
        cmap: str | Colormap | None = None,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.
        n_features : int, default=None
            Number of features drawn. ``None`` is what the display was made with.
        cmap : str or Colormap, default=None
            A diverging colormap. ``None`` is what the display was made with.

        Returns
        -------
        display : ClusterProfileDisplay
            The display itself.

        Raises
        ------
        ValueError, TypeError
            If `n_features` is not a positive integer, or `cmap` is not known.
        ImportError
            If matplotlib is not installed.
        """
        n_features = self.n_features if n_features is None else n_features
        check_scalar(n_features, "n_features", Integral, min_val=1)
        strength = np.nan_to_num(np.abs(self.deviations)).max(0)
        shown = np.sort(np.argsort(-strength, kind="stable")[:n_features])
        limit = float(strength.max()) or 1.0
        n_clusters = len(self.deviations)
        names = np.asarray(self.feature_names)[shown]
        ax = make_axes(ax, LAYOUT.figsize(n_clusters, names))
        image = ax.imshow(
            self.deviations[:, shown], cmap=self.cmap if cmap is None else cmap,
            vmin=-limit, vmax=limit, aspect="auto",
        )
        ax.set_facecolor("0.8")  # shows where there is no deviation to draw
        ax.set_xticks(range(len(shown)), names, rotation=60, ha="right", parse_math=False)
        label_ticks(ax.yaxis, range(n_clusters))
        ax.set_ylabel("cluster")
        ax.figure.colorbar(image, ax=ax, label="deviation (std.)")
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _scaler_of(rows: Any) -> StandardScaler:
    """Return the mean and the scale of each column, over the values that are there."""
    with np.errstate(invalid="ignore"):  # of columns without any value
        return StandardScaler(with_mean=not sparse.issparse(rows)).fit(rows)
