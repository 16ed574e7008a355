"""Ctrl-C and SIGTERM at any instant: as before, or fitted and usable, and nothing left behind."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV

import skgmvae
from helpers import CHILDREN, QUIET
from skgmvae import GMVAEClustering

SMALL = {
    "n_clusters": 3, "hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "max_iter": 4,
    "batch_size": 32, "device": "cpu", "random_state": 0,
}
FOLDER = str(Path(skgmvae.__file__).parent)
SHARED = Path("/dev/shm")

pytestmark = QUIET


@pytest.fixture(autouse=True)
def configuration(at_a_terminal):
    """Put back what is left of scikit-learn's own context if Ctrl-C comes within its last lines."""
    before = sklearn.get_config()
    yield
    sklearn.set_config(**before)


def surroundings():
    return {
        "threads": threading.active_count(), "filters": list(warnings.filters),
        "random numbers": torch.get_rng_state().tolist(), "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(), "inference": torch.is_inference_mode_enabled(),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "n_threads": torch.get_num_threads(), "errors of numpy": np.geterr(),
    }


def pressing_after(seconds, again=None):
    """Press Ctrl-C so many seconds later, and once more after a while."""
    waits = [again] if again else []

    def press(signum, frame):
        if waits:
            signal.setitimer(signal.ITIMER_REAL, waits.pop())
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGALRM, press)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def pressing_at_line(number):
    """Press Ctrl-C where so many lines of the package have been run."""
    n_lines = 0

    def trace(frame, event, argument):
        nonlocal n_lines
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        if event == "line":
            n_lines += 1
            if n_lines == number:
                signal.raise_signal(signal.SIGINT)  # which is held back where it would do harm
        return trace

    sys.settrace(trace)
    return lambda: n_lines


def interrupted(function, press, *arguments):
    """Return whether a function was interrupted by what is pressed meanwhile."""
    try:
        try:
            press(*arguments)
            function()
        finally:
            sys.settrace(None)
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True
    return False


def usable(estimator, X):
    """Whether an estimator is fitted; it is right in any case."""
    if not estimator.__sklearn_is_fitted__():
        assert vars(estimator) == estimator.get_params()
        return False
    assert estimator.n_iter_ == len(estimator.history_["lower_bound"]) >= 1
    np.testing.assert_array_equal(estimator.predict(X), estimator.labels_)
    np.testing.assert_allclose(estimator.predict_proba(X).sum(1), 1.0, atol=1e-6)
    return True


class Interrupts:
    """Fits that are interrupted, and what is to be as it would be without."""

    def __init__(self, X):
        self.X = X
        self.expected = self.fit(self.new())
        began = time.perf_counter()
        self.fit(self.new())
        self.seconds = time.perf_counter() - began

    def new(self, **parameters):
        return GMVAEClustering(**(SMALL | parameters))

    def fit(self, estimator):
        return estimator.fit(self.X).reconstruct(self.X)

    def survive(self, run, press, *arguments, estimator):
        before = surroundings()
        interrupted(run, press, *arguments)
        for name, value in surroundings().items():
            assert value == before[name], name
        usable(estimator, self.X)

    def go_on(self):
        np.testing.assert_array_equal(self.fit(self.new()), self.expected)


@pytest.fixture(scope="module")
def interrupts(X):
    return Interrupts(X)


N_CASES = [12, pytest.param(400, marks=pytest.mark.slow)]


@pytest.mark.parametrize("n_cases", N_CASES)
@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_at_any_instant(tried, interrupts, n_cases, twice):
    source = random.Random(n_cases)
    for _ in range(n_cases):
        tried()
        estimator = interrupts.new()
        interrupts.survive(
            lambda estimator=estimator: estimator.fit(interrupts.X), pressing_after,
            1e-6 + source.random() * interrupts.seconds,
            source.random() * 0.01 if twice else None, estimator=estimator,
        )
    interrupts.go_on()


