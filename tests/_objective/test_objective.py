"""The loss of a batch: what enters it and what does not."""

import copy

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn
from torch.distributions import Bernoulli, Categorical, Normal, kl_divergence

from skgmvae._model import Architecture
from skgmvae._objective import (
    Batches,
    Objective,
    PseudoLabelSchedule,
    Regularizer,
    RegularizerInputs,
    Terms,
)
from skgmvae._objective import objective as module_under_test
from skgmvae._objective.regularizer import InformationWeights, PseudoLabels, regularizer
from skgmvae._rows import Rows, Units
from skgmvae.likelihoods import LIKELIHOODS
from skgmvae.perturbations import adversarial

CPU = torch.device("cpu")
PARTS = [*Terms._fields, *Regularizer._fields]


def settings(n_rows, **changes):
    return RegularizerInputs(
        perturbation="adversarial", radius=np.linspace(0.1, 0.5, n_rows, dtype=np.float32),
        pseudo_labels=csr_array(
            np.random.default_rng(0).dirichlet(np.ones(3), n_rows).astype(np.float32)
        ),
        schedule=PseudoLabelSchedule(first=6.0, last=1.0, share=1.0),
    )._replace(**changes)


def batches_of(X, inputs, image_shape=None):
    rows = Rows.standardized(X, Units.standardizing(X, image_shape), CPU)
    return Batches(
        rows, batch_size=16, n_mc_samples=2, latent_dim=2, style_dim=2, n_clusters=3,
        inputs=inputs, key=(5, 0), progress=lambda epoch: epoch / 10,
    )


def objective_of(batches, likelihood="gaussian", **parameters):
    data_shape = tuple(batches.rows.take(torch.tensor([0])).shape[1:])
    architecture = Architecture(
        data_shape, 3, 2, 2, (8,), "dense", LIKELIHOODS[likelihood]
    )
    return Objective(architecture.build(CPU, 7), **parameters).train()


@pytest.fixture
def bare(X):
    """Return an objective without a regularizer, and a batch of it."""
    batches = batches_of(X, None)
    return objective_of(batches), batches(2, 1)


@pytest.fixture
def full(X):
    """Return an objective with all that there is, and a batch of it."""
    batches = batches_of(X, settings(len(X)))
    return objective_of(batches, consistency=50.0), batches(2, 1)


def named(objective, batch):
    return dict(zip(objective.recorded, objective(batch)[1].tolist(), strict=True))


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("min_information", [0.0, 0.3, 5.0])
def test_without_consistency_the_loss_is_the_papers(X, likelihood, min_information):
    X = X if likelihood == "gaussian" else (X - X.min()) / np.ptp(X)
    batches = batches_of(X, None)
    batch = batches(2, 1)
    if likelihood == "bernoulli":
        batch = batch._replace(y=(batch.y - batch.y.min()) / (batch.y.max() - batch.y.min()))
    objective = objective_of(batches, likelihood, min_information=min_information)
    loss, record = objective(batch)

    # Eq. 3 and Eqs. 5-7, one Monte Carlo sample, row and component after another
    model = objective.model
    q_x, q_w = model.q(batch.y)
    K, M, B = 3, 2, len(batch.y)
    p_x = model.p_x(q_w.mean + q_w.stddev * batch.noise.w)
    x = q_x.mean + q_x.stddev * batch.noise.x
    decoded = model.y_head(model.decoder(x.reshape(M * B, -1))).unflatten(0, (M, B))
    totals = torch.zeros(4)
    for j in range(M):
        for i in range(B):
            components = [Normal(p_x.mean[j, i, k], p_x.stddev[j, i, k]) for k in range(K)]
            joint = torch.stack([p.log_prob(x[j, i]).sum() for p in components]) - np.log(K)
            p_z = Categorical(logits=joint)
            if likelihood == "gaussian":
                mean, raw = decoded[j, i]
                p_y = Normal(mean, torch.exp(4 * torch.tanh(raw / 8)))
            else:
                p_y = Bernoulli(logits=decoded[j, i, 0], validate_args=False)
            one_q_x = Normal(q_x.mean[i], q_x.stddev[i])
            one_q_w = Normal(q_w.mean[i], q_w.stddev[i])
            totals += torch.stack([
                p_y.log_prob(batch.y[i]).sum(),
                sum(p_z.probs[k] * kl_divergence(one_q_x, components[k]).sum() for k in range(K)),
                kl_divergence(one_q_w, Normal(torch.zeros(2), torch.ones(2))).sum(),
                kl_divergence(p_z, Categorical(logits=torch.zeros(K))),
            ]) / (M * B)
    expected = -totals[0] + totals[1] + totals[2] + totals[3].clamp(min=min_information)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(record[1:], totals.detach(), rtol=1e-4, atol=1e-4)
    assert record[0] == loss


