"""Rows that are not in memory are fitted and predicted as those that are."""

import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, train_test_split

from helpers import Source
from skgmvae import GMVAEClustering
from skgmvae._fit import given
from skgmvae._rows import lazy
from skgmvae.callbacks import EarlyStopping
from skgmvae.distributed import SampleRule
from skgmvae.sources import LazyRows

pytestmark = pytest.mark.filterwarnings("ignore")

X, Y = make_blobs(600, 4, centers=3, random_state=0)
X, Y = X[Y.argsort(kind="stable")].astype(np.float32), np.sort(Y)
SHORT = {
    "n_clusters": 3, "latent_dim": 2, "style_dim": 2, "hidden_layer_sizes": 16, "max_iter": 20,
    "random_state": 0, "batch_size": 100,
}


def hdf5(tmp_path, X):
    h5py = pytest.importorskip("h5py")
    return h5py.File(tmp_path / "X.h5", "w").create_dataset("X", data=X, chunks=(32, 2))


def memmap(tmp_path, X):
    mapped = np.memmap(tmp_path / "X", X.dtype, "w+", shape=X.shape)
    mapped[:] = X
    return mapped


SOURCES = {"own": lambda tmp_path, X: Source(X), "memmap": memmap, "hdf5": hdf5}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """What is small is left in its file too, and few rows are a sample of all."""
    monkeypatch.setattr(lazy, "LAZY_BYTES", 0)
    monkeypatch.setattr(given, "SAMPLE", SampleRule(share=0.3, min_values=1))


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_is_fitted_and_predicted(tmp_path, kind):
    source = SOURCES[kind](tmp_path, X)
    clusterer = GMVAEClustering(**SHORT).fit(source)
    assert adjusted_rand_score(Y, clusterer.labels_) > 0.95
    assert adjusted_rand_score(Y, clusterer.init_labels_) > 0.95
    np.testing.assert_array_equal(clusterer.cluster_counts_, np.bincount(clusterer.labels_))
    assert clusterer.n_features_in_ == 4
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function",
                   "transform", "score_samples", "reconstruct"):
        np.testing.assert_array_equal(
            getattr(clusterer, method)(source), getattr(clusterer, method)(X)
        )
    assert clusterer.score(source) == clusterer.score(X) == clusterer.lower_bound_
    assert (clusterer.predict(X) == clusterer.labels_).all()
    exemplars = X[clusterer.exemplar_indices_]
    assert clusterer.predict(exemplars).tolist() == [0, 1, 2]


def test_a_selection_has_the_labels_of_its_rows():
    order = np.random.default_rng(0).permutation(600)[:500]
    clusterer = GMVAEClustering(**SHORT).fit(LazyRows(Source(X))[order])
    assert adjusted_rand_score(Y[order], clusterer.labels_) > 0.95
    np.testing.assert_array_equal(clusterer.predict(X[order]), clusterer.labels_)


def test_rows_are_fitted_in_the_order_in_which_they_are_read():
    order = np.random.default_rng(0).permutation(600)
    one, other = (
        GMVAEClustering(**SHORT).fit(rows) for rows in (Source(X), LazyRows(Source(X))[order])
    )
    np.testing.assert_array_equal(one.labels_[order], other.labels_)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_missing_values_weights_and_restarts():
    gaps = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    weights = np.where(np.arange(600) < 100, 0.0, 2.5)
    clusterer = GMVAEClustering(**SHORT, n_init=2, n_jobs=2)
    clusterer.fit(Source(gaps), sample_weight=weights)
    assert adjusted_rand_score(Y, clusterer.labels_) > 0.8
    assert (clusterer.init_labels_[:100] == -1).all()
    # the cluster of which half of the rows have no weight, by what most of them are
    assert clusterer.weights_.argmin() == np.bincount(clusterer.labels_[:200]).argmax()


@pytest.mark.parametrize("parameters", [
    {"consistency": 0}, {"init": "random"}, {"likelihood": "bernoulli"}, {"n_clusters": 1},
    {"likelihood": "poisson"}, {"image_shape": (2, 2), "networks": "conv"},
])
def test_any_model_is_fitted_to_a_source(parameters):
    rows = {"bernoulli": lambda X: 1 / (1 + np.exp(-X)), "poisson": lambda X: np.round(np.abs(X))}
    rows = rows.get(parameters.get("likelihood"), lambda X: X)(X)
    clusterer = GMVAEClustering(**SHORT | {"max_iter": 2} | parameters).fit(Source(rows))
    assert np.isfinite(clusterer.score(Source(rows)))


def test_a_fit_is_continued_on_a_source():
    clusterer = GMVAEClustering(**SHORT, warm_start=True).fit(Source(X))
    clusterer.set_params(max_iter=22).fit(Source(X))
    assert clusterer.n_iter_ == 22
    assert adjusted_rand_score(Y, clusterer.labels_) > 0.95


def test_partial_fit_reads_a_chunk():
    clusterer = GMVAEClustering(**SHORT).partial_fit(Source(X)).partial_fit(X[:50])
    assert clusterer.n_iter_ == 2


