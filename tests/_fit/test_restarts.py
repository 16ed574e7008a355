"""Restarts, and what they are compared by."""

import math
import pickle

import numpy as np
import pytest
import torch
from joblib import parallel_config

from skgmvae._fit import restarts
from skgmvae._fit import run as one_run
from skgmvae._fit.checkpoint import Checkpoint
from skgmvae._fit.restarts import TRIALS, Trials, run_restarts
from skgmvae._fit.run import Restart, cause_of_nan, run_restart
from skgmvae._fit.settings import Settings
from skgmvae._model import Architecture
from skgmvae._objective import INFORMATION_WEIGHTS, RegularizerInputs
from skgmvae._rows import Rows, Units
from skgmvae._training import Diverged, Schedule
from skgmvae.likelihoods import LIKELIHOODS
from skgmvae.runtime import CPU

SETTINGS = Settings(
    seed=3, n_mc_samples=1, min_information=0.0, consistency=0.0, information=INFORMATION_WEIGHTS,
    inputs=None, batch_size=32, verbose=0,
)
SCHEDULE = Schedule(
    1e-2, decays=True, first_epoch=0, n_epochs=6, head_start=0.0, tol=1e-4, n_iter_no_change=10
)


def task(X, device="cpu", regularized=False, n_epochs=6, **changes):
    rows = Rows.standardized(X, Units.standardizing(X, None), torch.device(device))
    architecture = Architecture(
        (X.shape[1],), 3, 2, 2, (8,), "dense", LIKELIHOODS["gaussian"]
    )
    if regularized:
        radius = np.full(len(X), 0.3, np.float32)
        inputs = RegularizerInputs("adversarial", radius)
        changes = {"consistency": 50.0, "inputs": inputs} | changes
    return architecture, rows, SETTINGS._replace(**changes), SCHEDULE._replace(n_epochs=n_epochs)


def run(X, n_restarts=3, n_jobs=None, rule=TRIALS, **changes):
    return run_restarts(
        n_restarts, n_jobs, *task(X, **changes), rule, checkpoint=Checkpoint()
    )


def equal(one, other):
    assert one.arrays.keys() == other.arrays.keys()
    return one.records == other.records and all(
        np.array_equal(one.arrays[name], other.arrays[name]) for name in one.arrays
    )


def test_a_restart_is_determined_by_its_number(X, device, untouched_global_state):
    first = run_restart(*task(X, device), 1)
    assert equal(first, run_restart(*task(X, device), 1))
    assert not equal(first, run_restart(*task(X, device), 2))
    assert not equal(first, run_restart(*task(X, device, seed=4), 1))
    assert len(first.records) == 6
    assert first.learning_rate == SCHEDULE.learning_rate
    assert not first.interrupted


@pytest.mark.parametrize("regularized", [False, True])
@pytest.mark.parametrize("share", [TRIALS.share, 0.5])
def test_the_best_of_short_trials_goes_on(X, regularized, share):
    *parts, schedule = task(X, regularized=regularized)
    trial = schedule._replace(n_trial_epochs=math.ceil(share * schedule.n_epochs))
    trials = [run_restart(*parts, trial, k) for k in range(3)]
    assert [len(one.records) for one in trials] == [math.ceil(share * 6)] * 3
    assert len({one.score for one in trials}) == 3
    best = max(trials, key=lambda one: one.score)
    found = run(X, rule=Trials(share), regularized=regularized)
    assert found.number == best.number
    assert len(found.records) == 6
    assert found.records[: len(best.records)] == best.records


def test_what_goes_on_equals_a_fit_of_its_number_in_epochs_and_rate(X, monkeypatch):
    original, seen = one_run.train, []

    def watched(objective, batches, schedule, *, earlier, **others):
        seen.append((schedule, list(earlier)))
        return original(objective, batches, schedule, earlier=earlier, **others)

    monkeypatch.setattr(one_run, "train", watched)
    found = run(X, 2)
    *trials, (schedule, earlier) = seen
    assert [schedule.end for schedule, _ in trials] == [1, 1]
    assert all(earlier == [] for _, earlier in trials)
    assert schedule.end == 6
    # judged over the whole history: the epochs of the trial come first
    assert earlier == [found.records[0]["loss"]]


def test_early_stopping_counts_the_epochs_of_the_trial(X):
    *parts, schedule = task(X, n_epochs=12)
    still = schedule._replace(tol=1e6, n_iter_no_change=4)  # no change counts
    found = run_restarts(2, None, *parts, still, Trials(0.25), checkpoint=Checkpoint())
    assert len(found.records) == 5  # the first, which is a change, and four without one
    alone = run_restart(*parts, still, 0)
    assert len(alone.records) == 5


