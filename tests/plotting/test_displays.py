"""What all displays do alike: estimators and rows that they take, and errors where they do not."""

import builtins
import importlib
import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import skgmvae
from helpers import tick_labels
from skgmvae.plotting import (
    ClusterMatrixDisplay,
    ClusterProfileDisplay,
    ClusterSamplesDisplay,
    ExemplarsDisplay,
    LatentSpaceDisplay,
    LossCurveDisplay,
)

WITH_ROWS = [LatentSpaceDisplay, ExemplarsDisplay, ClusterProfileDisplay, ClusterMatrixDisplay]
EVERY = [LossCurveDisplay, ClusterSamplesDisplay, *WITH_ROWS]

every_display = pytest.mark.parametrize("display", EVERY)
displays_with_rows = pytest.mark.parametrize("display", WITH_ROWS)


def draw(display, estimator, X, **options):
    rows = (X,) if display in WITH_ROWS else ()
    labels = (np.arange(60) % 4,) if display is ClusterMatrixDisplay else ()
    return display.from_estimator(estimator, *rows, *labels, **options)


def assert_same(drawn, expected):
    """Assert that two displays hold the same numbers and names."""
    drawn, expected = (
        {name: value for name, value in vars(each).items() if name not in ("ax_", "figure_")}
        for each in (drawn, expected)
    )
    assert drawn.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(drawn[name], value, rtol=1e-6, atol=1e-9)
        else:
            np.testing.assert_equal(drawn[name], value)


@pytest.fixture(scope="module")
def scaler(X):
    return StandardScaler().fit(3 * X + 5)


@pytest.fixture(scope="module")
def scaled(scaler, X):
    return scaler.transform(3 * X + 5)


@pytest.fixture(scope="module")
def last(fit, scaled):
    """Return a clusterer fitted to scaled rows; `raw` are the rows before scaling."""
    return fit(scaled)


@pytest.fixture(scope="module")
def raw(X):
    return 3 * X + 5


@every_display
def test_a_figure_is_made_and_kept(display, clusterer, X):
    drawn = draw(display, clusterer, X)
    assert type(drawn) is display
    assert drawn.ax_.figure is drawn.figure_
    drawn.figure_.canvas.draw()
    assert drawn.plot() is drawn


@every_display
def test_a_given_axes_is_used(display, clusterer, X):
    _, ax = plt.subplots()
    drawn = draw(display, clusterer, X, ax=ax)
    assert drawn.ax_ is ax
    assert ax.has_data()
    assert len(plt.get_fignums()) == 1
    _, other = plt.subplots()
    assert drawn.plot(other).ax_ is other
    assert drawn.figure_ is other.figure


@every_display
def test_a_pipeline_shows_its_last_step_on_transformed_rows(display, scaler, last, raw, scaled):
    assert_same(
        draw(display, make_pipeline(scaler, last), raw), draw(display, last, scaled)
    )


@every_display
def test_pipelines_may_be_nested(display, scaler, last, raw, scaled):
    shift = FunctionTransformer(lambda rows: rows - 1).fit(raw)
    nested = make_pipeline(shift, make_pipeline(scaler, make_pipeline(last)))
    assert_same(draw(display, nested, raw + 1), draw(display, last, scaled))


@every_display
def test_a_search_shows_its_best_estimator(display, searched, X):
    best = searched.best_estimator_
    assert_same(draw(display, searched, X), draw(display, best[-1], best[:-1].transform(X)))


