"""The loss of a minibatch: what enters it, what does not, and what it draws from."""

import numpy as np
import pytest
import torch

from skgmvae import objective as module_under_test
from skgmvae.architecture import Architecture
from skgmvae.consistency import Regulariser, adversarial
from skgmvae.data import DataSpace, Rows
from skgmvae.elbo import Terms, draw_noise, elbo_terms, loss
from skgmvae.objective import Objective, Settings
from skgmvae.runtime import generator

CPU = torch.device("cpu")


def make(X, image_shape=None, networks="dense", restart=0, **changes):
    space = DataSpace.fit(X, "gaussian", image_shape)
    settings = Settings(
        seed=5, n_mc_samples=2, min_information=0.0, consistency=50.0,
        perturbation="adversarial", radius=np.linspace(0.1, 0.5, len(X), dtype=np.float32),
        start=None, guided_epochs=0.0, lasting_hold=0.0, learning_rate=1e-3,
        learning_rate_falls=True, batch_size=16, first_epoch=0, last_epoch=None, max_iter=10,
        tol=1e-4, n_iter_no_change=10, verbose=0,
    )._replace(**changes)
    architecture = Architecture(space.data_shape, 3, 2, 2, (8,), networks, "gaussian")
    rows = Rows(X, space, CPU)
    return Objective(architecture.build(CPU, 7).train(), rows, settings, restart)


def forbidden(*arguments, **keywords):
    raise AssertionError("called although consistency=0")


def test_without_consistency_the_regulariser_costs_nothing(monkeypatch, X):
    for name in ("regulariser", "adversarial", "affine", "frozen_statistics"):
        monkeypatch.setattr(module_under_test, name, forbidden)
    monkeypatch.setattr(Rows, "typical_norm", forbidden)
    objective = make(X, consistency=0, radius=None)
    monkeypatch.setattr(objective.model, "cluster_logits", forbidden)
    _, n, records = objective(0, 0)
    assert n == 15
    assert len(records) == len(Terms._fields)


def test_without_consistency_the_loss_is_the_papers(X):
    objective = make(X, consistency=0, radius=None, min_information=0.3)
    value, _, records = objective(2, 0)

    reference = make(X, consistency=0, radius=None)
    y = reference.rows.take(reference.rows.batches(16, 5, 0, 2)[0])
    noise = draw_noise(2, len(y), 2, 2, generator(CPU, 5, 0, 2, 0))
    terms = elbo_terms(reference.model, y, *reference.model.q(y), noise)
    assert torch.equal(value, loss(terms, 0.3))
    assert [r.item() for r in records] == [t.mean().item() for t in terms]


def test_the_records_are_the_true_terms_whatever_the_threshold(X):
    free = make(X, consistency=0, radius=None)(0, 0)
    held = make(X, consistency=0, radius=None, min_information=1.0)(0, 0)
    assert [r.item() for r in free[2]] == [r.item() for r in held[2]]
    z_prior = free[2][3].item()
    assert z_prior < 1.0
    assert held[0].item() == pytest.approx(free[0].item() - z_prior + 1.0, rel=1e-5)


def test_the_loss_is_the_bound_plus_the_weighted_regulariser(X):
    bare = make(X, consistency=0, radius=None)(0, 0)
    for weight in (1.0, 50.0):
        value, _, records = make(X, consistency=weight)(0, 0)
        parts = Regulariser(*(r.item() for r in records[4:]))
        assert [r.item() for r in records[:4]] == [r.item() for r in bare[2]]
        assert value.item() == pytest.approx(bare[0].item() + weight * parts.total, rel=1e-5)


def test_the_fit_is_held_to_its_start_less_and_less(X):
    start = np.arange(len(X)) % 3
    held = make(X, start=start, guided_epochs=4.0)
    free = make(X)
    index = held.rows.batches(16, *held.key, 2)[0]
    logits = held.model.cluster_logits(held.model.q(held.rows.take(index)))
    at_start = logits[range(len(index)), start[index]]
    expected = 0.5 * -at_start.mean().item()
    assert departure_of(held, 2) == pytest.approx(expected, rel=1e-5)
    assert departure_of(held, 4) == departure_of(free, 2) == 0
    held.settings = held.settings._replace(lasting_hold=0.2)
    left = 0.2 * (1 - at_start.exp().mean().item())
    assert departure_of(held, 2) == pytest.approx(expected + left, rel=1e-5)
    assert 0 < departure_of(held, 4) < 0.2


def departure_of(objective, epoch):
    return Regulariser(*(r.item() for r in objective(epoch, 0)[2][4:])).departure


def test_the_sizes_expected_are_those_of_the_start(X):
    start = np.repeat([0, 1, 2], [len(X) - 12, 9, 3])
    objective = make(X, start=start, guided_epochs=1.0)
    np.testing.assert_allclose(
        objective.start.log_sizes.numpy(), np.log([len(X) - 11, 10, 4]), rtol=1e-6
    )


