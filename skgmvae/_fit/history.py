"""What was recorded while training, as the estimator shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._objective import Regularizer, Terms
from .._training import is_settled
from ..fitted import Fitted
from .records import LOG_VOLUME, VALIDATION, Recorded
from .state import FitState

__all__ = ["has_converged", "history", "validation_scores"]


def history(records: Sequence[Recorded], fitted: Fitted) -> dict[str, NDArray[np.float64]]:
    """Return the records of all epochs by name, in the units of X, with sums beside their parts.

    Parts of the regularizer are NaN for epochs in which it was off, and left out if it always was.
    """
    recorded = set().union(*records)
    parts: dict[str, Any] = {
        name: np.array([record.get(name, np.nan) for record in records], np.float64)
        for name in (*Terms._fields, *Regularizer._fields)
        if name in recorded or name in Terms._fields
    }
    # of earlier versions it is known for the rows of the first fit only
    usual = -fitted.likelihood.log_density_in_data(0.0, fitted.units, fitted.units.observed)
    parts["reconstruction"] -= np.array([record.get(LOG_VOLUME, usual) for record in records])
    parts["lower_bound"] = Terms(*(parts[name] for name in Terms._fields)).bound
    parts["regularizer"] = np.zeros_like(parts["lower_bound"])
    if Regularizer._fields[0] in parts:
        total = Regularizer(*(parts[name] for name in Regularizer._fields)).total()
        parts["regularizer"] = np.nan_to_num(total)
    return parts


def validation_scores(records: Sequence[Recorded]) -> NDArray[np.float64] | None:
    """Return the bound of held-out rows by epoch, in the units of X; None if there were none."""
    if not any(VALIDATION in record for record in records):
        return None
    return np.array([record.get(VALIDATION, np.nan) for record in records])


def has_converged(records: Sequence[Recorded], state: FitState) -> bool:
    """Whether the last fit went to its end, and the loss was flat there, of all epochs so far."""
    settled = is_settled([record["loss"] for record in records], state.tol)
    return settled and not state.interrupted
