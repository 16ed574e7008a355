"""Tangent distance: what small affine changes of an image cannot explain."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skgmvae.consistency import affine
from skgmvae.data import DataSpace, Rows
from skgmvae.neighbours import find_neighbours
from skgmvae.tangents import N_CANDIDATES, nearest_up_to_affine, tangent_distances, tangents


def blobs(n_images, side=12, n_channels=1, seed=0, spot=1.8):
    """Smooth images: each a few Gaussian spots, double precision."""
    random = np.random.default_rng(seed)
    grid = np.mgrid[:side, :side][:, None, None, None]
    centres = random.uniform(0.25 * side, 0.75 * side, (2, n_images, n_channels, 3, 1, 1))
    squares = ((grid - centres) ** 2).sum(0)
    return torch.from_numpy(np.exp(-squares / (2 * spot**2)).sum(2))


def spanned(vectors, by):
    """Share of the square of `vectors` (F, n) that lies in the span of `by` (F, m)."""
    basis, _ = torch.linalg.qr(by)
    return float((basis.T @ vectors).square().sum() / vectors.square().sum())


RANGES = ("MAX_ROTATION", "MAX_SCALE", "MAX_SHEAR", "MAX_SHIFT")


@pytest.mark.parametrize("varied", RANGES)
def test_the_tangents_span_what_small_affine_changes_do(varied, monkeypatch):
    for name in RANGES:
        monkeypatch.setattr(f"skgmvae.consistency.{name}", 0.02 if name == varied else 0.0)
    (image,) = blobs(1, side=40, spot=5.0)
    images = image.expand(40, -1, -1, -1)
    changes = (affine(images, torch.Generator().manual_seed(0)) - images).flatten(1).T
    assert spanned(changes, tangents(image[None])[0].T) > 0.97


def test_each_tangent_is_needed(monkeypatch):
    for name in RANGES:
        monkeypatch.setattr(f"skgmvae.consistency.{name}", 0.02 if name != "MAX_SHIFT" else 0.005)
    (image,) = blobs(1, side=40, spot=5.0)
    images = image.expand(40, -1, -1, -1)
    changes = (affine(images, torch.Generator().manual_seed(0)) - images).flatten(1).T
    plane = tangents(image[None])[0]
    whole = 1 - spanned(changes, plane.T)
    for left_out in range(6):
        kept = [tangent for tangent in range(6) if tangent != left_out]
        assert 1 - spanned(changes, plane[kept].T) > 1.5 * whole


@pytest.mark.parametrize("n_channels", [1, 3])
def test_the_distance_is_the_least_that_a_change_leaves_by_an_oracle(n_channels):
    images, others = blobs(4, n_channels=n_channels), blobs(20, n_channels=n_channels, seed=1)
    found = tangent_distances(images, others.view(4, 5, n_channels, 12, 12))
    plane = tangents(images)
    for image in range(4):
        difference = (others.view(4, 5, -1)[image] - images[image].flatten()).T  # (F, 5)
        plain = difference.square().sum(0)
        solved = torch.linalg.lstsq(plane[image].T, difference).solution
        least = (difference - plane[image].T @ solved).square().sum(0)
        assert (found[image] >= least - 1e-9).all()
        assert (found[image] <= plain + 1e-9).all()
        # the ridge costs little
        np.testing.assert_allclose(found[image], least, atol=0.04 * float(plain.max()))


def test_a_moved_image_is_nearer_than_another_one_only_up_to_changes():
    images = blobs(30, side=20)
    moved = torch.roll(images, (1, -1), (2, 3))
    pairs = torch.stack([moved, images.roll(1, 0)], 1)
    near = tangent_distances(images, pairs)
    assert (near[:, 0] < near[:, 1]).all()
    assert (near[:, 0] < 0.5 * (moved - images).flatten(1).square().sum(1)).all()


@pytest.mark.parametrize("shape", [(6, 6), (1, 7), (1, 1)])
def test_a_plain_image_has_its_plain_distance(shape):
    plain, others = torch.full((1, 1, *shape), 0.3), torch.rand(1, 4, 1, *shape)
    torch.testing.assert_close(
        tangent_distances(plain, others), (others - 0.3).flatten(2).square().sum(-1)
    )


def images_and_rows(X):
    space = DataSpace.fit(X, "bernoulli", (8, 8))
    return Rows(X, space, torch.device("cpu"))


def test_the_nearest_are_taken_from_the_candidates(monkeypatch):
    monkeypatch.setattr("skgmvae.neighbours.MAX_REFERENCES", 200)
    X = (load_digits().data[:300] / 16).astype(np.float32)
    X[50:100] = X[:50]  # identical rows are one point
    rows = images_and_rows(X)
    candidates = find_neighbours(rows, 0, N_CANDIDATES)
    nearest = nearest_up_to_affine(rows, candidates)
    assert nearest.nearest.shape == (250, 10)
    np.testing.assert_array_equal(nearest.point, candidates.point)
    first = candidates.first
    for point in (0, 49, 50, 249):
        among = candidates.nearest[point]
        image = torch.from_numpy(X[first[point]]).view(1, 1, 8, 8)
        others = torch.from_numpy(X[first[candidates.references[among]]]).view(1, -1, 1, 8, 8)
        distance = dict(zip(among, tangent_distances(image, others)[0].tolist(), strict=True))
        found = [distance[neighbour] for neighbour in nearest.nearest[point]]
        # to rounding, which depends on how many images are compared at a time
        np.testing.assert_allclose(found, sorted(distance.values())[:10], rtol=1e-4)


def test_images_are_compared_a_few_at_a_time(monkeypatch):
    rows = images_and_rows((load_digits().data[:60] / 16).astype(np.float32))
    candidates = find_neighbours(rows, 0, N_CANDIDATES)
    seen = []

    def spy(images, others):
        seen.append(others.numel())
        return tangent_distances(images, others)

    monkeypatch.setattr("skgmvae.tangents.tangent_distances", spy)
    monkeypatch.setattr("skgmvae.tangents.VALUES_AT_A_TIME", 10_000)
    nearest_up_to_affine(rows, candidates)
    assert max(seen) <= 10_000
    assert sum(seen) == 60 * 59 * 64


def test_neighbours_up_to_changes_are_more_often_of_one_digit():
    X, y = load_digits(return_X_y=True)
    rows = images_and_rows((X / 16).astype(np.float32))
    candidates = find_neighbours(rows, 0, N_CANDIDATES)
    found = [candidates.nearest[:, :10], nearest_up_to_affine(rows, candidates).nearest]
    alike = [(y[nearest] == y[:, None]).mean() for nearest in found]
    assert alike[1] > alike[0]


def test_images_that_are_all_alike_have_no_neighbours(fit):
    X = np.full((12, 64), 0.5, np.float32)
    rows = images_and_rows(X)
    assert nearest_up_to_affine(rows, find_neighbours(rows, 0, N_CANDIDATES)).nearest.size == 0
    clusterer = fit(X, image_shape=(8, 8), perturbation="both", networks="conv", max_iter=2)
    assert clusterer.n_clusters_found_ == 1


def test_fewer_images_than_candidates_are_enough():
    rows = images_and_rows((load_digits().data[:6] / 16).astype(np.float32))
    nearest = nearest_up_to_affine(rows, find_neighbours(rows, 0, N_CANDIDATES)).nearest
    assert nearest.shape == (6, 5)
    assert all(sorted([*row, point]) == list(range(6)) for point, row in enumerate(nearest))
