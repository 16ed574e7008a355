"""The loss curves are the history."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from skgmvae.plotting import LossCurveDisplay

LEFT = {
    "conditional prior (Eq. 5)": "conditional_prior", "w-prior": "w_prior",
    "z-prior (Eq. 6)": "z_prior",
}
RIGHT = {"reconstruction (right)": "reconstruction", "bound (right)": "lower_bound"}


def history(n_epochs, seed=0):
    random = np.random.RandomState(seed)
    return {
        name: sign * random.uniform(1, 2, n_epochs)
        for name, sign in (
            ("reconstruction", -50), ("conditional_prior", 1), ("w_prior", 1), ("z_prior", 1),
            ("lower_bound", -60), ("regularizer", 1), ("disagreement", 1),
        )
    }


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines}


def right_of(display):
    (right,) = [axes for axes in display.figure_.axes if axes is not display.ax_]
    return right


def test_each_term_is_drawn_on_its_axis():
    recorded = history(30)
    display = LossCurveDisplay(recorded).plot()
    for axes, names in ((display.ax_, LEFT), (right_of(display), RIGHT)):
        lines = lines_of(axes)
        assert lines.keys() == names.keys()
        for label, name in names.items():
            assert np.array_equal(lines[label].get_ydata(), recorded[name])
            assert np.array_equal(lines[label].get_xdata(), np.arange(1, 31))
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == [*LEFT, *RIGHT]


def test_the_estimators_history_and_threshold_are_drawn(fit, X):
    estimator = fit(X, min_information=0.3)
    display = LossCurveDisplay.from_estimator(estimator)
    lines = lines_of(display.ax_)
    assert np.array_equal(lines["w-prior"].get_ydata(), estimator.history_["w_prior"])
    assert list(lines["lambda (Eq. 7)"].get_ydata()) == [0.3, 0.3]


def test_no_threshold_is_drawn_at_zero(clusterer):
    assert lines_of(LossCurveDisplay.from_estimator(clusterer).ax_).keys() == LEFT.keys()


def test_a_first_epoch_far_off_does_not_flatten_the_rest():
    recorded = history(100)
    recorded["reconstruction"][0] = -1e6
    low, high = right_of(LossCurveDisplay(recorded).plot()).get_ylim()
    later = np.concatenate([recorded[name][1:] for name in RIGHT.values()])
    assert -200 < low < later.min()
    assert later.max() < high < 0


@pytest.mark.parametrize("n_epochs", [0, 1, 3])
def test_few_epochs_are_seen(n_epochs):
    display = LossCurveDisplay(history(n_epochs)).plot()
    display.figure_.canvas.draw()
    line = lines_of(display.ax_)["w-prior"]
    assert len(line.get_xdata()) == n_epochs
    # a line through one point has no length
    assert (line.get_marker() != "None") == (n_epochs == 1)
    assert all(float(tick).is_integer() for tick in display.ax_.get_xticks()) or n_epochs == 0


def test_the_curves_may_be_flat():
    recorded = {name: np.ones(5) for name in history(1)}
    low, high = right_of(LossCurveDisplay(recorded).plot()).get_ylim()
    assert low < 1 < high


def test_drawing_again_leaves_the_first_picture_as_it_is():
    display = LossCurveDisplay(history(5), min_information=0.5).plot()
    first = display.ax_
    display.plot()
    assert display.ax_ is not first
    assert len(first.lines) == len(display.ax_.lines) == 4
    assert len(plt.get_fignums()) == 2
