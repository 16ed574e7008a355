"""Restarts, what they are compared by, and a single pass."""

import math
import pickle

import numpy as np
import pytest
import torch
from joblib import parallel_config

from skgmvae import restarts
from skgmvae.architecture import Architecture
from skgmvae.data import DataSpace, Rows
from skgmvae.elbo import Terms
from skgmvae.objective import Objective, Settings
from skgmvae.persistence import to_arrays
from skgmvae.restarts import Restart, in_units_of_data, one_pass, run_restart, run_restarts
from skgmvae.training import make_optimizer

CPU = torch.device("cpu")
SETTINGS = Settings(
    seed=3, n_mc_samples=1, min_information=0.0, consistency=0.0, perturbation="adversarial",
    radius=None, start=None, guided_epochs=0.0, lasting_hold=0.0, learning_rate=1e-2,
    learning_rate_falls=True, batch_size=32, first_epoch=0, max_iter=3, last_epoch=None, tol=1e-4,
    n_iter_no_change=10, verbose=0,
)


def parts(X, **changes):
    space = DataSpace.fit(X, "gaussian", None)
    architecture = Architecture(space.data_shape, 3, 2, 2, (8,), "dense", "gaussian")
    return architecture, space, X, CPU, SETTINGS._replace(**changes)


def run(X, n_restarts=3, n_jobs=None, arrays=None, **changes):
    return run_restarts(n_restarts, n_jobs, *parts(X, **changes), arrays)


def consistent(X):
    return {"consistency": 50.0, "radius": np.full(len(X), 0.3, np.float32)}


