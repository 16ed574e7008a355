"""`partial_fit`: a pass over a chunk, and over remembered rows of the chunks before."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from .._model import GMVAE, LatentMixture
from .._objective import RegularizerInputs
from .._rows import BLOCK_ROWS, Reservoir, Rows, Units, n_batches
from .._training import Adam, Step, all_finite, run_epoch
from ..fitted import Fitted
from ..parameters import auto_learning_rate
from ..runtime import CPU, draw_seed, generator, ordinary_torch, threads_for
from .description import component_weights, describe, latent_mixture, of_given_rows
from .diagnostics import warnings_of_far_rows
from .given import Given
from .preparation import Prepared, prepare, share_observed
from .pseudo_labels import median, regularizer_inputs
from .records import LOG_VOLUME, Recorded
from .run import batches_of, cause_of_nan, objective_of
from .settings import Settings, settings_of
from .state import (
    STREAM,
    Fit,
    FitState,
    Forgotten,
    Previous,
    StreamRule,
)

__all__ = ["partial_fit"]


@ordinary_torch()
def partial_fit(estimator: Any, given: Given, rule: StreamRule = STREAM) -> Fit:
    """Take one pass over the rows that are given, a chunk, and as many remembered ones.

    A copy of the previous model is trained, so that others may read it meanwhile.
    """
    copies, previous = given.copies, given.previous
    n_rows = max(copies.rows.shape[0], rule.n_rows)
    prepared = prepare(estimator, given, n_rows=n_rows)
    units, architecture, device = prepared
    chunk = Rows.standardized(copies.rows, units, device)
    if previous is None:
        state = _first_state(estimator, prepared, chunk, n_rows)
        module, optimizer = architecture.build(device, state.seed, 0), None
    else:
        state = previous.state
        module, optimizer = copy.deepcopy((previous.fitted.module, state.optimizer))
        if previous.fitted.device != device:
            module, optimizer = module.to(device), None
    n_passes = estimator.batch_size * estimator.n_mc_samples
    with threads_for(module.n_multiplications(architecture.data_shape) * n_passes):
        return _pass(estimator, given, prepared, chunk, module, optimizer, state, rule)


def _pass(
    estimator: Any,
    given: Given,
    prepared: Prepared,
    chunk: Rows,
    module: GMVAE,
    optimizer: Adam | None,
    state: FitState,
    rule: StreamRule,
) -> Fit:
    """Take the pass, by training this module."""
    copies, previous = given.copies, given.previous
    units, architecture, device = prepared
    weights = copies.each_weight()
    epoch = len(previous.records) if previous else 0
    source = generator(CPU, state.seed, 0, epoch, 0, 1)
    reservoir = state.reservoir
    if reservoir is None or reservoir.rows.device != device:
        reservoir = Reservoir.empty(architecture.data_shape, device)
        if previous is not None:
            state = state._replace(forgotten=Forgotten(
                state.n_rows, previous.fitted.weights, previous.fitted.latent_mixture
            ))
    n_remembered = max(chunk.n_rows, estimator.batch_size)
    remembered, their_weights = reservoir.drawn(n_remembered, source)
    seen = torch.cat([*chunk.blocks(), remembered])
    seen_weights = torch.cat([weights, their_weights])
    rows, new = Rows(seen), seen[: chunk.n_rows]

    inputs = _inputs_of_pass(estimator, prepared, module, rows, seen_weights, state)
    settings = settings_of(estimator, state.seed, given.X.shape[1], inputs)
    if (seen_weights != 1).any():
        settings = settings._replace(weights=seen_weights.numpy())
    optimizer, record = _trained(estimator, prepared, module, optimizer, rows, settings, previous)

    clusters = None
    if state.keeps_clusters:
        clusters = torch.cat([
            _labels(module, y) for y in (*reservoir.rows.split(BLOCK_ROWS), *new.split(BLOCK_ROWS))
        ])
    capacity = rule.n_remembered(copies.rows.shape[1])
    reservoir = reservoir.updated(new, weights, capacity, source, clusters)
    state = state._replace(
        n_epochs=state.n_epochs + 1,
        n_steps=state.n_steps + n_batches(rows.n_rows, estimator.batch_size),
        n_rows=state.n_rows + float(weights.sum()),
        tol=estimator.tol, interrupted=False, optimizer=optimizer, reservoir=reservoir,
    )
    latent = None
    if inputs is not None:
        some = reservoir if len(reservoir.rows) else Reservoir(new, weights, weights)
        module.set_weights(_weights_of_stream(module, some, state))
        latent = _latent_mixture_of_stream(module, some, state, units)
    fitted, description = describe(
        Fitted(architecture, module, units, latent), copies.rows, None, largest_first=False,
        weights=copies.weights,
    )
    description = of_given_rows(description, fitted, copies, given.X)
    observed = share_observed(copies.rows, copies.weights, given.group)
    record[LOG_VOLUME] = prepared.log_volume(observed)
    far = warnings_of_far_rows(estimator, copies.of_weight(given.X), units, previous, given.names)
    return Fit(fitted, state, [record], description, far)


def _first_state(estimator: Any, prepared: Prepared, chunk: Rows, n_rows: int) -> FitState:
    """Return the state before the first chunk, of a stream of so many rows."""
    seed = draw_seed(estimator.random_state)
    inputs = regularizer_inputs(
        estimator, prepared, chunk, seed, None, begins=False, n_rows=n_rows
    )
    return FitState(
        seed, n_epochs=0, n_steps=0, n_rows=0, keeps_clusters=False,
        typical_radius=median(inputs.radius if inputs else None), tol=estimator.tol,
    )


def _inputs_of_pass(
    estimator: Any,
    prepared: Prepared,
    module: GMVAE,
    rows: Rows,
    weights: Tensor,
    state: FitState,
) -> RegularizerInputs | None:
    """Return what the regularizer needs of the chunk and the remembered rows."""
    labels = None
    if state.keeps_clusters:
        labels = torch.cat([_labels(module, y) for y in rows.blocks()]).cpu().numpy()
    inputs = regularizer_inputs(
        estimator, prepared, rows, state.seed, labels, begins=False, radius=state.typical_radius
    )
    return inputs and inputs._replace(weights=weights.numpy())


def _trained(
    estimator: Any,
    prepared: Prepared,
    module: GMVAE,
    optimizer: Adam | None,
    rows: Rows,
    settings: Settings,
    previous: Previous | None,
) -> tuple[Adam, Recorded]:
    """Train a module for one pass over rows; return the optimizer, and what was recorded."""
    epoch = len(previous.records) if previous else 0
    architecture = prepared.architecture
    module.set_weights()  # while training p(z) is uniform (Eq. 1b)
    objective = objective_of(module, rows, settings)
    if optimizer is None:
        optimizer = Adam(objective)
    # a single row has no variance: batch norm goes by its running statistics then
    objective.train(rows.n_rows > 1)
    batches = batches_of(architecture, rows, settings, lambda epoch: 1.0, 0)
    rate = estimator.learning_rate_init
    if rate == "auto":
        rate = auto_learning_rate(None)
    record = run_epoch(Step(objective, optimizer), batches, epoch, lambda epoch: rate)
    if not all_finite(objective.state_dict(), record):
        before = previous.fitted.module if previous else architecture.build(
            prepared.device, settings.seed, 0
        ).eval()
        raise ValueError(
            cause_of_nan(before, batches, epoch, architecture, settings) or
            "The loss of this pass was not finite, and the pass was undone. Lower "
            f"learning_rate_init={rate:g}, or look for extreme values in X."
        )
    optimizer.zero_grad()
    module.complete = False  # rows that are remembered, but took no part, may have missing values
    return optimizer, dict(zip(objective.recorded, record, strict=True))


def _weights_of_stream(module: GMVAE, some: Reservoir, state: FitState) -> Tensor:
    """Return p(z) by all rows that were seen, of which some, and those forgotten, stand for all."""
    weights = component_weights(
        module, some.rows.split(BLOCK_ROWS), weights_of_rows=some.weights.numpy()
    )
    if state.forgotten is None:
        return weights
    n_old, old, _ = state.forgotten
    old_weights = torch.from_numpy(old).to(weights)
    return (n_old * old_weights + (state.n_rows - n_old) * weights) / state.n_rows


def _latent_mixture_of_stream(
    module: GMVAE, some: Reservoir, state: FitState, units: Units
) -> LatentMixture:
    """Return p(x|z) by all rows that were seen, as `_weights_of_stream` does p(z)."""
    before, n_rows_before = None, None
    if state.forgotten is not None and state.forgotten.latent_mixture is not None:
        n_old, old, before = state.forgotten
        # each row of the stream that is not forgotten is one of so many
        n_new = float(some.weights.sum())
        share = n_new / max(state.n_rows - n_old, n_new)
        n_rows_before = torch.from_numpy(share * n_old * old)
    return latent_mixture(
        module, some.rows.split(BLOCK_ROWS), before, n_rows_before,
        weights_of_rows=some.weights.numpy(), units=units,
    )


@torch.no_grad()
def _labels(module: GMVAE, y: Tensor) -> Tensor:
    return module.eval().cluster_logits(module.q(y)).argmax(1)
