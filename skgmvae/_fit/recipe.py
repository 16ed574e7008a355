"""A fit, from top to bottom: units, rows, start, restarts, training, description.

Nothing is assigned to the estimator here: all is computed aside and handed back at once.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.exceptions import ConvergenceWarning

from .._model import GMVAE, Architecture
from .._objective import RegularizerInputs
from .._rows import (
    BLOCK_ROWS,
    Copies,
    LazyRows,
    Reservoir,
    Rows,
    SparseRows,
    StreamedRows,
    Units,
    blocks,
    has_missing,
    joined,
    n_batches,
    slices,
)
from .._start import (
    RADIUS,
    certain,
    completed,
    find_neighbors,
    initial_partition,
    nearest_in_sample,
    nearest_up_to_affine,
    perturbation_radius,
)
from .._training import Schedule
from ..callbacks import EarlyStopping
from ..distributed import ALONE, Group
from ..exceptions import FarRowsWarning, IdentifierWarning
from ..fitted import Fitted, load_arrays, to_arrays
from ..likelihoods import LIKELIHOODS, Likelihood, MixedLikelihood
from ..parameters import (
    auto_consistency,
    auto_learning_rate,
    auto_max_iter,
    hidden_sizes,
    information_weights,
    is_affine,
    pseudo_label_schedule,
)
from ..runtime import (
    CPU,
    draw_seed,
    generator,
    has_float64,
    interruptible,
    ordinary_torch,
    select_device,
)
from .checkpoint import TRAINING, Checkpoint
from .description import (
    Description,
    aggregated,
    describe,
    of_given_rows,
    warnings_of_clusters,
)
from .held_out import HELD_OUT, HeldOut, split
from .history import has_converged
from .restarts import Restart, Settings, run_restart, run_restarts
from .state import STREAM, Fit, FitState, Previous, Recorded
from .tasks import FitTask

__all__ = [
    "fit", "log_volume_of", "median", "prepare", "regularizer_inputs", "settings_of",
    "share_observed", "warnings_of_far_rows", "warnings_of_row_numbers",
]

#: Fewer rows may have evenly spaced values of any kind. Chosen by hand.
MIN_NUMBERED_ROWS = 20


@interruptible()
@ordinary_torch()
def fit(
    estimator: Any,
    X: NDArray[Any],
    copies: Copies,
    image_shape: tuple[int, ...] | None,
    previous: Previous | None,
    group: Group,
    categories: Sequence[NDArray[np.intp]],
    names: Sequence[Any],
    early_stopping: EarlyStopping | None,
    task: FitTask,
    checkpoint: Checkpoint,
) -> Fit:
    """Fit a model to the rows of a checked X, or train the `previous` one on.

    Parameters
    ----------
    estimator : GMVAEClustering
        Whose parameters are read.
    X : ndarray of shape (n_samples, n_features)
    copies : Copies
        Of the rows of X, to which the model is fitted; X is only described.
    image_shape : tuple of int or None
    previous : Previous or None
    group : Group
        Processes that fit the model together.
    categories : sequence of ndarray
        The columns of each one-hot encoded category, which have probabilities for a likelihood.
    names : sequence
        What messages call each column: its name, or its number.
    early_stopping : EarlyStopping or None
        Its `X_val`, if there is one, are rows checked as X is.
    task : FitTask
        The fit, as the estimator's callbacks see it; it is begun here.
    checkpoint : Checkpoint
        From which the fit goes on, if its file holds one, and where it is written.

    Returns
    -------
    Fit
    """
    seed = previous.state.seed if previous else draw_seed(estimator.random_state)
    seed = checkpoint.resume(
        group.gathered(seed)[0],
        is_drawn=previous is None and estimator.random_state is None,
    )
    n_rows, sample = group.n_rows(copies.rows.shape[0]), group.sampled(copies.rows)
    units, architecture, device = prepare(
        estimator, copies.rows, image_shape, previous, names, sample, group, categories
    )
    likelihood = cast(Likelihood, architecture.likelihood)
    rows = _rows_of(copies.rows, units, device)
    observed, has_gaps = units.observed, any(group.gathered(rows.has_missing))
    if previous or copies.weights is not None:
        observed = (
            share_observed(copies.rows, copies.weights, group) if has_gaps
            else np.ones_like(observed)
        )
    held_out = _held_out(early_stopping, rows, copies, units, likelihood, seed, group)
    if held_out is not None and held_out.training is not None:
        n_training = len(held_out.training)
    else:
        n_training = n_rows
    schedule = _schedule(estimator, n_training, previous, early_stopping)
    is_tried = estimator.n_init > 1 and previous is None
    task.begin_fit(estimator.n_init + 1 if is_tried else schedule.n_epochs)
    inputs = _inputs(estimator, rows, copies, sample, units, seed, previous, group, likelihood)
    settings = settings_of(estimator, seed, X.shape[1], inputs)._replace(
        weights=copies.weights, group=group, held_out=held_out,
        log_volume=log_volume_of(likelihood, units, observed),
    )
    state = FitState(
        seed=seed,
        n_epochs=previous.state.n_epochs if previous else 0,
        n_steps=previous.state.n_steps if previous else 0,
        n_rows=n_rows * copies.unit,
        keeps_clusters=inputs is not None and inputs.pseudo_labels is not None,
        typical_radius=median(inputs.radius if inputs else None, group),
        tol=estimator.tol,
    )
    task.snapshot = partial(_snapshot, architecture, units, rows, inputs, state)
    if previous:
        arrays = to_arrays(previous.fitted.module)
        trained = run_restart(
            architecture, rows, settings, schedule, 0, arrays, previous.records, task,
            checkpoint.of_run(TRAINING),
        )
    else:
        trained = run_restarts(
            estimator.n_init, estimator.n_jobs, architecture, rows, settings, schedule,
            task=task, checkpoint=checkpoint,
        )
    if trained.interrupted and not trained.records:
        raise KeyboardInterrupt

    fitted, description = describe(
        _fitted_model(architecture, trained, seed, rows, units, inputs, previous, group),
        copies.rows, inputs.pseudo_labels if inputs else None,
        largest_first=True, weights=copies.weights, group=group,
    )
    n_epochs = len(trained.records) if trained.interrupted else schedule.n_epochs
    n_steps = n_epochs * n_batches(n_training, estimator.batch_size)
    state = state._replace(
        n_epochs=state.n_epochs + n_epochs, n_steps=state.n_steps + n_steps,
        interrupted=trained.interrupted,
        reservoir=_remembered(rows, copies, seed) if group.has_all_at_hand else None,
    )
    records = [*(previous.records if previous else ()), *trained.records]
    converged = has_converged(records, state)
    warned = [
        *warnings_of_far_rows(
            estimator, copies.of_weight(X) if group.has_all_at_hand else sample, units, previous,
            names,
        ),
        *([] if previous or image_shape else warnings_of_row_numbers(X, names)),
        *_warnings_of_epochs(estimator, schedule, converged or trained.stopped),
        *_warnings_of_learning_rate(schedule.learning_rate, trained.learning_rate),
        *warnings_of_clusters(
            fitted, _of_sample(description, copies.rows, group), sample, names,
            n_distinct=int(copies.points(group).max()) + 1,
            learning_rate_init=estimator.learning_rate_init,
            continued=previous is not None, converged=converged,
        ),
    ]
    description = of_given_rows(description, fitted, copies, X, group)
    return Fit(fitted, state, trained.records, description, warned)


def _held_out(
    early_stopping: EarlyStopping | None,
    rows: Rows,
    copies: Copies,
    units: Units,
    likelihood: Likelihood,
    seed: int,
    group: Group,
) -> HeldOut | None:
    """Return the rows by which training is judged where it stops early."""
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
            likelihood.check(X_val, units)
        found, weights = HeldOut(_rows_of(X_val, units, rows.device)), None
    observed = share_observed(X_val, weights, group)
    return found._replace(log_volume=log_volume_of(likelihood, units, observed))


def _inputs(
    estimator: Any,
    rows: Rows,
    copies: Copies,
    sample: NDArray[Any],
    units: Units,
    seed: int,
    previous: Previous | None,
    group: Group,
    likelihood: Likelihood,
) -> RegularizerInputs | None:
    """Return what the regularizer needs of the rows: of these, or of a sample of them all."""
    labels = None
    if previous and estimator.init == "neighbors":
        labels = previous.fitted.labels(copies.rows)
    if group.has_all_at_hand:
        inputs = regularizer_inputs(
            estimator, rows, units, seed, labels, begins=True, likelihood=likelihood
        )
    else:
        sampled = Rows.standardized(sample, units, rows.device)
        inputs = _inputs_by_sample(
            estimator, rows, sampled, units, seed, labels, group, likelihood
        )
    return inputs and inputs._replace(weights=copies.weights)


def _fitted_model(
    architecture: Architecture,
    trained: Restart,
    seed: int,
    rows: Rows,
    units: Units,
    inputs: RegularizerInputs | None,
    previous: Previous | None,
    group: Group,
) -> Fitted:
    """Return the trained model, with p(z) and p(x|z) by the rows."""
    module = architecture.build(rows.device, seed)
    load_arrays(module, trained.arrays)
    if previous and not trained.records:  # no epoch was run
        module.set_weights(torch.from_numpy(previous.fitted.weights))
        latent = previous.fitted.latent_mixture
    else:
        latent = aggregated(module, rows, inputs, units, group)
    return Fitted(architecture, module, units, latent)


def _rows_of(X: Any, units: Units, device: torch.device) -> Rows:
    """Return rows in the model's units; of those in a file, rows that are read as they are used."""
    if isinstance(X, LazyRows):
        return StreamedRows.of(X, units, device)
    return Rows.standardized(X, units, device)


