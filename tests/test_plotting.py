"""Displays draw what they were given, on a given Axes too, with few and with many clusters."""

import builtins

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
import matplotlib.pyplot as plt
from sklearn.exceptions import NotFittedError

from skgmvae import GMVAEClustering
from skgmvae.plotting import (
    ClusterMatrixDisplay,
    ClusterProfileDisplay,
    ClusterSamplesDisplay,
    ExemplarsDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
)

WITH_ROWS = [LatentSpaceDisplay, ExemplarsDisplay, ClusterProfileDisplay]
WITHOUT_ROWS = [LossCurveDisplay, ClusterSamplesDisplay]


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def images(fit, X):
    return fit(X, image_shape=(2, 2))


def draw(display, estimator, X, **options):
    if display is ClusterMatrixDisplay:
        return display.from_estimator(estimator, X, estimator.predict(X), **options)
    rows = (X,) if display in WITH_ROWS else ()
    return display.from_estimator(estimator, *rows, **options)


EVERY = [*WITH_ROWS, *WITHOUT_ROWS, ClusterMatrixDisplay]


@pytest.mark.parametrize("display", EVERY)
def test_a_figure_is_made_and_kept(display, clusterer, X):
    drawn = draw(display, clusterer, X)
    assert drawn.ax_.figure is drawn.figure_
    drawn.figure_.canvas.draw()
    assert drawn.plot() is drawn


@pytest.mark.parametrize("display", EVERY)
def test_a_given_axes_is_used(display, images, X):
    _, ax = plt.subplots()
    assert draw(display, images, X, ax=ax).ax_ is ax
    assert len(plt.get_fignums()) == 1


def test_the_latent_space_of_many_clusters_is_drawn_larger(fit, X):
    few, many = (
        draw(LatentSpaceDisplay, fit(X, n_clusters=n_clusters, max_iter=2), X).figure_
        for n_clusters in (2, 50)
    )
    assert (many.get_size_inches() > few.get_size_inches()).all()


@pytest.mark.parametrize("display", EVERY)
@pytest.mark.parametrize("n_clusters", [2, 50])
def test_few_and_many_clusters(display, n_clusters, fit, X):
    for image_shape in (None, (2, 2)):
        estimator = fit(X, n_clusters=n_clusters, image_shape=image_shape, max_iter=2)
        draw(display, estimator, X).figure_.canvas.draw()


@pytest.mark.parametrize("display", EVERY)
def test_an_unfitted_estimator_is_refused(display, X):
    rows = () if display in WITHOUT_ROWS else (X,)
    labels = (np.zeros(len(X)),) if display is ClusterMatrixDisplay else ()
    with pytest.raises(NotFittedError):
        display.from_estimator(GMVAEClustering(), *rows, *labels)


@pytest.mark.parametrize("display", EVERY)
def test_without_matplotlib_it_says_what_to_install(display, monkeypatch, images, X):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"skgmvae\[plot\]"):
        draw(display, images, X)


def test_loss_curves_are_the_history(fit, X):
    estimator = fit(X, min_information=0.3)
    display = LossCurveDisplay.from_estimator(estimator)
    lines = {line.get_label(): line for line in display.ax_.lines}
    assert np.array_equal(
        lines["conditional prior (Eq. 5)"].get_ydata(), estimator.history_["conditional_prior"]
    )
    assert list(lines["lambda (Eq. 7)"].get_ydata()) == [0.3, 0.3]
    assert not [line for line in draw(LossCurveDisplay, fit(X), X).ax_.lines
                if line.get_label().startswith("lambda")]


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_ellipses_are_the_components_at_w_0(latent_dim, fit, X):
    estimator = fit(X, latent_dim=latent_dim)
    display = LatentSpaceDisplay.from_estimator(estimator, X)
    means, variances = estimator.latent_components()
    assert means.shape == variances.shape == (3, latent_dim)
    assert np.allclose(estimator.inverse_transform(means), estimator.cluster_centers_, atol=1e-4)
    if latent_dim == 2:
        for ellipse, mean, variance in zip(display.ax_.patches, means, variances, strict=True):
            assert np.allclose(ellipse.center, mean)
            sides = sorted([ellipse.width, ellipse.height])
            assert np.allclose(sides, np.sort(2 * np.sqrt(variance)), atol=1e-4)


