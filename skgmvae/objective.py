"""The loss of a minibatch: the bound of `elbo` and, if asked for, the regulariser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .consistency import (
    NO_HOLD,
    Hold,
    Perturbation,
    Regulariser,
    Start,
    adversarial,
    affine,
    frozen_statistics,
    regulariser,
)
from .data import Rows, n_batches
from .elbo import Terms, draw_noise, elbo_terms, loss
from .model import GMVAE, Posterior
from .runtime import generator

__all__ = ["Objective", "Settings"]


class Settings(NamedTuple):
    """The training parameters of the estimator, resolved to numbers."""

    seed: int
    n_mc_samples: int
    min_information: float
    consistency: float
    perturbation: str | Perturbation
    radius: NDArray[np.float32] | None  # (n_rows,), of the adversarial perturbation
    start: NDArray[np.intp] | None  # (n_rows,), clusters to begin with
    guided_epochs: float  # during which the fit is held to them, less and less
    lasting_hold: float  # to them, throughout; see `consistency.Hold`
    learning_rate: float
    learning_rate_falls: bool
    batch_size: int
    first_epoch: int  # not 0 where a fit is continued
    max_iter: int  # which a fall of the learning rate spans
    last_epoch: int | None  # after which to stop, if before max_iter
    tol: float
    n_iter_no_change: int
    verbose: int


class Objective:
    """The loss of a minibatch, as a step that `training.train` can take.

    Every draw comes from a generator seeded by (seed, restart, epoch, batch).
    """

    def __init__(self, model: GMVAE, rows: Rows, settings: Settings, restart: int) -> None:
        self.model = model
        self.rows = rows
        self.settings = settings
        self.key = (settings.seed, restart)
        self.n_batches = n_batches(rows.n_rows, settings.batch_size)
        self.recorded: tuple[str, ...] = ("loss", *Terms._fields)
        if settings.consistency:
            self.recorded += Regulariser._fields
            self.start = None
            if settings.start is not None:
                labels = torch.as_tensor(settings.start, device=rows.device)
                counts = torch.bincount(labels, minlength=model.n_components)
                self.start = Start(labels, torch.log(counts + 1.0))
            if settings.radius is not None:
                self.radius = torch.as_tensor(settings.radius, device=rows.device)
                self.probe = rows.typical_norm()

    def __call__(self, epoch: int, batch: int) -> tuple[Tensor, int, Sequence[Tensor]]:
        """Return the loss of a batch, its number of rows, and what `recorded` names."""
        model, settings = self.model, self.settings
        if batch == 0:
            self._batches = self.rows.batches(settings.batch_size, *self.key, epoch)
        index = self._batches[batch]
        y = self.rows.take(index)
        source = generator(y.device, *self.key, epoch, batch)
        posterior = model.q(y)
        noise = draw_noise(
            settings.n_mc_samples, len(y), model.latent_dim, model.style_dim, source
        )
        terms = elbo_terms(model, y, *posterior, noise)
        objective = loss(terms, settings.min_information)
        records = [term.mean() for term in terms]
        if settings.consistency:
            parts = self._regulariser(y, index, posterior, epoch + batch / self.n_batches, source)
            objective = objective + settings.consistency * parts.total
            records += parts
        return objective, len(y), records

    def history(self, records: Sequence[Sequence[float]]) -> dict[str, NDArray[np.float64]]:
        """Name the columns of an epoch's records."""
        columns = np.reshape(records, (-1, len(self.recorded))).T.astype(np.float64)
        return dict(zip(self.recorded, columns, strict=True))

    def _regulariser(
        self,
        y: Tensor,
        index: Tensor,
        posterior: Posterior,
        epoch: float,
        source: torch.Generator,
    ) -> Regulariser:
        logits = self.model.cluster_logits(posterior)
        start, hold = self.start, NO_HOLD
        if start is not None:
            start = start._replace(labels=start.labels[index])
            falling = max(0.0, 1 - epoch / self.settings.guided_epochs)
            hold = Hold(falling, self.settings.lasting_hold)
        with frozen_statistics(self.model):
            perturbed = self._perturb(y, index, logits.detach(), source)
            return regulariser(logits, self._logits(perturbed), start, hold)

    def _perturb(
        self, y: Tensor, index: Tensor, logits: Tensor, source: torch.Generator
    ) -> Tensor:
        perturbation = self.settings.perturbation
        if callable(perturbation):
            changed = perturbation(y, source)
            if not isinstance(changed, Tensor) or changed.shape != y.shape:
                got = tuple(changed.shape) if isinstance(changed, Tensor) else changed
                raise ValueError(
                    f"perturbation={perturbation!r} must return a tensor of shape "
                    f"{tuple(y.shape)}, that of the rows it was given; it returned {got!r}."
                )
            return changed
        if perturbation != "adversarial":
            y = affine(y, source)
        if perturbation != "affine":
            y = adversarial(self._logits, y, logits, self.radius[index], self.probe, source)
        return y

    def _logits(self, y: Tensor) -> Tensor:
        return self.model.cluster_logits(self.model.q(y))
