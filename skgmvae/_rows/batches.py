"""The order of an epoch's batches, and rows of a stream to mix with new ones."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Reservoir", "n_batches", "shuffled_batches"]


def n_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of batches of an epoch."""
    return math.ceil(n_rows / int(batch_size))  # of Python: numbers of NumPy may overflow


def shuffled_batches(n_rows: int, batch_size: int, source: torch.Generator) -> Tensor:
    """Shuffle the row numbers into batches of one size, the largest up to `batch_size` that serves.

    Where the rows do not divide evenly, the last batch is filled with the first rows of the same
    order, less than one for each batch: one size is what a recorded step needs, and a last batch
    of a single row would leave batch norm without a variance.

    Returns
    -------
    Tensor of shape (n_batches, size)
        On the device of `source`.
    """
    n_steps = n_batches(n_rows, batch_size)
    size = math.ceil(n_rows / n_steps)
    order = torch.randperm(n_rows, generator=source, device=source.device)
    return torch.cat([order, order[: n_steps * size - n_rows]]).view(n_steps, size)


class Reservoir(NamedTuple):
    """A uniform sample of the rows of a stream: those with the smallest of random keys.

    Attributes
    ----------
    rows : Tensor of shape (n_kept, *data_shape)
    keys : Tensor of shape (n_kept,)
        Uniform on [0, 1], increasing.
    """

    rows: Tensor
    keys: Tensor

    @classmethod
    def empty(cls, data_shape: tuple[int, ...], device: torch.device) -> Reservoir:
        """Return a reservoir that has seen no row."""
        return cls(
            torch.empty(0, *data_shape, dtype=torch.float32, device=device),
            torch.empty(0, dtype=torch.float64, device=device),
        )

    def drawn(self, n_rows: int, source: torch.Generator) -> Tensor:
        """Draw so many of the rows without replacement, or all if there are no more."""
        order = torch.randperm(len(self.rows), generator=source, device=source.device)
        return self.rows[order[:n_rows].to(self.rows.device)]

    def updated(self, new: Tensor, capacity: int, source: torch.Generator) -> Reservoir:
        """Return a reservoir, of `capacity` rows at most, that has seen `new` rows too."""
        drawn = torch.rand(len(new), generator=source, dtype=torch.float64, device=source.device)
        keys, order = torch.cat([self.keys, drawn.to(self.keys.device)]).sort(stable=True)
        kept = order[:capacity]
        rows, n_old = new.new_empty(len(kept), *new.shape[1:]), len(self.rows)
        is_old = kept < n_old
        rows[is_old], rows[~is_old] = self.rows[kept[is_old]], new[kept[~is_old] - n_old]
        return Reservoir(rows, keys[:capacity])
