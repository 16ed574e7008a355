"""When a fit warns: of rows, of epochs, of clusters."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine, make_blobs
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

from helpers import QUIET
from skgmvae import GMVAEClustering, exceptions
from skgmvae._fit import description, diagnostics, settings
from skgmvae._fit.description import latent_mixture
from skgmvae._fit.diagnostics import DIAGNOSTICS, _beside_rows
from skgmvae.exceptions import (
    ClusteringWarning,
    EmptyClustersWarning,
    IdentifierWarning,
    InitialPartitionWarning,
    OneColumnWarning,
    SamplesWarning,
    StyleClustersWarning,
    UniformPosteriorWarning,
)
from skgmvae.fitted import Fitted

pytestmark = QUIET


# rows


def numbered(n_rows=60, **columns):
    rng = np.random.default_rng(0)
    table = {"x": rng.standard_normal(n_rows), "flag": np.arange(n_rows) % 2} | columns
    return np.column_stack(list(table.values())), [*table]


@pytest.mark.parametrize("column", [
    np.arange(60), np.random.default_rng(0).permutation(60) * 0.1 - 7,
    1.7e9 + 3600 * np.arange(60.0),
])
def test_a_column_that_numbers_the_rows_is_named(column):
    X, names = numbered(t=column)
    for dtype in (np.float64, np.float32) if abs(column).max() < 1e6 else (np.float64,):
        (warning,) = diagnostics.warnings_of_row_numbers(X.astype(dtype), names)
        assert isinstance(warning, IdentifierWarning)
        assert "Column 't' of X has 60 evenly spaced values in 60 rows" in str(warning)


@pytest.mark.parametrize("column", [
    np.arange(60) // 2, np.append(np.arange(59), 80), np.append(np.arange(59.0), np.nan),
    np.sort(np.random.default_rng(0).random(60)), np.full(60, 3.0),
    1e308 * (np.arange(60) % 2 - 0.5),
])
def test_other_columns_do_not_number_the_rows(column):
    X, names = numbered(t=column)
    assert diagnostics.warnings_of_row_numbers(X, names) == []


def test_few_rows_a_single_column_and_sparse_rows_are_not_looked_at():
    X, names = numbered(t=np.arange(60))
    assert diagnostics.warnings_of_row_numbers(X[:19], names) == []
    assert diagnostics.warnings_of_row_numbers(X[:, 2:], names[2:]) == []
    assert diagnostics.warnings_of_row_numbers(csr_array(X), names) == []


def test_a_fit_warns_of_a_row_number_once():
    X, _ = numbered(t=np.arange(60))
    clusterer = GMVAEClustering(2, max_iter=2, random_state=0, warm_start=True)
    with pytest.warns(IdentifierWarning, match="Column 2 of X"):
        clusterer.fit(X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clusterer.set_params(max_iter=3).fit(X)
    assert not [one for one in caught if issubclass(one.category, IdentifierWarning)]


def test_far_rows_of_a_continued_fit_are_warned_of_once(make, X):
    far = X.copy()
    far[0] = 1e12
    for method, parameters in (("fit", {"warm_start": True}), ("partial_fit", {})):
        estimator = make(**parameters).fit(X).set_params(max_iter=12)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(estimator, method)(far)
        of_rows = [w for w in caught if w.category is DataConversionWarning]
        assert len(of_rows) == 1
        assert of_rows[0].filename == __file__


# epochs


@pytest.mark.parametrize("max_iter", ["auto", 3])
def test_a_loss_that_still_changes_is_warned_of_if_max_iter_was_given(
    make, X, monkeypatch, max_iter
):
    monkeypatch.setattr(settings, "auto_max_iter", lambda *shape: 3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = make(max_iter=max_iter, init="random").fit(X)
    assert not estimator.converged_
    told = any("still changing after max_iter=3" in str(warning.message) for warning in caught)
    assert told == (max_iter == 3)
    assert all(warning.filename == __file__ for warning in caught)


# clusters


def warned(estimator, X):
    """Fit, and return the category and the words of each warning about data and clusters."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X)
    told = [(warning.category, str(warning.message)) for warning in caught]
    return [(kind, words) for kind, words in told if kind is not ConvergenceWarning]


def beside_its_label(X):
    blobs, labels = make_blobs(60, 4, centers=3, cluster_std=0.7, random_state=0)
    assert np.array_equal(blobs, X)
    return np.column_stack([blobs, labels])


def blobs_of_three(X):
    return make_blobs(90, 4, centers=3, cluster_std=0.3, random_state=0)[0]