def test_the_threshold_changes_the_loss_and_not_the_terms(bare):
    objective, batch = bare
    free = named(objective, batch)
    assert free["z_prior"] < 1.0
    objective.min_information = 1.0
    constrained = named(objective, batch)
    assert {name: free[name] for name in Terms._fields} == {
        name: constrained[name] for name in Terms._fields
    }
    assert constrained["loss"] == pytest.approx(free["loss"] - free["z_prior"] + 1.0, rel=1e-5)


def forbidden(*arguments, **keywords):
    raise AssertionError("called although consistency=0")


def test_without_consistency_the_regularizer_costs_nothing(monkeypatch, bare):
    objective, batch = bare
    for name in ("regularizer", "adversarial", "with_frozen_statistics"):
        monkeypatch.setattr(module_under_test, name, forbidden)
    monkeypatch.setattr(objective.model, "cluster_logits", forbidden)
    objective(batch)


@pytest.mark.parametrize("with_pseudo_labels", [True, False])
def test_the_loss_is_the_bound_plus_the_weighted_regularizer_plus_that_to_pseudo_labels(
    full, bare, with_pseudo_labels
):
    objective, batch = full
    if not with_pseudo_labels:
        batch = batch._replace(pseudo_labels=None)
    without = named(*bare)
    for weight in (1.0, 50.0):
        objective.consistency = weight
        record = named(objective, batch)
        parts = Regularizer(*(record[name] for name in Regularizer._fields))
        assert {name: record[name] for name in Terms._fields} == {
            name: without[name] for name in Terms._fields
        }
        assert parts.total() > 0.001
        assert (parts.pseudo_label_loss > 0) == with_pseudo_labels
        assert record["loss"] == pytest.approx(
            without["loss"] + weight * parts.total() + parts.pseudo_label_loss, rel=1e-5
        )


def test_the_loss_to_pseudo_labels_is_not_weighted_by_consistency(full):
    objective, batch = full
    losses = []
    for weight in (1e-3, 50.0):
        objective.consistency = weight
        losses.append(named(objective, batch)["pseudo_label_loss"])
    assert losses[0] == losses[1] > 0.5


@pytest.mark.parametrize("weights", [(0.1, 2.0), (0.5, 0.0), (0.0, 0.0)])
def test_rows_are_made_certain_and_of_the_expected_sizes_by_the_weights_given(X, weights):
    batches = batches_of(X, settings(len(X)))
    information = InformationWeights(*weights)
    objective = objective_of(batches, consistency=50.0, information=information)
    batch = batches(2, 1)
    found = named(objective, batch)
    entropies = found["conditional_entropy"] + weights[1] * found["imbalance"]
    assert found["information"] == pytest.approx(weights[0] * entropies, rel=1e-5)
    log_sizes = torch.tensor([3.0, 0.0, -3.0])
    otherwise = named(objective, batch._replace(log_sizes=log_sizes))
    assert otherwise["imbalance"] > found["imbalance"] + 0.1
    assert (otherwise["loss"] > found["loss"]) == (weights[0] * weights[1] > 0)


