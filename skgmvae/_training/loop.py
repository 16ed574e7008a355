"""The training loop. It knows nothing of the model: only an objective and its batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..distributed import ALONE, Group
from .checkpoint import TrainingState
from .cuda_graph import captured
from .schedule import Schedule, n_epochs_without_change
from .step import Adam, Step

__all__ = [
    "RETRIES", "Diverged", "Retries", "Training", "all_finite", "run_epoch", "train",
]


class BatchSource(Protocol):
    """Batches, each a function of (epoch, step)."""

    n_steps: int  # per epoch

    def __call__(self, epoch: int, step: int) -> Any: ...


class Retries(NamedTuple):
    """What to do after an epoch that left anything not finite.

    Four times a fifth is 625 times less: a rate that is still too high then is not the cause.
    Chosen by hand, not varied.

    Attributes
    ----------
    n_retries : int
        Lower learning rates that are tried.
    factor : float
        By which the learning rate is multiplied each time.
    """

    n_retries: int = 4
    factor: float = 0.2


RETRIES = Retries()


class Training(NamedTuple):
    """What came of a training run."""

    records: list[list[float]]  # per epoch: the loss, what else the objective recorded, the score
    learning_rate: float  # at first; lower than asked for where that was too high
    interrupted: bool
    stopped: bool = False  # before the end of the schedule


class Diverged(ValueError):
    """The loss or the weights were not finite at any learning rate that was tried."""


def train(
    objective: nn.Module,
    batches: BatchSource,
    schedule: Schedule,
    *,
    earlier: Sequence[float] = (),
    score: Callable[[], float] | None = None,
    begin: Callable[[int], None] = lambda epoch: None,
    report: Callable[[int, list[float]], bool | None] | None = None,
    debug: Callable[[str], None] = lambda message: None,
    keep: Callable[[Callable[[], TrainingState], bool], None] = lambda state, done: None,
    resumed: TrainingState | None = None,
    retries: Retries = RETRIES,
    group: Group = ALONE,
) -> Training:
    """Minimize the loss of an objective; leave the result in its weights.

    After Ctrl-C, and after an epoch that left anything not finite, the weights of the best epoch
    are put back; then training ends, or goes on at a lower rate. With a `score` they are put back
    in any case.

    Parameters
    ----------
    objective : Module
        ``objective(batch)`` returns the loss and a tensor of what to record, the loss first.
    batches : callable
        From (epoch, step) to a batch; `n_steps` are an epoch.
    schedule : Schedule
    earlier : sequence of float
        Losses of all epochs before, over which changes are judged too; they count as epochs. With
        a `score`, what it was then, less the sign; NaN where there was none.
    score : callable, default=None
        Returns how good the weights are, by which epochs are judged in place of the loss. The
        more, the better.
    begin : callable
        Called with the number of an epoch before it, again if it is repeated at a lower rate.
    report : callable, default=None
        Called with the number of an epoch and its record; training stops if it returns True.
    debug : callable
        Called with a message on how steps are taken.
    keep : callable
        Called after each step, and at the end, with a function that returns the state of training,
        and whether it is the end.
    resumed : TrainingState or None, default=None
        The state from which training goes on, in place of the weights and of `earlier`.
    retries : Retries
    group : Group, default=ALONE
        Processes that train the objective together, each with rows of its own.

    Returns
    -------
    Training

    Raises
    ------
    Diverged
        If the loss was not finite at any learning rate that was tried; the weights are then the
        best that were.
    """
    objective.train()
    losses, records, step_records = list(earlier), [], []
    weights = objective.state_dict()  # the tensors themselves
    best_loss, best_weights = losses[-1] if losses else math.inf, _copied(weights)
    n_retries, stopped = 0, False
    if resumed is not None:
        objective.load_state_dict(resumed.weights)
        losses, records = list(resumed.losses), resumed.records
        device = next(iter(weights.values())).device
        step_records = [record.to(device) for record in resumed.step_records]
        best_loss, best_weights = resumed.best_loss, resumed.best_weights
        n_retries, stopped = resumed.n_retries, resumed.stopped
        schedule = schedule._replace(learning_rate=resumed.learning_rate)
    elif losses and score is not None:
        best_loss = -score()
    optimizer = Adam(objective)
    if resumed is not None:
        optimizer.load(resumed.moments)

    def new_step() -> Callable[[Any, float], Tensor]:
        step = Step(objective, optimizer, group)
        return captured(step, partial(batches, len(losses), 0), debug)

    def state() -> TrainingState:
        return TrainingState(
            losses, records, step_records, schedule.learning_rate, n_retries, stopped, best_loss,
            weights, best_weights, optimizer.moments(),
        )

    try:
        step = new_step()
        while (epoch := len(losses)) < schedule.end and not stopped:
            begin(epoch)
            record = run_epoch(
                step, batches, epoch, schedule.learning_rate_at, step_records,
                partial(keep, state, False),
            )
            step_records.clear()
            loss = record[0]
            if score is not None:
                record.append(score())
                loss = -record[-1]
            if not all_finite(weights, record):
                objective.load_state_dict(best_weights)
                if n_retries == retries.n_retries:
                    raise Diverged(
                        f"The loss was not finite in epoch {epoch + 1}, at a learning rate of "
                        f"{schedule.learning_rate:.1e} too. Lower learning_rate_init, or look for "
                        "extreme values in X."
                    )
                n_retries += 1
                schedule = schedule._replace(
                    learning_rate=schedule.learning_rate * retries.factor
                )
                optimizer = Adam(objective)
                step = new_step()
                continue
            records.append(record)
            losses.append(loss)
            if loss < best_loss:
                best_loss, best_weights = loss, _copied(weights)
            judged = losses[schedule.n_unjudged :]
            stopped = n_epochs_without_change(judged, schedule.tol) >= schedule.n_iter_no_change
            if report is not None and report(epoch, record):
                stopped = True
        if score is not None:
            objective.load_state_dict(best_weights)
        keep(state, True)
    except KeyboardInterrupt:
        objective.load_state_dict(best_weights)
        return Training(records, schedule.learning_rate, interrupted=True)
    return Training(records, schedule.learning_rate, interrupted=False, stopped=stopped)


def run_epoch(
    step: Callable[[Any, float], Tensor],
    batches: BatchSource,
    epoch: int,
    learning_rate: Callable[[float], float],
    step_records: list[Tensor] | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> list[float]:
    """Take the steps of one epoch and return the means of what they recorded.

    Parameters
    ----------
    step : callable
    batches : callable
    epoch : int
    learning_rate : callable
        Turns the number of epochs gone by, with fractions, into a rate.
    step_records : list of Tensor or None, default=None
        What the first steps of the epoch recorded, if these are done already; those of the others
        are appended.
    after_step : callable
    """
    step_records = [] if step_records is None else step_records
    while (number := len(step_records)) < batches.n_steps:
        rate = learning_rate(epoch + number / batches.n_steps)
        step_records.append(step(batches(epoch, number), rate))
        after_step()
    means: list[float] = torch.stack(step_records).mean(0).tolist()  # waits for the device
    return means


def all_finite(weights: Mapping[str, Tensor], record: Sequence[float]) -> bool:
    """Whether an epoch's record and the weights it left hold no NaN and no infinity."""
    if not all(map(math.isfinite, record)):
        return False
    # a sum is finite only if all are: one look at a number instead of one at each weight
    total = torch.cat([tensor.flatten().float() for tensor in weights.values()]).sum()
    return math.isfinite(total)


def _copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in weights.items()}
