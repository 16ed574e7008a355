"""A Gaussian mixture is taken where it is the right model, and nowhere else."""

import warnings

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.stats import kstest, multivariate_normal, norm
from sklearn.datasets import load_breast_cancer, load_iris, make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skgmvae._start import mixtures as module
from skgmvae._start.mixtures import (
    MIXTURE_TEST,
    _merged_components,
    best_mixture,
    fewer_suffice,
    n_parameters,
    normal_scores,
    responsibilities,
)

FEW = MIXTURE_TEST._replace(covariance_types=("full", "diag"), min_init=1, max_init=1)
FEW_SEEDS = MIXTURE_TEST._replace(max_init=3)


def mixture_of(X, n_clusters, partitions=(), seed=0, policy=MIXTURE_TEST):
    X = np.asarray(X, np.float32)
    found = best_mixture(
        X, list(partitions), n_clusters, np.random.RandomState(seed), policy=policy
    )
    is_right = found is not None and found.is_right
    return responsibilities(found.mixture, X).toarray() if is_right else None


def matched(found, posterior):
    """Return the probabilities with clusters in the order of the posterior's."""
    return found[:, [
        np.abs(found - column[:, None]).mean(0).argmin() for column in posterior.T
    ]]


@pytest.mark.parametrize(("n_clusters", "n_columns", "distance"), [
    (2, 1, 3), (2, 5, 3), (3, 2, 3),
])
def test_gaussians_that_overlap_have_their_posterior(generated, n_clusters, n_columns, distance):
    X, _ = generated.make_overlapping(n_clusters, n_columns, distance, 1200, random_state=0)
    found = mixture_of(X, n_clusters, policy=FEW_SEEDS)
    posterior = generated.overlapping_posterior(X, n_clusters, distance)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert np.abs(matched(found, posterior) - posterior).mean() < 0.05


def test_ellipses_of_any_direction_are_a_mixture(generated):
    X, y = generated.make_cross(random_state=0)
    assert adjusted_rand_score(y, mixture_of(X, 2).argmax(1)) > 0.7


def test_what_fits_chance_best_is_no_mixture_of_many_parameters():
    # of many seeds, that was taken for which 991 parameters fitted 569 rows best (ARI .53)
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(0)) / np.ptp(X, axis=0)
    assert adjusted_rand_score(y, mixture_of(5 * X, 2).argmax(1)) > 0.65


@pytest.mark.parametrize(("n_rows", "values", "n_seeds"), [
    (200, 7 * 800, 7), (200, 10**9, 10), (200, 10, 3), (8, 10**9, None),
])
def test_more_seeds_are_tried_where_they_are_cheap(n_rows, values, n_seeds, monkeypatch):
    seen = []

    def spy(estimator, X):
        if estimator.n_components == 2 and estimator.means_init is None:
            seen.append((estimator.covariance_type, estimator.init_params, estimator.n_init))
        return estimator.fit(X)

    monkeypatch.setattr(module, "fit_quietly", spy)
    X = np.random.default_rng(0).standard_normal((n_rows, 2))
    X[1::2] += 9
    policy = MIXTURE_TEST._replace(values_of_init=values, rows_per_mean=1)
    mixture_of(X, 2, policy=policy)
    kinds = MIXTURE_TEST.covariance_types
    expected = {(kind, "kmeans", 1) for kind in kinds}
    if n_seeds:
        expected |= {(kind, "k-means++", n_seeds) for kind in kinds}
    assert set(seen) == expected


def fewer_are_enough(X, labels, partitions, n_clusters, seed=0, policy=MIXTURE_TEST):
    return fewer_suffice(
        np.asarray(X, np.float32), labels, partitions, n_clusters, np.random.RandomState(seed),
        policy=policy,
    )


def test_fewer_clusters_suffice_where_a_blob_is_cut_in_two():
    X, y = make_blobs(200, 2, centers=2, random_state=0)
    cut = np.where((y == 0) & (X[:, 0] > np.median(X[y == 0, 0])), 2, y)
    assert fewer_are_enough(X, y, [cut], 3, policy=FEW_SEEDS)
    assert fewer_are_enough(X, 2 * y, [cut], 3, policy=FEW_SEEDS)  # whatever their names


