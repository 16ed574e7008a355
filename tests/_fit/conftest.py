"""A small clusterer, of which each test makes its own."""

import pytest
from sklearn.base import clone


@pytest.fixture(scope="session")
def make(clusterer):
    """Return a function that makes a small clusterer, not fitted."""
    return lambda **parameters: clone(clusterer).set_params(
        **{"learning_rate_init": 2e-3} | parameters
    )
