"""Restarts of a fit: trials, in this process or in others, of which the best goes on."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from .._model import GMVAE, Architecture
from .._objective import Batches, InformationWeights, Objective, RegularizerInputs
from .._rows import Rows
from .._training import Diverged, Schedule, train
from ..distributed import ALONE, Group
from ..fitted import load_arrays, to_arrays
from ..runtime import ending_with, ordinary_torch

__all__ = [
    "TRIALS", "Recorded", "Restart", "Settings", "Trials", "batches_of", "cause_of_nan",
    "objective_of", "run_restart", "run_restarts",
]


class Trials(NamedTuple):
    """How restarts are compared.

    A sixth was chosen by hand. On MNIST with ``init="random"`` the information after two of twelve
    epochs did not tell good restarts from bad ones; at the end it does.

    Attributes
    ----------
    share : float
        Of the epochs, after which the restarts are compared.
    """

    share: float = 1 / 6


TRIALS = Trials()


class Settings(NamedTuple):
    """The training parameters of the estimator, resolved to numbers."""

    seed: int
    n_mc_samples: int
    min_information: float
    consistency: float
    information: InformationWeights
    inputs: RegularizerInputs | None  # of the regularizer; None where `consistency` is 0
    batch_size: int
    verbose: int
    weights: NDArray[np.float64] | None = None  # of the rows; None where all have one
    group: Group = ALONE


#: What was recorded of an epoch, by name.
Recorded = dict[str, float]


class Restart(NamedTuple):
    """Trained weights and how they were come by; plain arrays, so that it travels."""

    arrays: dict[str, NDArray[Any]]
    records: list[Recorded]  # by epoch, in the model's units
    number: int  # seeds it
    learning_rate: float  # at first; lower than asked for where that was too high
    interrupted: bool

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
    )


@ordinary_torch()
def run_restart(
    architecture: Architecture,
    rows: Rows,
    settings: Settings,
    schedule: Schedule,
    restart: int,
    arrays: dict[str, NDArray[Any]] | None = None,
    earlier: Sequence[float] = (),
) -> Restart:
    """Train one model, from random weights or from `arrays` that had the losses `earlier`."""
    module = architecture.build(rows.device, settings.seed, restart)
    if arrays is not None:
        load_arrays(module, arrays)
    group = settings.group
    module.set_weights(settings.inputs.prior(group) if settings.inputs else None)
    group.share_module(module)
    objective = objective_of(module, rows, settings)
    batches = batches_of(architecture, rows, settings, schedule.progress, restart)

    def report(epoch: int, record: list[float]) -> None:
        number, last = epoch + 1, schedule.first_epoch + schedule.n_epochs
        every = 1 if settings.verbose > 1 else math.ceil(schedule.n_epochs / 10)
        is_told = settings.verbose and group.rank == 0
        if is_told and (epoch % every == 0 or number == last):
            values = "  ".join(
                f"{name} {value:.3f}"
                for name, value in zip(objective.recorded, record, strict=True)
            )
            print(f"restart {restart + 1}  epoch {number}/{last}  {values}")
        raise_interrupts()

    try:
        with group.interrupts() as raise_interrupts:
            outcome = train(
                objective, batches, schedule, earlier=earlier, report=report,
                debug=print if settings.verbose > 1 else lambda message: None, group=group,
            )
    except Diverged as error:
        cause = cause_of_nan(module, batches, schedule.first_epoch, architecture, settings)
        if not cause:
            raise
        raise Diverged(cause) from error
    records = [dict(zip(objective.recorded, record, strict=True)) for record in outcome.records]
    return Restart(
        to_arrays(module), records, restart, outcome.learning_rate, outcome.interrupted
    )


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
        if batch.perturbed is not None and settings.inputs and not _are_finite(batch.perturbed):
            blamed = f"perturbation={settings.inputs.perturbation!r}"
        elif not _are_finite(*made):
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


def _attempt(*task: Any) -> Restart | Diverged:
    """Return the error of a restart that diverged, which others need not share."""
    try:
        return run_restart(*task)
    except Diverged as error:
        return error


def _attempt_for(parent: int, *task: Any) -> Restart | Diverged:
    """Attempt a restart as long as the process that asked for it is there."""
    with ending_with(parent):
        return _attempt(*task)


def run_restarts(
    n_restarts: int,
    n_jobs: int | None,
    architecture: Architecture,
    rows: Rows,
    settings: Settings,
    schedule: Schedule,
    rule: Trials = TRIALS,
) -> Restart:
    """Train one model; of several the best after a short trial.

    A restart that diverges is passed over, unless all do. After Ctrl-C the best so far is
    returned.
    """
    task = architecture, rows, settings
    if n_restarts == 1:
        return run_restart(*task, schedule, 0)
    trial = schedule._replace(n_trial_epochs=math.ceil(rule.share * schedule.n_epochs))
    outcomes: list[Restart | Diverged] = []
    interrupted = False
    # rows in a file are read by one process: a file that is open does not travel
    in_turn = not settings.group.is_alone or rows.mixed is not None
    if effective_n_jobs(n_jobs) == 1 or in_turn:
        for number in range(n_restarts):
            outcomes.append(_attempt(*task, trial, number))
            interrupted = getattr(outcomes[-1], "interrupted", False)
            if interrupted:
                break
    else:
        try:
            parallel = Parallel(n_jobs=n_jobs, return_as="generator")
            for outcome in parallel(
                delayed(_attempt_for)(os.getpid(), *task, trial, number)
                for number in range(n_restarts)
            ):
                outcomes.append(outcome)
        except KeyboardInterrupt:
            interrupted = True
    results = [outcome for outcome in outcomes if isinstance(outcome, Restart)]
    if not results and interrupted:
        raise KeyboardInterrupt
    if not results:
        raise next(outcome for outcome in outcomes if isinstance(outcome, Diverged))
    best = max(results, key=lambda result: result.score)
    if interrupted:
        return best._replace(interrupted=True)
    final = run_restart(
        *task, schedule._replace(learning_rate=best.learning_rate), best.number, best.arrays,
        [record["loss"] for record in best.records],
    )
    return final._replace(records=best.records + final.records)
