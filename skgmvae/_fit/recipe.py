"""A fit, from top to bottom: units, rows, start, restarts, training, description.

Nothing is assigned to the estimator here: all is computed aside and handed back at once.
"""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._model import GMVAE
from .._objective import RegularizerInputs
from .._rows import Reservoir, Rows, n_batches
from ..distributed import Group
from ..fitted import Fitted, load_arrays, to_arrays
from ..runtime import CPU, draw_seed, generator, interruptible, ordinary_torch
from .checkpoint import TRAINING
from .description import Description, aggregated, describe, of_given_rows
from .diagnostics import (
    warnings_of_clusters,
    warnings_of_epochs,
    warnings_of_far_rows,
    warnings_of_learning_rate,
    warnings_of_row_numbers,
)
from .given import Given
from .held_out import HeldOut, split
from .history import has_converged
from .preparation import Prepared, prepare, share_observed
from .pseudo_labels import inputs_of_fit, median
from .records import Recorded
from .restarts import run_restarts
from .run import Restart, run_restart
from .settings import schedule_of, settings_of
from .state import STREAM, Fit, FitState
from .tasks import FitTask

__all__ = ["fit"]


@interruptible()
@ordinary_torch()
def fit(estimator: Any, given: Given, task: FitTask) -> Fit:
    """Fit a model to the rows that are given, or train the previous one on.

    Parameters
    ----------
    estimator : GMVAEClustering
        Whose parameters are read.
    given : Given
    task : FitTask
        The fit, as the estimator's callbacks see it; it is begun here.

    Returns
    -------
    Fit
    """
    X, copies, previous, group = given.X, given.copies, given.previous, given.group
    checkpoint, early_stopping = given.checkpoint, given.early_stopping
    seed = previous.state.seed if previous else draw_seed(estimator.random_state)
    seed = checkpoint.resume(
        group.gathered(seed)[0],
        is_drawn=previous is None and estimator.random_state is None,
    )
    n_rows, sample = group.n_rows(copies.rows.shape[0]), group.sampled(copies.rows)
    prepared = prepare(estimator, given, sample)
    rows = prepared.rows(copies.rows)
    held_out = _held_out(given, prepared, rows, seed)
    n_training = n_rows
    if held_out is not None and held_out.training is not None:
        n_training = len(held_out.training)
    schedule = schedule_of(estimator, n_training, previous, early_stopping)
    is_tried = estimator.n_init > 1 and previous is None
    task.begin_fit(estimator.n_init + 1 if is_tried else schedule.n_epochs)
    inputs = inputs_of_fit(estimator, given, prepared, rows, sample, seed)
    settings = settings_of(estimator, seed, X.shape[1], inputs)._replace(
        weights=copies.weights, group=group, held_out=held_out,
        log_volume=prepared.log_volume(_observed(given, prepared, rows)),
    )
    state = FitState(
        seed=seed,
        n_epochs=previous.state.n_epochs if previous else 0,
        n_steps=previous.state.n_steps if previous else 0,
        n_rows=float(group.sum(float(copies.each_weight().sum()))) * copies.unit,
        keeps_clusters=inputs is not None and inputs.pseudo_labels is not None,
        typical_radius=median(inputs.radius if inputs else None, group),
        tol=estimator.tol,
    )
    task.snapshot = partial(_snapshot, prepared, rows, inputs, state)
    if previous:
        trained = run_restart(
            prepared.architecture, rows, settings, schedule, 0,
            to_arrays(previous.fitted.module), previous.records, task,
            checkpoint.of_run(TRAINING),
        )
    else:
        trained = run_restarts(
            estimator.n_init, estimator.n_jobs, prepared.architecture, rows, settings, schedule,
            task=task, checkpoint=checkpoint,
        )
    if trained.interrupted and not trained.records:
        raise KeyboardInterrupt

    fitted, description = describe(
        _fitted_model(given, prepared, trained, rows, inputs, seed),
        copies.rows, inputs.pseudo_labels if inputs else None,
        largest_first=True, weights=copies.weights, group=group,
    )
    n_epochs = len(trained.records) if trained.interrupted else schedule.n_epochs
    n_steps = n_epochs * n_batches(n_training, estimator.batch_size)
    state = state._replace(
        n_epochs=state.n_epochs + n_epochs, n_steps=state.n_steps + n_steps,
        interrupted=trained.interrupted,
        reservoir=_remembered(given, rows, seed) if group.has_all_at_hand else None,
    )
    records = [*(previous.records if previous else ()), *trained.records]
    converged = has_converged(records, state)
    warned = [
        *warnings_of_far_rows(
            estimator, copies.of_weight(X) if group.has_all_at_hand else sample, prepared.units,
            previous, given.names,
        ),
        *([] if previous or given.image_shape else warnings_of_row_numbers(X, given.names)),
        *warnings_of_epochs(estimator, schedule, converged or trained.stopped),
        *warnings_of_learning_rate(schedule.learning_rate, trained.learning_rate),
        *warnings_of_clusters(
            fitted, _of_sample(description, copies.rows, group), sample, given.names,
            n_distinct=int(copies.points(group).max()) + 1,
            learning_rate_init=estimator.learning_rate_init,
            continued=previous is not None, converged=converged,
        ),
    ]
    description = of_given_rows(description, fitted, copies, X, group)
    return Fit(fitted, state, trained.records, description, warned)


