"""The parameters of training, with numbers for "auto"."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._objective import InformationWeights, RegularizerInputs
from .._rows import n_batches
from .._training import Schedule
from ..callbacks import EarlyStopping
from ..distributed import ALONE, Group
from ..parameters import (
    auto_consistency,
    auto_learning_rate,
    auto_max_iter,
    information_weights,
)
from .held_out import HELD_OUT, HeldOut
from .state import Previous

__all__ = ["Settings", "schedule_of", "settings_of"]


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
    held_out: HeldOut | None = None  # by which training is judged; None is by its loss
    log_volume: float = 0.0  # of a unit of the model: from bounds in its units to those of X


def settings_of(
    estimator: Any, seed: int, n_features: int, inputs: RegularizerInputs | None
) -> Settings:
    """Return the training parameters, "auto" as a number."""
    schedule = None if inputs is None else inputs.schedule
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


def schedule_of(
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
