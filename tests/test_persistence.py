"""Pickles, files of joblib and copies."""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError

import skgmvae
from helpers import QUIET
from skgmvae import runtime, versions
from skgmvae._fit.history import Terms
from skgmvae._stored.checks import NOT_STORED
from skgmvae.fitted import Fitted, to_arrays

pytestmark = QUIET


@pytest.fixture(scope="module")
def stream(clusterer, X):
    """Return a clusterer that remembers rows and the moments of its optimizer."""
    return clone(clusterer).partial_fit(X).partial_fit(X)


def pickled(clusterer, protocol=pickle.HIGHEST_PROTOCOL):
    return pickle.loads(pickle.dumps(clusterer, protocol))


def same_answers(one, other, X):
    for method in ("predict_log_proba", "score_samples", "transform", "reconstruct"):
        np.testing.assert_array_equal(getattr(one, method)(X), getattr(other, method)(X))
    np.testing.assert_array_equal(one.sample(5)[0], other.sample(5)[0])
    for name in (
        "labels_", "init_labels_", "weights_", "cluster_centers_", "exemplar_indices_", "n_iter_",
    ):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.history_.keys() == other.history_.keys()
    for name in Terms._fields:
        np.testing.assert_array_equal(one.history_[name], other.history_[name])


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_pickled_clusterer_gives_the_same_answers(
    on_device, X, protocol, untouched_global_state
):
    other = pickled(on_device, protocol)
    same_answers(other, on_device, X)
    assert other.get_params() == on_device.get_params()
    assert other.device_ == on_device.device_
    assert not other.module_.training
    assert other.module_ is not on_device.module_


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_may_be_trained_on_without_the_original(stream, X, copied):
    before = pickled(stream)
    other = copied(stream).partial_fit(X).partial_fit(X)
    assert other.n_iter_ == stream.n_iter_ + 2
    same_answers(stream, before, X)
    assert not np.array_equal(other.reconstruct(X), stream.reconstruct(X))


def test_the_initial_partition_is_pickled_and_none_stays_none(clusterer, stream):
    other = pickled(clusterer)
    assert other.init_labels_.dtype == np.intp
    np.testing.assert_array_equal(other.init_labels_, clusterer.init_labels_)
    assert stream.init_labels_ is None
    assert pickled(stream).init_labels_ is None
    with pytest.raises(AttributeError, match="init_labels_"):
        _ = pickled(clone(clusterer)).init_labels_


def test_pickling_is_a_fixed_point(clusterer):
    once, twice = pickled(clusterer), pickled(pickled(clusterer))
    assert vars(once).keys() == vars(clusterer).keys()
    assert "_versions" not in vars(once)
    assert once.__getstate__().keys() == clusterer.__getstate__().keys()
    for name, value in to_arrays(twice.module_).items():
        np.testing.assert_array_equal(value, to_arrays(clusterer.module_)[name])


def test_a_pickle_holds_no_torch_object(on_device, stream, X):
    class FewClasses(pickle.Unpickler):
        """Finds no class but the estimator: others may move or change between versions."""

        def find_class(self, module, name):
            assert module.split(".")[0] == "numpy" or (module, name) == (
                "skgmvae.estimator", "GMVAEClustering"
            )
            return super().find_class(module, name)

    for one in (on_device, stream):
        loaded = FewClasses(io.BytesIO(pickle.dumps(one))).load()
        same_answers(loaded, one, X)
        state = one.__getstate__()
        assert set(state) == {"_versions", "sha256", "description", "arrays", "objects"}
        assert type(state["description"]) is str
        assert all(type(array) is np.ndarray for array in state["arrays"].values())
        assert state["objects"] == {}
        assert isinstance(one.module_, torch.nn.Module)  # taking the state changed nothing


