"""The learning rate by epoch and the ends of training, as functions of numbers."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skgmvae._training import Schedule, is_settled
from skgmvae._training.schedule import n_epochs_without_change

histories = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40)
tolerances = st.sampled_from([0.0, 1e-4, 1e-2, 0.3])


def make(**changes):
    parameters = {
        "learning_rate": 0.2, "decays": True, "first_epoch": 0, "n_epochs": 6, "head_start": 0.0,
        "tol": 1e-4, "n_iter_no_change": 10,
    }
    return Schedule(**(parameters | changes))


def test_the_rate_falls_on_a_half_cosine():
    schedule = make()
    for step in range(25):
        expected = 0.1 * (1 + math.cos(math.pi * step / 24))
        assert schedule.learning_rate_at(step / 4) == pytest.approx(expected)
        assert schedule.progress(step / 4) == pytest.approx(step / 24)
    rates = [schedule.learning_rate_at(step / 4) for step in range(25)]
    assert rates[0] == 0.2
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in pairwise(rates))


@given(st.floats(0, 1), st.integers(0, 5), st.floats(0, 50))
def test_a_rate_that_does_not_decay_stays(progress, first_epoch, head_start):
    schedule = make(decays=False, first_epoch=first_epoch, head_start=head_start)
    assert schedule.learning_rate_at(first_epoch + 6 * progress) == 0.2


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0, 1))
def test_a_schedule_with_a_head_start_goes_on_with_that_of_the_whole(before, after, fraction):
    whole = make(n_epochs=before + after)
    rest = make(first_epoch=before, n_epochs=after, head_start=float(before))
    epoch = before + fraction * after
    assert rest.progress(epoch) == pytest.approx(whole.progress(epoch))
    assert rest.learning_rate_at(epoch) == pytest.approx(whole.learning_rate_at(epoch))
    assert rest.end == whole.end == before + after


@given(st.integers(0, 20), st.integers(1, 20), st.floats(0, 40))
def test_progress_begins_at_the_head_start_and_ends_at_1(first_epoch, n_epochs, head_start):
    # epochs of fewer rows were shorter: the numbers before and the head start need not agree
    schedule = make(first_epoch=first_epoch, n_epochs=n_epochs, head_start=head_start)
    assert schedule.progress(first_epoch) == pytest.approx(head_start / (head_start + n_epochs))
    assert schedule.progress(schedule.end) == pytest.approx(1)
    assert schedule.learning_rate_at(schedule.end) == pytest.approx(0, abs=1e-12)


def test_a_trial_ends_early_on_the_same_schedule():
    schedule = make(first_epoch=4, n_epochs=12)
    trial = schedule._replace(n_trial_epochs=2)
    assert schedule.end == 16
    assert trial.end == 6
    for epoch in (4, 4.5, 6):
        assert trial.learning_rate_at(epoch) == schedule.learning_rate_at(epoch)
        assert trial.progress(epoch) == schedule.progress(epoch)
    assert schedule._replace(n_trial_epochs=0).end == 4


@given(histories, tolerances)
def test_epochs_without_change_are_counted_from_the_last_best_that_counts(losses, tol):
    # by brute force: a state machine over prefixes, with minima taken anew each time
    reference, at = losses[0], 0
    for epoch in range(1, len(losses)):
        best = min(losses[: epoch + 1])
        if reference - best > tol * (losses[0] - best):
            reference, at = best, epoch
    assert n_epochs_without_change(losses, tol) == len(losses) - 1 - at


@given(histories, tolerances, st.integers(0, 5))
def test_losses_that_are_not_known_change_nothing(losses, tol, n_unknown):
    unknown = [math.nan] * n_unknown
    assert n_epochs_without_change(unknown + losses, tol) == n_epochs_without_change(losses, tol)


@given(histories)
def test_without_a_tolerance_epochs_are_counted_from_the_first_minimum(losses):
    assert n_epochs_without_change(losses, 0.0) == len(losses) - 1 - int(np.argmin(losses))


@pytest.mark.parametrize(("losses", "tol", "expected"), [
    ([5.0], 1e-4, 0),
    ([5.0, 5.0, 5.0], 1e-4, 2),
    ([5.0, 4.0, 3.0], 1e-4, 0),
    ([5.0, 6.0, 7.0, 4.0], 1e-4, 0),
    ([5.0, 3.0, 4.0, 3.5], 1e-4, 2),
    ([100.0, 10.0, 9.99, 9.98, 9.97], 1e-3, 3),  # each step is less than .09
    ([100.0, 10.0, 9.95, 9.90, 9.85], 1e-3, 1),  # but two together are more
])
def test_small_changes_add_up_until_they_count(losses, tol, expected):
    assert n_epochs_without_change(losses, tol) == expected


@given(histories, tolerances, st.floats(1e-2, 1e2), st.floats(-1e2, 1e2))
def test_what_counts_does_not_depend_on_the_unit_of_the_loss(losses, tol, factor, offset):
    losses = [round(loss) / 8 for loss in losses]
    scaled = [2.0 ** round(math.log2(factor)) * loss + round(offset) for loss in losses]
    assert n_epochs_without_change(scaled, tol) == n_epochs_without_change(losses, tol)


@given(histories, tolerances)
def test_a_history_is_settled_where_its_last_two_tenths_agree(losses, tol):
    tenth = max(1, math.floor(len(losses) / 10))
    last = np.mean(losses[len(losses) - tenth :])
    before = np.mean(losses[len(losses) - 2 * tenth : len(losses) - tenth] or [np.nan])
    change, fall = abs(last - before), abs(losses[0] - min(losses))
    enough = len(losses) > 2 * tenth
    if enough and abs(change - tol * fall) < 1e-9 * max(map(abs, losses)):
        return  # up to rounding either is right
    assert is_settled(losses, tol) == (enough and bool(change <= tol * fall))


@pytest.mark.parametrize(("losses", "expected"), [
    ([], False), ([3.0], False), ([3.0, 3.0], False), ([3.0, 3.0, 3.0], True),
    ([9.0, 3.0, 3.0], True), ([9.0, 5.0, 3.0], False),
    ([100.0] + [1.0] * 40, True),
    (np.linspace(100, 0, 50).tolist(), False),
    ([100.0] + [1.0] * 35 + [2.0] * 4, False),
])
def test_a_history_is_settled_when_it_is_flat_at_the_end(losses, expected):
    assert is_settled(losses, 1e-3) is expected
