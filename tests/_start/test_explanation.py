"""What a partition explains: oracles, and what explains nothing."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy, norm

from skgmvae._start.codes import Code
from skgmvae._start.explanation import EXPLANATION, explaining_most
from skgmvae._start.explanation import explained as all_explained


def explained(*arguments, **policy):
    return all_explained(*arguments, **policy).value


def information(joint):
    """Return the mutual information of a table of counts, by its definition."""
    joint = np.asarray(joint) / np.sum(joint)
    return entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint.ravel())


@pytest.mark.ours
@given(st.integers(0, 1000), st.integers(1, 4), st.booleans())
def test_it_is_the_information_of_each_column_less_that_by_chance_and_the_entropy(
    seed, n_clusters, has_code
):
    random = np.random.default_rng(seed)
    labels = random.integers(0, n_clusters, 60)
    values = random.standard_normal((60, 3)).astype(np.float32)
    is_code = random.random(60) < 0.2
    codes = [Code(1, is_code)] if has_code else []
    sizes = np.bincount(labels)
    expected = -entropy(sizes)
    for number, column in enumerate(values.T):
        others = ~is_code if has_code and number == 1 else np.ones(60, bool)
        edges = np.quantile(column[others], np.arange(1, 10) / 10)
        table = [
            [(others & (column >= low) & (column < high) & (labels == c)).sum() for c in range(4)]
            for low, high in pairwise([-np.inf, *edges, np.inf])
        ]
        table.append([(~others & (labels == c)).sum() for c in range(4)])
        n_bins = np.count_nonzero(np.sum(table, axis=1))
        n_found = np.count_nonzero(sizes)
        expected += information(table) - (n_bins - 1) * (n_found - 1) / 120
    assert explained(values, labels, codes) == pytest.approx(expected, abs=1e-6)


@pytest.mark.ours
@given(st.integers(0, 1000))
def test_how_columns_are_distributed_does_not_matter(seed):
    random = np.random.default_rng(seed)
    values, labels = random.standard_normal((50, 3)), random.integers(0, 3, 50)
    transformed = np.column_stack([np.exp(values[:, 0]), values[:, 1] ** 3, 9 * values[:, 2] - 4])
    assert explained(transformed, labels) == pytest.approx(explained(values, labels))


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_the_codes_of_a_column_explain_nothing(share):
    random = np.random.default_rng(0)
    is_code = random.random(2000) < share
    X = random.normal(size=(2000, 4)).astype(np.float32)
    X[is_code, 0] = 999
    code = Code(0, is_code)
    assert explained(X, is_code.astype(int), [code]) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("n_columns", [1, 4])
def test_a_function_of_one_column_explains_nothing_and_chance_less(n_columns):
    random = np.random.default_rng(0)
    X = random.normal(size=(20_000, n_columns)).astype(np.float32)
    assert explained(X, (X[:, 0] > np.median(X[:, 0])).astype(int)) == pytest.approx(0, abs=0.01)
    by_chance = explained(X[:200], random.integers(0, 3, 200))
    assert by_chance == pytest.approx(-np.log(3), abs=0.2)  # .17 more if it were not subtracted


def test_clusters_explain_each_column_in_which_they_differ():
    random = np.random.default_rng(0)
    y = random.integers(2, size=40_000)
    X = 2 * y[:, None] + random.normal(size=(40_000, 3))
    # what ten bins tell of two normal distributions
    edges = np.concatenate([[-np.inf], np.quantile(X[:, 0], np.arange(1, 10) / 10), [np.inf]])
    expected = 3 * information(np.diff([norm.cdf(edges), norm.cdf(edges - 2)])) - np.log(2)
    assert explained(X.astype(np.float32), y) == pytest.approx(expected, abs=0.02)


def test_of_many_rows_some_are_looked_at():
    random = np.random.default_rng(0)
    y = random.integers(2, size=1000)
    X = (y[:, None] + random.normal(size=(1000, 2))).astype(np.float32)
    few = EXPLANATION._replace(max_rows=300)
    codes, some = ([Code(1, rows)] for rows in (X[:, 0] > 1, X[::4, 0] > 1))
    assert explained(X, y, codes, policy=few) == explained(X[::4], y[::4], some)


def test_of_partitions_that_explain_as_much_but_for_chance_the_first_is_taken():
    random = np.random.default_rng(0)
    y = random.integers(2, size=600)
    X = np.c_[3 * y[:, None] + random.normal(size=(600, 3)), random.normal(size=(600, 3))]
    X = X.astype(np.float32)
    # the same clusters but for the row that is most between them
    others = y.copy()
    others[np.abs(X[:, :3].mean(1) - 1.5).argmin()] ^= 1
    for partitions in ([y, others], [others, y]):
        assert explaining_most(X, partitions) == 0
    assert explaining_most(X, [random.integers(2, size=600), others, y]) == 1


def test_what_is_explained_by_chance_has_the_spread_that_is_taken_for_it():
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 5)).astype(np.float32)
    by_chance = [explained(X, random.integers(3, size=400)) for _ in range(300)]
    spread = all_explained(X, np.arange(400) % 3).spread
    assert np.std(by_chance) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("number", [0, 1])
def test_with_a_lead_of_the_first_others_have_to_explain_more_by_that_share(number):
    random = np.random.default_rng(0)
    y = random.integers(3, size=600)
    X = (4 * random.normal(size=(3, 4))[y] + random.normal(size=(600, 4))).astype(np.float32)
    found = [all_explained(X, labels) for labels in (y == 0, y)]
    entropies = [entropy(np.bincount(labels)) for labels in (y == 0, y)]
    assert [each.told - each.value for each in found] == pytest.approx(entropies)
    share = (found[1].value - found[0].value) / found[0].told
    lead = share + 0.01 - 0.02 * number
    assert explaining_most(X, [y == 0, y], lead=lead) == number
