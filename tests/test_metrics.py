"""The max-probability and the Hungarian accuracy agree with counting by hand."""

import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering
from skgmvae.metrics import (
    clustering_accuracy,
    max_probability_accuracy,
    max_probability_labels,
    max_probability_scorer,
)

# the most confident row of cluster 0 is row 1 ("b"), and that of cluster 1 is row 3 ("a")
Y = ["a", "b", "b", "a", "b"]
SCORES = [[1.0, -1.0], [5.0, -5.0], [2.0, -2.0], [-9.0, 9.0], [-1.0, 1.0]]


def test_a_cluster_has_the_label_of_its_most_confident_row():
    assert max_probability_labels(Y, SCORES).tolist() == ["b", "a"]


def test_the_accuracy_counts_the_rows_that_have_the_label_of_their_cluster():
    # rows 0, 1 and 2 are labeled b, rows 3 and 4 a: rows 1, 2 and 3 are correct
    assert max_probability_accuracy(Y, SCORES) == pytest.approx(3 / 5)


def test_ties_go_to_the_most_frequent_label_then_to_the_first():
    certain = [[1.0, 0.0]] * 5
    assert max_probability_labels(["c", "b", "c", "a", "b"], certain)[0] == "b"
    assert max_probability_labels(["c", "b", "c", "a", "c"], certain)[0] == "c"


def protocol(y, scores):
    """Return the max-probability accuracy, computed by loops."""
    names = {}
    for k in range(len(scores[0])):
        best = max(row[k] for row in scores)
        tied = sorted(label for label, row in zip(y, scores, strict=True) if row[k] == best)
        names[k] = max(tied, key=tied.count)  # the first of the most frequent labels
    hits = 0
    for label, row in zip(y, scores, strict=True):
        assigned = next(k for k in range(len(row)) if row[k] == max(row))
        hits += names[assigned] == label
    return hits / len(y)


labels = st.lists(st.integers(0, 3), min_size=1, max_size=12)
coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0])  # few values, so that ties are frequent


@st.composite
def problems(draw):
    y = draw(labels)
    n_clusters = draw(st.integers(1, 4))
    row = st.lists(coarse, min_size=n_clusters, max_size=n_clusters)
    return y, draw(st.lists(row, min_size=len(y), max_size=len(y)))


@given(problems())
def test_the_accuracy_agrees_with_the_loops(problem):
    assert max_probability_accuracy(*problem) == pytest.approx(protocol(*problem))


@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(problem, random):
    y, scores = problem
    order = list(range(len(y)))
    random.shuffle(order)
    y_shuffled, scores_shuffled = [y[i] for i in order], [scores[i] for i in order]
    assert max_probability_accuracy(y, scores) == max_probability_accuracy(
        y_shuffled, scores_shuffled
    )
    assert np.array_equal(
        max_probability_labels(y, scores), max_probability_labels(y_shuffled, scores_shuffled)
    )


