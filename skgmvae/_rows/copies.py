"""The rows of a fit in an order of their own, each as often as its weight says.

A fit to rows in memory is a function of the distinct ones and their weights alone: neither their
order matters, nor whether one is repeated or has twice the weight. Rows in a file are taken as they
lie there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import issparse
from torch import Tensor

from ..distributed import ALONE, Group
from ..runtime import CPU
from .containers import dense, slices
from .lazy import LazyRows

__all__ = ["COPIES", "Copies", "CopyRule", "Reordered", "canonical_order"]

#: Values that are brought into a form that can be sorted at a time.
KEY_VALUES = 2**21


class CopyRule(NamedTuple):
    """How many copies there are in all.

    Chosen by hand, for time: rows are drawn by their exact weights while training, and copies only
    tell the initial partition how many rows there are.

    Attributes
    ----------
    max_rows : int
        Copies in all where there are fewer distinct rows than that. Weights may stand for any
        number of rows.
    """

    max_rows: int = 10_000


COPIES = CopyRule()


class Copies(NamedTuple):
    """The distinct rows that have a weight, sorted, each as a whole number of copies.

    Attributes
    ----------
    rows : array-like or sparse matrix of shape (n_own, n_features)
        Those of which this process has a part, mostly all.
    weights : ndarray of shape (n_own,) or None
        What a copy counts, about 1; None where all count 1.
    order : ndarray of shape (n_copies,)
        Which row of X a copy is: the first of those that are identical.
    inverse : ndarray of shape (n_samples,)
        The first copy of each row of X; -1 if it has no weight.
    unit : float, default=1.0
        What of the weights of X a copy that counts 1 stands for, by which a stream that follows
        weighs its own rows against these.
    """

    rows: Any
    weights: NDArray[np.float64] | None
    order: NDArray[np.intp]
    inverse: NDArray[np.intp]
    unit: float = 1.0

    @classmethod
    def of(
        cls,
        X: Any,
        sample_weight: NDArray[np.float64] | None = None,
        group: Group = ALONE,
        *,
        is_stream: bool = False,
        rule: CopyRule = COPIES,
    ) -> Copies:
        """Return the copies of the rows of X.

        A weight of 2 is the row twice. Weights whose mean over distinct rows is below 1 are taken
        in proportion, as if it were 1, but in a stream, of which other rows have weights too.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
        sample_weight : ndarray of shape (n_samples,) or None
            Not negative, and not all 0.
        group : Group, default=ALONE
            Of processes that have other rows, which count for how often each row is copied.
        is_stream : bool, default=False
        rule : CopyRule, default=COPIES

        Examples
        --------
        >>> X = np.array([[3.0], [1.0], [3.0]])
        >>> copies = Copies.of(X, np.array([2.0, 1.0, 1.0]))
        >>> copies.rows[:].T, copies.inverse
        (array([[1., 3., 3., 3.]]), array([1, 0, 1]))
        """
        if isinstance(X, LazyRows):
            return cls._as_they_lie(X, sample_weight, group)
        order, is_new = canonical_order(X)
        if sample_weight is None and group.is_alone and is_new.all():  # as below, in less memory
            inverse = np.empty_like(order)
            inverse[order] = np.arange(len(order))
            return cls(reordered(X, order), None, order, inverse)
        point = is_new.cumsum() - 1
        if sample_weight is None:
            sample_weight = np.ones(len(order))
        else:  # sums do not depend on the order of the rows either
            order = order[np.lexsort((sample_weight[order], point))]
            has_weight = sample_weight[order] > 0
            order = order[has_weight]
            _, point = np.unique(point[has_weight], return_inverse=True)
        weights = np.bincount(point, sample_weight[order])
        first = np.minimum.reduceat(order, np.flatnonzero(np.diff(point, prepend=-1)))
        n_points, total = group.sum(np.array([len(weights), weights.sum()]))
        size = min(total, max(n_points, rule.max_rows))
        if not is_stream:
            size = max(size, n_points)
        scaled = weights * (size / total)
        n_copies = np.maximum(1, np.rint(scaled)).astype(np.intp)
        # in a stream other rows are of other weights, against which these count in full
        counted = weights if is_stream else scaled
        own = (counted / n_copies).repeat(n_copies)
        begins = n_copies.cumsum() - n_copies
        inverse = np.full(X.shape[0], -1)
        inverse[order] = begins[point]
        copied = first.repeat(n_copies)
        unit = 1.0 if is_stream else float(total / size)
        ends = group.gathered((own.min(initial=np.inf), own.max(initial=0.0)))
        least, most = min(low for low, _ in ends), max(high for _, high in ends)
        are_equal = most - least < 1e-9 * most and (most == 1 or not is_stream)
        if are_equal:
            unit *= float(most)
        return cls(reordered(X, copied), None if are_equal else own, copied, inverse, unit)

    @classmethod
    def _as_they_lie(
        cls, X: LazyRows, sample_weight: NDArray[np.float64] | None, group: Group
    ) -> Copies:
        """Return rows of a source in the order in which they are read, one copy of each."""
        order, unit = X.reading_order, 1.0
        if sample_weight is not None:
            order = order[sample_weight[order] > 0]
            sample_weight = sample_weight[order]
            n_rows, total = group.sum(np.array([len(order), sample_weight.sum()]))
            sample_weight, unit = sample_weight * (n_rows / total), float(total / n_rows)
        inverse = np.full(len(X), -1)
        inverse[order] = np.arange(len(order))
        is_all = len(order) == len(X) and (order == np.arange(len(X))).all()
        return cls(X if is_all else X[order], sample_weight, order, inverse, unit)

    def points(self, group: Group = ALONE) -> NDArray[np.intp]:
        """Return which distinct row each copy of all processes is of, as numbers from 0.

        A row that two processes have counts twice.
        """
        points = np.cumsum(np.diff(self.order, prepend=-1) != 0) - 1
        if group.is_alone or group.has_one_source:
            return points
        parts = group.gathered(points)
        begins = np.cumsum([0, *(part.max(initial=-1) + 1 for part in parts[:-1])])
        return np.concatenate([part + begin for part, begin in zip(parts, begins, strict=True)])

    def each_weight(self) -> Tensor:
        """Return what each copy counts, (n_own,), in double precision, on the CPU."""
        weights = np.ones(self.rows.shape[0]) if self.weights is None else self.weights
        return torch.tensor(weights, device=CPU)

    def of_weight(self, X: Any) -> Any:
        """Return the rows of X that have a weight, each once."""
        has_weight = self.inverse >= 0
        return X if has_weight.all() else X[has_weight]

    def part(self, own: slice) -> Copies:
        """Return the same, of which this process has a part."""
        if own == slice(None):
            return self
        return self._replace(
            rows=self.rows[own], weights=None if self.weights is None else self.weights[own]
        )


class Reordered:
    """Rows of an array in another order, some of them repeated or left out; nothing is copied.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
    order : ndarray of shape (n_rows,)
    """

    def __init__(self, X: NDArray[Any], order: NDArray[np.intp]) -> None:
        self.X = X
        self.order = order
        self.dtype = X.dtype
        self.shape = (len(order), X.shape[1])

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, key: Any) -> Any:
        """Return rows as an array; of columns, ``[:, columns]``, the same in this order."""
        if isinstance(key, tuple):
            rows, columns = key
            return Reordered(self.X[:, columns], self.order[rows])
        return self.X[self.order[key]]


def reordered(X: Any, order: NDArray[np.intp]) -> Any:
    """Return rows in another order: the same object where that changes nothing."""
    if len(order) == X.shape[0] and (order == np.arange(len(order))).all():
        return X
    return X[order] if issparse(X) else Reordered(X, order)


def canonical_order(X: Any) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Sort the rows by their first value, where these are equal by the second, and so on.

    NaN is the largest of all values.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)

    Returns
    -------
    order : ndarray of shape (n_samples,)
    is_new : ndarray of shape (n_samples,)
        Whether a row, in that order, differs from the one before.

    Examples
    --------
    >>> canonical_order(np.array([[2.0, 0.0], [1.0, 5.0], [1.0, 4.0], [2.0, -0.0]]))
    (array([2, 1, 0, 3]), array([ True,  True,  True, False]))
    """
    n_rows, n_features = X.shape
    order, is_new = np.arange(n_rows), np.zeros(n_rows, bool)
    is_new[0] = True
    for columns in slices(n_features, max(1, KEY_VALUES // n_rows)):
        group = is_new.cumsum()
        tied = np.flatnonzero(np.bincount(group)[group] > 1)
        if not len(tied):
            break
        keys = _sortable(dense(X[order[tied], columns]))
        keys = np.hstack([group[tied].astype(">i8").view(np.uint8).reshape(len(tied), 8), keys])
        by_value = keys.view(f"V{keys.shape[1]}").ravel().argsort(kind="stable")
        order[tied], keys = order[tied[by_value]], keys[by_value]
        is_new[tied[1:]] |= (keys[1:] != keys[:-1]).any(1)
    return order, is_new


def _sortable(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return bytes (n_rows, n) that are sorted, one after the other, as the values are."""
    kind = values.dtype.kind
    if kind in "bu":
        unsigned = values.view(f"u{values.itemsize}")
    else:
        unsigned_type: Any = np.dtype(f"u{values.itemsize}").type
        top = unsigned_type(1 << (8 * values.itemsize - 1))
        if kind == "f":
            values = values + values.dtype.type(0)  # -0.0 equals 0.0
            values[np.isnan(values)] = np.nan
        bits = np.ascontiguousarray(values).view(top.dtype)
        # of negative floats all bits are turned, of other numbers only the sign
        unsigned = bits ^ np.where(bits & top, ~unsigned_type(0) if kind == "f" else top, top)
    sorted_as_bytes = np.ascontiguousarray(unsigned.astype(unsigned.dtype.newbyteorder(">")))
    return sorted_as_bytes.view(np.uint8).reshape(len(values), -1)
