"""A training run between two steps: all that the steps to come depend on, beside their batches."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["TrainingState"]


class TrainingState(NamedTuple):
    """How far a training run has come.

    Since a batch is a function of (epoch, step), a run that goes on from here takes the same steps
    as one that was never interrupted.

    Attributes
    ----------
    losses : list of float
        Of all epochs, those of earlier fits included.
    records : list of list of float
        Of the epochs of this run that are done.
    step_records : list of Tensor
        What the steps of the epoch that has begun recorded.
    learning_rate : float
        At first; lower than asked for where that was too high.
    n_retries : int
        Lower rates that were tried.
    stopped : bool
        Whether training has ended before the end of its schedule.
    best_loss : float
    weights, best_weights : dict of str to Tensor
        Parameters and buffers of the objective, now and after the best epoch. The tensors
        themselves: the next step changes them.
    moments : dict of str to Tensor
        The state of Adam.
    """

    losses: list[float]
    records: list[list[float]]
    step_records: list[Tensor]
    learning_rate: float
    n_retries: int
    stopped: bool
    best_loss: float
    weights: dict[str, Tensor]
    best_weights: dict[str, Tensor]
    moments: dict[str, Tensor]