def test_what_is_recorded_is_named(X):
    bare, full = make(X, consistency=0, radius=None), make(X)
    assert bare.recorded == ("loss", *Terms._fields)
    assert full.recorded == ("loss", *Terms._fields, *Regulariser._fields)
    assert 1 + len(full(0, 0)[2]) == len(full.recorded)
    history = full.history([list(range(10)), list(range(10, 20))])
    assert list(history) == list(full.recorded)
    assert history["loss"].tolist() == [0, 10]
    assert history["marginal_entropy"].tolist() == [7, 17]
    assert history["loss"].dtype == np.float64
    assert all(len(values) == 0 for values in full.history([]).values())


def test_the_batches_of_an_epoch_are_every_row_once(monkeypatch, X):
    objective = make(X, consistency=0, radius=None)
    seen = []
    take = objective.rows.take
    monkeypatch.setattr(objective.rows, "take", lambda i: seen.append(i) or take(i))
    counts = [objective(0, batch)[1] for batch in range(objective.n_batches)]
    assert sum(counts) == len(X)
    assert torch.cat(seen).sort().values.tolist() == list(range(len(X)))


def test_the_draws_depend_on_seed_restart_epoch_and_batch_alone(X, untouched_global_state):
    def value(epoch, batch, before=(), **changes):
        objective = make(X, consistency=0, radius=None, **changes)
        objective.model.eval()
        for earlier in before:
            objective(*earlier)
        if batch:
            objective(epoch, 0)
        return float(objective(epoch, batch)[0].detach())

    assert value(3, 1) == value(3, 1, before=[(0, 0), (0, 1), (1, 0), (3, 0)])
    values = {
        value(3, 1), value(3, 2), value(4, 1), value(3, 1, restart=1), value(3, 1, seed=6),
    }
    assert len(values) == 5


def test_no_two_batches_share_their_noise(monkeypatch, X):
    drawn = []

    def record(*arguments):
        drawn.append(draw_noise(*arguments))
        return drawn[-1]

    monkeypatch.setattr(module_under_test, "draw_noise", record)
    objective = make(X, consistency=0, radius=None)
    for epoch in range(2):
        for batch in range(objective.n_batches):
            objective(epoch, batch)
    assert len({tuple(noise.x.flatten().tolist()) for noise in drawn}) == len(drawn) == 8


@pytest.mark.parametrize(
    "perturbation", ["adversarial", "affine", "both", lambda y, source: 3 * y + 1]
)
def test_the_perturbed_pass_leaves_batch_statistics_alone(X, perturbation):
    parameters = {"image_shape": (2, 2)} if perturbation in ("affine", "both") else {}
    bare = make(X, **parameters, consistency=0, radius=None)
    full = make(X, **parameters, perturbation=perturbation)
    bare(0, 0), full(0, 0)
    expected = bare.model.state_dict()
    for name, value in full.model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert int(full.model.encoder[2].num_batches_tracked) == 1
    assert full.model.encoder[2].track_running_stats


def test_a_step_leaves_no_gradient_behind_before_backward(X):
    objective = make(X)
    value, _, _ = objective(0, 0)
    assert all(p.grad is None for p in objective.model.parameters())
    value.backward()
    assert all(p.grad is not None for p in objective.model.parameters())


def test_a_perturbation_of_ones_own_gets_the_rows_of_the_model_and_a_generator(X):
    calls = []

    def perturbation(y, source):
        calls.append((y, source))
        return y + torch.randn(y.shape, generator=source)

    objective = make(X, perturbation=perturbation)
    first = objective(0, 0)[2][4]
    y, source = calls[0]
    assert torch.equal(y, objective.rows.take(objective.rows.batches(16, 5, 0, 0)[0]))
    assert isinstance(source, torch.Generator)
    assert first.item() > 0
    unchanged = make(X, perturbation=lambda y, source: y)(0, 0)[2][4]
    assert unchanged.item() == pytest.approx(0, abs=1e-6)


def test_the_radius_is_each_rows_own(monkeypatch, X):
    calls = []

    def record(logits_of, y, logits, radius, probe, source):
        calls.append((radius, probe))
        assert not logits.requires_grad
        return y

    monkeypatch.setattr(module_under_test, "adversarial", record)
    objective = make(X)
    for epoch in (0, 9):
        objective(epoch, 0)
        index = objective.rows.batches(16, 5, 0, epoch)[0]
        np.testing.assert_array_equal(calls[-1][0], objective.settings.radius[index.numpy()])
    assert calls[-1][1] == objective.rows.typical_norm()


def test_affine_is_called_with_images(monkeypatch, X):
    shapes = []
    monkeypatch.setattr(module_under_test, "affine", lambda y, source: shapes.append(y.shape) or y)
    make(X, image_shape=(2, 2), perturbation="affine")(0, 0)
    assert shapes == [(15, 1, 2, 2)]


def test_both_is_an_adversarial_change_of_what_affine_changes_left(monkeypatch, X):
    seen = []

    def record(cluster_logits, y, *rest):
        seen.append(y)
        return adversarial(cluster_logits, y, *rest)

    monkeypatch.setattr(module_under_test, "affine", lambda y, source: y + 1)
    monkeypatch.setattr(module_under_test, "adversarial", record)
    objective = make(X, image_shape=(2, 2), perturbation="both")
    objective(0, 0)
    rows = objective.rows.take(objective.rows.batches(16, 5, 0, 0)[0])
    assert torch.equal(seen[0], rows + 1)
