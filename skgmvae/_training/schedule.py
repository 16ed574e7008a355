"""The learning rate by epoch, and when training may end: pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

__all__ = ["Schedule", "is_settled", "n_epochs_without_change"]


class Schedule(NamedTuple):
    """How long to train, and at what rate.

    Epochs are numbered over the life of a model: those of earlier fits come first.

    Attributes
    ----------
    learning_rate : float
        At first.
    decays : bool
        Whether it falls to zero on a half cosine over the schedule.
    first_epoch : int
        Number of the first epoch of this fit.
    n_epochs : int
        Epochs of this fit.
    head_start : float
        Epochs, as long as those of this fit, that the schedule has behind it.
    tol : float
        Change of the loss, or of the score, that counts, as a share of that since the first epoch.
    n_iter_no_change : int
        Epochs without a change after which training stops early.
    n_trial_epochs : int or None, default=None
        Epochs of this fit after which a trial stops.
    n_unjudged : int, default=0
        Epochs, the first in the life of the model, of which no change is expected.
    """

    learning_rate: float
    decays: bool
    first_epoch: int
    n_epochs: int
    head_start: float
    tol: float
    n_iter_no_change: int
    n_trial_epochs: int | None = None
    n_unjudged: int = 0

    @property
    def end(self) -> int:
        """Number of the epoch before which training stops."""
        n_epochs = self.n_epochs if self.n_trial_epochs is None else self.n_trial_epochs
        return self.first_epoch + n_epochs

    def progress(self, epoch: float) -> float:
        """Return the share of the schedule that is done after so many epochs, with fractions."""
        done = self.head_start + epoch - self.first_epoch
        return done / (self.head_start + self.n_epochs)

    def learning_rate_at(self, epoch: float) -> float:
        """Return the learning rate after so many epochs, with fractions."""
        if not self.decays:
            return self.learning_rate
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * self.progress(epoch)))


def n_epochs_without_change(losses: Sequence[float], tol: float) -> int:
    """Return how many epochs ago the best loss last changed by what counts.

    A NaN is a loss that is not known.
    """
    first = next((loss for loss in losses if not math.isnan(loss)), math.nan)
    best = reference = math.inf
    at = 0
    for epoch, loss in enumerate(losses):
        best = min(best, loss)  # of a NaN it is `best`
        if best < reference - tol * (first - best):
            reference, at = best, epoch
    return len(losses) - 1 - at


def is_settled(losses: Sequence[float], tol: float) -> bool:
    """Whether the last tenth of the epochs brought no change that counts."""
    window = max(1, len(losses) // 10)
    if len(losses) < 2 * window + 1:
        return False
    last, before = fmean(losses[-window:]), fmean(losses[-2 * window : -window])
    return abs(last - before) <= tol * abs(losses[0] - min(losses))
