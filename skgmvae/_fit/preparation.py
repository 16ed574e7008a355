"""What is settled before a fit: units, the shape of the model, the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray

from .._model import Architecture
from .._rows import LazyRows, Rows, StreamedRows, Units, blocks, has_missing
from ..distributed import Group
from ..likelihoods import LIKELIHOODS, Likelihood, MixedLikelihood
from ..parameters import hidden_sizes
from ..runtime import select_device
from .given import Given

__all__ = ["Prepared", "prepare", "share_observed"]


class Prepared(NamedTuple):
    """The units and the shape of a model, and where it goes."""

    units: Units
    architecture: Architecture
    device: torch.device

    @property
    def likelihood(self) -> Likelihood:
        """The likelihood of the rows."""
        return cast(Likelihood, self.architecture.likelihood)

    def rows(self, X: Any) -> Rows:
        """Return rows in the model's units; of those in a file, as they are used."""
        if isinstance(X, LazyRows):
            return StreamedRows.of(X, self.units, self.device)
        return Rows.standardized(X, self.units, self.device)

    def log_volume(self, observed: NDArray[np.float64]) -> float:
        """Return what a bound in the model's units is above the same in the units of X.

        Parameters
        ----------
        observed : ndarray of shape (n_features,)
            Share of the rows that have a value in each column.
        """
        return -float(self.likelihood.log_density_in_data(0.0, self.units, observed))


def prepare(
    estimator: Any, given: Given, sample: Any = None, n_rows: int | None = None
) -> Prepared:
    """Return the units and the shape of the model, and where it goes.

    In a group, and of rows in a file, the units are read off a sample of all rows. The networks are
    as wide as `n_rows` ask for, if there will be more than there are in X.
    """
    X, group, fitted = given.copies.rows, given.group, None
    if given.previous:
        fitted = given.previous.fitted
    sample = X if sample is None else sample
    likelihood: Likelihood = LIKELIHOODS[estimator.likelihood]
    if fitted is None:
        _check_values(sample, given.names)
    units = (
        fitted.units.seeing(sample) if fitted
        else likelihood.units(sample, given.image_shape, estimator.scale)
    )
    if not group.has_all_at_hand:
        units = group.gathered(units)[0]
        is_constant = np.all(group.gathered(units.are_constant(X)), axis=0)
        units = units._replace(constants=np.where(is_constant, units.constants, np.nan))
    if given.categories and units.are_counts:
        raise ValueError(
            f"likelihood={estimator.likelihood!r} is for counts in all columns, but X has columns "
            "that are categories (categorical_features)."
        )
    if given.categories:
        likelihood = MixedLikelihood.of_columns(likelihood, given.categories, units)
    if fitted is None:
        likelihood = likelihood.fitted_to(sample, units)
    elif likelihood.is_like(fitted.likelihood):
        likelihood = fitted.likelihood
    automatic = isinstance(estimator.hidden_layer_sizes, str)
    architecture = Architecture(
        units._replace(image_shape=given.image_shape).data_shape,
        int(estimator.n_clusters), int(estimator.latent_dim), int(estimator.style_dim),
        fitted.architecture.hidden_layer_sizes if fitted and automatic
        else hidden_sizes(estimator, n_rows or group.n_rows(X.shape[0]), X.shape[1]),
        estimator.networks, likelihood,
        reads_missing=(
            fitted.architecture.reads_missing if fitted
            else any(group.gathered(has_missing(X)))
        ),
    )
    changed = fitted.architecture.differences(architecture) if fitted else []
    if changed:
        named = "; ".join(changed).replace("data_shape", "image_shape, and with it a row's shape,")
        raise ValueError(
            f"A fitted model cannot be changed in {named}. Fit a clone; with warm_start=False "
            "`fit` begins a new model too."
        )
    has_weight = given.copies.inverse >= 0
    with group.agreement():
        likelihood.check_training(X, units)
        if not has_weight.all():  # rows that will be labeled all the same
            likelihood.check(given.X[~has_weight], units)
        device = select_device(estimator.device, group.local_rank)
    return Prepared(units, architecture, device)


def _check_values(X: Any, names: Sequence[Any]) -> None:
    """Raise a ValueError if columns have no values."""
    empty = np.ones(X.shape[1], bool)
    for block in blocks(X):
        empty &= np.isnan(block).all(0)
        if not empty.any():  # mostly after the first block
            return
    columns = [repr(names[int(number)]) for number in np.flatnonzero(empty)]
    if len(columns) == 1:
        raise ValueError(f"Column {columns[0]} of X has no values, all are missing: drop it.")
    named = ", ".join(columns[:3]) + ", ..." * (len(columns) > 3)
    raise ValueError(f"Columns {named} of X have no values, all are missing: drop them.")


def share_observed(
    X: Any, weights: NDArray[np.float64] | None, group: Group
) -> NDArray[np.float64]:
    """Return the share of rows, by their weights, that have a value in each column."""
    found, n_rows, first = np.zeros(X.shape[1]), 0.0, 0
    for block in blocks(X):
        weight = np.ones(len(block)) if weights is None else weights[first : first + len(block)]
        first += len(block)
        found += weight @ ~np.isnan(block)
        n_rows += float(weight.sum())
    total = group.sum(np.append(found, n_rows))
    share: NDArray[np.float64] = total[:-1] / total[-1]
    return share
