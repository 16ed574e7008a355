"""Perturbations: what they change of a row, and by how much."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax

from skgmvae._model import kl_categorical
from skgmvae.perturbations import AffineRanges, adversarial, affine

NO_CHANGE = AffineRanges(rotation=0.0, scale=0.0, shear=0.0, shift=0.0)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=source(seed), dtype=dtype)


@given(hnp.arrays(np.float64, (2, 6, 4), elements=st.floats(-20, 20)))
def test_the_divergence_is_the_formula_and_never_negative(scores):
    p, q = torch.tensor(log_softmax(scores, axis=-1))
    found = kl_categorical(p, q)
    np.testing.assert_allclose(found, (p.exp() * (p - q)).sum(1), rtol=1e-9, atol=1e-12)
    assert (found >= -1e-12).all()
    assert not kl_categorical(p, p).any()


# The adversarial step.

def small_posterior(make_model):
    model = make_model(4)

    def logits(y):
        return model.cluster_logits(model.q(y))

    return logits, draw(40, 4, dtype=torch.float64)


def step(logits, y, radius, seed=1, probe=1.0):
    return adversarial(logits, y, logits(y).detach(), radius, draw(*y.shape, seed=seed), probe)


def test_the_adversarial_step_has_each_rows_radius(make_model):
    logits, y = small_posterior(make_model)
    radius = torch.linspace(0, 2, 40, dtype=torch.float64)
    moved = step(logits, y, radius)
    assert torch.allclose((moved - y).norm(dim=1), radius, rtol=1e-5)
    assert not moved.requires_grad


def test_the_adversarial_step_changes_the_posterior_more_than_a_random_one(make_model):
    logits, y = small_posterior(make_model)
    clean = logits(y).detach()
    radius = torch.full((40,), 0.3, dtype=torch.float64)
    changes = []
    for seed in range(20):
        random = draw(*y.shape, seed=100 + seed, dtype=torch.float64)
        random = 0.3 * random / random.norm(dim=1, keepdim=True)
        changes.append(kl_categorical(clean, logits(y + random)).mean().item())
    found = kl_categorical(clean, logits(step(logits, y, radius))).mean().item()
    assert found > 1.3 * np.mean(changes)
    assert found > np.max(changes)


def test_the_adversarial_step_goes_along_the_gradient_at_the_probed_row():
    def logits(y):  # steep in the first feature near zero, in the second far from it
        return torch.stack([y[:, 0].tanh() + 0.3 * y[:, 1] ** 2, 0 * y[:, 0]], 1).log_softmax(1)

    y, radius = torch.zeros(1, 2), torch.ones(1)
    direction = torch.tensor([[1.0, 1.0]])
    for probe in (0.01, 20.0):
        probed = (probe * direction / 2**0.5).requires_grad_()
        change = kl_categorical(logits(y), logits(y + probed)).sum()
        (gradient,) = torch.autograd.grad(change, probed)
        moved = adversarial(logits, y, logits(y), radius, direction, probe)
        assert torch.allclose(moved, gradient / gradient.norm(), atol=1e-5)
        # of any length
        assert torch.allclose(
            adversarial(logits, y, logits(y), radius, 77 * direction, probe), moved, atol=1e-5
        )


def test_the_adversarial_step_is_reproducible_and_leaves_no_gradient(make_model):
    model = make_model(4)
    y = draw(5, 4, dtype=torch.float64)

    def logits(rows):
        return model.cluster_logits(model.q(rows))

    radius = torch.ones(5)
    assert torch.equal(step(logits, y, radius), step(logits, y, radius))
    assert not torch.equal(step(logits, y, radius), step(logits, y, radius, seed=2))
    assert all(p.grad is None for p in model.parameters())


def test_rows_without_a_gradient_stay_where_they_are():
    def logits(y):  # flat for the first three rows
        steep = torch.cat([torch.zeros(3, 1), torch.ones(2, 1)])
        return torch.log_softmax(torch.cat([steep * y.sum(1, keepdim=True), 0 * y[:, :1]], 1), 1)

    y = draw(5, 4)
    moved = step(logits, y, torch.full((5,), 0.5))
    assert torch.isfinite(moved).all()
    assert torch.equal(moved[:3], y[:3])
    assert torch.allclose((moved - y)[3:].norm(dim=1), torch.tensor(0.5), rtol=1e-5)


def test_a_vanishing_gradient_still_gives_a_full_step():
    def logits(y):  # saturated: the gradient's squares underflow in single precision
        return torch.stack([1e-30 * y.sum(1), 0 * y[:, 0]], 1)

    y = draw(5, 4)
    moved = adversarial(
        logits, y, torch.zeros(5, 2), torch.full((5,), 0.5), draw(5, 4, seed=1), 1.0
    )
    assert torch.allclose((moved - y).norm(dim=1), torch.tensor(0.5), rtol=1e-4)


def test_the_adversarial_step_works_on_images():
    def logits(images):
        return torch.log_softmax(images.sum(1).flatten(1)[:, :3], 1)

    y = draw(5, 2, 3, 4)
    moved = step(logits, y, torch.full((5,), 0.5))
    assert moved.shape == y.shape
    assert torch.allclose((moved - y).flatten(1).norm(dim=1), torch.tensor(0.5), rtol=1e-5)


# Affine changes.

@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (2, 3, 9, 12)])
def test_affine_keeps_shape_type_and_constant_images(shape, dtype):
    y = torch.arange(shape[0], dtype=dtype).view(-1, 1, 1, 1).expand(shape)
    moved = affine(y, source())
    assert moved.shape == shape
    assert moved.dtype == dtype
    assert torch.allclose(moved, y, atol=1e-5)


def test_affine_without_a_range_changes_nothing():
    y = draw(4, 2, 9, 12, dtype=torch.float64)
    assert torch.allclose(affine(y, source(), NO_CHANGE), y, atol=1e-12)


def test_affine_treats_each_image_differently_and_reproducibly(untouched_global_state):
    image = draw(1, 1, 12, 12).expand(6, -1, -1, -1)
    moved = affine(image, source(1))
    assert torch.equal(moved, affine(image, source(1)))
    assert not torch.equal(moved, affine(image, source(2)))
    for i in range(6):
        assert not torch.allclose(moved[i], image[i], atol=1e-2)
        assert not torch.allclose(moved[i], moved[i - 1], atol=1e-2)


def test_affine_moves_the_channels_of_an_image_together():
    one = draw(5, 1, 9, 12)
    moved = affine(torch.cat([one, 3 * one], 1), source())
    assert torch.allclose(moved[:, 1], 3 * moved[:, 0], atol=1e-5)


def test_affine_stays_within_the_values_of_the_image():
    y = torch.rand(20, 1, 10, 10, generator=source())
    moved = affine(y, source(1))
    assert moved.min() >= y.min()
    assert moved.max() <= y.max() + 1e-6


def source_coordinates(height, width, ranges, n=200):
    """Return where (in pixels) each output pixel of each image is read from, and the middle."""
    rows, columns = torch.meshgrid(
        torch.arange(height).double(), torch.arange(width).double(), indexing="ij"
    )
    ramps = torch.stack([columns, rows]).expand(n, -1, -1, -1)
    return affine(ramps, source(), ranges).numpy(), (height // 2, width // 2)


def jacobians(height, width, ranges):
    """Return the linear part of each image's transformation, in pixels, (n, 2, 2)."""
    read, (i, j) = source_coordinates(height, width, ranges)
    by_column = (read[:, :, i, j + 1] - read[:, :, i, j - 1]) / 2
    by_row = (read[:, :, i + 1, j] - read[:, :, i - 1, j]) / 2
    return np.stack([by_column, by_row], -1)


