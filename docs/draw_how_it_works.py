"""Draw the pictures of docs/how_it_works.md: one data set in the plane, from rows to a density.

All of them show one fit. What `fit` does not return, the candidates of the initial partition and
the networks while they are trained, is noted down as the functions that make it are called. Run
this after a change of what they do: ``python docs/draw_how_it_works.py``.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from sklearn.datasets import make_moons
from sklearn.metrics import confusion_matrix

from skgmvae import GMVAEClustering
from skgmvae._rows import Copies

FOLDER = Path(__file__).parent / "images"
COLORS = np.array([to_rgb(color) for color in ("#1f6fb4", "#e07b00", "#2b9457")])
EPOCHS = 1, 3, 10, 30, 100, 400  # after which the latent space is drawn
BOX = (-1.45, 3.75), (-0.85, 1.7)  # of the plane: from left to right, from bottom to top
N_DRAWS = 400  # of which densities are estimated
DOT = {"s": 9, "linewidth": 0}


def moons_and_disc() -> np.ndarray:
    """Return 950 rows in the plane: two moons, and a disc that touches one of them."""
    moons, _ = make_moons(700, noise=0.09, random_state=3)
    disc = np.random.default_rng(3).normal((2.75, 0.62), (0.22, 0.3), (250, 2))
    return np.concatenate([moons, disc])


@contextmanager
def noted(path: str, note: Callable[..., Any]) -> Iterator[list[Any]]:
    """Note down what `note` makes of the result and the arguments of each call of a function."""
    module, name = path.rsplit(".", 1)
    function, notes = getattr(import_module(module), name), []

    def call(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        notes.append(note(result, *args))
        return result

    with patch(path, call):
        yield notes


@torch.no_grad()
def latent_space(_, step: Any, batches: Any, *others: Any) -> list[np.ndarray]:
    """Return the rows in the latent space, and means and deviations of the components."""
    model = copy.deepcopy(step.objective.model).eval()
    p_x, q_x = model.typical_p_x(), model.q(batches.rows.matrix()).q_x
    return [tensor.numpy() for tensor in (q_x.mean, p_x.mean, p_x.stddev)]


def watched_fit(X: np.ndarray) -> tuple[GMVAEClustering, Any, list[Any], list[Any]]:
    """Return a clusterer, the graph, the candidates with their scores, and each epoch's end."""
    clusterer = GMVAEClustering(3, max_iter=EPOCHS[-1], n_iter_no_change=400, random_state=0)
    start = "skgmvae._start.selection."
    with (
        noted(start + "graph_candidates", lambda _, graph, *others: graph.tocoo()) as graphs,
        noted(start + "partition_score", lambda score, labels, *_: (score, labels)) as candidates,
        noted("skgmvae._fit.pseudo_labels.regularizer_inputs", lambda inputs, *_: inputs) as inputs,
        noted("skgmvae._training.loop.run_epoch", latent_space) as epochs,
    ):
        clusterer.fit(X)
    return clusterer, graphs[0], candidates, inputs[0], epochs


def blended(probabilities: np.ndarray, certainty: float = 1.0) -> np.ndarray:
    """Return the clusters' colors, mixed by their probabilities, and paler the less certain."""
    return 1 - certainty * (1 - probabilities @ COLORS)