@pytest.mark.parametrize("seed", range(2))
def test_fewer_clusters_do_not_suffice_where_two_are_merged(seed):
    X, y = make_blobs(300, 3, centers=3, cluster_std=1.5, random_state=seed)
    assert not fewer_are_enough(X, np.minimum(y, 1), [y], 3, seed, FEW_SEEDS)


@pytest.mark.parametrize(("lenience", "suffice"), [(0.5, False), (3.0, True)])
def test_the_species_of_iris_that_touch_are_not_merged(lenience, suffice):
    X, y = load_iris(return_X_y=True)
    policy = MIXTURE_TEST._replace(lenience=lenience, max_init=3)
    for seed in range(2):
        assert fewer_are_enough(X, np.minimum(y, 1), [y], 3, seed, policy) == suffice


@pytest.mark.parametrize("refused", [{"max_features": 1}, {"rows_per_mean": 100}])
def test_fewer_clusters_suffice_where_no_mixture_can_be_tried(refused):
    X, y = make_blobs(300, 2, centers=3, random_state=0)
    policy = MIXTURE_TEST._replace(**refused)
    assert fewer_are_enough(X, np.minimum(y, 1), [y], 3, policy=policy)


SHAPES = {
    "moons": lambda make: make_moons(500, noise=0.06, random_state=0),
    "spirals": lambda make: make.make_spirals(2, 250, 1.5, 0.3, random_state=0),
    "waves": lambda make: make.make_waves(random_state=0),
    "rings": lambda make: make.make_rings(random_state=0),
    "bowls": lambda make: make.make_bowls(random_state=0),
    "squares": lambda make: make.stacked(
        np.random.default_rng(0).uniform(0, 1, (400, 2)),
        np.random.default_rng(1).uniform(2, 3, (400, 2)),
    ),
    "more blobs": lambda make: make_blobs(500, 2, centers=4, cluster_std=0.4, random_state=0),
}


@pytest.mark.ours
@pytest.mark.parametrize("shape", SHAPES)
def test_what_more_components_describe_better_is_no_mixture(shape, generated):
    X, y = SHAPES[shape](generated)
    n_clusters = 2 if shape == "more blobs" else len(np.unique(y))
    assert mixture_of(X, n_clusters, [y] if shape != "more blobs" else []) is None


@pytest.mark.parametrize(("n_rows", "n_features", "is_tried"), [
    (300, 4, True), (300, 5, False), (50, 4, True), (49, 4, False),
])
def test_many_features_or_few_rows_are_no_mixture(n_rows, n_features, is_tried):
    X, _ = make_blobs(n_rows, n_features, centers=2, random_state=0)
    policy = FEW._replace(max_features=4, rows_per_mean=5)
    assert (mixture_of(X, 2, policy=policy) is not None) == is_tried


@pytest.mark.parametrize("n_rare", [10, 20])
def test_a_rare_cluster_is_found_from_a_partition_that_has_it(n_rare, generated):
    # k-means divides what is large before it separates what is small
    X, y = generated.make_rare(n_rare, 2, random_state=0)
    found = mixture_of(X, 2, [y])
    assert adjusted_rand_score(y, found.argmax(1)) == 1.0


def test_a_partition_into_fewer_clusters_is_no_beginning():
    X, y = make_blobs(300, 2, centers=2, random_state=0)
    with_it, without = (
        mixture_of(X, 2, partitions, policy=FEW_SEEDS) for partitions in ([0 * y], [])
    )
    np.testing.assert_array_equal(with_it, without)


def test_mixtures_are_fitted_to_some_rows_and_say_something_of_all():
    X, y = make_blobs(600, 2, centers=3, cluster_std=0.5, random_state=0)
    found = mixture_of(X, 3, [y], policy=FEW._replace(max_fit_rows=120))
    assert found.shape == (600, 3)
    assert adjusted_rand_score(y, found.argmax(1)) > 0.98


