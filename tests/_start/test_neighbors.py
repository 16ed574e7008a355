"""Neighbors are the nearest other rows; the radius follows from them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from skgmvae._rows import Rows
from skgmvae._start.neighbors import (
    NEIGHBOR_SEARCH,
    RADIUS,
    NeighborSearch,
    Radius,
    find_neighbors,
    in_coordinates,
    nearest_in_sample,
    perturbation_radius,
)

FIVE = NEIGHBOR_SEARCH._replace(n_neighbors=5)
# principal components at sizes that are quickly tested
PROJECTED = NeighborSearch(n_neighbors=6, n_components=10)


def rows_of(X, device="cpu"):
    return Rows(torch.tensor(np.asarray(X), dtype=torch.float32, device=device))


def radius_of(X, seed=0, **policies):
    rows = rows_of(X)
    return perturbation_radius(rows, find_neighbors(rows, seed), **policies)


def distances(X):
    between = cdist(X, X)
    np.fill_diagonal(between, np.inf)
    return between


def exact_nearest(X, n_neighbors):
    return np.argsort(distances(X), 1)[:, :n_neighbors]


def share_of_same(nearest, y):
    return float((y[nearest] == y[:, None]).mean())


@pytest.mark.parametrize(("n_rows", "n_features"), [(2, 2), (5, 30), (11, 2), (60, 30)])
def test_the_radius_is_a_share_of_the_distance_to_a_neighbor(n_rows, n_features, device):
    X = np.random.default_rng(n_rows).standard_normal((n_rows, n_features))
    rows = rows_of(X, device)
    found = perturbation_radius(
        rows, find_neighbors(rows, 0), radius=Radius(factor=0.3, neighbor=4)
    )
    expected = 0.3 * np.sort(distances(X), 1)[:, min(4, n_rows - 1) - 1]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_radius_is_the_same_among_more_neighbors():
    rows = rows_of(np.random.default_rng(0).standard_normal((150, 3)))
    one, other = (
        perturbation_radius(rows, find_neighbors(rows, 0, up_to_affine=affine))
        for affine in (False, True)
    )
    np.testing.assert_array_equal(one, other)


def test_neighbors_are_the_nearest_rows_and_never_the_row_itself(device):
    X = np.random.default_rng(0).standard_normal((40, 3))
    found = find_neighbors(rows_of(X, device), 0, search=FIVE)
    np.testing.assert_array_equal(found.inverse, np.arange(40))
    np.testing.assert_array_equal(found.references, np.arange(40))
    np.testing.assert_array_equal(found.nearest, exact_nearest(X, 5))
    np.testing.assert_array_equal(found.compared, X.astype(np.float32))


@given(st.integers(0, 1000), st.integers(2, 25), st.integers(1, 3), st.integers(1, 4))
def test_neighbors_of_a_table_with_copies_by_an_oracle(seed, n_rows, n_features, n_neighbors):
    X = np.random.default_rng(seed).integers(0, 3, (n_rows, n_features)).astype(float)
    search = NEIGHBOR_SEARCH._replace(n_neighbors=n_neighbors)
    found = find_neighbors(rows_of(X), seed, search=search)
    distinct = X[found.first]
    np.testing.assert_array_equal(distinct[found.inverse], X)
    assert len(np.unique(X, axis=0)) == len(distinct)
    np.testing.assert_array_equal(found.counts, [(row == X).all(1).sum() for row in distinct])
    assert all(np.flatnonzero((X[row] == X).all(1))[0] == row for row in found.first)
    n_found = min(n_neighbors, len(distinct) - 1)
    assert found.nearest.shape == (len(distinct), n_found)
    between = distances(distinct)
    for row, nearest in enumerate(found.nearest):
        assert row not in nearest
        assert len(set(nearest)) == n_found
        # which of equally near rows are taken is not said
        np.testing.assert_allclose(
            between[row, nearest], np.sort(between[row])[:n_found], rtol=1e-6
        )
        np.testing.assert_allclose(found.distances[row], between[row, nearest], rtol=1e-6)


@given(st.integers(0, 1000), st.floats(0.01, 100), st.integers(1, 12))
def test_the_radius_scales_with_the_rows_and_follows_their_order(seed, scale, neighbor):
    random = np.random.default_rng(seed)
    X = random.standard_normal((15, 2))
    radius = Radius(factor=0.2, neighbor=neighbor)
    found = radius_of(X, radius=radius)
    np.testing.assert_allclose(radius_of(scale * X, radius=radius), scale * found, rtol=1e-3)
    order = random.permutation(15)
    np.testing.assert_allclose(radius_of(X[order], radius=radius), found[order], rtol=1e-5)


def test_identical_rows_are_taken_together_and_have_others_for_neighbors():
    X = np.random.default_rng(0).standard_normal((30, 2))
    copies = np.append(np.arange(30), np.repeat(7, 20))
    found = find_neighbors(rows_of(X[copies]), 0)
    np.testing.assert_array_equal(found.inverse, copies)
    np.testing.assert_array_equal(found.nearest, find_neighbors(rows_of(X), 0).nearest)
    np.testing.assert_array_equal(radius_of(X[copies]), radius_of(X)[copies])


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 5), st.integers(1, 3))
def test_distinct_rows_are_numbered_as_they_first_occur(seed, n_rows, n_features, n_values):
    X = np.random.default_rng(seed).integers(-n_values, n_values, (n_rows, n_features)) / 3
    found = find_neighbors(rows_of(X), 0)
    _, first, inverse = np.unique(X, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(found.first, np.sort(first))
    np.testing.assert_array_equal(X[found.first[found.inverse]], X)
    assert len(np.unique(inverse)) == len(found.counts)


def test_rows_that_differ_in_the_last_bit_of_one_value_are_distinct():
    X = np.random.default_rng(0).standard_normal((200, 7)).astype(np.float32)
    other = np.nextafter(X, np.float32(np.inf), where=np.arange(7) == 3, out=X.copy())
    assert len(find_neighbors(rows_of(np.vstack([X, other, X])), 0).first) == 400


def test_zero_has_no_sign():
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(find_neighbors(rows_of(X), 0).inverse, [0, 0, 1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_features", [1, 2, 200])
def test_rows_that_are_all_identical_have_no_neighbors_and_no_radius(n_features):
    X = np.ones((20, n_features))
    assert find_neighbors(rows_of(X), 0).nearest.shape == (1, 0)
    np.testing.assert_array_equal(radius_of(X), np.zeros(20))


def test_in_other_coordinates_distances_are_between_these():
    random = np.random.default_rng(0)
    X = random.standard_normal((60, 3))[random.integers(0, 60, 90)]
    found = find_neighbors(rows_of(X), 0, search=FIVE._replace(max_references=25))
    coordinates = random.standard_normal((len(found.first), 2)).astype(np.float32)
    other = in_coordinates(found, coordinates)
    np.testing.assert_array_equal(other.inverse, found.inverse)
    np.testing.assert_array_equal(other.references, found.references)
    assert other.compared is coordinates
    between = distances(coordinates)[:, found.references]
    np.testing.assert_array_equal(other.nearest, np.argsort(between, 1)[:, :5])
    of_references = np.sort(between[found.references], 1)[:, :5]
    np.testing.assert_allclose(other.distances, of_references, rtol=1e-5)


def test_rows_at_one_place_have_each_other_for_neighbors_and_none_itself():
    found = find_neighbors(rows_of(np.arange(40)[:, None]), 0, search=FIVE)
    nearest, between = in_coordinates(found, np.ones((40, 2), np.float32))[2:4]
    assert not (nearest == np.arange(40)[:, None]).any()
    assert all(len(set(row)) == 5 for row in nearest)
    np.testing.assert_array_equal(between, np.zeros((40, 5)))


@pytest.mark.filterwarnings("error")
def test_rows_that_are_nearly_identical_do_not_warn():
    X = np.ones((30, 40))
    X[:, 0] = 1e-30 * np.arange(30)
    found = find_neighbors(rows_of(X), 0, search=PROJECTED)
    assert found.nearest.shape == (30, PROJECTED.n_neighbors)


def test_distances_are_those_of_the_principal_components():
    random = np.random.default_rng(0)
    X = np.repeat(random.standard_normal((4, 300)), 20, 0) + 4 * random.standard_normal((80, 300))
    found = find_neighbors(rows_of(X), 0, search=PROJECTED)
    assert found.compared.shape == (80, PROJECTED.n_components)
    between = np.sort(distances(found.compared.astype(float)), 1)[:, : PROJECTED.n_neighbors]
    np.testing.assert_allclose(found.distances, between, rtol=1e-3)


def test_the_radius_of_images_is_that_of_all_their_values(device):
    images = torch.rand(30, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    rows = Rows(images.to(device))
    found = perturbation_radius(rows, find_neighbors(rows, 0))
    np.testing.assert_allclose(found, radius_of(images.flatten(1)), rtol=1e-5)


def test_from_a_subset_the_radius_is_that_of_all_rows_on_the_average():
    X = np.random.default_rng(0).standard_normal((400, 2))
    half = NEIGHBOR_SEARCH._replace(max_references=200)

    def sampled(seed):
        return perturbation_radius(rows_of(X), find_neighbors(rows_of(X), seed, search=half))

    exact = radius_of(X)
    assert sampled(0).shape == (400,)
    assert np.median(sampled(0) / exact) == pytest.approx(1, abs=0.15)
    assert np.corrcoef(sampled(0), exact)[0, 1] > 0.8
    assert not np.array_equal(sampled(0), sampled(1))
    np.testing.assert_array_equal(sampled(0), sampled(0))


def test_neighbors_are_sought_among_the_references_alone():
    X = np.random.default_rng(0).standard_normal((60, 2))
    search = FIVE._replace(max_references=20)
    found = find_neighbors(rows_of(X), 0, search=search)
    references, nearest = found.references, found.nearest
    np.testing.assert_array_equal(references, np.unique(references))
    assert len(references) == 20
    between = distances(X)[:, references]
    np.testing.assert_array_equal(nearest, np.argsort(between, 1)[:, :5])
    of_references = np.sort(between[references], 1)[:, :5]
    np.testing.assert_allclose(found.distances, of_references, rtol=1e-5)


@pytest.mark.parametrize("n_references", [1, 2, 8])
def test_fewer_references_than_components_are_enough(n_references):
    # there were as many components wanted as rows to find them on, and an error of PCA
    X = np.random.default_rng(0).standard_normal((60, 40))
    search = PROJECTED._replace(max_references=n_references)
    rows = rows_of(X)
    found = find_neighbors(rows, 0, search=search)
    n_neighbors = min(n_references - 1, search.n_neighbors)
    assert found.nearest.shape == (60, n_neighbors)
    assert (perturbation_radius(rows, found) > 0).all() == (n_neighbors > 0)


def test_more_neighbors_are_found_for_tangent_distances_of_which_the_first_are_the_same():
    rows = rows_of(np.random.default_rng(0).standard_normal((60, 40)))
    search = PROJECTED._replace(n_candidates=20)
    few, many = (find_neighbors(rows, 0, up_to_affine=a, search=search) for a in (False, True))
    assert many.nearest.shape == (60, 20)
    np.testing.assert_array_equal(many.nearest[:, :search.n_neighbors], few.nearest)


def test_many_features_are_compared_by_their_principal_components_where_these_leave_noise_out():
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 50)
    centers = random.standard_normal((4, 300))
    X = (centers[y] + 4 * random.standard_normal((200, 300))).astype(np.float32)
    nearest = find_neighbors(rows_of(X), 0, search=PROJECTED).nearest
    projected = PCA(PROJECTED.n_components, svd_solver="covariance_eigh").fit_transform(X)
    assert (nearest == exact_nearest(projected, PROJECTED.n_neighbors)).mean() > 0.99
    as_they_are = exact_nearest(X, PROJECTED.n_neighbors)
    assert share_of_same(nearest, y) > share_of_same(as_they_are, y) + 0.1


def test_many_features_are_compared_as_they_are_where_components_leave_out_what_matters():
    # 40 topics of ten words each that no other uses: more than the components can distinguish
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(40), 8)
    X = np.zeros((len(y), 400))
    for row, topic in enumerate(y):
        X[row, 10 * topic + random.permutation(10)[:6]] = random.uniform(0.99, 1.01, 6)
    nearest = find_neighbors(rows_of(X), 0, search=PROJECTED).nearest
    assert share_of_same(nearest, y) == 1.0
    projected = PCA(PROJECTED.n_components, svd_solver="covariance_eigh").fit_transform(X)
    assert share_of_same(exact_nearest(projected, PROJECTED.n_neighbors), y) < 0.95


def test_the_trial_of_the_components_is_made_on_some_rows(monkeypatch):
    from skgmvae._start import neighbors as module

    sizes = []
    share = module._mutual_share
    monkeypatch.setattr(
        module, "_mutual_share", lambda nearest: sizes.append(len(nearest)) or share(nearest)
    )
    X = np.random.default_rng(0).standard_normal((60, 40))
    find_neighbors(rows_of(X), 0, search=PROJECTED._replace(n_trial_rows=17))
    assert sizes == [17, 17]


def test_the_default_radius_is_within_the_nearest_neighbors():
    assert 1 <= RADIUS.neighbor <= NEIGHBOR_SEARCH.n_neighbors <= NEIGHBOR_SEARCH.n_candidates


@pytest.mark.parametrize("n_features", [2, 9])
def test_the_nearest_in_a_sample_are_those_of_all_rows_at_once(n_features):
    X = np.random.default_rng(0).standard_normal((5000, n_features))
    rows, sample = rows_of(X), rows_of(X[::50])
    found = nearest_in_sample(rows, sample)
    expected = NearestNeighbors(n_neighbors=10).fit(X[::50]).kneighbors(X)[1]
    assert (found == expected).mean() > 0.999
