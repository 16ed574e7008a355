"""The loop, on objectives that are no GMVAE."""

import math

import pytest
import torch
from torch import nn

from skgmvae._training import Adam, Diverged, Schedule, Step, all_finite, run_epoch, train
from skgmvae._training.loop import RETRIES, Retries, Training


class Toy(nn.Module):
    """A parameter to be moved, a buffer that a step may write, and a loss of (epoch, step)."""

    def __init__(self, loss, *values):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(values or (0.0,)))
        self.register_buffer("seen", torch.zeros(()))
        self.loss = loss

    def forward(self, batch):
        self.seen.fill_(float(batch[0]))
        loss = self.loss(self.at, *batch)
        return loss, torch.stack([loss, loss / 2]).detach()


class Keys:
    """Batches that are their own keys; lists those asked for."""

    def __init__(self, n_steps):
        self.n_steps = n_steps
        self.asked = []

    def __call__(self, epoch, step):
        self.asked.append((epoch, step))
        return epoch, step


def quadratic(at, epoch, step):
    return (at - 3.0).square().sum()


def constant(value):
    """Return a loss that is a number, or a function of the epoch, whatever the weights."""
    return lambda at, epoch, step: 0 * at.sum() + (value(epoch) if callable(value) else value)


def run(
    objective, batches=None, *, earlier=(), report=None, score=None, begin=lambda epoch: None,
    retries=RETRIES, **changes,
):
    parameters = {
        "learning_rate": 0.1, "decays": True, "first_epoch": len(earlier), "n_epochs": 100,
        "head_start": 0.0, "tol": 1e-4, "n_iter_no_change": 1000,
    }
    return train(
        objective, batches or Keys(5), Schedule(**(parameters | changes)), earlier=earlier,
        report=report, score=score, begin=begin, retries=retries,
    )


def losses(outcome):
    return [record[0] for record in outcome.records]


def test_a_quadratic_is_minimized():
    objective = Toy(quadratic, 0.0, 0.0)
    outcome = run(objective)
    assert torch.allclose(objective.at, torch.tensor([3.0, 3.0]), atol=1e-2)
    assert not outcome.interrupted
    assert outcome.learning_rate == 0.1
    assert len(outcome.records) == 100
    assert losses(outcome)[-1] < 1e-3 < losses(outcome)[0]
    for loss, half in outcome.records:
        assert half == pytest.approx(loss / 2, rel=1e-5)


def test_every_batch_of_every_epoch_is_asked_for_once_in_order():
    batches = Keys(3)
    run(Toy(quadratic), batches, n_epochs=4)
    assert batches.asked == [(epoch, step) for epoch in range(4) for step in range(3)]


def test_training_puts_the_objective_in_training_mode():
    objective = Toy(quadratic).eval()
    run(objective, n_epochs=1)
    assert objective.training


@pytest.fixture
def rates(monkeypatch):
    """Record the learning rate of every step."""
    recorded, step = [], Adam.step

    def recording(self):
        recorded.append(float(self.learning_rate))
        step(self)

    monkeypatch.setattr(Adam, "step", recording)
    return recorded


@pytest.mark.parametrize("decays", [True, False])
def test_each_step_has_the_rate_of_its_place_in_the_schedule(rates, decays):
    earlier = [9.0, 8.0]
    run(Toy(quadratic), Keys(4), n_epochs=6, decays=decays, earlier=earlier, head_start=5.0)
    schedule = Schedule(0.1, decays, 2, 6, 5.0, 1e-4, 1000)
    assert rates == pytest.approx([schedule.learning_rate_at(2 + k / 4) for k in range(24)])
    assert (rates[0] < 0.1) == (rates[-1] < rates[0]) == decays


# Where training begins and ends.

def test_training_that_goes_on_counts_the_epochs_before():
    batches, objective = Keys(1), Toy(quadratic)
    outcome = run(objective, batches, earlier=[9.0] * 6, n_epochs=4)
    assert len(outcome.records) == 4
    assert batches.asked == [(epoch, 0) for epoch in (6, 7, 8, 9)]
    before = objective.at.detach().clone()
    assert run(objective, batches, earlier=[9.0] * 6, n_epochs=0).records == []
    assert len(batches.asked) == 4
    assert torch.equal(objective.at, before)


def test_what_came_after_a_trial_counts_from_its_first_epoch():
    batches = Keys(1)
    run(Toy(quadratic), batches, n_epochs=6, n_trial_epochs=2)
    run(Toy(quadratic), batches, n_epochs=6, earlier=[5.0, 4.0], first_epoch=0)
    assert [epoch for epoch, _ in batches.asked] == [0, 1, 2, 3, 4, 5]