def test_a_seed_fixes_the_mixture(untouched_global_state):
    X, _ = make_blobs(200, 2, centers=2, cluster_std=2.0, random_state=0)
    one, again = (mixture_of(X, 2, seed=3, policy=FEW) for _ in range(2))
    np.testing.assert_array_equal(one, again)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("X", [
    np.repeat(np.eye(4)[:3], 40, 0), np.ones((60, 2)), np.random.default_rng(0).random((90, 1)),
    np.repeat(np.random.default_rng(0).random((20, 1)), 6, 0) @ np.ones((1, 4)),
    np.random.default_rng(0).standard_cauchy((120, 2)),
], ids=["three rows", "one row", "one column", "collinear", "heavy tails"])
def test_no_warning_escapes_and_filters_are_as_before(X):
    before = list(warnings.filters)
    labels = np.arange(len(X)) % 2
    found = mixture_of(X, 2, [labels], policy=FEW)
    assert found is None or np.isfinite(found).all()
    assert warnings.filters == before


@pytest.mark.parametrize("kind", MIXTURE_TEST.covariance_types)
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (2, 3), (5, 4)])
def test_the_number_of_parameters_is_that_of_scikit_learn(kind, n_components, n_features):
    X = np.random.default_rng(0).standard_normal((60, n_features))
    mixture = GaussianMixture(n_components, covariance_type=kind, random_state=0).fit(X)
    assert n_parameters(kind, n_components, n_features) == mixture._n_parameters()


@pytest.mark.ours
def test_mixtures_end_as_if_all_had_been_fitted_to_the_end(generated):
    X, _ = generated.make_overlapping(3, 2, 3, 600, random_state=0)
    rough = mixture_of(X, 3)
    exact = mixture_of(X, 3, policy=MIXTURE_TEST._replace(tol_of_rough=MIXTURE_TEST.tol))
    assert np.abs(matched(rough, exact) - exact).mean() < 0.01


def test_a_family_that_is_far_behind_after_a_rough_fit_may_be_the_right_one():
    # of one covariance, a tenth of the rows in the second cluster: 224 behind in BIC, 8 ahead later
    random = np.random.default_rng(0)
    y = (random.random(2000) < 0.1).astype(int)
    X = random.standard_normal((2000, 2))
    X[:, 0] += 3 * y
    X /= np.ptp(X, axis=0)
    share = mixture_of(X / np.sqrt(X.var(0).mean()), 2).mean(0).min()
    assert share == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("n_features", [1, 2])
def test_mixtures_that_begin_at_a_partition_have_its_shape(n_features, monkeypatch):
    seen = []

    def spy(estimator, values):
        if estimator.means_init is not None:
            seen.append(estimator)
        return estimator.fit(values)

    monkeypatch.setattr(module, "fit_quietly", spy)
    X, y = make_blobs([150, 50], n_features, random_state=0)
    X = X.astype(np.float32)
    mixture_of(X, 2, [y])
    means = np.array([X[y == cluster].mean(0) for cluster in range(2)])
    within = (X - means[y]).T @ (X - means[y]) / 200
    seen = seen[:3]  # the best are continued afterwards
    assert [mixture.covariance_type for mixture in seen] == ["full", "tied", "diag"]
    full, tied, diag = (np.asarray(mixture.precisions_init) for mixture in seen)
    expected = np.linalg.inv(within + MIXTURE_TEST.reg_covar * np.eye(n_features))
    np.testing.assert_allclose(tied, expected, rtol=1e-3)
    np.testing.assert_allclose(full, [expected, expected], rtol=1e-3)
    np.testing.assert_allclose(1 / diag, np.tile(np.diag(within), (2, 1)), rtol=1e-2)
    for mixture in seen:
        np.testing.assert_allclose(mixture.means_init, means, rtol=1e-3)
        np.testing.assert_allclose(mixture.weights_init, [0.75, 0.25])


