"""What a partition explains: what it tells of the columns, one by one, less its own entropy.

A cluster is there to explain the dependence between columns. A partition that is a function of one
column explains nothing: what it tells of that column has to be told of the row itself. Nothing is
assumed of how a column is distributed, since it is divided at its own quantiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from .codes import Code, are_codes

__all__ = ["EXPLANATION", "Explained", "Explanation", "explained", "explaining_most"]


class Explanation(NamedTuple):
    """How columns are divided.

    Attributes
    ----------
    n_bins : int
        At most, with as many rows in each, as far as equal values allow. Not tuned.
    max_rows : int
        Rows that are looked at, to save time. Not tuned.
    """

    n_bins: int = 10
    max_rows: int = 50_000


EXPLANATION = Explanation()


class Explained(NamedTuple):
    """What labels explain.

    Attributes
    ----------
    value : float
        What they tell of the columns, one by one, less their own entropy, in nats.
    spread : float
        Standard deviation that the value has by chance, with labels of the same number that have
        nothing to do with the columns.
    told : float
        What they tell of the columns, one by one, in nats.
    """

    value: float
    spread: float
    told: float


def explaining_most(
    values: NDArray[np.float32],
    partitions: Sequence[NDArray[np.intp]],
    codes: Sequence[Code] = (),
    *,
    lead: float = 0.0,
    policy: Explanation = EXPLANATION,
) -> int:
    """Return the number of the partition that explains most.

    One that comes later has to explain more by more than one standard deviation, by chance, of
    what is explained by labels that have nothing to do with the columns.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
    partitions : sequence of ndarray of shape (n_rows,)
    codes : sequence of Code, default=()
    lead : float, default=0.0
        Share of what the first tells of the columns by which others have to explain more than it.
    policy : Explanation, default=EXPLANATION

    Examples
    --------
    >>> values = np.arange(400, dtype=np.float32).reshape(2, 200).T
    >>> explaining_most(values, [np.arange(200) % 2, np.arange(200) // 100])
    1
    """
    first, *others = (explained(values, labels, codes, policy=policy) for labels in partitions)
    found, most, least = 0, first, first.value + lead * first.told
    for number, other in enumerate(others, 1):
        if other.value > max(most.value + max(most.spread, other.spread), least):
            found, most = number, other
    return found


def explained(
    values: NDArray[np.float32],
    labels: NDArray[np.intp],
    codes: Sequence[Code] = (),
    *,
    policy: Explanation = EXPLANATION,
) -> Explained:
    """Return what the labels tell of the columns, one by one, less their own entropy.

    From the information about each column that is subtracted which labels have by chance (Miller
    1955). Rows that have a code are a bin of their own.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_features)
    labels : ndarray of shape (n_rows,)
    codes : sequence of Code, default=()
    policy : Explanation, default=EXPLANATION

    Returns
    -------
    Explained

    Examples
    --------
    >>> values = np.arange(400, dtype=np.float32).reshape(2, 200).T
    >>> labels = np.arange(200) // 100
    >>> float(np.round(explained(values[:, :1], labels).value, 1))  # of one column
    -0.0
    >>> float(np.round(explained(values, labels).value, 1))  # of two that depend on each other
    0.6
    """
    some = slice(None, None, -(-len(labels) // policy.max_rows))
    is_code = are_codes((len(labels), values.shape[1]), codes)[some]
    values, labels = values[some], labels[some]
    sizes = np.unique(labels, return_counts=True)[1]
    total, degrees = 0.0, 0
    for column, coded in zip(values.T, is_code.T, strict=True):
        bins = _binned(column, coded, policy.n_bins)
        degrees += (len(np.unique(bins)) - 1) * (len(sizes) - 1)
        total += float(mutual_info_score(bins, labels))
    # by chance 2 n times the information has a chi-squared distribution
    told = total - degrees / (2 * len(labels))
    spread = math.sqrt(degrees / 2) / len(labels)
    return Explained(told - float(entropy(sizes)), spread, told)


def _binned(
    column: NDArray[np.float32], coded: NDArray[np.bool_], n_bins: int
) -> NDArray[np.intp]:
    """Return the bin of each value, (n_rows,)."""
    edges = np.quantile(column[~coded], np.arange(1, n_bins) / n_bins)
    return np.where(coded, -1, np.searchsorted(edges, column, side="right"))
