"""Rows give the same answers whatever they come in: one matrix of all that can be combined.

Each container holds the same numbers, in each type of values, with and without missing ones, and is
fitted and asked with each likelihood, with and without weights. It must give what an array of
double precision gives, in which rows are repeated in place of weights:

- to the bit, if rows are read in double precision, as whole numbers and half precision are;
- up to rounding, if they are computed in single precision (float32, uint8) or made dense by parts
  (sparse). The neighbors of sparse rows are found in another way;
- of a source only in the initial partition, if rows have no ties: a fit takes its rows in the order
  in which they lie there.

What cannot be combined is refused by an error that names the remedy.
"""

from functools import cache
from itertools import combinations as choose
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from helpers import Source, run_python
from skgmvae import GMVAEClustering
from skgmvae._rows import is_source
from skgmvae.sources import LazyRows

pytestmark = pytest.mark.filterwarnings("ignore")

SHORT = {
    "n_clusters": 3, "latent_dim": 2, "style_dim": 2, "hidden_layer_sizes": 8, "max_iter": 2,
    "random_state": 0, "device": "cpu",
}
CATEGORIES = [1, 4]
MODELS = {
    "gaussian": {}, "student_t": {"likelihood": "student_t"},
    "bernoulli": {"likelihood": "bernoulli"}, "poisson": {"likelihood": "poisson"},
    "negative_binomial": {"likelihood": "negative_binomial"},
    "categories": {"categorical_features": CATEGORIES},
    "images": {"image_shape": (2, 3), "perturbation": "both"},
}
COUNTS = "poisson", "negative_binomial"
METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "score_samples", "reconstruct", "elbo", "score",
)
DTYPES = "float64", "float32", "float16", "int64", "int8", "uint16", "uint8", "bool"
SINGLE = "float32", "uint8"
N_ROWS = 45
WEIGHTS = np.random.default_rng(1).integers(0, 4, N_ROWS)
WEIGHTS[:3] = 1
COPIES = np.arange(N_ROWS).repeat(WEIGHTS)


def hdf5(X):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(f"{id(X)}", "w", driver="core", backing_store=False)
    return file.create_dataset("X", data=X, chunks=(7, 2))


def zarr(X):
    return pytest.importorskip("zarr").create_array({}, data=X, chunks=(7, 2))


def dask(X):
    return pytest.importorskip("dask.array").from_array(X, chunks=(7, 2))


def pandas(X, dtype):
    return pd.DataFrame(X.astype(dtype))


def nullable(X, dtype):
    """Return a table of pandas that marks what is missing by pandas.NA."""
    names = {"bool": "boolean", "uint8": "UInt8", "uint16": "UInt16"}
    return pd.DataFrame(X).astype(names.get(dtype, dtype.capitalize()))


def polars(X, dtype):
    """Return a table of polars that marks what is missing by null."""
    pl = pytest.importorskip("polars")
    types = {"bool": "Boolean", "uint8": "UInt8", "uint16": "UInt16"}
    return pl.DataFrame(X).fill_nan(None).cast(getattr(pl, types.get(dtype, dtype.capitalize())))


ARRAYS = {
    "C": np.ascontiguousarray, "F": np.asfortranarray, "strided": lambda X: X.repeat(2, 0)[::2],
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")), "tensor": torch.tensor,
    "object": lambda X: X.astype(object), "list": np.ndarray.tolist,
}
FRAMES = {"pandas": pandas, "nullable": nullable, "polars": polars}
SPARSE = {
    kind + shape: getattr(sparse, kind + shape)
    for kind in ("csr", "csc", "coo") for shape in ("_array", "_matrix")
}
SOURCES = {"own": Source, "lazy": LazyRows, "hdf5": hdf5, "zarr": zarr, "dask": dask}
CONTAINERS = ARRAYS | FRAMES | SPARSE | SOURCES


def holds(container, dtype, missing):
    """Whether there is such a container."""
    if missing and np.dtype(dtype).kind != "f" and container not in ("nullable", "polars"):
        return False
    if dtype == "float16":
        return container not in ("nullable", "polars", *SPARSE)
    return container != "list" or dtype in ("float64", "int64", "bool")


def fits(model, container, missing):
    """Whether such rows can be fitted."""
    if model == "categories" and container in (*SPARSE, *SOURCES):
        return False
    return not (missing and model in COUNTS)


