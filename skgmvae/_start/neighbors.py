"""The nearest neighbors of each row, and the radius of the adversarial perturbation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state, gen_batches
from torch import Tensor
from torch.nn.functional import pad

from .._rows import BLOCK_ROWS, Rows, SparseRows, joined
from .components import principal_components
from .nearest import nearby_points, nearest_points

__all__ = [
    "FEW_FEATURES", "NEIGHBOR_SEARCH", "RADIUS", "NeighborSearch", "Neighbors", "Radius",
    "find_neighbors", "in_coordinates", "nearest_in_sample", "perturbation_radius",
]


#: Features up to which a table is thought to be one of few: neighbors are searched without reducing
#: them, and the networks see nothing that the graph of neighbors does not. More are reduced to so
#: many principal components.
FEW_FEATURES = 50


class NeighborSearch(NamedTuple):
    """How nearest neighbors are sought. Comparisons were made with labels in sight.

    Attributes
    ----------
    n_neighbors : int
        Neighbors of each row. Compared by scripts that were not kept: 5 and 7 were worse on USPS,
        MNIST and pendigits; 15, 20 and 30 no better on 40 tables (mean ARI of the initial labels
        .487, .495, .482; .482 with 10).
    n_candidates : int
        Neighbors among which `nearest_up_to_affine` chooses. 200 changed nothing on MNIST, nor did
        the neighbors of neighbors.
    max_references : int
        Distinct rows among which neighbors are sought, since the time grows with their square:
        all of MNIST. With 20,000 of them its initial labels had an accuracy of .84-.92 instead of
        .955-.963.
    n_components : int
        Principal components that rows with more features are compared by. Chosen by hand; never
        varied. Whether to use them at all was compared on 20 newsgroups, worm neurons, USPS and
        Fashion-MNIST, from which the rule of mutual neighbors comes.
    n_trial_rows : int
        Rows on which it is decided whether the components serve. On the four data sets above the
        shares of mutual neighbors differ by .04 or more on so many; not tuned.
    """

    n_neighbors: int = 10
    n_candidates: int = 100
    max_references: int = 60_000
    n_components: int = FEW_FEATURES
    n_trial_rows: int = 2000


NEIGHBOR_SEARCH = NeighborSearch()


class Radius(NamedTuple):
    """The radius of the adversarial perturbation, from the distance to a neighbor.

    Attributes
    ----------
    factor : float
        Share of that distance. IMSAT (Hu et al. 2017) has .25; lowered by hand, on MNIST, when
        fits began to start from the neighbor graph. The comparison was not recorded.
    neighbor : int
        Which neighbor: the 10th, as in IMSAT; never varied.
    """

    factor: float = 0.175
    neighbor: int = 10


RADIUS = Radius()


class Neighbors(NamedTuple):
    """The nearest neighbors of each distinct row, itself left out, nearest first.

    Identical rows, which would have no neighbors but each other, are taken together. Among more
    than `NeighborSearch.max_references` distinct rows neighbors are sought in a random subset,
    the references.

    Attributes
    ----------
    inverse : ndarray of shape (n_rows,)
        The number of the distinct row that each row equals, in the order of first occurrence.
    references : ndarray of shape (n_references,)
        Numbers of distinct rows, sorted.
    nearest : ndarray of shape (n_distinct, n_neighbors)
        Indices into `references`. Of rows that are no references these are `nearby_points`, which
        is enough to follow them.
    distances : ndarray of shape (n_references, n_neighbors)
        How far those of the references are.
    compared : ndarray of shape (n_distinct, n_coordinates)
        What distances are between: the distinct rows, or their principal components; these too
        where neighbors are those of many sparse features as they are.
    """

    inverse: NDArray[np.intp]
    references: NDArray[np.intp]
    nearest: NDArray[np.int32]
    distances: NDArray[np.float32]
    compared: NDArray[np.float32]

    @property
    def first(self) -> NDArray[np.intp]:
        """The first row that equals each distinct row, (n_distinct,)."""
        return np.unique(self.inverse, return_index=True)[1]

    @property
    def counts(self) -> NDArray[np.intp]:
        """How many rows equal each distinct row, (n_distinct,)."""
        return np.bincount(self.inverse)


def find_neighbors(
    rows: Rows,
    seed: int,
    *,
    up_to_affine: bool = False,
    search: NeighborSearch = NEIGHBOR_SEARCH,
) -> Neighbors:
    """Find nearest neighbors by Euclidean distance in the model's units.

    Many features are compared by their first principal components, which leave noise out (single
    cells); or as they are, if more neighbors are mutual then, since those components would leave
    out what distinguishes the rows (word frequencies).

    Parameters
    ----------
    rows : Rows
    seed : int
        Draws the references, if they are not all distinct rows, and those of the trial.
    up_to_affine : bool, default=False
        Whether `nearest_up_to_affine` is to choose among the neighbors, of which more are returned
        then.
    search : NeighborSearch, default=NEIGHBOR_SEARCH

    Returns
    -------
    Neighbors
        `search.n_neighbors` of each distinct row, or `search.n_candidates`; fewer if there are not
        as many others.
    """
    inverse, first = _number_distinct(rows)
    order = check_random_state(seed).permutation(len(first))
    references = np.sort(order[: search.max_references])
    distinct = _comparable(rows, first, references, order[: search.n_trial_rows], seed, search)
    n_neighbors = search.n_candidates if up_to_affine else search.n_neighbors
    many = math.prod(rows.data_shape) > distinct.values.shape[1]  # than were made dense
    if many and distinct.as_they_are and isinstance(rows, SparseRows):
        nearest, distances = _nearest_sparse(rows.scaled(first), references, n_neighbors)
    else:
        nearest, distances = _nearest(distinct.values, references, n_neighbors)
    return Neighbors(inverse, references, nearest, distances, distinct.values.cpu().numpy())


def in_coordinates(
    neighbors: Neighbors, coordinates: NDArray[np.float32]
) -> Neighbors:
    """Return the neighbors of the same rows by distance in other coordinates.

    Parameters
    ----------
    neighbors : Neighbors
    coordinates : ndarray of shape (n_distinct, n_coordinates)
        Of the distinct rows.
    """
    references, n_neighbors = neighbors.references, neighbors.nearest.shape[1]
    nearest, distances = _nearest(torch.from_numpy(coordinates), references, n_neighbors)
    return neighbors._replace(nearest=nearest, distances=distances, compared=coordinates)


def perturbation_radius(
    rows: Rows, neighbors: Neighbors, *, radius: Radius = RADIUS
) -> NDArray[np.float32]:
    """Return each row's radius of the adversarial perturbation, in the model's units.

    It is a share of the distance to the 10th neighbor, or to a nearer one in the same proportion
    if neighbors were sought among a subset of the rows. Without neighbors it is 0.

    Parameters
    ----------
    rows : Rows
    neighbors : Neighbors
        Of the rows.
    radius : Radius, default=RADIUS

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    inverse, references, nearest = neighbors.inverse, neighbors.references, neighbors.nearest
    n_distinct, n_neighbors = len(nearest), min(radius.neighbor, nearest.shape[1])
    if n_neighbors == 0:
        return np.zeros(rows.n_rows, np.float32)
    first = neighbors.first
    rank = max(1, round(n_neighbors * len(references) / n_distinct))
    neighbor = first[references[nearest[:, rank - 1]]]
    differences = (
        _take(rows, first[block]) - _take(rows, neighbor[block])
        for block in gen_batches(n_distinct, BLOCK_ROWS)
    )
    distances = (difference.flatten(1).norm(dim=1) for difference in differences)
    distance = joined(distances, n_distinct).cpu().numpy()
    return (radius.factor * distance[inverse]).astype(np.float32)


