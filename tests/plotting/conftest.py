"""Figures are drawn without a window and closed after each test."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True, scope="session")
def without_a_window():
    plt.switch_backend("Agg")


@pytest.fixture(scope="session")
def images(fit, X):
    """Return a clusterer of images of two rows and two columns; to be left as it is."""
    return fit(X, image_shape=(2, 2))


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")
