"""One seed, one result: whatever was done before, wherever it is done."""

import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import QUIET
from skgmvae import GMVAEClustering

PARAMETERS = {
    "n_clusters": 3, "hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "max_iter": 3,
    "batch_size": 32, "device": "cpu", "random_state": 0,
}
# a fit in another process, which it is told on its standard input
PROGRAM = """
import pickle, sys, warnings
warnings.simplefilter("ignore")
import torch
from skgmvae import GMVAEClustering
n_threads, parameters, X = pickle.load(sys.stdin.buffer)
torch.set_num_threads(n_threads)
pickle.dump(GMVAEClustering(**parameters).fit(X).reconstruct(X), sys.stdout.buffer)
"""

pytestmark = QUIET


@pytest.fixture(scope="module")
def answers(X):
    """Return a function that fits anew and returns what the fit says of X."""

    def fit(**changed):
        fitted = GMVAEClustering(**(PARAMETERS | changed)).fit(X)
        return [fitted.reconstruct(X), fitted.predict_proba(X), fitted.sample(5)[0]]

    return fit


@pytest.fixture(scope="module")
def usual(answers):
    return answers()


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("parameters", [
    {}, {"consistency": 0}, {"n_init": 2}, {"init": "random"}, {"n_mc_samples": 2},
], ids=str)
def test_twice(answers, parameters, untouched_global_state):
    assert equal(answers(**parameters), answers(**parameters))


def test_a_thread(answers, usual):
    found = []
    thread = threading.Thread(target=lambda: found.append(answers()))
    thread.start()
    thread.join()
    assert equal(found[0], usual)


def other_work():
    torch.manual_seed(7)
    layer = torch.nn.Linear(50, 50)
    layer(torch.rand(64, 50)).sum().backward()
    np.random.seed(7)  # noqa: NPY002
    np.random.rand(3)  # noqa: NPY002


def test_other_work_before(answers, usual):
    state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    try:
        other_work()
        drawn = torch.get_rng_state()
        assert equal(answers(), usual)
        assert torch.equal(torch.get_rng_state(), drawn)
    finally:
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])  # noqa: NPY002


def in_another_process(n_threads, parameters, X):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=pickle.dumps((n_threads, parameters, X)),
        stdout=subprocess.PIPE, timeout=240, check=True, cwd=Path(__file__).parent,
    )
    return pickle.loads(ended.stdout)


def test_another_process_and_two_threads(tried, X, usual):
    tried(2)
    n_threads = torch.get_num_threads()
    parameters = PARAMETERS
    once = in_another_process(2 if n_threads == 1 else 1, parameters, X)
    np.testing.assert_allclose(once, usual[0], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_other_processes_are_equal_to_the_bit(X, usual):
    for _ in range(3):
        again = in_another_process(torch.get_num_threads(), PARAMETERS, X)
        np.testing.assert_array_equal(again, usual[0])
