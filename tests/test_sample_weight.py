"""Neither the order of the rows nor copies of one are of effect, and a weight is as many copies."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering
from skgmvae.validation import checked_weights

pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3)) + 6 * RNG.integers(0, 3, 40)[:, None]
COUNTS = RNG.poisson(np.exp(X / 4))
WEIGHTS = RNG.integers(0, 4, 40)
SHORT = {
    "n_clusters": 3, "latent_dim": 2, "style_dim": 2, "hidden_layer_sizes": 8, "max_iter": 3,
    "random_state": 0,
}


def with_gaps(X):
    return np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)


def with_category(X):
    kind = np.where(X[:, 0] > 3, "high", "low")
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=kind)


CASES = {
    "dense": (X, {}), "single precision": (X.astype(np.float32), {}),
    "sparse": (sparse.csr_array(X * (X > 0)), {}), "missing": (with_gaps(X), {}),
    "counts": (COUNTS, {"likelihood": "poisson"}),
    "fractions": (1 / (1 + np.exp(-X)), {"likelihood": "bernoulli"}),
    "categories": (with_category(X), {}), "paper": (X, {"consistency": 0}),
    "random": (X, {"init": "random"}), "restarts": (X, {"n_init": 2}),
    "images": (X, {"image_shape": (1, 3), "perturbation": "both"}),
    "distinct": (X, {"n_clusters": 40}),
}


def rows(X, index):
    return X.iloc[index] if hasattr(X, "iloc") else X[index]


def assert_equal_models(one, other):
    for name, value in one.module_.state_dict().items():
        np.testing.assert_array_equal(value, other.module_.state_dict()[name])
    assert one.lower_bound_ == other.lower_bound_
    for found, expected in zip(one.latent_components(), other.latent_components(), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(one.weights_, other.weights_)


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_rows_is_of_no_effect(case):
    X, parameters = CASES[case]
    order = np.random.default_rng(2).permutation(40)
    one = GMVAEClustering(**SHORT | parameters).fit(X)
    other = GMVAEClustering(**SHORT | parameters).fit(rows(X, order))
    assert_equal_models(one, other)
    np.testing.assert_array_equal(one.labels_[order], other.labels_)
    np.testing.assert_array_equal(one.cluster_counts_, other.cluster_counts_)
    # which is the first of the rows that are identical
    found = one.exemplar_indices_ >= 0
    np.testing.assert_array_equal(
        one.transform(rows(X, one.exemplar_indices_[found])),
        one.transform(rows(X, order[other.exemplar_indices_[found]])),
    )
    if one.init_labels_ is not None:
        np.testing.assert_array_equal(one.init_labels_[order], other.init_labels_)


@pytest.mark.parametrize("case", CASES)
def test_a_weight_is_as_many_copies(case):
    X, parameters = CASES[case]
    weights = WEIGHTS + (case == "distinct")  # which asks for as many clusters as rows
    copies = np.random.default_rng(2).permutation(np.arange(40).repeat(weights))
    weighted = GMVAEClustering(**SHORT | parameters).fit(X, sample_weight=weights)
    repeated = GMVAEClustering(**SHORT | parameters).fit(rows(X, copies))
    assert_equal_models(weighted, repeated)
    np.testing.assert_array_equal(weighted.labels_[copies], repeated.labels_)
    np.testing.assert_array_equal(weighted.labels_, repeated.predict(X))
    np.testing.assert_array_equal(weighted.cluster_counts_, np.bincount(
        weighted.labels_, minlength=weighted.n_clusters
    ))
    if weighted.init_labels_ is not None:
        begun = weighted.init_labels_
        np.testing.assert_array_equal(begun[copies], repeated.init_labels_)
        assert (weights[begun == -1] == 0).all()  # another may be identical to one with a weight
    assert (weights[weighted.exemplar_indices_[weighted.exemplar_indices_ >= 0]] > 0).all()


def test_components_are_in_the_order_of_their_weights():
    X = np.concatenate([np.zeros((30, 2)), np.full((10, 2), 9.0)])
    X += np.random.default_rng(0).standard_normal(X.shape)
    weights = np.where(np.arange(40) < 30, 1.0, 9.0)
    clusterer = GMVAEClustering(2, random_state=0).fit(X, sample_weight=weights)
    assert clusterer.labels_.tolist() == [1] * 30 + [0] * 10
    assert clusterer.cluster_counts_.tolist() == [10, 30]
    np.testing.assert_allclose(clusterer.weights_, [0.75, 0.25], atol=0.02)
    centers = [np.average(X[of], axis=0) for of in (slice(30, None), slice(30))]
    np.testing.assert_allclose(clusterer.cluster_centers_, centers, atol=0.2)


@pytest.mark.parametrize("factor", [0.5, 1e-6])
def test_only_the_proportion_of_small_weights_counts(factor):
    weights = RNG.random(40)
    one, other = (
        GMVAEClustering(**SHORT).fit(X, sample_weight=scale * weights) for scale in (1.0, factor)
    )
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=1e-3)


def test_means_over_rows_are_weighted():
    weights = RNG.exponential(size=40)
    clusterer = GMVAEClustering(**SHORT | {"init": "random"}).fit(X, sample_weight=weights)
    bounds = clusterer.score_samples(X)
    assert clusterer.score(X, sample_weight=weights) == pytest.approx(
        np.average(bounds, weights=weights)
    )
    assert clusterer.lower_bound_ == pytest.approx(clusterer.score(X, sample_weight=weights))
    assert clusterer.score(X) == pytest.approx(bounds.mean())


@pytest.mark.parametrize(("weights", "message"), [
    (np.full(40, -1.0), "sample_weight has the value -1: weights must not be negative"),
    (np.zeros(40), "weights? must contain at least one non-zero|is zero for all rows"),
    (np.ones(39), r"sample_weight.shape == \(39,\), expected \(40,\)"),
    (np.full(40, np.nan), "NaN"), (np.full(40, np.inf), "infinity"),
])
@pytest.mark.parametrize("method", ["fit", "score"])
def test_weights_that_are_none_are_refused(method, weights, message):
    clusterer = GMVAEClustering(**SHORT).fit(X)
    before = clusterer.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        getattr(clusterer, method)(X, sample_weight=weights)
    np.testing.assert_array_equal(clusterer.predict_proba(X), before)


@pytest.mark.parametrize("weights", [
    ["1"] * 40, np.full(40, "1"), np.full(40, b"1", object), np.arange(40).astype("datetime64[D]"),
    np.arange(40).astype("timedelta64[s]"), {}, [{}] * 40, [[1.0], [1.0, 2.0]],
])
def test_weights_that_are_no_numbers_are_refused_by_name(weights):
    with pytest.raises((TypeError, ValueError), match="sample_weight must be a number for each"):
        checked_weights(weights, X)


def test_the_mask_of_weights_is_not_lost():
    with pytest.raises(TypeError, match=r"sample_weight.*mask would be lost.*filled\(0\)"):
        checked_weights(np.ma.masked_less(np.arange(40.0), 3), X)
    assert checked_weights(np.ma.masked_less(np.ones(40), 0), X).tolist() == [1.0] * 40


def test_there_must_be_as_many_rows_with_a_weight_as_clusters():
    with pytest.raises(ValueError, match="n_samples=2 should be >= 3"):
        GMVAEClustering(**SHORT).fit(X, sample_weight=np.arange(40) < 2)


def test_a_fit_is_continued_with_weights():
    clusterer = GMVAEClustering(**SHORT, warm_start=True).fit(X, sample_weight=WEIGHTS)
    repeated = clone(clusterer).fit(X.repeat(WEIGHTS, 0))
    for model in (clusterer, repeated):
        model.set_params(max_iter=5)
    assert_equal_models(
        clusterer.fit(X, sample_weight=WEIGHTS), repeated.fit(X.repeat(WEIGHTS, 0))
    )


def test_in_a_stream_a_weight_is_as_many_copies():
    weighted, repeated = (GMVAEClustering(**SHORT) for _ in range(2))
    for part in (slice(25), slice(25, 40), slice(0, 1)):
        weights = WEIGHTS[part] + (part == slice(0, 1))
        weighted.partial_fit(X[part], sample_weight=weights)
        repeated.partial_fit(X[part].repeat(weights, 0)[::-1])
        assert_equal_models(weighted, repeated)
        np.testing.assert_array_equal(weighted.labels_, repeated.predict(X[part]))


def test_in_a_stream_weights_count_against_those_of_other_calls():
    low, high = X[:20] * 0.1, X[:20] * 0.1 + 9
    clusterer = GMVAEClustering(2, random_state=0, max_iter=40).fit(np.vstack([low, high]))
    for _ in range(10):
        clusterer.partial_fit(low, sample_weight=np.full(20, 0.25))
        clusterer.partial_fit(high)
    heavy = clusterer.predict(high)[0]
    # 20 + 10 * 20 rows beside 20 + 10 * 20 / 4
    assert clusterer.weights_[heavy] == pytest.approx(220 / 290, abs=0.03)


@pytest.mark.parametrize("weights", [
    np.full(40, 1e308), np.full(40, 1e-310), np.where(np.arange(40), 1.0, 1e-20),
])
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_weights_beyond_reason_are_refused(method, weights):
    clusterer = GMVAEClustering(**SHORT).fit(X)
    with pytest.raises(ValueError, match=r"sample_weight has values from .* Divide them by"):
        getattr(clusterer, method)(X, sample_weight=weights)


def test_a_clusterer_of_rows_without_weight_is_stored():
    clusterer = GMVAEClustering(**SHORT).fit(X, sample_weight=np.arange(40) > 3)
    again = pickle.loads(pickle.dumps(clusterer))
    np.testing.assert_array_equal(again.init_labels_, clusterer.init_labels_)
    assert (again.init_labels_[:4] == -1).all()


def test_no_copy_of_a_row_is_trained_on_that_is_held_out():
    settings = SHORT | {"early_stopping": True, "validation_fraction": 0.2}
    weighted, repeated = GMVAEClustering(**settings), GMVAEClustering(**settings)
    weighted.fit(X, sample_weight=np.full(40, 3))
    repeated.fit(X.repeat(3, 0))
    assert_equal_models(weighted, repeated)
    np.testing.assert_array_equal(weighted.validation_scores_, repeated.validation_scores_)


def test_in_a_stream_large_weights_count_in_full():
    clusterer = GMVAEClustering(**SHORT).fit(X)
    n_rows = clusterer._state.n_rows
    clusterer.partial_fit(X, sample_weight=np.full(40, 1e6))
    assert clusterer._state.n_rows == pytest.approx(n_rows + 4e7)


def test_a_stream_counts_against_the_weight_of_a_fit_not_against_its_copies():
    weights = np.append(1e6, np.ones(39))
    clusterer = GMVAEClustering(**SHORT).fit(X, sample_weight=weights)
    assert clusterer._state.n_rows == pytest.approx(weights.sum())


def test_no_row_without_weight_is_an_exemplar():
    rows, weights = X[:6].repeat(2, 0), np.tile([0.0, 1.0], 6)
    clusterer = GMVAEClustering(**SHORT).fit(rows, sample_weight=weights)
    found = clusterer.exemplar_indices_
    assert (weights[found[found >= 0]] == 1).all()
    random = clusterer.set_params(init="neighbors").fit(rows, sample_weight=weights)
    assert (random.init_labels_[::2] == -1).all()
    assert (random.init_labels_[1::2] >= 0).all()


@pytest.mark.parametrize("weight", [0.01, 1.0, 1000.0])
def test_a_stream_counts_against_all_the_weight_of_a_fit(weight):
    # of weights of 1,000 the fit was as 10,000 rows, and the stream as 60,000: .93
    low, high = X[:20] * 0.1, X[:20] * 0.1 + 9
    clusterer = GMVAEClustering(2, random_state=0, max_iter=40)
    clusterer.fit(np.vstack([low, high]), sample_weight=np.full(40, weight))
    for _ in range(3):
        clusterer.partial_fit(high, sample_weight=np.full(20, weight))
    heavy = clusterer.predict(high)[0]
    assert clusterer.weights_[heavy] == pytest.approx(80 / 100, abs=0.06)
    assert clusterer._state.n_rows == pytest.approx(100 * weight)


def test_weights_are_routed_through_a_pipeline_and_a_search():
    with config_context(enable_metadata_routing=True):
        clusterer = GMVAEClustering(**SHORT).set_fit_request(sample_weight=True)
        clusterer.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, clusterer).fit(X, sample_weight=WEIGHTS)
        alone = clone(clusterer).fit(scaler.fit_transform(X), sample_weight=WEIGHTS)
        assert_equal_models(pipeline[-1], alone)
        search = GridSearchCV(pipeline, {"gmvaeclustering__latent_dim": [1, 2]}, cv=2)
        search.fit(X, sample_weight=WEIGHTS + 1)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(("likelihood", "value"), [
    ("poisson", -5), ("poisson", np.nan), ("bernoulli", 7),
])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_of_weight_0_are_such_as_the_likelihood_takes(likelihood, value, method):
    X = np.random.default_rng(0).integers(0, 2, (40, 4)).astype(float)
    X[0, 0] = value
    weights = np.append(0.0, np.ones(39))
    clusterer = GMVAEClustering(2, likelihood=likelihood, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match=f"likelihood='{likelihood}' (needs|cannot take)"):
        getattr(clusterer, method)(X, sample_weight=weights)
