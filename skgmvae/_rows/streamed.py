"""Training rows that are read a chunk at a time, for batches of rows that are not in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..runtime import CPU, cached_property
from .containers import blocks, dense, rows_at_a_time
from .lazy import LazyRows
from .sources import Conversion, Rows, joined
from .units import Units

__all__ = ["STREAMING", "StreamedRows", "Streaming"]


class Streaming(NamedTuple):
    """How rows are read in training. Chosen by hand, for memory; not tuned.

    Attributes
    ----------
    chunk_values : int
        Values that are read at a time, of neighboring rows: a megabyte in single precision.
    n_chunks : int
        Chunks whose rows are mixed at a time; twice as many are held.
    """

    chunk_values: int = 2**18
    n_chunks: int = 32


STREAMING = Streaming()


class StreamedRows(Rows):
    """Rows that are read as they are asked for, from a few chunks at a time.

    Parameters
    ----------
    lazy : LazyRows
    device : device
    conversion : Conversion
    streaming : Streaming, default=STREAMING
    """

    def __init__(
        self,
        lazy: LazyRows,
        device: torch.device,
        conversion: Conversion,
        streaming: Streaming = STREAMING,
    ) -> None:
        super().__init__(torch.empty(0, device=CPU), device)
        self._lazy = lazy
        self._conversion: Conversion = conversion  # of arrays, before they are on the device
        self._chunk_rows = max(1, streaming.chunk_values // lazy.shape[1])
        self._n_read = rows_at_a_time(lazy)
        self._n_held = 2 * streaming.n_chunks
        self._chunks: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self.mixed = self._chunk_rows, streaming.n_chunks

    @classmethod
    def of(cls, lazy: LazyRows, units: Units, device: torch.device) -> StreamedRows:
        """Return rows that are winsorized and standardized as they are read."""
        return cls(lazy, device, Conversion.winsorizing(units))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._lazy)

    @cached_property
    def has_missing(self) -> bool:
        """Whether values are missing, NaN."""
        return self._lazy.has_missing

    def take(self, index: Tensor) -> Tensor:
        """Return the rows (len(index), *data_shape)."""
        parts = np.split(index.cpu().numpy(), range(self._n_read, len(index), self._n_read))
        return joined(
            (self._conversion.of_array(self._read(part), self.device) for part in parts), len(index)
        )

    def blocks(self, index: Tensor | None = None) -> Iterator[Tensor]:
        """Yield all rows, or those of an index, a block at a time."""
        if index is None:
            for rows in blocks(self._lazy):
                yield self._conversion.of_array(rows, self.device)
        else:
            for part in index.split(self._n_read):
                yield self.take(part)

    def __reduce__(self) -> Any:
        raise TypeError("Rows in a file are read by the process that opened it.")

    def _read(self, numbers: NDArray[np.intp]) -> NDArray[Any]:
        chunk_of_row = numbers // self._chunk_rows
        needed = np.unique(chunk_of_row)
        if len(needed) > self._n_held:
            return dense(self._lazy[numbers])
        rows = np.empty((len(numbers), self._lazy.shape[1]), self._lazy.dtype)
        for number in needed:
            mine = chunk_of_row == number
            rows[mine] = self._chunk(number)[numbers[mine] - number * self._chunk_rows]
        return rows

    def _chunk(self, number: int) -> NDArray[Any]:
        """Return the rows of a chunk; those that were used last are held."""
        if number in self._chunks:
            self._chunks.move_to_end(number)
        else:
            first = number * self._chunk_rows
            self._chunks[number] = dense(self._lazy[first : first + self._chunk_rows])
            if len(self._chunks) > self._n_held:
                self._chunks.popitem(last=False)
        return self._chunks[number]
