"""Principal components are those of scikit-learn."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from skgmvae._start.components import COMPONENTS, principal_components


def in_blocks(values, size=1000):
    return partial(values.split, size)


ITERATIVE = COMPONENTS._replace(max_exact_features=1)


def rows(device="cpu", n_rows=3000):
    X = np.random.default_rng(0).standard_normal((n_rows, 60)) * np.geomspace(9, 0.1, 60) + 3
    return torch.tensor(X, dtype=torch.float32, device=device)


@pytest.mark.parametrize("solver", [COMPONENTS, ITERATIVE], ids=["exact", "iterative"])
def test_components_by_an_oracle(solver, device):
    values = rows(device)
    found = principal_components(in_blocks(values), 8, 0, solver=solver)
    expected = PCA(8, svd_solver="full").fit(values.cpu().double().numpy())
    directions = found.directions.cpu().double().numpy()
    np.testing.assert_allclose(directions.T @ directions, np.eye(8), atol=1e-5)
    # but for their signs
    np.testing.assert_allclose(
        np.abs(expected.components_ @ directions), np.eye(8), atol=2e-3
    )
    projected = expected.transform(values.cpu().double().numpy())
    np.testing.assert_allclose(
        np.abs(found.of(values).cpu().numpy()), np.abs(projected), atol=0.1
    )


def test_a_seed_fixes_the_iterations(untouched_global_state):
    values = rows()
    one, again = (principal_components(in_blocks(values), 8, 3, solver=ITERATIVE) for _ in range(2))
    assert torch.equal(one.directions, again.directions)


def test_the_default_dtype_and_device_are_of_no_effect():
    values = rows()
    usual = principal_components(in_blocks(values), 8, 3, solver=ITERATIVE)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        other = principal_components(in_blocks(values), 8, 3, solver=ITERATIVE)
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert torch.equal(usual.directions, other.directions)


@pytest.mark.parametrize("solver", [COMPONENTS, ITERATIVE], ids=["exact", "iterative"])
@pytest.mark.parametrize("n_rows", [1, 5])
def test_few_or_identical_rows_have_finite_components(solver, n_rows):
    found = principal_components(in_blocks(torch.ones(n_rows, 60)), 8, 0, solver=solver)
    assert found.directions.shape == (60, 8)
    assert torch.equal(found.of(torch.ones(2, 60)), torch.zeros(2, 8))


def test_eigenvectors_are_those_of_double_precision(monkeypatch):
    # in single precision LAPACK returned NaN, of pixels of MNIST in one order of the rows
    eigh = torch.linalg.eigh

    def of_double_alone(matrix):
        values, vectors = eigh(matrix)
        return values, vectors * (1.0 if matrix.dtype == torch.float64 else torch.nan)

    monkeypatch.setattr(torch.linalg, "eigh", of_double_alone)
    for solver in (COMPONENTS, ITERATIVE):
        found = principal_components(in_blocks(rows()), 8, 0, solver=solver)
        assert found.directions.isfinite().all()
        assert found.directions.dtype == torch.float32
