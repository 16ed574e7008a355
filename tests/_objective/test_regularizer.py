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
    InformationWeights,
    PseudoLabels,
    PseudoLabelWeights,
    Regularizer,
    frozen_statistics,
    regularizer,
)

scores = hnp.arrays(np.float64, (2, 6, 4), elements=st.floats(-20, 20))


def weights_of(cross_entropy, other_cluster):
    return PseudoLabelWeights(torch.tensor(cross_entropy), torch.tensor(other_cluster))


@given(scores)
def test_the_regularizer_is_the_formula(draw):
    clean, perturbed = log_softmax(draw, axis=-1)
    p, q = np.exp(clean), np.exp(perturbed)
    mean = p.mean(0)
    labels, log_sizes = torch.arange(6) % 4, torch.tensor([0.0, 1.0, -1.0, 0.5]).double()
    sizes = np.exp(log_softmax(log_sizes.numpy()))
    at_labels = clean[np.arange(6), labels]
    expected = Regularizer(
        disagreement=(p * np.log(p / q)).sum(1).mean(),
        conditional_entropy=-(p * clean).sum(1).mean(),
        marginal_entropy=-(mean * np.log(mean)).sum(),
        imbalance=(mean * np.log(mean / sizes)).sum(),
        pseudo_label_loss=0.3 * -at_labels.mean() + 0.7 * (1 - np.exp(at_labels).mean()),
    )
    parts = regularizer(
        torch.tensor(clean), torch.tensor(perturbed), PseudoLabels(labels, log_sizes),
        PseudoLabelWeights(*torch.tensor([0.3, 0.7], dtype=torch.float64)),
    )
    for name in Regularizer._fields:
        np.testing.assert_allclose(
            getattr(parts, name), getattr(expected, name), rtol=1e-8, atol=1e-10, err_msg=name
        )


@given(scores)
def test_without_pseudo_labels_even_clusters_are_expected(draw):
    clean, perturbed = torch.tensor(log_softmax(draw, axis=-1))
    parts = regularizer(clean, perturbed)
    assert parts.pseudo_label_loss == 0
    np.testing.assert_allclose(
        parts.imbalance, math.log(4) - parts.marginal_entropy, rtol=1e-8, atol=1e-10
    )


@given(st.floats(0, 3), st.floats(0, 3))
def test_the_total_is_the_weighted_sum(entropy, marginal):
    weights = InformationWeights(entropy=entropy, marginal=marginal)
    total = Regularizer(1.0, 2.0, 3.0, 4.0, 5.0).total(weights)
    assert total == pytest.approx(1 + 5 + entropy * (2 + marginal * 4))


def test_the_marginal_entropy_is_recorded_but_not_weighed_beside_the_imbalance():
    assert Regularizer(1.0, 2.0, 3.0, 4.0, 5.0).total() == (
        Regularizer(1.0, 2.0, 99.0, 4.0, 5.0).total()
    )


def test_even_certain_clusters_that_survive_are_the_minimum():
    certain = torch.tensor(log_softmax(50 * np.eye(4), axis=1))
    best = regularizer(certain, certain).total()
    assert float(best) == pytest.approx(0, abs=1e-9)
    uniform = torch.full((4, 4), -math.log(4))
    assert regularizer(uniform, uniform).total() > best + 0.01
    one = torch.tensor(log_softmax(50 * np.eye(4)[[0, 0, 0, 0]], axis=1))
    assert regularizer(one, one).total() > best + 0.01
    assert regularizer(certain, certain.flip(0)).total() > best + 0.01


def test_certain_clusters_of_the_sizes_of_pseudo_labels_are_the_minimum():
    labels = torch.tensor([0, 0, 0, 1])
    pseudo = PseudoLabels(labels, torch.bincount(labels).double().log())
    certain = torch.tensor(log_softmax(50 * np.eye(2)[labels], axis=1))
    parts = regularizer(certain, certain, pseudo, weights_of(1.0, 1.0))
    assert float(parts.total()) == pytest.approx(0, abs=1e-9)
    assert float(regularizer(certain, certain).imbalance) > 0.1  # were they to be even
    wrong = regularizer(certain.flip(1), certain.flip(1), pseudo, weights_of(1.0, 1.0))
    assert wrong.pseudo_label_loss > 1
    assert wrong.imbalance > 0.1


def test_the_bounded_loss_lets_go_of_rows_that_the_model_is_sure_of():
    labels = PseudoLabels(torch.tensor([0, 0]), torch.zeros(2))
    logits = torch.tensor([[0.0, 0.0], [-30.0, 0.0]]).log_softmax(1).requires_grad_()

    def pull(*weights):
        loss = regularizer(logits, logits, labels, weights_of(*weights)).pseudo_label_loss
        return torch.autograd.grad(loss, logits)[0][:, 0].abs()

    unsure, sure = pull(0.0, 1.0)
    assert unsure > 0.1
    assert sure < 1e-6
    unsure, sure = pull(1.0, 0.0)
    assert sure == unsure > 0.1


def test_no_gradient_flows_through_the_clean_logits_of_the_disagreement():
    def log_probabilities(seed):
        draw = 2 * np.random.default_rng(seed).standard_normal((6, 4))
        return torch.tensor(log_softmax(draw, axis=-1), requires_grad=True)

    clean, perturbed = log_probabilities(0), log_probabilities(1)
    parts = regularizer(clean, perturbed)
    to_clean, to_perturbed = torch.autograd.grad(
        parts.disagreement, (clean, perturbed), allow_unused=True, retain_graph=True
    )
    assert to_clean is None
    # d/dq of -sum p log q, the logits taken as they are: -p / n
    np.testing.assert_allclose(to_perturbed, -clean.detach().exp() / 6, rtol=1e-10)
    for part in (parts.conditional_entropy, parts.marginal_entropy, parts.imbalance):
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


def test_frozen_statistics_keeps_running_statistics_and_uses_the_batch():
    module, y = normed().train(), torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        module(y)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        with frozen_statistics(module):
            inside = module(5 * y + 1)
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
        assert torch.equal(inside, module(5 * y + 1))  # the same output as outside
    assert int(module[1].num_batches_tracked) == 2
    assert not torch.equal(module[1].running_mean, before["1.running_mean"])


def test_frozen_statistics_uses_the_running_ones_in_evaluation_mode():
    module, y = normed()[:2].eval(), torch.ones(1, 4)
    with torch.no_grad():
        expected = module(y)
        with frozen_statistics(module):
            assert torch.equal(module(y), expected)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_frozen_statistics_restores_the_flags_after_an_exception(error):
    module = normed()
    with pytest.raises(error), frozen_statistics(module):
        raise error
    assert module[1].track_running_stats
    assert not module[3].track_running_stats  # as it was
