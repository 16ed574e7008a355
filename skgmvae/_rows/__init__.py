"""Rows in, tensors out: the units and the shape of the data, and the order of its batches."""

from .batches import Reservoir, n_batches, shuffled_batches
from .sources import Rows, joined
from .units import BLOCK_ROWS, FARTHEST, Units, moments, resolution, slices

__all__ = [
    "BLOCK_ROWS", "FARTHEST", "Reservoir", "Rows", "Units", "joined", "moments", "n_batches",
    "resolution", "shuffled_batches", "slices",
]
