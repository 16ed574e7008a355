"""Where training rows come from: an array, standardized once and put on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..distributed import ALONE, Group
from .units import BLOCK_ROWS, Units, slices

__all__ = ["WINSORIZING", "Rows", "Winsorizing"]


class Winsorizing(NamedTuple):
    """How far from the location a value may be while training; one beyond counts as there.

    A single row that is far from all others would determine the statistics of batch norm, and
    most of the loss. Chosen by hand: values that are not far from others are within one range.

    Attributes
    ----------
    n_ranges : float
        In ranges of the column, see `Units.spread`.
    """

    n_ranges: float = 3.0


WINSORIZING = Winsorizing()


class Rows:
    """Training rows in the model's units, in single precision, resident on a device.

    Parameters
    ----------
    resident : Tensor of shape (n_rows, *data_shape)
    """

    def __init__(self, resident: Tensor) -> None:
        self._resident = resident

    @classmethod
    def standardized(
        cls,
        X: NDArray[Any],
        units: Units,
        device: torch.device,
        winsorizing: Winsorizing = WINSORIZING,
    ) -> Rows:
        """Winsorize and standardize X, a block at a time."""
        reach = winsorizing.n_ranges * units.spread
        # a chunk of a stream may lie elsewhere than the first
        low = np.minimum(units.location - reach, units.lowest)
        high = np.maximum(units.location + reach, units.highest)
        blocks = slices(len(X), BLOCK_ROWS)
        return cls(torch.cat([
            units.to_model(np.clip(X[block], low, high), torch.float32, device) for block in blocks
        ]))

    @classmethod
    def of_array(cls, values: NDArray[np.float32], device: torch.device) -> Rows:
        """Return rows of values that are in the model's units already."""
        return cls(torch.from_numpy(values).to(device))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._resident)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self._resident.device

    def take(self, index: Tensor) -> Tensor:
        """Return the rows (len(index), *data_shape)."""
        return self._resident.index_select(0, index)

    def blocks(self) -> Iterator[Tensor]:
        """Yield all rows, a block at a time."""
        yield from self._resident.split(BLOCK_ROWS)

    def matrix(self) -> Tensor:
        """Return all rows as a matrix (n_rows, n_features)."""
        return self._resident.flatten(1)

    def flat(self) -> NDArray[np.float32]:
        """Return all rows as an array (n_rows, n_features)."""
        return self.matrix().cpu().numpy()

    def typical_norm(self, group: Group = ALONE) -> float:
        """Root mean square norm of a row, of a few thousand, in the model's units."""
        stride = max(1, group.n_rows(self.n_rows) // BLOCK_ROWS)  # rows may be sorted
        first = -group.first_row % stride
        some = torch.arange(first, max(first, self.n_rows), stride, device=self.device)
        return float(group.mean(self.take(some).flatten(1).square().sum(1)).sqrt())

    def __reduce__(self) -> tuple[Any, ...]:
        # as an array, which joblib maps into the memory of its processes instead of copying it
        return _from_array, (self._resident.cpu().numpy(), str(self.device))


def _from_array(resident: NDArray[np.float32], device: str) -> Rows:
    # copied: torch warns of memory that is read-only, as mapped memory is
    return Rows(torch.tensor(resident, device=device))
