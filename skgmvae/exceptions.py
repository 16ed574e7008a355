"""The warnings of the package, by which they can be filtered."""

from __future__ import annotations

__all__ = [
    "ClusteringWarning", "EmptyClustersWarning", "FarRowsWarning", "InitialPartitionWarning",
    "OneColumnWarning", "SamplesWarning", "StyleClustersWarning", "UniformPosteriorWarning",
]


class ClusteringWarning(UserWarning):
    """Base class of what a fit warns of in the data or in the clusters.

    Examples
    --------
    >>> import warnings
    >>> from skgmvae.exceptions import ClusteringWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClusteringWarning)
    """


class FarRowsWarning(ClusteringWarning):
    """A few rows of the training data have values that are far from those of all other rows.

    Often such values are errors, or codes of missing values such as 999999.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import FarRowsWarning
    >>> ages = np.arange(20.0, 80.0)[:, None]
    >>> ages[7] = 999999
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", FarRowsWarning)
    ...     _ = GMVAEClustering(2, random_state=0).fit(ages)
    >>> str(caught[0].message).split(". ")[0]
    '1 of 60 rows are far from all others in column 0 of X'
    """


class EmptyClustersWarning(ClusteringWarning):
    """Fewer clusters have rows than were asked for."""


class OneColumnWarning(ClusteringWarning):
    """The clusters are the values of one column that has few of them.

    Such a column may be a label, a batch or a flag that was left in by mistake. If the clusters are
    meant to be a matter of the other columns, fit these alone.
    """


class SamplesWarning(ClusteringWarning):
    """Most of what `sample` draws from a cluster is predicted to be in another.

    The normal distribution of the cluster in the latent space does not describe its rows; its
    labels and probabilities may be good nevertheless. Only fits that have converged are examined.
    """


class UniformPosteriorWarning(ClusteringWarning):
    """Nearly all rows have the same probability of every cluster: the components have merged."""


class StyleClustersWarning(ClusteringWarning):
    """The model reads the cluster of a row from the noise in its style w."""


class InitialPartitionWarning(ClusteringWarning):
    """The clusters of the fit are not those of the initial partition, `init_labels_`."""
