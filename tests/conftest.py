"""Fixtures that several files share: a clusterer, a small model, and the devices that there are."""

import builtins
import os
import signal
import warnings
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

# read when scipy is imported; without it one of scikit-learn's checks skips itself
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
import torch
from hypothesis import settings
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skgmvae import GMVAEClustering, files
from skgmvae._model import Architecture
from skgmvae.exceptions import ClusteringWarning
from skgmvae.likelihoods import LIKELIHOODS

settings.register_profile(
    "tests", deadline=None, max_examples=25, derandomize=True, database=None
)
settings.load_profile("tests")

CPU = torch.device("cpu")
GENERATORS = Path(__file__).parents[1] / "examples" / "benchmarks" / "generated_tables.py"

SMALL = {
    "n_clusters": 3, "latent_dim": 2, "style_dim": 2, "hidden_layer_sizes": (8,),
    "max_iter": 10, "batch_size": 32, "device": "cpu", "random_state": 0,
    "learning_rate_init": 3e-2,  # so that all components have rows after so few epochs
}


@pytest.fixture(
    scope="session",
    params=["cpu", pytest.param("cuda:0", marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    ])],
)
def device(request):
    """Name each device that there is: what a fit does is tested on all of them."""
    return request.param


@pytest.fixture
def two_threads():
    """Let torch and the libraries below numpy take two threads, whatever the machine."""
    before = torch.get_num_threads()
    with threadpool_limits(2):
        torch.set_num_threads(2)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def X():
    """Sixty rows of four features around three centers."""
    return make_blobs(60, 4, centers=3, cluster_std=0.7, random_state=0)[0]


@pytest.fixture(scope="session")
def generated():
    """Return the module of the benchmarks that generates tables of many kinds."""
    spec = spec_from_file_location(GENERATORS.stem, GENERATORS)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fit():
    """Return a function that fits a small clusterer quietly."""

    def fit_small(X, **parameters):
        with warnings.catch_warnings():
            for category in (ConvergenceWarning, ClusteringWarning):
                warnings.simplefilter("ignore", category)
            return GMVAEClustering(**(SMALL | parameters)).fit(X)

    return fit_small


@pytest.fixture(scope="session")
def clusterer(fit, X):
    """Return a clusterer fitted to X, all of whose components have rows; to be left as it is."""
    fitted = fit(X)
    assert fitted.cluster_counts_.min() > 0
    return fitted


@pytest.fixture(scope="session")
def on_device(fit, X, device):
    """Return such a clusterer fitted on each device that there is; to be left as it is."""
    return fit(X, device=device)


@pytest.fixture(scope="session")
def make_model():
    """Return a function that makes a small float64 model with random weights."""

    def make(n_clusters=3, latent_dim=2, style_dim=2, likelihood="gaussian", n_features=4, seed=0):
        architecture = Architecture(
            (n_features,), n_clusters, latent_dim, style_dim, (8,), "dense",
            LIKELIHOODS[likelihood],
        )
        model = architecture.build(CPU, seed).double().eval()
        source = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.is_floating_point() and name != "log_weights":
                    draw = torch.randn(tensor.shape, generator=source, dtype=tensor.dtype)
                    if name.endswith("running_var"):
                        draw = 0.5 + draw.abs()
                    tensor.copy_(0.6 * draw)
        model.set_weights()  # in double precision
        return model

    return make


@pytest.fixture
def untouched_global_state():
    """Fail the test if it left the global generators of torch or numpy otherwise than before."""
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    yield
    after = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1][1], after[1][1])
    assert before[1][2] == after[1][2]


@pytest.fixture
def at_a_terminal():
    """Have signals interrupt as they do there: a shell has jobs in the background ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Faults:
    """Lets the n-th call of what a file that is written asks of the operating system fail."""

    CALLS = ("open", "fsync", "replace", "close", "link", "unlink")

    def __init__(self, patch, n, error):
        self.left, self.error, self.fired = n, error, False
        for name in self.CALLS:
            patch.setattr(os, name, self.wrapped(getattr(os, name)))
        patch.setattr(files, "open", self.opened, raising=False)
        patch.setattr(files.shutil, "copymode", self.wrapped(files.shutil.copymode))

    def step(self):
        self.left -= 1
        if self.left == 0:
            self.fired = True
            raise self.error

    def wrapped(self, function):
        def call(*arguments, **keywords):
            if function.__name__ == "close":
                function(*arguments)  # a close that fails has closed
                return self.step()
            self.step()
            return function(*arguments, **keywords)
        return call

    def opened(self, *arguments, **keywords):
        self.step()
        file = builtins.open(*arguments, **keywords)  # noqa: SIM115
        faults = self

        class Written:
            def __enter__(self):
                return self

            def __exit__(self, *error):
                file.close()
                if error[0] is None:
                    faults.step()

            def write(self, data):
                file.write(data[: len(data) // 2])
                faults.step()
                return file.write(data[len(data) // 2 :])

            def flush(self):
                faults.step()
                file.flush()

            def fileno(self):
                return file.fileno()

        return Written()


@pytest.fixture
def faults():
    """Return a class of faults of the disk."""
    return Faults
