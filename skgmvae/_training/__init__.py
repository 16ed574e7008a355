"""Training: epochs, learning rate, stopping. It knows nothing of the model."""

from .checkpoint import TrainingState
from .cuda_graph import CapturedStep, captured
from .loop import Diverged, Training, all_finite, run_epoch, train
from .schedule import Schedule, is_settled
from .step import Adam, Step

__all__ = [
    "Adam", "CapturedStep", "Diverged", "Schedule", "Step", "Training", "TrainingState",
    "all_finite", "captured", "is_settled", "run_epoch", "train",
]