def test_training_stops_when_nothing_changes():
    assert len(run(Toy(constant(7.0)), n_iter_no_change=4).records) == 5


def test_training_goes_on_while_the_loss_falls():
    falling = Toy(constant(lambda epoch: 100.0 / (1 + epoch)))
    assert len(run(falling, n_iter_no_change=2, n_epochs=15).records) == 15


def test_changes_smaller_than_tol_do_not_count():
    # falls by 90, then by 1e-3 an epoch
    slow = constant(lambda epoch: 100.0 if epoch == 0 else 10.0 - 1e-3 * epoch)
    few = run(Toy(slow), n_iter_no_change=3, tol=1e-3, n_epochs=50)
    assert len(few.records) == 5
    all_of_them = run(Toy(slow), n_iter_no_change=3, tol=1e-7, n_epochs=50)
    assert len(all_of_them.records) == 50


def test_changes_are_judged_over_the_epochs_before_too():
    flat = [100.0, 10.0, 10.0, 10.0]
    assert len(run(Toy(constant(10.0)), earlier=flat, n_iter_no_change=5).records) == 3
    # the fall since the first epoch is what tol is a share of
    slow = constant(lambda epoch: 10.0 - 1e-3 * epoch)
    assert len(run(Toy(slow), n_iter_no_change=3, tol=1e-3, n_epochs=9).records) == 9
    after_a_fall = run(Toy(slow), earlier=[100.0], n_iter_no_change=3, tol=1e-3, n_epochs=9)
    assert len(after_a_fall.records) == 4
    # and a loss that is no better than the one before is no change
    worse = run(Toy(constant(20.0)), earlier=[100.0, 10.0], n_iter_no_change=3)
    assert len(worse.records) == 3


# Losses that are not finite.

@pytest.mark.parametrize("poison", [math.nan, math.inf])
@pytest.mark.parametrize("retries", [Retries(0, 0.5), Retries(3, 0.1), RETRIES])
def test_a_loss_that_stays_not_finite_is_an_error_after_lower_rates(poison, retries, rates):
    objective = Toy(lambda at, epoch, step: at.sum() * poison, 1.0)
    with pytest.raises(Diverged, match=r"not finite in epoch 1,.*learning_rate_init") as caught:
        run(objective, Keys(1), retries=retries)
    expected = [0.1 * retries.factor**k for k in range(retries.n_retries + 1)]
    assert rates == pytest.approx(expected)
    assert f"{expected[-1]:.1e}" in str(caught.value)
    assert objective.at.tolist() == [1.0]


def test_divergence_is_a_value_error():
    assert issubclass(Diverged, ValueError)


def test_the_best_weights_are_put_back_when_nothing_helps():
    best = []

    def loss(at, epoch, step):
        if epoch == 2 and step == 0 and not best:
            best.append(at.detach().clone())  # of epochs 0 and 1
        if epoch == 3:  # after an epoch that made it worse
            return at.sum() * math.nan
        return (at + 50).square().sum() if epoch == 2 else quadratic(at, epoch, step)

    objective = Toy(loss)
    with pytest.raises(Diverged, match="in epoch 4"):
        run(objective, Keys(2))
    assert torch.equal(objective.at.detach(), best[0])
    assert objective.at.tolist() != [0.0]
    assert objective.seen == 1


def diverging(epoch_of_trouble, tolerable):
    """Return a quadratic that is NaN in one epoch while the last move was too long."""
    last = [torch.zeros(1)]

    def loss(at, epoch, step):
        moved = float((at.detach() - last[0]).abs().max())
        last[0] = at.detach().clone()
        too_far = epoch == epoch_of_trouble and step and moved > tolerable
        return quadratic(at, epoch, step) * (math.nan if too_far else 1)

    return loss


def test_a_loss_that_is_finite_at_a_lower_rate_goes_on_and_says_at_which():
    objective, retries = Toy(diverging(3, 0.01)), Retries(n_retries=4, factor=0.3)
    outcome = run(objective, Keys(2), n_epochs=40, retries=retries)
    assert len(outcome.records) == 40
    assert all(math.isfinite(value) for record in outcome.records for value in record)
    assert torch.isfinite(objective.at).all()
    assert losses(outcome)[-1] < losses(outcome)[0]
    # a step of Adam moves by the rate: the first power of the factor that is below .01
    assert outcome.learning_rate == pytest.approx(0.1 * 0.3**2)


