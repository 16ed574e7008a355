"""The processes that fit one model together: the default process group of torch.distributed.

A process that is alone has the same methods, which hand back what they are given at once.
"""

from __future__ import annotations

import atexit
import builtins
import hashlib
import math
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from scipy.sparse import issparse, vstack
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = [
    "ALONE", "SAMPLE", "BatchNormOfAll", "Group", "SampleRule", "Share", "digest_of_rows", "join",
]

T = TypeVar("T")


class SampleRule(NamedTuple):
    """What is computed once for all processes: units and the initial partition.

    Attributes
    ----------
    n_rows : int
        Of all rows that are gathered for it at most: as many as neighbors are sought among.
    share, min_values, max_values : float, int, int
        Of rows in a file: the share of their values, and how many at least and at most. Chosen by
        hand, for memory: the initial partition takes some six times as much as the sample.
    """

    n_rows: int = 60_000
    share: float = 1 / 32
    min_values: int = 2**22
    max_values: int = 2**24

    def of_file(self, n_rows: int, n_features: int) -> int:
        """Return how many of so many rows in a file are sampled at most."""
        values = int(self.share * n_rows * n_features)
        return min(max(values, self.min_values), self.max_values) // n_features


SAMPLE = SampleRule()


class Share(NamedTuple):
    """The rows of a batch that this process has.

    Attributes
    ----------
    numbers : Tensor of shape (b,)
        Their numbers among the rows of this process.
    positions : Tensor of shape (b,) or None
        Where they are in the batch; None if they are all of it.
    n_rows : int
        Rows B of the batch.
    """

    numbers: Tensor
    positions: Tensor | None
    n_rows: int

    def own(self, values: Tensor, dim: int = 0) -> Tensor:
        """Return of what the rows of the batch have what those of this process have."""
        return values if self.positions is None else values.index_select(dim, self.positions)

    def padded(self, rows: Tensor) -> Tensor:
        """Return own rows (b, ...) where they are in the batch (B, ...), and zeros elsewhere."""
        if self.positions is None:
            return rows
        return rows.new_zeros(self.n_rows, *rows.shape[1:]).index_copy(0, self.positions, rows)

    def whole(self, *parts: Tensor) -> Sequence[Tensor]:
        """Return what all rows of the batch have, (B, ...), from what own rows have, (b, ...).

        Each process has the gradient of its own rows: its loss is that of the whole batch.
        """
        if self.positions is None:
            return parts
        widths = [math.prod(part.shape[1:]) for part in parts]
        flat = [part.reshape(len(part), n) for part, n in zip(parts, widths, strict=True)]
        whole = cast(Tensor, _Whole.apply(torch.cat(flat, 1), self.positions, self.n_rows))
        return [
            values.reshape(self.n_rows, *part.shape[1:])
            for values, part in zip(whole.split(widths, 1), parts, strict=True)
        ]


