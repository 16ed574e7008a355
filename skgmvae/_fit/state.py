"""What a fit leaves behind, and what a continued fit goes on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._model import LatentMixture
from .._rows import Reservoir
from .._training import Adam
from ..fitted import Fitted
from .description import Description
from .records import Recorded

__all__ = [
    "STREAM", "Fit", "FitState", "Forgotten", "Previous", "StreamRule",
]


class StreamRule(NamedTuple):
    """How long a stream is taken to be, and how `partial_fit` mixes a chunk with earlier rows.

    By ``examples/benchmarks/streams.py`` (docs/results.md, "Streams"): without remembered rows
    chunks of one cluster each find nothing, with 200 most of it, with 2,000 all clusters in each
    of four seeds.

    Attributes
    ----------
    n_rows : int
        Rows that a stream has at the least, for the width of the networks and the size of the
        perturbation, whatever its first chunk has: about the fewest for which `auto_width` is
        largest. After one pass over 10,000 images of MNIST in chunks of 100 the accuracy was .738,
        and .542 where both went by the first chunk (three seeds).
    capacity : int
        Rows of the stream that are remembered.
    max_values : int
        Values that they have at the most, 64 MiB: rows of more than 8,388 columns are fewer. Chosen
        by hand, for memory.
    """

    n_rows: int = 10_000
    capacity: int = 2_000
    max_values: int = 2**24

    def n_remembered(self, n_features: int) -> int:
        """Return how many rows of so many columns are remembered."""
        return min(self.capacity, self.max_values // n_features)


STREAM = StreamRule()


class Forgotten(NamedTuple):
    """Rows that a model has seen and the reservoir is no sample of.

    Those of a fit to rows in a file or by several processes, and those before a pickle was loaded
    or the device changed.

    Attributes
    ----------
    n_rows : float
    weights : ndarray of shape (n_clusters,)
        p(z) by these rows.
    latent_mixture : LatentMixture or None
        p(x|z) by these rows.
    """

    n_rows: float
    weights: NDArray[np.float64]
    latent_mixture: LatentMixture | None = None


class FitState(NamedTuple):
    """What a continued fit needs to know of the one before, beside the model.

    Attributes
    ----------
    seed : int
    n_epochs, n_steps : int
        Of the schedules so far, whether or not they stopped early.
    n_rows : float
        Of the last `fit`, and of all calls of `partial_fit` since; each as its weight.
    keeps_clusters : bool
        Whether `partial_fit` keeps the clusters that the model has, or expects even ones.
    typical_radius : float or None
        Median radius of the adversarial perturbation.
    tol : float
        Of the last fit, by which it is judged whether it converged.
    interrupted : bool
        Whether the last fit was.
    optimizer : Adam or None
        With the moments of the last `partial_fit`.
    reservoir : Reservoir or None
        Rows that `partial_fit` remembers, at first those of the fit.
    forgotten : Forgotten or None
        Rows that it does not remember.
    """

    seed: int
    n_epochs: int
    n_steps: int
    n_rows: float
    keeps_clusters: bool
    typical_radius: float | None
    tol: float
    interrupted: bool = False
    optimizer: Adam | None = None
    reservoir: Reservoir | None = None
    forgotten: Forgotten | None = None


class Previous(NamedTuple):
    """The model that a fit goes on from."""

    fitted: Fitted
    state: FitState
    records: Sequence[Recorded]  # by epoch, in the model's units


class Fit(NamedTuple):
    """All that comes of a fit."""

    fitted: Fitted
    state: FitState
    records: list[Recorded]  # of the new epochs
    description: Description
    warnings: list[Warning]