@given(labels, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_names_of_the_classes_do_not_matter(y, n_clusters, seed):
    scores = np.random.RandomState(seed).standard_normal((len(y), n_clusters))  # without ties
    names = ["delta", "gamma", "beta", "alpha"]  # in reverse order
    renamed = [names[label] for label in y]
    assert max_probability_accuracy(renamed, scores) == max_probability_accuracy(y, scores)
    expected = [names[label] for label in max_probability_labels(y, scores)]
    assert max_probability_labels(renamed, scores).tolist() == expected


def test_infinite_scores_are_allowed():
    assert max_probability_accuracy([0, 1, 1], [[np.inf]] * 3) == pytest.approx(2 / 3)
    # log-probabilities of 1 and 0, and log-odds that have overflowed
    for high, low in ((0.0, -np.inf), (np.inf, -np.inf)):
        scores = [[high, low], [high, low], [low, high]]
        assert max_probability_labels(["a", "a", "b"], scores).tolist() == ["a", "b"]
        assert max_probability_accuracy(["a", "a", "b"], scores) == 1.0


def test_an_empty_cluster_does_not_change_the_accuracy():
    with_empty = [[*row, -20.0] for row in SCORES]
    assert max_probability_accuracy(Y, with_empty) == max_probability_accuracy(Y, SCORES)
    assert max_probability_labels(Y, with_empty).shape == (3,)


def test_one_cluster_per_row_is_always_correct():
    assert max_probability_accuracy([3, 1, 4, 1], np.eye(4)) == 1.0


def test_the_labels_may_come_from_another_set():
    swapped = max_probability_accuracy(
        Y, SCORES, y_labeling=["b", "a"], scores_labeling=[[0.0, 1.0], [1.0, 0.0]]
    )
    assert swapped == pytest.approx(2 / 5)  # rows 0, 1 and 2 are labeled a, and rows 3 and 4 b
    absent = max_probability_accuracy(
        Y, SCORES, y_labeling=["z"], scores_labeling=[[0.0, 1.0]]
    )
    assert absent == 0.0
    same = max_probability_accuracy(Y, SCORES, y_labeling=Y, scores_labeling=SCORES)
    assert same == max_probability_accuracy(Y, SCORES)


def test_half_a_labeling_set_is_an_error():
    for half in ({"y_labeling": Y}, {"scores_labeling": SCORES}):
        with pytest.raises(ValueError, match="y_labeling and scores_labeling go together"):
            max_probability_accuracy(Y, SCORES, **half)


def test_a_labeling_set_with_another_number_of_clusters_is_an_error():
    with pytest.raises(ValueError, match="2 clusters and scores_labeling has 3"):
        max_probability_accuracy(Y, SCORES, y_labeling=Y, scores_labeling=np.ones((5, 3)))


@pytest.mark.parametrize(("y", "other"), [
    ([0, 1], ["0", "1"]), (["0", "1"], [0, 1]), ([0, 1], np.array(["0", "1"], object)),
])
def test_a_labeling_set_with_labels_of_another_type_is_an_error(y, other):
    scores = [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(TypeError, match=r"y_true and y_labeling together .* not int, str"):
        max_probability_accuracy(y, scores, y_labeling=other, scores_labeling=scores)


def test_a_labeling_set_may_hold_the_same_labels_in_another_container():
    scores = [[1.0, 0.0], [0.0, 1.0]]
    for y, other in (([0, 1], [0.0, 1.0]), (["a", "b"], np.array(["a", "b"], object))):
        accuracy = max_probability_accuracy(y, scores, y_labeling=other, scores_labeling=scores)
        assert accuracy == 1.0


def uses_of_labels(y):
    """Return the name of each argument that takes labels, and a call that passes y to it."""
    scores = np.tile(np.eye(2), (2, 1))[:4]
    known = [0, 1, 0, 1]
    return [
        ("y_true", lambda: max_probability_labels(y, scores)),
        ("y_true", lambda: max_probability_accuracy(y, scores)),
        ("y_true", lambda: clustering_accuracy(y, known)),
        ("labels", lambda: clustering_accuracy(known, y)),
        ("y", lambda: max_probability_scorer(WithScores(scores), None, y)),
        ("y_labeling", lambda: max_probability_accuracy(
            known, scores, y_labeling=y, scores_labeling=scores
        )),
    ]


class WithScores(BaseEstimator):
    """An estimator that returns given scores."""

    def __init__(self, scores=None):
        self.scores = scores

    def decision_function(self, X):
        return self.scores


def check_two_are_missing(y):
    for name, call in uses_of_labels(y):
        message = rf"^{name} has 2 missing labels \(.*\): drop those rows from {name} and \w+"
        with pytest.raises(ValueError, match=message):
            call()


def check_labels_work(y):
    """Expect four labels of two classes that alternate."""
    scores = np.tile(np.eye(2), (2, 1))
    assert max_probability_accuracy(y, scores) == 1.0
    assert clustering_accuracy(y, [1, 0, 1, 0]) == 1.0
    assert clustering_accuracy([1, 0, 1, 0], y) == 1.0
    assert max_probability_labels(y, scores).tolist() == list(np.asarray(y)[:2].tolist())
    same = max_probability_accuracy(y, scores, y_labeling=y, scores_labeling=scores)
    assert same == 1.0


NAN = float("nan")


@pytest.mark.parametrize("y", [
    [0.0, NAN, 1.0, NAN],
    ["a", NAN, "b", NAN],  # NumPy makes strings of these
    ["a", None, "b", NAN],
    ("a", None, "b", None),
    [None, 1, None, 2],
    [True, None, False, None],
    np.array([0, NAN, 1, NAN], np.float32),
    np.array([0, NAN, 1, NAN], np.longdouble),
    np.array([[0], [NAN], [1], [NAN]]),
    np.array(["a", NAN, "b", None], object),
    np.array([0, np.float64(NAN), 1, None], object),
    np.array(["2020", "NaT", "2021", "NaT"], "datetime64[D]"),
    np.array([0, "NaT", 1, "NaT"], "timedelta64[s]"),
    np.array([np.datetime64("NaT"), np.datetime64("2020")] * 2, object),
    np.ma.array([0, 1, 2, 3], mask=[0, 1, 0, 1]),
    np.ma.array(["a", "b", "c", "d"], mask=[0, 1, 0, 1]),
], ids=repr)
def test_missing_labels_are_an_error(y):
    check_two_are_missing(y)


def test_the_scorer_says_where_to_drop_rows_with_missing_labels():
    with pytest.raises(ValueError, match="drop those rows from y and X"):
        max_probability_scorer(WithScores(np.eye(2)), None, [0, None])


def test_one_missing_label_is_counted_in_the_singular():
    with pytest.raises(ValueError, match=r"^y_true has 1 missing label \("):
        clustering_accuracy([0.0, NAN], [0, 1])


@pytest.mark.parametrize("y", [
    [0, 1, 0, 1],
    [-1.5, np.inf, -1.5, np.inf],
    [True, False, True, False],
    ["a", "b", "a", "b"],
    ["nan", "None", "nan", "None"],
    [b"a", b"b", b"a", b"b"],
    [[3], [4], [3], [4]],
    np.array(["a", "b", "a", "b"], object),
    np.array([0, 1, 0, 1], np.uint8),
    np.array(["2020", "2021", "2020", "2021"], "datetime64[D]"),
    np.ma.array([0, 1, 0, 1]),
], ids=repr)
def test_labels_of_any_sortable_type_work(y):
    if np.ndim(y) == 2:
        assert max_probability_accuracy(y, np.tile(np.eye(2), (2, 1))) == 1.0
        assert clustering_accuracy(y, y) == 1.0
    else:
        check_labels_work(y)


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="needs NumPy 2")
def test_strings_of_numpy_2():
    check_labels_work(np.array(["a", "b", "a", "b"], np.dtypes.StringDType()))
    for missing in (None, NAN):
        kind = np.dtypes.StringDType(na_object=missing)
        check_two_are_missing(np.array(["a", missing, "b", missing], kind))


PANDAS = {
    "Int64": [3, 4], "Float64": [0.5, 1.5], "boolean": [False, True], "string": ["a", "b"],
    "object": ["a", "b"], "category": ["a", "b"], "float64": [1.0, 2.0],
    "datetime64[ns]": ["2020-01-01", "2021-01-01"], "int64[pyarrow]": [3, 4],
}


@pytest.mark.parametrize("dtype", PANDAS)
def test_columns_of_pandas(dtype):
    pandas = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow", exc_type=ImportError)
    a, b = PANDAS[dtype]
    whole = pandas.Series([a, b, a, b], dtype=dtype)
    broken = pandas.Series([a, None, b, None], dtype=dtype)
    for container in (pandas.Series, pandas.Index, pandas.array):
        check_labels_work(container(whole))
        check_two_are_missing(container(broken))
    check_two_are_missing(broken.to_frame())


def test_objects_of_pandas():
    pandas = pytest.importorskip("pandas")
    dates = pandas.Timestamp("2020-01-01"), pandas.Timestamp("2021-01-01")
    check_labels_work(np.array(dates * 2, object))
    check_two_are_missing(np.array([dates[0], pandas.NaT, dates[1], pandas.NaT], object))
    check_two_are_missing(np.array(["a", pandas.NA, "b", pandas.NA], object))
    check_two_are_missing([1, pandas.NA, 0, pandas.NA])
    check_two_are_missing(["a", pandas.NA, "b", None])


@pytest.mark.parametrize("dtype", [
    "Int64", "Float64", "String", "Categorical", "Enum", "Boolean", "Date",
])
def test_columns_of_polars(dtype):
    import datetime

    polars = pytest.importorskip("polars")
    a, b = {
        "Int64": (3, 4), "Float64": (0.5, 1.5), "Boolean": (False, True),
        "Date": (datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)),
    }.get(dtype, ("a", "b"))
    kind = polars.Enum(["a", "b"]) if dtype == "Enum" else getattr(polars, dtype)
    check_labels_work(polars.Series([a, b, a, b], dtype=kind))
    broken = polars.Series("name", [a, None, b, None], dtype=kind)
    check_two_are_missing(broken)
    check_two_are_missing(broken.to_frame())
    if dtype == "Float64":
        check_two_are_missing(polars.Series([a, NAN, b, None]))