def test_an_ellipse_is_turned_with_the_plane():
    random = np.random.RandomState(0)
    latent = random.standard_normal((500, 3)) * [3, 2, 0.01]
    turn = np.linalg.qr(random.standard_normal((3, 3)))[0]
    display = LatentSpaceDisplay(
        latent @ turn.T, np.zeros(500, int), np.zeros((1, 3)), np.array([[0.5, 1.0, 2.0]])
    ).plot()
    plane = np.linalg.svd(latent @ turn.T - (latent @ turn.T).mean(0))[2][:2]
    expected = (plane * [0.5, 1.0, 2.0]) @ plane.T
    (ellipse,) = display.ax_.patches
    angle = np.radians(ellipse.angle)
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    got = turned @ np.diag([ellipse.width**2 / 4, ellipse.height**2 / 4]) @ turned.T
    # principal components have no sign
    assert np.allclose(np.abs(got), np.abs(expected), rtol=1e-3)


def test_exemplars_are_ranked_by_log_odds(images, X):
    display = ExemplarsDisplay.from_estimator(images, X, n_exemplars=2)
    odds = images.decision_function(X)
    for k in range(3):
        members = np.flatnonzero(images.labels_ == k)
        ranked = members[np.argsort(-odds[members, k])]
        for column, member in zip(range(4), [*ranked[:2], *ranked[2:][-2:]], strict=False):
            assert np.array_equal(display.rows[k, column], X[member])


def test_a_small_cluster_leaves_cells_empty(images, X):
    display = ExemplarsDisplay.from_estimator(images, X[:1], n_exemplars=3)
    assert np.isfinite(display.rows).all(-1).sum() == 1


def test_samples_are_the_estimators(images):
    style = np.linspace(-1, 1, 8).reshape(4, 2)
    display = ClusterSamplesDisplay.from_estimator(images, n_samples=4, w=style)
    expected, _ = images.sample(4, 1, style, observation_noise=False)
    assert display.rows.shape == (3, 4, 4)
    assert display.rows[1].shape == expected.shape
    assert len(display.ax_.images) == 12


@pytest.mark.newest
def test_profiles_are_deviations_of_the_cluster_means(fit, X):
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcd"))
    estimator = fit(frame)
    display = ClusterProfileDisplay.from_estimator(estimator, frame, n_features=2)
    deviation = (X[estimator.labels_ == 0].mean(0) - X.mean(0)) / X.std(0)
    assert np.allclose(display.deviations[0], deviation)
    strongest = set(np.argsort(-np.abs(display.deviations).max(0))[:2])
    assert {tick.get_text() for tick in display.ax_.get_xticklabels()} == {
        "abcd"[j] for j in strongest
    }


def test_a_constant_feature_sets_nothing_apart(fit, X):
    rows = np.column_stack([X, np.ones(len(X))])
    display = ClusterProfileDisplay.from_estimator(fit(rows), rows)
    assert (np.nan_to_num(display.deviations[:, 4]) == 0).all()


def test_the_matrix_counts_and_orders_clusters_by_label():
    display = ClusterMatrixDisplay.from_predictions(
        ["b", "b", "b", "a", "a", "b"], [0, 0, 2, 1, 1, 1]
    )
    assert display.labels.tolist() == ["a", "b"]
    assert display.clusters.tolist() == [1, 0, 2]
    assert display.matrix.tolist() == [[2, 0, 0], [1, 2, 1]]


def test_two_channels_are_averaged_to_greys(fit, X):
    display = ClusterSamplesDisplay.from_estimator(fit(X, image_shape=(1, 2, 2)))
    assert display.ax_.images[0].get_array().shape == (1, 2, 4)
    greys = np.array([image.get_array()[..., 0] for image in display.ax_.images])
    means = display.rows.reshape(-1, 1, 2, 2).mean(-1)
    assert np.corrcoef(greys.ravel(), means.ravel())[0, 1] < -0.9  # the larger, the darker


def test_loss_curves_of_no_epoch_are_empty(fit, X):
    def interrupting(y, source):
        raise KeyboardInterrupt

    display = LossCurveDisplay.from_estimator(fit(X, perturbation=interrupting))
    assert not display.ax_.lines[0].get_xdata().size


def test_colour_images_are_drawn(fit):
    X = np.random.RandomState(0).randint(0, 256, (40, 12), dtype=np.uint8)
    estimator = fit(X, image_shape=(2, 2, 3))
    image = ClusterSamplesDisplay.from_estimator(estimator).ax_.images[0]
    assert image.get_array().shape == (2, 2, 3)