@pytest.fixture(scope="module")
def searched(clusterer, X):
    pipeline = make_pipeline(StandardScaler(), clone(clusterer))
    options = {"gmvaeclustering__max_iter": [2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GridSearchCV(pipeline, options, cv=2, scoring=lambda *_: 0.0).fit(X)


@every_display
@pytest.mark.parametrize("around", ["nothing", "pipeline", "search"])
def test_an_unfitted_estimator_is_refused(display, around, clusterer, X):
    estimator = {
        "nothing": clone,
        "pipeline": lambda unfitted: make_pipeline(StandardScaler(), clone(unfitted)),
        "search": lambda unfitted: GridSearchCV(clone(unfitted), {}),
    }[around](clusterer)
    with pytest.raises(NotFittedError):
        draw(display, estimator, X)
    assert not plt.get_fignums()


@every_display
def test_what_is_no_clusterer_is_refused(display, clusterer, X):
    y = np.arange(60) % 2
    others = [
        "clusterer", type(clusterer), StandardScaler().fit(X),
        make_pipeline(StandardScaler(), "passthrough").fit(X),
        GridSearchCV(KMeans(2), {"n_clusters": [2]}, cv=2, refit=False).fit(X),
    ]
    if display is not ClusterMatrixDisplay:
        others.append(LogisticRegression().fit(X, y))
    for other in others:
        with pytest.raises(TypeError, match="Pass a fitted GMVAEClustering, or a Pipeline"):
            draw(display, other, X)
    assert not plt.get_fignums()


def test_the_error_names_what_is_missing(X):
    with pytest.raises(TypeError, match="KMeans has no 'latent_components'"):
        LatentSpaceDisplay.from_estimator(KMeans(2).fit(X), X)


@pytest.mark.parametrize("display", [ClusterMatrixDisplay, ClusterProfileDisplay])
def test_other_clusterers_are_shown_where_they_have_what_is_needed(display, X):
    draw(display, KMeans(3, random_state=0).fit(X), X).figure_.canvas.draw()


@pytest.fixture(scope="module", params=["pandas", "polars"])
def frame(request, X):
    frames = pytest.importorskip(request.param)
    return frames.DataFrame(dict(zip("abcd", X.T, strict=True)))


@pytest.fixture(scope="module")
def fitted_to_frame(fit, frame):
    return fit(frame)


@displays_with_rows
@pytest.mark.newest
def test_frames_are_rows(display, fitted_to_frame, frame, clusterer, X):
    drawn, expected = draw(display, fitted_to_frame, frame), draw(display, clusterer, X)
    if "feature_names" in vars(drawn):
        assert tick_labels(drawn.ax_.xaxis) == list("abcd")
        drawn.feature_names = expected.feature_names
    assert_same(drawn, expected)


@displays_with_rows
def test_sparse_rows_are_drawn_or_refused_by_name(display, clusterer, X):
    try:
        drawn = draw(display, clusterer, sparse.csr_array(X))
    except (TypeError, ValueError) as error:
        assert "X" in str(error)  # noqa: PT017
    else:
        assert_same(drawn, draw(display, clusterer, X))


@displays_with_rows
@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_a_clusterer_of_sparse_rows_is_drawn(display, container, clusterer, X):
    class OfSparseRows(type(clusterer)):
        """Take sparse rows, as the estimators of scikit-learn do."""

        def transform(self, X):
            return super().transform(X.toarray())

        def predict(self, X):
            return self.decision_function(X).argmax(1)

        def decision_function(self, X):
            return super().decision_function(X.toarray())

    estimator = OfSparseRows()
    estimator.__dict__.update(vars(clusterer))
    assert_same(draw(display, estimator, container(X)), draw(display, clusterer, X))


@displays_with_rows
def test_rows_that_the_clusterer_refuses_are_named(display, clusterer, X):
    rows = X.copy()
    rows[3, 1] = np.inf
    with pytest.raises(ValueError, match="X"):
        draw(display, clusterer, rows)
    assert not plt.get_fignums()


@every_display
def test_without_matplotlib_it_says_what_to_install(display, monkeypatch, clusterer, X):
    hide_matplotlib(monkeypatch)
    with pytest.raises(ImportError, match=r"pip install 'skgmvae\[plot\]'"):
        draw(display, clusterer, X)


def test_without_matplotlib_displays_are_imported_and_made(monkeypatch):
    hide_matplotlib(monkeypatch)
    monkeypatch.setattr(skgmvae, "plotting", skgmvae.plotting)  # put back at the end
    for name in list(sys.modules):
        if name.startswith("skgmvae.plotting"):
            monkeypatch.delitem(sys.modules, name)
    plotting = importlib.import_module("skgmvae.plotting")
    assert plotting.LossCurveDisplay is not LossCurveDisplay
    assert plotting.LossCurveDisplay({}).min_information == 0


def hide_matplotlib(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)


def test_dollars_in_names_are_no_formulas():
    names = ["income $ {x$", "$10_{$", r"$\frac$"]
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((60, 3)), columns=names)
    clusterer = skgmvae.GMVAEClustering(3, max_iter=1, random_state=0)
    with warnings.catch_warnings(action="ignore"):
        clusterer.fit(X)
    labels = np.array(names)[np.arange(60) % 3]
    for display in (
        ClusterProfileDisplay.from_estimator(clusterer, X),
        ExemplarsDisplay.from_estimator(clusterer, X),
        ClusterMatrixDisplay.from_predictions(labels, clusterer.labels_),
    ):
        display.figure_.canvas.draw()
        shown = {text.get_text() for axis in (display.ax_.xaxis, display.ax_.yaxis)
                 for text in axis.get_ticklabels()}
        assert shown >= set(names)
