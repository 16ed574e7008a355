"""Other clusterers in their ordinary forms, and how fits are measured and printed.

The benchmark scripts beside this file share it. A peer gets the columns as they are, and a second
time after a `StandardScaler`. genieclust, gemclus and ClustPy are used where they are installed.

Mixtures of full covariances are left out beyond 100 columns, and clusterers that compare all rows
with one another beyond 20,000 rows. HDBSCAN isn't told the number of clusters, and the rows that it
calls noise count as a cluster of their own.
"""

import resource
import sys
import time
import warnings
from collections import Counter
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse.linalg import ArpackError
from sklearn.cluster import (
    HDBSCAN,
    AgglomerativeClustering,
    KMeans,
    MiniBatchKMeans,
    SpectralClustering,
)
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering

GMVAE, START = "GMVAE", "start"
DEFAULT_PEERS = (
    "KMeans", "GaussianMixture", "DiagonalMixture", "Spectral", "HDBSCAN", "Ward"
)
OPTIONAL = {  # the package, the module and the class of each
    "Genie": ("genieclust", "genieclust", "Genie"),
    "GEMINI": ("gemclus", "gemclus.linear", "LinearMMD"),
    "DEC": ("clustpy", "clustpy.deep", "DEC"),
}
PEERS = (*DEFAULT_PEERS, "MiniBatchKMeans", "BayesianMixture", *OPTIONAL)

MOST_ROWS = 20_000  # for clusterers that compare all rows with one another
MOST_COLUMNS = 100  # for full covariances
COMPARE_ALL_ROWS = ("Spectral", "HDBSCAN", "Ward", "Genie")


def installed_peers():
    """Return the peers that are run by default: scikit-learn's and those that are installed."""
    return [
        *DEFAULT_PEERS, *(name for name, (package, *_) in OPTIONAL.items() if find_spec(package))
    ]


def obstacle(name, n_samples, n_columns):
    """Return why a peer isn't fitted to so many rows and columns, or None if it is."""
    if name in COMPARE_ALL_ROWS and n_samples > MOST_ROWS:
        return f"skipped: more than {MOST_ROWS:,} rows"
    if name == "GaussianMixture" and n_columns > MOST_COLUMNS:
        return f"skipped: more than {MOST_COLUMNS} columns"
    if name in OPTIONAL and not find_spec(OPTIONAL[name][0]):
        return f"skipped: {OPTIONAL[name][0]} is not installed"
    return None


def make_peer(name, n_clusters, n_columns, seed, *, scaled=False):
    """Return a pipeline of a scaler, or of nothing, and the clusterer."""
    scaler = StandardScaler() if scaled else "passthrough"
    return make_pipeline(scaler, make_clusterer(name, n_clusters, n_columns, seed))


def make_clusterer(name, n_clusters, n_columns, seed):
    """Return the clusterer.

    Many columns come from images, some of which hardly vary within a cluster: mixtures then need
    a larger term on the diagonal than scikit-learn's default, which is better on few columns.
    """
    mixture = {
        "n_init": 3, "reg_covar": 1e-3 if n_columns > 50 else 1e-6, "random_state": seed,
    }
    if name == "KMeans":
        return KMeans(n_clusters, n_init=10, random_state=seed)
    if name == "MiniBatchKMeans":
        return MiniBatchKMeans(n_clusters, n_init=10, random_state=seed)
    if name == "GaussianMixture":
        return GaussianMixture(n_clusters, **mixture)
    if name == "DiagonalMixture":
        return GaussianMixture(n_clusters, covariance_type="diag", **mixture)
    if name == "BayesianMixture":
        covariance = "diag" if n_columns > MOST_COLUMNS else "full"
        return BayesianGaussianMixture(
            n_components=n_clusters, covariance_type=covariance, **mixture
        )
    if name == "Spectral":
        return SpectralClustering(n_clusters, affinity="nearest_neighbors", random_state=seed)
    if name == "HDBSCAN":
        return HDBSCAN(copy=True)
    if name == "Ward":
        return AgglomerativeClustering(n_clusters, linkage="ward")
    _, module, found = OPTIONAL[name]
    seeded = {} if name == "Genie" else {"random_state": seed}
    return getattr(import_module(module), found)(n_clusters=n_clusters, **seeded)


