"""What the regularizer needs of the rows: pseudo-labels and how long they hold, distances."""

import functools

import numpy as np
import pytest
from scipy.sparse import csr_array

from helpers import QUIET
from skgmvae._fit import pseudo_labels, stream
from skgmvae._rows import Rows, SparseRows
from skgmvae.likelihoods import LIKELIHOODS
from skgmvae.parameters import PSEUDO_LABELS, pseudo_label_schedule
from skgmvae.runtime import CPU

pytestmark = QUIET


# what is true of many rows of many features, for the few of a test
MANY_FROM_TEN = PSEUDO_LABELS._replace(
    max_rows_throughout=10, max_features_throughout=1, rows_of_a_feature=1
)


def with_probabilities(make, X, **parameters):
    """Return an estimator and rows of probabilities, whose features have no units."""
    return make(likelihood="bernoulli", **parameters), (X - X.min()) / np.ptp(X)


def watched_schedules(monkeypatch):
    """Return a list to which each fit or chunk adds what weighs its pseudo-labels."""
    seen, original = [], pseudo_labels.regularizer_inputs

    def watch(*arguments, **keywords):
        seen.append(original(*arguments, **keywords))
        return seen[-1]

    for room in (pseudo_labels, stream):
        monkeypatch.setattr(room, "regularizer_inputs", watch)
    return seen


def test_a_continued_fit_has_the_schedule_of_a_new_one_and_labels_without_doubt(
    make, X, monkeypatch
):
    seen = watched_schedules(monkeypatch)
    estimator = make(max_iter=2, warm_start=True).fit(X)
    labels = estimator.labels_
    estimator.set_params(max_iter=4).fit(X)
    estimator.set_params(max_iter=6, init="random").fit(X)
    first, second, third = seen
    assert first.schedule == second.schedule == pseudo_label_schedule(60, 3, "adversarial")
    assert first.pseudo_labels.shape == second.pseudo_labels.shape == (60, 3)
    np.testing.assert_allclose(first.pseudo_labels.sum(1), 1, rtol=1e-6)
    np.testing.assert_array_equal(second.pseudo_labels.toarray(), np.eye(3)[labels])
    assert third.pseudo_labels is None
    losses = estimator.history_["pseudo_label_loss"]
    assert (losses[:4] > 0).all()
    assert not losses[4:].any()


def test_a_continued_fit_of_many_rows_is_held_by_the_last_weight(make, X, monkeypatch):
    rule = MANY_FROM_TEN
    few = functools.partial(pseudo_label_schedule, rule=rule)
    monkeypatch.setattr(pseudo_labels, "pseudo_label_schedule", few)
    seen = watched_schedules(monkeypatch)
    estimator, X = with_probabilities(make, X, max_iter=10, warm_start=True)
    estimator.fit(X).set_params(max_iter=20).fit(X)
    assert {inputs.schedule for inputs in seen} == {few(60, 3, "adversarial")}
    # its first epoch is half of the schedule
    assert few(60, 3, "adversarial").share < 0.5
    losses = estimator.history_["pseudo_label_loss"]
    assert 0 < losses[10:].max() < 2 * rule.last * np.log(3) < losses[0]


@pytest.mark.parametrize("is_mixture", [True, False])
def test_a_fit_of_many_rows_that_begins_with_a_mixture_is_held_by_one_weight(
    make, X, monkeypatch, is_mixture
):
    few = functools.partial(pseudo_label_schedule, rule=MANY_FROM_TEN)
    begin = pseudo_labels.initial_partition
    monkeypatch.setattr(pseudo_labels, "pseudo_label_schedule", few)
    monkeypatch.setattr(
        pseudo_labels, "initial_partition",
        lambda *arguments, **keywords: begin(*arguments, **keywords)._replace(
            is_mixture=is_mixture
        ),
    )
    seen = watched_schedules(monkeypatch)
    estimator, X = with_probabilities(make, X, max_iter=1)
    estimator.fit(X)
    (inputs,) = seen
    assert inputs.schedule.at(0) == 10.0
    assert inputs.schedule.at(1) == (10.0 if is_mixture else PSEUDO_LABELS.last)


def prepared(family, X):
    units = family.units(X, None)
    fitted = family.fitted_to(X, units)
    return pseudo_labels.comparable(Rows.standardized(X, units, CPU), fitted)


def test_sparse_counts_are_compared_as_a_sparse_table():
    X = np.random.default_rng(0).poisson(0.1, (300, 200))
    family = LIKELIHOODS["poisson"]
    dense = prepared(family, X)
    sparse = prepared(family, csr_array(X))
    assert isinstance(sparse, SparseRows)
    np.testing.assert_allclose(sparse.flat(), dense.flat(), rtol=1e-6)
    assert sparse.scaled(np.arange(300)).nnz == np.count_nonzero(X)


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t", "bernoulli", "poisson"])
def test_a_fit_of_many_rows_is_held_by_one_weight_where_features_have_units(
    make, X, monkeypatch, likelihood
):
    few = functools.partial(pseudo_label_schedule, rule=MANY_FROM_TEN)
    monkeypatch.setattr(pseudo_labels, "pseudo_label_schedule", few)
    seen = watched_schedules(monkeypatch)
    values = np.round(20 * (X - X.min()) / np.ptp(X))
    if likelihood == "bernoulli":
        values /= values.max()
    make(likelihood=likelihood, max_iter=1).fit(values)
    (inputs,) = seen
    assert inputs.schedule.at(1) == (0.3 if likelihood == "bernoulli" else 10.0)
