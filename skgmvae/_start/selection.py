"""Which of the candidates becomes the initial partition; labels of the user play no part.

Candidates are cuts of the neighbor graph and of its minimum spanning tree, of which one criterion
takes the best. A Gaussian mixture comes before them where it is the right model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils import check_random_state, gen_batches

from .._rows import BLOCK_ROWS, Rows
from .candidates import OVERCLUSTERING, divided, graph_candidates, propagate_labels
from .criterion import judged_graphs, partition_score
from .dequantization import dequantized
from .graph import edge_information, neighbor_graph, separation
from .mixtures import fewer_suffice, right_mixture
from .neighbors import Neighbors, find_neighbors, in_coordinates
from .spanning_tree import tree_cuts

__all__ = ["SELECTION", "InitialPartition", "Selection", "initial_partition"]


class Selection(NamedTuple):
    """Which candidates are compared.

    Attributes
    ----------
    n_refined : int
        Balanced cuts of the graph that are refined, the best ones, to save time. Not tuned.
    min_separation : float
        Least separation of unbalanced clusters that are taken in place of balanced ones. .93-.97
        were tried.
    max_uncertainty_ratio : float
        Share of entropy that these may leave uncertain (1 - separation), as a multiple of the same
        of the balanced ones. .4-.6 were tried; it was .1-.5 where pen strokes of 5:1 to 20:1 were
        cut right, .5-1 where handwritten digits or the classes of iris were merged.
    min_separation_fewer : float
        Least separation of a partition into fewer than `n_clusters` clusters: at .96 ten blobs that
        overlap were merged to 3-7.
    max_coordinates, max_ratio_of_ranges : int, float
        So few features, of ranges that differ by no larger factor, may be coordinates of one space:
        their rows are also compared by distance there, since a unit for each feature stretches
        shapes. Chosen by hand.
    n_beginnings : int
        Candidates, the best ones, from which Gaussian mixtures are fitted. Not tuned.
    """

    n_refined: int = 6
    min_separation: float = 0.96
    max_uncertainty_ratio: float = 0.55
    min_separation_fewer: float = 0.975
    max_coordinates: int = 3
    max_ratio_of_ranges: float = 10.0
    n_beginnings: int = 3


SELECTION = Selection()


class InitialPartition(NamedTuple):
    """What a fit begins with.

    Attributes
    ----------
    probabilities : ndarray of shape (n_rows, n_clusters)
        That rows are in each cluster; identical rows have the same.
    is_mixture : bool
        Whether they are the responsibilities of a Gaussian mixture that is the right model.
    """

    probabilities: NDArray[np.float32]
    is_mixture: bool


def initial_partition(
    rows: Rows,
    neighbors: Neighbors,
    n_clusters: int,
    seed: int,
    *,
    scale: NDArray[np.float64] | None = None,
    selection: Selection = SELECTION,
) -> InitialPartition:
    """Find the partition of the rows that a fit begins with.

    Parameters
    ----------
    rows : Rows
    neighbors : Neighbors
        Of the rows.
    n_clusters : int
    seed : int
    scale : ndarray of shape (n_features,) or None
        Units of the features where they may have units of their own; None where rows are images.
    selection : Selection, default=SELECTION

    Returns
    -------
    InitialPartition
    """
    random = check_random_state(seed)
    n_found = min(n_clusters, len(neighbors.references))
    if len(neighbors.first) == n_found:  # each distinct row is a cluster
        own = np.eye(n_clusters, dtype=np.float32)[neighbors.inverse]
        return InitialPartition(own, is_mixture=False)
    if n_found == 1:
        one = np.eye(1, n_clusters, dtype=np.float32).repeat(rows.n_rows, axis=0)
        return InitialPartition(one, is_mixture=False)
    values = rows.flat()
    points = values if scale is None else dequantized(values, random)
    compared = neighbors if points is values else find_neighbors(
        Rows.of_array(points, rows.device), seed
    )
    views = [compared]
    if scale is not None and _are_coordinates(scale, selection):
        own_units = (scale / scale.max()).astype(np.float32)
        views.append(in_coordinates(compared, points[compared.first] * own_units))

    candidates = list(_candidates(views, n_found, random, selection))
    if len(candidates) > 1:
        judged = [judged_graphs(view, random) for view in views]
        of_references = points[compared.first[compared.references]]
        candidates.sort(
            key=lambda labels: partition_score(labels, judged, of_references, n_found),
            reverse=True,
        )
    whole = [labels for labels in candidates if _n_clusters(labels) == n_found]

    def of_rows(labels: NDArray[np.intp]) -> NDArray[np.intp]:
        return _labels_of_all(compared, labels, n_found)[compared.inverse]

    best, probabilities = candidates[0], None
    if scale is not None:
        beginnings = [of_rows(labels) for labels in whole[: selection.n_beginnings]]
        normal = dequantized(values, random, normal=True)
        if best is not whole[0] and not fewer_suffice(
            normal, of_rows(best), beginnings, n_found, random
        ):
            best = whole[0]
        if best is whole[0]:
            probabilities = right_mixture(normal, beginnings, n_found, random)
    is_mixture = probabilities is not None
    if probabilities is None:
        probabilities = _votes(compared, best, n_found)[compared.inverse]
    if points is not values:
        probabilities = _means_of_identical(probabilities, neighbors.inverse)
    if n_found < n_clusters:
        probabilities = np.pad(probabilities, ((0, 0), (0, n_clusters - n_found)))
    return InitialPartition(probabilities, is_mixture)


def _are_coordinates(scale: NDArray[np.float64], selection: Selection) -> bool:
    few = 1 < len(scale) <= selection.max_coordinates
    return few and bool(scale.max() < selection.max_ratio_of_ranges * scale.min())


def _candidates(
    views: list[Neighbors], n_clusters: int, random: np.random.RandomState, selection: Selection
) -> Iterator[NDArray[np.intp]]:
    """Yield the partitions of the references that are compared."""
    graph = neighbor_graph(views[0])
    if n_clusters > OVERCLUSTERING.max_subclusters:
        yield divided(graph, n_clusters, lambda part, number: _most_informative(
            part, graph_candidates(part, number, random).balanced, number, selection
        ))
    else:
        yield from _graph_cuts(graph, n_clusters, random, selection)
    for view in views:
        yield from tree_cuts(view, n_clusters)


def _graph_cuts(
    graph: csr_array, n_clusters: int, random: np.random.RandomState, selection: Selection
) -> Iterator[NDArray[np.intp]]:
    """Yield the best cut into all clusters, and one into fewer if they are well separated."""
    edges = graph.tocoo()
    found = graph_candidates(graph, n_clusters, random)

    def separation_of(labels: NDArray[np.intp]) -> float:
        return separation(edges, labels, n_clusters)

    balanced = _most_informative(graph, found.balanced, n_clusters, selection)
    unbalanced = max(found.unbalanced, key=separation_of)
    most = selection.max_uncertainty_ratio * (1 - separation_of(balanced))
    is_separated = separation_of(unbalanced) >= max(selection.min_separation, 1 - most)
    yield unbalanced if is_separated else balanced
    fewer = [labels for labels in found.fewer if _n_clusters(labels) > 1]
    separated = max(fewer, key=separation_of, default=None)
    if separated is not None and separation_of(separated) >= selection.min_separation_fewer:
        yield separated


def _n_clusters(labels: NDArray[np.intp]) -> int:
    return len(np.unique(labels))


def _most_informative(
    graph: csr_array,
    candidates: list[NDArray[np.intp]],
    n_clusters: int,
    selection: Selection,
) -> NDArray[np.intp]:
    """Return the candidate, or refined candidate, with the most information."""
    edges = graph.tocoo()

    def information(labels: NDArray[np.intp]) -> float:
        return edge_information(edges, labels, n_clusters)

    best = sorted(candidates, key=information, reverse=True)[: selection.n_refined]
    refined = [propagate_labels(graph, labels, n_clusters) for labels in best]
    return max(best + refined, key=information)


def _votes(
    neighbors: Neighbors, labels: NDArray[np.intp], n_clusters: int
) -> NDArray[np.float32]:
    """Return the shares of clusters among a row and its neighbors, (n_distinct, n_clusters).

    It has no more neighbors here than others in its cluster, which would be lost if it is small.
    """
    everyone = _labels_of_all(neighbors, labels, n_clusters)
    rows, n_others = np.arange(len(everyone)), np.bincount(labels, minlength=n_clusters) - 1
    votes = np.eye(n_clusters, dtype=np.float32)[everyone]
    for rank, column in enumerate(neighbors.nearest.T):
        asked = n_others[everyone] > rank
        votes[rows[asked], labels[column[asked]]] += 1
    votes /= votes.sum(1, keepdims=True)
    return votes


def _labels_of_all(
    neighbors: Neighbors, labels: NDArray[np.intp], n_clusters: int
) -> NDArray[np.intp]:
    """Return the labels of all distinct rows: where these are not all references, by vote."""
    nearest = neighbors.nearest
    if len(labels) == len(nearest):
        return labels
    return np.concatenate([
        _most_frequent(labels[nearest[block]], n_clusters)
        for block in gen_batches(len(nearest), BLOCK_ROWS)
    ])


def _most_frequent(labels: NDArray[np.intp], n_clusters: int) -> NDArray[np.intp]:
    """Return the most frequent of the labels (n_rows, n), the first of those as frequent."""
    rows = np.arange(len(labels))
    votes = np.zeros((len(labels), n_clusters), np.int32)
    for column in labels.T:
        votes[rows, column] += 1
    return votes.argmax(1)


def _means_of_identical(
    probabilities: NDArray[np.float32], inverse: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the mean over rows that are identical, whose noise differed."""
    total = np.zeros((inverse.max() + 1, probabilities.shape[1]))
    np.add.at(total, inverse, probabilities)
    mean: NDArray[np.float32] = (total / np.bincount(inverse)[:, None])[inverse].astype(np.float32)
    return mean
