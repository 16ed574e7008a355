"""Nearest points are those of scikit-learn, in whatever blocks and groups they are sought."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from skgmvae._start import nearest as module
from skgmvae._start.nearest import BRUTE_FORCE, CELLS, nearby_points, nearest_points

ALL_BY_FORCE = BRUTE_FORCE._replace(max_tree_features=0)


def by_scikit_learn(queries, points, n_nearest):
    search = NearestNeighbors(n_neighbors=n_nearest, algorithm="brute").fit(points.astype(float))
    distances, indices = search.kneighbors(queries.astype(float))
    return indices, distances


def check(queries, points, n_nearest, device="cpu", **policies):
    """Compare with scikit-learn; which of equally near points are found is not said."""
    queries, points = (np.asarray(rows, np.float32) for rows in (queries, points))
    on_device = (torch.from_numpy(rows).to(device) for rows in (queries, points))
    indices, distances = nearest_points(*on_device, n_nearest, **policies)
    assert indices.dtype == np.int32
    assert distances.dtype == np.float32
    assert all(len(set(row)) == n_nearest for row in indices)
    differences = points[indices].astype(float) - queries[:, None]
    np.testing.assert_allclose(distances, np.linalg.norm(differences, axis=2), rtol=1e-5)
    _, expected = by_scikit_learn(queries, points, n_nearest)
    scale = np.abs(points).max() + np.abs(queries).max()
    # of scikit-learn's too the square has an error of rounding
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-6 * scale)


@given(
    st.integers(0, 1000), st.integers(1, 70), st.integers(1, 12), st.integers(1, 8),
    st.integers(2, 4), st.integers(4, 30),
)
def test_points_are_found_in_any_blocks_and_groups(
    seed, n_points, n_nearest, n_features, group, block
):
    random = np.random.default_rng(seed)
    points = random.standard_normal((n_points, n_features))
    queries = random.standard_normal((9, n_features))
    policy = ALL_BY_FORCE._replace(group=group, n_points=block, n_queries=4, n_spare=seed % 3)
    check(queries, points, min(n_nearest, n_points), policy=policy)


@pytest.mark.parametrize("n_features", [2, 8, 40])
def test_the_default_finds_the_nearest_of_many_points(n_features, device):
    X = np.random.default_rng(0).standard_normal((9000, n_features))
    check(X[:300], X, 11, device)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_near_duplicates_have_right_neighbors_far_from_the_mean(offset, device):
    # of the square of the distance rounding would leave nothing
    random = np.random.default_rng(0)
    places = offset + 100 * random.standard_normal((40, 8))
    X = (np.repeat(places, 50, axis=0) + 1e-2 * random.standard_normal((2000, 8)))
    check(X, X, 6, device, policy=ALL_BY_FORCE)


def test_only_what_rounding_may_hide_is_sought_again(monkeypatch):
    seen = []
    real = module._nearest_of

    def spy(queries, *args):
        seen.append((queries.dtype, len(queries)))
        return real(queries, *args)

    monkeypatch.setattr(module, "_nearest_of", spy)
    random = np.random.default_rng(0)
    X = random.standard_normal((3000, 8))
    X[:100] = 5 + 1e-4 * random.standard_normal((100, 8))
    check(X, X, 6, policy=ALL_BY_FORCE._replace(n_queries=3000))
    assert seen[0] == (torch.float32, 3000)
    assert seen[1:] == [(torch.float64, seen[1][1])]
    assert 100 <= seen[1][1] < 300


def test_points_at_one_place_are_all_found():
    check(np.ones((5, 8)), np.ones((30, 8)), 12)


@pytest.mark.parametrize(("n_features", "is_tree"), [(5, True), (6, False)])
def test_few_features_are_sought_in_a_tree(n_features, is_tree, monkeypatch):
    monkeypatch.setattr(module, "_nearest_of" if is_tree else "_by_tree", None)
    X = np.random.default_rng(0).standard_normal((50, n_features))
    check(X, X, 3)


SIXTEEN_CELLS = CELLS._replace(n_cells=16, share=1 / 4)


def nearby(queries, points, n_nearest, device="cpu", cells=SIXTEEN_CELLS):
    queries, points = (
        torch.tensor(rows, dtype=torch.float32, device=device) for rows in (queries, points)
    )
    found = nearby_points(queries, points, n_nearest, policy=ALL_BY_FORCE, cells=cells)
    assert found.dtype == np.int32
    assert found.shape == (len(queries), n_nearest)
    assert all(len(set(row)) == n_nearest for row in found)
    return found


def share_found(found, exact):
    return (found[:, :, None] == exact[:, None]).any(1).mean()


@pytest.mark.parametrize("is_sorted", [False, True])
def test_nearly_all_of_the_nearest_points_are_in_the_cells_around(is_sorted, device):
    random = np.random.default_rng(0)
    points = random.standard_normal((4000, 6)) + 3 * random.integers(0, 3, (4000, 1))
    points = points[points[:, 0].argsort()] if is_sorted else points
    queries = points[::7] + 0.1 * random.standard_normal(points[::7].shape)
    exact, distances = by_scikit_learn(queries, points, 10)
    found = nearby(queries, points, 10, device)
    assert share_found(found, exact) > 0.9
    farthest = np.linalg.norm(points[found[:, -1]] - queries, axis=1)
    assert np.mean(farthest / distances[:, -1]) < 1.02


def test_only_a_share_of_many_points_is_compared(monkeypatch):
    sizes, real = [], module.nearest_points
    monkeypatch.setattr(
        module, "nearest_points",
        lambda queries, points, *args, **keywords: sizes.append((len(queries), len(points)))
        or real(queries, points, *args, **keywords),
    )
    points = np.random.default_rng(0).standard_normal((4000, 8))
    nearby(points[:900], points, 3)
    n_queries, n_points = np.transpose(sizes)
    assert n_queries.sum() == 900
    assert n_points.min() >= SIXTEEN_CELLS.share * 4000
    assert n_points.mean() < 2.5 * SIXTEEN_CELLS.share * 4000


def test_fewer_points_than_the_square_of_the_cells_are_all_compared():
    points = np.random.default_rng(0).standard_normal((255, 8))
    found = nearby(points[:50], points, 4)
    np.testing.assert_array_equal(found, by_scikit_learn(points[:50], points, 4)[0])


def test_more_may_be_asked_for_than_a_cell_has():
    points = np.random.default_rng(0).standard_normal((300, 8))
    assert share_found(
        nearby(points[:40], points, 200), by_scikit_learn(points[:40], points, 200)[0]
    ) > 0.7


@pytest.mark.parametrize("far", [False, True])
def test_cells_may_be_empty(far):
    # places that are fewer than cells, and a query that is far from all
    places = np.repeat(np.random.default_rng(0).standard_normal((5, 8)), 80, axis=0)
    query = places[200:201] + (1e4 if far else 0)
    found = nearby(query, places, 3)
    nearest = np.linalg.norm(places - query, axis=1).min()
    np.testing.assert_allclose(np.linalg.norm(places[found[0]] - query, axis=1), nearest, rtol=1e-3)
