"""Deep clustering with Gaussian mixture variational autoencoders, for scikit-learn."""

__version__ = "0.1.0"

from .estimator import GMVAEClustering

__all__ = ["GMVAEClustering", "__version__"]