class Group(NamedTuple):
    """The processes of a fit; of their rows those of rank r follow those of rank r - 1.

    Attributes
    ----------
    rank, size : int
    counts : tuple of int
        Rows of each process, once they are known; empty if it is alone.
    has_one_source : bool
        Whether all processes were given the same rows, of which each trains on a part.
    max_sampled : int or None
        Rows of which a sample stands for all, at the most, where these are not in memory.
    """

    rank: int = 0
    size: int = 1
    counts: tuple[int, ...] = ()
    has_one_source: bool = False
    max_sampled: int | None = None

    @property
    def is_alone(self) -> bool:
        """Whether there is no other process."""
        return self.size == 1

    @property
    def has_all_at_hand(self) -> bool:
        """Whether a single process has all rows in memory, so that no sample is needed."""
        return self.is_alone and self.max_sampled is None

    @property
    def local_rank(self) -> int | None:
        """Which device of its machine a process should take, None where any will do."""
        rank = os.environ.get("LOCAL_RANK")
        return None if self.is_alone or rank is None else int(rank)

    @property
    def first_row(self) -> int:
        """Number of the first own row among all."""
        return sum(self.counts[: self.rank])

    def n_rows(self, n_own: int) -> int:
        """Return the rows of all processes."""
        return n_own if self.is_alone else sum(self.counts)

    # what is exchanged: any object that can be pickled

    def gathered(self, value: T) -> list[T]:
        """Return the value of each process, by rank."""
        if self.is_alone:
            return [value]
        values: list[Any] = [None] * self.size
        with _answers_expected():
            dist.all_gather_object(values, value)
        return values

    def of_first(self, function: Callable[[], T]) -> T:
        """Return what a function returns on the first process, or raise what it raises there."""
        if self.is_alone:
            return function()
        made: list[Any] = [None]
        with self.agreement():
            if self.rank == 0:
                made = [function()]
        with _answers_expected():
            dist.broadcast_object_list(made, src=0)
        return cast(T, made[0])

    def sum(self, values: Any) -> Any:
        """Sum a number, an array or a tensor over the processes, in the same order on each."""
        if self.is_alone:
            return values
        if isinstance(values, Tensor):
            return sum(self.gathered(values.cpu())).to(values.device)  # type: ignore[union-attr]
        return sum(self.gathered(values))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the rows of all processes of what own rows have, (b,)."""
        if self.is_alone:
            return values.mean()
        return cast(Tensor, self.sum(values.sum()) / self.sum(len(values)))

    @contextmanager
    def agreement(self) -> Iterator[None]:
        """Raise on all processes what is raised on one within this context.

        Within it nothing must be exchanged.
        """
        if self.is_alone:
            yield
            return
        error = None
        try:
            yield
        except Exception as raised:
            error = raised
        for rank, report in enumerate(self.gathered(_report(error))):
            if report is not None:
                if error is None:
                    name, message = report
                    error = getattr(builtins, name)(message)
                error.add_note(f"(It was raised on rank {rank} of {self.size}.)")
                raise error

    # rows

    def meeting(self, X: NDArray[Any], sample_weight: NDArray[np.float64] | None) -> Group:
        """Find out whether all processes have the same rows, with the same weights.

        Raises
        ------
        ValueError
            On all processes, if rows do not go together.
        """
        if self.is_alone:
            return self
        kinds = self.gathered((X.shape[1], X.dtype.str))
        if len(set(kinds)) > 1:
            named = "; ".join(f"rank {r}: {n}, {t[1:]}" for r, (n, t) in enumerate(kinds))
            raise ValueError(
                "X must have as many features, of one dtype, in all processes of the group; it "
                f"has {named}. Pass the same columns everywhere, or distributed='off' to fit a "
                "model in each process."
            )
        self.check_in_all(
            "sample_weight", sample_weight is not None, "Pass ones for rows that count as one."
        )
        digests = [
            None if values is None else digest_of_rows(values) for values in (X, sample_weight)
        ]
        given = X.shape, *digests
        return self._replace(has_one_source=len(set(self.gathered(given))) == 1)

    def dividing(self, n_rows: int) -> tuple[Group, slice]:
        """Count the rows of all processes, and return which of `n_rows` this one trains on.

        They are all, or an equal part where all processes have the same.

        Raises
        ------
        ValueError
            On all processes, if there are too few.
        """
        if self.is_alone:
            return self, slice(None)
        if not self.has_one_source:
            return self._replace(counts=tuple(self.gathered(n_rows))), slice(None)
        if n_rows < self.size:
            raise ValueError(
                f"X has {n_rows} rows, fewer than the {self.size} processes of the group. Pass "
                "distributed='off' to fit a model in each process."
            )
        counts = tuple(map(len, np.array_split(np.arange(n_rows), self.size)))
        group = self._replace(counts=counts)
        return group, slice(group.first_row, group.first_row + counts[self.rank])

    def check_in_all(self, what: str, is_given: bool, remedy: str) -> None:
        """Raise a ValueError on all processes if something is given in some of them only."""
        given = self.gathered(is_given)
        if len(set(given)) > 1:
            raise ValueError(
                f"{what} must be given in all processes of the group or in none; it is in "
                f"{sum(given)} of {self.size}. {remedy}"
            )

    def check_equal(self, parameters: dict[str, str]) -> None:
        """Raise a ValueError on all processes if values, as text, differ between them."""
        for name, *values in zip(
            parameters, *self.gathered([*parameters.values()]), strict=True
        ):
            if len(set(values)) > 1:
                raise ValueError(
                    f"{name} must be the same in all processes of the group, and is "
                    f"{', '.join(values)} by rank. Pass the same, or distributed='off' to fit a "
                    "model in each process."
                )

    def rows_at(self, numbers: NDArray[np.intp], values: NDArray[Any]) -> NDArray[Any]:
        """Return of all rows those of such increasing numbers, from what own rows have."""
        if self.is_alone:
            return _read(values[numbers])
        last = self.first_row + values.shape[0]
        own = numbers[(numbers >= self.first_row) & (numbers < last)]
        return _joined(self.gathered(_read(values[own - self.first_row])))

    def every(self, stride: int, values: NDArray[Any]) -> NDArray[Any]:
        """Return of all rows one in `stride`, from what own rows have."""
        if self.is_alone:
            return values[::stride]
        return _joined(self.gathered(_read(values[-self.first_row % stride :: stride])))

    def sampled(self, values: NDArray[Any], rule: SampleRule = SAMPLE) -> NDArray[Any]:
        """Return a sample of all rows, the same at each call: all, if they are not too many."""
        if self.has_all_at_hand:
            return values
        n_rows = self.n_rows(values.shape[0])
        source = np.random.default_rng(n_rows)
        size = min(n_rows, rule.n_rows, self.max_sampled or n_rows)
        numbers = source.choice(n_rows, size, replace=False)
        return self.rows_at(np.sort(numbers), values)

    def of_given(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what the rows of the X that was given have, from what own rows have."""
        return np.concatenate(self.gathered(values)) if self.has_one_source else values

    # training

    def share(self, index: Tensor, n_own: int) -> Share:
        """Return the share in a batch of such numbers among all rows."""
        if self.is_alone:
            return Share(index, None, len(index))
        index = index - self.first_row
        positions = ((index >= 0) & (index < n_own)).nonzero()[:, 0]
        return Share(index[positions], positions, len(index))

    def share_module(self, module: nn.Module) -> None:
        """Give a module the weights of the first process, and batch norm over all processes."""
        if self.is_alone:
            return
        for tensor in module.state_dict().values():
            with _answers_expected():
                dist.broadcast(tensor, src=0)
        for layer in module.modules():
            if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                layer.__class__ = BatchNormOfAll

    def sum_gradients(self, module: nn.Module) -> None:
        """Sum the gradients over the processes, in one exchange."""
        if self.is_alone:
            return
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        total = _all_reduced(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = total.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


#: A process by itself.
ALONE = Group()


def join(distributed: str) -> Group:
    """Return the group that the parameter `distributed` stands for.

    It is the default process group, which is made first where the environment describes one, as
    that of torchrun does. A process that another one has started by `multiprocessing`, as joblib
    does, has inherited its environment, and is no part of it.

    Raises
    ------
    RuntimeError
        If the other processes do not come.
    """
    if distributed == "off" or not dist.is_available():
        return ALONE
    described = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    if (
        not dist.is_initialized() and described and int(os.environ["WORLD_SIZE"]) > 1
        and multiprocessing.parent_process() is None
    ):
        try:
            dist.init_process_group(**_store())  # gloo on a CPU, nccl on a GPU
            atexit.register(_leave)
        except (RuntimeError, ValueError) as error:
            raise RuntimeError(
                f"distributed={distributed!r} found rank {os.environ['RANK']} of "
                f"{os.environ['WORLD_SIZE']} in the environment, but the processes did not meet: "
                f"{str(error).rstrip('. ')}. Start all of them, or pass distributed='off'."
            ) from error
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return ALONE
    return Group(dist.get_rank(), dist.get_world_size())


def _store() -> dict[str, Any]:
    """Return where processes that torchrun has restarted on one machine meet: not as before.

    Its store still has the addresses of those that are dead, which torch would call. On several
    machines there is no number that all agree on, and processes meet as torch has it.
    """
    restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if restart == "0" or os.environ.get("GROUP_WORLD_SIZE") != "1":
        return {}
    from torch.distributed.rendezvous import rendezvous  # not in builds without processes

    store, rank, size = next(iter(rendezvous("env://")))
    prefixed = dist.PrefixStore(f"restart {restart}", store)  # type: ignore[attr-defined]
    return {"store": prefixed, "rank": rank, "world_size": size}


def _leave() -> None:
    """Take leave of the others, which may otherwise be aborted when this process ends."""
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def _answers_expected() -> Iterator[None]:
    """Explain errors of an exchange."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(
            "The other processes of the group did not answer: one has died, was interrupted, does "
            "not call `fit`, or has no such device. See what it printed; distributed='off' fits "
            f"without them. ({error})"
        ) from error


def _report(error: Exception | None) -> tuple[str, str] | None:
    """Return the nearest class of an error that every process knows, and the message."""
    if error is None:
        return None
    known = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return known.__name__, str(error)


def _all_reduced(values: Tensor) -> Tensor:
    """Sum a tensor over the processes, in place."""
    with _answers_expected():
        dist.all_reduce(values)
    return values


class _Whole(torch.autograd.Function):
    """From own rows (b, n) to all rows of a batch (B, n)."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, positions: Tensor, n_rows: int) -> Tensor:
        ctx.save_for_backward(positions)
        # what is added to a row are zeros: it arrives as it is
        return _all_reduced(own.new_zeros(n_rows, own.shape[1]).index_copy_(0, positions, own))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (positions,) = ctx.saved_tensors
        return gradient.index_select(0, positions), None, None


class _Standardized(torch.autograd.Function):
    """From values (b, C, ...) to such of mean 0 and variance 1 by channel, over all processes."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        total = _by_channel(y)
        n_own = torch.full_like(total, y.numel() / y.shape[1])
        n, *sums = _all_reduced(torch.stack([n_own, total, _by_channel(y.square())]))
        mean = sums[0] / n
        variance = (sums[1] / n - mean.square()).clamp(min=0)
        statistics = torch.stack([n, mean, variance]).to(y.dtype)
        scale = (variance + eps).rsqrt().to(y.dtype)
        standardized = (y - _along(statistics[1], y)) * _along(scale, y)
        ctx.save_for_backward(standardized, scale, statistics[0])
        ctx.mark_non_differentiable(statistics)
        return standardized, statistics

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        standardized, scale, n = ctx.saved_tensors
        sums = _all_reduced(torch.stack([
            _by_channel(gradient), _by_channel(gradient * standardized),
        ]))
        of_mean, of_variance = (_along(total.to(scale.dtype) / n, gradient) for total in sums)
        return _along(scale, gradient) * (gradient - of_mean - standardized * of_variance), None


def _by_channel(values: Tensor) -> Tensor:
    """Sum values (b, C, ...) to (C,), in double precision."""
    return values.sum([0, *range(2, values.dim())], dtype=torch.float64)


def _along(values: Tensor, like: Tensor) -> Tensor:
    """Give values (C,) the axes of a tensor (b, C, ...)."""
    return values.view(-1, *[1] * (like.dim() - 2))


class BatchNormOfAll(_BatchNorm):
    """Batch norm over the rows of all processes, which may be none on some; also on a CPU."""

    def forward(self, y: Tensor) -> Tensor:
        """Standardize values (b, C, ...) by channel."""
        if not self.training:
            return super().forward(y)
        standardized, statistics = _Standardized.apply(y, self.eps)
        if self.track_running_stats and self.running_mean is not None:
            self._remember(*statistics)
        if not self.affine:
            return cast(Tensor, standardized)
        return cast(Tensor, standardized * _along(self.weight, y) + _along(self.bias, y))

    @torch.no_grad()
    def _remember(self, n: Tensor, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = self.momentum
        if weight is None:
            weight = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance * n / (n - 1), weight)

    def _check_input_dim(self, y: Tensor) -> None:
        pass


def _read(values: Any) -> Any:
    """Return an array, or a sparse matrix: what is in a file is read."""
    return values if isinstance(values, np.ndarray) or issparse(values) else np.asarray(values)


def digest_of_rows(X: Any) -> bytes:
    """Return a digest of rows: an array, a sparse matrix, or some of those in a file."""
    if not isinstance(X, np.ndarray) and not issparse(X):
        X = _read(X[:: max(1, len(X) // 1000)])
    digest = hashlib.blake2b(digest_size=16)
    for part in (X.data, X.indices, X.indptr) if issparse(X) else (X,):
        digest.update(np.ascontiguousarray(part).data)
    return digest.digest()


def _joined(parts: list[Any]) -> Any:
    """Join arrays, or sparse matrices."""
    return vstack(parts, format="csr") if issparse(parts[0]) else np.concatenate(parts)
