"""Codes in columns of numbers: 0, -1, 999 or the mean of the others where nothing was measured.

The rows of a code are far from all others in a column, or, where the column was imputed, at one
point in their midst, and any method takes them for a cluster. But a partition that is a function of
one column explains nothing: what it tells of that column it has to be told itself. So the initial
partition is sought once more with codes as missing values, and the one is taken that explains more
of all columns together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["CODE_RULE", "Code", "CodeRule", "are_codes", "find_codes"]


class CodeRule(NamedTuple):
    """What is taken for a code.

    Attributes
    ----------
    min_share : float
        Share of rows beyond which they are no single rows that are far away. Not tuned.
    min_ratio : float
        How many times as many rows a value amid the others has, at the least, as any of these. Not
        tuned.
    """

    min_share: float = 0.02
    min_ratio: float = 10.0


CODE_RULE = CodeRule()


class Code(NamedTuple):
    """A column, and the rows that have the code there."""

    column: int
    rows: NDArray[np.bool_]


def find_codes(values: NDArray[np.float32], *, rule: CodeRule = CODE_RULE) -> list[Code]:
    """Return the codes among values (n_rows, n_features), of which some may be missing (NaN).

    A code at an end of its column is the most frequent value, or the gap to the other values is
    wider than all of these are apart; and its rows, next to the middle half of the others and as
    dense as these, would not reach it. (Next to all of them, where others are rare, they would
    still stand apart.) It is no code if that half has one value, as ratings may. A code amid the
    others is far more frequent than any of them, as the mean is after `SimpleImputer`.
    """
    found = (_code(column, values[:, column], rule) for column in range(values.shape[1]))
    return [code for code in found if code is not None]


def _code(number: int, column: NDArray[np.float32], rule: CodeRule) -> Code | None:
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    if len(values) < 3:
        return None
    is_frequent = counts > max(1, rule.min_share * counts.sum())
    ends = {0: slice(1, None), len(values) - 1: slice(-1)}
    for place, others in ends.items():
        n_rows, n_others = counts[place], counts[others].sum()
        up_to = counts[others].cumsum()
        lower, upper = values[others][np.searchsorted(up_to, n_others * np.array([0.25, 0.75]))]
        width = 2 * (upper - lower) * n_rows / n_others
        gap = abs(values[place] - values[others]).min()
        stands_out = counts.argmax() == place or gap > np.ptp(values[others])
        if stands_out and is_frequent[place] and lower < upper and gap > width:
            return Code(number, column == values[place])
    place = int(counts.argmax())
    second = np.delete(counts, place).max()
    if place not in ends and is_frequent[place] and counts[place] > rule.min_ratio * second:
        return Code(number, column == values[place])
    return None


def are_codes(shape: tuple[int, int], codes: Sequence[Code]) -> NDArray[np.bool_]:
    """Return which values are codes, of shape (n_rows, n_features)."""
    found = np.zeros(shape, bool)
    for column, rows in codes:
        found[rows, column] = True
    return found
