"""The latent space: points are the rows, ellipses the components, on a plane or a line."""

import matplotlib as mpl
import numpy as np
import pytest

from helpers import tick_labels
from skgmvae.plotting import LatentSpaceDisplay


def made_up(n_clusters, latent_dim, n_samples=50, seed=0):
    random = np.random.RandomState(seed)
    return (
        random.standard_normal((n_samples, latent_dim)), random.randint(n_clusters, size=n_samples),
        random.standard_normal((n_clusters, latent_dim)),
        random.uniform(0.5, 2, (n_clusters, latent_dim, 1)) * np.eye(latent_dim),
    )


def points_of(display):
    return np.asarray(display.ax_.collections[0].get_offsets())


def edges_of(display):
    return np.array([ellipse.get_edgecolor() for ellipse in display.ax_.patches])


def covariance_of(ellipse):
    angle = np.radians(ellipse.angle)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.diag([ellipse.width**2 / 4, ellipse.height**2 / 4]) @ turn.T


def test_two_dimensions_are_drawn_as_they_are(fit, X):
    estimator = fit(X, latent_dim=2)
    display = LatentSpaceDisplay.from_estimator(estimator, X)
    means, covariances = estimator.latent_components()
    np.testing.assert_allclose(points_of(display), estimator.transform(X), rtol=1e-6)
    for ellipse, mean, covariance in zip(display.ax_.patches, means, covariances, strict=True):
        np.testing.assert_allclose(ellipse.center, mean)
        np.testing.assert_allclose(covariance_of(ellipse), covariance, atol=1e-8)
    numbers = {text.get_text(): text.xy for text in display.ax_.texts}
    assert list(numbers) == ["0", "1", "2"]
    np.testing.assert_allclose(list(numbers.values()), means)
    assert display.ax_.get_ylabel() == "latent dimension 2"


def test_a_point_has_the_color_of_its_cluster(clusterer, X):
    display = LatentSpaceDisplay.from_estimator(clusterer, X)
    faces = display.ax_.collections[0].get_facecolors()[:, :3]
    assert np.array_equal(faces, edges_of(display)[clusterer.predict(X)][:, :3])


def test_more_dimensions_are_drawn_in_their_principal_plane():
    random = np.random.RandomState(0)
    latent = random.standard_normal((500, 3)) * [3, 2, 0.01]
    turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
    latent = latent @ turn.T + [5, -7, 2]
    display = LatentSpaceDisplay(
        latent, np.zeros(500, int), latent.mean(0)[None], np.diag([0.5, 1.0, 2.0])[None]
    ).plot()
    plane = np.linalg.svd(latent - latent.mean(0))[2][:2]
    expected = (latent - latent.mean(0)) @ plane.T
    # principal components have no sign
    signs = np.sign((points_of(display) * expected).sum(0))
    np.testing.assert_allclose(points_of(display) * signs, expected, atol=1e-8)
    (ellipse,) = display.ax_.patches
    np.testing.assert_allclose(ellipse.center, [0, 0], atol=1e-8)
    np.testing.assert_allclose(
        covariance_of(ellipse) * np.outer(signs, signs), (plane * [0.5, 1.0, 2.0]) @ plane.T,
        atol=1e-8,
    )
    assert display.ax_.get_ylabel() == "principal component 2"


def test_one_dimension_has_a_line_for_each_cluster():
    latent, labels, means, covariances = made_up(3, 1)
    display = LatentSpaceDisplay(latent, labels, means, covariances).plot()
    assert np.array_equal(points_of(display), np.column_stack([latent[:, 0], labels]))
    for k, ellipse in enumerate(display.ax_.patches):
        assert ellipse.center == (means[k, 0], k)
        np.testing.assert_allclose(
            covariance_of(ellipse), [[covariances[k, 0, 0], 0], [0, 0]], atol=1e-12
        )
    assert display.ax_.get_ylabel() == "cluster"
    assert tick_labels(display.ax_.yaxis) == ["0", "1", "2"]


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 10])
def test_a_single_row_is_drawn(latent_dim):
    display = LatentSpaceDisplay(*made_up(2, latent_dim, n_samples=1)).plot()
    display.figure_.canvas.draw()
    assert points_of(display).shape == (1, 2)


def test_everything_is_inside_the_axes():
    latent, labels, means, covariances = made_up(3, 2)
    display = LatentSpaceDisplay(latent, labels, 20 * means, covariances).plot()
    display.figure_.canvas.draw()
    (left, right), (low, high) = display.ax_.get_xlim(), display.ax_.get_ylim()
    for x, y in (*latent, *(20 * means)):
        assert left < x < right
        assert low < y < high


def test_many_clusters_are_drawn_larger_and_in_different_colors():
    few, many = (LatentSpaceDisplay(*made_up(n_clusters, 2)).plot() for n_clusters in (2, 50))
    assert (many.figure_.get_size_inches() > few.figure_.get_size_inches()).all()
    assert many.ax_.texts[0].get_fontsize() < few.ax_.texts[0].get_fontsize()
    assert len(np.unique(edges_of(many), axis=0)) == 50


def test_the_colormap_is_kept():
    display = LatentSpaceDisplay(*made_up(3, 2), cmap="viridis").plot()
    expected = mpl.colormaps["viridis"].resampled(3)(np.arange(3))
    assert np.array_equal(edges_of(display), expected)
    once = edges_of(display.plot(cmap=mpl.colormaps["plasma"]))
    assert not np.array_equal(once, expected)
    assert np.array_equal(edges_of(display.plot()), expected)
    display = LatentSpaceDisplay(*made_up(3, 2)).plot()
    assert not np.array_equal(edges_of(display), expected)


def test_the_colormap_of_from_estimator_is_kept(clusterer, X):
    display = LatentSpaceDisplay.from_estimator(clusterer, X, cmap="viridis")
    assert np.array_equal(edges_of(display), edges_of(display.plot()))
    assert not np.array_equal(
        edges_of(display), edges_of(LatentSpaceDisplay.from_estimator(clusterer, X))
    )


def test_an_unknown_colormap_is_a_value_error():
    with pytest.raises(ValueError, match="rainbows"):
        LatentSpaceDisplay(*made_up(3, 2)).plot(cmap="rainbows")
