"""Many fits and many predictions: memory, files and threads stay where they are."""

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from helpers import QUIET
from skgmvae import GMVAEClustering

SMALL = {
    "n_clusters": 3, "hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "max_iter": 2,
    "device": "cpu", "init": "random",
}
PROCESS = Path("/proc/self")

pytestmark = [
    *QUIET,
    pytest.mark.skipif(not PROCESS.is_dir(), reason="what a process holds is told by /proc"),
]


def held():
    """Return the bytes of memory, the files and the threads of this process."""
    gc.collect()
    pages = int((PROCESS / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list((PROCESS / "fd").iterdir())), (
        threading.active_count()
    )


def stays(run, n_before, n_after):
    """Whether what is held grows by less than 5 % in so many runs more."""
    for k in range(n_before):
        run(k)
    before = held()
    for k in range(n_after):
        run(k)
    after = held()
    assert after[0] < 1.05 * before[0]
    assert after[1:] == before[1:]


@pytest.mark.parametrize("n_fits", [15, pytest.param(300, marks=pytest.mark.slow)])
def test_fits(tried, X, n_fits):
    tried(n_fits)
    stays(lambda k: GMVAEClustering(**SMALL, random_state=k).fit(X), 5, n_fits)


@pytest.mark.parametrize("n_calls", [500, pytest.param(100_000, marks=pytest.mark.slow)])
def test_predictions(tried, X, n_calls):
    tried(n_calls)
    fitted = GMVAEClustering(**SMALL, random_state=0).fit(X)
    stays(lambda k: fitted.predict(X[k % 50 :][:5]), 100, n_calls)


@pytest.mark.parametrize("n_chunks", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_stream(tried, X, n_chunks):
    tried(n_chunks)
    stream = GMVAEClustering(**SMALL, random_state=0)
    stays(lambda k: stream.partial_fit(X), 40, n_chunks)


def test_errors(tried, X):
    # what is raised must not keep what it met
    tried(50)

    def fail(k):
        with pytest.raises(ZeroDivisionError):
            GMVAEClustering(**SMALL, perturbation=lambda y, source: 1 / 0, random_state=k).fit(X)

    stays(fail, 10, 40)


@pytest.mark.slow
def test_a_thousand_clusters():
    rows = np.random.default_rng(0).standard_normal((3000, 5))
    fitted = GMVAEClustering(1000, max_iter=2, random_state=0, device="cpu").fit(rows)
    assert fitted.predict_proba(rows).shape == (3000, 1000)
    np.testing.assert_allclose(fitted.predict_proba(rows).sum(1), 1.0, atol=1e-6)


@pytest.mark.slow
def test_a_million_rows():
    rows = np.random.default_rng(0).standard_normal((10**6, 4)).astype(np.float32)
    fitted = GMVAEClustering(3, max_iter=1, random_state=0, device="cpu").fit(rows)
    assert np.bincount(fitted.labels_).sum() == 10**6
