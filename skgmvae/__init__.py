"""Deep clustering with Gaussian mixture variational autoencoders, for scikit-learn."""

from .estimator import GMVAEClustering

__version__ = "0.1.0"

__all__ = ["GMVAEClustering", "__version__"]
