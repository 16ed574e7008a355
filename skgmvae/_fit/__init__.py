"""What a fit does, from top to bottom."""

from .checkpoint import Checkpoint
from .description import Description
from .history import has_converged, history, validation_scores
from .identity import in_words
from .recipe import fit
from .state import STREAM, Fit, FitState, Given, Previous, Recorded
from .stream import partial_fit
from .tasks import FitTask

__all__ = [
    "STREAM", "Checkpoint", "Description", "Fit", "FitState", "FitTask", "Given", "Previous",
    "Recorded", "fit", "has_converged", "history", "in_words", "partial_fit",
    "validation_scores",
]
