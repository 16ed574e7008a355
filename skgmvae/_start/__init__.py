"""The initial partition: neighbors, their graph, candidate partitions, and the one taken."""

from .completion import completed
from .neighbors import (
    FEW_FEATURES,
    RADIUS,
    Neighbors,
    find_neighbors,
    nearest_in_sample,
    perturbation_radius,
)
from .selection import initial_partition
from .tangent_distance import nearest_up_to_affine
from .votes import certain

__all__ = [
    "FEW_FEATURES", "RADIUS", "Neighbors", "certain", "completed", "find_neighbors",
    "initial_partition", "nearest_in_sample", "nearest_up_to_affine", "perturbation_radius",
]