def test_after_trouble_training_goes_on_from_the_best_weights():
    starts = []

    def loss(at, epoch, step):
        starts.append((epoch, float(at.detach())))
        return quadratic(at, epoch, step) * (math.nan if len(starts) == 3 else 1)

    outcome = run(Toy(loss), Keys(1), n_epochs=4, retries=Retries(1, 0.2))
    epochs, places = zip(*starts, strict=True)
    assert epochs == (0, 1, 2, 2, 3)
    assert places[3] == places[2]  # of the snapshot after epoch 1
    assert 0 < places[4] - places[3] < 0.5 * (places[2] - places[1])  # a fifth of the rate
    assert outcome.learning_rate == pytest.approx(0.02)
    assert len(outcome.records) == 4


def test_an_epoch_that_failed_is_neither_recorded_nor_reported():
    reported, n_calls = [], []

    def loss(at, epoch, step):
        n_calls.append(epoch)
        return quadratic(at, epoch, step) * (math.nan if len(n_calls) == 2 else 1)

    outcome = run(Toy(loss), Keys(1), n_epochs=3, report=lambda *args: reported.append(args))
    assert n_calls == [0, 1, 1, 2]
    assert reported == list(enumerate(outcome.records))


def test_weights_that_are_not_finite_are_trouble_too():
    objective = Toy(quadratic, 1.0)
    assert all_finite(objective.state_dict(), [1.0])
    assert not all_finite(objective.state_dict(), [1.0, math.nan])
    for name in ("at", "seen"):
        tensor = getattr(objective, name).data
        tensor.fill_(math.inf)
        assert not all_finite(objective.state_dict(), [1.0]), name
        tensor.fill_(0)
    # and the loop looks at them, where the loss is that of before the last step
    poisoned = Toy(lambda at, epoch, step: 0 * at.sum() * 1e38 * at.sum().sqrt(), 0.0)
    with pytest.raises(Diverged):
        run(poisoned, Keys(1), n_epochs=3)


# Ctrl-C, and other errors.

def test_ctrl_c_puts_the_best_weights_back():
    best = {}

    def loss(at, epoch, step):
        if (epoch, step) == (2, 0):
            best.update({k: v.detach().clone() for k, v in objective.state_dict().items()})
        if (epoch, step) == (3, 1):
            raise KeyboardInterrupt
        # made worse after the best epoch
        return 100 * (at + 50).square().sum() if epoch == 2 else quadratic(at, epoch, step)

    objective = Toy(loss)
    outcome = run(objective, Keys(2))
    assert outcome.interrupted
    assert len(outcome.records) == 3
    assert objective.at.tolist() == best["at"].tolist() != [0.0]
    assert float(objective.seen) == 1.0


def interrupted_in(epoch_of_interrupt):
    def loss(at, epoch, step):
        if (epoch, step) == (epoch_of_interrupt, 1):
            raise KeyboardInterrupt
        return quadratic(at, epoch, step)

    return loss


def test_ctrl_c_in_the_first_epoch_keeps_the_weights():
    objective = Toy(interrupted_in(0), 5.0)
    assert run(objective) == Training([], 0.1, interrupted=True)
    assert objective.at.tolist() == [5.0]


def test_ctrl_c_keeps_the_weights_of_before_where_no_epoch_was_better():
    objective = Toy(interrupted_in(4), 0.0)
    outcome = run(objective, earlier=[7.0, 1e-9])
    assert outcome.interrupted
    assert len(outcome.records) == 2
    assert objective.at.tolist() == [0.0]
    objective = Toy(interrupted_in(4), 0.0)
    run(objective, earlier=[7.0, 1e9])
    assert objective.at.tolist() != [0.0]


def test_other_errors_are_not_swallowed():
    def loss(at, epoch, step):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(Toy(loss))


# Epochs.

def test_records_are_means_over_steps():
    values = [1.0, 4.0, 7.0]
    objective = Toy(lambda at, epoch, step: 0 * at.sum() + values[step])
    record = run_epoch(Step(objective, Adam(objective)), Keys(3), 0, lambda epoch: 0.1)
    assert record == pytest.approx([4.0, 2.0])


def test_an_epoch_asks_for_the_rate_at_its_fractions():
    objective, asked = Toy(quadratic), []
    rate = lambda epoch: asked.append(epoch) or 0.1  # noqa: E731
    run_epoch(Step(objective, Adam(objective)), Keys(4), 3, rate)
    assert asked == [3.0, 3.25, 3.5, 3.75]


