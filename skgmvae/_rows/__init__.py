"""Rows in, tensors out: the units and the shape of the data, and the order of its batches."""

from .batches import Reservoir, mixed_order, n_batches, shuffled_batches
from .columns import DATES, TEXT, Columns, check_numbers, column_names, read_types
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
from .lazy import READ_TYPES, LazyRows, is_source
from .sources import Rows, SparseRows, joined
from .streamed import StreamedRows
from .units import FARTHEST, Units, moments, resolution

__all__ = [
    "BLOCK_ROWS",
    "DATES",
    "FARTHEST",
    "READ_TYPES",
    "TEXT",
    "Columns",
    "Copies",
    "LazyRows",
    "Reservoir",
    "Rows",
    "SparseRows",
    "StreamedRows",
    "Units",
    "blocks",
    "check_numbers",
    "column_names",
    "dense",
    "has_missing",
    "is_source",
    "joined",
    "mixed_order",
    "moments",
    "n_batches",
    "read_types",
    "resolution",
    "rows_at_a_time",
    "rows_of_values",
    "shuffled_batches",
    "slices",
]
