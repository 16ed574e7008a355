"""The matrix counts the rows of each label in each cluster."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import tick_labels
from skgmvae.plotting import ClusterMatrixDisplay


def test_rows_are_counted_and_clusters_ordered_by_label():
    display = ClusterMatrixDisplay.from_predictions(
        ["b", "b", "b", "a", "a", "b"], [0, 0, 2, 1, 1, 1]
    )
    assert display.matrix.tolist() == [[2, 0, 0], [1, 2, 1]]
    assert display.ax_.images[0].get_array().tolist() == display.matrix.tolist()
    assert tick_labels(display.ax_.xaxis) == ["1", "0", "2"]
    assert tick_labels(display.ax_.yaxis) == ["a", "b"]
    numbers = {text.get_position(): text.get_text() for text in display.ax_.texts}
    assert numbers == {(0, 0): "2", (0, 1): "1", (1, 1): "2", (2, 1): "1"}


def test_the_clusters_are_the_estimators(clusterer, X):
    y = np.where(X[:, 0] > 0, "right", "left")
    display = ClusterMatrixDisplay.from_estimator(clusterer, X, y)
    labels = clusterer.predict(X)
    for i, label in enumerate(display.labels):
        for j, cluster in enumerate(display.clusters):
            assert display.matrix[i, j] == ((y == label) & (labels == cluster)).sum()


@pytest.mark.parametrize("cmap", ["Blues", "viridis", "gray"])
def test_numbers_can_be_read_on_their_cells(cmap):
    matrix = np.array([[1, 40], [70, 100]])
    display = ClusterMatrixDisplay(matrix, [0, 1], [0, 1], cmap=cmap).plot()
    (image,) = display.ax_.images
    weights = (0.299, 0.587, 0.114)
    for text in display.ax_.texts:
        column, row = text.get_position()
        cell = image.to_rgba(matrix)[row, column, :3] @ weights
        ink = {"white": 1.0, "black": 0.0}[text.get_color()]
        assert abs(cell - ink) > 0.4


@pytest.mark.parametrize("shape", [(60, 60), (200, 2), (2, 200)])
def test_a_large_matrix_has_a_colorbar_instead_of_numbers(shape):
    display = ClusterMatrixDisplay(np.ones(shape, int), *map(range, shape)).plot()
    assert not display.ax_.texts
    (bar,) = [axes for axes in display.figure_.axes if axes is not display.ax_]
    assert bar.get_ylabel() == "rows"


@pytest.mark.parametrize("n", [2, 50, 200])
def test_labels_of_few_and_many_do_not_overlap(n):
    display = ClusterMatrixDisplay.from_predictions(np.arange(n), np.arange(n))
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
    shown = tick_labels(display.ax_.yaxis)
    step = int(shown[1])
    assert shown == [str(label) for label in range(0, n, step)]
    assert (step == 1) == (n <= 50)


@pytest.mark.parametrize("y", [
    np.array([0.5, 1.5, 0.5]), ["a", "b", "a"], [True, False, True],
    np.array(["a", "b", "a"], dtype=object),
])
def test_labels_of_any_kind_are_counted(y):
    display = ClusterMatrixDisplay.from_predictions(y, [1, 0, 1])
    assert sorted(display.matrix.ravel()) == [0, 0, 1, 2]
    assert tick_labels(display.ax_.yaxis) == [str(label) for label in np.unique(y)]


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.newest
def test_labels_may_be_a_series(library):
    series = pytest.importorskip(library).Series(["a", "b", "a"])
    display = ClusterMatrixDisplay.from_predictions(series, [1, 0, 1])
    assert tick_labels(display.ax_.yaxis) == ["a", "b"]


def test_labels_of_another_number_of_rows_are_refused(clusterer, X):
    with pytest.raises(ValueError, match=f"y has 2 and X has {len(X)}"):
        ClusterMatrixDisplay.from_estimator(clusterer, X, [0, 1])
    with pytest.raises(ValueError, match="y_true has 2 and y_pred has 1"):
        ClusterMatrixDisplay.from_predictions([0, 1], [0])
    assert not plt.get_fignums()


def test_the_colormap_is_kept(clusterer, X):
    display = ClusterMatrixDisplay.from_estimator(clusterer, X, np.arange(60) % 2, cmap="Greens")
    assert display.ax_.images[0].get_cmap().name == "Greens"
    assert display.plot(cmap="Reds").ax_.images[0].get_cmap().name == "Reds"
    assert display.plot().ax_.images[0].get_cmap().name == "Greens"


@pytest.mark.parametrize(("y_true", "error", "message"), [
    (["a", None, "b"], ValueError, "y_true has 1 missing label"),
    ([0.0, np.nan, np.nan], ValueError, "y_true has 2 missing labels"),
    (["a", 1, "b"], TypeError, "y_true should hold labels of one type"),
])
def test_labels_that_are_missing_or_mixed_are_refused(clusterer, X, y_true, error, message):
    with pytest.raises(error, match=message):
        ClusterMatrixDisplay.from_predictions(y_true, [0, 1, 1])
    with pytest.raises(error, match=message.replace("y_true", "^y")):
        ClusterMatrixDisplay.from_estimator(clusterer, X[:3], y_true)
    assert not plt.get_fignums()
