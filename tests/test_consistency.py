"""The regulariser, its perturbations and the batch statistics they must leave alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax
from torch import nn

from skgmvae import consistency
from skgmvae.consistency import (
    ENTROPY_WEIGHT,
    MARGINAL_FACTOR,
    Hold,
    Regulariser,
    Start,
    adversarial,
    affine,
    frozen_statistics,
    kl_rows,
    regulariser,
)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def log_probabilities(shape, seed=0, scale=2.0):
    draw = scale * np.random.default_rng(seed).standard_normal(shape)
    return log_softmax(draw, axis=-1)


scores = hnp.arrays(np.float64, (2, 6, 4), elements=st.floats(-20, 20))


@given(scores)
def test_the_regulariser_is_the_formula(draw):
    clean, perturbed = log_softmax(draw, axis=-1)
    p, q = np.exp(clean), np.exp(perturbed)
    mean = p.mean(0)
    disagreement = (p * np.log(p / q)).sum(1).mean()
    conditional, marginal = -(p * clean).sum(1).mean(), -(mean * np.log(mean)).sum()
    labels, log_sizes = torch.arange(6) % 4, torch.tensor([0.0, 1.0, -1.0, 0.5]).double()
    sizes = np.exp(log_softmax(log_sizes.numpy()))
    imbalance = (mean * np.log(mean / sizes)).sum()
    at_start = clean[np.arange(6), labels]
    departure = 0.3 * -at_start.mean() + 0.7 * (1 - np.exp(at_start).mean())
    parts = regulariser(
        torch.tensor(clean), torch.tensor(perturbed), Start(labels, log_sizes), Hold(0.3, 0.7)
    )
    np.testing.assert_allclose(parts.disagreement, disagreement, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(parts.conditional_entropy, conditional, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(parts.marginal_entropy, marginal, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(parts.imbalance, imbalance, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(parts.departure, departure, rtol=1e-8, atol=1e-10)
    expected = disagreement + departure + ENTROPY_WEIGHT * (conditional + 2 * imbalance)
    np.testing.assert_allclose(parts.total, expected, rtol=1e-8, atol=1e-10)


@given(scores)
def test_without_a_start_even_clusters_are_expected(draw):
    clean, perturbed = torch.tensor(log_softmax(draw, axis=-1))
    parts = regulariser(clean, perturbed)
    assert parts.departure == 0
    np.testing.assert_allclose(
        parts.imbalance, math.log(4) - parts.marginal_entropy, rtol=1e-8, atol=1e-10
    )


def test_the_total_is_the_weighted_sum():
    assert (ENTROPY_WEIGHT, MARGINAL_FACTOR) == (0.1, 2.0)
    assert Regulariser(1.0, 2.0, 3.0, 4.0, 5.0).total == pytest.approx(1 + 5 + 0.1 * (2 + 2 * 4))


def test_even_certain_clusters_that_survive_are_the_minimum():
    certain = torch.tensor(log_softmax(50 * np.eye(4), axis=1))
    best = regulariser(certain, certain).total
    assert float(best) == pytest.approx(0, abs=1e-9)
    uniform = torch.full((4, 4), -math.log(4))
    assert regulariser(uniform, uniform).total > best
    one = torch.tensor(log_softmax(50 * np.eye(4)[[0, 0, 0, 0]], axis=1))
    assert regulariser(one, one).total > best
    assert regulariser(certain, certain.flip(0)).total > best


@given(scores)
def test_disagreement_is_never_negative(draw):
    p, q = torch.tensor(log_softmax(draw, axis=-1))
    assert (kl_rows(p, q) >= -1e-12).all()
    assert torch.allclose(kl_rows(p, p), torch.zeros(6).double())


def test_no_gradient_flows_through_the_clean_logits_of_the_disagreement():
    clean = torch.tensor(log_probabilities((6, 4)), requires_grad=True)
    perturbed = torch.tensor(log_probabilities((6, 4), 1), requires_grad=True)
    parts = regulariser(clean, perturbed)
    to_clean, to_perturbed = torch.autograd.grad(
        parts.disagreement, (clean, perturbed), allow_unused=True, retain_graph=True
    )
    assert to_clean is None or not to_clean.any()
    # d/dq of -sum p log q, the logits taken as they are: -p / n
    np.testing.assert_allclose(to_perturbed, -clean.detach().exp() / 6, rtol=1e-10)
    for entropy in (parts.conditional_entropy, parts.marginal_entropy):
        to_clean, to_perturbed = torch.autograd.grad(
            entropy, (clean, perturbed), allow_unused=True, retain_graph=True
        )
        assert to_clean.abs().max() > 0
        assert to_perturbed is None


def normed():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3),
                         nn.BatchNorm1d(3, track_running_stats=False))


def test_frozen_statistics_keeps_running_statistics_and_uses_the_batch():
    module, y = normed().train(), torch.randn(8, 4, generator=source())
    with torch.no_grad():
        module(y)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        with frozen_statistics(module):
            inside = module(5 * y + 1)
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
        assert torch.equal(inside, module(5 * y + 1))  # the same output as outside
    assert int(module[1].num_batches_tracked) == 2
    assert not torch.equal(module[1].running_mean, before["1.running_mean"])


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_frozen_statistics_restores_the_flags_after_an_exception(error):
    module = normed()
    with pytest.raises(error), frozen_statistics(module):
        raise error
    assert module[1].track_running_stats
    assert not module[3].track_running_stats  # as it was


def small_posterior(make_model, scale=1.0):
    model = make_model(4)

    def logits(y):
        return model.cluster_logits(model.q(scale * y))

    return logits, torch.randn(40, 4, generator=source(), dtype=torch.float64)


def test_the_adversarial_step_has_each_rows_radius(make_model):
    logits, y = small_posterior(make_model)
    radius = torch.linspace(0, 2, 40, dtype=torch.float64)
    moved = adversarial(logits, y, logits(y).detach(), radius, 1.0, source())
    assert torch.allclose((moved - y).norm(dim=1), radius, rtol=1e-5)
    assert not moved.requires_grad


def test_the_adversarial_step_changes_the_posterior_more_than_a_random_one(make_model):
    logits, y = small_posterior(make_model)
    clean = logits(y).detach()
    radius = torch.full((40,), 0.3, dtype=torch.float64)
    moved = adversarial(logits, y, clean, radius, 1.0, source())
    changes = []
    for seed in range(20):
        step = torch.randn(y.shape, generator=source(seed), dtype=torch.float64)
        step = 0.3 * step / step.norm(dim=1, keepdim=True)
        changes.append(kl_rows(clean, logits(y + step)).mean().item())
    assert kl_rows(clean, logits(moved)).mean().item() > 1.3 * np.mean(changes)
    assert kl_rows(clean, logits(moved)).mean().item() > np.max(changes)


def test_the_adversarial_step_is_reproducible_and_leaves_no_gradient(make_model):
    model = make_model(4)
    y = torch.randn(5, 4, generator=source(), dtype=torch.float64)

    def logits(rows):
        return model.cluster_logits(model.q(rows))

    def move(seed):
        return adversarial(logits, y, logits(y).detach(), torch.ones(5), 1.0, source(seed))

    assert torch.equal(move(0), move(0))
    assert all(p.grad is None for p in model.parameters())


def test_rows_without_a_gradient_stay_where_they_are():
    def logits(y):  # flat for the first three rows
        steep = torch.cat([torch.zeros(3, 1), torch.ones(2, 1)])
        return torch.log_softmax(torch.cat([steep * y.sum(1, keepdim=True), 0 * y[:, :1]], 1), 1)

    y = torch.randn(5, 4, generator=source())
    moved = adversarial(logits, y, logits(y), torch.full((5,), 0.5), 1.0, source())
    assert torch.isfinite(moved).all()
    assert torch.equal(moved[:3], y[:3])
    assert torch.allclose((moved - y)[3:].norm(dim=1), torch.tensor(0.5), rtol=1e-5)


def test_a_vanishing_gradient_still_gives_a_full_step():
    def logits(y):  # saturated: the gradient's squares underflow in single precision
        return torch.stack([1e-30 * y.sum(1), 0 * y[:, 0]], 1)

    y = torch.randn(5, 4, generator=source())
    moved = adversarial(logits, y, torch.zeros(5, 2), torch.full((5,), 0.5), 1.0, source())
    assert torch.allclose((moved - y).norm(dim=1), torch.tensor(0.5), rtol=1e-4)


def test_the_adversarial_step_works_on_images():
    y = torch.randn(5, 2, 3, 4, generator=source())

    def logits(images):
        return torch.log_softmax(images.sum(1).flatten(1)[:, :3], 1)

    moved = adversarial(logits, y, logits(y), torch.full((5,), 0.5), 1.0, source())
    assert moved.shape == y.shape
    assert torch.allclose((moved - y).flatten(1).norm(dim=1), torch.tensor(0.5), rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(4, 1, 8, 8), (2, 3, 9, 12)])
def test_affine_keeps_shape_type_and_constant_images(shape, dtype):
    y = torch.arange(shape[0], dtype=dtype).view(-1, 1, 1, 1).expand(shape)
    moved = affine(y, source())
    assert moved.shape == shape
    assert moved.dtype == dtype
    assert torch.allclose(moved, y, atol=1e-5)


def test_affine_treats_each_image_differently_and_reproducibly():
    image = torch.randn(1, 1, 12, 12, generator=source()).expand(6, -1, -1, -1)
    moved = affine(image, source(1))
    assert torch.equal(moved, affine(image, source(1)))
    assert not torch.equal(moved, affine(image, source(2)))
    for i in range(6):
        assert not torch.allclose(moved[i], image[i], atol=1e-2)
        assert not torch.allclose(moved[i], moved[i - 1], atol=1e-2)


def test_affine_stays_within_the_values_of_the_image():
    y = torch.rand(20, 1, 10, 10, generator=source())
    moved = affine(y, source(1))
    assert moved.min() >= y.min()
    assert moved.max() <= y.max() + 1e-6


def source_coordinates(height, width, seed, n=200):
    """Return where (in pixels) each output pixel of each image is read from, and the middle."""
    rows, columns = torch.meshgrid(
        torch.arange(height).double(), torch.arange(width).double(), indexing="ij"
    )
    ramps = torch.stack([columns, rows]).expand(n, -1, -1, -1)
    return affine(ramps, source(seed)).numpy(), (height // 2, width // 2)


def jacobians(height, width, seed=0):
    """Return the linear part of each image's transformation, in pixels, (n, 2, 2)."""
    read, (i, j) = source_coordinates(height, width, seed)
    by_column = (read[:, :, i, j + 1] - read[:, :, i, j - 1]) / 2
    by_row = (read[:, :, i + 1, j] - read[:, :, i - 1, j]) / 2
    return np.stack([by_column, by_row], -1)


