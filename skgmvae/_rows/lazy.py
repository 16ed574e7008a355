"""Rows that stay where they are, in a file mostly, until they are used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from ..runtime import cached_property

__all__ = ["LAZY_BYTES", "READ_TYPES", "LazyRows", "is_source"]

#: Size from which on a memory-mapped array is left in its file.
LAZY_BYTES = 2**28
#: Types that rows keep; others are read as double precision.
READ_TYPES = [np.float64, np.float32, np.uint8]
#: Rows of a source that one request spans at the most, where it is for some of them.
SPAN = 4096


class LazyRows:
    """Rows of a source, read when they are used.

    The methods of :class:`~skgmvae.GMVAEClustering` take a source as it is. This class is for what
    selects rows before, as `train_test_split` and `GridSearchCV` do: a selection of it is lazy too,
    and ``np.asarray`` reads it.

    Parameters
    ----------
    source : object
        With `shape` (n_rows, n_features), `dtype` and ``source[key]``, where the key is a slice
        without a step or an increasing array of row numbers: a dataset of h5py, an array of zarr or
        dask, `numpy.memmap`, or of a class of your own.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, n_features).
    ndim : int
        2.
    dtype : dtype
        Of what is read: that of the source if it is float64, float32 or uint8, else float64.
    has_missing : bool
        Whether values are NaN. All rows are read for it, once.
    reading_order : ndarray of shape (n_rows,)
        The numbers of the rows in the order of the source, in which they are read fastest.

    Raises
    ------
    TypeError
        If the source has no `shape`, `dtype` or rows; if columns or a single row are selected.
    ValueError
        If the source is not two-dimensional or not of numbers; ``np.asarray`` if it has infinity.
    IndexError
        If rows are selected that are not there.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import train_test_split
    >>> from skgmvae.sources import LazyRows
    >>> rows = LazyRows(np.arange(8.0).reshape(4, 2))
    >>> train, test = train_test_split(rows, random_state=0)
    >>> train
    LazyRows(3 of 4 rows, 2 features, float64)
    >>> np.asarray(test)
    array([[4., 5.]])
    """

    def __init__(self, source: Any) -> None:
        if not _has_rows(source):
            raise TypeError(
                f"source={type(source).__name__} must have shape, dtype and rows by slices and by "
                "sorted integer arrays, as a dataset of h5py has them."
            )
        if len(source.shape) != 2:
            raise ValueError(
                f"X has shape {tuple(source.shape)}; it must be (n_samples, n_features)."
            )
        if source.dtype.kind not in "fiub":
            raise ValueError(
                f"X has values of type {source.dtype}, not numbers: convert them in the file, or "
                "pass a table in memory, whose columns may be categories."
            )
        self._source = source
        self._rows: range | NDArray[np.intp] = range(source.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and features."""
        return len(self._rows), self._source.shape[1]

    @property
    def ndim(self) -> int:
        """Number of axes: 2."""
        return 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what is read."""
        dtype: np.dtype[Any] = self._source.dtype
        return dtype.newbyteorder("=") if dtype.type in READ_TYPES else np.dtype(np.float64)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return (
            f"LazyRows({len(self)} of {self._source.shape[0]} rows, {self.shape[1]} features, "
            f"{self.dtype})"
        )

    def __getitem__(self, key: Any) -> LazyRows:
        """Select rows, by a slice, an array of numbers or a mask; nothing is read."""
        if isinstance(key, tuple):  # as scikit-learn asks for rows
            key, *rest = key
            if rest not in ([Ellipsis], [slice(None)]):
                raise TypeError("LazyRows selects rows, not columns: read them by np.asarray.")
        rows = self._rows
        selected = LazyRows(self._source)
        if isinstance(key, slice):
            selected._rows = rows[key]
            return selected
        numbers = np.asarray(key)
        if numbers.ndim != 1 or (len(numbers) and numbers.dtype.kind not in "iub"):
            raise TypeError(
                f"LazyRows selects several rows at a time, by whole numbers or a mask, not "
                f"key={key!r}."
            )
        if numbers.dtype == bool:
            if len(numbers) != len(rows):
                raise IndexError(
                    f"The mask has {len(numbers)} values, and there are {len(rows)} rows."
                )
            numbers = np.flatnonzero(numbers)
        numbers = numbers.astype(np.intp)  # which holds the number of any row
        numbers = np.where(numbers < 0, numbers + len(rows), numbers)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(rows):
            raise IndexError(f"Rows {key!r} are asked for, and there are {len(rows)}.")
        if isinstance(rows, range):
            selected._rows = rows.start + rows.step * numbers
        else:
            selected._rows = rows[numbers]
        return selected

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        rows = self._rows
        if not len(rows):
            values = np.empty(self.shape)
        elif isinstance(rows, range) and rows.step == 1:
            values = self._requested(slice(rows.start, rows.stop), len(rows))
        else:
            numbers, inverse = np.unique(np.asarray(rows), return_inverse=True)
            values = self._of_increasing(numbers)
            if (inverse != np.arange(len(rows))).any():
                values = values[inverse]
        values = np.asarray(values)
        read = values.astype(self.dtype if dtype is None else dtype, copy=False)
        if copy is False and not np.shares_memory(read, values):
            raise ValueError(
                f"copy=False, but rows of {values.dtype} have to be copied to become "
                f"{read.dtype}. Leave copy out."
            )
        if read.dtype.kind == "f" and np.isinf(read).any():
            raise ValueError("Input X contains infinity: mark missing values by NaN.")
        return read.copy() if copy and np.shares_memory(read, values) else read

    @property
    def reading_order(self) -> NDArray[np.intp]:
        """In which order rows are read fastest: that of the source."""
        return np.asarray(self._rows).argsort(kind="stable")

    @cached_property
    def has_missing(self) -> bool:
        """Whether values are NaN, by a pass over all rows."""
        if self.dtype.kind != "f":
            return False
        size = max(1, 2**18 // self.shape[1])
        return any(
            bool(np.isnan(np.asarray(self[first : first + size])).any())
            for first in range(0, len(self), size)
        )

    def _of_increasing(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        """Read rows of increasing numbers, near ones by one request."""
        begins = np.flatnonzero(np.diff(numbers // SPAN, prepend=-1))
        parts = [self._near(part) for part in np.split(numbers, begins[1:])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _near(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        first, last = int(numbers[0]), int(numbers[-1])
        if 8 * len(numbers) < last - first:  # a contiguous request is as fast as some single ones
            return self._requested(numbers, len(numbers))
        return self._requested(slice(first, last + 1), last + 1 - first)[numbers - first]

    def _requested(self, key: Any, n_rows: int) -> NDArray[Any]:
        rows = np.asarray(self._source[key])
        if rows.shape != (n_rows, self.shape[1]):
            raise ValueError(
                f"The source of X returned an array of shape {rows.shape} for {n_rows} rows of "
                f"{self.shape[1]} features: source[key] must return the rows that it is asked for."
            )
        return rows


def is_source(X: Any) -> bool:
    """Whether X holds rows that are not in memory."""
    if isinstance(X, np.ndarray):
        return isinstance(X, np.memmap) and X.nbytes > LAZY_BYTES
    return _has_rows(X)


def _has_rows(X: Any) -> bool:
    # of a number of numpy the shape is empty
    has_protocol = bool(getattr(X, "shape", ())) and hasattr(X, "__getitem__")
    is_table = hasattr(X, "iloc") or issparse(X)  # of pandas, or sparse
    return has_protocol and not is_table and isinstance(getattr(X, "dtype", None), np.dtype)