def test_a_pickle_has_no_optimizer_and_no_remembered_rows(stream, X):
    assert stream._state.optimizer is not None
    assert len(stream._state.reservoir.rows) == 120
    other = pickled(stream)
    assert other._state.optimizer is other._state.reservoir is None
    assert other._state == stream._state._replace(**dict.fromkeys(NOT_STORED))
    assert stream._state.optimizer is not None  # taking the state changed nothing
    data = pickle.dumps(stream)
    row = stream._state.reservoir.rows[0].numpy()
    assert row.tobytes() not in data
    assert X[0].tobytes() not in data
    many = copy.copy(stream).partial_fit(np.tile(X, (30, 1)))
    assert len(pickle.dumps(many)) < len(data) + 30 * 60 * 8 + 2000  # labels of the last chunk
    other.partial_fit(X)
    assert other._state.optimizer is not None


def test_the_state_holds_the_versions_that_made_it(clusterer):
    assert clusterer.__getstate__()["_versions"] == {
        "layout": versions.LAYOUT, "skgmvae": skgmvae.__version__,
        "scikit-learn": sklearn.__version__, "numpy": np.__version__,
        "torch": str(torch.__version__),
    }
    assert "_versions" in clone(clusterer).__getstate__()


@pytest.mark.parametrize("fitted", [True, False])
@pytest.mark.parametrize(("step", "remedy"), [(-1, "Load it with that version"), (1, "Upgrade")])
def test_a_pickle_of_another_layout_is_refused_with_both_versions(
    clusterer, monkeypatch, fitted, step, remedy
):
    with monkeypatch.context() as patch:
        patch.setattr(versions, "LAYOUT", versions.LAYOUT + step)
        patch.setattr(versions, "__version__", "99.1")
        data = pickle.dumps(clusterer if fitted else clone(clusterer))
    with pytest.raises(
        ValueError, match=rf"made by skgmvae 99\.1.*{skgmvae.__version__} can.*{remedy}"
    ):
        pickle.loads(data)


def test_a_pickle_without_versions_is_refused(clusterer):
    state = clusterer.__getstate__()
    del state["_versions"]
    with pytest.raises(ValueError, match="of an unknown version"):
        clone(clusterer).__setstate__(state)


def test_a_pickle_of_another_version_warns_and_works(clusterer, X, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(versions, "__version__", "99.1")
        data = pickle.dumps(clusterer)
    with pytest.warns(InconsistentVersionWarning, match=r"99\.1") as caught:
        other = pickle.loads(data)
    assert len(caught) == 1
    assert caught[0].message.original_sklearn_version == "99.1"
    assert caught[0].message.current_sklearn_version == skgmvae.__version__
    same_answers(other, clusterer, X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickled(other)


def test_a_clusterer_may_be_mapped_from_disk_and_trained_on(on_device, X, tmp_path):
    path = tmp_path / "clusterer.joblib"
    joblib.dump(on_device, path)
    for mmap_mode in (None, "r"):
        same_answers(joblib.load(path, mmap_mode=mmap_mode), on_device, X)
    mapped = joblib.load(path, mmap_mode="r").partial_fit(X)
    assert mapped.n_iter_ == on_device.n_iter_ + 1
    same_answers(joblib.load(path), on_device, X)


def test_an_unfitted_clusterer_may_be_pickled(clusterer, X):
    unfitted = clone(clusterer)
    other = pickled(unfitted)
    assert other.get_params() == unfitted.get_params()
    for attribute in ("module_", "weights_", "device_", "history_", "n_iter_"):
        with pytest.raises(NotFittedError):
            getattr(other, attribute)
        assert not hasattr(other, attribute)
    same_answers(other.fit(X), clusterer, X)


def test_a_clusterer_from_a_machine_with_another_device_comes_to_what_is_here(
    clusterer, X, monkeypatch
):
    monkeypatch.setattr(Fitted, "device", property(lambda self: torch.device("cuda:99")))
    data = pickle.dumps(clusterer)
    monkeypatch.undo()
    other = pickle.loads(data)
    assert torch.device(other.device_) == runtime.select_device("auto")
    np.testing.assert_array_equal(other.labels_, other.predict(X))
    np.testing.assert_allclose(other.reconstruct(X), clusterer.reconstruct(X), atol=1e-3)


def test_own_networks_and_convolutions_may_be_pickled(fit, device):
    images = np.random.default_rng(0).random((20, 64))
    clusterer = fit(
        images, networks="conv", image_shape=(8, 8), init="random", max_iter=1, device=device
    )
    same_answers(pickled(clusterer), clusterer, images)