def numbers(model, dtype, missing):
    """Return rows of three clusters, whole numbers that each type can hold, in float64."""
    random = np.random.default_rng(0)
    y = np.arange(N_ROWS) % 3
    centers = np.array([
        [90, 20, 20, 90, 20, 60], [20, 90, 20, 60, 90, 20], [20, 20, 90, 20, 60, 90],
    ])
    X = np.clip(np.rint(centers[y] + random.normal(0, 8, (N_ROWS, 6))), 0, 120)
    if model == "categories":
        X[:, CATEGORIES] = np.digitize(X[:, CATEGORIES], [40, 75])
    if model == "bernoulli" or dtype == "bool":
        X = (np.median(X, axis=0) < X).astype(float)
    if missing:
        X[random.random(X.shape) < 0.1] = np.nan
    return X


def contained(container, X, dtype):
    """Return these rows in a container."""
    if container in FRAMES:
        return FRAMES[container](X, dtype)
    return CONTAINERS[container](X.astype(dtype))


def is_exact(model, container, dtype):
    """Whether results are those of double precision, to the bit."""
    if container in SPARSE:
        return False
    of_categories = model == "categories" and dtype == "uint8"
    return dtype not in SINGLE or container in ("object", "list") or of_categories


def fitted(model, X, method="fit", weights=None):
    """Return a small model of these rows."""
    clusterer = GMVAEClustering(**SHORT | {"categorical_features": None} | MODELS[model])
    return getattr(clusterer, method)(X, sample_weight=weights)


def answers(clusterer, X):
    """Return what all methods say of these rows."""
    found = {
        method: np.asarray(getattr(clusterer, method)(X)) for method in METHODS
        if not (sparse.issparse(X) and method == "predict_proba")
    }
    return found | {"weighted score": clusterer.score(X, sample_weight=WEIGHTS)}


def assert_same(found, expected, exactly, name):
    """Compare to the bit, or up to what single precision leaves."""
    if exactly:
        np.testing.assert_array_equal(found, expected, name)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)


@cache
def asked(model, dtype, missing):
    """Return a model, rows of double precision, and what it says of them."""
    clusterer, X = fitted(model, numbers(model, "any", missing)), numbers(model, dtype, missing)
    return clusterer, X, answers(clusterer, X)


@cache
def reference(model, dtype, missing, weighted, method):
    """Return a model that is fitted to rows of double precision, repeated in place of weights."""
    X = numbers(model, dtype, missing)
    return fitted(model, X[COPIES] if weighted else X, method)


def covering(combinations):
    """Mark as slow all but some combinations that have each pair of parts, few of them."""
    pairs = {parts: set(choose(enumerate(parts), 2)) for parts in combinations}
    unseen, kept = set().union(*pairs.values()), set()
    while unseen:
        most = max(combinations, key=lambda parts: len(pairs[parts] & unseen))
        kept.add(most)
        unseen -= pairs[most]
    return [
        pytest.param(*parts, marks=[] if parts in kept else [pytest.mark.slow])
        for parts in combinations
    ]


ROWS = [
    (model, container, dtype, missing)
    for model, container, dtype, missing in product(MODELS, CONTAINERS, DTYPES, (False, True))
    if holds(container, dtype, missing) and fits(model, container, missing)
]
FITS = [
    (*rows, weighted, method)
    for rows, weighted, method in product(ROWS, (False, True), ("fit", "partial_fit"))
]


@pytest.mark.parametrize(("model", "container", "dtype", "missing"), covering(ROWS))
def test_every_method_answers_as_for_the_array(model, container, dtype, missing):
    clusterer, X, expected = asked(model, dtype if dtype == "bool" else "any", missing)
    found = answers(clusterer, contained(container, X, dtype))
    assert set(expected) - set(found) <= {"predict_proba"}
    for method, values in found.items():
        assert_same(values, expected[method], is_exact(model, container, dtype), method)


@pytest.mark.parametrize(
    ("model", "container", "dtype", "missing", "weighted", "method"), covering(FITS)
)
def test_a_fit_is_that_of_the_array(model, container, dtype, missing, weighted, method):
    of_array = reference(model, dtype if dtype == "bool" else "any", missing, weighted, method)
    X = numbers(model, dtype, missing)
    weights = WEIGHTS if weighted else None
    clusterer = fitted(model, contained(container, X, dtype), method, weights)
    np.testing.assert_array_equal(clusterer.labels_, clusterer.predict(X))
    if container in SOURCES and method == "fit":
        if dtype != "bool" and model != "bernoulli":  # whose rows are as far from many others
            begun = clusterer.init_labels_[COPIES if weighted else slice(None)]
            assert adjusted_rand_score(begun, of_array.init_labels_) == 1
        return
    np.testing.assert_array_equal(clusterer.labels_, of_array.predict(X))
    for name, value in clusterer.module_.state_dict().items():
        expected = of_array.module_.state_dict()[name]
        assert_same(value, expected, is_exact(model, container, dtype), name)


