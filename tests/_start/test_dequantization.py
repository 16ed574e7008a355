"""Columns of few values become columns without a gap, from which the values can be recovered."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import entropy, kstest

from skgmvae._rows import BLOCK_ROWS, Rows, SparseRows
from skgmvae._start.dequantization import (
    DEQUANTIZATION,
    SPREAD,
    _largest_of_normals,
    dequantized,
    has_few_variables,
    one_hot_groups,
    without_large_categories,
)
from skgmvae.runtime import CPU


def spread(X, seed=0, *, normal=False, **rule):
    rule, random = DEQUANTIZATION._replace(**rule), np.random.RandomState(seed)
    return dequantized(np.asarray(X, np.float32), random, normal=normal, rule=rule)


def one_hot(categories, n_levels):
    return np.eye(n_levels, dtype=np.float32)[categories]


def p_of_normal(sample, distance=1.0):
    """Return the p-value of a normal variable, for values at a distance."""
    return kstest(sample / (SPREAD * distance), "norm").pvalue


def p_of_uniform(sample, low, high):
    return kstest(sample, "uniform", (low, high - low)).pvalue


@pytest.mark.parametrize("step", [1.0, 0.25, 3.0])
def test_the_noise_is_uniform_as_wide_as_the_step(step):
    X = step * np.random.default_rng(0).permutation(np.arange(3000) % 5)[:, None]
    noise = (spread(X) - X).ravel()
    assert p_of_uniform(noise, -step / 2, step / 2) > 0.01


@pytest.mark.parametrize(("n_last", "end"), [(300, 4.5), (450, 5.0), (600, 5.5), (3000, 5.5)])
def test_the_last_value_is_as_dense_as_the_one_before_if_a_step_more_is_enough(n_last, end):
    X = np.repeat(np.arange(5), [300, 300, 300, 300, n_last])[:, None]
    for sign in (1, -1):  # of the first value it is so too
        last = sign * spread(sign * X)[-n_last:].ravel()
        assert p_of_uniform(last, 3.5, end) > 0.01


def test_a_scale_has_five_values_at_the_least():
    X = np.repeat(np.arange(4), [300, 300, 300, 3000])[:, None]
    assert p_of_uniform(spread(X)[-3000:].ravel(), 2.5, 3.5) > 0.01


SHOPS = np.random.default_rng(3).uniform(0, 10, (10, 3)).astype(np.float32)


@pytest.mark.parametrize("normal", [False, True])
@pytest.mark.parametrize("n_columns", [2, 3])
def test_columns_that_say_the_same_go_from_one_point_towards_another(n_columns, normal):
    random = np.random.default_rng(0)
    shop, shops = random.integers(10, size=2000), SHOPS[:, :n_columns]
    X = np.column_stack([random.normal(size=2000), shops[shop], random.integers(4, size=2000)])
    way = spread(X, normal=normal)[:, 1 : 1 + n_columns] - shops[shop]
    ways = (shops - shops[shop][:, None])  # to the others
    share = (ways * way[:, None]).sum(-1) / np.fmax((ways**2).sum(-1), 1e-6)
    off = np.abs(share[..., None] * ways - way[:, None]).max(-1)
    off[np.arange(2000), shop] = np.inf
    other = off.argmin(1)
    assert off.min(1).max() < 1e-4
    share = share[np.arange(2000), other]
    assert p_of_uniform(share, 0, 0.5) > 0.01
    assert (np.bincount(other) > 100).all()


def test_places_on_a_circle_are_of_one_variable():
    month = np.random.default_rng(0).integers(12, size=600) * 2 * np.pi / 12
    circle = np.column_stack([np.sin(month), np.cos(month)])
    others = np.random.default_rng(1).normal(size=(600, 1))
    radius = np.linalg.norm(spread(np.hstack([circle, others]))[:, :2], axis=1)
    assert 0 <= radius.min() < 0.2  # halfway across
    assert radius.max() <= 1.001
    cells = spread(circle)  # all columns say the same: nothing else tells rows apart
    assert np.linalg.norm(cells, axis=1).max() > 1.05


def test_columns_of_few_rows_and_dependent_ones_are_not_taken_for_one():
    random = np.random.default_rng(0)
    rating = random.integers(5, size=600)
    other = np.clip(rating + random.integers(-1, 2, 600), 0, 4)
    few = np.column_stack([np.arange(24) % 12, random.permutation(np.arange(24) % 12)])
    for X in (np.column_stack([rating, other]), few):
        noise = spread(X) - X
        assert np.abs(noise).max() <= 1.5  # a cell, or twice as wide a one at the end
        assert abs(np.corrcoef(noise.T)[0, 1]) < 0.5


def test_columns_have_noise_of_their_own():
    flags = np.random.default_rng(0).integers(0, 2, (3000, 2))
    noise = spread(flags) - flags
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.06
    assert abs(np.corrcoef(noise[:, 0], flags[:, 0])[0, 1]) < 0.06


@pytest.mark.parametrize("n_values", [2, 3, 7])
def test_a_balanced_column_becomes_uniform_and_has_no_gap(n_values):
    X = np.arange(3000)[:, None] % n_values
    column = np.sort(spread(X).ravel())
    assert p_of_uniform(column, -0.5, n_values - 0.5) > 0.01
    assert np.diff(column).max() < 0.02 * n_values


@given(st.integers(0, 1000), st.lists(st.floats(0.01, 100), min_size=1), st.floats(-10, 10))
def test_each_value_is_that_to_which_its_point_is_nearest(seed, gaps, start):
    grid = start + np.cumsum([0.0, *gaps])
    others = np.random.default_rng(seed).integers(len(grid), size=60)
    number = np.append(np.arange(len(grid)), others).repeat(2)  # no value is alone
    points = spread(grid[number][:, None]).ravel()
    away = np.abs(points[:, None] - grid)
    tolerance = 1e-5 * (1 + np.abs(grid).max())
    assert (away[np.arange(len(number)), number] <= away.min(1) + tolerance).all()


COUNTS = np.random.default_rng(0).geometric(0.3, 3000)


@pytest.mark.parametrize("column", [
    np.log(COUNTS), np.sqrt(COUNTS - 1), 2.0**(np.arange(3000) % 8),
    np.sin(2 * np.pi * (np.arange(3000) % 12) / 12),  # equal but for rounding, in pairs
    np.array([0.0, 0.3, 5.0, 5.1, 9.0])[np.arange(3000) % 5],
], ids=["logarithms", "roots", "powers", "months", "lookup"])
def test_values_on_an_uneven_grid_have_no_gap_either(column):
    spread_out = np.sort(spread(column[:, None]).ravel())
    most = np.unique(np.round(column, 5), return_counts=True)
    often = most[0][most[1] > 100]
    between = (spread_out > often[0]) & (spread_out < often[-1])
    assert np.diff(spread_out[between]).max() < 0.05 * np.diff(often).max()


@given(st.integers(0, 1000), st.integers(2, 12))
def test_a_one_hot_category_is_recovered_as_the_largest(seed, n_levels):
    random = np.random.default_rng(seed)
    categories = np.append(np.arange(n_levels), random.integers(0, n_levels, 50))
    points = spread(2.0 * one_hot(categories, n_levels) - 3.0)
    np.testing.assert_array_equal(points.argmax(1), categories)
    # in the plane of the simplex, about its center, and twice as large
    np.testing.assert_allclose(points.sum(1), 2 - 3 * n_levels, rtol=1e-4)
    barycentric = ((points + 3) / 2 + 1 / n_levels) / 2
    assert barycentric.min() >= -1e-5


@pytest.mark.parametrize("n_levels", [2, 3, 4])
def test_balanced_categories_are_uniform_on_the_simplex_without_a_gap(n_levels):
    points = spread(one_hot(np.arange(6000) % n_levels, n_levels)).astype(float)
    barycentric = (points + 1 / n_levels) / 2
    # a coordinate of a uniform point has the distribution function 1 - (1 - x)^(n - 1)
    for coordinate in barycentric.T:
        assert p_of_uniform((1 - coordinate.clip(0, 1)) ** (n_levels - 1), 0, 1) > 0.01


def test_a_category_of_two_levels_is_spread_as_a_flag_is():
    points = spread(one_hot(np.arange(2000) % 2, 2))
    np.testing.assert_allclose(points.sum(1), 1, atol=1e-6)
    assert p_of_uniform(points[:, 0], -0.5, 1.5) > 0.01


@pytest.mark.parametrize(("n_levels", "gain"), [(2, 0.0), (3, 0.11), (4, 0.23)])
def test_to_divide_the_rows_by_a_category_gains_what_it_costs(n_levels, gain):
    """Half of the log determinants of the covariances, against the entropy of the division."""
    categories = np.arange(60_000) % n_levels
    points = spread(one_hot(categories, n_levels))[:, 1:].astype(float)

    def half_log_determinant(rows):
        return 0.5 * np.linalg.slogdet(np.atleast_2d(np.cov(rows.T)))[1]

    parts = [half_log_determinant(points[categories == level]) for level in range(n_levels)]
    found = half_log_determinant(points) - np.mean(parts) - np.log(n_levels)
    # beyond two levels the parts are nearer to round than the simplex
    assert found == pytest.approx(gain, abs=0.015)


# Normal variables, for mixtures


@pytest.mark.parametrize(("share", "low", "high"), [(0.5, 0, 1), (0.5, -3, 4), (0.1, 0, 1)])
def test_a_flag_becomes_a_normal_variable_beyond_its_quantile(share, low, high):
    is_high = np.arange(4000) < 4000 * share
    (found,) = spread(np.where(is_high, high, low)[:, None], normal=True).T
    assert p_of_normal(found, high - low) > 0.01
    assert found[is_high].min() >= found[~is_high].max()
    assert np.diff(np.sort(found))[100:-100].max() < 0.05 * (high - low)


def test_a_balanced_flag_has_the_variance_that_uniform_noise_gives():
    flag = np.arange(20_000)[:, None] % 2
    uniform, normal = (spread(flag, normal=normal).std() for normal in (False, True))
    assert normal == pytest.approx(uniform, rel=0.03)


def share_and_gain(values, is_part):
    """Return the share of a part of the rows, and that times half the log determinant it gains."""
    covariances = [np.atleast_2d(np.cov(rows.T)) for rows in (values, values[is_part])]
    whole, part = (0.5 * np.linalg.slogdet(covariance)[1] for covariance in covariances)
    return is_part.mean(), is_part.mean() * (whole - part)


@pytest.mark.parametrize("share", [0.5, 0.2, 0.05])
def test_to_divide_a_normal_variable_by_its_sign_gains_less_than_it_costs(share):
    flag = np.arange(60_000)[:, None] < 60_000 * share
    values = spread(flag, normal=True).astype(float)
    shares, gains = zip(*(share_and_gain(values, flag[:, 0] == high) for high in (0, 1)),
                        strict=True)
    assert sum(gains) < entropy(shares) - 0.02
    if share == 0.5:  # the variance of half a normal variable is 1 - 2 / pi
        assert sum(gains) == pytest.approx(-0.5 * np.log(1 - 2 / np.pi), abs=0.02)


@pytest.mark.parametrize("n_levels", [2, 3, 5])
def test_to_divide_normal_variables_by_the_largest_gains_less_than_it_costs(n_levels):
    categories = np.arange(60_000) % n_levels
    values = spread(one_hot(categories, n_levels), normal=True).astype(float)
    gains = [share_and_gain(values, categories == level)[1] for level in range(n_levels)]
    assert 0 < sum(gains) < np.log(n_levels) - 0.1


@given(st.integers(0, 1000), st.integers(2, 12))
def test_the_largest_of_the_normal_variables_is_that_of_the_category(seed, n_levels):
    categories = np.random.default_rng(seed).integers(0, n_levels, 50)
    values = one_hot(np.append(np.arange(n_levels), categories), n_levels)
    points = spread(2 * values - 3, seed, normal=True)
    np.testing.assert_array_equal(points.argmax(1), values.argmax(1))
    again = _largest_of_normals(values, np.random.RandomState(seed))
    np.testing.assert_array_equal(again.argmax(1), values.argmax(1))


@pytest.mark.parametrize("n_levels", [2, 3, 5])
def test_balanced_categories_are_uncorrelated_normal_variables(n_levels):
    points = spread(one_hot(np.arange(6000) % n_levels, n_levels), normal=True)
    for column in points.T:
        assert p_of_normal(column) > 0.01
    correlations = np.corrcoef(points.T)[np.triu_indices(n_levels, 1)]
    assert np.abs(correlations).max() < 0.05


def test_columns_of_more_than_two_values_have_uniform_noise_for_mixtures_too():
    random = np.random.default_rng(0)
    X = np.column_stack([random.standard_normal(3000), random.integers(0, 5, 3000)])
    found = spread(X, normal=True)
    np.testing.assert_array_equal(found, spread(X))
    assert p_of_uniform(found[:, 1] - X[:, 1], -0.5, 0.5) > 0.01


def are_few(X):
    return has_few_variables(Rows.of_array(np.asarray(X, np.float32), CPU))


@pytest.mark.parametrize("n_values", [2, 1000])
def test_each_column_is_a_variable(n_values):
    X = np.random.default_rng(0).integers(0, n_values, (40, 51))
    assert are_few(X[:, :50])
    assert not are_few(X)


@pytest.mark.parametrize(("n_others", "are"), [(48, True), (49, False)])
def test_a_one_hot_encoded_category_is_one_variable(n_others, are):
    # of two categories, one of 400 levels, of which the first rows have a few only
    random = np.random.default_rng(0)
    n_rows = 2 * BLOCK_ROWS
    levels = np.where(np.arange(n_rows) < BLOCK_ROWS, 0, np.arange(n_rows) % 400)
    X = np.hstack([
        random.standard_normal((n_rows, n_others)), one_hot(levels, 400),
        one_hot(random.integers(0, 7, n_rows), 7),
    ])
    assert are_few(X) == are
    X[:50, n_others : n_others + 400] = np.nan
    assert are_few(X) == are


def test_wide_tables_are_not_held_to_count_their_variables(monkeypatch):
    monkeypatch.setattr(Rows, "flat", None)
    random = np.random.default_rng(0)
    assert not are_few(random.standard_normal((40, 51)))
    assert not are_few(random.random((40, 200)) < 0.4)  # black and white images


def test_categories_in_sparse_rows_are_seen_where_these_are_not_too_many():
    values = csr_array(one_hot(np.random.default_rng(0).integers(0, 60, 400), 60))
    rows = SparseRows.of_values(values, CPU)
    assert has_few_variables(rows)
    assert not has_few_variables(rows, rule=DEQUANTIZATION._replace(max_sparse_values=23_999))


def test_categories_of_most_levels_are_left_out_until_few_features_are_left():
    random = np.random.default_rng(0)
    sizes = 7, 30, 20
    X = np.hstack([
        random.standard_normal((300, 4)),
        *(one_hot(np.arange(300) % size, size)[random.permutation(300)] for size in sizes),
    ])
    assert without_large_categories(X[:, :41]) == slice(None)
    left = np.flatnonzero(without_large_categories(X))
    np.testing.assert_array_equal(left, [*range(11), *range(41, 61)])
    X[:50, 11:41] = np.nan
    np.testing.assert_array_equal(np.flatnonzero(without_large_categories(X)), left)
    assert without_large_categories(random.standard_normal((300, 51))) == slice(None)


def test_continuous_and_constant_columns_are_left_as_they_are():
    random = np.random.default_rng(0)
    X = np.column_stack([random.standard_normal((200, 2)), np.ones(200)]).astype(np.float32)
    assert dequantized(X, np.random.RandomState(0)) is X
    mixed = np.column_stack([X[:, 0], random.integers(0, 2, 200), X[:, 2]]).astype(np.float32)
    before = mixed.copy()
    found = dequantized(mixed, np.random.RandomState(0))
    np.testing.assert_array_equal(mixed, before)
    np.testing.assert_array_equal(found[:, [0, 2]], mixed[:, [0, 2]])
    assert found.dtype == np.float32
    assert (found[:, 1] != mixed[:, 1]).all()


@pytest.mark.parametrize(("n_values", "is_spread"), [(51, True), (52, False)])
def test_a_column_of_many_values_is_left(n_values, is_spread):
    X = np.arange(n_values, dtype=float)[:, None].repeat(2, 0)
    assert (spread(X) != X).any() == is_spread


def test_a_column_is_left_whose_values_are_those_of_one_row_mostly():
    random = np.random.default_rng(0)
    X = np.where(np.arange(80) % 2, random.lognormal(3, 0.3, 80), 0)[:, None].astype(np.float32)
    np.testing.assert_array_equal(spread(X), X)
    rounded = random.normal(0, 30, (20, 1)).round()
    np.testing.assert_array_equal(spread(rounded), rounded.astype(np.float32))


def test_a_seed_fixes_the_noise(untouched_global_state):
    X = np.column_stack([np.arange(30) % 2, one_hot(np.arange(30) % 3, 3)])
    np.testing.assert_array_equal(spread(X, 1), spread(X, 1))
    assert (spread(X, 1) != spread(X, 2)).all()


def groups_of(*columns):
    return [list(group) for group in one_hot_groups(np.column_stack(columns).astype(np.float32))]


random_categories = np.random.default_rng(0).integers
THREE, FOUR = one_hot(random_categories(0, 3, 90), 3), one_hot(random_categories(0, 4, 90), 4)
FLAG, NUMBER = random_categories(0, 2, 90), np.random.default_rng(1).standard_normal(90)


@pytest.mark.parametrize(("columns", "expected"), [
    ((THREE,), [[0, 1, 2]]),
    ((THREE, FOUR), [[0, 1, 2], [3, 4, 5, 6]]),
    ((NUMBER, THREE, NUMBER), [[1, 2, 3]]),
    ((FLAG, THREE), [[1, 2, 3]]),
    ((THREE, FLAG, FLAG), [[0, 1, 2]]),
    ((THREE[:, 1:], FOUR), [[2, 3, 4, 5]]),
    ((THREE, FOUR[:, :-1]), [[0, 1, 2]]),
    ((5 * THREE - 2, NUMBER), [[0, 1, 2]]),
    ((FLAG, 1 - FLAG), [[0, 1]]),
    ((THREE[:, 1:],), []),
    ((THREE[:, :2], NUMBER, THREE[:, 2]), []),
    ((FLAG,), []),
    ((FLAG, FLAG), []),
    ((NUMBER, np.ones(90)), []),
    ((np.ones(90), THREE, np.zeros(90)), [[1, 2, 3]]),
    ((THREE[:, :2], np.zeros(90), THREE[:, 2]), []),
])
def test_complete_categories_are_found(columns, expected):
    assert groups_of(*columns) == expected


@settings(max_examples=200)
@given(st.integers(0, 1000), st.integers(1, 7), st.integers(1, 5), st.sampled_from([0.0, 0.2]))
def test_one_hot_groups_by_an_oracle(seed, n_columns, n_rows, missing):
    random = np.random.default_rng(seed)
    X = random.choice([0.0, 0.0, 1.0, 2.0], (n_rows, n_columns), p=[.3, .2, .4, .1])
    X[random.random(X.shape) < missing] = np.nan
    expected, first = [], 0
    while first < n_columns:
        for last in range(first + 2, n_columns + 1):
            block = X[:, first:last]
            n_high = (block == np.fmax.reduce(block)).sum(1)
            binary = all(len(np.unique(column[~np.isnan(column)])) == 2 for column in block.T)
            has_one = (n_high == 1) | ((n_high == 0) & np.isnan(block).any(1))
            if binary and has_one.all():
                expected.append(list(range(first, last)))
                first = last - 1
                break
        first += 1
    assert groups_of(X) == expected


def test_a_wide_category_without_its_first_level_is_refused_in_one_pass():
    # from each column on, the rest was read again
    X = one_hot(np.arange(3000) % 500, 500)
    assert one_hot_groups(X[:, 1:]) == []
    assert len(one_hot_groups(X)[0]) == 500


def test_what_was_filled_in_is_no_value_of_a_column():
    random = np.random.default_rng(0)
    flag, number = random.integers(0, 2, 200), random.standard_normal(200)
    X = np.column_stack([flag, one_hot(random.integers(0, 3, 200), 3), number]).astype(np.float32)
    missing = random.random(X.shape) < 0.2
    filled = np.where(missing, 0.3, X).astype(np.float32)
    for normal in (False, True):
        noisy = dequantized(filled, np.random.RandomState(0), normal=normal, missing=missing)
        there = ~missing
        assert (noisy[there[:, 0], 0] != filled[there[:, 0], 0]).all()
        whole = there[:, 1:4].all(1)
        assert (noisy[whole, 1:4] != filled[whole, 1:4]).all()
        np.testing.assert_array_equal(noisy[whole, 1:4].argmax(1), X[whole, 1:4].argmax(1))
        np.testing.assert_array_equal(noisy[:, 4], filled[:, 4])


def test_groups_are_found_where_some_rows_are_missing():
    X = one_hot(np.random.default_rng(0).integers(0, 3, 50), 3)
    X = np.column_stack([X, X[:, 0]])
    X[3, 1], X[4] = np.nan, np.nan
    (group,) = one_hot_groups(X)
    np.testing.assert_array_equal(group, [0, 1, 2])


@pytest.mark.parametrize(("distance", "is_spread"), [(0.9, True), (1.1, False)])
def test_cells_as_wide_as_rows_are_apart_are_seen_in_a_column_of_many_values(distance, is_spread):
    X = np.arange(200, dtype=np.float32)[:, None].repeat(3, 0)
    X = np.column_stack([X, np.random.default_rng(0).standard_normal(600)]).astype(np.float32)
    distances = np.array([distance, 1e-9])
    found = dequantized(X, np.random.RandomState(0), distances=distances)
    np.testing.assert_array_equal(found[:, 1], X[:, 1])  # each value is there once
    assert (found[:, 0] != X[:, 0]).any() == is_spread
    np.testing.assert_array_equal(found[:, 0].round(), X[:, 0])
