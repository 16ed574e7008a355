"""Sparse rows give what the same rows as an array give."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from helpers import SHORT, quiet_fit
from skgmvae import GMVAEClustering
from skgmvae._rows import Rows, SparseRows, Units
from skgmvae._rows.containers import DENSE_VALUES, blocks, dense, has_missing, rows_at_a_time
from skgmvae._start.neighbors import NEIGHBOR_SEARCH, find_neighbors

CPU = torch.device("cpu")
METHODS = (
    "predict", "predict_log_proba", "decision_function", "transform", "reconstruct",
    "score_samples", "score",
)
FORMATS = [
    kind + shape for kind in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
    for shape in ("_array", "_matrix")
]


def words(n_samples=200, n_features=60, seed=0, n_topics=4):
    """Return frequencies of words of unit length, each row of a topic, and the topics."""
    random = np.random.default_rng(seed)
    y = random.integers(0, n_topics, n_samples)
    rates = np.full((n_topics, n_features), 0.02)
    for topic, own in enumerate(np.array_split(np.arange(n_features), n_topics)):
        rates[topic, own] = 0.5
    X = random.poisson(rates[y]) * random.uniform(0.5, 1.5, (n_samples, n_features))  # no ties
    X[X.sum(1) == 0, 0] = random.uniform(0.5, 1.5)
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


@pytest.fixture(scope="module")
def fitted():
    X, y = words()
    return quiet_fit(GMVAEClustering(4, max_iter=150, random_state=0), sparse.csr_array(X)), X, y


def test_clusters_are_found(fitted):
    model, _, y = fitted
    assert adjusted_rand_score(y, model.labels_) > 0.9


@pytest.mark.parametrize("settings", [
    {}, {"likelihood": "bernoulli"}, {"image_shape": (6, 10)}, {"init": "random"},
    {"consistency": 0},
])
def test_a_fit_is_that_of_the_array(settings):
    X, _ = words()
    one, other = (
        quiet_fit(GMVAEClustering(4, **SHORT | settings), rows) for rows in (X, sparse.csr_array(X))
    )
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_and_method_answers_as_the_array_does(fitted, method, kind):
    model, X, _ = fitted
    expected = getattr(model, method)(X[:20])
    found = getattr(model, method)(getattr(sparse, kind)(X[:20]))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_terms_of_the_bound_too(fitted):
    model, X, _ = fitted
    np.testing.assert_allclose(model.elbo(sparse.csr_array(X)), model.elbo(X), rtol=1e-6, atol=1e-6)


def test_rows_are_not_changed():
    X = sparse.csr_array(words()[0])
    X.indices[: X.indptr[1]] = X.indices[: X.indptr[1]][::-1]  # not sorted
    X.has_sorted_indices = False
    before = X.copy()
    quiet_fit(GMVAEClustering(4, **SHORT), X).predict(X)
    np.testing.assert_array_equal(X.indices, before.indices)
    np.testing.assert_array_equal(X.data, before.data)


def test_repeated_entries_are_summed(fitted):
    model, X, _ = fitted
    halves = sparse.coo_array(X[:5] / 2)
    rows, columns = np.tile(halves.row, 2), np.tile(halves.col, 2)
    twice = sparse.coo_array((np.tile(halves.data, 2), (rows, columns)), shape=halves.shape)
    np.testing.assert_allclose(model.transform(twice), model.transform(X[:5]), atol=1e-6)


def test_missing_values_among_the_entries():
    X, _ = words()
    X[np.random.default_rng(1).random(X.shape) < 0.05] = np.nan
    one, other = (
        quiet_fit(GMVAEClustering(4, **SHORT), rows) for rows in (X, sparse.csr_array(X))
    )
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_allclose(
        other.score_samples(sparse.csr_array(X)), other.score_samples(X), rtol=1e-6
    )


def test_streams_restarts_and_pickles(fitted):
    X, _ = words()
    rows = sparse.csr_array(X)
    stream = GMVAEClustering(4, **SHORT).partial_fit(rows[:100]).partial_fit(rows[100:])
    assert np.isfinite(stream.score_samples(rows)).all()
    one, two = (
        quiet_fit(GMVAEClustering(4, n_init=2, n_jobs=n, **SHORT), rows) for n in (None, 2)
    )
    np.testing.assert_array_equal(one.labels_, two.labels_)
    loaded = pickle.loads(pickle.dumps(fitted[0]))
    np.testing.assert_array_equal(loaded.predict(rows), fitted[0].predict(rows))
    continued = quiet_fit(clone(fitted[0]).set_params(warm_start=True, max_iter=1), rows)
    assert quiet_fit(continued.set_params(max_iter=2), rows).n_iter_ == 2


def test_text_goes_through_a_pipeline():
    topics = ["cat dog bird fish", "sun moon star sky", "bread milk cheese egg"]
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(topics[k % 3].split(), 6)) for k in range(120)]
    pipeline = make_pipeline(TfidfVectorizer(), GMVAEClustering(3, max_iter=60, random_state=0))
    labels = quiet_fit(pipeline, texts).predict(texts)
    assert adjusted_rand_score(np.arange(120) % 3, labels) > 0.9


def test_searches_split_sparse_rows():
    X = sparse.csr_array(words()[0])
    search = GridSearchCV(GMVAEClustering(4, **SHORT), {"latent_dim": [2, 3]}, cv=2)
    assert np.isfinite(quiet_fit(search, X).cv_results_["mean_test_score"]).all()


def test_categories_straight_from_the_encoder_are_categories():
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 500)
    levels = np.where(random.random((500, 8)) < 0.75, y[:, None], random.integers(0, 3, (500, 8)))
    X = OneHotEncoder().fit_transform(levels)
    assert sparse.issparse(X)
    model = quiet_fit(GMVAEClustering(2, **SHORT), X)
    assert adjusted_rand_score(y, model.init_labels_) > 0.9


# Below the estimator


def test_rows_are_made_dense_a_few_at_a_time():
    X = sparse.random_array((50, 2 * DENSE_VALUES // 20), density=0.001, rng=0, format="csr")
    assert rows_at_a_time(X) == 10
    assert [len(block) for block in blocks(X)] == [10] * 5
    np.testing.assert_array_equal(np.concatenate(list(blocks(X))), dense(X))
    assert not has_missing(X)


def test_units_and_rows_are_those_of_the_array():
    X = words()[0] * np.linspace(0.1, 5, 60)
    units, of_array = (Units.standardizing(rows, None) for rows in (sparse.csr_array(X), X))
    for found, expected in zip(units, of_array, strict=True):
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    rows = Rows.standardized(sparse.csr_array(X), units, CPU)
    assert isinstance(rows, SparseRows)
    expected = Rows.standardized(X, of_array, CPU).flat()
    np.testing.assert_allclose(rows.flat(), expected, atol=1e-6)
    index = torch.tensor([5, 3, 3])
    np.testing.assert_allclose(rows.take(index), expected[[5, 3, 3]], atol=1e-6)


@pytest.mark.parametrize("max_references", [1000, 60])
@pytest.mark.parametrize("n_topics", [4, 30])
def test_neighbors_are_those_of_the_array(n_topics, max_references):
    X, _ = words(300, 240, n_topics=n_topics)
    X = X[:, X.any(0)]
    search = NEIGHBOR_SEARCH._replace(n_components=5, max_references=max_references)
    found = []
    for rows in (sparse.csr_array(X), X):
        units = Units.standardizing(rows, None)
        found.append(find_neighbors(Rows.standardized(rows, units, CPU), 0, search=search))
    same = (found[0].nearest == found[1].nearest).mean()
    assert same > 0.9  # rows without a common word are as far from each other
    np.testing.assert_allclose(found[0].distances, found[1].distances, atol=2e-3)
