"""Pictures of a fitted clusterer: Display classes in the manner of scikit-learn.

Each is made by `from_estimator` (or `from_predictions`), which draws it on one Axes. The Axes and
its figure are kept as `ax_` and `figure_`. `plot` draws again, with the options that the display
was made with, or with others. Where `from_estimator` is given a Pipeline, or a search such as
GridSearchCV, it shows the clusterer that this ends in, and the rows as that clusterer sees them,
transformed by the steps before it. Matplotlib is imported when something is drawn.
"""

from .cluster_matrix import ClusterMatrixDisplay
from .cluster_profile import ClusterProfileDisplay
from .cluster_samples import ClusterSamplesDisplay
from .exemplars import ExemplarsDisplay
from .latent_space import LatentSpaceDisplay
from .loss_curve import LossCurveDisplay

__all__ = [
    "ClusterMatrixDisplay", "ClusterProfileDisplay", "ClusterSamplesDisplay", "ExemplarsDisplay",
    "LatentSpaceDisplay", "LossCurveDisplay",
]
