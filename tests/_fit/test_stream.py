"""Streams: chunks of any size and in any order, with gaps, with outliers, and under drift."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from skgmvae import GMVAEClustering
from skgmvae._fit.state import STREAM
from skgmvae.datasets import make_arcs
from skgmvae.parameters import auto_width

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = {"n_clusters": 3, "latent_dim": 2, "style_dim": 2, "hidden_layer_sizes": 8,
         "random_state": 0}
CENTERS = 10 / np.sqrt(2) * np.eye(5)[:3]  # ten standard deviations apart


@settings(max_examples=15)
@given(
    st.integers(0, 99), st.lists(st.integers(3, 60), max_size=6).map(sorted),
    st.floats(0, 0.6), st.booleans(), st.booleans(),
)
def test_any_chunks_of_rows_in_any_order_are_taken(
    seed, cuts, share, begins_complete, has_weights
):
    source = np.random.default_rng(seed)
    X, _ = make_blobs(60, 4, centers=3, random_state=0)
    X = source.permutation(X)
    missing = source.random(X.shape) < share
    missing[: (cuts or [60])[0] if begins_complete else 1] = False  # a value in each column
    X[missing] = np.nan
    model = GMVAEClustering(**SMALL)
    chunks = [part for part in np.split(np.arange(60), cuts) if len(part)]
    weights = source.choice([0.25, 1.0, 3.0], size=60) if has_weights else np.ones(60)
    with warnings.catch_warnings(action="ignore"):
        for n_calls, part in enumerate(chunks, 1):
            model.partial_fit(X[part], sample_weight=weights[part] if has_weights else None)
            assert model.n_iter_ == n_calls
            assert model.labels_.shape == (len(part),)
            assert set(model.labels_) <= {0, 1, 2}
            assert model._state.n_rows == pytest.approx(weights[: part[-1] + 1].sum())
        probabilities = model.predict_proba(X)
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        assert np.isfinite(model.score_samples(X)).all()
    assert model.weights_.sum() == pytest.approx(1)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_remembered_rows_may_have_gaps_that_the_rows_of_a_pass_have_not(method):
    # with a gap in one of many rows most passes are complete
    X, _ = make_blobs(600, 4, centers=3, random_state=0)
    gap = X.copy()
    gap[5, 1] = np.nan
    model = GMVAEClustering(**SMALL, max_iter=2)
    with warnings.catch_warnings(action="ignore"):
        getattr(model, method)(X)
        model.partial_fit(gap)
        for _ in range(3):
            model.partial_fit(X[:20])
    assert np.isfinite(model.weights_).all()
    assert np.isfinite(model.latent_components()[0]).all()


def test_the_networks_of_a_stream_are_as_wide_as_many_rows_ask_for():
    X, _ = make_blobs(30, 60, centers=3, random_state=0)
    model = GMVAEClustering(**SMALL | {"hidden_layer_sizes": "auto"}).partial_fit(X)
    width = auto_width(STREAM.n_rows, 60)
    assert model._fitted.architecture.hidden_layer_sizes == (width, width)


def test_the_size_of_the_perturbation_is_that_of_a_longer_stream():
    X, _ = make_blobs(4000, 5, centers=CENTERS, random_state=0)
    few, many = (
        GMVAEClustering(**SMALL).partial_fit(X[:n])._state.typical_radius for n in (1000, 4000)
    )
    assert few == pytest.approx(many, rel=0.15)


def draw(n_rows, move, source):
    """Draw rows of three clusters, each moved by so much."""
    y = source.integers(3, size=n_rows)
    return CENTERS[y] + move[y] + source.normal(size=(n_rows, 5)), y


def followed(moves, n_chunks=60):
    """Fit, pass chunks that move, and return the model and its clusters of the last rows."""
    source = np.random.default_rng(0)
    X, y = draw(600, np.zeros((3, 5)), source)
    model = GMVAEClustering(3, random_state=0).fit(X)
    number = np.array([np.bincount(model.predict(X)[y == k]).argmax() for k in range(3)])
    for chunk in range(1, n_chunks + 1):
        X, y = draw(50, moves(chunk / n_chunks), source)
        model.partial_fit(X)
    X, y = draw(600, moves(1.0), source)
    return model.predict(X), number[y]


def test_a_cluster_that_moves_slowly_keeps_its_number_after_fit():
    away = np.array([[0, 0, 0, 24, 32], [0] * 5, [0] * 5])  # 40 standard deviations
    labels, wanted = followed(lambda t: t * away)
    assert adjusted_rand_score(wanted, labels) >= 0.95
    assert (labels == wanted).mean() >= 0.98


def test_a_cluster_may_move_to_where_another_was():
    # with a uniform sample of the stream in memory the index was .83 and .56 with two seeds
    out = np.array([0, 0, 0, 20, 0])

    def moves(t):
        second = max(0, 2 * t - 1) * (CENTERS[0] - CENTERS[1])
        return np.array([min(1, 2 * t) * out, second, np.zeros(5)])

    labels, wanted = followed(moves)
    assert adjusted_rand_score(wanted, labels) >= 0.95
    assert (labels == wanted).mean() >= 0.98


def test_a_stream_of_one_row_after_a_fit_forgets_no_cluster():
    # while nothing of the fit was remembered, the index was .57 after eight calls
    X, y = make_blobs(600, 5, centers=CENTERS, random_state=0)
    model = GMVAEClustering(3, random_state=0).fit(X)
    before = model.predict(X)
    for _ in range(12):
        model.partial_fit(X[:1])
    np.testing.assert_array_equal(model.predict(X), before)
    assert adjusted_rand_score(y, before) == 1.0
    assert len(model._state.reservoir.rows) == 612


@pytest.mark.parametrize("size", [1, 20])
def test_a_row_that_is_far_from_all_others_does_no_harm(size):
    # alone in a chunk it was not winsorized: the index was .00
    X, y = make_blobs(600, 5, centers=CENTERS, random_state=0)
    model = GMVAEClustering(3, random_state=0).fit(X)
    far = X[:size].copy()
    far[0, 1] += 1e9
    with warnings.catch_warnings(action="ignore"):
        for chunk in (X[:size], far, X[:size], X[:size], X[:size]):
            model.partial_fit(chunk)
    assert adjusted_rand_score(y, model.predict(X)) >= 0.95


@pytest.mark.parametrize("begins", ["fit", "partial_fit"])
def test_components_of_two_columns_do_not_merge_without_an_initial_partition(begins):
    # by a weight of the regularizer that has the square root of two in it they did
    X, y = make_arcs(1000, random_state=0)
    model = GMVAEClustering(5, init="random", random_state=0)
    if begins == "fit":
        model.fit(X)
    else:
        for _ in range(6):
            for first in range(0, len(X), 250):
                model.partial_fit(X[first : first + 250])
    assert adjusted_rand_score(y, model.predict(X)) > 0.9
