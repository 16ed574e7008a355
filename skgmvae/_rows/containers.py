"""What rows may come in: arrays, and sparse matrices, which are made dense a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

__all__ = ["BLOCK_ROWS", "blocks", "dense", "has_missing", "rows_at_a_time", "slices"]

#: Rows that are handled at a time, so that memory does not grow with X.
BLOCK_ROWS = 2048
#: Values of a sparse matrix that are made dense at a time: it may have many columns.
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
    array: NDArray[Any] = X.toarray() if issparse(X) else X[:]
    return array


def blocks(X: Any) -> Iterator[NDArray[Any]]:
    """Yield all rows as arrays, a block at a time."""
    size = rows_at_a_time(X.shape[1]) if issparse(X) else BLOCK_ROWS
    return (dense(X[block]) for block in slices(X.shape[0], size))


def rows_at_a_time(n_features: int) -> int:
    """Return how many rows of a sparse matrix are made dense at a time."""
    return min(BLOCK_ROWS, max(1, DENSE_VALUES // n_features))


def has_missing(X: Any) -> bool:
    """Whether values are NaN."""
    if X.dtype.kind != "f":
        return False
    if issparse(X):
        return bool(np.isnan(X.data).any())
    return any(bool(np.isnan(X[block]).any()) for block in slices(len(X), BLOCK_ROWS))
