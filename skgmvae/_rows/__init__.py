"""Rows in, tensors out: the units and the shape of the data, and the order of its batches."""

from .batches import Reservoir, mixed_order, n_batches, shuffled_batches
from .columns import Columns, column_names
from .containers import (
    BLOCK_ROWS,
    blocks,
    dense,
    has_missing,
    rows_at_a_time,
    rows_of_values,
    slices,
)
from .copies import Copies
from .intake import checked_rows
from .lazy import LazyRows, is_source
from .sources import Rows, SparseRows, joined
from .streamed import StreamedRows
from .units import FARTHEST, Units, moments

__all__ = [
    "BLOCK_ROWS",
    "FARTHEST",
    "Columns",
    "Copies",
    "LazyRows",
    "Reservoir",
    "Rows",
    "SparseRows",
    "StreamedRows",
    "Units",
    "blocks",
    "checked_rows",
    "column_names",
    "dense",
    "has_missing",
    "is_source",
    "joined",
    "mixed_order",
    "moments",
    "n_batches",
    "rows_at_a_time",
    "rows_of_values",
    "shuffled_batches",
    "slices",
]