@pytest.mark.parametrize("family", ["full", "tied", "diag"])
def test_missing_values_are_integrated_out(family):
    random = np.random.default_rng(0)
    X = random.standard_normal((300, 4)) @ random.standard_normal((4, 4))
    X[:150] += 2
    mixture = GaussianMixture(3, covariance_type=family, random_state=0).fit(X)
    Q = X[:40].astype(np.float32)
    Q[random.random(Q.shape) < 0.3] = np.nan
    Q[0], Q[1] = np.nan, X[1]
    covariances = {
        "full": mixture.covariances_, "tied": [mixture.covariances_] * 3,
        "diag": [np.diag(variances) for variances in mixture.covariances_],
    }[family]
    joint = np.array([
        [
            weight * multivariate_normal(mean[there], covariance[np.ix_(there, there)]).pdf(
                row[there]
            ) if there.any() else weight
            for weight, mean, covariance in zip(
                mixture.weights_, mixture.means_, covariances, strict=True
            )
        ]
        for row, there in zip(Q, ~np.isnan(Q), strict=True)
    ])
    found = responsibilities(mixture, Q).toarray()
    np.testing.assert_allclose(found, joint / joint.sum(1, keepdims=True), atol=1e-5)


def test_mixtures_are_compared_on_other_noise(monkeypatch):
    # of two local optima of iris that one is taken which is better on other noise
    fits = [GaussianMixture(2, random_state=0), GaussianMixture(2, random_state=0)]
    values = np.random.default_rng(0).standard_normal((200, 1)).astype(np.float32)
    fits[0].fit(values)
    fits[1].fit(values[::-1] + 0.5)
    monkeypatch.setattr(module, "_mixtures", lambda *parts: fits)
    monkeypatch.setattr(module, "_has_few_parameters", lambda *parts: False)
    for others, best in ((None, fits[0]), (values, fits[0]), (values + np.float32(0.5), fits[1])):
        found = best_mixture(values, [], 2, np.random.RandomState(0), others=others)
        assert found.mixture is best


def test_a_mixture_that_is_not_right_is_the_best_all_the_same():
    # of skewed clusters, which more normal distributions describe better
    random = np.random.default_rng(0)
    y = random.integers(2, size=600)
    X = random.exponential(np.array([[1, 9, 3], [9, 1, 3]])[y]).astype(np.float32)
    found = best_mixture(X, [], 2, np.random.RandomState(0))
    assert not found.is_right
    assert adjusted_rand_score(y, found.mixture.predict(X)) > 0.5
    untested = best_mixture(
        X, [], 2, np.random.RandomState(0), policy=MIXTURE_TEST._replace(factors=())
    )
    assert untested.is_right
    np.testing.assert_array_equal(untested.mixture.means_, found.mixture.means_)


def test_normal_scores_are_normal_and_of_the_same_order_whatever_the_scale():
    random = np.random.default_rng(0)
    X = random.exponential(size=(500, 2)).astype(np.float32)
    X[:100, 1] = 0.0
    X[::7, 0] = np.nan
    scores = normal_scores(X)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(scores), np.isnan(X))
    assert kstest(scores[~np.isnan(X[:, 0]), 0], "norm").pvalue > 0.99
    np.testing.assert_array_equal(scores, normal_scores(np.exp(X)))
    # those that are equal stay so, in the middle of their ranks
    assert np.unique(scores[:100, 1]) == pytest.approx(norm.ppf(0.1), abs=0.01)


@pytest.mark.parametrize("n_clusters", [1, 2, 4, 6])
def test_components_of_one_size_are_merged_as_by_wards_linkage(n_clusters):
    random = np.random.default_rng(0)
    centers = 30 * random.standard_normal((9, 3))
    rows = np.repeat(centers, 40, axis=0) + random.standard_normal((360, 3))
    mixture = GaussianMixture(9, covariance_type="tied", means_init=centers).fit(rows)
    component = np.repeat(np.arange(9), 40)
    means = np.array([rows[component == k].mean(0) for k in range(9)])
    within = np.cov((rows - means[component]).T, bias=True)
    whitened = np.linalg.solve(np.linalg.cholesky(within), means.T).T
    expected = fcluster(linkage(whitened, "ward"), n_clusters, "maxclust")[component]
    found = _merged_components(rows, mixture, n_clusters)
    assert set(found) == set(range(n_clusters))
    assert adjusted_rand_score(expected, found) == 1
