"""Fits are quiet, and leave the filters of warnings as they were, whatever other threads do."""

import warnings
from threading import Event, Thread

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from skgmvae._start import candidates, mixtures
from skgmvae._start.quiet import fit_quietly


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("estimator", [
    KMeans(3, n_init=1), GaussianMixture(2, max_iter=1, random_state=0),
], ids=["fewer clusters", "not converged"])
def test_fits_that_do_not_converge_are_quiet(estimator):
    X = np.repeat([[0.0], [1.0]], 20, axis=0) if isinstance(estimator, KMeans) else (
        np.random.default_rng(0).random((50, 1))
    )
    with pytest.raises(ConvergenceWarning):
        estimator.fit(X)
    before = list(warnings.filters)
    assert fit_quietly(estimator, X) is estimator
    assert warnings.filters == before


def test_other_warnings_are_passed_on():
    class Warns:
        def fit(self, values):
            warnings.warn("something else", UserWarning, stacklevel=1)
            return self

    with pytest.warns(UserWarning, match="something else"):
        fit_quietly(Warns(), np.ones((2, 1)))


def test_two_fits_at_once_leave_the_filters_as_they_were():
    # mixtures and k-means had a lock each: what ended last restored the other's filters
    assert candidates.fit_quietly is mixtures.fit_quietly is fit_quietly
    is_in, may_end = Event(), Event()

    class Waits:
        def fit(self, values):
            is_in.set()
            may_end.wait(0.2)
            return self

    before = list(warnings.filters)
    first = Thread(target=fit_quietly, args=(Waits(), np.ones(1)))
    second = Thread(target=fit_quietly, args=(Waits(), np.ones(1)))
    first.start()
    is_in.wait()
    second.start()
    may_end.set()
    first.join()
    second.join()
    assert warnings.filters == before
