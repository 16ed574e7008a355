"""Samples are the estimator's, drawn as images or as profiles."""

from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers import tick_labels
from skgmvae.plotting import ClusterSamplesDisplay


def rows_of(n_clusters, n_columns, n_features, seed=0):
    return np.random.RandomState(seed).standard_normal((n_clusters, n_columns, n_features))


def display_of(n_clusters=3, n_columns=4, n_features=4, **options):
    rows = rows_of(n_clusters, n_columns, n_features)
    return ClusterSamplesDisplay(rows, cluster_counts=np.arange(n_clusters), **options)


def pixels_of(display):
    """Return what is drawn as images, in order, (n_images, height, width, channels)."""
    return np.array([image.get_array() for image in display.ax_.images])


def test_samples_are_the_estimators(images):
    style = np.linspace(-1, 1, 8).reshape(4, 2)
    display = ClusterSamplesDisplay.from_estimator(images, n_samples=4, w=style)
    expected, _ = images.sample(
        12, np.repeat([0, 1, 2], 4), np.tile(style, (3, 1)), observation_noise=False
    )
    assert np.array_equal(display.rows, expected.reshape(3, 4, 4))
    assert tick_labels(display.ax_.yaxis) == [
        f"{k} ({count})" for k, count in enumerate(images.cluster_counts_)
    ]


@pytest.mark.parametrize("observation_noise", [False, True])
def test_one_style_and_the_noise_are_passed_on(observation_noise, images):
    display = ClusterSamplesDisplay.from_estimator(
        images, n_samples=2, w=[0.5, 0.5], observation_noise=observation_noise
    )
    expected, _ = images.sample(
        6, [0, 0, 1, 1, 2, 2], [0.5, 0.5], observation_noise=observation_noise
    )
    assert np.array_equal(display.rows.reshape(6, 4), expected)


def test_the_estimators_image_shape_is_used_unless_another_is_given(images, clusterer):
    display = ClusterSamplesDisplay.from_estimator(images)
    assert pixels_of(display).shape == (30, 2, 2, 4)
    assert not ClusterSamplesDisplay.from_estimator(clusterer).ax_.images
    display = ClusterSamplesDisplay.from_estimator(images, image_shape=(1, 4))
    assert pixels_of(display).shape == (30, 1, 4, 4)
    assert pixels_of(display.plot()).shape == (30, 1, 4, 4)


def test_images_share_a_scale_and_stand_in_their_cells():
    display = display_of(2, 3, 4, image_shape=(2, 2), cmap="viridis").plot()
    low, high = display.rows.min(), display.rows.max()
    expected = mpl.colormaps["viridis"]((display.rows - low) / (high - low))
    np.testing.assert_allclose(pixels_of(display), expected.reshape(6, 2, 2, 4))
    centers = [
        (np.mean(image.get_extent()[:2]), np.mean(image.get_extent()[2:]))
        for image in display.ax_.images
    ]
    np.testing.assert_allclose(centers, [(j, i) for i in range(2) for j in range(3)])
    assert display.ax_.yaxis_inverted()


@pytest.mark.parametrize("image_shape", [(12, 3), (3, 12), (6, 6)])
def test_pixels_are_square_and_images_do_not_overlap(image_shape):
    display = display_of(3, 4, 36, image_shape=image_shape).plot()
    display.figure_.canvas.draw()
    boxes = [image.get_window_extent() for image in display.ax_.images]
    for box in boxes:
        # to a pixel of the screen
        assert box.height / image_shape[0] == pytest.approx(box.width / image_shape[1], rel=0.1)
    assert boxes[0].x1 < boxes[1].x0
    assert boxes[4].y1 < boxes[0].y0


def test_images_of_one_value_are_drawn():
    display = ClusterSamplesDisplay(np.ones((2, 2, 4)), cluster_counts=[1, 1], image_shape=(2, 2))
    assert len(np.unique(pixels_of(display.plot()))) <= 2


