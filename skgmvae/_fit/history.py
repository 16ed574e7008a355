"""What was recorded while training, as the estimator shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._objective import Regularizer, Terms
from ..fitted import Fitted
from .restarts import Recorded

__all__ = ["history"]


def history(records: Sequence[Recorded], fitted: Fitted) -> dict[str, NDArray[np.float64]]:
    """Return the records of all epochs by name, in the units of X, with sums beside their parts.

    A regularizer that was off for some epochs has no parts here.
    """
    common = set.intersection(*(set(record) for record in records)) if records else set()
    parts: dict[str, Any] = {
        name: np.array([record[name] for record in records], np.float64)
        for name in (*Terms._fields, *Regularizer._fields)
        if name in common or (not records and name in Terms._fields)
    }
    likelihood: Any = fitted.architecture.likelihood
    parts["reconstruction"] = likelihood.log_density_in_data(parts["reconstruction"], fitted.units)
    parts["lower_bound"] = Terms(*(parts[name] for name in Terms._fields)).bound
    if Regularizer._fields[0] in parts:
        parts["regularizer"] = Regularizer(*(parts[n] for n in Regularizer._fields)).total()
    else:
        parts["regularizer"] = np.zeros_like(parts["lower_bound"])
    return parts
