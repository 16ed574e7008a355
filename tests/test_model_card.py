"""The model card: what stands in it, and that its figures are those of scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.metrics import log_loss

from skgmvae import GMVAEClustering, load
from skgmvae.metrics import max_probability_accuracy, max_probability_labels

X, Y = make_blobs(120, 3, centers=[[0, 0, 0], [3, 3, 3], [20, 0, 0]], random_state=0)
NAMES = np.array(["left", "right | up", "other"])[Y]


@pytest.fixture(scope="module")
def clusterer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GMVAEClustering(3, max_iter=5, random_state=0, device="cpu").fit(X)


def section(card, title):
    return card.split(f"## {title}\n\n")[1].split("\n\n## ")[0]


def test_what_stands_in_it(clusterer):
    card = clusterer.to_markdown()
    assert card.startswith("# GMVAEClustering with 3 clusters\n\n## Data\n\n120 rows of 3 columns;")
    assert card.endswith("\n")
    assert "Calibration" not in card
    assert section(card, "Settings that are not defaults").splitlines() == [
        "- device: 'cpu'", "- max_iter: 5", "- n_clusters: 3", "- random_state: 0",
    ]
    rows = section(card, "Clusters").splitlines()[2:]
    assert [int(row.split("|")[2]) for row in rows] == clusterer.cluster_counts_.tolist()
    assert f"| {clusterer.history_['lower_bound'][-1]:.4g} |" in section(card, "Fit")
    location = clusterer._fitted.units.location[0]
    assert f"| x0 | {location:.4g} |" in section(card, "Data")
    assert "numpy" in section(card, "Versions")


def test_the_warnings_of_the_fit_are_kept(tmp_path):
    clusterer = GMVAEClustering(3, max_iter=2, random_state=0, n_iter_no_change=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clusterer.fit(X)
    assert caught
    clusterer.save(tmp_path / "model")
    for one in (clusterer, load(tmp_path / "model")):
        listed = section(one.to_markdown(), "Warnings")
        assert listed.splitlines() == [f"- {warning.message}" for warning in caught]
    clusterer.partial_fit(X)
    assert section(clusterer.to_markdown(), "Warnings") == "None."


@pytest.mark.parametrize("y", [Y, NAMES])
def test_calibration_is_that_of_scikit_learn(clusterer, y):
    lines = section(clusterer.to_markdown(X, y), "Calibration")
    accuracy = max_probability_accuracy(y, clusterer.decision_function(X))
    assert f"accuracy: {accuracy:.3f}" in lines
    labels = max_probability_labels(y, clusterer.decision_function(X))
    assert len(set(labels)) == 3  # each class is a cluster
    proba = clusterer.predict_proba(X)[:, np.argsort(labels)]
    assert f"log loss: {log_loss(y, proba):.3f}" in lines


def test_names_of_columns_and_functions_are_listed():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a|b", "c", "d"]).assign(kind=NAMES)

    def shifted(y, generator):
        return y + 0.1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clusterer = GMVAEClustering(3, max_iter=1, perturbation=shifted, init="random").fit(frame)
    card = clusterer.to_markdown()
    assert "120 rows of 4 columns (6 with categories one-hot encoded)" in card
    assert "| a\\|b |" in card
    assert "| kind=right \\| up |" in card
    assert "shifted" in section(card, "Settings that are not defaults")


def test_a_category_is_missing_once():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "kind": np.resize(["k", "l", "m", None], len(X))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clusterer = GMVAEClustering(3, max_iter=1, init="random").fit(frame)
    assert "12.5% of the values are missing" in clusterer.to_markdown()


def test_long_tables_are_cut():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clusterer = GMVAEClustering(2, max_iter=1, init="random").fit(np.tile(X, (1, 10)))
    assert section(clusterer.to_markdown(), "Data").endswith("\n\n10 more are left out.")


def test_what_it_cannot_describe(clusterer):
    with pytest.raises(NotFittedError):
        GMVAEClustering().to_markdown()
    for arguments in ({"X": X}, {"y": Y}):
        with pytest.raises(ValueError, match="both X and y"):
            clusterer.to_markdown(**arguments)
    with pytest.raises(ValueError, match="at least two classes, but has 1"):
        clusterer.to_markdown(X, np.zeros(120))
    with pytest.raises(ValueError, match="y has 5 and X has 120"):
        clusterer.to_markdown(X, Y[:5])
    with pytest.raises(ValueError, match=r"y has 1 missing label .* from y and X"):
        clusterer.to_markdown(X, [None, *Y[1:]])


def test_labels_may_be_a_column(clusterer):
    assert clusterer.to_markdown(X, Y[:, None]) == clusterer.to_markdown(X, Y)
