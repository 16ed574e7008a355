"""What the tests run in processes of their own: python children.py NAME [ARGUMENT ...]."""

import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from skgmvae import GMVAEClustering

SMALL = {
    "n_clusters": 3, "hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "max_iter": 2,
    "device": "cpu",
}
X = make_blobs(90, 6, centers=3, random_state=0)[0]


def fitted(**parameters):
    return GMVAEClustering(**(SMALL | {"random_state": 0} | parameters)).fit(X)


def in_a_fork(function, seconds=60):
    """Return whether a forked process ends in time without an error."""
    process = os.fork()
    if process == 0:
        signal.alarm(seconds)
        try:
            function()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(process, 0)[1] == 0


def on_two_threads():
    """Start the threads of torch's OpenMP and of scikit-learn's."""
    torch.set_num_threads(2)
    clusterer = fitted()
    KMeans(3, n_init=1).fit(np.repeat(X, 60, axis=0))
    return clusterer, clusterer.predict_proba(np.repeat(X, 60, axis=0))


def fork():
    clusterer, probabilities = on_two_threads()
    rows = np.repeat(X, 60, axis=0)

    def predicts():
        np.testing.assert_allclose(clusterer.predict_proba(rows), probabilities, atol=1e-5)

    def fits():
        np.testing.assert_allclose(fitted().predict_proba(rows), probabilities, atol=1e-4)
        KMeans(3, n_init=1).fit(rows)  # which a fit may run

    assert in_a_fork(predicts)
    assert in_a_fork(fits)
    assert in_a_fork(lambda: clusterer.partial_fit(rows).predict(rows))
    assert in_a_fork(lambda: in_a_fork(predicts) or os._exit(1))
    predicts()
    assert torch.get_num_threads() == 2


def fork_beside_fits(n_forks):
    clusterer, _ = on_two_threads()
    done = threading.Event()

    def fit():
        while not done.is_set():
            fitted()

    threads = [threading.Thread(target=fit) for _ in range(3)]
    for thread in threads:
        thread.start()

    def works():
        clusterer.predict(X)
        fitted()

    survived = 0
    for _ in range(int(n_forks)):
        time.sleep(0.05)
        survived += in_a_fork(works, 30)
    done.set()
    print(survived)
    os._exit(survived != int(n_forks))


def start_methods():
    clusterer = fitted()
    for name in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(name).Pool(1) as pool:
            labels = pool.apply_async(clusterer.predict, (X,)).get(120)
            np.testing.assert_array_equal(labels, clusterer.labels_)
            again = pool.apply_async(clusterer.fit, (X,)).get(120)
            np.testing.assert_allclose(again.reconstruct(X), clusterer.reconstruct(X), atol=1e-5)


def restarts():
    """Fit for longer than anybody waits, in two processes."""
    print("begun", flush=True)
    rows = np.repeat(X, 120, axis=0)
    GMVAEClustering(**(SMALL | {
        "init": "random", "n_init": 4, "n_jobs": 2, "max_iter": 10**6, "n_iter_no_change": 10**6,
    })).fit(rows)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    faulthandler.enable()
    globals()[sys.argv[1]](*sys.argv[2:])
