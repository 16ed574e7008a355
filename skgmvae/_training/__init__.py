"""Training: epochs, learning rate, stopping. It knows nothing of the model."""

from .checkpoint import TrainingState
from .cuda_graph import CapturedStep
from .loop import Diverged, all_finite, run_epoch, train
from .schedule import Schedule, is_settled
from .step import Adam, Step

__all__ = [
    "Adam", "CapturedStep", "Diverged", "Schedule", "Step", "TrainingState", "all_finite",
    "is_settled", "run_epoch", "train",
]