def test_pandas_is_never_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    check_labels_work(["a", "b", "a", "b"])
    check_two_are_missing(np.array(["a", None, "b", NAN], object))
    assert "pandas" not in sys.modules


@pytest.mark.parametrize(("y", "error", "message"), [
    (None, ValueError, "{name} (is None|.*pass y)"),
    ([[0, 1]] * 4, ValueError, r"{name} should be a one-dimensional .* shape is \(4, 2\)"),
    (np.zeros((4, 1, 1)), ValueError, "{name} should be a one-dimensional array"),
    ([[0], [0, 1], [0], [1]], ValueError, "{name} should be a one-dimensional array"),
    (3, TypeError, "{name} should be a one-dimensional array of labels, not int"),
    ("abcd", TypeError, "{name} should be a one-dimensional array of labels, not str"),
    ({0, 1, 2, 3}, TypeError, "{name} should be a one-dimensional array of labels, not set"),
    (csr_array([[0], [1], [0], [1]]), TypeError, "{name} should be .*, not csr_array"),
    ([], ValueError, "{name} is empty"),
    ([0, 1j, 0, 1j], TypeError, "{name} should hold .*, not complex128"),
    (np.zeros(4, [("a", int)]), TypeError, "{name} should hold labels that can be sorted"),
    (np.array(["a", 1, "b", 2], object), TypeError, "{name} should hold .* not int, str"),
    (["a", 1, "b", 2], TypeError, "{name} should hold .* not int, str"),
    (["a", b"a", "b", b"b"], TypeError, "{name} should hold .* not bytes, str"),
    ([object() for _ in range(4)], TypeError, "{name} should hold .* not object"),
    ([{} for _ in range(4)], TypeError, "{name} should hold .* not dict"),
    ([0, 1, 0], ValueError, "{name} has 3.*has 4|has 4 and {name} has 3"),
])
def test_unusable_labels_are_an_error_that_names_them(y, error, message):
    for name, call in uses_of_labels(y):
        if y is None and name in ("y", "y_labeling"):  # these have messages of their own
            continue
        with pytest.raises(error, match=message.format(name=name)):
            call()


