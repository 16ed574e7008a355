"""Callbacks that watch a fit or end it, for `set_callbacks` of `GMVAEClustering`.

They are for scikit-learn's callback protocol (:mod:`sklearn.callback`, from scikit-learn 1.9 on),
as are its own `ProgressBar` and `ScoringMonitor`.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from .validation import check_finite, check_positive_integer

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
    from sklearn.callback import ScoringMonitor
except ImportError:
    _WITHOUT_CALLBACKS = (
        f"Callbacks need scikit-learn 1.9 or newer, and this is {sklearn.__version__}."
    )

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Says that this scikit-learn has no callbacks."""

        def set_callbacks(self, *callbacks: Any) -> Any:
            """Raise an error: this scikit-learn has no callbacks.

            Parameters
            ----------
            *callbacks : callback instances
            """
            raise NotImplementedError(_WITHOUT_CALLBACKS)

    class ScoringMonitor:  # type: ignore[no-redef]
        """Says that this scikit-learn has no callbacks."""

        def __init__(self, *, scoring: Any) -> None:
            raise NotImplementedError(_WITHOUT_CALLBACKS)


__all__ = ["EarlyStopping", "LabelMonitor"]


class EarlyStopping:
    """Ends a fit when the bound of rows that it does not train on no longer rises.

    The weights of the epoch with the highest bound are kept. It does what the parameter
    ``early_stopping=True`` of :class:`~skgmvae.GMVAEClustering` does, which is described there,
    with a patience of its own and, if there are any, with rows that are not part of X.

    It is set on the clusterer itself: in a pipeline by ``pipeline[-1].set_callbacks(...)``.

    Parameters
    ----------
    validation_fraction : float, default=0.1
        Share of the rows of X that are not trained on. Not used with `X_val`.
    X_val : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
        Rows in place of a share of X. In a group of processes (`distributed`) each may pass rows
        of its own.
    patience : int, default=20
        Epochs without a change that counts (`tol`) after which the fit ends.

    Raises
    ------
    TypeError, ValueError
        If `validation_fraction` is not a number between 0 and 1, both excluded, or `patience` is
        not a positive integer. `fit` raises a ValueError if `X_val` does not have the columns of X,
        or if ``early_stopping=True`` or another EarlyStopping is set too.

    See Also
    --------
    skgmvae.GMVAEClustering : Its parameters `early_stopping` and `validation_fraction`.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from skgmvae.callbacks import EarlyStopping
    >>> stopped = clone(clusterer).set_callbacks(EarlyStopping(X_val=X[::3], patience=5))
    >>> len(stopped.fit(X[1::3]).validation_scores_) == stopped.n_iter_
    True
    """

    def __init__(
        self,
        validation_fraction: float = 0.1,
        *,
        X_val: ArrayLike | None = None,
        patience: int = 20,
    ) -> None:
        check_finite(
            validation_fraction, "validation_fraction", "pass a share of the rows, such as 0.1"
        )
        check_scalar(
            validation_fraction, "validation_fraction", Real, min_val=0, max_val=1,
            include_boundaries="neither",
        )
        check_finite(patience, "patience", "pass a number of epochs, such as 20")
        check_positive_integer(patience, "patience")
        self.validation_fraction = validation_fraction
        self.X_val: Any = X_val
        self.patience = patience

    def __repr__(self) -> str:
        source = (
            f"{self.validation_fraction!r}" if self.X_val is None
            else f"X_val=<{type(self.X_val).__name__}>"
        )
        return f"{type(self).__name__}({source}, patience={self.patience!r})"

    def setup(self, estimator: Any, context: Any) -> None:
        """Check what it is set on: `fit` of `GMVAEClustering` knows it, no other does.

        Parameters
        ----------
        estimator : estimator instance
        context : CallbackContext

        Raises
        ------
        TypeError
            If it is set on any other estimator.
        """
        if not any(cls.__module__.startswith("skgmvae.") for cls in type(estimator).__mro__):
            raise TypeError(
                f"EarlyStopping is set on {type(estimator).__name__}, which does not know it: set "
                "it on a GMVAEClustering, as in pipeline[-1].set_callbacks(EarlyStopping())."
            )

    # `fit` reads the parameters; what follows is there for the protocol

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Do nothing.

        Parameters
        ----------
        estimator : estimator instance
        context : CallbackContext
        """

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Do nothing.

        Parameters
        ----------
        estimator : estimator instance
        context : CallbackContext
        """

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing.

        Parameters
        ----------
        estimator : estimator instance
        context : CallbackContext
        """


class LabelMonitor(ScoringMonitor):
    """Logs the share of rows that changed cluster, by epoch.

    The rows of X are predicted after each epoch; the share is of those whose cluster is another
    than an epoch before. It falls to 0 when the clusters are found. The time for it is about that
    of three more passes over X without gradients, for each epoch.

    Logs are those of :class:`sklearn.callback.ScoringMonitor`, whose method `get_logs` it has:
    a row for each epoch but the first of each task, with the share as "changed". The fit may run
    in other processes.

    Raises
    ------
    NotImplementedError
        With scikit-learn before 1.9.

    Examples
    --------
    >>> from sklearn.base import clone
    >>> from skgmvae.callbacks import LabelMonitor
    >>> monitor = LabelMonitor()
    >>> watched = clone(clusterer).set_callbacks(monitor).fit(X)
    >>> changed = [row["changed"] for row in monitor.get_logs().data]
    >>> len(changed) == watched.n_iter_ - 1
    True
    """

    def __init__(self) -> None:
        super().__init__(scoring=_share_changed)
        self._labels: dict[Any, NDArray[Any]] = {}

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any = None, fitted_estimator: Any = None
    ) -> None:
        """Log the share of rows whose cluster is another than at the end of the task before.

        Parameters
        ----------
        estimator : estimator instance
        context : CallbackContext
            Of the task that ended; those that have parts are passed over.
        X : array-like
        fitted_estimator : estimator instance
            As if the fit had ended here.
        """
        if context.max_subtasks != 0 or fitted_estimator is None:
            return
        labels = fitted_estimator.predict(X)
        before = self._labels.get(_path(context.parent))
        self._labels[_path(context.parent)] = labels
        if before is not None:
            super().on_fit_task_end(
                estimator, context, X=labels, y=before, fitted_estimator=fitted_estimator
            )

    def teardown(self, estimator: Any, context: Any) -> None:
        """Forget the labels of the last epoch.

        Parameters
        ----------
        estimator : estimator instance
        context : CallbackContext
        """
        ended = _path(context)
        for path in list(self._labels):
            if path[: len(ended)] == ended:
                del self._labels[path]
        super().teardown(estimator, context)


def _share_changed(
    estimator: Any, labels: NDArray[Any], before: NDArray[Any]
) -> dict[str, float]:
    return {"changed": float(np.mean(labels != before))}


def _path(context: Any) -> tuple[Any, ...]:
    """Return what a task is known by, among those of other fits too; parts begin like the whole."""
    if context is None:
        return ()
    return *_path(context.parent), (context.root_uuid, context.task_id)


def early_stopping_of(estimator: Any) -> EarlyStopping | None:
    """Return what the callbacks of an estimator, or its parameters, say of early stopping.

    Raises
    ------
    ValueError
        If both do, or several callbacks.
    """
    found = [
        callback for callback in getattr(estimator, "_skl_callbacks", ())
        if isinstance(callback, EarlyStopping)
    ]
    if len(found) + estimator.early_stopping > 1:
        raise ValueError(
            f"early_stopping={estimator.early_stopping!r} and the callbacks {found!r} are more "
            "than one rule for the end of a fit. Leave one of them out."
        )
    if estimator.early_stopping:
        return EarlyStopping(
            estimator.validation_fraction, patience=estimator.n_iter_no_change
        )
    return found[0] if found else None
