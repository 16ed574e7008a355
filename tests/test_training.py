"""The loop, on models that are no GMVAE."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from skgmvae import training
from skgmvae.training import MAX_RETRIES, RETRY_FACTOR, all_finite, make_optimizer, run_epoch, train


class Point(nn.Module):
    """A parameter to be moved, and a buffer that a step may write."""

    def __init__(self, *values):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(values))
        self.register_buffer("seen", torch.zeros(()))


def quadratic(module, target=(3.0, -2.0)):
    def step(epoch, batch):
        module.seen.fill_(float(epoch))
        value = (module.at - torch.tensor(target)).square().sum()
        return value, 10, [value.detach() / 2]

    return step


def run(module, step, n_batches=5, **changes):
    parameters = {"learning_rate": 0.1, "max_iter": 100, "tol": 1e-4, "n_iter_no_change": 1000}
    return train(module, step, n_batches, **(parameters | changes))


def test_a_quadratic_is_minimised():
    module = Point(0.0, 0.0)
    outcome = run(module, quadratic(module))
    assert torch.allclose(module.at, torch.tensor([3.0, -2.0]), atol=1e-2)
    assert outcome.converged
    assert not outcome.interrupted
    assert len(outcome.records) == 100
    assert outcome.records[-1][0] < 1e-3 < outcome.records[0][0]
    for value, half in outcome.records:
        assert half == pytest.approx(value / 2, rel=1e-5)


def test_too_few_epochs_have_not_converged():
    module = Point(0.0, 0.0)
    assert not run(module, quadratic(module), max_iter=5, learning_rate=1e-3).converged
    assert not run(module, quadratic(module), max_iter=1).converged


@pytest.fixture
def rates(monkeypatch):
    """Record the learning rate of every step."""
    recorded = []

    class Recording(torch.optim.SGD):
        def step(self, closure=None):
            recorded.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(
        training, "make_optimizer", lambda module, rate: Recording(module.parameters(), rate)
    )
    return recorded


def test_the_rate_falls_on_a_half_cosine(rates):
    module = Point(0.0)
    run(module, quadratic(module, (1.0,)), n_batches=4, max_iter=6, learning_rate=0.2)
    expected = [0.1 * (1 + math.cos(math.pi * k / 24)) for k in range(24)]
    assert rates == pytest.approx(expected)
    assert rates[0] == 0.2
    assert all(a > b for a, b in pairwise(rates))


def test_a_constant_rate_stays(rates):
    module = Point(0.0)
    run(module, quadratic(module, (1.0,)), n_batches=4, max_iter=6, learning_rate=0.2, falls=False)
    assert rates == [0.2] * 24


def test_training_that_goes_on_counts_the_epochs_before():
    module, epochs = Point(0.0), []

    def step(epoch, batch):
        epochs.append(epoch)
        return module.at.square().sum(), 1, []

    assert len(run(module, step, 1, first_epoch=6, max_iter=10).records) == 4
    assert epochs == [6, 7, 8, 9]
    assert run(module, step, 1, first_epoch=10, max_iter=10).records == []
    assert module.at.tolist() == [0.0]


def test_the_optimizer_has_the_papers_constants():
    group = make_optimizer(Point(0.0), 1e-4).param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (1e-4, (0.9, 0.999), 1e-8)


def test_training_stops_when_nothing_changes():
    module = Point(0.0)
    flat = lambda epoch, batch: (0 * module.at.sum() + 7.0, 1, [])  # noqa: E731
    assert len(run(module, flat, n_iter_no_change=4).records) == 5


def test_training_goes_on_while_the_loss_falls():
    module = Point(0.0)
    falling = lambda epoch, batch: (0 * module.at.sum() + 100.0 / (1 + epoch), 1, [])  # noqa: E731
    assert len(run(module, falling, n_iter_no_change=2, max_iter=15).records) == 15


def test_changes_smaller_than_tol_do_not_count():
    module = Point(0.0)

    def step(epoch, batch):  # falls by 90, then by 1e-3 an epoch
        value = 100.0 if epoch == 0 else 10.0 - 1e-3 * epoch
        return 0 * module.at.sum() + value, 1, []

    assert len(run(module, step, n_iter_no_change=3, tol=1e-3, max_iter=50).records) == 5
    assert len(run(module, step, n_iter_no_change=3, tol=1e-7, max_iter=50).records) == 50


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_stays_unfinite_is_an_error_after_retries_at_lower_rates(poison):
    module, calls = Point(1.0), []

    def step(epoch, batch):
        calls.append(epoch)
        return module.at.sum() * poison, 1, []

    with pytest.raises(ValueError, match=r"not finite in epoch 1.*learning_rate_init") as caught:
        run(module, step, n_batches=1)
    assert len(calls) == MAX_RETRIES + 1
    assert f"{0.1 * RETRY_FACTOR**MAX_RETRIES:.1e}" in str(caught.value)


def diverging(module, epoch_of_trouble, tolerable):
    """Return a quadratic step that is NaN in one epoch while the last move was too long."""
    last = module.at.detach().clone()

    def step(epoch, batch):
        moved = float((module.at.detach() - last).abs().max())
        last.copy_(module.at.detach())
        value = (module.at - 3.0).square().sum()
        if epoch == epoch_of_trouble and batch and moved > tolerable:
            value = value * math.nan
        return value, 1, []

    return step


def test_a_loss_that_heals_at_a_lower_rate_is_survived():
    module = Point(0.0)
    outcome = run(
        module, diverging(module, 3, 0.01), n_batches=2, learning_rate=0.1, max_iter=40
    )
    assert len(outcome.records) == 40
    assert all(math.isfinite(value) for record in outcome.records for value in record)
    assert torch.isfinite(module.at).all()
    assert outcome.records[-1][0] < outcome.records[0][0]


def test_after_trouble_training_goes_on_from_the_best_weights():
    module, starts = Point(0.0), []

    def step(epoch, batch):
        starts.append((epoch, float(module.at.detach())))
        value = (module.at - 3.0).square().sum()
        poisoned = epoch == 2 and len(starts) == 3
        return value * math.nan if poisoned else value, 1, []

    run(module, step, n_batches=1, max_iter=4)
    epochs, places = zip(*starts, strict=True)
    assert epochs == (0, 1, 2, 2, 3)
    assert places[3] == places[2]  # of the snapshot after epoch 1
    assert 0 < places[4] - places[3] < 0.5 * (places[2] - places[1])  # a fifth of the rate


def test_weights_that_are_not_finite_count_as_trouble_too():
    module = Point(1.0)
    assert all_finite(module, [1.0])
    assert not all_finite(module, [1.0, math.nan])
    with torch.no_grad():
        module.at.fill_(math.inf)
    assert not all_finite(module, [1.0])


def test_ctrl_c_puts_the_best_weights_back():
    module, good = Point(0.0), {}

    def step(epoch, batch):
        if epoch == 3 and batch == 1:
            raise KeyboardInterrupt
        if epoch == 2:  # made worse after the best epoch
            value = 100 * (module.at + 50).square().sum()
        else:
            value = (module.at - 3.0).square().sum()
        if (epoch, batch) == (2, 0):
            good.update({k: v.detach().clone() for k, v in module.state_dict().items()})
        module.seen.fill_(float(epoch))
        return value, 1, []

    outcome = run(module, step, n_batches=2)
    assert outcome.interrupted
    assert len(outcome.records) == 3
    assert module.at.tolist() == good["at"].tolist() != [0.0]
    assert float(module.seen) == 1.0


def test_ctrl_c_in_the_first_epoch_keeps_the_weights():
    module = Point(5.0)

    def step(epoch, batch):
        if batch == 1:
            raise KeyboardInterrupt
        return module.at.square().sum(), 1, []

    outcome = run(module, step)
    assert outcome == ([], False, True)
    assert module.at.tolist() == [5.0]


def test_other_errors_are_not_swallowed():
    def step(epoch, batch):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Point(0.0), step)


def test_records_are_means_over_rows_not_over_batches():
    module = Point(0.0)
    batches = [(1.0, 30, 5.0), (4.0, 10, -3.0)]

    def step(epoch, batch):
        value, n, extra = batches[batch]
        return 0 * module.at.sum() + value, n, [torch.tensor(extra)]

    record = run_epoch(make_optimizer(module, 0.1), step, 0, 2, lambda epoch: 0.1)
    assert record == pytest.approx([(30 * 1 + 10 * 4) / 40, (30 * 5 - 10 * 3) / 40])


def test_run_epoch_asks_for_the_rate_at_fractions_of_the_epoch():
    module, asked = Point(0.0), []
    rate = lambda epoch: asked.append(epoch) or 0.1  # noqa: E731
    run_epoch(make_optimizer(module, 0.1), quadratic(module, (1.0,)), 3, 4, rate)
    assert asked == [3.0, 3.25, 3.5, 3.75]


def test_every_epoch_is_reported():
    module, told = Point(0.0, 0.0), []
    outcome = run(
        module, quadratic(module), max_iter=4, report=lambda *report: told.append(report)
    )
    assert told == list(enumerate(outcome.records))


def test_training_draws_nothing(untouched_global_state):
    module = Point(0.0, 0.0)
    run(module, quadratic(module), max_iter=3)
