"""Numbers of any size: finite results, or an error that names cause and remedy."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import is_ours, is_raised_by_us
from skgmvae import GMVAEClustering

SMALL = {
    "hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "batch_size": 16, "max_iter": 2,
    "device": "cpu", "random_state": 0,
}
DTYPES = [
    "float64", "float32", "float16", "longdouble", "int8", "uint8", "int32", "int64", "uint64",
    "bool", "object",
]
WORDS = ["X", "likelihood", "n_samples", "n_clusters", "learning_rate_init", "Input"]
OF_ROWS = [
    "predict_log_proba", "decision_function", "transform", "reconstruct", "score_samples", "elbo",
]


def survives(X, new=None, **parameters):
    """Fit to X and look at new rows; return the error in whose words both are refused, or None.

    Errors of ours and of scikit-learn's checks explain themselves; others are not let through.
    """
    estimator = GMVAEClustering(**(SMALL | parameters))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(X)
        except (ValueError, TypeError) as error:
            refused = error
        else:
            refused = None
            looks_right(estimator, X)
            if new is not None:
                looks_right(estimator, new)
    assert all(map(is_ours, caught)), [str(warning.message) for warning in caught]
    if refused is not None:
        assert is_raised_by_us(refused), refused
        assert any(word in str(refused) for word in WORDS), refused
        assert vars(estimator) == estimator.get_params()
    return refused


def looks_right(estimator, X):
    probabilities = estimator.predict_proba(X)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=1e-6)
    labels = estimator.predict(X)
    assert labels.dtype.kind == "i"
    assert labels.min() >= 0
    assert labels.max() < estimator.n_clusters
    for method in OF_ROWS:
        assert not np.isnan(getattr(estimator, method)(X)).any(), method
    for values in (
        estimator.transform(X), estimator.reconstruct(X), estimator.score_samples(X),
        estimator.sample(5)[0], estimator.cluster_centers_, estimator.weights_,
        estimator.lower_bound_, *estimator.latent_components(),
    ):
        assert np.isfinite(values).all()
    np.testing.assert_allclose(estimator.weights_.sum(), 1.0, atol=1e-6)


@st.composite
def tables(draw):
    """Draw a table of columns at any location and scale, with rows of all kinds of trouble."""
    n_rows, n_columns = draw(st.integers(3, 30)), draw(st.integers(1, 6))
    source = np.random.default_rng(draw(st.integers(0, 2**16)))
    X = source.standard_normal((n_rows, n_columns))
    powers = st.one_of(
        st.just(0), st.integers(-3, 3), st.integers(-30, 30), st.integers(-323, 307)
    )
    scales = [10.0 ** draw(powers) for _ in range(n_columns)]
    locations = [draw(st.sampled_from([0.0, 1.0, -1.0])) * 10.0 ** draw(powers)
                 for _ in range(n_columns)]
    kind = draw(st.sampled_from([
        "normal", "constant column", "constant", "duplicates", "rank 1", "two values", "outlier",
        "integers", "mixed within a column",
    ]))
    with np.errstate(all="ignore"):
        if kind == "constant column":
            X[:, 0] = X[0, 0]
        elif kind == "constant":
            X[:] = X[0]
        elif kind == "duplicates":
            X = X[source.integers(0, max(1, n_rows // 4), n_rows)]
        elif kind == "rank 1":
            X = np.outer(X[:, 0], X[0])
        elif kind == "two values":
            X = np.sign(X)
        elif kind == "outlier":
            X[0] *= 10.0 ** draw(st.integers(3, 12))
        elif kind == "integers":
            X = X.round()
        elif kind == "mixed within a column":
            X *= 10.0 ** source.integers(-150, 150, X.shape)
        X = X * scales + locations
        dtype = draw(st.sampled_from(DTYPES))
        if np.dtype(dtype).kind in "iub":
            X = np.nan_to_num(X.round()).clip(-100, 100)
            if np.dtype(dtype).kind in "ub":
                X = abs(X)
        X = X.astype(dtype)
        # scikit-learn's check for finite values warns of the sum of infinities of both signs
        return abs(X) if dtype != "object" and np.isinf(X).any() else X


PARAMETERS = st.fixed_dictionaries({}, optional={
    "n_clusters": st.integers(1, 3),
    "scale": st.sampled_from(["auto", "range", "std", None]),
    "likelihood": st.sampled_from(["gaussian"] * 3 + ["bernoulli", "poisson", "negative_binomial"]),
    "consistency": st.sampled_from(["auto", 0, 1.0]),
    "init": st.sampled_from(["neighbors", "random"]),
    "perturbation_radius": st.sampled_from(["auto", 1e-3, 1e3]),
    "max_iter": st.integers(1, 3),
})


def try_any_numbers(X, new, parameters):
    same = new.shape[1] == X.shape[1] and np.isfinite(new.astype(float)).all()
    survives(
        X, new if same and parameters.get("likelihood", "gaussian") == "gaussian" else None,
        **({"n_clusters": 2} | parameters),
    )


QUIET = {
    "suppress_health_check": list(HealthCheck), "deadline": None, "derandomize": True,
    "database": None,
}


def test_values_too_large_to_square_that_are_no_fractions():
    # warned of an overflow beside the error
    rows = np.array([[1e200, 0.5], [-1e200, 0.5], [0.0, 0.1]])
    assert "between 0 and 1" in str(survives(rows, likelihood="bernoulli", n_clusters=2))


@pytest.mark.parametrize("X", [
    np.random.default_rng(0).standard_normal((12, 5000)),  # more features than rows
    np.random.default_rng(0).standard_normal((12, 1)), np.full((8, 2), 5e-324),
    np.array([[1e-310, 1.0], [2e-310, 2.0], [3e-310, 1.5]]), np.ones((9, 3), "uint8"),
    np.vstack([np.random.default_rng(0).standard_normal((30, 3)), np.full((1, 3), 1e6)]),
], ids=["5,000 features", "one", "denormal", "denormal column", "bytes", "6 powers of 10 away"])
def test_rows_of_many_kinds(X):
    survives(X, n_clusters=2)


@settings(max_examples=20, **QUIET)
@given(X=tables(), new=tables(), parameters=PARAMETERS)
def test_some_numbers_of_any_size(tried, X, new, parameters):
    tried()
    try_any_numbers(X, new, parameters)


@pytest.mark.slow
@settings(max_examples=1500, **QUIET)
@given(X=tables(), new=tables(), parameters=PARAMETERS)
def test_numbers_of_any_size(tried, X, new, parameters):
    tried()
    try_any_numbers(X, new, parameters)
