"""Columns of few values, spread out, so that no gap is left that only rounding has made.

A column of two values has a gap that any method takes for the border of two clusters, though the
column may have nothing to do with the others. So it is taken for the sign of a normal variable, and
a one-hot encoded category for the largest of several: such columns have no gap, and no mixture of
normal distributions is better off dividing by them. Other columns of few values get uniform noise
in the cell of each value, which ends halfway to the next one (uniform dequantization, as for
densities of pixels: Theis, van den Oord & Bethge 2016), so that logarithms of counts have no gap
either. The first and the last value of a scale may stand for all that lies beyond, so that many
rows have them: their cells are wider, to be no denser than those next to them. Columns that say the
same of a row, such as the latitude and longitude of a shop, have no gap together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components
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
        Of cells, as a share of the range of the column: it is if a tenth of its rows are in wider
        ones, and most rows, or values, share theirs with others, the most frequent value left out.
        Narrower noise would change nothing, unless rows are closer to each other. Not tuned.
    max_tail : float
        Steps by which the cell of the first or the last value is wider than others, at the most. On
        seven tables of answers that overlap, the mean adjusted Rand index of the initial partition
        is .85 with 0, .875 with 1 and .88 without a limit; but without one, clusters of counts of
        which most are zero are lost.
    min_scale : int
        Values that a scale with ends has at the least: with fewer, such as codes of three kinds of
        pain, the adjusted Rand index of heart falls from .28 to .04 for some seeds.
    max_variables : int
        With more, no column is: rows are then compared by principal components, which no single
        column determines, and noise in each column would add up. A one-hot encoded category is one
        variable.
    max_rows : int
        Rows by which columns are compared, evenly among all, to save time. Chosen by hand.
    max_sparse_values : int
        Values of sparse rows that may become an array for it, 64 MiB. Chosen by hand, for memory.
    n_draws : int
        Draws of the noise over which the responsibilities of a mixture are averaged. On answers in
        3 to 7 steps, of 5 to 20 columns and two or three clusters, the mean of 10 has an adjusted
        Rand index of .21 to .62, and one draw of .22 to .62, .03 less where rows are few.
    """

    min_width: float = 0.02
    max_tail: float = 1.0
    min_scale: int = 5
    max_variables: int = FEW_FEATURES
    max_rows: int = 1000
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
    distances: NDArray[np.floating] | None = None,
    rule: Dequantization = DEQUANTIZATION,
) -> NDArray[np.float32]:
    """Return the values with noise in columns of few values; the same array if there are none.

    A value becomes a random one of its cell; a one-hot encoded category a point of the simplex; and
    a point of columns that say the same goes up to halfway towards another.

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
    distances : ndarray of shape (n_features,) or None
        That neighboring rows have, in the unit of each column: cells as wide are seen, however
        narrow they are beside the range.
    rule : Dequantization, default=DEQUANTIZATION

    Returns
    -------
    ndarray of shape (n_rows, n_features)
    """
    seen = values if missing is None else np.where(missing, np.float32(np.nan), values)
    near = np.full(seen.shape[1], np.inf) if distances is None else distances
    found = (
        (column, _cells_of(seen[:, column], near[column], rule)) for column in range(len(near))
    )
    cells = {column: of_column for column, of_column in found if of_column is not None}
    if not cells:
        return values
    spreads: list[tuple[NDArray[np.intp], Callable[..., NDArray[np.float32]]]] = [
        (group, _largest_of_normals if normal else _on_simplex) for group in one_hot_groups(seen)
    ]
    one_hot = {column for group, _ in spreads for column in group}
    cells = {column: cells[column] for column in cells.keys() - one_hot}
    groups = _groups_that_say_the_same(seen, cells, rule)
    spreads += [(group, _between_points) for group in groups]
    for column in sorted(cells.keys() - {column for group in groups for column in group}):
        of_column = cells[column]
        has_two = normal and len(of_column.values) == 2
        spreads.append((np.array([column]), _beyond_a_quantile if has_two else of_column.drawn))
    noisy = values.copy()
    for columns, spread_out in spreads:
        block = np.ix_(~np.isnan(seen[:, columns]).any(1), columns)
        noisy[block] = spread_out(values[block], random)
    return noisy