def test_rows_stay_in_their_source_through_a_split_and_a_search():
    train, test = train_test_split(LazyRows(Source(X)), random_state=0)
    search = GridSearchCV(
        GMVAEClustering(**SHORT | {"max_iter": 2}), {"latent_dim": [1, 2]}, cv=2
    ).fit(train)
    assert np.isfinite(search.score(test))
    assert len(search.best_estimator_.labels_) == 450


@pytest.mark.newest
def test_rows_to_judge_by_may_stay_in_their_source_too():
    rule = EarlyStopping(X_val=LazyRows(Source(X))[::3], patience=2)
    clusterer = GMVAEClustering(**SHORT | {"max_iter": 6}, n_init=2, n_jobs=2)
    clusterer.set_callbacks(rule).fit(X[1::3])
    assert np.isfinite(clusterer.validation_scores_).any()


@pytest.mark.newest
def test_a_table_with_categories_is_no_source():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(X[:60], columns=list("abcd")).assign(kind=np.resize(["u", "v"], 60))
    clusterer = GMVAEClustering(**SHORT | {"max_iter": 1}).fit(table)
    with pytest.raises(ValueError, match="X is a source of numbers, but the model"):
        clusterer.predict(Source(np.zeros((3, 5))))


def test_a_source_without_rows_is_refused():
    clusterer = GMVAEClustering(**SHORT | {"max_iter": 1}).fit(X)
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        clusterer.predict(LazyRows(X)[:0])


def test_a_source_without_columns_is_refused():
    with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\) \(shape=\(800, 0\)\)"):
        GMVAEClustering(**SHORT).fit(LazyRows(np.zeros((800, 0))))


def test_what_is_unfit_is_refused():
    bad = X.copy()
    bad[500, 2] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        GMVAEClustering(**SHORT).fit(Source(bad))
    clusterer = GMVAEClustering(**SHORT | {"max_iter": 1}).fit(X)
    with pytest.raises(ValueError, match="X has 3 features, but GMVAEClustering is expecting 4"):
        clusterer.predict(Source(X[:, :3]))
    with pytest.raises(ValueError, match=r"categorical_features=\[0\] is for tables in memory"):
        GMVAEClustering(**SHORT, categorical_features=[0]).fit(Source(X))


FIT_UNDER_A_LIMIT = """
import resource, sys
import numpy as np
import torch
import sklearn.mixture, sklearn.cluster, sklearn.neighbors
from skgmvae import GMVAEClustering
from skgmvae._start import neighbors

torch.set_num_threads(1)
# rows follow one neighbor in the sample: faster, while the peak is that of the sample's partition
neighbors.NEIGHBOR_SEARCH = neighbors.NEIGHBOR_SEARCH._replace(n_neighbors=1)
path, n_rows, n_features, limit = sys.argv[1], *map(int, sys.argv[2:])
GMVAEClustering(2, max_iter=1, device="cpu").fit(np.random.default_rng(0).random((99, 3)))
data = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
used = 1024 * int(data.split()[1])
resource.setrlimit(resource.RLIMIT_DATA, (used + limit * 2**20,) * 2)
X = np.memmap(path, np.float32, "r", shape=(n_rows, n_features))
clusterer = GMVAEClustering(
    4, max_iter=1, latent_dim=2, style_dim=2, hidden_layer_sizes=8, random_state=0, device="cpu"
).fit(X)
found = np.array([clusterer.labels_[first::4] for first in range(4)])
print((found == found[:, :1]).mean(), len(np.unique(found[:, 0])))
"""


def fit_under_a_limit(path, n_rows, n_features, limit):
    """Fit a file of four clusters, rows in turn, with so many MiB beyond what imports take."""
    X = np.memmap(path, np.float32, "w+", shape=(n_rows, n_features))
    rng = np.random.default_rng(0)
    centers = 3 * rng.standard_normal((4, n_features))
    for first in range(0, n_rows, 4000):
        rows = X[first : first + 4000]
        rows[:] = centers[np.arange(len(rows)) % 4] + rng.standard_normal(rows.shape)
    X.flush()
    command = [sys.executable, "-W", "ignore", "-c", FIT_UNDER_A_LIMIT, path, n_rows, n_features,
               limit]
    # what is freed is given back, so that the peak is the package's and the same in each run
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environment
    )
    assert not done.returncode, done.stderr
    return list(map(float, done.stdout.split()))


@pytest.mark.skipif(sys.platform != "linux", reason="which has RLIMIT_DATA and /proc")
def test_a_file_is_fitted_in_less_memory_than_it_takes(tmp_path):
    # 512 MiB, within 300
    agreement, n_found = fit_under_a_limit(tmp_path / "X", 2**16, 2**11, 300)
    assert agreement > 0.99
    assert n_found == 4


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="which has RLIMIT_DATA and /proc")
def test_a_large_file_is_fitted_in_less_memory_than_it_takes(tmp_path):
    # 8 GiB, within 1.5
    agreement, n_found = fit_under_a_limit(tmp_path / "X", 2**21, 2**10, 1500)
    assert agreement > 0.99
    assert n_found == 4
