"""Columns of few values, spread out, so that no gap is left that only rounding has made.

A column of two values has a gap that any method takes for the border of two clusters, though the
column may have nothing to do with the others. So it is taken for the sign of a normal variable, and
a one-hot encoded category for the largest of several: such columns have no gap, and no mixture of
normal distributions is better off dividing by them. Other columns of few values get uniform noise
in the cell of each value, which ends halfway to the next one (uniform dequantization, as for
densities of pixels: Theis, van den Oord & Bethge 2016), so that logarithms of counts have no gap
either.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .._rows import Rows, SparseRows
from .neighbors import FEW_FEATURES

__all__ = [
    "DEQUANTIZATION", "Dequantization", "dequantized", "has_few_variables", "one_hot_groups",
    "without_large_categories",
]


class Dequantization(NamedTuple):
    """Which columns are spread out.

    Attributes
    ----------
    min_width : float
        Of the cell of a row, by its median, as a share of the range of the column, from which on it
        is, if most of its values are those of several rows. Narrower noise would change nothing.
        Not tuned.
    max_variables : int
        With more, no column is: rows are then compared by principal components, which no single
        column determines, and noise in each column would add up. A one-hot encoded category is one
        variable.
    max_sparse_values : int
        Values of sparse rows that may become an array for it, 64 MiB. Chosen by hand, for memory.
    n_draws : int
        Draws of the noise over which the responsibilities of a mixture are averaged. On answers in
        3 to 7 steps, of 5 to 20 columns and two or three clusters, the mean of 10 has an adjusted
        Rand index of .21 to .62, and one draw of .22 to .62, .03 less where rows are few.
    """

    min_width: float = 0.02
    max_variables: int = FEW_FEATURES
    max_sparse_values: int = 2**24
    n_draws: int = 10


DEQUANTIZATION = Dequantization()

#: Standard deviation of two values, as frequent, with uniform noise, as a share of their distance.
SPREAD = (1 / 4 + 1 / 12) ** 0.5


def dequantized(
    values: NDArray[np.float32],
    random: np.random.RandomState,
    *,
    normal: bool = False,
    missing: NDArray[np.bool_] | None = None,
    rule: Dequantization = DEQUANTIZATION,
) -> NDArray[np.float32]:
    """Return the values with noise in columns of few values; the same array if there are none.

    Uniform noise is as wide as the step between two values; a one-hot encoded category becomes a
    point of the simplex.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
    random : RandomState
    normal : bool, default=False
        Whether the columns of a one-hot encoded category become normal variables instead, of which
        the largest is that of the category, and a column of two values one that is beyond its
        quantile where the value is high; both with the variance that uniform noise would give a
        balanced column. It is for mixtures of normal distributions.
    missing : ndarray of bool of shape (n_rows, n_features) or None
        Values that were filled in: which columns have few values is read off the others.
    rule : Dequantization, default=DEQUANTIZATION

    Returns
    -------
    ndarray of shape (n_rows, n_features)
    """
    seen = values if missing is None else np.where(missing, np.float32(np.nan), values)
    cells = [_cells_of(column, rule) for column in seen.T]
    few = np.array([found is not None for found in cells])
    if not few.any():
        return values
    noisy = values.copy()
    for group in one_hot_groups(seen):
        spread_out = _largest_of_normals if normal else _on_simplex
        block = np.ix_(~np.isnan(seen[:, group]).any(1), group)
        noisy[block] = spread_out(values[block], random)
        few[group] = False
    for column in np.flatnonzero(few):
        found, rows = cells[column], ~np.isnan(seen[:, column])
        assert found is not None
        spread = _beyond_a_quantile if normal and len(found.values) == 2 else found.drawn
        noisy[rows, column] = spread(values[rows, column], random)
    return noisy


class _Cells(NamedTuple):
    """The distinct values of a column, sorted, and where the cell of each begins and ends."""

    values: NDArray[np.float32]
    low: NDArray[np.floating]
    high: NDArray[np.floating]

    def drawn(
        self, values: NDArray[np.float32], random: np.random.RandomState
    ) -> NDArray[np.float32]:
        """Return a point of the cell of each of these values."""
        cell = np.clip(np.searchsorted(self.values, values, side="right") - 1, 0, None)
        return random.uniform(self.low[cell], self.high[cell]).astype(np.float32)


def _cells_of(column: NDArray[np.float32], rule: Dequantization) -> _Cells | None:
    """Return the cells of a column that has few values, NaN left out; None of any other."""
    ordered = np.sort(column[~np.isnan(column)])
    if not len(ordered):
        return None
    rounding = np.float32(1e-6) * max(abs(ordered[0]), abs(ordered[-1]))
    first = np.flatnonzero(np.diff(ordered, prepend=-np.inf) > rounding)
    counts = np.diff(first, append=len(ordered))
    if len(first) == 1 or 2 * np.count_nonzero(counts == 1) > len(first):
        return None
    values = ordered[first]
    gaps = np.diff(values)
    below, above = np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:])
    width = np.median(np.repeat((below + above) / 2, counts))
    if width < rule.min_width * (values[-1] - values[0]):
        return None
    return _Cells(values, values - below / 2, values + above / 2)


def has_few_variables(rows: Rows, *, rule: Dequantization = DEQUANTIZATION) -> bool:
    """Whether there are so few variables that columns may be spread out."""
    n_features = math.prod(rows.data_shape)
    if n_features <= rule.max_variables:
        return True
    if isinstance(rows, SparseRows) and rows.n_rows * n_features > rule.max_sparse_values:
        return False
    some = next(rows.blocks()).flatten(1).cpu().numpy()
    low, high = np.fmin.reduce(some), np.fmax.reduce(some)
    two_values = ((some == low) | (some == high) | np.isnan(some)).all(0)
    # of a one-hot encoded category one column is high in a row
    n_high = ((some == high) & two_values & (low < high)).sum(1).max()
    if np.count_nonzero(~two_values) + n_high > rule.max_variables:  # most wide tables end here
        return False
    groups = one_hot_groups(rows.flat())
    return n_features - sum(len(group) - 1 for group in groups) <= rule.max_variables


def without_large_categories(
    values: NDArray[Any], *, max_features: int = FEW_FEATURES
) -> NDArray[np.bool_] | slice:
    """Return which features are left if the categories of most levels are left out.

    As many are as it takes to have `max_features` at the most; none if that is not enough.
    """
    n_features = values.shape[1]
    if n_features <= max_features:
        return slice(None)
    is_left = np.ones(n_features, bool)
    for group in sorted(one_hot_groups(values), key=len, reverse=True):
        if is_left.sum() > max_features:
            is_left[group] = False
    return is_left if is_left.sum() <= max_features else slice(None)


def one_hot_groups(values: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Return the columns of each one-hot encoded category.

    They are neighboring columns of two values, of which just one is high in each row, but for rows
    where some are missing (NaN).
    """
    low, high = np.fmin.reduce(values), np.fmax.reduce(values)
    is_missing = np.isnan(values)
    binary = (low < high) & ((values == low) | (values == high) | is_missing).all(0)
    # of each row, in columns first .. last
    n_high, n_missing = np.zeros((2, len(values)), np.intp)
    groups, first = [], 0
    for last, column in enumerate(values.T):
        n_high += column == high[last]
        n_missing += is_missing[:, last]
        while first < last and n_high.max() > 1:  # in some row two are high
            n_high -= values[:, first] == high[first]
            n_missing -= is_missing[:, first]
            first += 1
        has_one = (n_high == 1) | (n_missing > 0)
        is_complete = first < last and bool(has_one.all()) and bool(n_high.any())
        if is_complete and binary[last]:
            groups.append(np.arange(first, last + 1))
        if is_complete or not binary[last]:
            first = last + 1
            n_high[:] = n_missing[:] = 0
    return groups


