"""Profiles are deviations of the cluster means in standard deviations."""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from helpers import tick_labels
from skgmvae.plotting import ClusterProfileDisplay


def made_up(n_clusters=3, n_features=5):
    return np.random.RandomState(0).standard_normal((n_clusters, n_features))


def names_of(display):
    return tick_labels(display.ax_.xaxis)


def test_profiles_are_deviations_of_the_cluster_means(clusterer, X):
    display = ClusterProfileDisplay.from_estimator(clusterer, X)
    labels = clusterer.predict(X)
    for k in np.unique(labels):
        expected = (X[labels == k].mean(0) - X.mean(0)) / X.std(0)
        np.testing.assert_allclose(display.deviations[k], expected)
    (image,) = display.ax_.images
    np.testing.assert_allclose(image.get_array(), display.deviations)
    assert names_of(display) == ["x0", "x1", "x2", "x3"]
    low, high = image.get_clim()
    assert -low == high == np.nanmax(np.abs(display.deviations))


def test_the_features_that_deviate_most_are_drawn_in_their_order():
    deviations = np.array([[0.1, 3.0, 0.0, -1.0], [0.2, 0.0, -5.0, np.nan]])
    display = ClusterProfileDisplay(deviations, list("abcd"), n_features=2).plot()
    assert names_of(display) == ["b", "c"]
    assert np.array_equal(display.ax_.images[0].get_array(), deviations[:, 1:3])


def test_more_features_than_there_are_may_be_asked_for():
    assert len(names_of(ClusterProfileDisplay(made_up(), list("abcde")).plot())) == 5


@pytest.mark.parametrize("value", [1.0, 0.1, 1e8 / 3, 0.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_constant_feature_sets_nothing_apart(value, dtype, clusterer, X):
    class OfFourColumns(type(clusterer)):
        def predict(self, X):
            return super().predict(X[:, :4].astype(float))

    estimator = OfFourColumns()
    estimator.__dict__.update(vars(clusterer))
    rows = np.column_stack([X, np.full(len(X), value)]).astype(dtype)
    display = ClusterProfileDisplay.from_estimator(estimator, rows)
    assert np.nanmax(np.abs(display.deviations[:, 4])) < 1e-6


def test_a_cluster_without_rows_is_seen_to_have_none(clusterer, X):
    rows = X[clusterer.predict(X) == 0]
    display = ClusterProfileDisplay.from_estimator(clusterer, rows)
    assert np.isnan(display.deviations[1:]).all()
    np.testing.assert_allclose(display.deviations[0], 0, atol=1e-12)
    (image,) = display.ax_.images
    drawn = image.to_rgba(image.get_array())
    assert (drawn[0, :, 3] == 1).all()
    assert (drawn[1:, :, 3] == 0).all()  # transparent, on a background unlike no deviation
    middle = image.cmap(0.5)[:3]
    assert np.abs(np.subtract(display.ax_.get_facecolor()[:3], middle)).max() > 0.1


@pytest.mark.newest
def test_names_are_those_that_the_last_step_was_fitted_with(fit, X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    scaler = StandardScaler().set_output(transform="pandas").fit(frame)
    pipeline = make_pipeline(scaler, fit(scaler.transform(frame)))
    assert names_of(ClusterProfileDisplay.from_estimator(pipeline, frame)) == list("abcd")


@pytest.mark.newest
def test_names_are_those_of_the_steps_before_where_the_last_step_has_none(fit, X):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    scaler = StandardScaler().fit(frame)
    pipeline = make_pipeline(scaler, fit(scaler.transform(frame)))
    assert names_of(ClusterProfileDisplay.from_estimator(pipeline, frame)) == list("abcd")


def test_columns_are_numbered_where_no_step_knows_their_names(fit, X):
    pipeline = make_pipeline(FunctionTransformer(lambda X: X[:, :3]).fit(X), fit(X[:, :3]))
    assert names_of(ClusterProfileDisplay.from_estimator(pipeline, X)) == ["x0", "x1", "x2"]


@pytest.mark.parametrize("n_clusters", [2, 50])
def test_a_table_is_large_enough_for_its_labels(n_clusters):
    display = ClusterProfileDisplay(made_up(n_clusters), ["a long name of a feature"] * 5).plot()
    display.figure_.canvas.draw()
    labels = display.ax_.get_yticklabels()
    assert len(labels) == n_clusters
    boxes = [label.get_window_extent() for label in labels]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
    (bar,) = [axes for axes in display.figure_.axes if axes is not display.ax_]
    label = bar.yaxis.label.get_window_extent()
    assert label.y0 >= 0
    assert label.y1 <= display.figure_.bbox.height
    assert display.ax_.get_window_extent().height > 100


def test_the_options_are_kept(clusterer, X):
    display = ClusterProfileDisplay.from_estimator(clusterer, X, n_features=2, cmap="PuOr")
    made = names_of(display)
    assert len(made) == 2
    display.plot(n_features=3, cmap="coolwarm")
    assert len(names_of(display)) == 3
    assert display.ax_.images[0].get_cmap().name == "coolwarm"
    display.plot()
    assert names_of(display) == made
    assert display.ax_.images[0].get_cmap().name == "PuOr"


@pytest.mark.parametrize("n_features", [0, -1, 1.5])
def test_a_number_of_features_that_is_none_is_refused(n_features):
    with pytest.raises((TypeError, ValueError), match="n_features"):
        ClusterProfileDisplay(made_up(), list("abcde"), n_features=n_features).plot()
    assert not plt.get_fignums()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_cluster_without_values_in_a_column_has_no_deviation_there(fit, X):
    gaps = X.copy()
    gaps[::2, 1] = np.nan
    clusterer = fit(gaps)
    labels = clusterer.predict(gaps)
    gaps[labels == 0, 1] = np.nan
    labels = clusterer.predict(gaps)
    found = ClusterProfileDisplay.from_estimator(clusterer, gaps).deviations
    expected = [np.isfinite(gaps[labels == k, 1]).any() for k in range(3)]
    assert np.isfinite(found[:, 1]).tolist() == expected