def _held_out(given: Given, prepared: Prepared, rows: Rows, seed: int) -> HeldOut | None:
    """Return the rows by which training is judged where it stops early."""
    copies, group, early_stopping = given.copies, given.group, given.early_stopping
    if early_stopping is None:
        return None
    X_val = early_stopping.X_val
    if X_val is None:
        fraction = early_stopping.validation_fraction
        found = split(copies.points(group), rows.n_rows, fraction, seed, group)
        own = found.numbers
        X_val, weights = copies.rows[own], None if copies.weights is None else copies.weights[own]
    else:
        with group.agreement():
            prepared.likelihood.check_training(X_val, prepared.units)
        found, weights = HeldOut(prepared.rows(X_val)), None
    return found._replace(log_volume=prepared.log_volume(share_observed(X_val, weights, group)))


def _observed(given: Given, prepared: Prepared, rows: Rows) -> NDArray[np.float64]:
    """Return the share of rows that have a value in each column."""
    observed, has_gaps = prepared.units.observed, any(given.group.gathered(rows.has_missing))
    if given.previous is None and given.copies.weights is None:  # the units were read off them
        return observed
    if not has_gaps:
        return np.ones_like(observed)
    return share_observed(given.copies.rows, given.copies.weights, given.group)


def _fitted_model(
    given: Given,
    prepared: Prepared,
    trained: Restart,
    rows: Rows,
    inputs: RegularizerInputs | None,
    seed: int,
) -> Fitted:
    """Return the trained model, with p(z) and p(x|z) by the rows."""
    units, architecture, _ = prepared
    module = architecture.build(rows.device, seed)
    load_arrays(module, trained.arrays)
    if given.previous and not trained.records:  # no epoch was run
        module.set_weights(torch.from_numpy(given.previous.fitted.weights))
        latent = given.previous.fitted.latent_mixture
    else:
        latent = aggregated(module, rows, inputs, units, given.group)
    return Fitted(architecture, module, units, latent)


def _remembered(given: Given, rows: Rows, seed: int) -> Reservoir:
    """Return rows that a stream begins with, which may bring those of one cluster only."""
    capacity = STREAM.n_remembered(math.prod(rows.data_shape))
    source = generator(CPU, seed, 0, 0, 0, 2)
    weights = given.copies.each_weight() * given.copies.unit
    return Reservoir.of_rows(rows, weights, capacity, source)


def _snapshot(
    prepared: Prepared,
    rows: Rows,
    inputs: RegularizerInputs | None,
    state: FitState,
    module: GMVAE,
    records: list[Recorded],
) -> dict[str, Any]:
    """Return attributes of an estimator, fitted as far as a module is that is in training.

    Nothing is exchanged in a group: what is of all rows is then of own rows.
    """
    module = copy.deepcopy(module)
    latent = aggregated(module, rows, inputs, prepared.units)
    return {
        "_fitted": Fitted(prepared.architecture, module, prepared.units, latent),
        "_state": state._replace(n_epochs=len(records)),
        "_records": list(records), "_warnings": [],
    }


def _of_sample(description: Description, X: NDArray[Any], group: Group) -> Description:
    """Return a description whose labels are of the rows that `Group.sampled` returns."""
    if group.has_all_at_hand:
        return description
    mine = slice(None)
    if group.has_one_source:
        mine = slice(group.first_row, group.first_row + X.shape[0])
    begun = description.init_labels
    return description._replace(
        labels=group.sampled(description.labels[mine]),
        init_labels=None if begun is None else group.sampled(begun[mine]),
    )
