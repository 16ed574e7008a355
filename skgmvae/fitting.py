"""Fitting: whole, continued, or a batch at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import validate_data

from .architecture import Architecture
from .data import DataSpace, Rows
from .density import DensityMixin
from .inference import cluster_logits
from .model import GMVAE
from .objective import Objective
from .parameters import architecture_of, check_parameters, neighbourhood_of, settings_of
from .persistence import restore, to_arrays
from .restarts import in_units_of_data, one_pass, run_restarts
from .runtime import draw_seed, select_device
from .training import make_optimizer

__all__ = ["FittingMixin"]

LEAST_AGREEMENT = 0.5  # of the clusters at the means and at draws, below which `fit` warns
INPUT_ATTRIBUTES = ("n_features_in_", "feature_names_in_")


class FittingMixin(DensityMixin, BaseEstimator):
    """Fitting: whole, continued, or a batch at a time."""

    module_: GMVAE
    n_iter_: int
    warm_start: bool
    max_iter: str | int
    n_init: int
    n_jobs: int | None
    device: str
    init: str
    consistency: float
    likelihood: str
    learning_rate_init: float
    perturbation_radius: str | float
    random_state: Any
    _architecture: Architecture
    _has_start: bool
    _scheduled: int
    _seed: int
    _typical_radius: float | None

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit the model; Ctrl-C while training ends it and keeps the best weights so far.

        With ``warm_start=True`` a fitted model is trained on, up to `max_iter` epochs in all;
        the clusters that it has take the place of a new start (`init`). With `max_iter` as before
        the weights are not trained further, only what is said of the rows, `labels_` and the
        order of the components among it, is derived anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows at any location and scale.
        y : Ignored

        Returns
        -------
        self : GMVAEClustering

        Raises
        ------
        ValueError
            If X or a parameter is unfit, or the loss was not finite at any learning rate tried.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> clusterer.n_clusters_found_
        3
        """
        continued = self.warm_start and hasattr(self, "module_")
        with _unchanged_if_it_fails(self):
            rows, space, architecture, device = self._start(X, continued=continued)
            seed = self._seed if continued else draw_seed(self.random_state)
            radius, start = neighbourhood_of(self, rows, space, device, seed, started=continued)
            if continued and self.consistency and self.init == "neighbours":
                start = self._apply(rows, cluster_logits).argmax(1)
            settings = settings_of(
                self, len(rows), seed, radius, start,
                first_epoch=self._scheduled if continued else 0,
            )
            best = run_restarts(
                1 if continued else self.n_init, self.n_jobs, architecture, space, rows, device,
                settings, to_arrays(self.module_) if continued else None,
            )
        self._adopt(space, architecture, device, seed, radius)
        self._has_start = start is not None
        self.module_ = restore(architecture, device, best.arrays)
        self._append_history(best.history, continued=continued)
        self._scheduled = self.n_iter_ if best.interrupted else max(
            settings.first_epoch, settings.max_iter
        )
        if best.n_epochs or not continued:
            self.converged_ = best.converged
        self._describe(rows, reorder=True)
        if self.n_clusters_found_ < len(self.weights_):
            _warn(_why_fewer_clusters(self.n_clusters_found_, len(self.weights_), start))
        at_means, at_draws = self._certainty(rows)
        if at_draws < LEAST_AGREEMENT * at_means:
            _warn(
                "The clusters are not those that the model was fitted with: a row's cluster at the "
                f"means of q(x|y) and q(w|y) has a probability of {at_means:.2f} there, but "
                f"{at_draws:.2f} at draws from them. The model reads the cluster from the noise in "
                "w; raise consistency."
            )
        if best.interrupted:
            _warn(f"Interrupted after {self.n_iter_} epochs: the best weights so far are kept.")
        elif best.n_epochs == 0:
            _warn(
                f"No epoch was run: the model has had the {settings.max_iter} that "
                f"max_iter={self.max_iter!r} stands for. Raise max_iter to train it on."
            )
        elif self.max_iter != "auto" and not self.converged_:
            _warn(
                f"The loss was still changing after max_iter={self.max_iter} epochs; raise "
                "max_iter, or leave it at 'auto'."
            )
        return self

    def partial_fit(self, X: ArrayLike, y: object = None) -> Self:
        """Take one pass over X, in batches, at a constant learning rate.

        The first call fixes the location and scale of the data, the size of the perturbation and
        the width of the networks (`hidden_layer_sizes`), so its rows should be typical, and many.
        It expects even clusters; after `fit` those are kept that the model has. Components keep
        their numbers from call to call. `labels_` and what follows from it describe the rows of the
        last call. A copy or a pickle starts with fresh moments of Adam.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        self : GMVAEClustering

        Raises
        ------
        ValueError
            If X or a parameter is unfit, or the loss is not finite; the weights are then as
            before the call.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, random_state=0)
        >>> for _ in range(2):
        ...     _ = clusterer.partial_fit(X)
        >>> clusterer.n_iter_
        2
        """
        continued = hasattr(self, "module_")
        with _unchanged_if_it_fails(self):
            rows, space, architecture, device = self._start(X, continued=continued)
            optimizer = start = None
            if not continued:
                seed = draw_seed(self.random_state)
                module = architecture.build(device, seed, 0)
            elif self.device_ == str(device):
                seed, module = self._seed, self.module_
                optimizer = getattr(self, "_optimizer", None)
            else:
                seed, module = self._seed, restore(architecture, device, to_arrays(self.module_))
            if optimizer is None:
                optimizer = make_optimizer(module, self.learning_rate_init)
            if continued and self._has_start:
                start = self._apply(rows, cluster_logits).argmax(1)
            resident = Rows(rows, space, device)
            measured = continued and self._typical_radius is not None
            if measured and self.perturbation_radius == "auto":
                radius: NDArray[np.float32] | None = np.full(
                    len(rows), self._typical_radius, np.float32
                )
            else:
                radius, _ = neighbourhood_of(self, rows, space, device, seed, started=True)
            n_passes = self.n_iter_ if continued else 0  # numbers the noise
            settings = settings_of(self, len(rows), seed, radius, start, first_epoch=n_passes)
            objective = Objective(module, resident, settings, restart=0)
            record = one_pass(objective, optimizer, n_passes, self.learning_rate_init)

        if not continued:
            self._adopt(space, architecture, device, seed, radius)
            self._has_start = False
        self.module_, self.device_, self._optimizer = module, str(device), optimizer
        self._append_history(objective.history([record]), continued=continued)
        self._scheduled = self.n_iter_
        self.converged_ = False
        self._describe(rows, reorder=False)
        return self

    def _start(
        self, X: ArrayLike, *, continued: bool
    ) -> tuple[Any, DataSpace, Architecture, torch.device]:
        """Validate X and the parameters."""
        self._validate_params()
        dtypes = [np.float64, np.float32, np.uint8]
        rows: Any = validate_data(self, X, dtype=dtypes, reset=not continued)
        image_shape = check_parameters(self, rows, continued=continued)
        space = self._space if continued else DataSpace.fit(rows, self.likelihood, image_shape)
        space.check(rows)
        data_shape = space._replace(image_shape=image_shape).data_shape
        fitted = self._architecture if continued else None
        architecture = architecture_of(self, data_shape, len(rows), fitted)
        if continued and architecture != self._architecture:
            changed = "; ".join(
                f"{name} from {old!r} to {new!r}"
                for name, old, new in zip(
                    Architecture._fields, self._architecture, architecture, strict=True
                ) if old != new
            )
            raise ValueError(
                f"A fitted model cannot be changed in {changed}. Fit a clone, or set "
                "warm_start=False."
            )
        return rows, space, architecture, select_device(self.device)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "module_")

    def _adopt(
        self,
        space: DataSpace,
        architecture: Architecture,
        device: torch.device,
        seed: int,
        radius: NDArray[np.float32] | None,
    ) -> None:
        self._space, self._architecture, self._seed = space, architecture, seed
        self.device_ = str(device)
        self._typical_radius = None if radius is None else float(np.median(radius))
        self.__dict__.pop("_optimizer", None)

    def _append_history(
        self, history: dict[str, NDArray[np.float64]], *, continued: bool
    ) -> None:
        new = in_units_of_data(history, self._space)
        if continued:
            # a regulariser that was off before, or is off now, has no parts there
            new = {
                name: np.append(values, new[name])
                for name, values in self.history_.items() if name in new
            }
        self.history_ = new
        self.n_iter_ = len(new["lower_bound"])


def _why_fewer_clusters(n_found: int, n_clusters: int, start: NDArray[np.intp] | None) -> str:
    if start is not None and len(np.unique(start)) < n_clusters:
        return (
            f"The rows fall into {n_found} clusters that stand apart; the other components of "
            f"n_clusters={n_clusters} have no rows. Lower n_clusters, or set init='random' to ask "
            "for even clusters."
        )
    return (
        f"{n_clusters - n_found} of n_clusters={n_clusters} components died: they have no rows. "
        "Lower n_clusters if fewer clusters are as good, or raise consistency or min_information."
    )


@contextmanager
def _unchanged_if_it_fails(estimator: FittingMixin) -> Iterator[None]:
    """Put back what validation noted of the columns, all that is changed before a fit is done."""
    state = estimator.__dict__
    before = {name: state[name] for name in INPUT_ATTRIBUTES if name in state}
    try:
        yield
    except BaseException:
        for name in INPUT_ATTRIBUTES:
            state.pop(name, None)
        state.update(before)
        raise


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=3)