def _remembered(rows: Rows, copies: Copies, seed: int) -> Reservoir | None:
    """Return rows that a stream begins with, which may bring those of one cluster only."""
    if not has_float64(rows.device):
        return None
    capacity = STREAM.n_remembered(math.prod(rows.data_shape))
    source = generator(CPU, seed, 0, 0, 0, 2)
    weights = copies.weights_on(rows.device) * copies.unit
    return Reservoir.of_rows(rows, weights, capacity, source)


def log_volume_of(likelihood: Likelihood, units: Units, observed: NDArray[np.float64]) -> float:
    """Return what a bound in the model's units is above the same in the units of X."""
    return -float(likelihood.log_density_in_data(0.0, units, observed))


def share_observed(
    X: Any, weights: NDArray[np.float64] | None, group: Group
) -> NDArray[np.float64]:
    """Return the share of rows, by their weights, that have a value in each column."""
    found, n_rows, first = np.zeros(X.shape[1]), 0.0, 0
    for block in blocks(X):
        weight = np.ones(len(block)) if weights is None else weights[first : first + len(block)]
        first += len(block)
        found += weight @ ~np.isnan(block)
        n_rows += float(weight.sum())
    total = group.sum(np.append(found, n_rows))
    share: NDArray[np.float64] = total[:-1] / total[-1]
    return share


