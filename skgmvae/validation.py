"""Checks of what is passed to methods and constructors beside rows: numbers, weights, paths.

Errors name the argument, its value and what to do.
"""

from __future__ import annotations

import math
import os
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing, check_scalar
from sklearn.utils.validation import _check_sample_weight, _num_samples

__all__ = [
    "check_bool", "check_finite", "check_path", "check_positive_integer", "checked_components",
    "checked_style", "checked_weights", "refuse_bool", "rows_of_weight",
]

LEAST_WEIGHT = 1e-12  # of a row; sums of smaller ones would be lost to rounding


def refuse_bool(value: Any, name: str) -> None:
    """Raise a TypeError if a number is True or False, which Python counts among the integers."""
    if isinstance(value, bool):
        raise TypeError(f"{name}={value} must be a number, not a bool.")


def check_bool(value: Any, name: str) -> None:
    """Raise a TypeError if an argument is neither True nor False: any text would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r} must be True or False.")


def check_path(path: Any) -> None:
    """Raise a TypeError if an argument is no path."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"path={path!r} must be a string or path-like, such as 'model.safetensors'."
        )


def check_finite(value: Any, name: str, remedy: str) -> None:
    """Raise a ValueError if a number is NaN, which no comparison refuses, or infinite."""
    is_number = isinstance(value, Real)
    if is_number and not -math.inf < value < math.inf:
        raise ValueError(f"{name}={value} must be finite: {remedy}.")


def check_positive_integer(value: Any, name: str) -> None:
    """Raise a TypeError or a ValueError if an argument is no positive integer."""
    check_scalar(value, name, Integral, min_val=1)
    refuse_bool(value, name)


def checked_weights(sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    """Return a weight for each row; None where none were given."""
    if sample_weight is None:
        return None
    if np.ma.is_masked(sample_weight):
        raise TypeError(
            "sample_weight is a masked array, whose mask would be lost: give 0 to rows that are to "
            "be left out, sample_weight.filled(0)."
        )
    asked = "sample_weight must be a number for each row of X, or one for all"
    try:
        given = np.asarray(sample_weight)
        for value in given.flat if given.dtype.kind in "OSUmM" else ():  # that became numbers
            if isinstance(value, str | bytes | np.datetime64 | np.timedelta64):
                kind = ValueError if isinstance(value, str | bytes) else TypeError  # as in X
                raise kind(f"{asked}, but it has the value {value!r}: turn it into numbers.")
        weights: NDArray[np.float64] = _check_sample_weight(sample_weight, X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        if "sample_weight" in str(error).lower():
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{asked}: {error}") from error
    if (weights < 0).any():
        raise ValueError(
            f"sample_weight has the value {weights.min():g}: weights must not be negative. Give 0 "
            "to a row that is to be left out."
        )
    if not (weights > 0).any():
        raise ValueError("sample_weight is zero for all rows: give at least some a weight.")
    least, most = weights[weights > 0].min(), weights.max()
    if least < LEAST_WEIGHT or most > 1 / LEAST_WEIGHT:
        raise ValueError(
            f"sample_weight has values from {least:.3g} to {most:.3g}: they must be 0 or between "
            f"{LEAST_WEIGHT:g} and {1 / LEAST_WEIGHT:g}. Divide them by their mean."
        )
    return weights


def rows_of_weight(X: Any, sample_weight: Any) -> Any:
    """Return the rows of X that are not left out; X itself where weights are none, or wrong."""
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
        n_rows = _num_samples(X)
    except (TypeError, ValueError):
        return X
    if weights.shape != (n_rows,) or weights.all() or not weights.any():
        return X
    return _safe_indexing(X, np.flatnonzero(weights))


def checked_components(
    cluster: ArrayLike | None, n_samples: int, n_clusters: int
) -> NDArray[np.intp] | None:
    """Return the component of each of `n_samples` rows, checked."""
    if cluster is None:
        return None
    try:
        given = np.asarray(cluster)
    except ValueError as error:
        raise ValueError(f"cluster={cluster!r} is no array: {error}") from error
    if given.shape not in [(), (n_samples,)]:
        raise ValueError(
            f"cluster has shape {given.shape}; it must be one number or n_samples={n_samples} of "
            "them."
        )
    whole = np.issubdtype(given.dtype, np.integer)
    if not whole or given.min() < 0 or given.max() >= n_clusters:
        raise ValueError(
            f"cluster={cluster!r} must name components as whole numbers from 0 to "
            f"{n_clusters - 1}."
        )
    return np.broadcast_to(given, n_samples).astype(np.intp)


def checked_style(
    w: ArrayLike | None, n_samples: int, style_dim: int
) -> NDArray[np.float32] | None:
    """Return the style of all rows or of each, checked."""
    if w is None:
        return None
    try:
        style = np.asarray(w, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"w={w!r} must hold numbers.") from error
    if style.shape not in [(style_dim,), (n_samples, style_dim)]:
        raise ValueError(
            f"w has shape {style.shape}; it must be ({style_dim},) or ({n_samples}, {style_dim})."
        )
    if not np.isfinite(style).all():
        raise ValueError("w has values that are not finite.")
    return style
