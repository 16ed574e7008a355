"""Codes in columns of numbers: 0, -1 or 999 where nothing was measured.

The rows of a code are far from all others in a column, and any method takes them for a cluster. But
a partition that is a function of one column explains nothing: what it tells of that column it has
to be told itself. So the initial partition is sought once more with the codes moved to the other
values, and the one is taken that explains more of all columns together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODE_RULE", "Code", "CodeRule", "find_codes", "without_codes"]


class CodeRule(NamedTuple):
    """What is taken for a code.

    Attributes
    ----------
    min_share : float
        Share of rows beyond which they are no single rows that are far away. Not tuned.
    """

    min_share: float = 0.02


CODE_RULE = CodeRule()


class Code(NamedTuple):
    """A column, the rows that have the code there, and between what values they are moved."""

    column: int
    rows: NDArray[np.bool_]
    low: float
    high: float


def find_codes(values: NDArray[np.float32], *, rule: CodeRule = CODE_RULE) -> list[Code]:
    """Return the codes among values (n_rows, n_features), of which some may be missing (NaN).

    A code is the smallest or the largest value of its column. It is the most frequent one, or the
    gap to the other values is wider than all of these are apart. Moved next to the middle half of
    the other values, its rows are as dense as these. (Next to all of them, where others are rare,
    they would still stand apart.) If the gap is narrower than its rows would be, it is no code; nor
    is it if that half has one value, as ratings may.
    """
    found = (_code(column, values[:, column], rule) for column in range(values.shape[1]))
    return [code for code in found if code is not None]


def _code(number: int, column: NDArray[np.float32], rule: CodeRule) -> Code | None:
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    if len(values) < 3:
        return None
    ends = {0: slice(1, None), len(values) - 1: slice(-1)}
    for place, others in ends.items():
        n_rows, n_others = counts[place], counts[others].sum()
        up_to = counts[others].cumsum()
        lower, upper = values[others][np.searchsorted(up_to, n_others * np.array([0.25, 0.75]))]
        width = 2 * (upper - lower) * n_rows / n_others
        gap = abs(values[place] - values[others]).min()
        stands_out = counts.argmax() == place or gap > np.ptp(values[others])
        is_frequent = n_rows > max(1, rule.min_share * counts.sum())
        if stands_out and is_frequent and lower < upper and gap > width:
            low, high = (lower - width, lower) if place == 0 else (upper, upper + width)
            return Code(number, column == values[place], float(low), float(high))
    return None


def without_codes(
    values: NDArray[np.float32], codes: Sequence[Code], random: np.random.RandomState
) -> NDArray[np.float32]:
    """Return the values with those of codes moved, (n_rows, n_features)."""
    moved = values.copy()
    for column, rows, low, high in codes:
        moved[rows, column] = random.uniform(low, high, np.count_nonzero(rows))
    return moved
