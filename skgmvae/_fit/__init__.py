"""What a fit does, from top to bottom."""

from .description import Description
from .given import Given, given_to_fit, given_to_partial_fit
from .history import has_converged, history, validation_scores
from .recipe import fit
from .records import Recorded
from .state import Fit, FitState, Previous
from .stream import partial_fit
from .tasks import FitTask

__all__ = [
    "Description", "Fit", "FitState", "FitTask", "Given", "Previous", "Recorded", "fit",
    "given_to_fit", "given_to_partial_fit", "has_converged", "history", "partial_fit",
    "validation_scores",
]
