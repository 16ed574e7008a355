"""The objective, a pure function of the weights and a batch, and where its batches come from."""

from .batches import Batches, PseudoLabelSchedule, RegularizerInputs
from .elbo import Noise, Terms, draw_noise, drawn, elbo_terms, log_evidence
from .evidence import PROPOSAL, fixed_points, mixture_log_evidence, shifted_points
from .objective import Objective
from .regularizer import INFORMATION_WEIGHTS, InformationWeights, Regularizer

__all__ = [
    "INFORMATION_WEIGHTS", "PROPOSAL", "Batches", "InformationWeights", "Noise", "Objective",
    "PseudoLabelSchedule", "Regularizer", "RegularizerInputs", "Terms", "draw_noise", "drawn",
    "elbo_terms", "fixed_points", "log_evidence", "mixture_log_evidence", "shifted_points",
]