def test_the_regularizer_is_that_of_the_posterior_at_the_means(full):
    objective, batch = full
    found = named(objective, batch)

    def logits_of(y):
        return objective.model.cluster_logits(objective.model.q(y))

    logits = logits_of(batch.y)
    moved = adversarial(
        logits_of, batch.y, logits.detach(), batch.radius, batch.direction, objective.probe
    )
    expected = regularizer(logits, logits_of(moved), batch.log_sizes, batch.pseudo_labels)
    for name in Regularizer._fields:
        assert found[name] == pytest.approx(
            float(getattr(expected, name).detach()), rel=1e-6, abs=1e-6
        )
        assert found[name] > 0


def test_what_is_recorded_is_named_and_without_gradient(bare, full):
    assert bare[0].recorded == ("loss", *Terms._fields)
    assert full[0].recorded == ("loss", *PARTS)
    for objective, batch in (bare, full):
        loss, record = objective(batch)
        assert loss.requires_grad
        assert not record.requires_grad
        assert record.shape == (len(objective.recorded),)
        assert record[0] == loss
    record = named(*bare)
    assert record["loss"] == pytest.approx(
        -Terms(**{name: record[name] for name in Terms._fields}).bound, rel=1e-5
    )


@pytest.mark.parametrize("which", ["bare", "full"])
def test_the_loss_is_a_pure_function_of_weights_and_batch(which, request, untouched_global_state):
    objective, batch = request.getfixturevalue(which)
    rows = batch.y.clone()
    loss, record = objective(batch)
    loss.backward()
    gradients = [p.grad.clone() for p in objective.parameters()]
    again, record_again = objective(batch)
    objective.zero_grad()
    again.backward()
    assert torch.equal(loss, again)
    assert torch.equal(record, record_again)
    assert all(
        torch.equal(p.grad, before)
        for p, before in zip(objective.parameters(), gradients, strict=True)
    )
    assert torch.equal(batch.y, rows)
    of_a_copy, _ = copy.deepcopy(objective)(batch)
    assert torch.equal(loss, of_a_copy)


def test_the_loss_changes_with_the_weights_and_with_the_batch(X, full):
    objective, batch = full
    before, _ = objective(batch)
    batches = batches_of(X, settings(len(X)))
    noise = batches(3, 1).noise
    assert objective(batch._replace(noise=noise))[0] != before
    assert objective(batch._replace(radius=2 * batch.radius))[0] != before
    with torch.no_grad():
        objective.model.prior[0].weight.mul_(1.5)
    assert objective(batch)[0] != before


def test_a_step_leaves_no_gradient_behind_before_backward(full):
    objective, batch = full
    loss, _ = objective(batch)
    assert all(p.grad is None for p in objective.parameters())
    loss.backward()
    assert all(p.grad is not None for p in objective.parameters())


def test_the_objective_is_a_module_that_holds_the_model(full):
    objective, _ = full
    assert isinstance(objective, nn.Module)
    names = {name.removeprefix("model.") for name in objective.state_dict()}
    assert names == set(objective.model.state_dict())
    objective.eval()
    assert not objective.model.encoder[2].training


@pytest.mark.parametrize("perturbation", [
    "adversarial", "affine", "both", lambda y, source: 3 * y + 1,
])
def test_running_statistics_are_of_the_clean_rows_alone(X, perturbation):
    image_shape = (2, 2) if perturbation in ("affine", "both") else None
    radius = settings(len(X)).radius if perturbation in ("adversarial", "both") else None
    without = batches_of(X, None, image_shape)
    with_it = batches_of(
        X, settings(len(X), perturbation=perturbation, radius=radius), image_shape
    )
    bare, full = objective_of(without), objective_of(with_it, consistency=50.0)
    bare(without(0, 0)), full(with_it(0, 0))
    expected = bare.model.state_dict()
    for name, value in full.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    norm = full.model.encoder[2]
    assert int(norm.num_batches_tracked) == 1
    assert norm.running_mean.abs().max() > 0
    assert norm.track_running_stats


