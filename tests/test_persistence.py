"""Weights as arrays, and the pickled state."""

import io
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from skgmvae.architecture import Architecture
from skgmvae.persistence import load_arrays, restore, to_arrays

CPU = torch.device("cpu")
ARCHITECTURE = Architecture((5,), 4, 2, 3, (8,), "dense", "gaussian")


def pickled(clusterer, protocol=pickle.HIGHEST_PROTOCOL):
    return pickle.loads(pickle.dumps(clusterer, protocol))


def same_answers(one, other, X):
    np.testing.assert_array_equal(one.predict_log_proba(X), other.predict_log_proba(X))
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    np.testing.assert_array_equal(one.transform(X), other.transform(X))
    np.testing.assert_array_equal(one.sample(5)[0], other.sample(5)[0])


def test_arrays_are_copies_of_parameters_and_buffers():
    model = ARCHITECTURE.build(CPU, 0)
    arrays = to_arrays(model)
    assert arrays.keys() == model.state_dict().keys()
    assert any(name.endswith("running_var") for name in arrays)
    before = {name: value.copy() for name, value in arrays.items()}
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(7)
    for name, value in arrays.items():
        assert type(value) is np.ndarray
        np.testing.assert_array_equal(value, before[name])


def test_arrays_may_be_read_only_and_are_not_shared_with_the_module():
    arrays = to_arrays(ARCHITECTURE.build(CPU, 0))
    for value in arrays.values():
        value.setflags(write=False)
    model = ARCHITECTURE.build(CPU, 1)
    load_arrays(model, arrays)
    kept = {name: value.copy() for name, value in arrays.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, kept[name])


def test_a_restored_module_is_the_same_in_evaluation_mode(untouched_global_state):
    model = ARCHITECTURE.build(CPU, 0).train()
    y = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.q(y)  # moves the running statistics
    other = restore(ARCHITECTURE, CPU, to_arrays(model))
    assert not other.training
    model.eval()
    with torch.no_grad():
        assert torch.equal(other.q(y).q_x.mean, model.q(y).q_x.mean)
        assert torch.equal(other.p_y(torch.ones(3, 2)).mean, model.p_y(torch.ones(3, 2)).mean)


def test_arrays_of_another_shape_are_refused():
    other = ARCHITECTURE._replace(n_clusters=5)
    with pytest.raises(RuntimeError, match="size mismatch"):
        restore(other, CPU, to_arrays(ARCHITECTURE.build(CPU, 0)))


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_pickled_clusterer_gives_the_same_answers(clusterer, X, protocol):
    copy = pickled(clusterer, protocol)
    same_answers(copy, clusterer, X)
    assert copy.get_params() == clusterer.get_params()
    assert not copy.module_.training
    assert copy.module_ is not clusterer.module_


def test_pickling_is_a_fixed_point(clusterer):
    once = pickled(clusterer)
    assert once.__getstate__().keys() == clusterer.__getstate__().keys()
    for name, value in to_arrays(pickled(once).module_).items():
        np.testing.assert_array_equal(value, to_arrays(clusterer.module_)[name])


def test_the_state_holds_no_torch_object(clusterer):
    state = clusterer.__getstate__()
    assert type(state["module_"]) is dict
    assert all(type(value) is np.ndarray for value in state["module_"].values())
    assert isinstance(clusterer.module_, torch.nn.Module)  # taking the state changed nothing

    class NoTorch(pickle.Unpickler):
        def find_class(self, module, name):
            assert not module.startswith("torch")
            return super().find_class(module, name)

    NoTorch(io.BytesIO(pickle.dumps(state))).load()


def test_a_clusterer_may_be_mapped_from_disk(clusterer, X, tmp_path):
    path = tmp_path / "clusterer.joblib"
    joblib.dump(clusterer, path)
    for mmap_mode in (None, "r"):
        copy = joblib.load(path, mmap_mode=mmap_mode)
        same_answers(copy, clusterer, X)


def test_a_mapped_clusterer_may_be_trained_on(clusterer, X, tmp_path):
    path = tmp_path / "clusterer.joblib"
    joblib.dump(clusterer, path)
    copy = joblib.load(path, mmap_mode="r")
    copy.partial_fit(X)
    assert copy.n_iter_ == clusterer.n_iter_ + 1
    same_answers(joblib.load(path), clusterer, X)


def test_an_unfitted_clusterer_may_be_pickled(clusterer):
    unfitted = clone(clusterer)
    assert pickled(unfitted).get_params() == unfitted.get_params()
    assert not hasattr(pickled(unfitted), "module_")


def test_a_clusterer_from_a_machine_with_another_device_comes_to_the_cpu(clusterer, X):
    state = clusterer.__getstate__() | {"device_": "cuda:7"}
    copy = clone(clusterer)
    copy.__setstate__(state)
    expected = "cuda:7" if torch.cuda.device_count() > 7 else "cpu"
    assert copy.device_ == expected
    np.testing.assert_array_equal(copy.labels_, copy.predict(X))


def test_the_optimiser_is_left_behind(clusterer, X):
    copy = pickled(clusterer).partial_fit(X)
    assert "_optimizer" not in copy.__getstate__()
    assert hasattr(copy, "_optimizer")  # taking the state changed nothing
    again = pickled(copy)
    same_answers(again, copy, X)
    again.partial_fit(X)


def test_a_pickle_of_the_state_is_free_of_globals(clusterer, untouched_global_state):
    pickled(clusterer)