def _on_simplex(values: NDArray[np.float32], random: np.random.RandomState) -> NDArray[np.float32]:
    """Spread a one-hot encoded category out, (n_rows, n_levels)."""
    low, high = values.min(0), values.max(0)
    points = _with_largest(random.dirichlet(np.ones(values.shape[1]), len(values)), values)
    # as wide as a column of two values is with its noise: twice the simplex, about its center
    stretched = 2 * points - 1 / values.shape[1]
    return (low + (high - low) * stretched).astype(np.float32)


def _largest_of_normals(
    values: NDArray[np.float32], random: np.random.RandomState
) -> NDArray[np.float32]:
    """Spread a one-hot encoded category out, (n_rows, n_levels)."""
    points = _with_largest(random.standard_normal(values.shape), values)
    return (SPREAD * np.ptp(values, axis=0) * points).astype(np.float32)


def _with_largest(
    points: NDArray[np.float64], values: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Let the largest of exchangeable variables be that of the category."""
    rows, category, largest = np.arange(len(values)), values.argmax(1), points.argmax(1)
    points[rows, largest], points[rows, category] = points[rows, category], points[rows, largest]
    return points


def _beyond_a_quantile(
    values: NDArray[np.float32], random: np.random.RandomState
) -> NDArray[np.float32]:
    """Spread a column of two values out, (n_rows,)."""
    is_high = values == values.max()
    quantile = 1 - is_high.mean()
    uniform = random.uniform(size=len(values))
    uniform = np.where(is_high, quantile + (1 - quantile) * uniform, quantile * uniform)
    tiny = np.finfo(np.float32).eps
    normal = ndtri(np.clip(uniform, tiny, 1 - tiny))
    return (SPREAD * np.ptp(values) * normal).astype(np.float32)
