"""The loss of a batch: the bound of `elbo` and, if asked for, the regularizer."""

from __future__ import annotations

from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from ..perturbations import adversarial
from .batches import Batch
from .elbo import Mixture, Terms, constrained_loss, elbo_terms
from .regularizer import (
    INFORMATION_WEIGHTS,
    InformationWeights,
    Regularizer,
    regularizer,
    with_frozen_statistics,
)

__all__ = ["Objective"]


class Objective(nn.Module):
    """The loss of a batch, a pure function of the weights and the batch.

    Parameters
    ----------
    model : Module
        A `Mixture`.
    min_information : float, default=0.0
        The threshold lambda of Eq. 7, in nats.
    consistency : float, default=0.0
        Weight of the regularizer; 0 leaves it out.
    information : InformationWeights
        Weights of its entropy terms.
    probe : float, default=1.0
        See `skgmvae.perturbations.adversarial`.

    Attributes
    ----------
    recorded : tuple of str
        Names of what `forward` records.
    """

    def __init__(
        self,
        model: Mixture,
        *,
        min_information: float = 0.0,
        consistency: float = 0.0,
        information: InformationWeights = INFORMATION_WEIGHTS,
        probe: float = 1.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.min_information = min_information
        self.consistency = consistency
        self.information = information
        self.probe = probe
        self.recorded: tuple[str, ...] = ("loss", *Terms._fields)
        # in a tuple, where torch does not take it for a part with weights of its own
        self._frozen: tuple[Any, ...] = ()
        if consistency:
            self.recorded += Regularizer._fields
            self._frozen = (with_frozen_statistics(cast(nn.Module, model)),)

    def train(self, mode: bool = True) -> Self:
        """Put all in training or in evaluation mode."""
        for model in self._frozen:
            model.train(mode)
        return super().train(mode)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss and, without gradient, what `recorded` names."""
        posterior = self.model.q(batch.y)
        of_rows = elbo_terms(self.model, batch.y, *posterior, batch.noise)
        terms = Terms(*batch.whole(*of_rows))
        loss = constrained_loss(terms, self.min_information)
        record = [torch.stack(terms).detach().mean(1)]
        if self.consistency:
            parts = self._regularizer(batch, self.model.cluster_logits(posterior))
            loss = loss + self.consistency * parts.total() + parts.pseudo_label_loss
            record.append(torch.stack(parts).detach())
        return loss, torch.cat([loss.detach().unsqueeze(0), *record])

    def _regularizer(self, batch: Batch, logits: Tensor) -> Regularizer:
        y = batch.perturbed
        assert y is not None
        assert batch.log_sizes is not None
        if batch.direction is not None and batch.radius is not None:
            y = adversarial(
                self._logits, y, logits.detach(), batch.radius, batch.direction, self.probe
            )
        logits, perturbed = batch.whole(logits, self._logits(y))
        return regularizer(
            logits, perturbed, batch.log_sizes, batch.pseudo_labels, self.information
        )

    def _logits(self, y: Tensor) -> Tensor:
        """Log p(z|y) of perturbed rows, which leave no trace in running statistics."""
        (model,) = self._frozen
        logits: Tensor = model.cluster_logits(model.q(y))
        return logits