def _groups_that_say_the_same(
    seen: NDArray[np.float32], cells: dict[int, _Cells], rule: Dequantization
) -> list[NDArray[np.intp]]:
    """Return columns of more than two values of which two have fewer combinations than values.

    Where all columns say the same, there is nothing else that rows could be told apart by.
    """
    columns = sorted(column for column, of in cells.items() if len(of.values) > 2)
    some = seen[:: -(-len(seen) // rule.max_rows)]
    cell = (cells[column].number(some[:, column]) for column in columns)
    numbers = [np.unique(of_column, return_inverse=True)[1] for of_column in cell]
    is_there = ~np.isnan(some[:, columns]).T
    alike = np.eye(len(columns), dtype=bool)
    for one, other in combinations(range(len(columns)), 2):
        both = is_there[one] & is_there[other]
        first, second = numbers[one][both], numbers[other][both]
        n_pairs = _n_distinct(first + (numbers[one].max() + 1) * second)
        n_values = _n_distinct(first) + _n_distinct(second)
        # of few rows pairs are few in any case
        alike[one, other] = n_pairs < n_values and 2 * n_pairs <= len(first)
    _, number = connected_components(alike, directed=False)
    groups = [np.array(columns)[number == each] for each in np.unique(number)]
    return [group for group in groups if 1 < len(group) < seen.shape[1]]


def _n_distinct(numbers: NDArray[np.intp]) -> int:
    return int(np.count_nonzero(np.bincount(numbers)))


def _between_points(
    values: NDArray[np.float32], random: np.random.RandomState
) -> NDArray[np.float32]:
    """Move rows up to halfway to another point where rows are, (n_rows, n_columns)."""
    points, number = np.unique(values, axis=0, return_inverse=True)
    if len(points) < 2:
        return values
    other = random.randint(len(points) - 1, size=len(values))
    other += other >= number.ravel()
    share = random.uniform(0, 0.5, (len(values), 1))
    return (values + share * (points[other] - values)).astype(np.float32)


class _Cells(NamedTuple):
    """The distinct values of a column, sorted, and where the cell of each begins and ends."""

    values: NDArray[np.float32]
    low: NDArray[np.floating]
    high: NDArray[np.floating]

    def number(self, values: NDArray[np.float32]) -> NDArray[np.intp]:
        """Return the number of the cell of each of these values."""
        return np.clip(np.searchsorted(self.values, values, side="right") - 1, 0, None)

    def drawn(
        self, values: NDArray[np.float32], random: np.random.RandomState
    ) -> NDArray[np.float32]:
        """Return a point of the cell of each of these values."""
        cell = self.number(values)
        return random.uniform(self.low[cell], self.high[cell]).astype(np.float32)


def _cells_of(
    column: NDArray[np.float32], distance: float, rule: Dequantization
) -> _Cells | None:
    """Return the cells of a column that has few values, NaN left out; None of any other."""
    ordered = np.sort(column[~np.isnan(column)])
    if not len(ordered):
        return None
    rounding = np.float32(1e-6) * max(abs(ordered[0]), abs(ordered[-1]))
    first = np.flatnonzero(np.diff(ordered, prepend=-np.inf) > rounding)
    counts = np.diff(first, append=len(ordered))
    n_alone = np.count_nonzero(counts == 1)
    if len(first) == 1 or 2 * n_alone > max(len(first), len(ordered) - counts.max()):
        return None
    values = ordered[first]
    gaps = np.diff(values)
    below, above = np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:])
    width = np.quantile(np.repeat((below + above) / 2, counts), 0.9)
    if width < min(rule.min_width * (values[-1] - values[0]), distance):
        return None
    low, high = values - below / 2, values + above / 2
    if len(values) >= rule.min_scale:
        low[0] -= below[0] * np.clip(counts[0] / counts[1] - 1, 0, rule.max_tail)
        high[-1] += above[-1] * np.clip(counts[-1] / counts[-2] - 1, 0, rule.max_tail)
    return _Cells(values, low, high)


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
    """Spread a column of two values out, (n_rows, 1)."""
    is_high = values == values.max()
    quantile = 1 - is_high.mean()
    uniform = random.uniform(size=values.shape)
    uniform = np.where(is_high, quantile + (1 - quantile) * uniform, quantile * uniform)
    tiny = np.finfo(np.float32).eps
    normal = ndtri(np.clip(uniform, tiny, 1 - tiny))
    return (SPREAD * np.ptp(values) * normal).astype(np.float32)