@pytest.mark.parametrize(("height", "width"), [(21, 21), (15, 45)])
def test_affine_rotations_are_rotations_of_the_image(monkeypatch, height, width):
    for name in ("MAX_SCALE", "MAX_SHEAR", "MAX_SHIFT"):
        monkeypatch.setattr(consistency, name, 0.0)
    turns = jacobians(height, width)
    eye = np.broadcast_to(np.eye(2), turns.shape)
    np.testing.assert_allclose(turns.swapaxes(1, 2) @ turns, eye, atol=1e-5)
    angles = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    assert np.abs(angles).max() <= 15 + 1e-3
    assert angles.max() > 13
    assert angles.min() < -13


def test_affine_shifts_by_at_most_the_documented_share_of_the_side(monkeypatch):
    for name in ("MAX_ROTATION", "MAX_SCALE", "MAX_SHEAR"):
        monkeypatch.setattr(consistency, name, 0.0)
    read, (i, j) = source_coordinates(21, 41, 0)
    for axis, (here, side) in enumerate(((j, 41), (i, 21))):
        shift = (read[:, axis, i, j] - here) / side
        assert np.abs(shift).max() <= 0.07 + 1e-6
        assert shift.max() > 0.06
        assert shift.min() < -0.06


def test_affine_scales_by_at_most_the_documented_share(monkeypatch):
    for name in ("MAX_ROTATION", "MAX_SHIFT", "MAX_SHEAR"):
        monkeypatch.setattr(consistency, name, 0.0)
    scaled = jacobians(21, 41)
    for axis in range(2):
        factor = scaled[:, axis, axis]
        assert 0.85 - 1e-6 <= factor.min() < 0.88
        assert 1.12 < factor.max() <= 1.15 + 1e-6
    np.testing.assert_allclose(scaled[:, 0, 1], 0, atol=1e-6)


def test_affine_shears_by_at_most_the_documented_amount(monkeypatch):
    for name in ("MAX_ROTATION", "MAX_SHIFT", "MAX_SCALE"):
        monkeypatch.setattr(consistency, name, 0.0)
    sheared = jacobians(21, 21)
    np.testing.assert_allclose(np.linalg.det(sheared), 1, atol=1e-5)
    assert 0.22 < sheared[:, 0, 1].max() <= 0.25 + 1e-6
    assert -0.25 - 1e-6 <= sheared[:, 0, 1].min() < -0.22
