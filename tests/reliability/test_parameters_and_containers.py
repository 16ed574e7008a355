"""Any value of any parameter, any container: a result, or an error that names it."""

import datetime
import decimal
import itertools
import random
import warnings
from array import array

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from sklearn.datasets import make_blobs

from helpers import is_ours, is_raised_by_us
from skgmvae import GMVAEClustering

SMALL = {
    "n_clusters": 2, "hidden_layer_sizes": (4,), "latent_dim": 2, "style_dim": 2, "max_iter": 2,
    "batch_size": 16, "device": "cpu", "random_state": 0,
}
X = make_blobs(24, 4, centers=2, random_state=0)[0]
WORDS = [
    "X", "Input", "Found", "Expected", "array", "DType", "column", "Complex data", "np.matrix",
]
NAMES = sorted(GMVAEClustering().get_params())


class Odd:
    """An object of the user's that is nothing in particular."""

    def __repr__(self):
        return "<odd>"


def returns_y(y, source):
    return y


def raises(*arguments):
    raise ZeroDivisionError("of the user's")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    """Have files that are named by a parameter come and go."""
    monkeypatch.chdir(tmp_path)


# no fraction: scikit-learn's check of intervals cannot take one
VALUES = [
    None, True, False, np.True_, 0, 1, 2, 3, 5, -1, -2, 10**6, 2**31, 2**63, 10**40, 0.0, -0.0, 0.5,
    1.0, 2.5, -0.5, 1e-3, 1e300, 1e-320, np.nan, np.inf, -np.inf, 1j, np.int64(2), np.int8(2),
    np.uint64(2), np.float32(0.5), np.float64(2.0), np.float16(1), np.array(2), np.array(0.5),
    np.array([2, 2]), np.array([]), np.array([[2, 2], [2, 2]]), np.array(["a", "b"]),
    decimal.Decimal(2), "", "auto", "2", "cpu", "CPU", "cuda", "nothing",
    b"auto", "dense", "conv", "gaussian", "bernoulli", "poisson", "neighbors", "random", "cosine",
    "off", "from_dtype", "range", "affine", (), (2,), (2, 2), (1, 4), (2, 1, 2), [2, 2], [],
    [[2], [2, 2]], (2.0, 2.0), (-2, -2), (0, 4), {"a": 1}, {2}, range(2), slice(2), int, Odd, Odd(),
    returns_y, raises, torch.device("cpu"), torch.tensor(2), torch.nn.Linear(2, 2), pd.NA,
    np.random.RandomState(0), np.random.default_rng(0), datetime.date(2020, 1, 1), Ellipsis,
    NotImplemented, float("1e-45"), pd.Series([2, 2]), np.ma.masked, memoryview(b"ab"),
]


def survives(rows=X, method="fit", **parameters):
    """Fit, or be refused in words of ours or of scikit-learn that name a parameter or X."""
    estimator = GMVAEClustering(**(SMALL | parameters))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            getattr(estimator, method)(rows)
        except (TypeError, ValueError) as error:
            refused = error
        except ZeroDivisionError:
            assert any(value is raises for value in parameters.values())
            return None
        else:
            refused = None
            looks_right(estimator, rows)
    if refused is not None and not any(map(callable, parameters.values())):  # which may raise any
        assert is_raised_by_us(refused), repr(refused)
        assert any(name in str(refused) for name in [*parameters, *WORDS]), repr(refused)
    for warning in caught:
        assert is_ours(warning), warning.message
    return refused


def looks_right(estimator, rows):
    probabilities = np.exp(estimator.predict_log_proba(rows))
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-6)
    labels = estimator.predict(rows)
    np.testing.assert_array_equal(labels, probabilities.argmax(1))
    assert np.isfinite(estimator.transform(rows)).all()


def costly(name, value):
    """Whether a value asks for more than seconds, rightly."""
    return name in ("max_iter", "n_init", "verbose", "n_mc_samples", "hidden_layer_sizes") and (
        isinstance(value, int | float | np.number) and abs(value) > 5
    )


