"""A fit, from top to bottom: units, rows, start, restarts, training, description.

Nothing is assigned to the estimator here: all is computed aside and handed back at once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._model import GMVAE, Architecture
from .._objective import Consistency
from .._rows import BLOCK_ROWS, Reservoir, Rows, Units, n_batches
from .._start import find_neighbors, initial_labels, nearest_up_to_affine, perturbation_radius
from .._training import Schedule, all_finite, is_settled, make_optimizer, run_epoch
from ..fitted import Fitted, load_arrays, to_arrays
from ..likelihoods import LIKELIHOODS, Likelihood
from ..parameters import PSEUDO_LABELS, auto_max_iter, hidden_sizes, is_affine, pseudo_label_share
from ..runtime import CPU, draw_seed, generator, ordinary_torch, select_device
from .description import Description, component_weights, describe, warnings_of_clusters
from .restarts import (
    Recorded,
    Settings,
    batches_of,
    cause_of_nan,
    objective_of,
    run_restart,
    run_restarts,
)

__all__ = ["Description", "Fit", "Progress", "fit", "partial_fit"]


class StreamRule(NamedTuple):
    """How `partial_fit` mixes a chunk with rows of earlier ones.

    By ``examples/benchmarks/streams.py`` (docs/results.md, "Streams"): without remembered rows
    chunks of one cluster each find nothing, with 200 most of it, with 2,000 all clusters in each
    of four seeds.

    Attributes
    ----------
    capacity : int
        Rows of the stream that are remembered.
    """

    capacity: int = 2_000


STREAM = StreamRule()


class Forgotten(NamedTuple):
    """Rows that a model has seen and the reservoir is no sample of.

    Those of a fit, and those before a pickle was loaded or the device changed.

    Attributes
    ----------
    n_rows : int
    weights : ndarray of shape (n_clusters,)
        Mean posterior probability of each component over them.
    """

    n_rows: int
    weights: NDArray[np.float64]


class Progress(NamedTuple):
    """What a continued fit needs to know of the one before, beside the model.

    Attributes
    ----------
    seed : int
    n_epochs, n_steps : int
        Of the schedules so far, whether or not they stopped early.
    n_rows : int
        Seen so far, by `partial_fit` in all.
    keeps_clusters : bool
        Whether `partial_fit` keeps the clusters that the model has, or expects even ones.
    typical_radius : float or None
        Median radius of the adversarial perturbation.
    optimizer : Optimizer or None
        With the moments of the last `partial_fit`.
    reservoir : Reservoir or None
        Rows that `partial_fit` remembers.
    forgotten : Forgotten or None
        Rows that it does not remember.
    """

    seed: int
    n_epochs: int
    n_steps: int
    n_rows: int
    keeps_clusters: bool
    typical_radius: float | None
    optimizer: torch.optim.Optimizer | None = None
    reservoir: Reservoir | None = None
    forgotten: Forgotten | None = None

    def without_stream(self) -> Progress:
        """Return what can be pickled."""
        return self._replace(optimizer=None, reservoir=None, forgotten=None)


class Previous(NamedTuple):
    """The model that a fit goes on from."""

    fitted: Fitted
    progress: Progress
    records: Sequence[Recorded]  # by epoch, in the model's units


class Fit(NamedTuple):
    """All that comes of a fit."""

    fitted: Fitted
    progress: Progress
    records: list[Recorded]  # of the new epochs
    description: Description
    warnings: list[Warning]
    interrupted: bool


@ordinary_torch()
def fit(
    estimator: Any,
    X: NDArray[Any],
    image_shape: tuple[int, ...] | None,
    previous: Previous | None = None,
) -> Fit:
    """Fit a model to the rows of a checked X, or train the `previous` one on.

    Parameters
    ----------
    estimator : GMVAEClustering
        Whose parameters are read.
    X : ndarray of shape (n_samples, n_features)
    image_shape : tuple of int or None
    previous : Previous or None

    Returns
    -------
    Fit
    """
    units, architecture, device = _prepare(estimator, X, image_shape, previous)
    seed = previous.progress.seed if previous else draw_seed(estimator.random_state)
    rows = Rows.standardized(X, units, device)
    labels = previous.fitted.labels(X) if previous and estimator.init == "neighbors" else None
    consistency = _consistency(estimator, rows, seed, labels, find_labels=previous is None)
    settings = _settings(estimator, seed, consistency)
    schedule = _schedule(estimator, len(X), previous)
    if previous:
        arrays = to_arrays(previous.fitted.module)
        earlier = [record["loss"] for record in previous.records]
        trained = run_restart(architecture, rows, settings, schedule, 0, arrays, earlier)
    else:
        trained = run_restarts(
            estimator.n_init, estimator.n_jobs, architecture, rows, settings, schedule
        )
    if trained.interrupted and not trained.records:
        raise KeyboardInterrupt
    records = [*(previous.records if previous else ()), *trained.records]

    module = architecture.build(device, seed)
    load_arrays(module, trained.arrays)
    module.set_weights()
    if consistency is not None:  # without a regularizer p(z) is the paper's, uniform
        module.set_weights(component_weights(module, rows.blocks()))
    settled = is_settled([record["loss"] for record in records], estimator.tol)
    fitted, description = describe(
        Fitted(architecture, module, units), X, converged=settled, largest_first=True
    )
    n_epochs = len(trained.records) if trained.interrupted else schedule.n_epochs
    before = previous.progress if previous else None
    progress = Progress(
        seed=seed,
        n_epochs=n_epochs + (before.n_epochs if before else 0),
        n_steps=n_epochs * n_batches(len(X), estimator.batch_size)
        + (before.n_steps if before else 0),
        n_rows=len(X),
        keeps_clusters=consistency is not None and consistency.labels is not None,
        typical_radius=_median(consistency.radius if consistency else None),
    )
    found = consistency.labels if consistency else None
    warned = [
        *_of_epochs(estimator, schedule, settled),
        *_of_learning_rate(schedule.learning_rate, trained.learning_rate),
        *warnings_of_clusters(fitted, description, X, found),
    ]
    return Fit(fitted, progress, trained.records, description, warned, trained.interrupted)


@ordinary_torch()
def partial_fit(
    estimator: Any,
    X: NDArray[Any],
    image_shape: tuple[int, ...] | None,
    previous: Previous | None = None,
    rule: StreamRule = STREAM,
) -> Fit:
    """Take one pass over the rows of a checked X and as many remembered ones.

    A copy of the previous model is trained, so that others may read it meanwhile.
    """
    units, architecture, device = _prepare(estimator, X, image_shape, previous)
    chunk = Rows.standardized(X, units, device)
    if previous is None:
        seed = draw_seed(estimator.random_state)
        consistency = _consistency(estimator, chunk, seed, None, find_labels=False)
        progress = Progress(
            seed, 0, 0, 0, keeps_clusters=False,
            typical_radius=_median(consistency.radius if consistency else None),
        )
        module, optimizer = architecture.build(device, seed, 0), None
    else:
        progress = previous.progress
        module, optimizer = copy.deepcopy((previous.fitted.module, progress.optimizer))
        if previous.fitted.device != device:
            module, optimizer = module.to(device), None
    epoch = len(previous.records) if previous else 0
    source = generator(CPU, progress.seed, 0, epoch, 0, 1)
    reservoir = progress.reservoir
    if reservoir is None or reservoir.rows.device != device:
        reservoir = Reservoir.empty(architecture.data_shape, device)
        if previous is not None:
            forgotten = Forgotten(progress.n_rows, previous.fitted.weights)
            progress = progress._replace(forgotten=forgotten)
    n_remembered = max(chunk.n_rows, estimator.batch_size)
    rows = Rows(torch.cat([*chunk.blocks(), reservoir.drawn(n_remembered, source)]))

    labels = None
    if progress.keeps_clusters:
        labels = torch.cat([_labels(module, y) for y in rows.blocks()]).cpu().numpy()
    consistency = _consistency(
        estimator, rows, progress.seed, labels, find_labels=False, radius=progress.typical_radius
    )
    settings = _settings(estimator, progress.seed, consistency)
    schedule = Schedule(
        estimator.learning_rate_init, decays=False, first_epoch=epoch, n_epochs=1,
        head_start=epoch, tol=estimator.tol, n_iter_no_change=1,
    )
    module.set_weights()
    objective = objective_of(module, rows, settings)
    if optimizer is None:
        optimizer = make_optimizer(objective, estimator.learning_rate_init)
    # a single row has no variance: batch norm goes by its running statistics then
    objective.train(rows.n_rows > 1)
    batches = batches_of(architecture, rows, settings, schedule, 0)
    record = run_epoch(objective, optimizer, batches, epoch, schedule.learning_rate_at)
    if not all_finite(objective, record):
        before = previous.fitted.module if previous else architecture.build(device, seed, 0).eval()
        raise ValueError(
            cause_of_nan(before, batches(epoch, 0), architecture, settings) or
            "The loss of this pass was not finite, and the pass was undone. Lower "
            f"learning_rate_init={estimator.learning_rate_init:g}, or look for extreme values in X."
        )
    optimizer.zero_grad()

    reservoir = reservoir.updated(torch.cat([*chunk.blocks()]), rule.capacity, source)
    if consistency is not None:
        some = reservoir.rows.split(BLOCK_ROWS) if len(reservoir.rows) else chunk.blocks()
        weights = component_weights(module, some)
        if progress.forgotten is not None:
            n_old, old = progress.forgotten
            n_new = progress.n_rows - n_old + chunk.n_rows
            old_weights = torch.from_numpy(old).to(weights)
            weights = (n_old * old_weights + n_new * weights) / (n_old + n_new)
        module.set_weights(weights)
    fitted, description = describe(
        Fitted(architecture, module, units), X, converged=False, largest_first=False
    )
    progress = progress._replace(
        n_epochs=progress.n_epochs + 1,
        n_steps=progress.n_steps + n_batches(rows.n_rows, estimator.batch_size),
        n_rows=progress.n_rows + chunk.n_rows, optimizer=optimizer, reservoir=reservoir,
    )
    named = dict(zip(objective.recorded, record, strict=True))
    return Fit(fitted, progress, [named], description, [], interrupted=False)


def _prepare(
    estimator: Any,
    X: NDArray[Any],
    image_shape: tuple[int, ...] | None,
    previous: Previous | None,
) -> tuple[Units, Architecture, torch.device]:
    """Return the units and the shape of the model, and where it goes."""
    likelihood: Likelihood = LIKELIHOODS[estimator.likelihood]
    fitted = previous.fitted if previous else None
    units = fitted.units if fitted else likelihood.units(X, image_shape)
    automatic = isinstance(estimator.hidden_layer_sizes, str)
    architecture = Architecture(
        units._replace(image_shape=image_shape).data_shape,
        int(estimator.n_clusters), int(estimator.latent_dim), int(estimator.style_dim),
        fitted.architecture.hidden_layer_sizes if fitted and automatic
        else hidden_sizes(estimator, len(X)),
        estimator.networks, likelihood,
    )
    changed = fitted.architecture.differences(architecture) if fitted else []
    if changed:
        named = "; ".join(changed).replace("data_shape", "image_shape, and with it a row's shape,")
        raise ValueError(
            f"A fitted model cannot be changed in {named}. Fit a clone, or set warm_start=False."
        )
    likelihood.check(X, units)
    return units, architecture, select_device(estimator.device)


def _consistency(
    estimator: Any,
    rows: Rows,
    seed: int,
    labels: NDArray[np.intp] | None,
    *,
    find_labels: bool,
    radius: float | None = None,
) -> Consistency | None:
    """Return what the regularizer needs of the rows, None where there is no regularizer.

    Pseudo-labels are `labels`, or those that the start finds if asked to; `radius` is that of an
    earlier chunk, in place of one that is measured on the rows.
    """
    if not estimator.consistency:
        return None
    perturbation = estimator.perturbation
    adversarial = isinstance(perturbation, str) and perturbation != "affine"
    given = estimator.perturbation_radius if estimator.perturbation_radius != "auto" else radius
    find_labels = find_labels and estimator.init == "neighbors"
    radii = None
    if adversarial and given is not None:
        radii = np.full(rows.n_rows, given, np.float32)
    if find_labels or (adversarial and given is None):
        affine = find_labels and is_affine(perturbation)
        neighbors = find_neighbors(rows, seed, up_to_affine=affine)
        if adversarial and given is None:
            radii = perturbation_radius(rows, neighbors)
        if find_labels:
            if affine:
                neighbors = nearest_up_to_affine(rows, neighbors)
            labels = initial_labels(rows, neighbors, estimator.n_clusters, seed)
    return Consistency(
        perturbation, radii, labels, pseudo_label_share(rows.n_rows, perturbation),
        PSEUDO_LABELS.other_cluster_if_affine if is_affine(perturbation) else 0.0,
    )


def _settings(estimator: Any, seed: int, consistency: Consistency | None) -> Settings:
    return Settings(
        seed, estimator.n_mc_samples, estimator.min_information, estimator.consistency,
        consistency, estimator.batch_size, estimator.verbose,
    )


def _schedule(estimator: Any, n_rows: int, previous: Previous | None) -> Schedule:
    """Return the epochs that the model has not had yet.

    A number of epochs counts those of earlier fits; "auto" counts steps, since epochs of fewer
    rows were shorter.
    """
    done = previous.progress if previous else None
    n_epochs, head_start = estimator.max_iter, float(done.n_epochs if done else 0)
    if n_epochs == "auto":
        n_epochs = auto_max_iter(n_rows, estimator.batch_size)
        head_start = done.n_steps / n_batches(n_rows, estimator.batch_size) if done else 0.0
    return Schedule(
        learning_rate=estimator.learning_rate_init,
        decays=estimator.learning_rate == "cosine",
        first_epoch=len(previous.records) if previous else 0,
        n_epochs=max(0, math.ceil(n_epochs - head_start)),
        head_start=head_start,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
    )


@torch.no_grad()
def _labels(module: GMVAE, y: Tensor) -> Tensor:
    return module.eval().cluster_logits(module.q(y)).argmax(1)


def _median(radii: NDArray[np.float32] | None) -> float | None:
    return None if radii is None else float(np.median(radii))


def _of_epochs(estimator: Any, schedule: Schedule, settled: bool) -> list[Warning]:
    if schedule.n_epochs == 0:
        return [ConvergenceWarning(
            f"No epoch was run: the model has had all that max_iter={estimator.max_iter!r} stands "
            "for. Raise max_iter to train it on."
        )]
    if estimator.max_iter != "auto" and not settled:
        return [ConvergenceWarning(
            f"The loss was still changing after max_iter={estimator.max_iter} epochs; raise "
            "max_iter, or leave it at 'auto'."
        )]
    return []


def _of_learning_rate(asked: float, used: float) -> list[Warning]:
    if used == asked:
        return []
    return [ConvergenceWarning(
        f"The loss was not finite at learning_rate_init={asked:g}; the fit went on at {used:.2g}. "
        "Lower learning_rate_init, or look for extreme values in X."
    )]
