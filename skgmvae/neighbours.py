"""The nearest neighbours of each row, and how far a row may be moved among them."""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_random_state, gen_batches

from .data import INFERENCE_ROWS, Rows

__all__ = ["Neighbours", "find_neighbours", "radius"]

N_NEIGHBOURS = 10
RADIUS_FACTOR = 0.175
MAX_REFERENCES = 60_000  # among which neighbours are sought: the time grows with their square
MAX_DIMENSIONS = 50
MAX_EXACT_FEATURES = 2000  # whose principal components are exact
TRIAL_ROWS = 2000  # whose neighbours tell whether the principal components serve


class Neighbours(NamedTuple):
    """The nearest points of each point, itself left out, nearest first.

    A point is a row or several identical ones, which would else have no neighbours but each
    other. With more than `MAX_REFERENCES` points neighbours are sought among a random subset.
    """

    point: NDArray[np.intp]  # (n_rows,), of each row
    references: NDArray[np.intp]  # (n_references,), sorted point numbers
    nearest: NDArray[np.intp]  # (n_points, n_neighbours), into the references

    @property
    def first(self) -> NDArray[np.intp]:
        """The first row of each point, (n_points,)."""
        return np.unique(self.point, return_index=True)[1]


def find_neighbours(rows: Rows, seed: int, n_neighbours: int = N_NEIGHBOURS) -> Neighbours:
    """Find nearest neighbours by Euclidean distance in the model's units.

    Points of more than `MAX_DIMENSIONS` values are compared by their first principal components,
    which leave noise out (single cells); or as they are, if more neighbours are mutual then,
    since those components would leave out what tells rows apart (word frequencies).

    Parameters
    ----------
    rows : Rows
    seed : int
        Draws the references, if they are not all points.
    n_neighbours : int, default=N_NEIGHBOURS

    Returns
    -------
    Neighbours
        `n_neighbours` of each point, or as many as there are others.
    """
    values = rows.flat()
    point = _numbered(values)
    _, first = np.unique(point, return_index=True)
    order = check_random_state(seed).permutation(len(first))
    references = np.sort(order[:MAX_REFERENCES])
    points = _comparable(values[first], references, order[:TRIAL_ROWS], seed)
    return Neighbours(point, references, _nearest(points, references, n_neighbours))


def neighbours_among(points: NDArray[np.float32], seed: int) -> Neighbours:
    """Find neighbours as `find_neighbours` does, among few points, each taken for one."""
    everyone = np.arange(len(points))
    compared = _comparable(points, everyone, everyone[:TRIAL_ROWS], seed)
    return Neighbours(everyone, everyone, _nearest(compared, everyone))


def _comparable(
    points: NDArray[np.float32],
    references: NDArray[np.intp],
    trial: NDArray[np.intp],
    seed: int,
) -> NDArray[np.float32]:
    if min(points.shape) <= MAX_DIMENSIONS:
        return points
    # the time of an exact solution grows with the cube of the features
    solver = "covariance_eigh" if points.shape[1] <= MAX_EXACT_FEATURES else "randomized"
    pca = PCA(MAX_DIMENSIONS, svd_solver=solver, random_state=seed).fit(points[references])
    projected: NDArray[np.float32] = pca.transform(points)
    mutual = _mutual_share(projected[trial]) >= _mutual_share(points[trial])
    return projected if mutual else points


def _numbered(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the number of each row, equal for equal rows, in the order they first occur."""
    numbers: dict[bytes, int] = {}
    digests = (blake2b(row + 0.0, digest_size=16).digest() for row in values)  # -0.0 equals 0.0
    return np.array([numbers.setdefault(digest, len(numbers)) for digest in digests], np.intp)


def _nearest(
    points: NDArray[np.float32], references: NDArray[np.intp], n_neighbours: int = N_NEIGHBOURS
) -> NDArray[np.intp]:
    n_points, n_neighbours = len(points), min(n_neighbours, len(references) - 1)
    search = NearestNeighbors(n_neighbors=n_neighbours + 1).fit(points[references])
    found = search.kneighbors(points, return_distance=False)
    own = np.full(n_points, -1)
    own[references] = np.arange(len(references))
    # a point is not its own neighbour; among many at no distance it may not even be found
    surplus = found == own[:, None]
    surplus[~surplus.any(1), -1] = True
    nearest: NDArray[np.intp] = found[~surplus].reshape(n_points, n_neighbours)
    return nearest


def _mutual_share(points: NDArray[np.float32]) -> float:
    """Return the share of neighbours that are mutual; low where a few rows are those of many."""
    nearest = _nearest(points, np.arange(len(points)))
    back = nearest[nearest]  # (n_points, n_neighbours, n_neighbours)
    return float((back == np.arange(len(points))[:, None, None]).any(-1).mean())


def radius(rows: Rows, neighbours: Neighbours) -> NDArray[np.float32]:
    """Return each row's radius of the adversarial perturbation, in the model's units, (n_rows,).

    It is a share of the distance to the 10th neighbour, or to a nearer one in the same
    proportion if neighbours were sought among fewer points.
    """
    point, references, nearest = neighbours
    n_points, n_neighbours = len(nearest), min(N_NEIGHBOURS, nearest.shape[1])
    if n_neighbours == 0:
        return np.zeros(rows.n_rows, np.float32)
    first = neighbours.first
    rank = max(1, round(n_neighbours * len(references) / n_points))
    farthest = first[references[nearest[:, rank - 1]]]
    distance = np.concatenate([
        (rows.take(torch.from_numpy(first[part]).to(rows.device))
         - rows.take(torch.from_numpy(farthest[part]).to(rows.device)))
        .flatten(1).norm(dim=1).cpu().numpy()
        for part in gen_batches(n_points, INFERENCE_ROWS)
    ])
    return (RADIUS_FACTOR * distance[point]).astype(np.float32)
