"""What a fit does, from top to bottom."""

from .history import history
from .recipe import Fit, Previous, Progress, fit, partial_fit
from .restarts import Recorded

__all__ = ["Fit", "Previous", "Progress", "Recorded", "fit", "history", "partial_fit"]
