"""Training: epochs, learning rate, stopping. It knows nothing of the model."""

from .loop import Diverged, Training, all_finite, make_optimizer, run_epoch, train
from .schedule import Schedule, is_settled

__all__ = [
    "Diverged", "Schedule", "Training", "all_finite", "is_settled", "make_optimizer",
    "run_epoch", "train",
]
