"""Restarts of a fit: short ones, in this process or in others, of which the best goes on."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from .architecture import Architecture
from .consistency import Regulariser
from .data import DataSpace, Rows
from .elbo import Terms
from .objective import Objective, Settings
from .persistence import load_arrays, to_arrays
from .training import all_finite, run_epoch, train

__all__ = ["Restart", "in_units_of_data", "one_pass", "run_restart", "run_restarts"]

TRIAL_SHARE = 1 / 6  # of the epochs, after which the restarts are compared


class Restart(NamedTuple):
    """Trained weights and how they were come by; plain arrays, so that it travels."""

    arrays: dict[str, NDArray[Any]]
    history: dict[str, NDArray[np.float64]]  # means per epoch, in the model's units
    number: int  # seeds it
    converged: bool
    interrupted: bool

    @property
    def n_epochs(self) -> int:
        """Epochs that were run."""
        return len(self.history["loss"])

    @property
    def score(self) -> float:
        """What restarts are compared by, higher is better.

        Where there is a regulariser, the mutual information of rows and clusters at the means:
        it is low in a start that merges clusters. Else the objective, which hardly tells.
        """
        if self.n_epochs == 0:
            return -np.inf
        if "marginal_entropy" not in self.history:
            return -float(self.history["loss"][-1])
        return float(
            self.history["marginal_entropy"][-1] - self.history["conditional_entropy"][-1]
        )


def run_restart(
    architecture: Architecture,
    space: DataSpace,
    X: NDArray[Any],
    device: torch.device,
    settings: Settings,
    restart: int,
    arrays: dict[str, NDArray[Any]] | None = None,
) -> Restart:
    """Train one model, from random weights or from `arrays`."""
    module = architecture.build(device, settings.seed, restart)
    if arrays is not None:
        load_arrays(module, arrays)
    objective = Objective(module, Rows(X, space, device), settings, restart)

    def report(epoch: int, record: Sequence[float]) -> None:
        every = 1 if settings.verbose > 1 else math.ceil(settings.max_iter / 10)
        if settings.verbose and (epoch % every == 0 or epoch + 1 == settings.max_iter):
            values = "  ".join(
                f"{name} {value:.3f}"
                for name, value in zip(objective.recorded, record, strict=True)
            )
            print(f"restart {restart + 1}  epoch {epoch + 1}/{settings.max_iter}  {values}")

    module.train()
    outcome = train(
        module, objective, objective.n_batches,
        learning_rate=settings.learning_rate, falls=settings.learning_rate_falls,
        first_epoch=settings.first_epoch,
        max_iter=settings.max_iter, last_epoch=settings.last_epoch, tol=settings.tol,
        n_iter_no_change=settings.n_iter_no_change, report=report,
    )
    return Restart(
        to_arrays(module), objective.history(outcome.records), restart, outcome.converged,
        outcome.interrupted,
    )


def _attempt(*task: Any) -> Restart | ValueError:
    """Return the error of a start that diverged, which others need not share."""
    try:
        return run_restart(*task)
    except ValueError as error:
        return error


def run_restarts(
    n_restarts: int,
    n_jobs: int | None,
    architecture: Architecture,
    space: DataSpace,
    X: NDArray[Any],
    device: torch.device,
    settings: Settings,
    arrays: dict[str, NDArray[Any]] | None,
) -> Restart:
    """Run short restarts, in this process or in others, and train the best to the end.

    A start that diverges is passed over, unless all do. A single restart goes on from `arrays`,
    if given; several start from random weights. After Ctrl-C the best so far is returned.
    """
    task = (architecture, space, X, device)
    if n_restarts == 1:
        return run_restart(*task, settings, 0, arrays)
    n_trial_epochs = math.ceil(TRIAL_SHARE * settings.max_iter)
    trial = settings._replace(last_epoch=n_trial_epochs)
    outcomes: list[Restart | ValueError] = []
    interrupted = False
    if effective_n_jobs(n_jobs) == 1:
        for number in range(n_restarts):
            outcomes.append(_attempt(*task, trial, number))
            interrupted = getattr(outcomes[-1], "interrupted", False)
            if interrupted:
                break
    else:
        try:
            parallel = Parallel(n_jobs=n_jobs, return_as="generator")
            for outcome in parallel(
                delayed(_attempt)(*task, trial, number) for number in range(n_restarts)
            ):
                outcomes.append(outcome)
        except KeyboardInterrupt:
            if not outcomes:
                raise
            interrupted = True
    results = [outcome for outcome in outcomes if isinstance(outcome, Restart)]
    if not results:
        raise next(outcome for outcome in outcomes if isinstance(outcome, ValueError))
    best = max(results, key=lambda result: result.score)
    if interrupted:
        return best._replace(interrupted=True)
    rest = settings._replace(first_epoch=n_trial_epochs)
    final = run_restart(*task, rest, best.number, best.arrays)
    return final._replace(history={
        name: np.append(values, final.history[name]) for name, values in best.history.items()
    })


def in_units_of_data(
    history: dict[str, NDArray[np.float64]], space: DataSpace
) -> dict[str, NDArray[np.float64]]:
    """Return a history with log-densities in the units of X and the sums beside their parts."""
    history = {name: values for name, values in history.items() if name != "loss"}
    history["reconstruction"] = history["reconstruction"] - space.log_volume
    history["lower_bound"] = Terms(*(history[name] for name in Terms._fields)).bound
    if Regulariser._fields[0] in history:
        parts = Regulariser(*(history[name] for name in Regulariser._fields))
        history["regulariser"] = parts.total
    else:
        history["regulariser"] = np.zeros_like(history["lower_bound"])
    return history


def one_pass(
    objective: Objective, optimizer: torch.optim.Optimizer, epoch: int, learning_rate: float
) -> list[float]:
    """Take one epoch at a constant learning rate, or leave the weights as they were.

    Raises
    ------
    ValueError
        If the loss or the weights are not finite.
    """
    module = objective.model
    before = to_arrays(module)
    optimizer_before = copy.deepcopy(optimizer.state_dict())
    module.train()
    try:
        record = run_epoch(
            optimizer, objective, epoch, objective.n_batches, lambda _: learning_rate
        )
        if not all_finite(module, record):
            raise ValueError(
                "The loss of this pass was not finite, and the pass was undone. Lower "
                f"learning_rate_init={learning_rate:g}, or look for extreme values in X."
            )
    except BaseException:
        load_arrays(module, before)
        optimizer.load_state_dict(optimizer_before)
        raise
    finally:
        module.eval()
    return record
