"""Where training rows come from: an array that is kept as it is, and converted by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, issparse
from torch import Tensor

from ..distributed import ALONE, Group
from ..runtime import CPU, cached_property, free_memory, has_float64, staging_memory
from .containers import BLOCK_ROWS, blocks, dense, has_missing, rows_at_a_time, slices
from .copies import Reordered
from .units import FARTHEST, WINSORIZING, Units, Winsorizing

__all__ = [
    "RESIDENCE", "Residence", "Rows", "SparseRows", "joined",
]

#: Types of X that rows are kept in. Wider ones take less memory as what the model sees.
KEPT_TYPES = ("bool", "uint8", "int8", "int16", "int32", "float16", "float32")


class Residence(NamedTuple):
    """Whether rows are held on the device that trains, or in the memory of the host.

    Attributes
    ----------
    share : float
        Of the memory that is free on the device, which rows may take. The rest is for the start,
        the networks and their steps. Chosen by hand, not varied.
    """

    share: float = 0.5

    def home(self, n_bytes: int, device: torch.device) -> torch.device:
        """Return where rows of so many bytes are held."""
        return device if n_bytes <= self.share * free_memory(device) else CPU


RESIDENCE = Residence()


class Conversion(NamedTuple):
    """From values of X to what the model sees while training, in single precision.

    Attributes
    ----------
    units : Units
    low, high : ndarray of shape (n_features,)
        To which values are winsorized.
    """

    units: Units
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def winsorizing(cls, units: Units, rule: Winsorizing = WINSORIZING) -> Conversion:
        """Return the conversion to some units."""
        return cls(units, *units.limits(rule))

    def of_array(self, X: NDArray[Any], device: torch.device) -> Tensor:
        """Rows of X -> tensor (B, *data_shape)."""
        return self.units.to_model(np.clip(X, self.low, self.high), torch.float32, device)

    def on(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        """Return the same for tensors (B, n_features) on a device."""
        low, high, location, scale = (
            torch.tensor(values, device=device)
            for values in (self.low, self.high, self.units.location, self.units.scale)
        )

        def convert(rows: Tensor) -> Tensor:
            # what `Units.to_model` does, in double precision too: the same numbers, to the bit
            values = rows.to(torch.float64).clamp_(low, high)
            if self.units.are_counts:
                values = values.log1p_()
            values = values.sub_(location).div_(scale)
            return self.units.in_shape(values.clamp_(-FARTHEST, FARTHEST).to(torch.float32))

        return convert


class Rows:
    """Training rows in the model's units, in single precision.

    They are held once, on the device or, if they do not fit there, in the memory of the host, and
    converted as they are asked for.

    Parameters
    ----------
    held : Tensor of shape (n_rows, *data_shape) or (n_rows, n_features)
    device : device or None, default=None
        Where rows are asked for; None is where they are held.
    conversion : Conversion or None, default=None
        From what is held, (n_rows, n_features); None if it is in the model's units already.
    order : Tensor of shape (n_rows,) or None, default=None
        Which row of what is held each row is, on the same device; None if it is itself.

    Attributes
    ----------
    mixed : tuple of int or None
        Neighboring rows that are read together, and of how many such chunks rows are mixed in a
        batch; None where all rows are at hand.
    """

    mixed: tuple[int, int] | None = None

    def __init__(
        self,
        held: Tensor,
        device: torch.device | None = None,
        conversion: Conversion | None = None,
        order: Tensor | None = None,
    ) -> None:
        self.device = held.device if device is None else device
        self._held = held
        self._order = order
        self._conversion = conversion
        self._converted = None if conversion is None else conversion.on(self.device)

    @classmethod
    def standardized(
        cls,
        X: NDArray[Any],
        units: Units,
        device: torch.device,
        winsorizing: Winsorizing = WINSORIZING,
        residence: Residence = RESIDENCE,
    ) -> Rows:
        """Return the rows of X, winsorized and standardized.

        Where X is an array on the device, of a type of `KEPT_TYPES`, they share its memory: it must
        not change while they are in use.
        """
        conversion = Conversion.winsorizing(units, winsorizing)
        if issparse(X):
            return SparseRows(X, device, conversion)
        n_values = len(X) * X.shape[1]
        if X.dtype in KEPT_TYPES and has_float64(device):
            home = residence.home(X.dtype.itemsize * n_values, device)
            if isinstance(X, Reordered) and home == CPU:
                return cls(_tensor_of(X.X), device, conversion, torch.from_numpy(X.order))
            return cls(_tensor_of(dense(X)).to(home), device, conversion)
        home = residence.home(4 * n_values, device)
        converted = (conversion.of_array(block, home) for block in blocks(X))
        return cls(joined(converted, len(X)), device)

    @classmethod
    def of_array(cls, values: NDArray[np.float32], device: torch.device) -> Rows:
        """Return rows of values that are in the model's units already."""
        return cls(torch.from_numpy(values).to(device))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self._held if self._order is None else self._order)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of a row."""
        if self._conversion is None:
            return tuple(self._held.shape[1:])
        return self._conversion.units.data_shape

    @property
    def home(self) -> torch.device:
        """Where they are held; there an index costs no exchange with the device."""
        return self._held.device

    def take(self, index: Tensor) -> Tensor:
        """Return the rows (len(index), *data_shape).

        From the memory of the host they travel while the device is at work: the host is some steps
        ahead of it.
        """
        if self._converted is None or len(index) <= BLOCK_ROWS:
            return self._seen(self._gathered(index))
        return joined(self.blocks(index), len(index))

    def blocks(self, index: Tensor | None = None) -> Iterator[Tensor]:
        """Yield all rows, or those of an index, a block at a time."""
        if index is None:
            for block in slices(self.n_rows, BLOCK_ROWS):
                yield self._seen(self._block(block).to(self.device))
        else:
            for part in index.split(BLOCK_ROWS):
                yield self._seen(self._gathered(part))

    def matrix(self) -> Tensor:
        """Return all rows as a matrix (n_rows, n_features)."""
        if self._conversion is None:
            return self._held.to(self.device).flatten(1)
        return joined(self.blocks(), self.n_rows).flatten(1)

    def flat(self) -> NDArray[np.float32]:
        """Return all rows as an array (n_rows, n_features)."""
        return self.matrix().cpu().numpy()

    @cached_property
    def has_missing(self) -> bool:
        """Whether values are missing, NaN."""
        if not self._held.is_floating_point():
            return False
        parts = map(self._block, slices(self.n_rows, BLOCK_ROWS))
        return any(bool(part.isnan().any()) for part in parts)

    def typical_norm(self, group: Group = ALONE) -> float:
        """Root mean square norm of a row, of a few thousand, in the model's units.

        Missing values count as the mean, which is 0.
        """
        stride = max(1, group.n_rows(self.n_rows) // BLOCK_ROWS)  # rows may be sorted
        first = -group.first_row % stride
        some = torch.arange(first, max(first, self.n_rows), stride, device=self.home)
        squares = self.take(some).flatten(1).square().nan_to_num()
        return float(group.mean(squares.sum(1)).sqrt())

    def _block(self, block: slice) -> Tensor:
        """Return what is held of neighboring rows, where it is held."""
        return self._held[block if self._order is None else self._order[block]]

    def _gathered(self, index: Tensor) -> Tensor:
        """Return what is held of some rows, on the device."""
        index = index.to(self.home)
        if self._order is not None:
            index = self._order[index]
        if self.home == self.device:
            return self._held.index_select(0, index)
        shape = (len(index), *self._held.shape[1:])
        staged = staging_memory(shape, self._held.dtype, self.device)
        return torch.index_select(self._held, 0, index, out=staged).to(
            self.device, non_blocking=True
        )

    def _seen(self, held: Tensor) -> Tensor:
        return held if self._converted is None else self._converted(held)

    def __reduce__(self) -> tuple[Any, ...]:
        # as an array, which joblib maps into the memory of its processes instead of copying it
        held, home, device = self._held.cpu().numpy(), str(self.home), str(self.device)
        order = None if self._order is None else self._order.numpy()
        return _from_array, (held, home, device, self._conversion, order)


class SparseRows(Rows):
    """Rows of a sparse matrix, which are made dense as they are asked for.

    Parameters
    ----------
    sparse : csr_array of shape (n_rows, n_features)
    device : device
    conversion : Conversion
    """

    def __init__(self, sparse: csr_array, device: torch.device, conversion: Conversion) -> None:
        super().__init__(torch.empty(0, device=CPU), device)
        self._sparse = sparse
        self._conversion: Conversion = conversion  # of arrays, before they are on the device

    @classmethod
    def of_values(cls, sparse: csr_array, device: torch.device) -> SparseRows:
        """Return rows of values that are in the model's units already."""
        units = Units.fractions(sparse, 1.0, None)
        return cls(sparse, device, Conversion.winsorizing(units))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self._sparse.shape[0])

    @cached_property
    def has_missing(self) -> bool:
        """Whether values are missing, NaN."""
        return has_missing(self._sparse)

    def take(self, index: Tensor) -> Tensor:
        """Return the rows (len(index), *data_shape)."""
        return joined(self.blocks(index), len(index))

    def blocks(self, index: Tensor | None = None) -> Iterator[Tensor]:
        """Yield all rows, or those of an index, a block at a time."""
        index = torch.arange(self.n_rows, device=CPU) if index is None else index
        for part in index.split(rows_at_a_time(self._sparse)):
            rows = self._sparse[part.cpu().numpy()].toarray()
            yield self._conversion.of_array(rows, self.device)

    def scaled(self, index: NDArray[np.intp]) -> csr_array:
        """Return some rows in the model's units, but for the location, as a sparse matrix.

        Their distances are those of the rows, but where these are winsorized.
        """
        units, rows = self._conversion.units, self._sparse[index]
        if units.are_counts:
            rows = rows.astype(np.float64).log1p()
        return csr_array(rows @ diags_array(1 / units.scale))

    def __reduce__(self) -> tuple[Any, ...]:
        return _of_sparse, (self._sparse, str(self.device), self._conversion)


