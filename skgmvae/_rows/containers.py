"""What rows may come in: arrays, and sparse matrices and files, which become arrays by blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from .lazy import LazyRows

__all__ = [
    "BLOCK_ROWS", "blocks", "dense", "has_missing", "rows_at_a_time", "rows_of_values", "slices",
]

#: Rows that are handled at a time, so that memory does not grow with X.
BLOCK_ROWS = 2048
#: Values that become an array at a time where there was none: rows may have many columns.
DENSE_VALUES = 2**19


def slices(n: int, size: int) -> Iterator[slice]:
    """Yield the slices of a range of n, of so many each, as scikit-learn's `gen_batches` does.

    That one checks its arguments, for a tenth of the time that `predict` takes for a row.

    Examples
    --------
    >>> list(slices(5, 3))
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return (slice(first, min(first + size, n)) for first in range(0, n, size))


def dense(X: Any) -> NDArray[Any]:
    """Return rows as an array; of the same memory if they are one.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> dense(csr_array([[0.0, 1.0]]))
    array([[0., 1.]])
    """
    if issparse(X):
        X = X.toarray()
    array: NDArray[Any] = np.asarray(X) if isinstance(X, LazyRows) else X[:]
    return array


def blocks(X: Any) -> Iterator[NDArray[Any]]:
    """Yield all rows as arrays, a block at a time."""
    return (dense(X[block]) for block in slices(X.shape[0], rows_at_a_time(X)))


def rows_at_a_time(X: Any, at_most: int = BLOCK_ROWS) -> int:
    """Return how many rows are handled at a time, fewer if an array is made of them first."""
    made_dense = issparse(X) or isinstance(X, LazyRows)
    return min(at_most, rows_of_values(X.shape[1])) if made_dense else at_most


def rows_of_values(n_features: int) -> int:
    """Return how many rows of so many features become an array at a time."""
    return min(BLOCK_ROWS, max(1, DENSE_VALUES // n_features))


def has_missing(X: Any) -> bool:
    """Whether values are NaN."""
    if X.dtype.kind != "f":
        return False
    if issparse(X):
        return bool(np.isnan(X.data).any())
    if isinstance(X, LazyRows):
        return X.has_missing
    return any(bool(np.isnan(X[block]).any()) for block in slices(len(X), BLOCK_ROWS))
