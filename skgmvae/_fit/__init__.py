"""What a fit does, from top to bottom."""

from .description import Description
from .history import has_converged, history
from .recipe import fit
from .restarts import Recorded
from .state import Fit, FitState, Previous
from .stream import partial_fit

__all__ = [
    "Description", "Fit", "FitState", "Previous", "Recorded", "fit", "has_converged", "history",
    "partial_fit",
]
