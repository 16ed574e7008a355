"""Clusters against known labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics.cluster import contingency_matrix

from ..metrics import check_lengths, encode_labels
from ._axes import label_ticks, make_axes
from ._last_step import last_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

__all__ = ["ClusterMatrixDisplay"]


class CellNumbers(NamedTuple):
    """Counts are printed into the cells of a small matrix; a large one has a colorbar instead.

    Chosen by eye, on matrices of 3 x 2 to 200 x 200, with counts of one to four digits.

    Attributes
    ----------
    max_cells : int
        The most cells that are numbered.
    max_side : int
        The most rows, and the most columns, of a matrix that is numbered.
    dark : float
        Luminance, from 0 to 1, of a cell below which its number is white.
    """

    max_cells: int = 400
    max_side: int = 40
    dark: float = 0.5


NUMBERS = CellNumbers()


class ClusterMatrixDisplay:
    """Clusters against known labels: how many rows of each label are in each cluster.

    Parameters
    ----------
    matrix : ndarray of shape (n_labels, n_clusters)
        Number of rows with each label in each cluster.
    labels : array-like of shape (n_labels,)
        The labels, as they are printed.
    clusters : array-like of shape (n_clusters,)
        The clusters, as they are printed.
    cmap : str or Colormap, default="Blues"
        Colormap of the cells, from 0 to the largest count.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the matrix.
    figure_ : matplotlib Figure
        Containing the Axes.

    See Also
    --------
    ClusterMatrixDisplay.from_estimator : Draw the clusters that a clusterer finds in X.
    ClusterMatrixDisplay.from_predictions : Draw clusters that are known already.
    sklearn.metrics.ConfusionMatrixDisplay : Of predictions that are labels.

    Examples
    --------
    >>> import numpy as np
    >>> from skgmvae.plotting import ClusterMatrixDisplay
    >>> display = ClusterMatrixDisplay(np.array([[2, 0], [0, 1]]), ["a", "b"], [1, 0])
    >>> [text.get_text() for text in display.plot(cmap="Greens").ax_.texts]
    ['2', '1']
    """

    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self,
        matrix: NDArray[np.int64],
        labels: Sequence[Any] | NDArray[Any],
        clusters: Sequence[Any] | NDArray[Any],
        *,
        cmap: str | Colormap = "Blues",
    ) -> None:
        self.matrix = matrix
        self.labels = labels
        self.clusters = clusters
        self.cmap = cmap

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        cmap: str | Colormap = "Blues",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the clusters that a fitted clusterer finds in X against the labels y.

        Parameters
        ----------
        estimator : GMVAEClustering, Pipeline or search
            Fitted; a pipeline or a search that ends in a GMVAEClustering.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows that the estimator takes.
        y : array-like of shape (n_samples,)
            Their labels.
        cmap : str or Colormap, default="Blues"
            Colormap of the cells, from 0 to the largest count.
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : ClusterMatrixDisplay
            Clusters are in the order of the label that most of their rows have.

        Raises
        ------
        TypeError
            If the estimator has no `predict`, or labels are of mixed types.
        NotFittedError
            If it is not fitted.
        ValueError
            If it does not take X, y has another length or missing labels, or `cmap` is not known.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skgmvae.plotting import ClusterMatrixDisplay
        >>> display = ClusterMatrixDisplay.from_estimator(clusterer, X, y)
        >>> int(display.matrix.sum())
        150
        """
        step = last_step(estimator, "predict")
        labels = step.clusterer.predict(step.transform(X))
        _, label_of_row = encode_labels(y, "y", "X")
        check_lengths(len(label_of_row), "y", len(labels), "X")
        return cls.from_predictions(y, labels, cmap=cmap, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        cmap: str | Colormap = "Blues",
        ax: Axes | None = None,
    ) -> Self:
        """Draw clusters against labels.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Known labels.
        y_pred : array-like of shape (n_samples,)
            Clusters.
        cmap : str or Colormap, default="Blues"
            Colormap of the cells, from 0 to the largest count.
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : ClusterMatrixDisplay
            Clusters are in the order of the label that most of their rows have.

        Raises
        ------
        ValueError, TypeError
            If the two have different lengths, labels are missing (NaN, None) or of mixed types.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skgmvae.plotting import ClusterMatrixDisplay
        >>> ClusterMatrixDisplay.from_predictions(["a", "a", "b"], [1, 1, 0]).matrix
        array([[2, 0],
               [0, 1]])
        """
        labels, label_of_row = encode_labels(y_true, "y_true", "y_pred")
        clusters, cluster_of_row = encode_labels(y_pred, "y_pred", "y_true")
        check_lengths(len(label_of_row), "y_true", len(cluster_of_row), "y_pred")
        matrix = contingency_matrix(label_of_row, cluster_of_row)
        order = np.lexsort((-matrix.max(0), matrix.argmax(0)))
        return cls(matrix[:, order], labels, clusters[order], cmap=cmap).plot(ax)

    def plot(self, ax: Axes | None = None, *, cmap: str | Colormap | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.
        cmap : str or Colormap, default=None
            Colormap of the cells. ``None`` is what the display was made with.

        Returns
        -------
        display : ClusterMatrixDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        n_labels, n_clusters = self.matrix.shape
        ax = make_axes(ax, (2 + 0.45 * min(n_clusters, 25), 1.5 + 0.4 * min(n_labels, 25)))
        image = ax.imshow(
            self.matrix, cmap=self.cmap if cmap is None else cmap, vmin=0, aspect="auto"
        )
        if self.matrix.size <= NUMBERS.max_cells and max(self.matrix.shape) <= NUMBERS.max_side:
            luminance = image.to_rgba(self.matrix)[..., :3] @ (0.299, 0.587, 0.114)
            for i, j in np.argwhere(self.matrix):
                ax.text(
                    j, i, str(self.matrix[i, j]), ha="center", va="center", fontsize=7,
                    color="white" if luminance[i, j] < NUMBERS.dark else "black",
                )
        else:
            ax.figure.colorbar(image, ax=ax, label="rows")
        label_ticks(ax.xaxis, self.clusters)
        label_ticks(ax.yaxis, self.labels)
        ax.set(xlabel="cluster", ylabel="label")
        self.ax_, self.figure_ = ax, ax.figure
        return self