class Run(NamedTuple):
    """A fit and what it took.

    Attributes
    ----------
    model : estimator
    labels : ndarray of shape (n_samples,)
        Of the fitted rows.
    cpu_seconds, wall_seconds : float
    mebibytes : float
        The peak of memory during the fit, less what was held before.
    warned : Counter
        How often each class of warnings was raised.
    """

    model: object
    labels: np.ndarray
    cpu_seconds: float
    wall_seconds: float
    mebibytes: float
    warned: Counter


@cache
def warm_up():
    """Load what torch loads at the first fit of a process, lest it counts as memory of that fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        GMVAEClustering(2, max_iter=1, random_state=0).fit(np.eye(20))


def run(model, X):
    """Fit a model to X, without showing its warnings."""
    if isinstance(model, GMVAEClustering):
        warm_up()
    before = reset_peak_memory()
    cpu, wall = time.process_time(), time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labels = model.fit_predict(X)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    warned = Counter(warning.category.__name__ for warning in caught)
    return Run(model, np.asarray(labels), cpu, wall, peak_memory() - before, warned)


def run_peer(name, X, n_clusters, seed, *, scaled=False):
    """Fit a peer to X; return None if it cannot be fitted."""
    if obstacle(name, *X.shape):
        return None
    try:
        return run(make_peer(name, n_clusters, X.shape[1], seed, scaled=scaled), X)
    except (ImportError, ValueError, np.linalg.LinAlgError, ArpackError) as error:
        print(f"    {column_title(name, scaled)} failed: {error}")
        return None


def start_of(fitted):
    """Return the run of an initial partition by itself, or None if the clusterer keeps none."""
    labels = getattr(fitted.model, "init_labels_", None)
    if labels is None:
        return None
    return Run(None, np.asarray(labels), np.nan, np.nan, np.nan, Counter())


def peak_memory():
    """Return the largest size of the process since the last reset, in MiB."""
    unit = 1024 if sys.platform == "linux" else 1024**2  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak_memory():
    """Forget the peak where the system can, which is Linux, and return the one from now on."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


def labels_of(fitted, X, X_new):
    """Return the clusters of other rows than the fitted ones.

    A clusterer that cannot predict gives each row the cluster of the nearest row that was fitted.
    """
    if hasattr(fitted.model, "predict"):
        return fitted.model.predict(X_new)
    if X_new is X:
        return fitted.labels
    scaled = fitted.model[:-1].transform if fitted.model is not None else np.asarray
    return KNeighborsClassifier(1).fit(scaled(X), fitted.labels).predict(scaled(X_new))


def column_title(name, scaled):
    """Return the name of a peer, with or without its scaler."""
    return f"scaled {name}" if scaled else name


def columns_of(models):
    """Return the name of each column and whether its rows are scaled; ours get no scaler."""
    columns = []
    for name in models:
        if name == GMVAE:
            columns += [(GMVAE, False), (START, False)]
        else:
            columns += [(name, False), (name, True)]
    return columns


def clusters_score(y, labels):
    """Return the adjusted Rand index of the rows that belong to a cluster: y is -1 for noise."""
    return adjusted_rand_score(y[y >= 0], labels[y >= 0])


def score_cell(found):
    """Return the mean, the standard deviation and the worst, or what there is of them."""
    if not np.all(np.isfinite(found)):
        return "-"
    if len(found) == 1:
        return f"{found[0]:.3f}"
    return f"{np.mean(found):.3f} {np.std(found):.2f} {np.min(found):5.2f}"