@pytest.mark.parametrize(("scores", "error", "message"), [
    (None, ValueError, "{name} should be an array of numbers"),
    (3.0, ValueError, "{name} should be an array of numbers"),
    ([1.0, 0.0], ValueError, "{name} should be an array of numbers of shape .* 1D array"),
    (np.ones((2, 2, 1)), ValueError, "{name} should be an array of numbers"),
    ([[1.0], [1.0, 0.0]], ValueError, "{name} should be an array of numbers"),
    (np.ones((2, 0)), ValueError, "{name} should be an array of numbers"),
    (np.ones((0, 2)), ValueError, "{name} should be an array of numbers"),
    ([["a", "b"]] * 2, ValueError, "{name} should be an array of numbers"),
    (np.array([["a", "b"]] * 2, object), ValueError, "{name} should be an array of numbers"),
    ([[1j, 0]] * 2, ValueError, "{name} should be an array of numbers"),
    (csr_array([[1.0, 0.0]] * 2), TypeError, "{name} should be an array of numbers"),
    (np.zeros((2, 2), "timedelta64[s]"), TypeError, "{name} should hold real numbers"),
    ([[0.0, NAN], [1.0, 0.0]], ValueError, "{name} contains NaN"),
    ([[0.0, None], [1.0, 0.0]], ValueError, "{name} contains NaN"),
    ([[0.0, 1.0]] * 3, ValueError, "{y_name} has 2 and {name} has 3"),
])
def test_unusable_scores_are_an_error_that_names_them(scores, error, message):
    y, good = ["a", "b"], np.eye(2)
    calls = [
        ("y_true", "scores", lambda: max_probability_labels(y, scores)),
        ("y_true", "scores", lambda: max_probability_accuracy(y, scores)),
        ("y", r"decision_function\(X\)",
         lambda: max_probability_scorer(WithScores(scores), None, y)),
    ]
    if scores is not None:
        calls.append(("y_labeling", "scores_labeling", lambda: max_probability_accuracy(
            y, good, y_labeling=y, scores_labeling=scores
        )))
    for y_name, name, call in calls:
        with pytest.raises(error, match=message.format(name=name, y_name=y_name)):
            call()


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_the_scorer_takes_a_mixture(iris):
    X, y = iris
    mixture = GaussianMixture(3, random_state=0).fit(X)
    expected = max_probability_accuracy(y, mixture.predict_proba(X))
    assert max_probability_scorer(mixture, X, y) == expected > 0.9


