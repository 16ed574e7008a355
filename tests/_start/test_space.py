"""Where rows are compared: in the units of the model, and in those of coordinates."""

import numpy as np
import pytest

from helpers import neighbors_of
from skgmvae._rows import Rows
from skgmvae._start.space import space_of
from skgmvae.runtime import CPU


def space_with(X, scale):
    X = np.asarray(X, np.float32)
    scale = None if scale is None else np.array(scale)
    random = np.random.RandomState(0)
    return space_of(X, neighbors_of(X), scale, Rows.of_array(X, CPU), (), 0, random)


@pytest.mark.parametrize(("scale", "n_views"), [
    ([1.0], 1), ([1.0, 1.0], 2), ([1.0, 9.0], 2), ([1.0, 11.0], 1), ([1.0, 2.0, 3.0], 2),
    ([1.0] * 4, 1), (None, 1),
])
def test_two_or_three_features_of_similar_ranges_may_be_coordinates(scale, n_views):
    X = np.random.default_rng(0).standard_normal((50, len(scale or "12"))).astype(np.float32)
    space = space_with(X, scale)
    assert len(space.views) == n_views
    if n_views == 2:
        own_units = X * np.array(scale) / max(scale)
        np.testing.assert_allclose(space.views[1].compared, own_units, rtol=1e-5)
        np.testing.assert_allclose(space.values, own_units, rtol=1e-5)


@pytest.mark.parametrize(("unit", "are_spread"), [(1.0, True), (1e9, False)])
def test_whole_numbers_are_spread_out_where_rows_are_as_near_to_each_other(unit, are_spread):
    random = np.random.default_rng(0)
    amounts = random.lognormal(0, 3, 900)
    X = np.column_stack([random.poisson(400, 900), amounts / amounts.max()])  # nearly all 0
    space = space_with(X, [unit, 1.0])  # what a distance of 1 between rows is in each column
    numbers = space.views[0].compared[:, 0]
    assert (numbers % 1 != 0).any() == are_spread


def test_mixtures_see_other_noise_in_each_draw_and_nothing_where_a_value_is_missing():
    random = np.random.default_rng(0)
    X = np.column_stack([random.standard_normal(100), random.integers(0, 2, 100)])
    space = space_with(X, [1.0, 1.0])
    one, other = (space.drawn(np.random.RandomState(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(one[:, 0], other[:, 0])
    assert (one[:, 1] != other[:, 1]).all()
    missing = np.zeros((100, 2), bool)
    missing[:7] = True
    drawn = space._replace(missing=missing).drawn(np.random.RandomState(0))
    assert np.isnan(drawn[:7]).all()
    assert not np.isnan(drawn[7:]).any()