def nearest_in_sample(rows: Rows, sample: Rows) -> NDArray[np.intp]:
    """Return rows of a sample that are nearest to each row, (n_rows, n_neighbors)."""
    n_neighbors, points = min(NEIGHBOR_SEARCH.n_neighbors, sample.n_rows), sample.matrix()
    # as many at a time as there are points, which are prepared, or put into a tree, each time
    several = max(BLOCK_ROWS, len(points))
    return np.concatenate([
        nearby_points(_take(rows, queries).flatten(1), points, n_neighbors).astype(np.intp)
        for queries in np.split(np.arange(rows.n_rows), range(several, rows.n_rows, several))
    ])


def _take(rows: Rows, index: NDArray[np.intp]) -> Tensor:
    return rows.take(torch.from_numpy(index).to(rows.home))


def _number_distinct(rows: Rows) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give each distinct row a number, in the order in which they first occur.

    Returns
    -------
    inverse : ndarray of shape (n_rows,)
        The number of each row.
    first : ndarray of shape (n_distinct,)
        The first row of each number.
    """
    _, first, inverse = np.unique(_hashes(rows), return_index=True, return_inverse=True)
    order = first.argsort()
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return number[inverse], first[order]


def _hashes(rows: Rows) -> NDArray[np.int64]:
    """Return 64 bits for each row, equal for equal rows; two of a million are so by 3e-8.

    They are the sum of numbers, one for each two features, that are multiplied, mixed and
    multiplied again: of rows that differ in one feature they are never equal.
    """
    n_features = math.prod(rows.data_shape)
    random, odd = np.random.default_rng(0), n_features % 2
    factors = random.integers(-(2**63), 2**63, (2, (n_features + odd) // 2)) | 1
    first, second = torch.from_numpy(factors).to(rows.device)

    def hashes(block: Tensor) -> Tensor:
        bits = pad(block.flatten(1) + 0.0, (0, odd)).view(torch.int64)  # -0.0 equals 0.0
        bits = bits * first
        return ((bits ^ (bits >> 32 & 0xFFFFFFFF)) * second).sum(1)

    return joined(map(hashes, rows.blocks()), rows.n_rows).cpu().numpy()


class _Compared(NamedTuple):
    """The distinct rows, or their principal components, and by which of them rows are compared."""

    values: Tensor
    as_they_are: bool


def _comparable(
    rows: Rows,
    first: NDArray[np.intp],
    references: NDArray[np.intp],
    trial: NDArray[np.intp],
    seed: int,
    search: NeighborSearch,
) -> _Compared:
    """Return the distinct rows, or their principal components if more neighbors are mutual then.

    The components are found by blocks, so that rows that are bytes never all become numbers.
    """
    distinct = torch.from_numpy(first).to(rows.home)

    def blocks(numbers: NDArray[np.intp] | slice) -> Iterator[Tensor]:
        return (block.flatten(1) for block in rows.blocks(distinct[numbers]))

    if min(len(references), math.prod(rows.data_shape)) > search.n_components:
        some = torch.from_numpy(trial).to(rows.device)
        if isinstance(rows, SparseRows):  # which stay so
            values = rows.scaled(first)
            pca = PCA(search.n_components, svd_solver="arpack", random_state=seed)
            pca.fit(values[references])
            projected = torch.from_numpy(pca.transform(values).astype(np.float32)).to(rows.device)
            everyone = np.arange(len(trial))
            as_is, _ = _nearest_sparse(values[trial], everyone, search.n_neighbors)
        else:
            components = principal_components(
                partial(blocks, references), search.n_components, seed
            )
            projected = joined(map(components.of, blocks(slice(None))), len(first))
            as_is, _ = _nearest_others(_take(rows, first[trial]).flatten(1), search.n_neighbors)
        nearest, _ = _nearest_others(projected[some], search.n_neighbors)
        more_are_mutual = _mutual_share(nearest) >= _mutual_share(as_is)
        if more_are_mutual or isinstance(rows, SparseRows):
            return _Compared(projected, not more_are_mutual)
    all_distinct = len(first) == rows.n_rows
    return _Compared(rows.matrix() if all_distinct else rows.take(distinct).flatten(1), True)


def _nearest(
    values: Tensor, references: NDArray[np.intp], n_neighbors: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the nearest references of each row, as indices, and how far those of references are.

    A row is not its own neighbor.
    """
    n_neighbors = min(n_neighbors, len(references) - 1)
    if len(references) == len(values):
        return _nearest_others(values, n_neighbors)
    points = values[torch.from_numpy(references).to(values.device)]
    nearest = np.empty((len(values), 0), np.int32)
    if n_neighbors:
        nearest = nearby_points(values, points, n_neighbors)
    nearest[references], distances = _nearest_others(points, n_neighbors)
    return nearest, distances


