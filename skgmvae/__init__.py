"""Deep clustering with Gaussian mixture variational autoencoders, for scikit-learn."""

__version__ = "0.1.0"

from .estimator import GMVAEClustering, load

__all__ = ["GMVAEClustering", "__version__", "load"]
