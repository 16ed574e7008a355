"""The initial partition: neighbors, their graph, candidate partitions, and the one taken."""

from .neighbors import (
    NEIGHBOR_SEARCH,
    Neighbors,
    NeighborSearch,
    find_neighbors,
    perturbation_radius,
)
from .selection import initial_partition
from .tangent_distance import nearest_up_to_affine

__all__ = [
    "NEIGHBOR_SEARCH", "NeighborSearch", "Neighbors", "find_neighbors", "initial_partition",
    "nearest_up_to_affine", "perturbation_radius",
]