@pytest.mark.parametrize("n_channels", [3, 4])
def test_color_images_are_drawn_in_color(n_channels):
    display = display_of(2, 3, 4 * n_channels, image_shape=(2, 2, n_channels)).plot()
    low, high = display.rows.min(), display.rows.max()
    expected = ((display.rows - low) / (high - low)).reshape(6, 2, 2, n_channels)
    np.testing.assert_allclose(pixels_of(display), expected)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_other_channels_are_averaged(n_channels):
    display = display_of(2, 3, 4 * n_channels, image_shape=(2, 2, n_channels)).plot()
    means = display.rows.reshape(-1, n_channels).mean(-1)
    assert np.corrcoef(pixels_of(display)[..., 0].ravel(), means)[0, 1] < -0.99  # larger: darker


@pytest.mark.parametrize("image_shape", [(3, 3), (4,), (1, 2, 2, 1)])
def test_an_image_shape_that_does_not_fit_is_refused(image_shape, clusterer):
    with pytest.raises(ValueError, match=r"image_shape=.* rows with 4 values"):
        ClusterSamplesDisplay.from_estimator(clusterer, image_shape=image_shape)
    assert not plt.get_fignums()


def test_profiles_run_from_the_least_to_the_greatest_value():
    display = display_of(3, 5, 6).plot()
    lines = np.array([line.get_ydata() for line in display.ax_.lines]).reshape(3, 5, 6)
    assert all(line.get_linestyle() == "-" for line in display.ax_.lines)
    low, high = display.rows.min((0, 1)), display.rows.max((0, 1))
    heights = np.arange(3)[:, None, None] - lines  # upwards; the axis is inverted
    least, greatest = heights.min(), heights.max()
    np.testing.assert_allclose(
        (heights - least) / (greatest - least), (display.rows - low) / (high - low), atol=1e-9
    )
    assert greatest - least < 1
    assert display.ax_.yaxis_inverted()
    display.figure_.canvas.draw()
    assert all(float(tick).is_integer() for tick in display.ax_.get_xticks())


@pytest.mark.parametrize("n_features", [1, 2])
def test_few_features_are_seen(n_features):
    line = display_of(2, 3, n_features).plot().ax_.lines[0]
    assert (line.get_marker() != "None") == (n_features == 1)


def test_a_constant_feature_is_a_flat_profile():
    display = ClusterSamplesDisplay(np.ones((2, 2, 3)), cluster_counts=[1, 1]).plot()
    assert np.isfinite([line.get_ydata() for line in display.ax_.lines]).all()


@pytest.mark.parametrize("image_shape", [None, (2, 2)])
@pytest.mark.parametrize("n_clusters", [2, 50])
def test_few_and_many_clusters_are_labeled_within_the_figure(n_clusters, image_shape):
    display = display_of(n_clusters, 2, image_shape=image_shape).plot()
    display.figure_.canvas.draw()
    labels = display.ax_.get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert all(upper.y0 >= lower.y1 for upper, lower in pairwise(boxes))
    ylabel = display.ax_.yaxis.label.get_window_extent()
    assert ylabel.y0 >= 0
    assert ylabel.y1 <= display.figure_.bbox.height
    assert len(labels) == n_clusters


def test_the_options_are_kept():
    display = display_of(image_shape=(2, 2), cmap="viridis").plot()
    made = pixels_of(display)
    once = pixels_of(display.plot(cmap="gray", image_shape=(4, 1)))
    assert once.shape == (12, 4, 1, 4)
    assert (once[..., 0] == once[..., 1]).all()
    assert np.array_equal(pixels_of(display.plot()), made)


def test_a_display_of_profiles_is_drawn_as_images_when_asked():
    display = display_of().plot()
    assert not display.ax_.images
    assert len(display.plot(image_shape=(2, 2)).ax_.images) == 12
    assert not display.plot().ax_.images


def test_styles_of_another_number_of_columns_are_refused_by_that_number(clusterer):
    w = np.zeros((3, clusterer.style_dim))
    with pytest.raises(ValueError, match="w has 3 styles: pass one for each of n_samples=2"):
        ClusterSamplesDisplay.from_estimator(clusterer, n_samples=2, w=w)


@pytest.mark.parametrize("image_shape", [4, (2, 3), "4"])
def test_an_image_shape_that_is_none_is_named(clusterer, image_shape):
    with pytest.raises((TypeError, ValueError), match="image_shape"):
        ClusterSamplesDisplay.from_estimator(clusterer, image_shape=image_shape)
