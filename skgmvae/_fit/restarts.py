"""Restarts of a fit: trials, in this process or in others, of which the best goes on."""

from __future__ import annotations

import math
import os
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs

from .._model import Architecture
from .._rows import Rows
from .._training import Diverged, Schedule
from ..runtime import ending_with
from .checkpoint import NO_CHECKPOINT, TRAINING, Checkpoint, RunCheckpoint
from .run import Restart, run_restart
from .settings import Settings
from .tasks import NO_TASK, FitTask

__all__ = ["TRIALS", "Trials", "run_restarts"]

#: What a trial is run by.
Trial = tuple[Architecture, Rows, Settings, Schedule, int, FitTask]
#: Of a trial: one that diverged is an error, which others need not share.
Outcome = Restart | Diverged


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


def run_restarts(
    n_restarts: int,
    n_jobs: int | None,
    architecture: Architecture,
    rows: Rows,
    settings: Settings,
    schedule: Schedule,
    rule: Trials = TRIALS,
    *,
    checkpoint: Checkpoint,
    task: FitTask = NO_TASK,
) -> Restart:
    """Train one model; of several the best after a short trial.

    A restart that diverges is passed over, unless all do. After Ctrl-C the best so far is
    returned. A trial that stopped before its end does not go on. What the checkpoint has of a fit
    is not done again.
    """
    parts = architecture, rows, settings
    if n_restarts == 1:
        return run_restart(*parts, schedule, 0, None, (), task, checkpoint.of_run(TRAINING))
    n_trial_epochs = math.ceil(rule.share * schedule.n_epochs)
    trial = schedule._replace(n_trial_epochs=n_trial_epochs)
    trials = [
        (*parts, trial, number, task.subtask("trial", n_trial_epochs))
        for number in range(n_restarts)
    ]
    outcomes = _of_plain(checkpoint)
    left = [] if checkpoint.run == TRAINING else trials[len(outcomes) :]
    if effective_n_jobs(n_jobs) == 1 or not _may_travel(rows, settings):
        interrupted = _in_turn(left, outcomes, checkpoint)
    else:
        interrupted = _in_workers(left, outcomes, checkpoint, n_jobs)
    best = _best(outcomes)
    if best is None and interrupted:
        raise KeyboardInterrupt
    if best is None:
        raise next(outcome for outcome in outcomes if isinstance(outcome, Diverged))
    if interrupted or best.stopped:
        return best._replace(interrupted=interrupted)
    training = task.subtask("training", schedule.n_epochs - len(best.records))
    training.begin()
    final = run_restart(
        *parts, schedule._replace(learning_rate=best.learning_rate), best.number, best.arrays,
        best.records, training, checkpoint.of_run(TRAINING),
    )
    training.end()
    return final._replace(records=best.records + final.records)


def _may_travel(rows: Rows, settings: Settings) -> bool:
    """Whether trials may run in other processes: a file that is open does not go there."""
    held_out = settings.held_out and settings.held_out.rows
    in_file = rows.mixed is not None or (held_out is not None and held_out.mixed is not None)
    return settings.group.is_alone and not in_file


def _in_turn(left: list[Trial], outcomes: list[Outcome], checkpoint: Checkpoint) -> bool:
    """Run the trials that are left, and add their outcomes; return whether they are interrupted."""
    for trial in left:
        outcome, stops = _attempt(*trial, checkpoint.of_run(f"trial {len(outcomes)}"))
        outcomes.append(outcome)
        if _is_interrupted(outcome):
            return True
        if checkpoint.is_writer:
            checkpoint.keep_trials(_to_plain(outcomes))
        if stops:
            break
    return False


def _in_workers(
    left: list[Trial], outcomes: list[Outcome], checkpoint: Checkpoint, n_jobs: int | None
) -> bool:
    """Do the same in other processes, several trials at a time."""
    # arrays in shared memory leave tasks so small that a pipe takes them whole: of a parent
    # that is killed meanwhile, workers would wait for the rest of a larger one forever
    parallel = Parallel(n_jobs=n_jobs, return_as="generator", max_nbytes="1K")
    stopped = False
    try:
        tasks = takewhile(lambda trial: not stopped, left)
        for outcome, stops in parallel(delayed(_attempt_for)(os.getpid(), *t) for t in tasks):
            if stopped:  # it had begun before one ended that asked for no more
                continue
            outcomes.append(outcome)
            if checkpoint.is_writer:  # a worker may be interrupted, and the others not
                done = takewhile(lambda one: not _is_interrupted(one), outcomes)
                checkpoint.keep_trials(_to_plain(list(done)))
            stopped = stops
    except KeyboardInterrupt:
        return True
    return False


def _attempt(
    architecture: Architecture,
    rows: Rows,
    settings: Settings,
    schedule: Schedule,
    restart: int,
    task: FitTask,
    checkpoint: RunCheckpoint = NO_CHECKPOINT,
) -> tuple[Outcome, bool]:
    """Return the outcome of a trial, and whether a callback asks for no more of them."""
    task.begin()
    outcome: Outcome
    try:
        outcome = run_restart(
            architecture, rows, settings, schedule, restart, None, (), task, checkpoint
        )
    except Diverged as error:
        outcome = error
    return outcome, task.end()


def _attempt_for(parent: int, *trial: *Trial) -> tuple[Outcome, bool]:
    """Attempt a restart as long as the process that asked for it is there."""
    with ending_with(parent):
        return _attempt(*trial)


def _is_interrupted(outcome: Outcome) -> bool:
    return isinstance(outcome, Restart) and outcome.interrupted


def _best(outcomes: list[Outcome]) -> Restart | None:
    """Return the best of the restarts that did not diverge, if there is one."""
    results = [outcome for outcome in outcomes if isinstance(outcome, Restart)]
    return max(results, key=lambda result: result.score, default=None)


def _to_plain(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Return the outcomes of trials as plain data, with the weights of the best alone."""
    best = _best(outcomes)
    trials: list[dict[str, Any]] = []
    for outcome in outcomes:
        if isinstance(outcome, Diverged):
            trials.append({"diverged": str(outcome)})
            continue
        names = list(outcome.records[0])
        values = np.array([list(record.values()) for record in outcome.records], np.float64)
        trials.append(outcome._asdict() | {
            "records": {"names": names, "values": values},
            "arrays": outcome.arrays if outcome is best else {},
        })
    return trials


def _of_plain(checkpoint: Checkpoint) -> list[Outcome]:
    """Return the outcomes of trials that the file has.

    Raises
    ------
    InvalidModelFile
        If it has others.
    """
    outcomes: list[Outcome] = []
    try:
        for trial in checkpoint.trials:
            if "diverged" in trial:
                outcomes.append(Diverged(trial["diverged"]))
                continue
            names, values = trial["records"]["names"], trial["records"]["values"].tolist()
            records = [dict(zip(names, record, strict=True)) for record in values]
            outcomes.append(Restart(**trial | {"records": records}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise checkpoint.unfit("a trial is not described as one.") from error
    return outcomes