def alike(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Return for each of the labels the cluster that most of its rows are in."""
    return linear_sum_assignment(confusion_matrix(labels, clusters), maximize=True)[1]


def new_figure(n_rows: int, n_columns: int, width: float = 7.5) -> tuple[Any, np.ndarray]:
    """Return a figure with panels of the plane that have the same scale."""
    (left, right), (bottom, top) = BOX
    height = width / n_columns * (top - bottom) / (right - left) + 0.3
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(width, n_rows * height), squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.set(xlim=BOX[0], ylim=BOX[1], xticks=[], yticks=[], aspect="equal")
    return figure, axes


def save(figure: Any, name: str) -> None:
    """Write a picture of 96 colors, which take a third of the space."""
    path = FOLDER / f"how_{name}.png"
    figure.savefig(path, dpi=120)
    Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)
    plt.close(figure)


def draw_data(X: np.ndarray) -> None:
    """Draw the rows, of which nothing else is known."""
    figure, axes = new_figure(1, 1, 5.5)
    axes[0, 0].scatter(*X.T, color="0.35", **DOT)
    axes[0, 0].set_title("950 rows of two columns, no labels", fontsize=12)
    save(figure, "data")


def draw_candidates(
    X: np.ndarray, clusters: np.ndarray, graph: Any, candidates: list[Any]
) -> None:
    """Draw the neighbor graph, and three of the partitions that were compared."""
    figure, axes = new_figure(2, 2)
    ax, *others = axes.flat
    once = graph.row < graph.col
    segments = X[np.stack([graph.row[once], graph.col[once]], 1)]
    ax.add_collection(LineCollection(segments, colors="0.55", linewidths=0.4))
    ax.scatter(*X.T, color="0.2", s=3, linewidth=0)
    ax.set_title("Each row joined to its 10 nearest neighbors", fontsize=12)
    of_graph, *of_tree = candidates  # in this order
    shown = of_graph, min(of_tree, key=itemgetter(0)), max(of_tree, key=itemgetter(0))
    names = "A cut of the graph", "A cut of its spanning tree", "A third cut, the best"
    for ax, (score, labels), name in zip(others, shown, names, strict=True):
        ax.scatter(*X.T, color=COLORS[alike(labels, clusters)[labels]], **DOT)
        ax.set_title(f"{name}: score {score:.2f}", fontsize=12)
    save(figure, "candidates")


def draw_start(X: np.ndarray, pseudo_labels: np.ndarray) -> None:
    """Draw the rows by their probabilities in the initial partition."""
    figure, axes = new_figure(1, 1, 5.5)
    ax, uncertain = axes[0, 0], pseudo_labels.max(1) < 1
    ax.scatter(*X.T, color=blended(pseudo_labels), **DOT)
    ax.scatter(*X[uncertain].T, s=30, facecolor="none", edgecolor="black", linewidth=0.7)
    ax.set_title(
        f"{uncertain.sum()} rows (circles) have neighbors of another cluster", fontsize=12
    )
    save(figure, "start")


def ellipse(mean: np.ndarray, covariance: np.ndarray, color: np.ndarray) -> Ellipse:
    """Return the ellipse of two standard deviations of a normal distribution in the plane."""
    variances, axes = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))
    return Ellipse(
        mean, *(4 * np.sqrt(variances)), angle=angle, fill=False, edgecolor=color, linewidth=2
    )


def draw_latent_space(clusters: np.ndarray, numbers: np.ndarray, epochs: list[Any]) -> None:
    """Draw the rows and the components, as wide as two standard deviations, after some epochs."""
    last, *_ = epochs[EPOCHS[-1] - 1]
    _, _, directions = np.linalg.svd(last - last.mean(0), full_matrices=False)
    plane = directions[:2].T  # of the largest variance at the end
    figure, axes = plt.subplots(2, 3, figsize=(7.5, 5.8), layout="constrained")
    for ax, epoch in zip(axes.flat, EPOCHS, strict=True):
        latent, means, deviations = epochs[epoch - 1]
        ax.scatter(*(latent @ plane).T, color=COLORS[clusters], alpha=0.6, **DOT)
        for number, mean, deviation in zip(numbers, means @ plane, deviations, strict=True):
            ax.add_patch(ellipse(mean, (plane.T * deviation**2) @ plane, COLORS[number]))
        ax.set(xticks=[], yticks=[], aspect="equal", box_aspect=1)
        ax.margins(0.12)
        ax.set_title(f"after {epoch} epoch{'s' * (epoch > 1)}", fontsize=12)
    figure.suptitle(
        "The latent space: rows in the colors of their clusters, components as ellipses",
        fontsize=12,
    )
    save(figure, "latent_space")


def grid(n_columns: int) -> tuple[np.ndarray, tuple[int, int], tuple[float, ...]]:
    """Return points all over the plane, the shape of their grid, and what it covers."""
    x, y = np.linspace(*BOX[0], n_columns), np.linspace(*BOX[1], n_columns // 2)
    points = np.stack(np.meshgrid(x, y), -1)
    return points.reshape(-1, 2), points.shape[:2], (*BOX[0], *BOX[1])


def draw_probabilities(X: np.ndarray, clusterer: GMVAEClustering) -> None:
    """Draw which cluster is probable where, and how much so."""
    points, shape, extent = grid(320)
    probabilities = clusterer.predict_proba(points)
    largest = probabilities.max(1)
    figure, axes = new_figure(1, 1, 6.5)
    ax = axes[0, 0]
    colors = blended(probabilities, 0.15 + 0.5 * largest[:, None] ** 4)
    ax.imshow(colors.reshape(*shape, 3), origin="lower", extent=extent)
    lines = ax.contour(
        largest.reshape(shape), [0.7, 0.95], extent=extent, colors="0.25", linewidths=0.8
    )
    ax.clabel(lines, fmt=lambda value: f"{value:.2f}"[1:], fontsize=8)
    ax.scatter(*X.T, color="0.15", s=3, linewidth=0)
    ax.set_title("Colors: the most probable cluster. Lines: its probability", fontsize=12)
    save(figure, "probabilities")


def draw_samples(X: np.ndarray, clusterer: GMVAEClustering) -> None:
    """Draw the rows and as many samples."""
    figure, axes = new_figure(1, 2)
    samples, labels = clusterer.sample(len(X))
    for ax, name, rows, of_rows in (
        (axes[0, 0], "The 950 rows", X, clusterer.labels_),
        (axes[0, 1], "950 new rows that the model draws", samples, labels),
    ):
        ax.scatter(*rows.T, color=COLORS[of_rows], **DOT)
        ax.set_title(name, fontsize=12)
    save(figure, "samples")


def draw_density(X: np.ndarray, clusterer: GMVAEClustering) -> None:
    """Draw the log-density of points all over the plane."""
    points, shape, extent = grid(130)
    density = clusterer.score_samples(points, n_draws=N_DRAWS).reshape(shape)
    figure, axes = new_figure(1, 1, 6.5)
    ax = axes[0, 0]
    image = ax.imshow(density, origin="lower", extent=extent, cmap="Blues", vmin=-8, vmax=0,
                      interpolation="bicubic")
    rare = np.quantile(clusterer.score_samples(X, n_draws=N_DRAWS), 0.01)
    smooth = gaussian_filter(density, 1.5)  # the estimate is noisy where rows are rare
    ax.contour(smooth, [rare], extent=extent, colors="#b2182b", linestyles="solid")
    ax.scatter(*X.T, color="0.15", s=3, linewidth=0)
    figure.colorbar(image, ax=ax, label="log-density, nats", extend="both", shrink=0.9)
    ax.set_title("One row in a hundred lies outside of the red line", fontsize=12)
    save(figure, "density")


def main() -> None:
    """Draw all pictures."""
    X = moons_and_disc()
    X = X[Copies.of(X).order]  # as a fit takes them: what is noted down of it is in this order
    clusterer, graph, candidates, inputs, epochs = watched_fit(X)
    clusters, pseudo_labels = clusterer.labels_, inputs.pseudo_labels.toarray()
    draw_data(X)
    draw_candidates(X, clusters, graph, candidates)
    numbers = alike(pseudo_labels.argmax(1), clusters)  # after the fit, of the components
    draw_start(X, pseudo_labels[:, numbers.argsort()])
    draw_latent_space(clusters, numbers, epochs)
    draw_probabilities(X, clusterer)
    draw_samples(X, clusterer)
    draw_density(X, clusterer)


if __name__ == "__main__":
    main()
