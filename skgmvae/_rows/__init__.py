"""Rows in, tensors out: the units and the shape of the data, and the order of its batches."""

from .batches import Reservoir, n_batches, shuffled_batches
from .columns import Columns
from .containers import BLOCK_ROWS, blocks, dense, has_missing, rows_at_a_time, slices
from .copies import Copies
from .sources import Rows, SparseRows, joined
from .units import FARTHEST, Units, moments, resolution

__all__ = [
    "BLOCK_ROWS", "FARTHEST", "Columns", "Copies", "Reservoir", "Rows", "SparseRows", "Units",
    "blocks", "dense", "has_missing", "joined", "moments", "n_batches", "resolution", "rows_at_a_time",
    "shuffled_batches", "slices",
]