CASES = {
    "rows in fewer clusters": (
        {"n_clusters": 6, "max_iter": 40}, blobs_of_three, EmptyClustersWarning,
        r"Only 3 of n_clusters=6 clusters have rows.*Lower n_clusters, or set init='random'",
    ),
    "dead components": (
        {"n_clusters": 12, "consistency": 0, "max_iter": 3}, None, EmptyClustersWarning,
        r"components died.*rows\. Set learning_rate_init=0\.01 back to 'auto' first\. Lower n_cl.*"
        "raise consistency",
    ),
    "a column that is the label": (
        {"max_iter": 40}, beside_its_label, OneColumnWarning,
        r"the 3 values of column 4 of X.*leave it out",
    ),
    "components that merged": (
        {"consistency": 0}, None, UniformPosteriorWarning,
        r"merged.*probability of 0\.\d\d on average, where 0\.33 is as good as none\. "
        r"Set learning_rate_init=0\.01 back to 'auto' first\. Raise min",
    ),
    "a fit cut short": (
        {"max_iter": 2, "learning_rate_init": 2e-3}, None, InitialPartitionWarning,
        r"labels_ and init_labels_ have an adjusted Rand index of 0\.\d\d\. "
        r"Set learning_rate_init=0\.002 back to 'auto' first\. Look at both.*max_iter",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_with_clusters_is_said_once_with_what_to_do(make, X, case):
    parameters, change, category, words = CASES[case]
    estimator = make(**{"learning_rate_init": 1e-2} | parameters)
    told = warned(estimator, change(X) if change else X)
    (message,) = (message for kind, message in told if kind is category)
    assert re.search(words, message)


def test_a_learning_rate_that_was_not_chosen_is_not_to_blame(make, X):
    told = warned(make(max_iter=1, learning_rate_init="auto", random_state=1), X)
    assert {EmptyClustersWarning, InitialPartitionWarning} & {kind for kind, _ in told}
    assert all("learning_rate_init" not in message for _, message in told)


@pytest.mark.parametrize("n_copies", [1, 20])
def test_nothing_is_said_of_clusters_of_one_row_each(n_copies):
    rows = np.column_stack([np.arange(6.0), make_blobs(6, 3, random_state=0)[0]])
    told = warned(GMVAEClustering(6, random_state=0), rows.repeat(n_copies, axis=0))
    assert {kind for kind, _ in told} <= {EmptyClustersWarning, SamplesWarning}
    told = warned(GMVAEClustering(5, random_state=0), rows.repeat(n_copies, axis=0))
    assert {kind for kind, _ in told} - {EmptyClustersWarning, SamplesWarning}


def test_no_deviations_are_counted_in_which_equal_rows_differ_by_rounding():
    rows = make_blobs(200, 4, centers=3, random_state=0)[0][:3].repeat(30, 0)
    told = warned(GMVAEClustering(3, random_state=0), rows)
    assert not any(category is SamplesWarning for category, _ in told)


def mix_up(monkeypatch, *order):
    """Let the fits draw samples of a cluster where another is."""
    monkeypatch.setattr(
        description, "latent_mixture",
        lambda *parts, **named: latent_mixture(*parts, **named).reordered(torch.tensor(order)),
    )


def test_samples_that_leave_their_cluster_are_warned_of_if_the_fit_converged(
    make, X, monkeypatch
):
    mix_up(monkeypatch, 0, 2, 1)
    estimator = make(max_iter=80, learning_rate_init=1e-2)
    ((category, message),) = warned(estimator, X)
    assert estimator.converged_
    assert category is SamplesWarning
    assert re.search(r"cluster [12] generates, only \d+% is of that cluster.*latent_dim", message)
    told = warned(estimator.set_params(max_iter=5), X)
    assert not estimator.converged_
    assert SamplesWarning not in [kind for kind, _ in told]


def test_samples_far_from_the_rows_of_their_cluster_are_warned_of():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((600, 2))
    X[:5] += 30.0
    estimator = GMVAEClustering(2, random_state=0)
    ((category, message),) = warned(estimator, X)
    assert category is SamplesWarning
    assert re.search(r"from cluster 1 lies \d+\.\d standard deviations away.*max_iter", message)
    members = X[:5].mean(0)
    np.testing.assert_allclose(estimator.cluster_centers_[1], members, atol=0.1)


def test_samples_that_vary_more_than_the_rows_of_their_cluster_are_warned_of():
    # the mean of the samples was right, and nothing said that they were 4 times as wide
    rng = np.random.default_rng(0)
    kind = rng.choice(3, 800, p=[0.6, 0.37, 0.03])
    X = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 9.0]])[kind]
    X += rng.standard_normal((800, 2)) * np.where(kind == 2, 0.2, 1.0)[:, None]
    ((category, message),) = warned(GMVAEClustering(3, random_state=0), X)
    assert category is SamplesWarning
    assert re.search(r"from cluster 2 varies \d+\.\d times as much as its rows.*max_iter", message)


