"""Exemplars are members of X, ranked by their log-odds."""

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import tick_labels
from skgmvae.plotting import ExemplarsDisplay


def rows_of(n_clusters=3, n_exemplars=2, n_features=4):
    return np.random.RandomState(0).standard_normal((n_clusters, 2 * n_exemplars, n_features))


def test_members_are_ranked_by_log_odds(clusterer, X):
    display = ExemplarsDisplay.from_estimator(clusterer, X, n_exemplars=2)
    log_odds = clusterer.decision_function(X)
    labels = clusterer.predict(X)
    for k in range(3):
        members = np.flatnonzero(labels == k)
        ranked = members[np.argsort(-log_odds[members, k])]
        expected = [*ranked[:2], *ranked[2:][-2:]]
        assert np.array_equal(display.rows[k, : len(expected)], X[expected])
    assert np.array_equal(display.cluster_counts, np.bincount(labels, minlength=3))


def test_a_small_cluster_leaves_cells_empty_and_shows_a_member_once(images, X):
    of_cluster = np.flatnonzero(images.predict(X) == 0)[:4]
    display = ExemplarsDisplay.from_estimator(images, X[of_cluster], n_exemplars=3)
    shown = np.isfinite(display.rows).all(-1)
    assert shown[0].tolist() == [True] * 4 + [False] * 2
    assert not shown[1:].any()
    assert len(np.unique(display.rows[0][shown[0]], axis=0)) == 4
    assert len(display.ax_.images) == 4
    labels = tick_labels(display.ax_.yaxis)
    assert labels == ["0 (4)", "1 (0)", "2 (0)"]


def test_of_a_pipeline_the_rows_are_those_that_the_last_step_sees(fit, X):
    scaler = StandardScaler().fit(X)
    scaled = scaler.transform(X)
    last = fit(scaled, image_shape=(2, 2))
    display = ExemplarsDisplay.from_estimator(make_pipeline(scaler, last), X, n_exemplars=1)
    log_odds, labels = last.decision_function(scaled), last.predict(scaled)
    for k in np.unique(labels):
        best = np.where(labels == k, log_odds[:, k], -np.inf).argmax()
        assert np.array_equal(display.rows[k, 0], scaled[best])
    assert display.image_shape == (2, 2)


def test_images_are_divided_into_most_and_least_certain():
    display = ExemplarsDisplay(rows_of(), cluster_counts=[5, 4, 3], image_shape=(2, 2)).plot()
    assert len(display.ax_.images) == 12
    (line,) = display.ax_.lines
    assert list(line.get_xdata()) == [1.5, 1.5]
    labels = {
        label.get_text().split()[0]: label.get_position()[0]
        for label in display.ax_.get_xticklabels()
    }
    assert labels == {"most": 0.5, "least": 2.5}


@pytest.mark.parametrize(
    ("n_exemplars", "image_shape"), [(1, (2, 2)), (1, (1, 4)), (3, (2, 2)), (3, (4, 1))]
)
def test_the_two_labels_do_not_overlap(n_exemplars, image_shape):
    rows = rows_of(n_exemplars=n_exemplars)
    display = ExemplarsDisplay(rows, cluster_counts=[5, 4, 3], image_shape=image_shape).plot()
    display.figure_.canvas.draw()
    most, least = (label.get_window_extent() for label in display.ax_.get_xticklabels())
    assert most.x1 < least.x0


def test_profiles_of_the_least_certain_are_dashed():
    display = ExemplarsDisplay(rows_of(), cluster_counts=[5, 4, 3]).plot()
    assert [line.get_linestyle() for line in display.ax_.lines] == ["-", "-", "--", "--"] * 3
    assert "dashed" in display.ax_.get_title()


def test_the_options_are_kept(clusterer, X):
    display = ExemplarsDisplay.from_estimator(
        clusterer, X, n_exemplars=1, image_shape=(4, 1), cmap="viridis"
    )
    first = display.ax_.images[0].get_array()
    assert first.shape == (4, 1, 4)
    assert display.plot(image_shape=(2, 2), cmap="gray").ax_.images[0].get_array().shape[:2] == (
        2, 2
    )
    assert np.array_equal(display.plot().ax_.images[0].get_array(), first)


@pytest.mark.parametrize("n_exemplars", [0, -1, 2.5])
def test_a_number_of_exemplars_that_is_none_is_refused(n_exemplars, clusterer, X):
    with pytest.raises((TypeError, ValueError), match="n_exemplars"):
        ExemplarsDisplay.from_estimator(clusterer, X, n_exemplars=n_exemplars)


@pytest.mark.parametrize("image_shape", [(2, 2), (1, 1, 4)])
def test_members_with_missing_pixels_are_drawn(fit, X, image_shape):
    gaps = X.copy()
    gaps[::2, 1] = np.nan
    display = ExemplarsDisplay.from_estimator(
        fit(gaps, image_shape=image_shape), gaps, n_exemplars=2
    )
    is_member = ~np.isnan(display.rows).all(-1)
    assert np.isnan(display.rows[is_member]).any()
    assert len(display.ax_.images) == is_member.sum()


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_column_without_values_is_no_matter(fit, X):
    gaps = X.copy()
    gaps[::2, 1] = np.nan
    clusterer = fit(gaps)
    gaps[:, 1] = np.nan
    assert ExemplarsDisplay.from_estimator(clusterer, gaps).rows.shape == (3, 10, 4)


@pytest.mark.parametrize(("n_features", "has_room"), [(60, True), (61, False)])
def test_features_have_their_names_if_there_is_room(n_features, has_room):
    rows, names = np.random.default_rng(0).random((2, 4, n_features)), np.arange(n_features) + 100
    display = ExemplarsDisplay(rows, cluster_counts=[4, 4], feature_names=names).plot()
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert ("159" in labels) == has_room