def _snapshot(
    architecture: Architecture,
    units: Units,
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
    latent = aggregated(module, rows, inputs, units)
    return {
        "_fitted": Fitted(architecture, module, units, latent),
        "_state": state._replace(n_epochs=len(records)),
        "_records": list(records), "_warnings": [],
    }


def prepare(
    estimator: Any,
    X: NDArray[Any],
    image_shape: tuple[int, ...] | None,
    previous: Previous | None,
    names: Sequence[Any],
    sample: NDArray[Any] | None = None,
    group: Group = ALONE,
    categories: Sequence[NDArray[np.intp]] = (),
    n_rows: int | None = None,
) -> tuple[Units, Architecture, torch.device]:
    """Return the units and the shape of the model, and where it goes.

    In a group, and of rows in a file, the units are read off a sample of all rows. The networks are
    as wide as `n_rows` ask for, if there will be more than there are in X.
    """
    sample = X if sample is None else sample
    likelihood: Likelihood = LIKELIHOODS[estimator.likelihood]
    fitted = previous.fitted if previous else None
    if fitted is None:
        _check_values(sample, names)
    units = (
        fitted.units.seeing(sample) if fitted
        else likelihood.units(sample, image_shape, estimator.scale)
    )
    if not group.has_all_at_hand:
        units = group.gathered(units)[0]
        is_constant = np.all(group.gathered(units.are_constant(X)), axis=0)
        units = units._replace(constants=np.where(is_constant, units.constants, np.nan))
    if categories and units.are_counts:
        raise ValueError(
            f"likelihood={estimator.likelihood!r} is for counts in all columns, but X has columns "
            "that are categories (categorical_features)."
        )
    if categories:
        likelihood = MixedLikelihood.of_columns(likelihood, categories, units)
    if fitted is None:
        likelihood = likelihood.fitted_to(sample, units)
    elif likelihood.is_like(fitted.likelihood):
        likelihood = fitted.likelihood
    automatic = isinstance(estimator.hidden_layer_sizes, str)
    architecture = Architecture(
        units._replace(image_shape=image_shape).data_shape,
        int(estimator.n_clusters), int(estimator.latent_dim), int(estimator.style_dim),
        fitted.architecture.hidden_layer_sizes if fitted and automatic
        else hidden_sizes(estimator, n_rows or group.n_rows(X.shape[0]), X.shape[1]),
        estimator.networks, likelihood,
        reads_missing=(
            fitted.architecture.reads_missing if fitted
            else any(group.gathered(has_missing(X)))
        ),
    )
    changed = fitted.architecture.differences(architecture) if fitted else []
    if changed:
        named = "; ".join(changed).replace("data_shape", "image_shape, and with it a row's shape,")
        raise ValueError(
            f"A fitted model cannot be changed in {named}. Fit a clone, or set warm_start=False."
        )
    with group.agreement():
        likelihood.check(X, units)
        device = select_device(estimator.device, group.local_rank)
    return units, architecture, device


def _check_values(X: Any, names: Sequence[Any]) -> None:
    """Raise a ValueError if columns have no values."""
    empty = np.ones(X.shape[1], bool)
    for block in blocks(X):
        empty &= np.isnan(block).all(0)
        if not empty.any():  # mostly after the first block
            return
    columns = [repr(names[int(number)]) for number in np.flatnonzero(empty)]
    if len(columns) == 1:
        raise ValueError(f"Column {columns[0]} of X has no values, all are missing: drop it.")
    named = ", ".join(columns[:3]) + ", ..." * (len(columns) > 3)
    raise ValueError(f"Columns {named} of X have no values, all are missing: drop them.")


def warnings_of_far_rows(
    estimator: Any,
    X: NDArray[Any],
    units: Units,
    previous: Previous | None,
    names: Sequence[Any],
) -> list[Warning]:
    """Return a warning if rows of X are far from all others, or from those of an earlier fit."""
    if previous:
        return previous.fitted.far_rows(X)
    n_far, found = units.far_from_others(X)
    if not n_far:
        return []
    columns = [repr(names[int(number)]) for number in found]
    where = f"column{'s' * (len(columns) > 1)} {', '.join(columns[:3])}"
    if len(columns) > 3:
        where += f" and {len(columns) - 3} more"
    done = (
        f"With scale={estimator.scale!r} they count in the location and scale of X; scale='auto' "
        "leaves them out."
        if estimator.scale in ("range", "std") else
        "They were left out of the location and scale of X and moved nearer while training; with "
        "scale='range' or 'std' they count in full."
    )
    return [FarRowsWarning(
        f"{n_far} of {X.shape[0]} rows are far from all others in {where} of X. {done} Look at "
        "these rows: drop them if they are errors, impute them if such values mean missing ones."
    )]


def warnings_of_row_numbers(X: Any, names: Sequence[Any]) -> list[Warning]:
    """Return a warning of each column of an array that may number the rows, or be their time."""
    n_rows, n_features = X.shape
    if not isinstance(X, np.ndarray) or n_features == 1 or n_rows < MIN_NUMBERED_ROWS:
        return []
    found: list[Warning] = []
    for name, column in zip(names, X.T, strict=True):
        low, high = float(column.min()), float(column.max())
        with np.errstate(over="ignore", invalid="ignore"):
            off_center = abs(column.mean(dtype=np.float64) - (low + high) / 2)
            may_be = off_center <= 1e-6 * (high - low) < np.inf
        if low < high and may_be:  # other columns, most of them, need not be sorted
            evenly_spaced = np.linspace(low, high, n_rows)
            tolerance = 0.01 * (high - low) / n_rows
            if np.abs(np.sort(column) - evenly_spaced).max() <= tolerance:
                found.append(IdentifierWarning(
                    f"Column {name!r} of X has {n_rows} evenly spaced values in {n_rows} rows, as "
                    "a number of the row or a time has. Drop it if clusters should not depend on "
                    "it."
                ))
    return found


def regularizer_inputs(
    estimator: Any,
    rows: Rows,
    units: Units,
    seed: int,
    labels: NDArray[np.intp] | None,
    *,
    begins: bool,
    likelihood: Likelihood,
    radius: float | None = None,
    n_rows: int | None = None,
) -> RegularizerInputs | None:
    """Return what the regularizer needs of the rows, None where there is no regularizer.

    Parameters
    ----------
    estimator : GMVAEClustering
    rows : Rows
    units : Units
    seed : int
    labels : ndarray of shape (n_rows,) or None
        Clusters that rows have already, in place of an initial partition.
    begins : bool
        Whether the posterior is fitted to pseudo-labels; if not, only its sizes to those of labels.
    likelihood : Likelihood
        Which says how rows are compared.
    radius : float, default=None
        Of the perturbation, in place of one that is measured on the rows.
    n_rows : int, default=None
        Of which these are a sample, if they are one.
    """
    if estimator.consistency == 0:
        return None
    perturbation = estimator.perturbation
    adversarial = isinstance(perturbation, str) and perturbation != "affine"
    given = estimator.perturbation_radius if estimator.perturbation_radius != "auto" else radius
    partitions = begins and labels is None and estimator.init == "neighbors"
    observed = rows
    radii, probabilities, is_mixture = None, None, False
    if adversarial and given is not None:
        radii = np.full(rows.n_rows, float(given), np.float32)
    if partitions or (adversarial and given is None):
        affine = partitions and is_affine(perturbation)
        rows = completed(rows)
        seen = comparable(rows, likelihood)
        neighbors = find_neighbors(seen, seed, up_to_affine=affine)
        if adversarial and given is None:
            # the 10th neighbor of all rows is a nearer one of a sample
            rank = RADIUS.neighbor * rows.n_rows / (n_rows or rows.n_rows)
            radii = perturbation_radius(
                rows, neighbors, radius=RADIUS._replace(neighbor=max(1, round(rank)))
            )
        if partitions:
            if affine:
                neighbors = nearest_up_to_affine(seen, neighbors)
            is_table = likelihood.features_have_units and units.image_shape is None
            probabilities, is_mixture = initial_partition(
                seen, neighbors, int(estimator.n_clusters), seed,
                scale=units.scale if is_table else None,
                are_images=units.image_shape is not None,
                observed=observed,
            )
    if labels is not None:
        probabilities = certain(labels, int(estimator.n_clusters))
    schedule = None
    if begins:
        schedule = pseudo_label_schedule(
            n_rows or rows.n_rows, len(units.scale), perturbation, is_mixture=is_mixture
        )
    return RegularizerInputs(perturbation, radii, probabilities, schedule)


def comparable(rows: Rows, likelihood: Likelihood) -> Rows:
    """Return rows as distances between them are meant: counts brought to one total."""
    if type(likelihood).read is Likelihood.read:
        return rows
    blocks = (likelihood.read(block) for block in rows.blocks())
    if isinstance(rows, SparseRows):  # which stay so: of no count nothing is read
        read = [csr_array(block.flatten(1).cpu().numpy()) for block in blocks]
        return SparseRows.of_values(vstack(read, format="csr"), rows.device)
    return Rows(joined(blocks, rows.n_rows))


def _inputs_by_sample(
    estimator: Any,
    rows: Rows,
    sample: Rows,
    units: Units,
    seed: int,
    labels: NDArray[np.intp] | None,
    group: Group,
    likelihood: Likelihood,
) -> RegularizerInputs | None:
    """Return what the regularizer needs of own rows, found by the first process on a sample.

    If the sample is not all rows, what a row has is the mean of its neighbors in the sample. Rows
    are read as many at a time as the sample has.
    """
    n_rows, first = group.n_rows(rows.n_rows), group.first_row
    labels_of_sample = None if labels is None else group.sampled(labels)

    def find() -> RegularizerInputs | None:
        found = regularizer_inputs(
            estimator, sample, units, seed, labels_of_sample, begins=True, n_rows=n_rows,
            likelihood=likelihood,
        )
        return found and found._replace(perturbation="")  # a callable may be bound to its process

    found = group.of_first(find)
    if found is None:
        return None
    seen = None if sample.n_rows == n_rows else comparable(completed(sample), likelihood)
    radii, probabilities = [], []
    for block in slices(rows.n_rows, max(BLOCK_ROWS, sample.n_rows)):
        if seen is None:
            nearest = np.arange(first, first + rows.n_rows)[block, None]
        else:
            index = torch.arange(block.start, block.stop, device=rows.home)
            own = completed(Rows(rows.take(index)), sample)
            nearest = nearest_in_sample(comparable(own, likelihood), seen)
        if found.radius is not None:
            radii.append(_means(found.radius, nearest))
        if found.pseudo_labels is not None and labels is None:
            probabilities.append(_means(found.pseudo_labels, nearest))
    pseudo_labels = None
    if labels is not None and found.pseudo_labels is not None:
        pseudo_labels = certain(labels, int(estimator.n_clusters))
    elif probabilities:
        pseudo_labels = vstack(probabilities, format="csr")
    return found._replace(
        perturbation=estimator.perturbation, radius=np.concatenate(radii) if radii else None,
        pseudo_labels=pseudo_labels,
    )


def _means(values: Any, nearest: NDArray[np.intp]) -> Any:
    """Return for each row the mean of what its neighbors have, by an array or a sparse matrix."""
    return sum(values[column] for column in nearest.T) / np.float32(nearest.shape[1])


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


def settings_of(
    estimator: Any, seed: int, n_features: int, inputs: RegularizerInputs | None
) -> Settings:
    """Return the training parameters, "auto" as a number."""
    holds = inputs is not None and inputs.pseudo_labels is not None
    schedule = inputs.schedule if inputs is not None and holds else None
    consistency = estimator.consistency
    if consistency == "auto":
        consistency = auto_consistency(
            n_features, estimator.perturbation, has_pseudo_labels=schedule is not None
        )
    return Settings(
        seed, int(estimator.n_mc_samples), float(estimator.min_information), float(consistency),
        information_weights(schedule),
        inputs, int(estimator.batch_size), estimator.verbose,
    )


def _schedule(
    estimator: Any, n_rows: int, previous: Previous | None, early_stopping: EarlyStopping | None
) -> Schedule:
    """Return the epochs that the model has not had yet, and the learning rate.

    A number of epochs counts those of earlier fits; "auto" counts steps, since epochs of fewer
    rows were shorter.
    """
    done = previous.state if previous else None
    n_epochs, head_start = estimator.max_iter, float(done.n_epochs if done else 0)
    n_steps = n_batches(n_rows, estimator.batch_size)  # of an epoch
    if n_epochs == "auto":
        n_epochs = auto_max_iter(n_rows, estimator.batch_size)
        head_start = done.n_steps / n_steps if done else 0.0
    n_epochs = int(n_epochs)
    decays = estimator.learning_rate == "cosine"
    learning_rate = estimator.learning_rate_init
    if learning_rate == "auto":
        learning_rate = auto_learning_rate(n_epochs * n_steps if decays else None)
    patience, n_unjudged = int(estimator.n_iter_no_change), 0
    if early_stopping is not None:
        patience = early_stopping.patience
        n_unjudged = math.ceil(HELD_OUT.n_first_steps / n_steps)
    return Schedule(
        learning_rate=float(learning_rate),
        decays=decays,
        first_epoch=len(previous.records) if previous else 0,
        n_epochs=max(0, math.ceil(n_epochs - head_start)),
        head_start=head_start,
        tol=float(estimator.tol),
        n_iter_no_change=patience,
        n_unjudged=n_unjudged,
    )


def median(radii: NDArray[np.float32] | None, group: Group = ALONE) -> float | None:
    return None if radii is None else float(np.median(group.sampled(radii)))


def _warnings_of_epochs(estimator: Any, schedule: Schedule, settled: bool) -> list[Warning]:
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


def _warnings_of_learning_rate(asked: float, used: float) -> list[Warning]:
    if used == asked:
        return []
    return [ConvergenceWarning(
        f"The loss was not finite at learning_rate_init={asked:g}; the fit went on at {used:.2g}. "
        "Lower learning_rate_init, or look for extreme values in X."
    )]
