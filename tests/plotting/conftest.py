"""Figures are drawn without a window and closed after each test."""

import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True, scope="session")
def without_a_window():
    plt.switch_backend("Agg")


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")