@pytest.mark.parametrize("n_cases", N_CASES)
@pytest.mark.parametrize("parameters", [
    {}, {"n_init": 2}, {"consistency": 0}, {"likelihood": "bernoulli"},
], ids=str)
def test_ctrl_c_at_any_line(tried, interrupts, n_cases, parameters):
    X = interrupts.X
    if "likelihood" in parameters:
        X = np.clip(abs(X) / 20, 0, 1)
    count = []
    for _ in range(2):  # the first may run lines that are run once
        interrupted(
            lambda: interrupts.new(**parameters).fit(X), lambda: count.append(pressing_at_line(0))
        )
    source = random.Random(n_cases)
    before = surroundings()
    for _ in range(n_cases // 4 + 1):
        tried()
        estimator = interrupts.new(**parameters)
        was_interrupted = interrupted(
            lambda estimator=estimator: estimator.fit(X), pressing_at_line,
            source.randint(1, min(each() for each in count)),
        )
        assert surroundings() == before
        # a fit may have some lines less than those that were counted
        assert usable(estimator, X) or was_interrupted
    interrupts.go_on()


@pytest.mark.parametrize("n_cases", N_CASES)
def test_ctrl_c_in_a_chunk_leaves_the_model_of_before(tried, interrupts, n_cases):
    estimator, X, source = interrupts.new().fit(interrupts.X), interrupts.X, random.Random(0)
    for _ in range(n_cases):
        tried()
        before, model = estimator.n_iter_, estimator._fitted
        was_interrupted = interrupted(
            lambda: estimator.partial_fit(X), pressing_after,
            1e-6 + source.random() * interrupts.seconds / 4,
        )
        if was_interrupted and estimator._fitted is model:
            assert estimator.n_iter_ == before
        else:
            assert estimator.n_iter_ == before + 1
        usable(estimator, X)


@pytest.mark.parametrize("n_cases", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_ctrl_c_at_any_instant_of_a_search(tried, interrupts, n_cases):
    source = random.Random(1)
    for _ in range(n_cases):
        tried()
        search = GridSearchCV(interrupts.new(), {"latent_dim": [1, 2]}, cv=2)
        before = surroundings()
        was_interrupted = interrupted(
            lambda search=search: search.fit(interrupts.X), pressing_after,
            source.random() * 4 * interrupts.seconds,
        )
        assert surroundings() == before
        assert was_interrupted or search.best_estimator_.n_iter_ == 4
    interrupts.go_on()


@pytest.mark.parametrize("backend", [
    "threading", pytest.param("loky", marks=pytest.mark.slow),
])
def test_ctrl_c_at_any_instant_of_restarts_beside_each_other(tried, interrupts, backend):
    source = random.Random(2)
    for _ in range(6):
        tried()
        estimator = interrupts.new(n_init=4, n_jobs=2)
        with parallel_config(backend=backend):
            interrupted(
                lambda estimator=estimator: estimator.fit(interrupts.X), pressing_after,
                source.random() * 2 * interrupts.seconds,
            )
        usable(estimator, interrupts.X)
    interrupts.go_on()


# SIGTERM


def terminating(y, source):
    signal.raise_signal(signal.SIGTERM)
    return y


def test_sigterm_ends_a_fit_as_ctrl_c_does(interrupts):
    calls = []

    def perturbation(y, source):
        calls.append(signal.getsignal(signal.SIGTERM))
        # the default action would end the tests
        if len(calls) == 6 and calls[-1] is not signal.SIG_DFL:
            signal.raise_signal(signal.SIGTERM)
        return y

    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        estimator = interrupts.new(perturbation=perturbation, max_iter=20)
        with pytest.raises(KeyboardInterrupt, match="Interrupted after 2 epochs"):
            estimator.fit(interrupts.X)
        assert usable(estimator, interrupts.X)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_of_sigterm_stays(interrupts):
    received = []
    before = signal.signal(signal.SIGTERM, lambda *arguments: received.append(arguments))
    try:
        estimator = interrupts.new(perturbation=terminating).fit(interrupts.X)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(received) == 8  # of four epochs of two steps
    assert estimator.n_iter_ == 4


def test_sigterm_is_left_alone_in_threads_and_in_processes_of_others(interrupts, monkeypatch):
    handlers = []

    def perturbation(y, source):
        handlers.append(signal.getsignal(signal.SIGTERM))
        return y

    estimator = interrupts.new(perturbation=perturbation, max_iter=1)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        thread = threading.Thread(target=estimator.fit, args=(interrupts.X,))
        thread.start()
        thread.join()
        with monkeypatch.context() as patch:
            patch.setattr("multiprocessing.parent_process", lambda: object())
            estimator.fit(interrupts.X)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(handlers) == 4
    assert set(handlers) == {signal.SIG_DFL}


# the end of the process that all others wait for


def of_session(number):
    """Return the processes of a session and what each was started with."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == number and fields[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
    return found


@pytest.mark.skipif(not SHARED.is_dir(), reason="processes are told by /proc")
@pytest.mark.parametrize(("number", "training"), [
    (signal.SIGKILL, True),
    pytest.param(signal.SIGKILL, False, marks=pytest.mark.slow),
    pytest.param(signal.SIGTERM, True, marks=pytest.mark.slow),
    pytest.param(signal.SIGINT, True, marks=pytest.mark.slow),
])
def test_workers_end_with_their_parent(number, training):
    end_a_fit_with_workers(number, training)


@pytest.mark.slow  # a process of joblib's clears it, which a busy machine may end before
@pytest.mark.skipif(not SHARED.is_dir(), reason="processes are told by /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_leave_nothing_in_shared_memory(number):
    session, trackers = end_a_fit_with_workers(number, training=True)

    def left():
        return [path.name for path in SHARED.iterdir() if str(session) in path.name]

    assert waited(lambda: not left(), 10), (left(), trackers)


def end_a_fit_with_workers(number, training):
    """End the parent of workers, and wait for them; return its session and joblib's tracker."""
    fit = subprocess.Popen(
        [sys.executable, CHILDREN, "restarts"], start_new_session=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )
    try:
        assert fit.stdout.readline() == "begun\n"
        assert waited(lambda: n_workers(fit.pid) >= 2)
        assert waited(lambda: n_with_torch(fit.pid) >= 2)  # which their first task needs
        if training:
            time.sleep(8)  # as long as workers import torch
        trackers = [pid for pid, name in of_session(fit.pid).items() if "resource_tracker" in name]
        os.kill(fit.pid, number)
        fit.wait(60)
        assert waited(lambda: not of_session(fit.pid)), of_session(fit.pid)
        return fit.pid, trackers
    finally:
        for process in of_session(fit.pid):
            os.kill(process, signal.SIGKILL)
        fit.stdout.close()


def n_workers(session):
    return sum("popen_loky" in command for command in of_session(session).values())


def n_with_torch(session):
    workers = [pid for pid, command in of_session(session).items() if "popen_loky" in command]
    return sum("libtorch" in Path(f"/proc/{pid}/maps").read_text() for pid in workers)


def waited(condition, seconds=60):
    for _ in range(10 * seconds):
        if condition():
            return True
        time.sleep(0.1)
    return False
