"""The training loop: epochs, optimiser, history, stopping. It knows nothing of the model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Step", "Training", "all_finite", "make_optimizer", "run_epoch", "train"]

#: A training step: (epoch, index of the batch) -> loss to minimise, its rows, and what to record.
Step = Callable[[int, int], tuple[Tensor, int, Sequence[Tensor]]]

MAX_RETRIES = 4
RETRY_FACTOR = 0.2


class Training(NamedTuple):
    """What came of a training run."""

    records: list[list[float]]  # per epoch: the loss, then what the step recorded
    converged: bool
    interrupted: bool


def make_optimizer(module: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """Return Adam with the paper's betas and epsilon, fused: one kernel for all parameters."""
    return torch.optim.Adam(module.parameters(), lr=learning_rate, fused=True)


def train(
    module: nn.Module,
    step: Step,
    n_batches: int,
    *,
    learning_rate: float,
    falls: bool = True,
    max_iter: int,
    first_epoch: int = 0,
    last_epoch: int | None = None,
    tol: float,
    n_iter_no_change: int,
    report: Callable[[int, list[float]], None] | None = None,
) -> Training:
    """Minimise the loss that `step` returns; leave the result in `module`.

    After Ctrl-C, and after an epoch that left anything not finite, the weights of the best epoch
    are put back; then training ends, or goes on at a lower rate.

    Parameters
    ----------
    module : Module
    step : callable
        See `Step`.
    n_batches : int
        Steps per epoch.
    learning_rate : float
    falls : bool, default=True
        Whether it falls on a half cosine to zero over `max_iter` epochs.
    max_iter : int
        Epochs.
    first_epoch : int, default=0
        Epochs that were run before.
    last_epoch : int, default=None
        Epochs after which to stop, if before `max_iter`.
    tol : float
        What counts as a change, as a share of the loss's fall since the first epoch.
    n_iter_no_change : int
        Epochs without a change after which training stops early.
    report : callable, default=None
        Called with the epoch and its record.

    Returns
    -------
    Training
        `converged` says whether the last tenth of the epochs brought no change.

    Raises
    ------
    ValueError
        If the loss was not finite at any learning rate that was tried.
    """
    optimizer = make_optimizer(module, learning_rate)
    records: list[list[float]] = []
    best_loss, best_state = math.inf, _snapshot(module)
    reference_loss, reference_epoch = math.inf, first_epoch  # the last change that counted
    n_retries = 0
    interrupted = False
    try:
        while (epoch := first_epoch + len(records)) < (last_epoch or max_iter):
            record = run_epoch(
                optimizer, step, epoch, n_batches,
                partial(_half_cosine, learning_rate, max_iter if falls else math.inf),
            )
            if not all_finite(module, record):
                if n_retries == MAX_RETRIES:
                    raise ValueError(
                        f"The loss was not finite in epoch {epoch + 1}, at a learning rate of "
                        f"{learning_rate:.1e} too. Lower learning_rate_init, or look for extreme "
                        "values in X."
                    )
                n_retries += 1
                learning_rate *= RETRY_FACTOR
                module.load_state_dict(best_state)
                optimizer = make_optimizer(module, learning_rate)
                continue
            records.append(record)
            if record[0] < best_loss:
                best_loss, best_state = record[0], _snapshot(module)
            if report is not None:
                report(epoch, record)
            if best_loss < reference_loss - tol * (records[0][0] - best_loss):
                reference_loss, reference_epoch = best_loss, epoch
            if epoch - reference_epoch >= n_iter_no_change:
                break
    except KeyboardInterrupt:
        interrupted = True
        module.load_state_dict(best_state)
    return Training(records, _settled([record[0] for record in records], tol), interrupted)


@torch.enable_grad()
def run_epoch(
    optimizer: torch.optim.Optimizer,
    step: Step,
    epoch: int,
    n_batches: int,
    learning_rate: Callable[[float], float],
) -> list[float]:
    """Take the steps of one epoch and return the row-weighted means of what they recorded.

    Parameters
    ----------
    optimizer : Optimizer
    step : callable
        See `Step`.
    epoch, n_batches : int
    learning_rate : callable
        From the number of epochs gone by, with fractions, to the learning rate.
    """
    totals: list[Tensor] = []
    n_rows = 0
    for batch in range(n_batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(epoch + batch / n_batches)
        loss, n, recorded = step(epoch, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(n * torch.stack([loss, *recorded]).detach())
        n_rows += n
    means: list[float] = (torch.stack(totals).sum(0) / n_rows).tolist()  # waits for the device
    return means


def all_finite(module: nn.Module, record: Sequence[float]) -> bool:
    """Whether an epoch's record and the weights it left hold no NaN and no infinity."""
    weights = torch.cat([tensor.flatten().float() for tensor in module.state_dict().values()])
    return all(map(math.isfinite, record)) and bool(torch.isfinite(weights).all())


def _half_cosine(initial: float, n_epochs: float, epoch: float) -> float:
    return 0.5 * initial * (1 + math.cos(math.pi * epoch / n_epochs))


def _settled(losses: Sequence[float], tol: float) -> bool:
    window = max(1, len(losses) // 10)
    if len(losses) < 2 * window + 1:
        return False
    last, before = fmean(losses[-window:]), fmean(losses[-2 * window : -window])
    return abs(last - before) <= tol * abs(losses[0] - min(losses))


def _snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
