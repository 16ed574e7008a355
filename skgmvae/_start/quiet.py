"""Fits of scikit-learn without the warnings that mean nothing here."""

from __future__ import annotations

import warnings
from typing import Any, TypeVar

from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from ..runtime import new_lock

__all__ = ["fit_quietly"]

_FILTERS = new_lock()
_Estimator = TypeVar("_Estimator")


def fit_quietly(estimator: _Estimator, values: NDArray[Any]) -> _Estimator:
    """Fit without a warning of what has not converged, or of fewer clusters than asked for."""
    # locked: two threads in this block would leave each other's filters behind
    with _FILTERS, warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        fitted: _Estimator = estimator.fit(values)  # type: ignore[attr-defined]
    return fitted