class ScoreTable:
    """A table of adjusted Rand indices: a line for each data set, a column for each model.

    Parameters
    ----------
    models : list of str
        `GMVAE` stands for a column of its own and one of its initial partition, each peer for a
        column as it is and one after scaling.
    make_ours : callable
        Returns the `GMVAEClustering` for a number of clusters and a seed.

    Attributes
    ----------
    means, worst : dict of str to list of float
        By the title of a column: over seeds, for each line.
    over_start : list of float
        The index of each fit less that of its initial partition.
    """

    def __init__(self, models, make_ours):
        self.columns = columns_of(models)
        self.make_ours = make_ours
        self.titles = [column_title(*column) for column in self.columns]
        self.means = {title: [] for title in self.titles}
        self.worst = {title: [] for title in self.titles}
        self.cost = {title: [] for title in self.titles}
        self.over_start = []
        self.warned = Counter()
        self.notes = {}

    def print_head(self, title):
        """Print what the columns are."""
        print(f"\n{title}: adjusted Rand index, mean, standard deviation and worst over seeds")
        print(f"{'':44}", *(f"{'scaled' if scaled else '':>16}" for _, scaled in self.columns))
        print(f"{'':28}{'rows':>7}{'cols':>5}{'K':>4}",
              *(f"{name:>16}" for name, _ in self.columns), flush=True)

    def print_line(self, name, tables):
        """Fit all models to a data set, of which there are X and y for each seed, and print it.

        Returns
        -------
        runs : dict of str to list of Run
            By the title of the column: the fits, None if there is none.
        """
        runs, scores = {}, {title: [] for title in self.titles}
        for seed, (X, y) in enumerate(tables):
            n_clusters = len(np.unique(y[y >= 0]))
            for title, fitted in zip(self.titles, self.run_all(X, n_clusters, seed), strict=True):
                runs.setdefault(title, []).append(fitted)
                score = np.nan if fitted is None else clusters_score(y, fitted.labels)
                scores[title].append(score)
                if fitted is not None:
                    self.cost[title].append((fitted.cpu_seconds, fitted.mebibytes))
                if title == GMVAE:
                    self.warned += fitted.warned
                if title == START and fitted is not None:
                    self.over_start.append(scores[GMVAE][-1] - score)
        for peer, _ in self.columns:
            reason = None if peer in (GMVAE, START) else obstacle(peer, *X.shape)
            if reason:
                self.notes.setdefault(f"{peer} {reason}", []).append(name)
        for title in self.titles:
            self.means[title].append(np.mean(scores[title]))
            self.worst[title].append(np.min(scores[title]))
        cells = [score_cell(found) for found in scores.values()]
        print(f"{name:28}{len(X):7}{X.shape[1]:5}{n_clusters:4}",
              *(f"{cell:>16}" for cell in cells), flush=True)
        return runs

    def run_all(self, X, n_clusters, seed):
        """Return a run for each column."""
        runs = []
        for name, scaled in self.columns:
            if name == GMVAE:
                runs.append(run(self.make_ours(n_clusters, seed), X))
            elif name == START:
                runs.append(start_of(runs[-1]))
            else:
                runs.append(run_peer(name, X, n_clusters, seed, scaled=scaled))
        return runs

    def print_foot(self):
        """Print means over the data sets, what the fits took, and what was left out."""
        def line(title, values, form):
            cells = (f"{value:{form}}" if np.isfinite(value) else "-" for value in values)
            print(f"{title:44}", *(f"{cell:>16}" for cell in cells))

        cost = {title: np.array(found or [(np.nan, np.nan)]) for title, found in self.cost.items()}
        line("mean", [np.mean(found) for found in self.means.values()], ".3f")
        line("CPU seconds of a fit, mean", [found[:, 0].mean() for found in cost.values()], ".2f")
        line("memory of a fit at its peak, MiB, most",
             [found[:, 1].max() for found in cost.values()], ".0f")
        for note, names in self.notes.items():
            print(f"{note}: {', '.join(names)}")
        if self.warned:
            print(f"warnings of {GMVAE}:", ", ".join(
                f"{name} {count}" for name, count in self.warned.items()))

    def best_peer(self):
        """Return the title of the peer that is best in the mean, or None."""
        means = {
            title: np.mean(found) for title, found in self.means.items()
            if title not in (GMVAE, START) and np.all(np.isfinite(found))
        }
        return max(means, key=means.get) if means else None
