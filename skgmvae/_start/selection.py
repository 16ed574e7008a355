"""Which of the candidates becomes the initial partition; labels of the user play no part.

Candidates are cuts of the neighbor graph and of its minimum spanning tree, of which one criterion
takes the best. A Gaussian mixture comes before them where it is the right model, and the latent
class model in tables of categories alone. Where columns have codes, such as 0 for what was not
measured, all is done once more with these taken for missing values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.mixture import GaussianMixture
from sklearn.utils import check_random_state

from .._rows import Rows
from ..runtime import one_thread
from .candidates import OVERCLUSTERING, divided, graph_candidates, propagate_labels
from .codes import Code, find_codes
from .criterion import JudgedGraph, judged_graphs, partition_score, stand_apart
from .dequantization import DEQUANTIZATION, has_few_variables
from .explanation import explaining_most
from .graph import edge_information, neighbor_graph, separation
from .latent_classes import class_probabilities, encoded_categories
from .mixtures import (
    MIXTURE_TEST,
    best_mixture,
    fewer_suffice,
    normal_scores,
    responsibilities,
)
from .neighbors import Neighbors
from .space import Space, space_of, values_of
from .spanning_tree import tree_cuts
from .votes import certain, labels_of_all, means_of_identical, neighbor_votes, of_each_row

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
    n_beginnings : int
        Candidates, the best ones, from which Gaussian mixtures are fitted. Not tuned.
    min_features : int
        So many features, or columns of few values, or no clusters are compared by what they
        explain: in the plane these are often curves, which explain nothing of their coordinates one
        by one.
    max_share_of_value : float
        Share of rows that may have one value in a column, for a diagonal mixture to be right.
        Chosen by hand. With full covariances, too, ionosphere falls from .40 to .11.
    lead_of_apart : float
        Share of what clusters that stand apart tell of the columns by which a mixture has to
        explain more: a few rows of a long tail stand apart as clusters do. It was .5 and more where
        tails were cut off raw amounts, at most .17 where curves or pen strokes were cut right.
    """

    n_refined: int = 6
    min_separation: float = 0.96
    max_uncertainty_ratio: float = 0.55
    min_separation_fewer: float = 0.975
    n_beginnings: int = 3
    min_features: int = 3
    max_share_of_value: float = 0.1
    lead_of_apart: float = 0.25


SELECTION = Selection()

#: To find the best mixture fast, whether it is right or not.
_ROUGH = MIXTURE_TEST._replace(factors=(), tol=MIXTURE_TEST.tol_of_rough)


class InitialPartition(NamedTuple):
    """What a fit begins with.

    Attributes
    ----------
    probabilities : csr_array of shape (n_rows, n_clusters)
        That rows are in each cluster; identical rows have the same. Few of a row are not 0 where
        there are many clusters.
    is_mixture : bool
        Whether they are the responsibilities of a mixture, Gaussian or of latent classes.
    """

    probabilities: csr_array
    is_mixture: bool


@one_thread()
def initial_partition(
    rows: Rows,
    neighbors: Neighbors,
    n_clusters: int,
    seed: int,
    *,
    scale: NDArray[np.float64] | None = None,
    are_images: bool = False,
    observed: Rows | None = None,
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
    are_images : bool, default=False
        Whether columns are pixels, also if they have two values.
    observed : Rows or None
        The rows before they were `completed`. A mixture is fitted to those that have all values,
        and a row's responsibilities are by the values that it has.
    selection : Selection, default=SELECTION

    Returns
    -------
    InitialPartition
    """
    random = check_random_state(seed)
    n_found = min(n_clusters, len(neighbors.references))
    if len(neighbors.first) == n_found:  # each distinct row is a cluster
        return InitialPartition(certain(neighbors.inverse, n_clusters), is_mixture=False)
    if n_found == 1:
        return InitialPartition(certain(np.zeros(rows.n_rows, np.intp), n_clusters), False)
    observed = rows if observed is None else observed
    categories = None if are_images else encoded_categories(observed)
    if categories is not None:
        probabilities = class_probabilities(categories, n_found, random)
        probabilities.resize(rows.n_rows, n_clusters)
        return InitialPartition(probabilities, is_mixture=True)

    values = None
    if scale is not None and has_few_variables(observed):
        values = values_of(rows, neighbors)

    def sought(codes: Sequence[Code] = ()) -> InitialPartition:
        space = space_of(values, neighbors, scale, observed, codes, seed, random)
        found = _sought_in(space, neighbors, n_found, random, selection)
        found.probabilities.resize(rows.n_rows, n_clusters)  # components without rows come last
        return found

    found = sought()
    if values is None:
        return found
    codes = find_codes(observed.flat() if observed.has_missing else values)
    return _explaining_most([found, sought(codes)], values, codes) if codes else found


def _explaining_most(
    partitions: list[InitialPartition],
    values: NDArray[np.float32],
    codes: Sequence[Code] = (),
    lead: float = 0.0,
) -> InitialPartition:
    """Return the partition that explains most of all columns, the first of those that do."""
    labels = [_labels(found) for found in partitions]
    return partitions[explaining_most(values, labels, codes, lead=lead)]


def _labels(partition: InitialPartition) -> NDArray[np.intp]:
    return np.asarray(partition.probabilities.argmax(1)).ravel()


def _sought_in(
    space: Space,
    neighbors: Neighbors,
    n_found: int,
    random: np.random.RandomState,
    selection: Selection,
) -> InitialPartition:
    """Return the clusters that are found."""
    candidates, judged = _candidates_by_score(space.views, n_found, random, selection)
    if space.values is None:
        found = _by_votes(candidates[0], space, n_found)
    else:
        found = _compared_with_mixtures(candidates, judged, space, n_found, random, selection)
    if space.has_noise:
        probabilities = means_of_identical(found.probabilities, neighbors.inverse)
        found = found._replace(probabilities=probabilities)
    return found


def _by_votes(labels: NDArray[np.intp], space: Space, n_clusters: int) -> InitialPartition:
    """Return the partition that has the labels of the references."""
    compared = space.views[0]
    votes = neighbor_votes(compared, labels, n_clusters)
    return InitialPartition(of_each_row(votes, compared), is_mixture=False)


def _candidates_by_score(
    views: list[Neighbors], n_clusters: int, random: np.random.RandomState, selection: Selection
) -> tuple[list[NDArray[np.intp]], list[JudgedGraph]]:
    """Return the partitions of the references that are compared, the best first, and by what.

    A single one is not judged.
    """
    candidates, judged = list(_candidates(views, n_clusters, random, selection)), []
    if len(candidates) > 1:
        judged = _judged(views, random)
        points_judged = views[-1].compared[views[0].references]
        candidates.sort(
            key=lambda labels: partition_score(labels, judged, points_judged, n_clusters),
            reverse=True,
        )
    return candidates, judged


def _judged(views: list[Neighbors], random: np.random.RandomState) -> list[JudgedGraph]:
    return [graph for view in views for graph in judged_graphs(view, random)]


def _compared_with_mixtures(
    candidates: list[NDArray[np.intp]],
    judged: list[JudgedGraph],
    space: Space,
    n_clusters: int,
    random: np.random.RandomState,
    selection: Selection,
) -> InitialPartition:
    """Return a mixture if that is the right model, else the best candidate.

    One with fewer clusters is taken only if mixtures of so many suffice. A single column has no
    shapes that a graph would follow, only gaps in its tails, so that the best mixture is taken in
    any case. Where no mixture is right and no clusters stand apart, the partition is taken that
    explains most: that candidate, the best mixture, or the best of columns that have been made
    normal one by one. Clusters that stand apart give way to the best mixture if it explains far
    more. A diagonal mixture is not right if many rows have one value in some column, such as no
    money spent, whatever the number of components that BIC prefers.
    """
    assert space.values is not None
    compared = space.views[0]
    complete: Any = slice(None)
    if space.missing is not None:
        complete = ~space.missing[:, space.of_mixtures].any(1)
    whole = [labels for labels in candidates if _n_clusters(labels) == n_clusters]
    whole = whole or candidates[:1]  # cuts may leave a cluster empty

    def of_complete(labels: NDArray[np.intp]) -> NDArray[np.intp]:
        labels = labels_of_all(compared, labels, n_clusters)
        return of_each_row(labels, compared)[complete]

    normal = space.drawn(random)[complete]
    others = space.drawn(random)[complete] if space.has_noise else None
    beginnings = [of_complete(labels) for labels in whole[: selection.n_beginnings]]
    best = candidates[0]
    if best is not whole[0]:
        if fewer_suffice(normal, of_complete(best), beginnings, n_clusters, random):
            return _by_votes(best, space, n_clusters)
        best = whole[0]
    by_votes = _by_votes(best, space, n_clusters)
    found = best_mixture(normal, beginnings, n_clusters, random, others=others)
    if found is None:
        return by_votes
    may_be_curves = normal.shape[1] < selection.min_features and not space.has_noise
    if may_be_curves and not found.is_right and space.values.shape[1] > 1:
        return by_votes
    by_mixture = _by_mixture(found.mixture, space, random)
    if may_be_curves or space.values.shape[1] == 1:
        return by_mixture
    # a mixture with full covariances is no worse for explaining less of columns one by one
    may_be_wrong = found.mixture.covariance_type == "diag" and _has_frequent_value(
        normal, _labels(by_mixture)[complete], selection
    )
    if found.is_right and not may_be_wrong:
        return by_mixture
    partitions = [by_votes, by_mixture]
    if stand_apart(best, judged or _judged(space.views, random), n_clusters):
        return _explaining_most(partitions, space.values, lead=selection.lead_of_apart)
    if not space.has_noise:  # ranks would be those of the noise
        scores = normal_scores(space.drawn(random))
        found = best_mixture(scores[complete], beginnings, n_clusters, random, policy=_ROUGH)
        assert found is not None  # as before, of as many values
        partitions.append(InitialPartition(responsibilities(found.mixture, scores), True))
    return _explaining_most(partitions, space.values)


def _has_frequent_value(
    values: NDArray[np.float32], labels: NDArray[np.intp], selection: Selection
) -> bool:
    """Whether more rows than this share of them have the same value in a column of several.

    A value that all rows of some clusters have, and no others, is theirs.
    """
    sizes = np.bincount(labels)
    for column in values.T:
        found, number, counts = np.unique(column, return_inverse=True, return_counts=True)
        if len(found) > 1 and counts.max() > selection.max_share_of_value * len(column):
            has_it = number == counts.argmax()
            n_of_cluster = np.bincount(labels[has_it], minlength=len(sizes))
            if ((n_of_cluster > 0) & (n_of_cluster < sizes)).any():
                return True
    return False


def _by_mixture(
    mixture: GaussianMixture, space: Space, random: np.random.RandomState
) -> InitialPartition:
    """Return the mean of the responsibilities over draws of the noise.

    By one draw a row would be judged by its noise as well as by its values.
    """
    n_draws = DEQUANTIZATION.n_draws if space.has_noise else 1
    total = responsibilities(mixture, space.drawn(random))
    for _ in range(n_draws - 1):
        total += responsibilities(mixture, space.drawn(random))
    total.data /= np.float32(n_draws)
    return InitialPartition(total, is_mixture=True)


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
