"""Streams: chunks of any size and in any order, with gaps, with outliers, and under drift."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import adjusted_rand_score

from helpers import LARGE, same_weights
from skgmvae import GMVAEClustering
from skgmvae._fit import preparation, stream
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


# beside a fit


def test_partial_fit_learns_chunk_by_chunk(make, X, device):
    estimator = make(device=device, learning_rate_init=1e-2)
    for _ in range(10):
        for chunk in np.array_split(X, 3):
            estimator.partial_fit(chunk)
    bounds = estimator.history_["lower_bound"]
    assert estimator.n_iter_ == 30
    assert bounds[-6:].mean() > bounds[:6].mean()
    assert estimator.labels_.shape == (20,)
    np.testing.assert_array_equal(estimator.labels_, estimator.predict(X[-20:]))
    assert estimator.lower_bound_ == pytest.approx(estimator.score(X[-20:]))
    assert torch.device(estimator.device_) == torch.device(device)


def test_chunks_of_one_row_may_follow_the_first(make, X, device):
    estimator = make(device=device).partial_fit(X[:30])
    for k in range(30, 40):
        estimator.partial_fit(X[k : k + 1])
    assert estimator.n_iter_ == 11
    assert np.isfinite(estimator.history_["lower_bound"]).all()
    assert np.isfinite(estimator.predict_log_proba(X)).all()
    with pytest.raises(ValueError, match="n_samples=1 should be >= 3"):
        make().partial_fit(X[:1])


def test_a_row_without_company_keeps_the_statistics_of_batch_norm(make, X):
    estimator = pickle.loads(pickle.dumps(make().partial_fit(X)))  # remembers no rows
    before = copy.deepcopy(estimator.module_.state_dict())
    estimator.partial_fit(X[:1])
    after = estimator.module_.state_dict()
    running = [name for name in before if "running" in name]
    assert running
    assert all(torch.equal(before[name], after[name]) for name in running)
    assert np.isfinite(estimator.reconstruct(X)).all()
    assert not same_weights(estimator, make().partial_fit(X))


def test_chunks_may_come_one_cluster_after_another(make):
    # ten standard deviations apart; ARI 1.0 with all of three seeds, of these networks and of LARGE
    centers = 10 / np.sqrt(2) * np.eye(5)[:3]
    X, y = make_blobs([200] * 3, 5, centers=centers, random_state=1)
    X, y = X[np.argsort(y)], np.sort(y)
    estimator = make(random_state=2, hidden_layer_sizes=(16,), batch_size=256)
    for _ in range(15):
        for k in range(0, 600, 50):
            estimator.partial_fit(X[k : k + 50])
    assert adjusted_rand_score(y, estimator.predict(X)) > 0.9
    np.testing.assert_allclose(estimator.weights_, 1 / 3, atol=0.05)


def test_the_rows_that_are_remembered_are_bounded_and_of_all_chunks(make, X, monkeypatch):
    monkeypatch.setattr(
        stream.partial_fit.__wrapped__, "__defaults__", (STREAM._replace(capacity=40),)
    )
    estimator = make()
    for k in range(6):
        estimator.partial_fit(X + 1e3 * k)
    rows = estimator._state.reservoir.rows
    assert rows.shape == (40, 4)
    chunks = (rows * torch.tensor(estimator._fitted.units.scale))[:, 0].div(1e3).round()
    assert len(set(chunks.tolist())) >= 4


def test_a_stream_may_be_told_to_remember_no_rows(make, X, monkeypatch):
    monkeypatch.setattr(
        stream.partial_fit.__wrapped__, "__defaults__", (STREAM._replace(capacity=0),)
    )
    estimator = make().partial_fit(X).partial_fit(X[:20])
    assert len(estimator._state.reservoir.rows) == 0
    assert np.isfinite(estimator.predict_log_proba(X)).all()
    assert estimator.weights_.sum() == pytest.approx(1)


def test_the_history_of_a_stream_is_extended_and_that_of_before_stays(make, X):
    estimator = make().partial_fit(X)
    before = estimator._records
    for _ in range(3):
        estimator.partial_fit(X)
    assert estimator._records[:1] == before
    assert len(before) == 1
    assert len(estimator._records) == estimator.n_iter_ == 4


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_shares_neither_history_nor_model_with_the_original(make, X, copied):
    estimator = make().partial_fit(X)
    other = copied(estimator)
    before = estimator.reconstruct(X)
    for _ in range(2):
        other.partial_fit(X)
    assert (estimator.n_iter_, other.n_iter_) == (1, 3)
    np.testing.assert_array_equal(estimator.reconstruct(X), before)
    estimator.partial_fit(X)
    assert (estimator.n_iter_, other.n_iter_) == (2, 3)


@pytest.mark.parametrize(("of_each", "consistency", "atol"), [
    ((150, 30, 12), "auto", 0.12), ((150, 30, 12), 50.0, 0.04), ((60, 60, 60), "auto", 0.12),
])
def test_partial_fit_keeps_the_clusters_of_a_fit_uneven_or_fewer_and_their_weights(
    make, of_each, consistency, atol
):
    # a stream has no loss to pseudo-labels: the automatic weight, 3.6 of four features, leaves
    # some probability to components without rows
    X, y = make_blobs(of_each, 4, cluster_std=0.5, random_state=0)
    estimator = make(n_clusters=5, consistency=consistency, **LARGE).fit(X)
    shares = np.array([*of_each, 0, 0]) / len(X)
    np.testing.assert_allclose(estimator.weights_, shares, atol=0.04)
    assert estimator.n_clusters_found_ == 3
    for _ in range(20):
        estimator.partial_fit(X)
    np.testing.assert_allclose(estimator.weights_, shares, atol=atol)
    assert adjusted_rand_score(y, estimator.labels_) == 1.0
    assert estimator.n_clusters_found_ == 3


@pytest.fixture(scope="module")
def of_two(make):
    """Return a clusterer of two clusters, its rows and theirs; to be left as it is."""
    X, y = make_blobs([60, 15], 4, centers=10 * np.eye(4)[:2], cluster_std=0.5, random_state=0)
    # in 40 epochs a weight of 10 nats does not make the rows certain
    return make(**LARGE | {"n_clusters": 2}).fit(X), X, y


@pytest.mark.parametrize("between", [None, "pickle"])
def test_rows_that_are_not_remembered_still_count_in_the_weights(of_two, between):
    fitted, X, _ = of_two
    estimator = pickle.loads(pickle.dumps(fitted))  # remembers no rows
    before = estimator.weights_
    np.testing.assert_allclose(before, [0.8, 0.2], atol=0.03)
    for _ in range(3):  # all of the smaller cluster
        estimator.partial_fit(X[estimator.predict(X) == 1][:1])
        if between == "pickle":
            estimator = pickle.loads(pickle.dumps(estimator))
    expected = (75 * before + 3 * np.array([0, 1])) / 78
    np.testing.assert_allclose(estimator.weights_, expected, atol=0.02)
    assert estimator._state.n_rows == 78


def test_components_keep_their_numbers_from_chunk_to_chunk(of_two):
    fitted, X, y = of_two
    estimator = copy.deepcopy(fitted)
    before = estimator.predict(X)
    estimator.partial_fit(X[y == 1])  # though it has most rows now
    np.testing.assert_array_equal(estimator.predict(X), before)
    assert estimator.cluster_counts_.tolist() == [0, 15]


def test_partial_fit_follows_the_device(make, X, monkeypatch):
    estimator = make().partial_fit(X)
    before = copy.copy(estimator)
    estimator.partial_fit(X)
    # to torch another device than "cpu", which its tensors do not keep: it moves at each call
    monkeypatch.setattr(preparation, "select_device", lambda *_: torch.device("cpu:0"))
    for n_calls in (3, 4):
        estimator.partial_fit(X)
        progress = estimator._state
        assert estimator.n_iter_ == n_calls
        assert progress.n_rows == 60 * n_calls
        assert len(progress.reservoir.rows) == 60
        assert progress.forgotten.n_rows == 60 * (n_calls - 1)
        assert {float(n_steps) for n_steps in progress.optimizer.n_steps} == {2.0}
    assert before.n_iter_ == 1
    assert not same_weights(estimator, before)


def test_a_model_moves_to_the_gpu_and_back(make, X, device):
    estimator = make(device="cpu").partial_fit(X)
    before = estimator.reconstruct(X)
    for where in (device, "cpu", device):
        estimator.set_params(device=where).partial_fit(X)
        assert torch.device(estimator.device_) == torch.device(where)
        assert np.isfinite(estimator.reconstruct(X)).all()
    assert not np.allclose(estimator.reconstruct(X), before)
    assert estimator.n_iter_ == 4


def test_rows_of_a_stream_may_lie_anywhere(make, X):
    estimator = make(max_iter=3).partial_fit(X)
    with pytest.warns(DataConversionWarning, match="1 of 4"):
        estimator.partial_fit(np.full((4, 4), 1e200) * [[0], [0], [0], [1]])
    estimator.partial_fit(np.full((4, 4), 1e-200) * [[0], [0], [0], [1]])
    assert np.isfinite(estimator.predict_proba(X)).all()
