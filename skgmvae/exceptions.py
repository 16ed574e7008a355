"""The warnings of the package, a class each so that they can be filtered, and its file error."""

from __future__ import annotations

__all__ = [
    "CheckpointWarning", "ClusteringWarning", "EmptyClustersWarning", "FarRowsWarning",
    "IdentifierWarning", "InitialPartitionWarning", "InvalidModelFile", "OneColumnWarning",
    "ResumedFitWarning", "SamplesWarning", "StyleClustersWarning", "TextNumbersWarning",
    "UniformPosteriorWarning", "UnknownCategoryWarning",
]


class InvalidModelFile(ValueError):
    """A file of a model or a checkpoint that cannot be used: damaged, too new, or neither of them.

    `skgmvae.load` raises it, and `fit` of a clusterer with `checkpoint`. A file that cannot be
    opened, or is not there, is an OSError as everywhere.

    Examples
    --------
    >>> import tempfile
    >>> from skgmvae import load
    >>> from skgmvae.exceptions import InvalidModelFile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     try:
    ...         load(file.name)
    ...     except InvalidModelFile as error:
    ...         print("too short" in str(error))
    True
    """


class CheckpointWarning(UserWarning):
    """The checkpoint of a fit could not be written: a full disk, or a folder that is gone.

    The fit goes on and tries again. The warning is issued once for each fit.

    Examples
    --------
    >>> import warnings
    >>> from skgmvae.exceptions import CheckpointWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", CheckpointWarning)  # rather no fit than one at risk
    """


class ResumedFitWarning(UserWarning):
    """A fit goes on from its checkpoint, after the epochs that an earlier process has done.

    Examples
    --------
    >>> import warnings
    >>> from skgmvae.exceptions import ResumedFitWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ResumedFitWarning)  # in a job that is often preempted
    """


class ClusteringWarning(UserWarning):
    """Base class of what is warned of in the data or in the clusters.

    Examples
    --------
    >>> import warnings
    >>> from skgmvae.exceptions import ClusteringWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ClusteringWarning)
    """


class FarRowsWarning(ClusteringWarning):
    """Rows of the training data have values that are far from those of all others.

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


class IdentifierWarning(ClusteringWarning):
    """A column may be a name or a number of the rows, or their time.

    It is text with so many distinct values, each of which is a category of its own, or a column of
    evenly spaced numbers. A column of the dtype "category", or one that `categorical_features`
    names, is not warned of.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import IdentifierWarning
    >>> X = pd.DataFrame({"id": [f"c{i}" for i in range(60)], "age": np.arange(60) % 2})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", IdentifierWarning)
    ...     _ = GMVAEClustering(2, max_iter=2, random_state=0).fit(X)
    >>> str(caught[0].message).split(", ")[0]
    "Column 'id' of X is text with 60 distinct values in 60 rows"
    """


class TextNumbersWarning(ClusteringWarning):
    """A column of numbers or dates is text, and so taken for categories, which have no order.

    One cell such as "n/a" makes text of a column when it is read. A column of the dtype "category",
    or one that `categorical_features` names, is not warned of.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import TextNumbersWarning
    >>> X = pd.DataFrame({"paid": [*map(str, range(59)), "n/a"], "age": np.arange(60) % 2})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", TextNumbersWarning)
    ...     _ = GMVAEClustering(2, max_iter=2, random_state=0).fit(X)
    >>> str(caught[0].message).split(". ")[1].split("; ")[0]
    "Turn them into numbers by pandas.to_numeric(X['paid'], errors='coerce')"
    """


class EmptyClustersWarning(ClusteringWarning):
    """Fewer clusters have rows than were asked for.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import EmptyClustersWarning
    >>> X = np.repeat([[0.0, 0.0], [9.0, 9.0]], 20, axis=0)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", EmptyClustersWarning)
    ...     _ = GMVAEClustering(3, random_state=0).fit(X)
    >>> str(caught[0].message).split(", ")[0]
    'Only 2 of n_clusters=3 clusters have rows'
    """


class OneColumnWarning(ClusteringWarning):
    """The clusters are the values of one column that has few of them.

    Such a column may be a label, a batch or a flag that was left in by mistake. If the clusters are
    meant to be a matter of the other columns, fit these alone.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import OneColumnWarning
    >>> batch = np.repeat([0.0, 1.0], 50)
    >>> X = np.c_[batch, np.random.default_rng(0).standard_normal((100, 2)) + 9 * batch[:, None]]
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", OneColumnWarning)
    ...     _ = GMVAEClustering(2, random_state=0).fit(X)
    >>> str(caught[0].message).split(". ")[0]
    'The clusters are the 2 values of column 0 of X'
    """


class SamplesWarning(ClusteringWarning):
    """What the model generates from a cluster is not like its rows.

    Most of what its latent distribution generates is of another cluster (`sample` rejects that),
    or the mean of its samples is far from that of its rows. The density of `score_samples` is then
    not that of the data; labels and probabilities may be good nevertheless. Only fits that have
    converged are examined.

    Examples
    --------
    >>> import warnings
    >>> from skgmvae.exceptions import SamplesWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", SamplesWarning)
    """


class UniformPosteriorWarning(ClusteringWarning):
    """The components have merged: of most rows no cluster is much more probable than the others.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import UniformPosteriorWarning
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", UniformPosteriorWarning)
    ...     _ = GMVAEClustering(3, consistency=0, max_iter=2, random_state=0).fit(X)
    >>> str(caught[-1].message).split(":")[0]
    'The components have merged'
    """


class UnknownCategoryWarning(ClusteringWarning):
    """Rows have categories that the training data did not have, which count as missing.

    A category may have been renamed since. It is issued once for each call of a method.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import UnknownCategoryWarning
    >>> X = pd.DataFrame({"plan": ["free", "paid"] * 30, "age": np.arange(60) % 7})
    >>> model = GMVAEClustering(2, max_iter=2, random_state=0).fit(X)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", UnknownCategoryWarning)
    ...     _ = model.predict(X.replace("paid", "Paid"))
    >>> str(caught[0].message).split(". ")[0].split(": ")[1]
    "column 'plan' has 'Paid' in 30 of 60 rows"
    """


class StyleClustersWarning(ClusteringWarning):
    """The clusters depend on the random draw of the style w rather than on the row.

    The cluster of a row at the means of q(x|y) and q(w|y) has less than half of its probability at
    draws from these distributions. Raise `consistency`.

    Examples
    --------
    >>> import warnings
    >>> from skgmvae.exceptions import StyleClustersWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", StyleClustersWarning)
    """


class InitialPartitionWarning(ClusteringWarning):
    """The clusters of the fit are not those of the initial partition, `init_labels_`.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.exceptions import InitialPartitionWarning
    >>> from sklearn.datasets import load_digits
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always", InitialPartitionWarning)
    ...     _ = GMVAEClustering(10, max_iter=1, random_state=1).fit(load_digits().data)
    >>> str(caught[-1].message).split(":")[0]
    'The clusters are not those that the fit began with'
    """