def equal(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    assert one.history.keys() == other.history.keys()
    return all(
        np.array_equal(a[name], b[name])
        for a, b in ((one.arrays, other.arrays), (one.history, other.history)) for name in a
    )


def test_a_restart_is_determined_by_its_number(X, untouched_global_state):
    first = run_restart(*parts(X), 1)
    assert equal(first, run_restart(*parts(X), 1))
    assert not equal(first, run_restart(*parts(X), 2))
    assert not equal(first, run_restart(*parts(X, seed=4), 1))
    assert first.n_epochs == 3
    assert all(len(values) == 3 for values in first.history.values())
    assert not first.interrupted


@pytest.mark.parametrize("with_consistency", [False, True])
def test_the_best_of_short_restarts_goes_on(X, with_consistency):
    changes = {"max_iter": 12} | (consistent(X) if with_consistency else {})
    trials = [run_restart(*parts(X, last_epoch=2, **changes), k) for k in range(3)]
    assert all(trial.n_epochs == 2 for trial in trials)
    assert len({trial.score for trial in trials}) == 3
    best = max(trials, key=lambda trial: trial.score)
    found = run(X, **changes)
    assert found.number == best.number
    assert found.n_epochs == 12
    for name, values in best.history.items():
        np.testing.assert_array_equal(found.history[name][:2], values)


def test_restarts_are_compared_by_information_or_else_by_the_objective():
    def restart(**history):
        arrays = {name: np.asarray(values) for name, values in history.items()}
        return Restart({}, arrays, 0, False, False)

    assert restart(loss=[9.0, 5.0]).score == -5.0
    assert restart(loss=[]).score == -np.inf
    found = restart(
        loss=[9.0, 5.0], disagreement=[9.0, 0.2], conditional_entropy=[9.0, 0.5],
        marginal_entropy=[0.0, 2.0],
    )
    assert found.score == 1.5


@pytest.mark.parametrize("diverging", [{1}, {0, 1, 2}])
def test_starts_that_diverge_are_passed_over_unless_all_do(X, monkeypatch, diverging):
    original = restarts.run_restart

    def settings_of(task):
        return next(part for part in task if isinstance(part, Settings))

    def run_or_diverge(*task):
        if settings_of(task).last_epoch and task[-1] in diverging:
            raise ValueError("the loss was not finite")
        return original(*task)

    monkeypatch.setattr(restarts, "run_restart", run_or_diverge)
    if len(diverging) == 3:
        with pytest.raises(ValueError, match="not finite"):
            run(X)
    else:
        assert run(X).number not in diverging


def test_a_task_and_its_result_may_travel(X):
    task = pickle.loads(pickle.dumps((*parts(X, **consistent(X)), 1)))
    here = run_restart(*parts(X, **consistent(X)), 1)
    assert equal(pickle.loads(pickle.dumps(run_restart(*task))), here)


@pytest.mark.slow
def test_processes_find_the_same_as_one(X):
    sequential = run(X, 2, **consistent(X))
    assert equal(run(X, 2, n_jobs=2, **consistent(X)), sequential)


def test_threads_find_the_same_as_one(X, untouched_global_state):
    with parallel_config(backend="threading", n_jobs=3):
        assert equal(run(X, 3, n_jobs=3, **consistent(X)), run(X, 3, n_jobs=1, **consistent(X)))


def test_a_single_restart_goes_on_from_given_weights(monkeypatch, X):
    given = []
    original = restarts.run_restart

    def record(*task):
        given.append(task[-1])
        return original(*task)

    monkeypatch.setattr(restarts, "run_restart", record)
    arrays = run(X, 1, seed=8).arrays
    given.clear()
    run(X, 1, arrays=arrays)
    assert len(given) == 1
    assert given[0] is arrays


def test_given_weights_are_where_training_starts(X):
    arrays = run(X, 1, seed=8).arrays
    gone_on = run_restart(*parts(X, learning_rate=1e-9, max_iter=1), 0, arrays)
    for name, value in gone_on.arrays.items():
        if "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(value, arrays[name], atol=1e-7)


def test_training_improves_the_bound(X):
    history = run(X, 1, max_iter=20).history
    assert history["loss"][-1] < history["loss"][0]


def test_ctrl_c_keeps_the_restarts_that_ended(monkeypatch, X):
    original, numbers = restarts.run_restart, []

    def interrupted_at_1(*task):
        numbers.append(task[-1])
        return original(*task)._replace(interrupted=task[-1] == 1)

    monkeypatch.setattr(restarts, "run_restart", interrupted_at_1)
    found = run(X, 4)
    assert numbers == [0, 1]
    assert found.interrupted


@pytest.mark.parametrize(("verbose", "max_iter", "n_lines"), [(0, 20, 0), (1, 20, 11), (2, 4, 4)])
def test_verbosity(capsys, X, verbose, max_iter, n_lines):
    run(X, 1, verbose=verbose, max_iter=max_iter)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n_lines
    if lines:
        assert lines[0].startswith(f"restart 1  epoch 1/{max_iter}  loss ")
        assert lines[-1].startswith(f"restart 1  epoch {max_iter}/{max_iter}")
        assert "z_prior" in lines[0]


def test_a_history_in_the_units_of_the_data(X):
    space = DataSpace.fit(8 * X, "gaussian", None)
    raw = run(X, 1, **consistent(X)).history
    history = in_units_of_data(raw, space)
    assert "loss" not in history
    assert "loss" in raw
    np.testing.assert_allclose(
        history["reconstruction"], raw["reconstruction"] - np.log(space.scale).sum()
    )
    np.testing.assert_allclose(
        history["lower_bound"],
        history["reconstruction"] - raw["conditional_prior"] - raw["w_prior"] - raw["z_prior"],
    )
    np.testing.assert_allclose(
        history["regulariser"],
        raw["disagreement"] + 0.1 * (raw["conditional_entropy"] + 2 * raw["imbalance"]),
    )
    np.testing.assert_allclose(
        raw["loss"],
        50 * in_units_of_data(raw, space)["regulariser"]
        - history["lower_bound"] - np.log(space.scale).sum(),
        rtol=1e-5,
    )


def test_a_history_without_a_regulariser_has_zeros_for_it(X):
    history = in_units_of_data(run(X, 1).history, DataSpace.fit(X, "gaussian", None))
    assert set(history) == {*Terms._fields, "lower_bound", "regulariser"}
    assert history["regulariser"].tolist() == [0, 0, 0]


def objective_on(X):
    architecture, space, X, device, settings = parts(X)
    return Objective(architecture.build(device, 0).eval(), Rows(X, space, device), settings, 0)


def test_one_pass_trains_at_a_constant_rate_and_ends_in_evaluation_mode(X):
    objective = objective_on(X)
    optimizer = make_optimizer(objective.model, 1e-2)
    before = to_arrays(objective.model)
    record = one_pass(objective, optimizer, 0, 1e-2)
    assert len(record) == len(objective.recorded)
    assert not objective.model.training
    assert optimizer.param_groups[0]["lr"] == 1e-2
    assert any(
        not np.array_equal(value, before[name])
        for name, value in to_arrays(objective.model).items()
    )


class Failing:
    """An objective whose second batch is NaN, or raises."""

    def __init__(self, objective, error=None):
        self.objective, self.error = objective, error
        self.model, self.n_batches = objective.model, objective.n_batches

    def __call__(self, epoch, batch):
        value, n, records = self.objective(epoch, batch)
        if batch == 1 and self.error is not None:
            raise self.error
        return (value * math.nan if batch == 1 else value), n, records


@pytest.mark.parametrize("error", [None, RuntimeError("boom"), KeyboardInterrupt()])
def test_a_pass_that_fails_leaves_the_weights_as_they_were(X, error):
    objective = objective_on(X)
    before = to_arrays(objective.model)
    expected = ValueError if error is None else type(error)
    with pytest.raises(expected) as caught:
        one_pass(Failing(objective, error), make_optimizer(objective.model, 0.01), 0, 0.01)
    for name, value in to_arrays(objective.model).items():
        np.testing.assert_array_equal(value, before[name])
    assert not objective.model.training
    if error is None:
        assert "learning_rate_init=0.01" in str(caught.value)


def test_after_a_pass_that_failed_another_may_succeed(X):
    objective = objective_on(X)
    optimizer = make_optimizer(objective.model, 0.01)
    one_pass(objective, optimizer, 0, 0.01)
    with pytest.raises(ValueError, match="not finite"):
        one_pass(Failing(objective), optimizer, 1, 0.01)
    record = one_pass(objective, optimizer, 2, 0.01)
    assert all(map(math.isfinite, record))
