"""A fit, from top to bottom: units, rows, start, restarts, training, description.

Nothing is assigned to the estimator here: all is computed aside and handed back at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from .._model import Architecture
from .._objective import RegularizerInputs
from .._rows import Rows, Units, n_batches
from .._start import find_neighbors, initial_labels, nearest_up_to_affine, perturbation_radius
from .._training import Schedule
from ..fitted import Fitted, load_arrays, to_arrays
from ..likelihoods import LIKELIHOODS, Likelihood
from ..parameters import PSEUDO_LABELS, auto_max_iter, hidden_sizes, is_affine, pseudo_label_share
from ..runtime import draw_seed, ordinary_torch, select_device
from .description import component_weights, describe, warnings_of_clusters
from .history import has_converged
from .restarts import Settings, run_restart, run_restarts
from .state import Fit, FitState, Previous

__all__ = ["fit", "median", "prepare", "regularizer_inputs", "settings_of"]


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
    units, architecture, device = prepare(estimator, X, image_shape, previous)
    rows = Rows.standardized(X, units, device)
    seed = previous.state.seed if previous else draw_seed(estimator.random_state)
    labels = previous.fitted.labels(X) if previous and estimator.init == "neighbors" else None
    inputs = regularizer_inputs(estimator, rows, seed, labels, find_labels=previous is None)
    settings = settings_of(estimator, seed, inputs)
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

    module = architecture.build(device, seed)
    load_arrays(module, trained.arrays)
    module.set_weights()
    if inputs is not None:  # without a regularizer p(z) is the paper's, uniform
        module.set_weights(component_weights(module, rows.blocks()))
    fitted, description = describe(Fitted(architecture, module, units), X, largest_first=True)
    n_epochs = len(trained.records) if trained.interrupted else schedule.n_epochs
    n_steps = n_epochs * n_batches(len(X), estimator.batch_size)
    state = FitState(
        seed=seed,
        n_epochs=n_epochs + (previous.state.n_epochs if previous else 0),
        n_steps=n_steps + (previous.state.n_steps if previous else 0),
        n_rows=len(X),
        keeps_clusters=inputs is not None and inputs.labels is not None,
        typical_radius=median(inputs.radius if inputs else None),
        tol=estimator.tol,
        interrupted=trained.interrupted,
    )
    records = [*(previous.records if previous else ()), *trained.records]
    warned = [
        *(previous.fitted.far_rows(X) if previous else ()),
        *_warnings_of_epochs(estimator, schedule, has_converged(records, state)),
        *_warnings_of_learning_rate(schedule.learning_rate, trained.learning_rate),
        *warnings_of_clusters(fitted, description, X, inputs.labels if inputs else None),
    ]
    return Fit(fitted, state, trained.records, description, warned)


def prepare(
    estimator: Any,
    X: NDArray[Any],
    image_shape: tuple[int, ...] | None,
    previous: Previous | None,
) -> tuple[Units, Architecture, torch.device]:
    """Return the units and the shape of the model, and where it goes."""
    likelihood: Likelihood = LIKELIHOODS[estimator.likelihood]
    fitted = previous.fitted if previous else None
    units = fitted.units.seeing(X) if fitted else likelihood.units(X, image_shape)
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


def regularizer_inputs(
    estimator: Any,
    rows: Rows,
    seed: int,
    labels: NDArray[np.intp] | None,
    *,
    find_labels: bool,
    radius: float | None = None,
) -> RegularizerInputs | None:
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
    return RegularizerInputs(
        perturbation, radii, labels, pseudo_label_share(rows.n_rows, perturbation),
        PSEUDO_LABELS.other_cluster_if_affine if is_affine(perturbation) else 0.0,
    )


def settings_of(estimator: Any, seed: int, consistency: RegularizerInputs | None) -> Settings:
    return Settings(
        seed, estimator.n_mc_samples, estimator.min_information, estimator.consistency,
        consistency, estimator.batch_size, estimator.verbose,
    )


def _schedule(estimator: Any, n_rows: int, previous: Previous | None) -> Schedule:
    """Return the epochs that the model has not had yet.

    A number of epochs counts those of earlier fits; "auto" counts steps, since epochs of fewer
    rows were shorter.
    """
    done = previous.state if previous else None
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


def median(radii: NDArray[np.float32] | None) -> float | None:
    return None if radii is None else float(np.median(radii))


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