def test_gradients_do_not_add_up_over_steps():
    objective = Toy(lambda at, epoch, step: at.sum())
    run_epoch(Step(objective, Adam(objective)), Keys(3), 0, lambda epoch: 1.0)
    assert objective.at.grad.tolist() == [1.0]


def test_an_epoch_trains_where_the_caller_has_turned_gradients_off():
    objective = Toy(quadratic)
    with torch.no_grad():
        run_epoch(Step(objective, Adam(objective)), Keys(1), 0, lambda epoch: 0.1)
    assert objective.at.tolist() != [0.0]


def test_every_epoch_is_reported():
    reported = []
    outcome = run(
        Toy(quadratic), earlier=[5.0, 4.0], n_epochs=4,
        report=lambda *report: reported.append(report),
    )
    assert reported == list(enumerate(outcome.records, start=2))


def test_training_draws_nothing(untouched_global_state):
    one, other = Toy(quadratic, 0.0, 0.0), Toy(quadratic, 0.0, 0.0)
    assert run(one, n_epochs=3) == run(other, n_epochs=3)
    assert torch.equal(one.at, other.at)


# What an epoch is judged by, and who may end it.

def scored(scores):
    """Return a score that is the next of a list, over and over its last."""
    left = list(scores)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_score_is_recorded_last_and_the_weights_of_its_best_epoch_are_kept():
    kept = {}

    def report(epoch, record):
        kept[epoch] = {k: v.detach().clone() for k, v in objective.state_dict().items()}

    objective = Toy(quadratic)
    scores = [1.0, 4.0, 2.0, 3.0]
    outcome = run(objective, score=scored(scores), report=report, n_epochs=4)
    assert [record[-1] for record in outcome.records] == scores
    assert all(len(record) == 3 for record in outcome.records)
    assert not outcome.stopped
    for name, value in objective.state_dict().items():
        assert torch.equal(value, kept[1][name])
    assert not torch.equal(kept[3]["at"], kept[1]["at"])


def test_training_is_judged_by_the_score_in_place_of_the_loss():
    rising = run(Toy(constant(7.0)), score=scored(range(50)), n_iter_no_change=3, n_epochs=20)
    assert len(rising.records) == 20
    still = run(Toy(quadratic), score=scored([1.0, 5.0]), n_iter_no_change=3, n_epochs=20)
    assert len(still.records) == 5
    assert still.stopped


def test_the_first_epochs_may_be_left_out_of_the_judgement():
    falls_first = [5.0, *[1.0] * 6, *range(2, 50)]
    few = run(Toy(quadratic), score=scored(falls_first), n_iter_no_change=4, n_epochs=20)
    assert len(few.records) == 5
    all_of_them = run(
        Toy(quadratic), score=scored(falls_first), n_iter_no_change=4, n_epochs=20, n_unjudged=5
    )
    assert len(all_of_them.records) == 20


def test_training_that_goes_on_begins_with_the_score_of_the_weights_it_has():
    objective = Toy(quadratic, 1.0)
    run(objective, score=scored([9.0, 5.0, 6.0]), earlier=[-8.0, math.nan], n_epochs=2)
    assert objective.at.tolist() == [1.0]


def test_a_score_that_is_not_finite_is_trouble():
    objective = Toy(quadratic)
    outcome = run(objective, score=scored([1.0, math.nan, 2.0]), n_epochs=2)
    assert [record[-1] for record in outcome.records] == [1.0, 2.0]
    assert outcome.learning_rate == pytest.approx(0.1 * RETRIES.factor)


@pytest.mark.parametrize("answer", [True, False, None])
def test_a_report_may_end_training(answer):
    outcome = run(Toy(quadratic), n_epochs=9, report=lambda epoch, record: answer and epoch == 3)
    assert len(outcome.records) == (4 if answer else 9)
    assert outcome.stopped == bool(answer)


def test_an_epoch_is_announced_and_again_if_it_is_repeated():
    happened, n_calls = [], []

    def loss(at, epoch, step):
        n_calls.append(epoch)
        return quadratic(at, epoch, step) * (math.nan if len(n_calls) == 2 else 1)

    run(
        Toy(loss), Keys(1), n_epochs=3, begin=lambda epoch: happened.append(("begin", epoch)),
        report=lambda epoch, record: happened.append(("end", epoch)),
    )
    assert happened == [
        ("begin", 0), ("end", 0), ("begin", 1), ("begin", 1), ("end", 1), ("begin", 2), ("end", 2),
    ]
