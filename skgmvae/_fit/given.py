"""What a fit is given: rows, weights and parameters, checked; in a group, in all its processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from .._rows import Columns, Copies, LazyRows, checked_rows, column_names, dense, is_source
from ..callbacks import EarlyStopping, early_stopping_of
from ..distributed import ALONE, SAMPLE, Group
from ..parameters import OF_PROCESS, check_parameters
from ..validation import checked_weights, rows_of_weight
from .checkpoint import Checkpoint
from .identity import in_words
from .state import STREAM, Previous

__all__ = ["Given", "given_to_fit", "given_to_partial_fit"]


class Given(NamedTuple):
    """What a fit is given beside the parameters of the estimator.

    Attributes
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Checked rows, with categories one-hot encoded.
    copies : Copies
        Of the rows of X, to which the model is fitted; X is only described.
    image_shape : tuple of int or None
    of_columns : dict
        Attributes of the estimator that follow from the columns: `_columns`, `n_features_in_` and,
        if they have names, `feature_names_in_`.
    names : sequence
        What messages call each encoded column: the name, or the number, of that of X.
    previous : Previous or None
        The model that is trained on, if there is one.
    checkpoint : Checkpoint
        From which the fit goes on, if its file holds one, and where it is written.
    group : Group, default=ALONE
        Processes that fit the model together.
    early_stopping : EarlyStopping, default=None
        Its `X_val`, if there is one, are rows checked as X is.
    """

    X: Any
    copies: Copies
    image_shape: tuple[int, ...] | None
    of_columns: dict[str, Any]
    names: Sequence[Any]
    previous: Previous | None
    checkpoint: Checkpoint
    group: Group = ALONE
    early_stopping: EarlyStopping | None = None

    @property
    def columns(self) -> Columns | None:
        """Which columns of X are categories; None if none is."""
        columns: Columns | None = self.of_columns["_columns"]
        return columns

    @property
    def categories(self) -> list[NDArray[np.intp]]:
        """The encoded columns of each category, which have probabilities for a likelihood."""
        return [] if self.columns is None else self.columns.groups


def given_to_fit(
    estimator: Any, X: Any, sample_weight: Any, previous: Previous | None, group: Group
) -> Given:
    """Check what `fit` is given: an error in one process of a group is raised in all."""
    with group.agreement():
        reader, columns = _reader(estimator, X, sample_weight, is_new=previous is None)
    if not group.is_alone:
        columns = Columns.merged(group.gathered(columns))
    with group.agreement():
        rows = checked_rows(reader, X, columns, reset=previous is None)
        weights = checked_weights(sample_weight, rows)
    with group.agreement():
        early_stopping = _early_stopping(estimator, reader, columns)
    _check_equal_parameters(estimator, early_stopping, group)
    if any(group.gathered(isinstance(rows, LazyRows))) and not issparse(rows):
        rows = rows if isinstance(rows, LazyRows) else LazyRows(rows)  # in all processes
    group = group.meeting(rows, weights)
    copies = Copies.of(rows, weights, ALONE if group.has_one_source else group)
    group, own = group.dividing(len(copies.order))
    if isinstance(rows, LazyRows):
        most = SAMPLE.of_file(group.n_rows(len(copies.order)), rows.shape[1])
        group = group._replace(max_sampled=max(2, estimator.n_clusters, most))
    image_shape = check_parameters(
        estimator, group.n_rows(len(copies.order)), rows.shape[1],
        min_samples=2 if previous else max(2, estimator.n_clusters),
    )
    checkpoint = Checkpoint.of(estimator, copies, previous, early_stopping, group)
    of_columns, names = _of_columns(reader, columns, X)
    return Given(
        rows, copies.part(own), image_shape, of_columns, names, previous, checkpoint, group,
        early_stopping,
    )


def given_to_partial_fit(
    estimator: Any, X: Any, sample_weight: Any, previous: Previous | None
) -> Given:
    """Check what `partial_fit` is given."""
    is_new = previous is None
    reader, columns = _reader(estimator, X, sample_weight, is_new=is_new, is_stream=True)
    rows = checked_rows(reader, X, columns, reset=is_new)
    if isinstance(rows, LazyRows):
        rows = dense(rows)
    copies = Copies.of(rows, checked_weights(sample_weight, rows), is_stream=True)
    image_shape = check_parameters(
        estimator, len(copies.order), rows.shape[1],
        min_samples=max(2, estimator.n_clusters) if is_new else 1, n_expected=STREAM.n_rows,
    )
    of_columns, names = _of_columns(reader, columns, X)
    return Given(rows, copies, image_shape, of_columns, names, previous, Checkpoint())


def _reader(
    estimator: Any, X: Any, sample_weight: Any, *, is_new: bool, is_stream: bool = False
) -> tuple[Any, Columns | None]:
    """Return an estimator that may take `n_features_in_` from X, and the categories among columns.

    Of a new fit it is a copy, since the fit may fail.
    """
    named = estimator.categorical_features
    has_no_columns = issparse(X) or is_source(X)
    if has_no_columns and not (named is None or isinstance(named, str)) and np.size(named):
        kind, where = ("sparse", "as OneHotEncoder does") if issparse(X) else (
            "a source", "in the file"
        )
        raise ValueError(
            f"categorical_features={named!r} is for tables in memory, but X is {kind}: encode "
            f"categories {where}, or pass an array."
        )
    if not is_new:
        Columns.check_same(estimator._columns, X, named)
        return estimator, estimator._columns
    columns = None if has_no_columns else Columns.of(
        rows_of_weight(X, sample_weight), named, declared=is_stream
    )
    if columns is not None and estimator.image_shape is not None:
        raise ValueError(
            f"image_shape={estimator.image_shape!r} is for images, but X has columns that are "
            "categories (categorical_features)."
        )
    return type(estimator)(**estimator.get_params(deep=False)), columns


def _of_columns(
    reader: Any, columns: Columns | None, X: Any
) -> tuple[dict[str, Any], Sequence[Any]]:
    """Return attributes that follow from the columns, and what messages call each encoded one."""
    known = {
        name: vars(reader)[name]
        for name in ("n_features_in_", "feature_names_in_") if name in vars(reader)
    }
    names = column_names(X) or range(reader.n_features_in_)
    names = names if columns is None else columns.of_encoded(names)
    return {"_columns": columns} | known, names


def _early_stopping(
    estimator: Any, reader: Any, columns: Columns | None
) -> EarlyStopping | None:
    """Return the rule by which to stop early, if there is one, with checked rows."""
    rule = early_stopping_of(estimator)
    if rule is None or rule.X_val is None:
        return rule
    try:
        rows = checked_rows(reader, rule.X_val, columns)
    except (TypeError, ValueError) as error:
        error.add_note("(It is about X_val of EarlyStopping.)")
        raise
    return EarlyStopping(X_val=rows, patience=rule.patience)


def _check_equal_parameters(
    estimator: Any, early_stopping: EarlyStopping | None, group: Group
) -> None:
    """Raise an error if processes of a group have other parameters of the fit than others."""
    if group.is_alone:
        return
    with group.agreement():
        parameters = {"EarlyStopping": repr(early_stopping)} | {
            name: in_words(value) for name, value in estimator.get_params(deep=False).items()
            if name not in OF_PROCESS
        }
    group.check_equal(parameters)
