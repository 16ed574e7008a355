"""Codes in columns of numbers are found."""

import numpy as np
import pytest

from skgmvae._start.codes import are_codes, find_codes


def coded(code, share=0.1, scale=1.0, seed=0):
    """Make a column of normal values about 8, of which a share is the code."""
    random = np.random.default_rng(seed)
    is_code = random.random(2000) < share
    column = scale * np.where(is_code, code, random.normal(8, 1, 2000))
    return column[:, None].astype(np.float32), is_code


@pytest.mark.parametrize("scale", [1.0, 1e-3, -100.0])
@pytest.mark.parametrize("share", [0.04, 0.1, 0.6])
@pytest.mark.parametrize("code", [0, -1, 999, -999, 8.25])
def test_a_code_is_far_from_the_others_or_far_more_frequent(code, share, scale):
    X, is_code = coded(code, share, scale)
    (found,) = find_codes(X)
    assert found.column == 0
    np.testing.assert_array_equal(found.rows, is_code)
    np.testing.assert_array_equal(are_codes((2000, 1), [found])[:, 0], is_code)


def test_codes_are_found_beside_missing_values_and_other_columns():
    X, is_code = coded(0)
    X[::7] = np.nan
    other, is_other = coded(999, seed=1)
    X = np.column_stack([np.arange(2000) % 2, X, np.arange(2000), other]).astype(np.float32)
    first, second = find_codes(X)
    assert (first.column, second.column) == (1, 3)
    np.testing.assert_array_equal(first.rows, is_code & ~np.isnan(X[:, 1]))
    np.testing.assert_array_equal(second.rows, is_other)


@pytest.mark.parametrize("code", [-999, 999])
def test_a_code_among_whole_numbers_need_not_be_the_most_frequent(code):
    random = np.random.default_rng(0)
    is_code = random.random(2000) < 0.05
    X = np.where(is_code, code, random.poisson(4, 2000))[:, None].astype(np.float32)
    (found,) = find_codes(X)
    np.testing.assert_array_equal(found.rows, is_code)


NO_CODES = {
    "whole numbers": lambda random: random.poisson(1, 2000) + random.choice([0, 5], 2000),
    "nearer than the others are": lambda random: np.where(
        random.random(2000) < 0.05, -8, random.integers(0, 10, 2000)
    ),
    "few rows": lambda random: coded(0, 0.01)[0],
    "a row": lambda random: np.append(random.normal(8, 1, 30), -100.0),
    "next to the others": lambda random: np.where(
        random.random(2000) < 0.5, 0, random.lognormal(0, 1, 2000)
    ),
    "near": lambda random: np.where(random.random(2000) < 0.3, 4, random.uniform(5, 8, 2000)),
    "as frequent amid the others": lambda random: random.normal(8, 1, 2000).round(1),
    "a group": lambda random: np.append(random.normal(8, 1, 200), random.normal(0, 0.1, 200)),
    "ratings": lambda random: random.choice(5, 2000, p=[0.4, 0.2, 0.2, 0.1, 0.1]),
    "three values": lambda random: random.choice([3, 6, 7], 2000, p=[0.5, 0.05, 0.45]),
    "a flag": lambda random: random.random(2000) < 0.9,
    "constant": lambda random: np.full(50, 3.0),
    "missing": lambda random: np.full(50, np.nan),
}


@pytest.mark.parametrize("name", NO_CODES)
def test_other_columns_have_no_code(name):
    X = NO_CODES[name](np.random.default_rng(0)).reshape(-1, 1)
    assert find_codes(X.astype(np.float32)) == []
