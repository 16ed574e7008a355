"""One run of training: a trial of a restart, or the training of a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .._model import GMVAE, Architecture
from .._objective import Batches, Objective
from .._rows import Rows
from .._training import Diverged, Schedule, TrainingState, train
from ..distributed import Group
from ..fitted import load_arrays, to_arrays
from ..runtime import interrupts_held, ordinary_torch, threads_for
from .checkpoint import NO_CHECKPOINT, RunCheckpoint
from .held_out import HeldOut, held_out_bound
from .progress import Progress
from .records import VALIDATION, Recorded, named_records
from .settings import Settings
from .tasks import NO_TASK, FitTask

__all__ = ["Restart", "batches_of", "cause_of_nan", "objective_of", "run_restart"]


class Restart(NamedTuple):
    """Trained weights and how they were come by; plain arrays, so that it travels."""

    arrays: dict[str, NDArray[Any]]
    records: list[Recorded]  # by epoch, in the model's units
    number: int  # seeds it
    learning_rate: float  # at first; lower than asked for where that was too high
    interrupted: bool
    stopped: bool = False  # before the end of the schedule

    @property
    def score(self) -> float:
        """What restarts are compared by, higher is better.

        Where there is a regularizer, the mutual information of rows and clusters at the means:
        it is low in a restart that merges clusters. Else the objective, which hardly tells.
        """
        if not self.records:
            return -np.inf
        last = self.records[-1]
        if "marginal_entropy" not in last:
            return -last["loss"]
        return last["marginal_entropy"] - last["conditional_entropy"]


def objective_of(module: GMVAE, rows: Rows, settings: Settings) -> Objective:
    """Return the objective that trains a module on such rows."""
    module.complete = not rows.has_missing
    return Objective(
        module, min_information=settings.min_information, consistency=settings.consistency,
        information=settings.information, probe=rows.typical_norm(settings.group),
    )


def batches_of(
    architecture: Architecture,
    rows: Rows,
    settings: Settings,
    progress: Callable[[float], float],
    restart: int,
) -> Batches:
    """Return the batches of a restart."""
    return Batches(
        rows, batch_size=settings.batch_size, n_mc_samples=settings.n_mc_samples,
        latent_dim=architecture.latent_dim, style_dim=architecture.style_dim,
        n_clusters=architecture.n_clusters, inputs=settings.inputs,
        key=(settings.seed, restart), progress=progress, weights=settings.weights,
        group=settings.group,
        numbers=None if settings.held_out is None else settings.held_out.training,
    )


@ordinary_torch()
def run_restart(
    architecture: Architecture,
    rows: Rows,
    settings: Settings,
    schedule: Schedule,
    restart: int,
    arrays: dict[str, NDArray[Any]] | None = None,
    earlier: Sequence[Recorded] = (),
    task: FitTask = NO_TASK,
    checkpoint: RunCheckpoint = NO_CHECKPOINT,
) -> Restart:
    """Train one model, from random weights or from `arrays` that had the records `earlier`."""
    module = architecture.build(rows.device, settings.seed, restart)
    if arrays is not None:
        load_arrays(module, arrays)
    group = settings.group
    module.set_weights(settings.inputs.prior(group) if settings.inputs else None)
    group.share_module(module)
    objective = objective_of(module, rows, settings)
    batches = batches_of(architecture, rows, settings, schedule.progress, restart)
    names, score = objective.recorded, None
    if settings.held_out is not None:
        names = (*names, VALIDATION)
        score = partial(_score, module, rows, settings.held_out, settings)
    progress = Progress(
        module, rows, schedule, trial=None if schedule.n_trial_epochs is None else restart,
        verbose=settings.verbose if group.rank == 0 else 0, log_volume=settings.log_volume,
    )
    resumed = checkpoint.resumed_with(objective, len(names))
    named = partial(named_records, names, settings.log_volume)
    records = [*earlier, *named(resumed.records if resumed else ())]
    n_passes = settings.batch_size * settings.n_mc_samples
    n_multiplications = module.n_multiplications(architecture.data_shape) * n_passes
    try:
        with interrupts_held() as held, threads_for(n_multiplications):
            between = BetweenSteps(module, named, records, progress, task, checkpoint, held, group)
            outcome = train(
                objective, batches, schedule, score=score, begin=between.begin,
                report=between.report, keep=between.keep, resumed=resumed, group=group,
                earlier=[_judged_loss(record, settings) for record in earlier],
                debug=print if settings.verbose > 1 else lambda message: None,
            )
        if not outcome.interrupted and group.sum(len(held)):  # one that came after the last step
            outcome = outcome._replace(interrupted=True)
    except Diverged as error:
        cause = cause_of_nan(module, batches, schedule.first_epoch, architecture, settings)
        if not cause:
            raise
        raise Diverged(cause) from error
    if outcome.stopped:
        progress.show_stop(len(records))
    return Restart(
        to_arrays(module), named(outcome.records), restart, outcome.learning_rate,
        outcome.interrupted, outcome.stopped,
    )


class BetweenSteps:
    """What a training run does between its steps and epochs, but for the training itself.

    It tells callbacks, prints, and writes the checkpoint. Ctrl-C is held back until a step is done,
    in a group until all have done an epoch, and the state of training is written before it counts.

    Parameters
    ----------
    module : GMVAE
    named : callable
        Gives what is recorded of epochs its names.
    records : list of dict
        Of all epochs so far, to which those to come are added.
    progress : Progress
    task : FitTask
        Whose subtasks are the epochs.
    checkpoint : RunCheckpoint
    held : list of int
        Of the interrupts that are held back.
    group : Group
    """

    def __init__(
        self,
        module: GMVAE,
        named: Callable[[Sequence[Sequence[float]]], list[Recorded]],
        records: list[Recorded],
        progress: Progress,
        task: FitTask,
        checkpoint: RunCheckpoint,
        held: Sequence[int],
        group: Group,
    ) -> None:
        self._module = module
        self._named = named
        self._records = records
        self._progress = progress
        self._task = task
        self._checkpoint = checkpoint
        self._held = held
        self._group = group
        self._epoch: FitTask | None = None
        self._state: Callable[[], TrainingState]

    def begin(self, epoch: int) -> None:
        """Tell callbacks that an epoch begins, once if it is repeated at a lower rate."""
        if self._epoch is None:
            self._epoch = self._task.subtask("epoch")
            self._epoch.begin()

    def keep(self, state: Callable[[], TrainingState], done: bool) -> None:
        """Write the state of training, if it is time to."""
        self._state = state
        self._checkpoint.keep(state, at_once=done or bool(self._held))
        if self._held and self._group.is_alone:
            raise KeyboardInterrupt

    def report(self, epoch: int, record: list[float]) -> bool:
        """Say what an epoch came to; return whether a callback asks to stop."""
        self._records += self._named([record])
        self._progress.show(epoch, self._records[-1])
        assert self._epoch is not None
        ended, self._epoch = self._epoch, None
        stops = ended.end(partial(self._task.snapshot, self._module, self._records))
        if self._group.sum(len(self._held)):
            self._checkpoint.keep(self._state, at_once=True)
            raise KeyboardInterrupt
        return stops


def _score(module: GMVAE, rows: Rows, held_out: HeldOut, settings: Settings) -> float:
    bound = held_out_bound(module, rows, held_out, settings.weights, settings.group)
    return bound - held_out.log_volume


def _judged_loss(record: Recorded, settings: Settings) -> float:
    """Return by what an epoch is judged, the less the better; NaN if that was not recorded."""
    if settings.held_out is None:
        return record["loss"]
    return -record.get(VALIDATION, math.nan)


@torch.no_grad()
def cause_of_nan(
    module: GMVAE, batches: Batches, epoch: int, architecture: Architecture, settings: Settings
) -> str:
    """Say which callable of the user's makes values that are not finite; "" if none does."""
    blamed = ""
    for step in range(batches.n_steps):
        batch = batches(epoch, step)
        q_x, q_w = module.q(batch.y)
        made = module.encoder(batch.y), module.prior(q_w.mean), module.decoder(q_x.mean)
        perturbation = settings.inputs.perturbation if settings.inputs else None
        if (
            batch.perturbed is not None and callable(perturbation)
            and not _are_finite(batch.perturbed)
        ):
            blamed = f"perturbation={perturbation!r}"
        elif callable(architecture.networks) and not _are_finite(*made):
            blamed = f"networks={architecture.networks!r}"
        blamed = next(filter(None, settings.group.gathered(blamed)), "")
        if blamed:
            return (
                f"{blamed} makes values that are not finite of rows that are: look for divisions "
                "by zero, logarithms and exponentials in it."
            )
    return ""


def _are_finite(*tensors: torch.Tensor) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