def test_a_trial_that_stopped_does_not_go_on(X):
    *parts, schedule = task(X, n_epochs=12)
    still = schedule._replace(tol=1e6, n_iter_no_change=2)
    found = run_restarts(2, None, *parts, still, Trials(0.5), checkpoint=Checkpoint())
    assert found.stopped
    assert len(found.records) == 3


def test_restarts_are_compared_by_information_or_else_by_the_objective():
    def restart(*records):
        return Restart({}, list(records), 0, 1e-3, interrupted=False)

    assert restart({"loss": 9.0}, {"loss": 5.0}).score == -5.0
    assert restart().score == -np.inf
    information = {"conditional_entropy": 0.5, "marginal_entropy": 2.0}
    assert restart({"loss": 9.0}, {"loss": 5.0, **information}).score == 1.5


@pytest.mark.parametrize("diverging", [{1}, {0, 2}, {0, 1, 2}])
def test_restarts_that_diverge_are_passed_over_unless_all_do(X, monkeypatch, diverging):
    original = restarts.run_restart

    def run_or_diverge(*task):
        if task[3].n_trial_epochs and task[4] in diverging:
            raise Diverged(f"restart {task[4]} was not finite")
        return original(*task)

    monkeypatch.setattr(restarts, "run_restart", run_or_diverge)
    if len(diverging) == 3:
        with pytest.raises(Diverged, match="restart 0 was not finite"):
            run(X)
    else:
        assert run(X).number not in diverging


def test_an_error_that_is_no_divergence_is_raised_at_once(X, monkeypatch):
    numbers = []

    def failing(*task):
        numbers.append(task[4])
        raise ValueError("a factory of the user's is at fault")

    monkeypatch.setattr(restarts, "run_restart", failing)
    with pytest.raises(ValueError, match="at fault"):
        run(X)
    assert numbers == [0]


def test_a_restart_goes_on_at_the_rate_that_its_trial_came_to(X, monkeypatch):
    original, rates = restarts.run_restart, []

    def lowered(*task):
        rates.append(task[3].learning_rate)
        return original(*task)._replace(learning_rate=task[3].learning_rate / 5)

    monkeypatch.setattr(restarts, "run_restart", lowered)
    run(X, 2)
    assert rates == pytest.approx([1e-2, 1e-2, 2e-3])


def test_a_task_and_its_result_may_travel(X):
    here = run_restart(*task(X, regularized=True), 1)
    travelled = pickle.loads(pickle.dumps((*task(X, regularized=True), 1)))
    assert equal(pickle.loads(pickle.dumps(run_restart(*travelled))), here)


def test_threads_find_the_same_as_one(X, untouched_global_state):
    with parallel_config(backend="threading", n_jobs=3):
        found = run(X, 3, n_jobs=3, regularized=True)
    assert equal(found, run(X, 3, n_jobs=1, regularized=True))


@pytest.mark.slow
def test_processes_find_the_same_as_one(X):
    alone = run(X, 2, regularized=True)
    assert equal(run(X, 2, n_jobs=2, regularized=True), alone)


def test_given_weights_are_where_training_starts(X):
    arrays = run(X, 1, seed=8).arrays
    *parts, schedule = task(X, n_epochs=1)
    gone_on = run_restart(*parts, schedule._replace(learning_rate=1e-9), 0, arrays)
    for name, value in gone_on.arrays.items():
        if "running" not in name and "num_batches" not in name:
            np.testing.assert_allclose(value, arrays[name], atol=1e-7)


def test_components_are_equally_probable_while_training(X):
    arrays = run(X, 1).arrays
    np.testing.assert_allclose(arrays["log_weights"], -np.log(3), rtol=1e-6)
    uneven = arrays | {"log_weights": np.log(np.array([0.8, 0.1, 0.1], np.float32))}
    again = run_restart(*task(X), 0, uneven)
    np.testing.assert_allclose(again.arrays["log_weights"], -np.log(3), rtol=1e-6)


@pytest.mark.parametrize("regularized", [False, True])
def test_training_improves_the_loss(X, device, regularized):
    losses = [record["loss"] for record in run(
        X, 1, device=device, regularized=regularized, n_epochs=20
    ).records]
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


# Ctrl-C