@pytest.mark.parametrize("n_values", [2, pytest.param(len(VALUES), marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_any_value_of_a_parameter(tried, capfd, name, n_values):
    for value in random.Random(name).sample(VALUES, n_values):
        # processes are tried elsewhere
        if not costly(name, value) and (name != "n_jobs" or not isinstance(value, int)):
            tried()
            survives(**{name: value})


FAULTS = {
    "an infinite rate": {"learning_rate_init": 1e300},
    "a weight beyond all floats": {"consistency": 10**400},
    "an absurd rate": {"learning_rate_init": 1e6},
    "covariances of terabytes": {"latent_dim": 10**6}, "an absurd weight": {"consistency": 10**40},
    "a tensor of one number": {"hidden_layer_sizes": torch.tensor(2)},
    "a shape of one number": {"image_shape": torch.tensor(2)},
    "draws of a narrow type": {"n_mc_samples": np.int8(2), "batch_size": np.int8(100)},
    "a radius of half precision": {"perturbation_radius": np.float16(1)},
}


@pytest.mark.parametrize("parameters", FAULTS.values(), ids=FAULTS)
def test_values_that_once_made_bare_errors(parameters):
    survives(**parameters)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(8))
def test_pairs_of_parameters(tried, number):
    source = random.Random(number)
    pairs = list(itertools.combinations([name for name in NAMES if name not in (
        "n_jobs", "verbose", "n_init",
    )], 2))
    for _ in range(150):
        parameters = {name: source.choice(VALUES) for name in source.choice(pairs)}
        if not any(costly(*item) for item in parameters.items()):
            tried()
            survives(method=source.choice(["fit", "partial_fit"]), **parameters)


WELL = {
    "n_clusters": [1, 2, 5], "latent_dim": [1, 3], "style_dim": [1, 3],
    "hidden_layer_sizes": ["auto", 3, (3, 3)], "networks": ["dense", "conv"],
    "image_shape": [None, (2, 2), (1, 2, 2)],
    "likelihood": ["gaussian", "bernoulli", "poisson", "negative_binomial"],
    "scale": ["auto", "range", "std", None], "categorical_features": [None, [0], [0, 1, 2, 3]],
    "n_mc_samples": [1, 3], "min_information": [0.0, 0.5], "consistency": ["auto", 0, 10.0],
    "perturbation": ["adversarial", "affine", "both", returns_y],
    "perturbation_radius": ["auto", 0.1, 1e6], "init": ["neighbors", "random"], "n_init": [1, 2],
    "learning_rate": ["cosine", "constant"], "learning_rate_init": ["auto", 1e-8, 10.0],
    "batch_size": [2, 5, 1000], "max_iter": [1, 3], "tol": [0.0, 1e9], "n_iter_no_change": [1, 9],
    "warm_start": [False, True],
}


@pytest.mark.parametrize("n_cases", [20, pytest.param(1500, marks=pytest.mark.slow)])
def test_right_values_go_together(tried, n_cases):
    source = random.Random(0)
    rows = np.random.default_rng(0).integers(0, 2, X.shape).astype(float)
    for _ in range(n_cases):
        tried()
        parameters = {
            name: source.choice(WELL[name]) for name in source.sample(sorted(WELL), 6)
        }
        refused = survives(rows, method=source.choice(["fit", "partial_fit"]), **parameters)
        assert refused is None or len(str(refused)) > 30


class Interface:
    """What NumPy may read, and nothing else."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


FRAME = pd.DataFrame(X, columns=list("abcd"))
CONTAINERS = {
    "array": X, "list": X.tolist(), "tuple": tuple(map(tuple, X)), "list of arrays": list(X),
    "single": X.astype(np.float32), "half": X.astype(np.float16), "long": X.astype(np.longdouble),
    "big endian": X.astype(">f8"), "Fortran": np.asfortranarray(X), "reversed": X[::-1, ::-1],
    "strided": np.repeat(X, 2, 0)[::2], "object": X.astype(object), "integers": X.astype(int),
    "booleans": X > 0, "bytes": abs(X).astype(np.uint8), "int8": X.astype(np.int8),
    "uint64": abs(X).astype(np.uint64), "masked": np.ma.masked_array(X, X > 1e9),
    "matrix": np.asmatrix(X), "DataFrame": FRAME, "nullable": FRAME.convert_dtypes(),
    "pyarrow": FRAME.convert_dtypes(dtype_backend="pyarrow"), "mixed frame": FRAME.assign(
        e=FRAME.a > 0, f=["x", "y"] * 12, g=pd.Categorical(["u", "v", "w"] * 8)),
    "numbers as names": pd.DataFrame(X), "other index": FRAME.set_index(FRAME.a.rank() * 7),
    "columns twice": pd.concat([FRAME, FRAME], axis=1), "dates": FRAME.assign(
        e=pd.date_range("2020", periods=24)), "MultiIndex": pd.DataFrame(
        X, columns=pd.MultiIndex.from_product([["a", "b"], [1, 2]])),
    "polars": pl.DataFrame(X), "lazy": pl.DataFrame(X).lazy(), "series": FRAME.a,
    "sparse frame": FRAME.astype(pd.SparseDtype(float)), "tensor": torch.tensor(X),
    "tensor with gradient": torch.tensor(X, requires_grad=True), "interface": Interface(X),
    "buffer": memoryview(X), "text": X.astype(str), "words": np.array([["a", "b"]] * 24),
    "complex": X + 1j, "empty": np.empty((0, 4)), "no columns": np.empty((24, 0)), "row": X[0],
    "cube": X[None], "number": 3.0, "None": None, "dict": {"a": X[:, 0].tolist()},
    "generator": (row for row in X), "set": {1.0, 2.0}, "ragged": [[1.0], [1.0, 2.0]],
    "array.array": array("d", X[:, 0]), "structured": np.zeros(24, [("a", float), ("b", float)]),
    "records": FRAME.to_records(), "NaN": np.where(X > 5, np.nan, X), "infinite": X * np.inf,
    "None inside": [[None, 1.0]] * 24, "times": X.astype("m8[s]"), "bytestrings": X.astype("S9"),
    "void": np.zeros((24, 2), "V8"), "decimals": [[decimal.Decimal(1), decimal.Decimal(2)]] * 24,
    **{kind: getattr(scipy.sparse, kind)(X) for kind in (
        "csr_array", "csc_array", "coo_array", "bsr_array", "dia_array", "dok_array", "lil_array",
        "csr_matrix", "csc_matrix", "coo_matrix", "lil_matrix")},
    "sparse integers": scipy.sparse.csr_array(X.astype(int)),
    "sparse booleans": scipy.sparse.csr_array(X > 0),
    "sparse complex": scipy.sparse.csr_array(X + 1j),
    "nothing stored": scipy.sparse.csr_array((24, 4)),
    "one-dimensional sparse": scipy.sparse.coo_array(X[0]),
}
REFUSED = {
    "matrix", "columns twice", "dates", "lazy", "series", "sparse frame", "tensor with gradient",
    "words", "complex", "empty", "no columns", "row", "cube", "number", "None", "dict",
    "generator", "set", "ragged", "array.array", "structured", "records", "infinite",
    "None inside", "void", "sparse complex", "one-dimensional sparse", "text", "times",
    "bytestrings",
}
OFTEN = ["dict", "series", "sparse frame", "tensor with gradient", "tensor", "interface", "records"]


@pytest.mark.parametrize("name", [
    name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in CONTAINERS
])
def test_any_container(tried, name):
    for method in ("fit", "partial_fit"):
        tried()
        refused = survives(CONTAINERS[name], method=method)
        assert (refused is not None) == (name in REFUSED)
