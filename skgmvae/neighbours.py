"""The nearest neighbours of each row, and how far a row may be moved among them."""

from __future__ import annotations

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
TRIAL_ROWS = 2000  # whose neighbours tell whether the principal components serve


class Neighbours(NamedTuple):
    """The nearest rows of each row, itself left out, nearest first.

    With more than `MAX_REFERENCES` rows they are sought among a random subset.
    """

    references: NDArray[np.intp]  # (n_references,), sorted row numbers
    nearest: NDArray[np.intp]  # (n_rows, n_neighbours), into the references


def find_neighbours(rows: Rows, seed: int) -> Neighbours:
    """Find nearest neighbours by Euclidean distance in the model's units.

    Rows of more than `MAX_DIMENSIONS` values are compared by their first principal components,
    which leave noise out (single cells); or as they are, if more neighbours are mutual then,
    since those components would leave out what tells rows apart (word frequencies).

    Parameters
    ----------
    rows : Rows
    seed : int
        Draws the references, if they are not all rows.

    Returns
    -------
    Neighbours
        `N_NEIGHBOURS` of each row, or as many as there are others.
    """
    n_rows = rows.n_rows
    points = np.concatenate([
        rows.take(torch.arange(part.start, part.stop, device=rows.device)).flatten(1).cpu().numpy()
        for part in gen_batches(n_rows, INFERENCE_ROWS)
    ])
    n_references = min(n_rows, MAX_REFERENCES)
    order = check_random_state(seed).permutation(n_rows)
    references = np.sort(order[:n_references])
    if min(points.shape) > MAX_DIMENSIONS:
        pca = PCA(MAX_DIMENSIONS, svd_solver="covariance_eigh").fit(points[references])
        projected = pca.transform(points)
        trial = order[:TRIAL_ROWS]
        if _mutual_share(projected[trial]) >= _mutual_share(points[trial]):
            points = projected
    return Neighbours(references, _nearest(points, references))


def _nearest(points: NDArray[np.float32], references: NDArray[np.intp]) -> NDArray[np.intp]:
    n_rows, n_neighbours = len(points), min(N_NEIGHBOURS, len(references) - 1)
    search = NearestNeighbors(n_neighbors=n_neighbours + 1).fit(points[references])
    found = search.kneighbors(points, return_distance=False)
    own = np.full(n_rows, -1)
    own[references] = np.arange(len(references))
    # a row is not its own neighbour; among many duplicates it may not even be found
    surplus = found == own[:, None]
    surplus[~surplus.any(1), -1] = True
    nearest: NDArray[np.intp] = found[~surplus].reshape(n_rows, n_neighbours)
    return nearest


def _mutual_share(points: NDArray[np.float32]) -> float:
    """Return the share of neighbours that are mutual; low where a few rows are those of many."""
    nearest = _nearest(points, np.arange(len(points)))
    back = nearest[nearest]  # (n_rows, n_neighbours, n_neighbours)
    return float((back == np.arange(len(points))[:, None, None]).any(-1).mean())


def radius(rows: Rows, neighbours: Neighbours) -> NDArray[np.float32]:
    """Return each row's radius of the adversarial perturbation, in the model's units, (n_rows,).

    It is a share of the distance to the 10th neighbour, or to a nearer one in the same
    proportion if neighbours were sought among fewer rows.
    """
    references, nearest = neighbours
    n_rows, n_neighbours = nearest.shape
    if n_neighbours == 0:
        return np.zeros(n_rows, np.float32)
    rank = max(1, round(n_neighbours * len(references) / n_rows))
    farthest = torch.from_numpy(references[nearest[:, rank - 1]]).to(rows.device)
    distance = np.concatenate([
        (rows.take(torch.arange(part.start, part.stop, device=rows.device))
         - rows.take(farthest[part])).flatten(1).norm(dim=1).cpu().numpy()
        for part in gen_batches(n_rows, INFERENCE_ROWS)
    ])
    if distance.any():
        # duplicates have neighbours at no distance, but must be perturbed all the same
        distance[distance == 0] = np.median(distance[distance > 0])
    return (RADIUS_FACTOR * distance).astype(np.float32)