def test_ctrl_c_keeps_the_best_of_the_trials_that_ended(monkeypatch, X):
    original, outcomes = restarts.run_restart, []

    def interrupted_at_1(*task):
        outcomes.append(original(*task)._replace(interrupted=task[4] == 1))
        return outcomes[-1]

    monkeypatch.setattr(restarts, "run_restart", interrupted_at_1)
    found = run(X, 4)
    assert [outcome.number for outcome in outcomes] == [0, 1]
    assert found.interrupted
    assert found.score == max(outcome.score for outcome in outcomes)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_ctrl_c_before_any_trial_ended_is_raised(monkeypatch, X, n_jobs):
    def interrupted(*task):
        raise KeyboardInterrupt

    monkeypatch.setattr(restarts, "run_restart", interrupted)
    with parallel_config(backend="threading"), pytest.raises(KeyboardInterrupt):
        run(X, 2, n_jobs=n_jobs)


def test_ctrl_c_in_the_last_phase_keeps_its_best_epoch_and_all_records(monkeypatch, X):
    original = one_run.train

    def interrupted_in_the_last_phase(*parts, earlier, report, **others):
        def interrupt(epoch, record):
            if earlier and epoch == 3:
                raise KeyboardInterrupt
            report(epoch, record)

        return original(*parts, earlier=earlier, report=interrupt, **others)

    monkeypatch.setattr(one_run, "train", interrupted_in_the_last_phase)
    found = run(X, 2)
    assert found.interrupted
    assert len(found.records) == 4


# what is said


@pytest.mark.parametrize(("verbose", "n_epochs", "n_lines"), [(0, 20, 0), (1, 20, 11), (2, 4, 4)])
def test_verbosity(capsys, X, verbose, n_epochs, n_lines):
    run(X, 1, verbose=verbose, n_epochs=n_epochs)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == n_lines
    if lines:
        assert lines[0].startswith(f"epoch 1/{n_epochs}  bound ")
        assert lines[-1].startswith(f"epoch {n_epochs}/{n_epochs}  bound ")


@pytest.mark.parametrize("verbose", [1, 2])
def test_what_is_printed_changes_no_bit_of_the_fit(capsys, X, verbose):
    for regularized in (False, True):
        quiet = run(X, 2, regularized=regularized)
        assert equal(run(X, 2, regularized=regularized, verbose=verbose), quiet)
    assert capsys.readouterr().out


def test_trials_and_an_early_end_are_named(capsys, X):
    *parts, schedule = task(X, n_epochs=12, verbose=1)
    schedule = schedule._replace(tol=1e6, n_iter_no_change=4)
    run_restarts(2, None, *parts, schedule, checkpoint=Checkpoint())
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in printed if "1/2" in line] == ["trial 1", "trial 2"]
    assert printed[-1] == "stopped after 5 epochs"


def nan_perturbation(y, source):
    return y * torch.nan


def blamed(X, networks="dense", perturbation=None):
    architecture, rows, settings, schedule = task(X)
    if perturbation is not None:
        inputs = RegularizerInputs(perturbation, None)
        settings = settings._replace(consistency=1.0, inputs=inputs)
    architecture = architecture._replace(networks=networks)
    batches = one_run.batches_of(architecture, rows, settings, schedule.progress, 0)
    return cause_of_nan(architecture.build(CPU, 0), batches, 0, architecture, settings)


def test_the_callable_that_makes_nan_is_named(X):
    def networks_of(which):
        def factory(data_shape, latent_dim, style_dim, n_parameters):
            class Logarithm(torch.nn.Linear):
                def forward(self, x):
                    return super().forward(x) * 0 + torch.log(x - 1e9).sum(1, keepdim=True)

            sizes = [(4, 5), (2, 5), (2, 5)]
            layers = [torch.nn.Linear(*size) for size in sizes]
            layers[which] = Logarithm(*sizes[which])
            return tuple(layers)

        return factory

    rows = task(X)[1]
    for which in range(3):
        assert blamed(X, networks_of(which)).startswith("networks=<function ")
    assert blamed(X, perturbation=nan_perturbation).startswith("perturbation=<function nan_pert")
    # of one row, in some batch
    row = rows.take(torch.tensor([7]))
    assert blamed(X, perturbation=lambda y, source: torch.where(y == row, torch.nan, y))
    assert blamed(X) == ""
    assert blamed(X, perturbation=lambda y, source: y) == ""


def test_networks_of_the_package_are_not_blamed_for_weights_that_are_too_large(X):
    architecture, rows, settings, schedule = task(X)
    batches = one_run.batches_of(architecture, rows, settings, schedule.progress, 0)
    module = architecture.build(CPU, 0)
    for parameter in module.parameters():
        torch.nn.init.constant_(parameter, 1e30)
    assert cause_of_nan(module, batches, 0, architecture, settings) == ""