def test_a_single_row_trains_by_the_running_statistics(X, full):
    objective, batch = full
    one = batches_of(X[:2], settings(2))(0, 0)
    one = one._replace(
        y=one.y[:1], perturbed=one.perturbed[:1], direction=one.direction[:1],
        radius=one.radius[:1], noise=type(one.noise)(*(draw[:, :1] for draw in one.noise)),
        pseudo_labels=one.pseudo_labels._replace(
            probabilities=one.pseudo_labels.probabilities[:1]
        ),
    )
    objective(batch)
    objective.eval()
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    loss, record = objective(one)
    loss.backward()
    assert torch.isfinite(record).all()
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters())
    for name, tensor in objective.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_both_is_an_adversarial_change_of_what_affine_changes_left(monkeypatch, X):
    seen = []

    def record(cluster_logits, y, logits, radius, direction, probe):
        seen.append((y, radius, direction, probe))
        assert not logits.requires_grad
        return adversarial(cluster_logits, y, logits, radius, direction, probe)

    monkeypatch.setattr(module_under_test, "adversarial", record)
    batches = batches_of(X, settings(len(X), perturbation="both"), (2, 2))
    batch = batches(0, 0)
    objective_of(batches, consistency=50.0, probe=3.5)(batch)
    ((y, radius, direction, probe),) = seen
    assert torch.equal(y, batch.perturbed)
    assert not torch.allclose(y, batch.y)
    assert torch.equal(radius, batch.radius)
    assert torch.equal(direction, batch.direction)
    assert probe == 3.5


def test_rows_that_are_not_perturbed_do_not_disagree(X):
    batches = batches_of(X, settings(len(X), perturbation=lambda y, source: y, radius=None))
    objective = objective_of(batches, consistency=50.0)
    assert named(objective, batches(0, 0))["disagreement"] == pytest.approx(0, abs=1e-6)
    batches = batches_of(X, settings(len(X), perturbation=lambda y, source: -y, radius=None))
    assert named(objective, batches(0, 0))["disagreement"] > 0.001


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_pseudo_labels_enter_by_their_weight(full, weight):
    objective, batch = full
    logits = objective.model.cluster_logits(objective.model.q(batch.y)).detach().double().numpy()
    soft = batch.pseudo_labels.probabilities.double().numpy()
    expected = np.mean([
        -weight * sum(t * log_p for t, log_p in zip(target, row, strict=True))
        for target, row in zip(soft, logits, strict=True)
    ])
    given = PseudoLabels(batch.pseudo_labels.probabilities, torch.tensor(weight))
    found = named(objective, batch._replace(pseudo_labels=given))
    assert found["pseudo_label_loss"] == pytest.approx(expected, rel=1e-5)


def test_without_pseudo_labels_the_sizes_are_those_that_the_batch_expects(full):
    objective, batch = full
    free = named(objective, batch._replace(pseudo_labels=None, log_sizes=torch.zeros(3)))
    assert free["pseudo_label_loss"] == 0
    assert free["imbalance"] == pytest.approx(np.log(3) - free["marginal_entropy"], abs=1e-6)


def test_training_to_pseudo_labels_comes_to_these(X):
    soft = np.full((len(X), 3), 0.1, np.float32)
    soft[np.arange(len(X)), (X[:, 0] > np.median(X[:, 0])).astype(int)] = 0.8
    schedule = PseudoLabelSchedule(100.0, 100.0, 1.0)
    batches = batches_of(X, settings(len(X), pseudo_labels=csr_array(soft), schedule=schedule))
    objective = objective_of(batches, consistency=1e-3)
    optimizer = torch.optim.Adam(objective.parameters(), 0.02)
    for epoch in range(150):
        for step in range(batches.n_steps):
            optimizer.zero_grad()
            objective(batches(epoch, step))[0].backward()
            optimizer.step()
    model = objective.model
    y = batches.rows.take(torch.arange(len(X)))
    found = model.cluster_logits(model.q(y)).exp().detach().numpy()
    # as uncertain as they are, not more certain
    assert np.abs(found - soft).mean() < 0.06
    np.testing.assert_allclose(found.mean(0), soft.mean(0), atol=0.05)
