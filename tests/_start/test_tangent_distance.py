"""Tangent distance: what small affine changes of an image cannot explain."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skgmvae._rows import Rows
from skgmvae._start.neighbors import NEIGHBOR_SEARCH, find_neighbors
from skgmvae._start.selection import initial_partition
from skgmvae._start.tangent_distance import (
    TANGENT_DISTANCE,
    nearest_up_to_affine,
    tangent_distances,
    tangents,
)
from skgmvae.perturbations import AffineRanges, affine

NONE = AffineRanges(rotation=0.0, scale=0.0, shear=0.0, shift=0.0)


def spots(n_images, side=12, n_channels=1, seed=0, spread=1.8):
    """Smooth images: each a few Gaussian spots, double precision."""
    random = np.random.default_rng(seed)
    grid = np.mgrid[:side, :side][:, None, None, None]
    centers = random.uniform(0.25 * side, 0.75 * side, (2, n_images, n_channels, 3, 1, 1))
    squares = ((grid - centers) ** 2).sum(0)
    return torch.from_numpy(np.exp(-squares / (2 * spread**2)).sum(2))


def spanned(vectors, by):
    """Share of the square of `vectors` (F, n) that lies in the span of `by` (F, m)."""
    basis, _ = torch.linalg.qr(by)
    return float((basis.T @ vectors).square().sum() / vectors.square().sum())


def changed(image, n_changes, ranges):
    """Return how an image differs from copies that are moved at random, (F, n_changes)."""
    images = image.expand(n_changes, -1, -1, -1)
    moved = affine(images, torch.Generator().manual_seed(0), ranges)
    return (moved - images).flatten(1).T


@pytest.mark.parametrize("varied", AffineRanges._fields)
def test_the_tangents_span_what_small_affine_changes_do(varied):
    (image,) = spots(1, side=40, spread=5.0)
    changes = changed(image, 40, NONE._replace(**{varied: 0.02}))
    assert spanned(changes, tangents(image[None])[0].T) > 0.97


def test_each_tangent_is_needed():
    (image,) = spots(1, side=40, spread=5.0)
    changes = changed(image, 40, AffineRanges(rotation=0.02, scale=0.02, shear=0.02, shift=0.005))
    plane = tangents(image[None])[0]
    left = 1 - spanned(changes, plane.T)
    for left_out in range(6):
        kept = [tangent for tangent in range(6) if tangent != left_out]
        assert 1 - spanned(changes, plane[kept].T) > 1.5 * left


@pytest.mark.parametrize("n_channels", [1, 3])
def test_the_distance_is_the_least_that_a_change_leaves_by_an_oracle(n_channels):
    images, others = spots(4, n_channels=n_channels), spots(20, n_channels=n_channels, seed=1)
    found = tangent_distances(images, others.view(4, 5, n_channels, 12, 12))
    plane = tangents(images)
    for image in range(4):
        difference = (others.view(4, 5, -1)[image] - images[image].flatten()).T  # (F, 5)
        euclidean = difference.square().sum(0)
        solved = torch.linalg.lstsq(plane[image].T, difference).solution
        least = (difference - plane[image].T @ solved).square().sum(0)
        assert (found[image] >= least - 1e-9).all()
        assert (found[image] <= euclidean + 1e-9).all()
        # the ridge costs little
        np.testing.assert_allclose(found[image], least, atol=0.04 * float(euclidean.max()))


def test_a_moved_image_is_nearer_than_another_one_only_up_to_changes():
    images = spots(30, side=20)
    moved = torch.roll(images, (1, -1), (2, 3))
    pairs = torch.stack([moved, images.roll(1, 0)], 1)
    near = tangent_distances(images, pairs)
    assert (near[:, 0] < near[:, 1]).all()
    assert (near[:, 0] < 0.5 * (moved - images).flatten(1).square().sum(1)).all()


@pytest.mark.parametrize("ridge", [1e-3, 0.1, 10.0])
def test_the_ridge_penalizes_large_changes_by_an_oracle(ridge):
    images, others = spots(1), spots(5, seed=1)
    policy = TANGENT_DISTANCE._replace(ridge=ridge)
    (found,) = tangent_distances(images, others[None], policy=policy)
    plane = tangents(images)[0]  # (6, F)
    weight = ridge * plane.square().sum(1).mean()
    difference = others.flatten(1) - images.flatten(1)  # (5, F)
    # ridge regression is least squares with six rows more
    stacked = torch.cat([plane.T, weight.sqrt() * torch.eye(6, dtype=plane.dtype)])
    target = torch.cat([difference.T, torch.zeros(6, 5, dtype=plane.dtype)])
    solved = torch.linalg.lstsq(stacked, target).solution
    expected = (target - stacked @ solved).square().sum(0)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("shape", [(6, 6), (1, 7), (1, 1)])
def test_a_constant_image_has_its_euclidean_distance(shape):
    constant = torch.full((1, 1, *shape), 0.3)
    others = torch.rand(1, 4, 1, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        tangent_distances(constant, others), (others - 0.3).flatten(2).square().sum(-1)
    )


def rows_of(X, device="cpu"):
    """Rows of images of 8 x 8 pixels."""
    return Rows(torch.tensor(X, dtype=torch.float32, device=device).view(-1, 1, 8, 8))


@pytest.fixture(scope="module")
def digits():
    return load_digits().data / 16


def candidates_of(rows, **search):
    search = NEIGHBOR_SEARCH._replace(**search)
    return find_neighbors(rows, 0, up_to_affine=True, search=search)


def test_the_nearest_are_taken_from_the_candidates(digits, device):
    X = digits[:300].copy()
    X[50:100] = X[:50]  # identical rows are taken together
    rows = rows_of(X, device)
    candidates = candidates_of(rows, max_references=200, n_candidates=40)
    search = NEIGHBOR_SEARCH._replace(n_neighbors=7)
    found = nearest_up_to_affine(rows, candidates, search=search)
    assert candidates.nearest.shape == (250, 40)
    assert found.nearest.shape == (250, 7)
    np.testing.assert_array_equal(found.inverse, candidates.inverse)
    np.testing.assert_array_equal(found.references, candidates.references)
    images = torch.tensor(X, dtype=torch.float32).view(-1, 1, 8, 8)
    first, references = candidates.first, candidates.references
    assert found.distances.shape == (200, 7)
    for row in (0, 49, 50, 249):
        among = candidates.nearest[row]
        others = images[first[references[among]]]
        (distances,) = tangent_distances(images[first[row]][None], others[None])
        distance = dict(zip(among, distances.tolist(), strict=True))
        nearest = [distance[neighbor] for neighbor in found.nearest[row]]
        # to rounding, which depends on how many images are compared at a time
        np.testing.assert_allclose(nearest, sorted(distance.values())[:7], rtol=1e-4)
        for of_reference in found.distances[references == row]:
            np.testing.assert_allclose(of_reference**2, nearest, rtol=1e-3)


@pytest.mark.parametrize("max_values", [1, 10_000])
def test_images_are_compared_a_few_at_a_time(max_values, digits, monkeypatch):
    rows = rows_of(digits[:60])
    candidates = candidates_of(rows)
    at_once = nearest_up_to_affine(rows, candidates)
    seen = []

    def spy(images, others, **policy):
        seen.append(others.numel())
        return tangent_distances(images, others, **policy)

    monkeypatch.setattr("skgmvae._start.tangent_distance.tangent_distances", spy)
    policy = TANGENT_DISTANCE._replace(max_values=max_values)
    found = nearest_up_to_affine(rows, candidates, policy=policy)
    assert max(seen) <= max(max_values, 59 * 64)  # an image is the least
    assert sum(seen) == 60 * 59 * 64
    assert (found.nearest == at_once.nearest).mean() > 0.99


def test_neighbors_up_to_changes_are_more_often_of_one_digit(digits):
    y = load_digits().target
    rows = rows_of(digits)
    nearest = nearest_up_to_affine(rows, candidates_of(rows)).nearest
    as_they_are = find_neighbors(rows, 0).nearest
    same = [(y[found] == y[:, None]).mean() for found in (as_they_are, nearest)]
    assert same[1] > same[0] + 0.001


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_images_that_are_all_alike_have_no_neighbors_and_one_cluster(value):
    rows = rows_of(np.full((12, 64), value))
    found = nearest_up_to_affine(rows, candidates_of(rows))
    assert found.nearest.size == 0
    expected = np.eye(1, 3).repeat(12, 0)
    partition = initial_partition(rows, found, 3, 0)
    np.testing.assert_array_equal(partition.probabilities.toarray(), expected)
    assert not partition.is_mixture


def test_fewer_images_than_candidates_are_enough(digits):
    rows = rows_of(digits[:6])
    nearest = nearest_up_to_affine(rows, candidates_of(rows)).nearest
    assert nearest.shape == (6, 5)
    assert all(sorted([*others, row]) == list(range(6)) for row, others in enumerate(nearest))