def test_the_scorer_takes_a_pipeline(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0)).fit(X)
    expected = max_probability_accuracy(y, pipeline.predict_proba(X))
    assert max_probability_scorer(pipeline, X, y) == expected > 0.9


def test_the_scorer_prefers_log_odds(clusterer, X):
    y = np.arange(len(X)) % 3
    expected = max_probability_accuracy(y, clusterer.decision_function(X))
    assert max_probability_scorer(clusterer, X, y) == expected

    class Both(BaseEstimator):
        def decision_function(self, X):
            return np.array([[1.0, 0.0], [0.0, 1.0]])

        def predict_proba(self, X):
            raise AssertionError

    assert max_probability_scorer(Both(), [[0], [0]], ["a", "b"]) == 1.0


def test_the_scorer_works_in_a_grid_search_beside_another_metric(iris):
    X, y = iris
    search = GridSearchCV(
        GaussianMixture(random_state=0), {"n_components": [1, 3]}, cv=2, refit="ari",
        scoring={"protocol": max_probability_scorer, "ari": "adjusted_rand_score"},
        error_score="raise",
    ).fit(X[::3], y[::3])
    protocol_scores = search.cv_results_["mean_test_protocol"]
    assert protocol_scores[1] > 0.7 > protocol_scores[0]
    assert search.best_params_ == {"n_components": 3}


@pytest.mark.filterwarnings("ignore:.*components died")
def test_the_scorer_works_in_a_grid_search_over_our_own_pipeline(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), GMVAEClustering(
        3, latent_dim=2, style_dim=2, hidden_layer_sizes=(8,), max_iter=2, random_state=0,
        device="cpu",
    ))
    search = GridSearchCV(
        pipeline, {"gmvaeclustering__n_clusters": [2, 3]}, cv=2, refit="protocol",
        scoring={"protocol": max_probability_scorer, "ari": "adjusted_rand_score"},
        error_score="raise",
    )
    with pytest.warns(match="still changing"):
        search.fit(X[::3], y[::3])
    assert np.isfinite(search.cv_results_["mean_test_ari"]).all()
    best = search.best_estimator_
    expected = max_probability_accuracy(y, best.decision_function(X))
    assert max_probability_scorer(best, X, y) == expected
    assert search.best_score_ == search.cv_results_["mean_test_protocol"].max() > 1 / 3


def test_the_scorer_without_labels_says_what_to_do(clusterer, X):
    with pytest.raises(ValueError, match=r"pass y, as in GridSearchCV\.fit\(X, y\)"):
        max_probability_scorer(clusterer, X)


def test_the_scorer_names_an_estimator_without_scores(X):
    with pytest.raises(TypeError, match="KMeans has none of the methods decision_function"):
        max_probability_scorer(KMeans(2, n_init=1).fit(X), X, np.zeros(len(X)))


def brute_force_accuracy(y, clusters):
    classes = sorted(set(y))
    names = sorted(set(clusters))
    padded = [*classes, *[None] * len(names)]
    most = 0
    for choice in permutations(padded, len(names)):
        called = dict(zip(names, choice, strict=True))
        most = max(most, sum(called[c] == t for t, c in zip(y, clusters, strict=True)))
    return most / len(y)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=15))
def test_clustering_accuracy_is_the_best_matching(pairs):
    y, clusters = zip(*pairs, strict=True)
    assert clustering_accuracy(y, clusters) == pytest.approx(brute_force_accuracy(y, clusters))


def test_clustering_accuracy_by_hand():
    assert clustering_accuracy(["x", "x", "y", "y"], [7, 7, 3, 3]) == 1.0
    assert clustering_accuracy(["x", "x", "y", "y"], [0, 0, 0, 0]) == 0.5
    assert clustering_accuracy([0, 0, 0, 0], [0, 1, 2, 3]) == 0.25  # more clusters than classes
