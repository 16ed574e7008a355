"""Rows as users pass them to any method, checked: arrays, tables, sparse matrices, sources."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array, issparse
from sklearn.utils.validation import validate_data

from ..runtime import without_array_api
from .columns import DATES, TEXT, Columns, check_numbers, read_types
from .lazy import READ_TYPES, LazyRows, is_source

__all__ = ["checked_rows"]

#: What helps where values are no numbers, by a part of what scikit-learn, pandas or torch say.
REMEDIES = {
    "unique column names": "Rename columns of X: X.set_axis(range(X.shape[1]), axis=1).",
    "fill value must be 0": (
        "Pass X.sparse.to_dense(), or X.astype(pandas.SparseDtype(float, 0))."
    ),
    "could not convert string": TEXT,
    "not 'NAType'": "Put numpy.nan in place of pandas.NA, as X.astype('Float64') does in a table.",
    "element with a sequence": "X must have as many numbers in each row; collect() a LazyFrame.",
    "ScalarType BFloat16": "Pass X.float().",
    "Found array with dim": "Flatten what a row is, such as an image: X.reshape(len(X), -1).",
} | {f"not '{name}'": DATES for name in (
    "datetime.date", "datetime.datetime", "datetime.time", "datetime.timedelta", "Timestamp",
    "Timedelta", "Period", "NaTType",
)}


def checked_rows(estimator: Any, X: Any, columns: Columns | None, *, reset: bool = False) -> Any:
    """Return rows as an array, a CSR matrix or `LazyRows`, with categories one-hot encoded.

    Parameters
    ----------
    estimator : estimator instance
        Whose `n_features_in_` and `feature_names_in_` X must have.
    X : array-like, DataFrame, sparse matrix or source of rows
    columns : Columns or None
        Which of the columns are categories.
    reset : bool, default=False
        Whether the estimator takes `n_features_in_` and `feature_names_in_` from X instead.

    Raises
    ------
    ValueError, TypeError
        If X is no table of numbers and categories, or not of the columns that are known.
    """
    if hasattr(X, "iloc") and not hasattr(X, "columns"):
        raise ValueError(
            f"X is a {type(X).__name__}, not a table: pass df.iloc[[0]] in place of df.iloc[0] "
            "for one row, and df[['name']] in place of df['name'] for one column."
        )
    if hasattr(X, "obsm") and hasattr(X, "X"):
        raise TypeError("X is an AnnData object: pass adata.X or adata.obsm['X_pca'].")
    if isinstance(X, torch.Tensor) and X.requires_grad:
        raise TypeError("X is a tensor that requires a gradient: pass X.detach().")
    if isinstance(X, np.ma.MaskedArray):
        if np.ma.is_masked(X):
            raise TypeError(
                "X is a masked array, whose mask would be lost: mark missing values by NaN, "
                "X.astype(float).filled(numpy.nan)."
            )
        X = X.data
    try:
        with without_array_api():
            return _read(estimator, X, columns, reset=reset)
    except (TypeError, ValueError) as error:
        message = _with_remedy(X, str(error))
        if message == str(error):
            raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(message) from error


def _read(estimator: Any, X: Any, columns: Columns | None, *, reset: bool) -> Any:
    if isinstance(X, torch.Tensor):
        X = X.numpy()
    if is_source(X):
        return _read_source(estimator, X, columns, reset=reset)
    if columns is None:
        check_numbers(X)
        with np.errstate(invalid="ignore"):  # of infinities of both signs, which are refused
            return _canonical(validate_data(
                estimator, X, accept_sparse="csr", dtype=read_types(X, READ_TYPES),
                ensure_all_finite="allow-nan", reset=reset,
            ))
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    return columns.encoded(X)


def _read_source(estimator: Any, X: Any, columns: Columns | None, *, reset: bool) -> LazyRows:
    if columns is not None:
        raise ValueError(
            "X is a source of numbers, but the model was fitted to a table with categories: pass a "
            "table."
        )
    lazy = X if isinstance(X, LazyRows) else LazyRows(X)
    for what, size in zip(("sample(s)", "feature(s)"), lazy.shape, strict=True):
        if not size:
            raise ValueError(
                f"Found array with 0 {what} (shape={lazy.shape}) while a minimum of 1 is required."
            )
    validate_data(estimator, lazy, skip_check_array=True, reset=reset)
    return lazy


def _canonical(X: Any) -> Any:
    """Return rows, without duplicate entries if they are sparse: by canonical CSR."""
    if not issparse(X):
        return X
    X = csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _with_remedy(X: Any, message: str) -> str:
    """Add to a message what to do about values that are no numbers, if that is what is wrong."""
    remedy = _remedy_of(X, message)
    if not remedy:
        return message
    ends = message.rstrip().endswith((".", "!", "?"))
    return f"{message.rstrip()}{'' if ends else '.'} {remedy}"


def _remedy_of(X: Any, message: str) -> str:
    for part, remedy in REMEDIES.items():
        if part in message:
            return remedy
    if "float() argument must be" in message and hasattr(X, "shape"):
        return "Leave out columns of X that hold no numbers, or turn them into numbers."
    if "float() argument must be" in message or "is not iterable" in message:
        return (
            f"X is a {type(X).__name__}: pass an array, a DataFrame or a sparse matrix of shape "
            "(n_samples, n_features)."
        )
    return ""
