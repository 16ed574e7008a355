"""What the generated tables of the benchmarks and of these tests promise."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import skew

KINDS = (
    "flags", "codes", "categories", "rare", "overlap", "thin", "noise", "uneven", "coarse",
    "ellipses", "nonnormal", "skewed", "grids",
)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_clusters_fit_together_and_follow_the_seed(generated, kind):
    for make in generated.TABLES[kind].values():
        X, y = make(random_state=1)
        assert X.shape[0] == len(y)
        assert np.all(np.isfinite(X))
        assert np.array_equal(np.unique(y[y >= 0]), np.arange(y.max() + 1))
        assert (y.min() == -1) == (kind == "noise")
        again, other = make(random_state=1), make(random_state=2)
        assert np.array_equal(X, again[0])
        assert np.array_equal(y, again[1])
        assert X.shape != other[0].shape or not np.array_equal(X, other[0])


def test_there_are_no_other_kinds(generated):
    assert set(generated.TABLES) == set(KINDS)


def test_a_code_says_nothing_and_is_far_from_the_other_values(generated):
    X, y = generated.make_codes(0, 0.2, 4, n_samples=4000, random_state=0)
    is_code = X[:, 3] == 0
    assert is_code.mean() == pytest.approx(0.2, abs=0.03)
    assert [is_code[y == label].mean() for label in range(3)] == pytest.approx([0.2] * 3, abs=0.04)
    assert X[~is_code].min() > 1


@pytest.mark.parametrize("noise", ["log", "root", "power", "month", "lookup", "place"])
def test_columns_on_an_uneven_grid_say_nothing(generated, noise):
    X, y = generated.make_grids(noise, n_samples=4000, random_state=0)
    for column in X[:, 3:].T:
        values = np.unique(column.round(9))
        assert 2 < len(values) < 20
        assert np.ptp(np.diff(values)) > 0.1
        means = [column[y == label].mean() for label in range(3)]
        assert np.ptp(means) < 0.1 * np.ptp(column)


@pytest.mark.parametrize("noise", ["flag", "rare_flag", "category", "category+flag", "flag+flag"])
def test_columns_of_noise_have_few_values_and_say_nothing(generated, noise):
    X, y = generated.make_flags(3, 2, 6, noise, n_samples=4000, random_state=0)
    columns = X[:, 3:]
    assert set(np.unique(columns)) == {0.0, 1.0}
    assert np.abs(columns[y == 0].mean(axis=0) - columns[y == 1].mean(axis=0)).max() < 0.05
    centers = [X[y == label, :3].mean(axis=0) for label in (0, 1)]
    assert pdist(centers)[0] == pytest.approx(6, abs=0.2)


def test_categories_are_typical_of_their_class_and_independent_within(generated):
    X, y = generated.make_categories((2, 3), 6, 2, 0.7, n_samples=8000, random_state=0)
    assert X.shape[1] == 3 * 1 + 3 * 3
    assert set(np.unique(X)) == {0.0, 1.0}
    for first in (1, 5, 9):  # of the one-hot columns, between flags
        category = X[:, first:first + 3]
        np.testing.assert_array_equal(category.sum(axis=1), 1)
        for label in (0, 1):
            share = category[y == label].mean(axis=0).max()
            assert share == pytest.approx(0.7 + 0.3 / 3, abs=0.03)
    within = np.corrcoef(X[y == 0][:, [0, 4, 8]].T)
    assert np.abs(within[np.triu_indices(3, 1)]).max() < 0.06


@pytest.mark.parametrize("n_clusters", [2, 3, 4, 5])
def test_neighbors_overlap_by_what_is_asked(generated, n_clusters):
    for n_columns in (1, 2, 5):
        centers = generated.overlapping_centers(n_clusters, n_columns, 3.0)
        assert pdist(centers).min() == pytest.approx(3.0)


def test_the_posterior_of_overlapping_clusters_is_calibrated(generated):
    X, y = generated.make_overlapping(3, 2, 2.0, n_samples=20_000, random_state=0)
    posterior = generated.overlapping_posterior(X, 3, 2.0)
    assert np.allclose(posterior.sum(axis=1), 1)
    largest = posterior.max(axis=1)
    correct = posterior.argmax(axis=1) == y
    for low in (0.4, 0.6, 0.8):
        rows = (largest >= low) & (largest < low + 0.2)
        assert correct[rows].mean() == pytest.approx(largest[rows].mean(), abs=0.02)


def test_rare_rows_are_far_in_every_column(generated):
    X, y = generated.make_rare(5, 10, random_state=0)
    assert np.sum(y == 1) == 5
    assert X[y == 1].min() > X[y == 0].max()


def test_columns_of_other_distributions_are_what_their_names_say(generated):
    tables = {
        name: make(random_state=0)[0] for name, make in generated.TABLES["nonnormal"].items()
    }
    assert np.array_equal(np.unique(tables["ratings"]), np.arange(1.0, 6))
    np.testing.assert_allclose(tables["proportions"].sum(axis=1), 1)
    counts = tables["dropouts"]
    assert np.array_equal(counts, counts.round())
    assert np.all((counts == 0).mean(axis=0) > 0.25)
    assert np.all(skew(tables["amounts"]) > 1.5)
    assert np.all(skew(tables["purchases"]) > 1.5)
    assert np.median([skew(X).mean() for X in (
        make(random_state=0)[0] for make in generated.TABLES["skewed"].values()
    )]) > 1.5