def _nearest_sparse(
    values: csr_array, references: NDArray[np.intp], n_neighbors: int, n_queries: int = 64
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Do the same for rows of a sparse matrix, by products of so many with all references."""
    n_neighbors = min(n_neighbors, len(references) - 1)
    points = values[references]
    squares = points.multiply(points).sum(1)
    nearest = np.empty((values.shape[0], n_neighbors), np.int32)
    distances = np.empty((len(references), n_neighbors), np.float32)
    number = np.full(len(nearest), -1)
    number[references] = np.arange(len(references))
    for block in gen_batches(len(nearest), n_queries):
        queries = values[block]
        squared = squares - 2 * (queries @ points.T).toarray()
        of_references = np.flatnonzero(number[block] >= 0)
        own = number[block][of_references]
        squared[of_references, own] = np.inf  # a row is not its own neighbor
        least, indices = torch.from_numpy(squared).topk(n_neighbors, largest=False)
        nearest[block] = indices.numpy()
        lengths = queries.multiply(queries).sum(1)[of_references, None]
        distances[own] = np.sqrt(np.maximum(least.numpy()[of_references] + lengths, 0))
    return nearest, distances


def _nearest_others(
    values: Tensor, n_neighbors: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the nearest other rows of each row, and how far they are."""
    found, distances = nearest_points(values, values, n_neighbors + 1)
    # among many at no distance a row may not even be found
    surplus = found == np.arange(len(values))[:, None]
    surplus[~surplus.any(1), -1] = True
    shape = len(values), n_neighbors
    return found[~surplus].reshape(shape), distances[~surplus].reshape(shape)


def _mutual_share(nearest: NDArray[np.int32]) -> float:
    """Return the share of neighbors that are mutual; low where a few rows are those of many."""
    back = nearest[nearest]  # (n_rows, n_neighbors, n_neighbors)
    return float((back == np.arange(len(nearest))[:, None, None]).any(-1).mean())