@pytest.mark.parametrize("container", SOURCES)
def test_what_stays_in_its_file_is_a_source(container):
    assert is_source(contained(container, numbers("gaussian", "any", False), "float64"))


# What is refused

HAS_GAP = numbers("gaussian", "any", True)
DATES = np.arange(270).reshape(N_ROWS, 6).astype("datetime64[D]")
DATES_OF_NUMPY = np.array([[*row, None] for row in DATES], object)[:, :6]  # which stay as they are
DIGITS = HAS_GAP.astype(str)
TO_NUMBERS, NONE_NAMED = "categorical_features.*to_numeric", {"categorical_features": None}
REFUSED = {
    "counts with a gap": ({"likelihood": "poisson"}, HAS_GAP, "X has missing values.*Leave out"),
    "sparse counts with a gap": (
        {"likelihood": "negative_binomial"}, sparse.csr_array(HAS_GAP), "X has missing values",
    ),
    "counts that are none": ({"likelihood": "poisson"}, HAS_GAP * 0 - 1, "missing|-1"),
    "no probabilities": (
        {"likelihood": "bernoulli"}, HAS_GAP, "needs values between 0 and 1.*MinMaxScaler",
    ),
    "sparse categories": (
        {"categorical_features": [1]}, sparse.csr_array(HAS_GAP), "X is sparse: encode categories",
    ),
    "categories in a source": (
        {"categorical_features": [1]}, Source(HAS_GAP), "X is a source: encode categories",
    ),
    "categories in images": (
        {"categorical_features": [1], "image_shape": (2, 3)}, HAS_GAP, "image_shape.*categories",
    ),
    "dates": ({}, DATES, "dates into numbers"),
    "spans of time": ({}, DATES - DATES[0], "dates into numbers"),
    "a table of dates": ({}, pd.DataFrame(DATES), "If time .*dates into numbers.*drop the column"),
    "dates as objects": ({}, DATES.astype(object), "dates into numbers"),
    "dates beside categories": (
        {}, pd.DataFrame({"day": DATES[:, 0], "kind": "a"}), "dates into numbers",
    ),
    "dates of numpy as objects": ({}, DATES_OF_NUMPY, "dates into numbers"),
    "spans of time in lists": ({}, [[np.timedelta64(1, "s")]] * N_ROWS, "dates into numbers"),
    "text": ({}, DIGITS, TO_NUMBERS),
    "text as objects": ({}, DIGITS.astype(object), TO_NUMBERS),
    "text in lists": ({}, DIGITS.tolist(), TO_NUMBERS),
    "text in a list of arrays": ({}, list(DIGITS), TO_NUMBERS),
    "text in a table": (NONE_NAMED, pd.DataFrame(DIGITS), TO_NUMBERS),
    "objects in a table": (NONE_NAMED, pd.DataFrame(DIGITS, dtype=object), TO_NUMBERS),
    "text of pandas": (NONE_NAMED, pd.DataFrame(DIGITS, dtype="string"), TO_NUMBERS),
    "text as categories": (NONE_NAMED, pd.DataFrame(DIGITS).astype("category"), TO_NUMBERS),
    "objects": ({}, np.full((N_ROWS, 6), {}), "hold no numbers"),
    "pandas.NA in objects": ({}, np.full((N_ROWS, 6), pd.NA), "numpy.nan in place of pandas.NA"),
    "rows of any length": ({}, [[1.0], [1.0, 2.0]], "as many numbers in each row"),
    "a mask": ({}, np.ma.masked_invalid(HAS_GAP), "masked array.*filled"),
    "half precision of torch": ({}, torch.ones(N_ROWS, 6).bfloat16(), r"X\.float\(\)"),
    "a gradient": ({}, torch.ones(N_ROWS, 6, requires_grad=True), r"X\.detach\(\)"),
    "a table of gaps": (
        {}, pd.DataFrame(HAS_GAP).astype(pd.SparseDtype(float)), r"X\.sparse\.to_dense\(\)",
    ),
    "a dictionary": ({}, {"a": [1.0]}, r"'dict'\. X is a dict: pass an array"),
    "a name twice": ({}, pd.DataFrame(HAS_GAP, columns=list("aabcde")), r"'a' 2 times\. Rename"),
    "images": ({}, HAS_GAP.reshape(N_ROWS, 2, 3), r"dim 3.*\. .*X\.reshape\(len\(X\), -1\)"),
    "a column alone": ({}, pd.DataFrame(HAS_GAP)[0], r"a Series.*df\[\['name'\]\]"),
    "infinity": ({}, np.where(HAS_GAP > 90, np.inf, HAS_GAP), "infinity"),
    "infinity in a source": ({}, Source(np.where(HAS_GAP > 90, np.inf, HAS_GAP)), "infinity"),
    "complex numbers": ({}, HAS_GAP * 1j, "Complex data not supported"),
    "complex numbers in a source": ({}, Source(HAS_GAP * 1j), "not numbers: convert them"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_is_no_table_of_numbers_is_refused_with_a_remedy(case, method):
    parameters, X, message = REFUSED[case]
    clusterer = GMVAEClustering(**SHORT | parameters)
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        getattr(clusterer, method)(X)
    assert not hasattr(clusterer, "labels_")


@pytest.mark.parametrize("case", [
    case for case, (parameters, X, _) in REFUSED.items()
    if not parameters and getattr(X, "shape", ()) == (N_ROWS, 6)
])
def test_a_model_refuses_them_too(case):
    _, X, message = REFUSED[case]
    clusterer, *_ = asked("gaussian", "any", False)
    for method in METHODS:
        with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
            getattr(clusterer, method)(X)


@pytest.mark.parametrize("model", ["gaussian", "categories"])
def test_a_row_alone_is_refused_with_a_remedy(model):
    clusterer, X, _ = asked(model, "any", False)
    for method in METHODS:
        with pytest.raises(ValueError, match=r"X is a Series.*df\.iloc\[\[0\]\]"):
            getattr(clusterer, method)(pd.DataFrame(X).iloc[0])


def test_a_model_of_counts_refuses_a_gap():
    clusterer, *_ = asked("poisson", "any", False)
    for X, method in product((HAS_GAP, sparse.csr_array(HAS_GAP), Source(HAS_GAP)), METHODS):
        with pytest.raises((TypeError, ValueError), match=r"missing values|predict_log_proba"):
            getattr(clusterer, method)(X)


@pytest.mark.parametrize("container", SPARSE)
def test_probabilities_of_sparse_rows_are_refused_and_their_logarithm_is_named(container):
    clusterer, X, _ = asked("gaussian", "any", False)
    with pytest.raises(TypeError, match=r"no sparse X.*predict_log_proba"):
        clusterer.predict_proba(contained(container, X, "float64"))


def test_what_is_refused_for_nothing_is_taken():
    clusterer, X, _ = asked("gaussian", "any", False)
    expected = clusterer.predict_proba(X)
    np.testing.assert_array_equal(clusterer.predict_proba(np.ma.array(X)), expected)  # no mask
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({f"x{number}": column for number, column in enumerate(X.T)})
    np.testing.assert_array_equal(clusterer.predict_proba(table), expected)
    named = GMVAEClustering(**SHORT, categorical_features=[])
    assert named.fit(sparse.csr_array(X)).labels_.shape == (N_ROWS,)


def test_numbers_beside_a_category_may_be_text_in_an_array():
    values = np.array([["a", "1"], ["b", "2"], ["c", "3"]] * 20)
    of_text = GMVAEClustering(**SHORT, categorical_features=[0]).fit(values)
    table = pd.DataFrame({"name": values[:, 0], "number": values[:, 1].astype(float)})
    np.testing.assert_array_equal(of_text.labels_, GMVAEClustering(**SHORT).fit(table).labels_)


def test_bytes_and_single_precision_are_seen_in_tensors_and_tables_of_polars():
    polars = pytest.importorskip("polars")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 6)).astype(np.uint8)
    numbers = pixels.astype(np.float32) / 7
    expected = fitted("bernoulli", pixels)
    for make in (torch.tensor, polars.DataFrame):
        found = fitted("bernoulli", make(pixels))
        np.testing.assert_array_equal(found.labels_, expected.labels_)
        model = fitted("gaussian", make(numbers))
        assert model.predict_proba(make(numbers)).dtype == np.float32
    gaps = polars.DataFrame(pixels).with_columns(polars.lit(None, polars.UInt8).alias("column_0"))
    assert np.isfinite(expected.predict(gaps[:5])).all()


def test_dispatch_to_other_arrays_changes_nothing():
    script = f"""
import numpy as np, sklearn, torch, warnings
from skgmvae import GMVAEClustering
from skgmvae.metrics import max_probability_accuracy
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((60, 3))
with sklearn.config_context(array_api_dispatch=True):
    for rows in (X, torch.tensor(X)):
        model = GMVAEClustering(**{SHORT}).fit(rows)
        found = model.inverse_transform(torch.tensor(model.transform(rows)))
        print(type(found).__name__, model.labels_.sum())
    print(max_probability_accuracy([0, 1], torch.tensor([[0.0, 1.0], [1.0, 0.0]])))
"""
    told = run_python("-c", script, SCIPY_ARRAY_API="1").split()
    assert told[0] == told[2] == "ndarray"
    assert told[1] == told[3]
    assert told[4] == "1.0"
