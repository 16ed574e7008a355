"""What several files of tests use: fits without warnings, rows of a source, other processes."""

import os
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch

import skgmvae
from skgmvae._rows import Rows
from skgmvae._start.graph import neighbor_graph
from skgmvae._start.neighbors import NEIGHBOR_SEARCH, find_neighbors

#: What tests of reliability run in processes of their own: CHILDREN, a name, and arguments.
CHILDREN = Path(__file__).parent / "reliability" / "children.py"
#: Marks of tests that say nothing of warnings, with fits too short to converge.
QUIET = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skgmvae.exceptions.ClusteringWarning"),
]
#: Parameters of a fit that shows that a model works, not how well.
SHORT = {
    "max_iter": 3, "hidden_layer_sizes": (32,), "latent_dim": 3, "style_dim": 2, "random_state": 0,
}
#: Parameters of a fit that is large enough to keep uneven clusters.
LARGE = {
    "latent_dim": 10, "style_dim": 10, "hidden_layer_sizes": "auto", "max_iter": "auto",
    "batch_size": 256,
}


def quiet_fit(clusterer, *arguments):
    with warnings.catch_warnings(action="ignore"):
        return clusterer.fit(*arguments)


def same_weights(one, other):
    one, other = one.module_.state_dict(), other.module_.state_dict()
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


class Source:
    """Rows that are not in memory; keeps how many were read at a time.

    As strict as h5py: slices without a step, and increasing arrays, of rows that exist.
    """

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        if isinstance(key, slice):
            assert key.step in (None, 1)
            assert 0 <= key.start <= key.stop <= len(self)
        else:
            assert (np.diff(key) > 0).all()
            assert key[0] >= 0
            assert key[-1] < len(self)
        found = self.array[key]
        self.read.append(len(found))
        return found


def neighbors_of(X, **search):
    """Find the neighbors of rows as they are."""
    rows = Rows(torch.tensor(np.asarray(X), dtype=torch.float32))
    return find_neighbors(rows, 0, search=NEIGHBOR_SEARCH._replace(**search))


def graph_of(X, **search):
    return neighbor_graph(neighbors_of(X, **search))


def random_joint(random, n_clusters):
    """Return a symmetric joint distribution of two labels."""
    joint = random.random((n_clusters, n_clusters)) ** 3
    return (joint + joint.T) / (joint + joint.T).sum()


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def is_ours(warning):
    """Whether a warning is of a category of this package or of scikit-learn."""
    return warning.category.__module__.split(".")[0] in ("skgmvae", "sklearn")


def is_raised_by_us(error):
    """Whether an error is raised by a line of this package or of scikit-learn."""
    file = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return any(Path(module.__file__).parent in file.parents for module in (skgmvae, sklearn))


def run_python(*arguments, seconds=600, **environment):
    """Run Python on the package that is tested; return what it prints once it has ended well."""
    ended = subprocess.run(
        [sys.executable, "-P", *map(str, arguments)], timeout=seconds,
        env=os.environ | environment, capture_output=True, text=True, check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout
