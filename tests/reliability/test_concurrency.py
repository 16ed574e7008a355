"""Threads and processes: each answer is that of one model, and nobody waits forever."""

import copy
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone

from helpers import CHILDREN, QUIET, run_python
from skgmvae import GMVAEClustering

SMALL = {
    "n_clusters": 3, "hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "max_iter": 2,
    "device": "cpu", "init": "random",
}

pytestmark = QUIET


def changes(estimator, X, k):
    """Change the model of an estimator, in one of several ways."""
    if k % 4 == 0:
        estimator.partial_fit(X)
    elif k % 4 == 1:
        estimator.set_params(warm_start=True, max_iter=estimator.n_iter_ + 1).fit(X)
    elif k % 4 == 2:
        estimator.set_params(warm_start=False, max_iter=2, random_state=k).fit(X)
    else:
        estimator.set_params(random_state=k).fit(X)


ASKS = {
    "predict": lambda estimator, X: estimator.predict(X),
    "proba": lambda estimator, X: estimator.predict_proba(X).round(9),
    "single": lambda estimator, X: estimator.transform(X.astype(np.float32)),
    "pickle": lambda estimator, X: pickle.loads(pickle.dumps(estimator)).predict_proba(X).round(9),
    "copy": lambda estimator, X: copy.deepcopy(estimator).predict_proba(X).round(9),
    "attributes": lambda estimator, X: estimator.cluster_counts_,
    "history": lambda estimator, X: estimator.history_["lower_bound"][:1],
    "clone": lambda estimator, X: clone(estimator).n_clusters,
}


@pytest.mark.parametrize(("n_changes", "n_asked"), [
    (4, 20), pytest.param(40, 500, marks=pytest.mark.slow),
])
def test_threads_beside_fits_get_answers_of_whole_models(tried, X, n_changes, n_asked):
    estimator = GMVAEClustering(**SMALL, random_state=0).fit(X)
    models, answers = [copy.deepcopy(estimator)], {name: [] for name in ASKS}
    done = threading.Event()

    def ask(name):
        while not done.is_set() or len(answers[name]) < n_asked:
            answers[name].append(np.asarray(ASKS[name](estimator, X)))
            time.sleep(1e-3)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, name) for name in ASKS]
        try:
            for k in range(n_changes):
                changes(estimator, X, k)
                models.append(copy.deepcopy(estimator))
        finally:
            done.set()
        for one in asked:
            one.result(timeout=120)
    for name, given in answers.items():
        known = [np.asarray(ASKS[name](model, X)) for model in models]
        assert len(given) >= n_asked
        for answer in given:
            tried()
            assert any(np.array_equal(answer, one) for one in known), name


@pytest.mark.parametrize("n_fits", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_threads_that_fit_one_object_leave_one_of_their_models(tried, X, n_fits):
    estimator = GMVAEClustering(**SMALL, random_state=0)
    expected = estimator.fit(X).reconstruct(X)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(n_fits):
            tried(4)
            for fitted in pool.map(lambda _: estimator.fit(X), range(4)):
                np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)
    np.testing.assert_allclose(estimator.reconstruct(X), expected, rtol=1e-5)


@pytest.mark.parametrize("n_calls", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_threads_that_predict_get_what_one_gets(tried, X, n_calls):
    estimator = GMVAEClustering(**SMALL, random_state=0).fit(X)
    loaded = pickle.loads(pickle.dumps(estimator))  # whose double precision nobody has asked for
    expected = estimator.predict_proba(X)

    def predict(_):
        np.testing.assert_allclose(loaded.predict_proba(X), expected, rtol=1e-12)

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(predict, range(8 * n_calls)):
            tried()


def fitted_and_asked(seed, X):
    return GMVAEClustering(**SMALL, random_state=seed).fit(X).predict_proba(X)


@pytest.mark.parametrize("backend", [
    "threading",
    pytest.param("loky", marks=pytest.mark.slow),
    pytest.param("multiprocessing", marks=pytest.mark.slow),
])
def test_backends_of_joblib_give_the_same(tried, X, backend):
    together = Parallel(2, backend=backend, timeout=240)(
        delayed(fitted_and_asked)(seed, X) for seed in range(4)
    )
    for seed, probabilities in enumerate(together):
        tried()
        np.testing.assert_allclose(probabilities, fitted_and_asked(seed, X), atol=1e-5)


needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")


@needs_fork
def test_a_forked_process_may_predict_and_fit_after_work_on_two_threads(tried):
    # OpenMP waited for threads that a fork does not take along
    tried(4)
    run_python(CHILDREN, "fork", seconds=240)


@needs_fork
def test_a_process_may_be_forked_after_work_of_others_on_two_threads(tried):
    # a fork from a process in which no model was fitted took itself for the first one
    tried()
    run_python(CHILDREN, "fork_after_others", seconds=240)


@needs_fork
@pytest.mark.parametrize("n_forks", [2, pytest.param(30, marks=pytest.mark.slow)])
def test_a_process_may_be_forked_beside_fits(tried, n_forks):
    # a lock was held by a thread that was not there
    tried(n_forks)
    run_python(CHILDREN, "fork_beside_fits", n_forks, seconds=580)


@pytest.mark.slow
def test_processes_of_all_start_methods(tried):
    tried(6)
    run_python(CHILDREN, "start_methods", seconds=240)
