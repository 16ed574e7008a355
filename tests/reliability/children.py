"""What the tests run in processes of their own: python children.py NAME [ARGUMENT ...]."""

import faulthandler
import mmap
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from skgmvae import GMVAEClustering
from skgmvae._fit.checkpoint import Checkpoint
from skgmvae._stored import to_state
from skgmvae.packing import digest, pack

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


def fork_after_others():
    """Fork after work that was none of ours."""
    rows = np.repeat(X, 60, axis=0)
    torch.set_num_threads(2)
    torch.ones(2000, 2000).exp().sum()
    KMeans(3, n_init=1).fit(rows)
    assert in_a_fork(lambda: fitted().predict(rows))


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


def progress(found):
    """Return a number that grows with each write of a checkpoint."""
    training = found.training
    n_epochs, n_steps = 0, 0
    if training is not None:
        n_epochs, n_steps = len(training.losses), len(training.step_records)
    return (len(found.trials) * 1000 + n_epochs) * 1000 + n_steps


def crashes(folder, n_kills):
    """Kill fits at random instants, let others go on, and compare what comes of it."""
    torch.set_num_threads(1)  # nothing is computed here, so that forks are free to
    path, n_kills = os.path.join(folder, "fit"), int(n_kills)
    answer = os.path.join(folder, "digest")
    written = mmap.mmap(-1, 8)
    write = Checkpoint.write

    def fit(place, n_init):
        def told(self, training):
            write(self, training)
            written[:] = progress(Checkpoint(place)._read()).to_bytes(8, "little")

        Checkpoint.write = told
        clusterer = fitted(
            checkpoint=place, checkpoint_every=0, max_iter=6, batch_size=30, n_init=n_init
        )
        found = digest(pack(to_state(dict(vars(clusterer)))), {})
        with open(answer, "w") as file:
            file.write(found)

    def ended(place, n_init):
        if os.path.exists(answer):
            os.unlink(answer)
        begun = time.monotonic()
        assert in_a_fork(lambda: fit(place, n_init))
        with open(answer) as file:
            return file.read(), time.monotonic() - begun

    source, n_done, n_resumed = random.Random(0), 0, 0
    whole = {n_init: ended(None, n_init) for n_init in (1, 2)}
    while n_done < n_kills:
        n_init = source.choice([1, 2])
        expected, seconds = whole[n_init]
        for _ in range(source.randint(1, 3)):
            process = os.fork()
            if process == 0:
                fit(path, n_init)
                os._exit(0)
            before = written[:]
            while n_done % 2 and written[:] == before and not os.waitpid(process, os.WNOHANG)[0]:
                time.sleep(1e-3)  # every other time it is killed after a write
            time.sleep(source.random() * seconds / (1 + n_done % 2))
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
            n_done += 1
            found = Checkpoint(path)._read()  # an error if it is not whole
            at_least = int.from_bytes(written[:], "little")
            assert (0 if found is None else progress(found)) >= at_least, "work was lost"
            n_resumed += found is not None
        assert ended(path, n_init)[0] == expected
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        written[:] = bytes(8)
    print(n_done, n_resumed)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    faulthandler.enable()
    globals()[sys.argv[1]](*sys.argv[2:])
