"""The regularizer of the cluster posterior, against its formula."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax
from torch import nn

from skgmvae._objective.regularizer import (
    INFORMATION_WEIGHTS,
    InformationWeights,
    PseudoLabels,
    Regularizer,
    regularizer,
    with_frozen_statistics,
)

N_ROWS, N_CLUSTERS = 6, 4
EVEN = torch.zeros(N_CLUSTERS, dtype=torch.float64)

scores = hnp.arrays(np.float64, (2, N_ROWS, N_CLUSTERS), elements=st.floats(-20, 20))
targets = hnp.arrays(
    np.float64, (N_ROWS, N_CLUSTERS), elements=st.floats(0, 1)
).filter(lambda draw: (draw.sum(1) > 0.1).all()).map(lambda draw: draw / draw.sum(1)[:, None])
hard_targets = hnp.arrays(np.intp, N_ROWS, elements=st.integers(0, N_CLUSTERS - 1))
log_sizes_of_any_sum = hnp.arrays(np.float64, N_CLUSTERS, elements=st.floats(-5, 5))
weights_in_nats = st.floats(0, 20)
orders = st.permutations(range(N_CLUSTERS))


def pseudo_labels_of(probabilities, weight):
    return PseudoLabels(
        torch.as_tensor(probabilities), torch.tensor(weight, dtype=torch.float64)
    )


def floats(parts):
    return Regularizer(*map(float, parts))


def assert_equal(found, expected):
    for name in Regularizer._fields:
        np.testing.assert_allclose(
            float(getattr(found, name)), float(getattr(expected, name)), rtol=1e-8, atol=1e-9,
            err_msg=name,
        )


# The formula.

@given(scores, log_sizes_of_any_sum, targets, weights_in_nats, st.booleans())
def test_the_regularizer_is_the_formula(draw, log_sizes, soft, weight, with_pseudo_labels):
    clean, perturbed = log_softmax(draw, axis=-1)
    p, q = np.exp(clean), np.exp(perturbed)
    mean = p.mean(0)
    sizes = np.exp(log_sizes) / np.exp(log_sizes).sum()
    entropy = np.mean([-sum(p_k * np.log(p_k) for p_k in row) for row in p])
    imbalance = sum(m * np.log(m / size) for m, size in zip(mean, sizes, strict=True))
    loss = 0.0
    for row, target in zip(p, soft, strict=True):
        loss += weight * -sum(t * np.log(p_k) for t, p_k in zip(target, row, strict=True))
    expected = Regularizer(
        disagreement=(p * np.log(p / q)).sum(1).mean(),
        conditional_entropy=entropy,
        marginal_entropy=-(mean * np.log(mean)).sum(),
        imbalance=imbalance,
        information=0.1 * (entropy + 2.0 * imbalance),
        pseudo_label_loss=loss / N_ROWS if with_pseudo_labels else 0.0,
    )
    pseudo_labels = pseudo_labels_of(soft, weight)
    parts = regularizer(
        torch.tensor(clean), torch.tensor(perturbed), torch.tensor(log_sizes),
        pseudo_labels if with_pseudo_labels else None,
    )
    assert_equal(parts, expected)


@given(scores)
def test_of_even_sizes_the_imbalance_is_what_the_marginal_entropy_lacks(draw):
    clean, perturbed = torch.tensor(log_softmax(draw, axis=-1))
    parts = regularizer(clean, perturbed, EVEN)
    assert parts.pseudo_label_loss == 0
    np.testing.assert_allclose(
        parts.imbalance, math.log(N_CLUSTERS) - parts.marginal_entropy, rtol=1e-8, atol=1e-10
    )


@given(scores, log_sizes_of_any_sum, st.floats(-9, 9))
def test_the_expected_sizes_count_up_to_a_factor(draw, log_sizes, constant):
    clean, perturbed = torch.tensor(log_softmax(draw, axis=-1))
    log_sizes = torch.tensor(log_sizes)
    assert_equal(
        regularizer(clean, perturbed, log_sizes + constant),
        regularizer(clean, perturbed, log_sizes),
    )


@given(scores, st.floats(0, 3), st.floats(0, 3))
def test_the_information_is_the_weighted_sum_of_entropy_and_imbalance(draw, entropy, marginal):
    weights = InformationWeights(entropy=entropy, marginal=marginal)
    clean, perturbed = torch.tensor(log_softmax(draw, axis=-1))
    parts = floats(regularizer(clean, perturbed, EVEN, weights=weights))
    assert parts.information == pytest.approx(
        entropy * (parts.conditional_entropy + marginal * parts.imbalance), abs=1e-9
    )
    of_pseudo_labels = pseudo_labels_of(np.full((N_ROWS, N_CLUSTERS), 0.25), 1.0)
    with_them = floats(regularizer(clean, perturbed, EVEN, of_pseudo_labels, weights))
    assert with_them._replace(pseudo_label_loss=0) == parts


def test_the_total_leaves_out_what_is_recorded_only_and_the_loss_with_a_weight_of_its_own():
    assert Regularizer(1.0, 2.0, 3.0, 4.0, 5.0, 6.0).total() == 1.0 + 5.0
    assert Regularizer(1.0, 9.0, 9.0, 9.0, 5.0, 9.0).total() == 1.0 + 5.0
    assert INFORMATION_WEIGHTS == (0.1, 2.0)


# Pseudo-labels.

@given(scores, hard_targets, weights_in_nats)
def test_soft_pseudo_labels_that_are_certain_have_the_loss_of_labels(draw, labels, weight):
    logits = torch.tensor(log_softmax(draw[0], axis=-1))
    at_labels = logits.numpy()[np.arange(N_ROWS), labels]
    given = pseudo_labels_of(np.eye(N_CLUSTERS)[labels], weight)
    np.testing.assert_allclose(
        float(given.loss(logits)), -weight * at_labels.mean(), rtol=1e-9, atol=1e-12
    )


@given(scores, targets, log_sizes_of_any_sum, orders, st.booleans())
def test_the_numbers_of_the_clusters_are_of_no_effect(
    draw, soft, log_sizes, order, with_pseudo_labels
):
    def parts_of(order):
        clean, perturbed = torch.tensor(log_softmax(draw, axis=-1)[..., order])
        pseudo_labels = pseudo_labels_of(soft[:, order], 5.0) if with_pseudo_labels else None
        return regularizer(clean, perturbed, torch.tensor(log_sizes[order]), pseudo_labels)

    assert_equal(parts_of(order), parts_of(list(range(N_CLUSTERS))))


@given(scores, targets, st.permutations(range(N_ROWS)))
def test_the_order_of_the_rows_is_of_no_effect(draw, soft, order):
    def parts_of(order):
        clean, perturbed = torch.tensor(log_softmax(draw, axis=-1)[:, order])
        return regularizer(clean, perturbed, EVEN, pseudo_labels_of(soft[order], 5.0))

    assert_equal(parts_of(order), parts_of(list(range(N_ROWS))))


@given(scores, targets, targets, weights_in_nats, st.floats(0, 1))
def test_the_loss_is_linear_in_soft_pseudo_labels(draw, one, other, weight, share):
    logits = torch.tensor(log_softmax(draw[0], axis=-1))

    def loss(soft):
        return float(pseudo_labels_of(soft, weight).loss(logits))

    assert loss(share * one + (1 - share) * other) == pytest.approx(
        share * loss(one) + (1 - share) * loss(other), rel=1e-9, abs=1e-9
    )


@given(scores, targets, weights_in_nats)
def test_the_loss_is_not_negative_and_proportional_to_its_weight(draw, soft, weight):
    logits = torch.tensor(log_softmax(draw[0], axis=-1))
    loss = float(pseudo_labels_of(soft, weight).loss(logits))
    assert loss >= -1e-9
    assert loss == pytest.approx(weight * float(pseudo_labels_of(soft, 1.0).loss(logits)))


@given(targets, scores)
def test_the_cross_entropy_is_least_where_the_posterior_is_the_soft_pseudo_label(soft, draw):
    soft = 0.01 / N_CLUSTERS + 0.99 * soft  # without zeros, whose logarithm is not finite
    given = pseudo_labels_of(soft, 1.0)
    least = given.loss(torch.tensor(soft).log())
    entropy = -(soft * np.log(soft)).sum(1).mean()
    assert float(least) == pytest.approx(entropy)
    assert given.loss(torch.tensor(log_softmax(draw[0], axis=-1))) >= least - 1e-9


def test_even_certain_clusters_that_survive_are_the_minimum():
    certain = torch.tensor(log_softmax(50 * np.eye(4), axis=1))
    best = regularizer(certain, certain, EVEN).total()
    assert float(best) == pytest.approx(0, abs=1e-9)
    uniform = torch.full((4, 4), -math.log(4), dtype=torch.float64)
    assert regularizer(uniform, uniform, EVEN).total() > best + 0.01
    one = torch.tensor(log_softmax(50 * np.eye(4)[[0, 0, 0, 0]], axis=1))
    assert regularizer(one, one, EVEN).total() > best + 0.01
    assert regularizer(certain, certain.flip(0), EVEN).total() > best + 0.01


def test_certain_clusters_of_the_expected_sizes_are_the_minimum():
    labels = torch.tensor([0, 0, 0, 1])
    log_sizes = torch.bincount(labels).double().log()
    certain = torch.tensor(log_softmax(50 * np.eye(2)[labels], axis=1))
    assert float(regularizer(certain, certain, log_sizes).total()) == pytest.approx(0, abs=1e-9)
    assert float(regularizer(certain, certain, EVEN[:2]).total()) > 0.01  # were they to be even
    other = certain.flip(1)
    assert float(regularizer(other, other, log_sizes).total()) > 0.1
    given = pseudo_labels_of(np.eye(2)[labels], 1.0)
    assert float(given.loss(certain)) == pytest.approx(0, abs=1e-9)
    assert given.loss(other) > 1


def test_rows_whose_pseudo_label_the_model_is_sure_not_to_be_right_are_pulled_most():
    logits = torch.tensor([[0.0, 0.0], [-30.0, 0.0]], dtype=torch.float64).requires_grad_()
    given = pseudo_labels_of([[1.0, 0.0], [1.0, 0.0]], 1.0)
    (gradient,) = torch.autograd.grad(given.loss(logits.log_softmax(1)), logits)
    unsure, sure = gradient[:, 0].abs()
    assert sure > unsure > 0.1


def test_the_cross_entropy_to_a_soft_pseudo_label_does_not_ask_for_certainty():
    def pull(p):
        logits = torch.tensor([[p, 1 - p]], dtype=torch.float64).log().requires_grad_()
        loss = pseudo_labels_of([[0.7, 0.3]], 1.0).loss(logits.log_softmax(1))
        return float(torch.autograd.grad(loss, logits)[0][0, 0])

    assert pull(0.5) < -0.01
    assert pull(0.7) == pytest.approx(0, abs=1e-6)
    assert pull(0.9) > 0.01


# Gradients.

def test_no_gradient_flows_through_the_clean_logits_of_the_disagreement():
    def log_probabilities(seed):
        draw = 2 * np.random.default_rng(seed).standard_normal((6, 4))
        return torch.tensor(log_softmax(draw, axis=-1), requires_grad=True)

    clean, perturbed = log_probabilities(0), log_probabilities(1)
    parts = regularizer(clean, perturbed, EVEN)
    to_clean, to_perturbed = torch.autograd.grad(
        parts.disagreement, (clean, perturbed), allow_unused=True, retain_graph=True
    )
    assert to_clean is None
    # d/dq of -sum p log q, the logits taken as they are: -p / n
    np.testing.assert_allclose(to_perturbed, -clean.detach().exp() / 6, rtol=1e-10)
    soft = np.full((6, 4), 0.25)
    loss = regularizer(clean, perturbed, EVEN, pseudo_labels_of(soft, 1.0)).pseudo_label_loss
    for part in (
        parts.conditional_entropy, parts.marginal_entropy, parts.imbalance, parts.information, loss
    ):
        to_clean, to_perturbed = torch.autograd.grad(
            part, (clean, perturbed), allow_unused=True, retain_graph=True
        )
        assert to_clean.abs().max() > 0
        assert to_perturbed is None


def normed():
    return nn.Sequential(
        nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 3),
        nn.BatchNorm1d(3, track_running_stats=False),
    )


def test_frozen_statistics_are_left_alone_and_the_batch_is_used():
    module, y = normed().train(), torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    frozen = with_frozen_statistics(module)
    with torch.no_grad():
        module(y)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        found = frozen(5 * y + 1)
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
        assert torch.equal(found, module(5 * y + 1))
    assert int(module[1].num_batches_tracked) == 2
    assert not torch.equal(module[1].running_mean, before["1.running_mean"])


def test_frozen_statistics_are_used_in_evaluation_mode():
    module, y = normed()[:2].eval(), torch.ones(1, 4)
    with torch.no_grad():
        assert torch.equal(with_frozen_statistics(module)(y), module(y))


def test_a_module_with_frozen_statistics_has_the_same_tensors():
    module = normed()
    frozen = with_frozen_statistics(module)
    assert all(map(lambda one, other: one is other, module.parameters(), frozen.parameters()))
    assert all(map(lambda one, other: one is other, module.buffers(), frozen.buffers()))
    assert [layer.track_running_stats for layer in (module[1], module[3])] == [True, False]