def _of_sparse(sparse: csr_array, device: str, conversion: Conversion) -> Rows:
    return SparseRows(sparse, torch.device(device), conversion)


def _from_array(
    held: NDArray[Any],
    home: str,
    device: str,
    conversion: Conversion | None,
    order: NDArray[np.intp] | None,
) -> Rows:
    return Rows(
        _tensor_of(held).to(home), torch.device(device), conversion,
        None if order is None else _shared(order),
    )


def joined(blocks: Iterable[Tensor], n_rows: int) -> Tensor:
    """Join blocks that are made one after another, of so many rows together.

    None is kept meanwhile: small results between large intermediate ones would keep the memory of
    these in pieces.
    """
    whole: Tensor | None = None
    first = 0
    for block in blocks:
        if whole is None:
            whole = block.new_empty(n_rows, *block.shape[1:])
        whole[first : first + len(block)] = block
        first += len(block)
    assert whole is not None
    return whole


class _Shared:
    """Hands the memory of an array to torch, which warns of any that is read-only.

    X of the user's may be, and what joblib maps into its processes is. Nothing writes to it.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array  # lives as long as what is made of it
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = array.__array_interface__ | {"data": (address, False)}


def _tensor_of(array: NDArray[Any]) -> Tensor:
    """Return a tensor of the same memory, or of a copy if the values of a row are not adjacent.

    From the columns of a table in Fortran's order a batch of 256 rows and 784 bytes was gathered
    in 1.2 ms, from its rows in .02.
    """
    to_next_row, *_, to_next_value = array.strides
    if to_next_value != array.itemsize or to_next_row < 0 or to_next_row % array.itemsize:
        array = np.ascontiguousarray(array)
    return _shared(array)


def _shared(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.asarray(_Shared(array)))
