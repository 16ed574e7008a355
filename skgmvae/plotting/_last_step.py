"""The clusterer that a pipeline or a search ends in, and the rows as it sees them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

__all__ = ["LastStep", "last_step"]


class LastStep(NamedTuple):
    """A fitted clusterer and the steps whose output it was fitted to.

    Attributes
    ----------
    clusterer : estimator
    steps_before : tuple of Pipeline
        Fitted, applied from left to right; several where a pipeline ends in another one.
    """

    clusterer: Any
    steps_before: tuple[Pipeline, ...]

    def transform(self, X: Any) -> Any:
        """Return X as the clusterer sees it."""
        for steps in self.steps_before:
            X = steps.transform(X)
        return X

    def numbers(self, X: Any) -> Any:
        """Return rows that the clusterer has accepted, as an array or a CSR matrix of numbers.

        Categories are one-hot encoded.
        """
        columns = getattr(self.clusterer, "_columns", None)
        if columns is not None:
            return columns.encoded(X)
        return check_array(X, accept_sparse="csr", ensure_all_finite=False, input_name="X")

    def feature_names(self, n_features: int) -> NDArray[Any]:
        """Return the names of the columns that `numbers` has; x0, x1, ... where unknown."""
        names = getattr(self.clusterer, "feature_names_in_", None)
        columns = getattr(self.clusterer, "_columns", None)
        if columns is not None:
            if names is None:
                names = [f"x{j}" for j in range(columns.n_features)]
            return np.asarray(columns.encoded_names(names))
        if names is None and self.steps_before:
            try:
                names = self.steps_before[-1].get_feature_names_out()
            except (AttributeError, ValueError):  # a step does not know, or was not told
                names = None
        if names is None or len(names) != n_features:
            names = [f"x{j}" for j in range(n_features)]
        return np.asarray(names)


def last_step(estimator: Any, *needed: str) -> LastStep:
    """Return the fitted clusterer inside `estimator`.

    Parameters
    ----------
    estimator : estimator, Pipeline or search
    *needed : str
        The methods and fitted attributes that a display uses.

    Returns
    -------
    found : LastStep

    Raises
    ------
    TypeError
        If what `estimator` ends in has not got all that is needed.
    NotFittedError
        If it is not fitted.
    """
    steps_before: list[Pipeline] = []
    while _is_estimator(estimator):
        check_is_fitted(estimator)
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            if len(estimator) > 1:
                steps_before.append(estimator[:-1])
            estimator = estimator[-1]
        else:
            break
    missing = next((name for name in needed if not hasattr(estimator, name)), None)
    if missing is not None or not _is_estimator(estimator):
        raise TypeError(
            "Pass a fitted GMVAEClustering, or a Pipeline or a search (GridSearchCV with refit) "
            f"that ends in one: {type(estimator).__name__} has no {missing or 'fit'!r}."
        )
    return LastStep(estimator, tuple(steps_before))


def _is_estimator(candidate: Any) -> bool:
    return hasattr(candidate, "fit") and not isinstance(candidate, type)