@pytest.mark.parametrize(("ratio", "shift"), [(1.0, 0.0), (3.0, 0.0), (0.5, 2.0)])
def test_the_spread_of_samples_is_that_of_the_median_column_by_an_oracle(ratio, shift):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((200, 3)) * [1, 10, 100], np.full(200, 7.0)])
    mean = X[50:150].mean(0)
    samples = mean + ratio * (X[50:150] - mean) + shift * X[50:150].std(0)
    distance, spread = _beside_rows(samples, X, np.arange(50, 150))
    assert spread == pytest.approx(ratio)
    assert distance == pytest.approx(max(shift - 2 * ratio / len(samples) ** 0.5, 0))
    assert _beside_rows(samples, X, np.arange(0)) == (0.0, 1.0)


def test_samples_that_vary_much_are_not_taken_to_lie_far_away():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100, 3))
    for _ in range(20):
        distance, _ = _beside_rows(15 * rng.standard_normal((200, 3)), X, np.arange(100))
        assert distance < 1


@pytest.mark.parametrize(("factor", "is_said"), [(0.9, True), (1.1, False)])
def test_clusters_read_from_the_noise_are_warned_of(make, X, monkeypatch, factor, is_said):
    at_draws = factor * DIAGNOSTICS.min_agreement * 0.9
    monkeypatch.setattr(Fitted, "certainty", lambda self, X: (0.9, at_draws))
    told = [
        message for kind, message in warned(make(init="random", max_iter=2), X)
        if kind is StyleClustersWarning
    ]
    assert len(told) == is_said
    assert all("the noise in w; raise consistency" in message for message in told)


def test_clusters_as_the_fit_began_with_are_not_read_from_the_noise(make, X, monkeypatch):
    monkeypatch.setattr(Fitted, "certainty", lambda self, X: (0.9, 0.2))
    for estimator, rows, is_said in (
        (make(max_iter=100), blobs_of_three(None), False), (make(max_iter=2), X, True),
    ):
        told = {kind for kind, _ in warned(estimator, rows)}
        assert (StyleClustersWarning in told) == (InitialPartitionWarning in told) == is_said


@pytest.mark.parametrize("rows", ["iris", "wine", "blobs", "one cluster"])
def test_ordinary_fits_are_quiet(rows):
    X = {
        "iris": lambda: load_iris().data, "wine": lambda: load_wine().data,
        "blobs": lambda: blobs_of_three(None), "one cluster": lambda: blobs_of_three(None)[:30],
    }[rows]()
    assert not warned(GMVAEClustering(1 + 2 * (rows != "one cluster"), random_state=0), X)


def test_clusters_that_were_missing_before_a_continued_fit_are_not_asked_of_init(make):
    X = blobs_of_three(None)
    estimator = make(n_clusters=6, max_iter=40, learning_rate_init=1e-2, warm_start=True).fit(X)
    told = warned(estimator.set_params(max_iter=50), X)
    (message,) = (message for category, message in told if category is EmptyClustersWarning)
    assert re.search(r"3 of n_clusters=6 .*before this fit.*warm_start=False", message)


@pytest.mark.parametrize("category", [InitialPartitionWarning, ClusteringWarning, UserWarning])
def test_a_warning_is_filtered_by_its_class_or_a_base_of_it(make, X, category):
    estimator = make(max_iter=2)
    before = vars(clone(estimator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", category)
        with pytest.raises(category):
            estimator.fit(X)
        assert vars(estimator) == before  # an error undoes the fit
        warnings.simplefilter("error")
        for ignored in (ConvergenceWarning, EmptyClustersWarning, category):
            warnings.simplefilter("ignore", ignored)
        estimator.fit(X)


def test_all_warnings_of_clusters_are_of_one_kind_that_is_not_of_convergence():
    public = [getattr(exceptions, name) for name in exceptions.__all__]
    of_checkpoints = exceptions.CheckpointWarning, exceptions.ResumedFitWarning
    kinds = [kind for kind in public if issubclass(kind, Warning) and kind not in of_checkpoints]
    assert all(issubclass(kind, ClusteringWarning) for kind in kinds)
    assert issubclass(ClusteringWarning, UserWarning)
    assert not issubclass(ClusteringWarning, ConvergenceWarning)
    assert not issubclass(ConvergenceWarning, ClusteringWarning)
    page = (Path(__file__).parents[2] / "docs" / "api.rst").read_text()
    assert all(f"\n   {name}\n" in page for name in exceptions.__all__)
