"""Where rows are compared: their views, and the values to which mixtures are fitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._rows import Rows
from .codes import Code, are_codes
from .completion import completed
from .dequantization import dequantized, without_large_categories
from .neighbors import Neighbors, find_neighbors, in_coordinates
from .votes import of_each_row

__all__ = ["COORDINATES", "CoordinatesRule", "Space", "space_of", "values_of"]


class CoordinatesRule(NamedTuple):
    """Which features may be coordinates of one space.

    Their rows are also compared by distance there, and mixtures fitted there, since a unit for each
    feature stretches shapes. Chosen by hand.

    Attributes
    ----------
    max_features : int
        So few.
    max_ratio_of_ranges : float
        Of ranges that differ by no larger factor.
    """

    max_features: int = 3
    max_ratio_of_ranges: float = 10.0


COORDINATES = CoordinatesRule()


class Space(NamedTuple):
    """Where rows are compared.

    Attributes
    ----------
    views : list of Neighbors
        Of the rows in the model's units and, if features may be coordinates, in their own.
    values : ndarray of shape (n_rows, n_features) or None
        Those of which partitions explain more or less, None where no mixture is tried.
    distances : ndarray of shape (n_features,) or None
        Between neighboring rows, in the units of the values.
    of_mixtures : ndarray of bool of shape (n_features,) or slice
        The features to which mixtures are fitted.
    missing : ndarray of bool of shape (n_rows, n_features) or None
        Which of the values are, or count as missing.
    has_noise : bool
        Whether columns of few values are spread out in the views, or codes are replaced.
    """

    views: list[Neighbors]
    values: NDArray[np.float32] | None = None
    distances: NDArray[np.floating] | None = None
    of_mixtures: NDArray[np.bool_] | slice = slice(None)
    missing: NDArray[np.bool_] | None = None
    has_noise: bool = False

    def drawn(self, random: np.random.RandomState) -> NDArray[np.float32]:
        """Return values of mixtures with other noise in each draw, NaN where they are missing."""
        assert self.values is not None
        drawn = dequantized(
            self.values, random, normal=True, missing=self.missing, distances=self.distances
        )
        if self.missing is not None:
            drawn = np.where(self.missing, np.float32(np.nan), drawn)
        return drawn[:, self.of_mixtures]


def space_of(
    values: NDArray[np.float32] | None,
    neighbors: Neighbors,
    scale: NDArray[np.float64] | None,
    observed: Rows,
    codes: Sequence[Code],
    seed: int,
    random: np.random.RandomState,
    *,
    rule: CoordinatesRule = COORDINATES,
) -> Space:
    """Return where rows are compared.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features) or None
        Complete; None where no mixture is tried.
    neighbors : Neighbors
        Of the rows, in units of the model.
    scale : ndarray of shape (n_features,) or None
        These units; None where features have none of their own.
    observed : Rows
        The rows before they were completed.
    codes : sequence of Code
        Values that count as missing.
    seed : int
    random : RandomState
    rule : CoordinatesRule, default=COORDINATES

    Returns
    -------
    Space
    """
    if values is None or scale is None:
        return Space([neighbors])
    given = values
    missing = np.isnan(observed.flat()) if observed.has_missing else None
    if codes:
        coded = are_codes(values.shape, codes)
        missing = coded if missing is None else missing | coded
        with_gaps = np.where(missing, np.float32(np.nan), values)
        values = completed(Rows.of_array(with_gaps, observed.device)).flat()
    distances = np.median(neighbors.distances[:, 0]) * scale
    points = dequantized(values, random, missing=missing, distances=distances)
    views = [neighbors]
    if points is not given:
        views = [find_neighbors(Rows.of_array(points, observed.device), seed)]
    for_mixtures = values
    if _are_coordinates(scale, rule):
        own_units = (scale / scale.max()).astype(np.float32)
        views.append(in_coordinates(views[0], points[views[0].first] * own_units))
        for_mixtures = values * own_units  # where k-means, from which they begin, is right
        distances = distances * own_units
    seen = given if missing is None else np.where(missing, np.float32(np.nan), given)
    of_mixtures = without_large_categories(seen)
    return Space(views, for_mixtures, distances, of_mixtures, missing, points is not given)


def values_of(rows: Rows, neighbors: Neighbors) -> NDArray[np.float32]:
    """Return the values of rows whose neighbors these are, (n_rows, n_features)."""
    if neighbors.compared.shape[1] == math.prod(rows.data_shape):  # they are at hand
        return of_each_row(neighbors.compared, neighbors)
    return rows.flat()


def _are_coordinates(scale: NDArray[np.float64], rule: CoordinatesRule) -> bool:
    few = 1 < len(scale) <= rule.max_features
    return few and bool(scale.max() < rule.max_ratio_of_ranges * scale.min())