def check_fill(values, limit):
    """Check that values are uniform on [-limit, limit], as far as 200 can tell."""
    assert np.abs(values).max() <= limit * (1 + 1e-5)
    assert values.max() > 0.9 * limit
    assert values.min() < -0.9 * limit
    assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.15)


@pytest.mark.parametrize("degrees", [5, 20])
@pytest.mark.parametrize(("height", "width"), [(21, 21), (15, 45)])
def test_affine_rotations_are_rotations_of_the_image(height, width, degrees):
    turns = jacobians(height, width, NO_CHANGE._replace(rotation=np.radians(degrees)))
    eye = np.broadcast_to(np.eye(2), turns.shape)
    np.testing.assert_allclose(turns.swapaxes(1, 2) @ turns, eye, atol=1e-5)
    check_fill(np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0])), degrees)


@pytest.mark.parametrize("share", [0.03, 0.1])
def test_affine_shifts_by_at_most_a_share_of_the_side(share):
    read, (i, j) = source_coordinates(21, 41, NO_CHANGE._replace(shift=share))
    for axis, (here, side) in enumerate(((j, 41), (i, 21))):
        check_fill((read[:, axis, i, j] - here) / side, share)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_affine_scales_the_sides_apart_by_at_most_a_share(share):
    scaled = jacobians(21, 41, NO_CHANGE._replace(scale=share))
    for axis in range(2):
        check_fill(scaled[:, axis, axis] - 1, share)
    assert abs(np.corrcoef(scaled[:, 0, 0], scaled[:, 1, 1])[0, 1]) < 0.3
    np.testing.assert_allclose(scaled[:, 0, 1], 0, atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_affine_shears_by_at_most_a_share(share):
    sheared = jacobians(21, 21, NO_CHANGE._replace(shear=share))
    np.testing.assert_allclose(np.linalg.det(sheared), 1, atol=1e-5)
    np.testing.assert_allclose(sheared[:, 1, 0], 0, atol=1e-6)
    check_fill(sheared[:, 0, 1], share)


def test_affine_by_default_uses_every_part():
    moved = jacobians(21, 21, AffineRanges())
    for name in AffineRanges._fields:
        without = jacobians(21, 21, AffineRanges(**{name: 0.0}))
        if name == "shift":
            read, (i, j) = source_coordinates(21, 21, AffineRanges())
            assert np.abs(read[:, 0, i, j] - j).max() > 0.1
        else:
            assert np.abs(moved - without).max() > 0.01, name
