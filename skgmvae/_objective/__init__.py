"""The objective, a pure function of the weights and a batch, and where its batches come from."""

from .batches import Batch, Batches, RegularizerInputs
from .elbo import Noise, Terms, draw_noise, drawn, elbo_terms, log_evidence
from .objective import Objective
from .regularizer import Regularizer

__all__ = [
    "Batch", "Batches", "Noise", "Objective", "Regularizer", "RegularizerInputs", "Terms",
    "draw_noise", "drawn", "elbo_terms", "log_evidence",
]
