"""Rows that are held out, and their bound."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers import SHORT, quiet_fit
from skgmvae import GMVAEClustering
from skgmvae._fit.held_out import HeldOut, HeldOutRule, held_out_bound, split
from skgmvae._objective import Terms, draw_noise, elbo_terms
from skgmvae._rows import Rows
from skgmvae.callbacks import EarlyStopping
from skgmvae.distributed import ALONE, Group
from skgmvae.fitted import ESTIMATION
from skgmvae.runtime import CPU, generator


@given(st.integers(4, 200), st.floats(0.01, 0.5), st.integers(0, 9), st.integers(1, 4))
def test_all_rows_are_trained_on_or_held_out_whatever_the_processes(n, fraction, seed, size):
    counts = tuple(map(len, np.array_split(np.arange(n), size)))
    found = []
    for rank in range(size):
        group = ALONE if size == 1 else Group(rank, size, counts)
        part = split(np.arange(n), counts[rank], fraction, seed, group)
        assert part.rows is None
        found.append(part.numbers + group.first_row)
        assert np.array_equal(part.training, split(np.arange(n), n, fraction, seed, ALONE).training)
    both = np.sort(np.concatenate([part.training, *found]))
    assert np.array_equal(both, np.arange(n))
    assert sum(map(len, found)) == np.ceil(fraction * n)


def test_all_copies_of_a_row_are_held_out_or_none():
    points = np.repeat(np.arange(10), 7)
    part = split(points, 70, 0.3, 0, ALONE)
    assert not set(points[part.numbers]) & set(points[part.training])
    assert len(part.numbers) == 21


def test_another_seed_holds_out_other_rows():
    points = np.arange(100)
    assert not np.array_equal(*(split(points, 100, 0.1, seed, ALONE).numbers for seed in (0, 1)))


def test_two_rows_must_be_left():
    with pytest.raises(ValueError, match=r"validation_fraction=0.9 leaves 1 of 10 distinct rows"):
        split(np.arange(10), 10, 0.9, 0, ALONE)


@pytest.fixture
def rows():
    return Rows(torch.randn(50, 4, generator=torch.Generator().manual_seed(1)))


def test_the_bound_is_the_mean_of_eq_3_under_the_same_noise(make_model, rows):
    model, rule = make_model().float(), HeldOutRule(n_draws=3)
    numbers = np.array([3, 8, 9, 40])
    y = rows.take(torch.tensor(numbers))
    noise = draw_noise(3, 4, 2, 2, generator(CPU, ESTIMATION.seed))
    with torch.no_grad():
        expected = Terms(*elbo_terms(model, y, *model.q(y), noise)).bound.mean()
    for _ in range(2):
        found = held_out_bound(model, rows, HeldOut(None, numbers), None, ALONE, rule)
        assert found == pytest.approx(float(expected), rel=1e-5)
    own = held_out_bound(model, Rows(torch.zeros(9, 4)), HeldOut(Rows(y)), None, ALONE, rule)
    assert own == pytest.approx(found)


def test_the_module_stays_in_training_as_it_was(make_model, rows):
    model = make_model().float().train()
    model.complete = True
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with_gaps = rows.take(torch.arange(5)).clone()
    with_gaps[0, 1] = torch.nan
    assert np.isfinite(held_out_bound(model, rows, HeldOut(Rows(with_gaps)), None, ALONE))
    assert model.training
    assert all(part.training for part in model.modules())
    assert model.complete
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("of_own", [False, True])
def test_scores_are_in_the_units_of_the_values_that_are_there(of_own):
    random = np.random.default_rng(0)
    X = 1e6 * random.normal(size=(60, 3))  # where each value takes 13.8 nats away
    gaps = np.where(random.random(X.shape) < 0.5, np.nan, X)
    clusterer = GMVAEClustering(1, **SHORT)
    if of_own:  # in a fit that goes on from one to rows without gaps
        quiet_fit(clusterer, X).set_params(
            max_iter=4, warm_start=True, early_stopping=True, validation_fraction=0.5
        )
        found = quiet_fit(clusterer, gaps).validation_scores_[-1]
        expected = clusterer.score(gaps)
    else:
        clusterer.set_callbacks(EarlyStopping(X_val=X))
        found = quiet_fit(clusterer, gaps).validation_scores_.max()
        expected = clusterer.score(X)
    assert abs(found - expected) < 8
