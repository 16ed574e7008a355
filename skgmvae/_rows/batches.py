"""The order of an epoch's batches, and rows of a stream to mix with new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..runtime import CPU, most_precise
from .sources import Rows

__all__ = ["Reservoir", "mixed_order", "n_batches", "shuffled_batches"]


def n_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of batches of an epoch."""
    return math.ceil(n_rows / int(batch_size))  # of Python: numbers of NumPy may overflow


def shuffled_batches(
    n_rows: int,
    batch_size: int,
    source: torch.Generator,
    weights: Tensor | None = None,
    order: Tensor | None = None,
) -> Tensor:
    """Shuffle the row numbers into batches of one size, the largest up to `batch_size` that serves.

    Where the rows do not divide evenly, the last batch is filled with the first rows of the same
    order, less than one for each batch: one size is what a recorded step needs, and a last batch
    of a single row would leave batch norm without a variance.

    With weights (n_rows,) a row is drawn in proportion to its own: as often as whole times of its
    share go into it, and once more with the probability of the rest (systematic sampling). The
    order (n_rows,) may be given, as that of `mixed_order`.

    Returns
    -------
    Tensor of shape (n_batches, size)
        On the device of `source`.
    """
    n_steps = n_batches(n_rows, batch_size)
    size = math.ceil(n_rows / n_steps)
    if order is None:
        order = torch.randperm(n_rows, generator=source, device=source.device)
    if weights is not None:
        order = _drawn_by_weight(weights, source)[order]
    return torch.cat([order, order[: n_steps * size - n_rows]]).view(n_steps, size)


def mixed_order(
    counts: Sequence[int], chunk_rows: int, n_chunks: int, source: torch.Generator
) -> Tensor:
    """Shuffle chunks of neighboring rows, and the rows of so many chunks among each other.

    So all rows come in an order in which those of a batch lie in few chunks. Each process, of
    which `counts` has the rows, reads its own, and all take an equal part in each batch.

    Returns
    -------
    Tensor of shape (sum of counts,)
        On the device of `source`.
    """
    n_windows = max(1, math.ceil(max(counts) / (chunk_rows * n_chunks)))
    windows = []
    for n_rows in counts:
        n_own = math.ceil(n_rows / chunk_rows)
        place = torch.randperm(n_own, generator=source, device=source.device)
        chunk = torch.arange(n_rows, device=source.device) // chunk_rows
        windows.append(place[chunk] * n_windows // n_own)
    window = torch.cat(windows)
    device = source.device
    within = torch.rand(len(window), generator=source, dtype=most_precise(device), device=device)
    return (window + within).argsort()


def _drawn_by_weight(weights: Tensor, source: torch.Generator) -> Tensor:
    """Draw as many row numbers as there are weights, in proportion to these, (n_rows,)."""
    device, dtype = source.device, most_precise(source.device)
    n_rows, total = len(weights), weights.to(dtype).cumsum(0)
    start = torch.rand((), generator=source, dtype=dtype, device=device)
    steps = torch.arange(n_rows, dtype=dtype, device=device) + start
    drawn = torch.searchsorted(total, steps * (total[-1] / n_rows), right=True)
    return drawn.clamp_(max=n_rows - 1)


class Reservoir(NamedTuple):
    """A sample of the rows of a stream: those with the smallest of random keys.

    It is uniform, unless it is told which clusters rows are in. Then it has as many rows of each
    cluster as a uniform sample has, but the latest of them.

    Attributes
    ----------
    rows : Tensor of shape (n_kept, *data_shape)
        In the order in which they came.
    weights : Tensor of shape (n_kept,)
        In double precision on the CPU, as keys are: not all devices have it.
    keys : Tensor of shape (n_kept,)
        Uniform on [0, 1].
    """

    rows: Tensor
    weights: Tensor
    keys: Tensor

    @classmethod
    def empty(cls, data_shape: tuple[int, ...], device: torch.device) -> Reservoir:
        """Return a reservoir that has seen no row."""
        return cls(
            torch.empty(0, *data_shape, dtype=torch.float32, device=device),
            torch.empty(0, dtype=torch.float64, device=CPU),
            torch.empty(0, dtype=torch.float64, device=CPU),
        )

    @classmethod
    def of_rows(
        cls, rows: Rows, weights: Tensor, capacity: int, source: torch.Generator
    ) -> Reservoir:
        """Return a reservoir that has seen some rows, all at once."""
        keys, order = torch.rand(
            rows.n_rows, generator=source, dtype=torch.float64, device=source.device
        ).sort()
        kept = order[:capacity]
        return cls(rows.take(kept.to(rows.device)), weights[kept], keys[:capacity])

    def drawn(self, n_rows: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw so many rows, with their weights, without replacement; all if there are no more."""
        order = torch.randperm(len(self.rows), generator=source, device=source.device)
        index = order[:n_rows]
        return self.rows[index.to(self.rows.device)], self.weights[index]

    def updated(
        self,
        new: Tensor,
        weights: Tensor,
        capacity: int,
        source: torch.Generator,
        labels: Tensor | None = None,
    ) -> Reservoir:
        """Return a reservoir, of `capacity` rows at most, that has seen `new` rows too.

        Labels are the clusters of the rows here and of the new ones, (n_kept + n_new,).
        """
        # new rows are all of one age, and follow in a random order
        drawn, order = torch.rand(
            len(new), generator=source, dtype=torch.float64, device=source.device
        ).sort(descending=True)
        keys, n_old = torch.cat([self.keys, drawn]), len(self.rows)
        numbers = torch.cat([torch.arange(n_old, device=CPU), n_old + order])
        if labels is not None:  # the later a row of a cluster, the smaller of its keys it gets
            labels = labels.to(CPU)[numbers]
            by_age = labels.argsort(stable=True)
            by_key = keys.argsort(descending=True, stable=True)
            by_key = by_key[labels[by_key].argsort(stable=True)]
            keys = keys.index_copy(0, by_age, keys[by_key])
        kept = keys.argsort(stable=True)[:capacity].sort().values
        keys, numbers = keys[kept], numbers[kept]
        n_kept = int((numbers < n_old).sum())  # of the old ones, which come first
        old, others = numbers[:n_kept], numbers[n_kept:] - n_old
        rows = torch.cat([self.rows[old.to(new.device)], new[others.to(new.device)]])
        return Reservoir(rows, torch.cat([self.weights, weights])[numbers], keys)
