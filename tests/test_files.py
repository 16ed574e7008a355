"""Files of models: what they hold, what stands in them, how they are written."""

import copy
import functools
import json
import os
import pickle
import runpy
import stat
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError

import skgmvae
from helpers import QUIET
from skgmvae import GMVAEClustering, files, load, versions
from skgmvae.exceptions import InvalidModelFile
from skgmvae.networks import dense_networks

pytestmark = QUIET

GOLDEN = Path(__file__).parent / "golden"
RNG = np.random.default_rng(0)
NUMBERS = RNG.standard_normal((60, 3))


def wide_networks(*arguments):
    return dense_networks(*arguments, hidden_layer_sizes=(6,))


def shifted(y, generator):
    return y + 0.1 * torch.randn(y.shape, generator=generator)


def table():
    rows = np.empty((60, 3), object)
    rows[:, 0] = NUMBERS[:, 0]
    rows[:, 1] = RNG.choice(["u", "v"], 60)
    rows[:, 2] = RNG.choice([1, 2, 3], 60)
    return rows


def with_gaps():
    rows = NUMBERS.copy()
    rows[::7, 1] = np.nan
    return rows


CASES = {
    "numbers": (NUMBERS, {}),
    "heavy tails": (NUMBERS, {"likelihood": "student_t"}),
    "missing": (with_gaps(), {}),
    "categories": (table(), {"categorical_features": np.array([1, 2])}),
    "fractions": (RNG.random((60, 5)), {"likelihood": "bernoulli"}),
    "images": (
        RNG.integers(0, 255, (60, 64), dtype=np.uint8),
        {"likelihood": "bernoulli", "image_shape": (8, 8), "networks": "conv"},
    ),
    "poisson": (RNG.poisson(3, (60, 6)), {"likelihood": "poisson"}),
    "negative binomial": (RNG.poisson(3, (60, 6)), {"likelihood": "negative_binomial"}),
    "networks": (NUMBERS, {"networks": wide_networks}),
    "perturbation": (NUMBERS, {"perturbation": shifted}),
    "paper": (NUMBERS, {"consistency": 0}),
    "numpy": (NUMBERS, {
        "n_clusters": np.int64(3), "hidden_layer_sizes": np.array([8, 9]), "tol": np.float64(0.1),
        "random_state": np.random.RandomState(1), "device": torch.device("cpu"),
        "warm_start": np.True_,
    }),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, fit):
    """Return a clusterer of each kind, its rows, and the functions that `load` needs."""
    X, parameters = CASES[request.param]
    given = {name: value for name, value in parameters.items() if callable(value)}
    return fit(X, **{"max_iter": 3} | parameters), X, given


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(clusterer, path):
    clusterer.save(path)
    return path


def assert_same(one, other, X):
    for method in ("predict_proba", "score_samples", "transform", "reconstruct"):
        np.testing.assert_array_equal(getattr(one, method)(X), getattr(other, method)(X))
    for name in (
        "labels_", "init_labels_", "weights_", "cluster_counts_", "n_clusters_found_",
        "cluster_centers_", "exemplar_indices_", "lower_bound_", "n_iter_", "converged_",
        "n_features_in_",
    ):
        mine, of_other = getattr(one, name), getattr(other, name)
        assert name == "converged_" or type(mine) is type(of_other)  # of a comparison with `tol`
        np.testing.assert_array_equal(mine, of_other)
    assert one.history_.keys() == other.history_.keys()
    for name, values in one.history_.items():
        np.testing.assert_array_equal(values, other.history_[name])


def test_a_file_gives_the_same_answers(case, path, untouched_global_state):
    clusterer, X, given = case
    clusterer.save(path)
    loaded = load(path, device="cpu", **given)
    assert_same(loaded, clusterer, X)
    assert not loaded.module_.training
    assert vars(loaded).keys() == vars(clusterer).keys()
    assert clone(loaded).get_params().keys() == clusterer.get_params().keys()


def test_a_loaded_clusterer_is_trained_on_as_the_saved_one(case, path):
    clusterer, X, given = case
    clusterer.save(path)
    loaded, copied = load(path, device="cpu", **given), pickle.loads(pickle.dumps(clusterer))
    for one in (loaded, copied):
        one.partial_fit(X)
        one.labels_[0] = one.labels_[0]  # no array of it is read-only
    assert_same(loaded, copied, X)


def test_a_file_and_a_pickle_hold_the_same_arrays(case, path):
    clusterer, *_ = case
    clusterer.save(path)
    with files.opened(path) as file:
        of_file = file.read().arrays
    of_pickle = clusterer.__getstate__()["arrays"]
    for name in of_pickle:
        if name.startswith("fit."):
            np.testing.assert_array_equal(of_file[name], of_pickle[name])
    assert {name for name in of_file if name.startswith("fit.")} <= set(of_pickle)


def test_a_data_frame_comes_back(fit, path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({
        "size": NUMBERS[:, 0], "color": RNG.choice(["red", "blue"], 60),
        "flag": RNG.random(60) < 0.5,
    })
    clusterer = fit(frame, max_iter=3).set_output(transform="pandas")
    clusterer.save(path)
    loaded = load(path, device="cpu")
    pd.testing.assert_frame_equal(loaded.transform(frame), clusterer.transform(frame))
    pd.testing.assert_frame_equal(loaded.cluster_centers_, clusterer.cluster_centers_)
    np.testing.assert_array_equal(loaded.feature_names_in_, clusterer.feature_names_in_)
    assert loaded.feature_names_in_.dtype == object
    pd.testing.assert_frame_equal(
        pickle.loads(pickle.dumps(clusterer)).cluster_centers_, clusterer.cluster_centers_
    )


def test_a_random_state_is_stored_as_it_is(fit, path):
    clusterer = fit(NUMBERS, max_iter=2, random_state=np.random.RandomState(5))
    clusterer.random_state.standard_normal()  # a second normal number waits now
    clusterer.save(path)
    loaded = load(path)
    np.testing.assert_array_equal(loaded.sample(5)[0], clusterer.sample(5)[0])
    assert loaded.random_state.standard_normal() == clusterer.random_state.standard_normal()


def test_the_device_is_that_of_load(saved):
    assert load(saved, device="cpu").device == "cpu"
    assert load(saved).device == "auto"
    assert b'"device"' not in saved.read_bytes()
    with pytest.raises(ValueError, match=r"device='cuda:99' cannot be used"):
        load(saved, device="cuda:99")


def test_what_torch_is_set_to_does_not_matter(clusterer, X, saved):
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            loaded = load(saved, device="cpu")
            clusterer.save(saved)
    finally:
        torch.set_default_dtype(torch.float32)
    assert_same(loaded, clusterer, X)
    loaded.partial_fit(X)
    assert_same(load(saved, device="cpu"), clusterer, X)


def test_one_model_is_one_file(clusterer, tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    clusterer.save(one)
    load(one).save(other)
    first = one.read_bytes()
    clusterer.save(one)
    assert one.read_bytes() == first
    again = load(other)
    again.device = "cpu"
    assert again.get_params() == clusterer.get_params()


# golden files


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.safetensors")), ids=lambda path: path.stem)
def test_a_file_of_each_layout_is_read(path):
    expected = json.loads(path.with_suffix(".json").read_text(encoding="ascii"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        loaded = load(path, device="cpu")
    rows = runpy.run_path(str(GOLDEN / "make.py"))["rows"]()
    np.testing.assert_allclose(loaded.predict_proba(rows), expected["predict_proba"], atol=1e-9)
    np.testing.assert_allclose(loaded.score_samples(rows), expected["score_samples"], rtol=1e-9)
    assert loaded.labels_.tolist() == expected["labels_"]
    assert loaded.cluster_centers_.tolist() == expected["cluster_centers_"]
    assert loaded.n_iter_ == expected["n_iter_"]
    assert expected["warnings"][0] in loaded.to_markdown()
    loaded.partial_fit(rows)


def test_there_is_a_file_of_this_layout():
    assert (GOLDEN / f"layout_{versions.LAYOUT}.safetensors").exists()


# versions


@pytest.mark.parametrize(("step", "remedy"), [(-1, "Load it with that version"), (1, "Upgrade")])
def test_a_file_of_another_layout_is_refused(clusterer, path, monkeypatch, step, remedy):
    with monkeypatch.context() as patch:
        patch.setattr(versions, "LAYOUT", versions.LAYOUT + step)
        patch.setattr(versions, "__version__", "99.1")
        clusterer.save(path)
    with pytest.raises(InvalidModelFile, match=rf"skgmvae 99\.1.*{remedy}"):
        load(path)


def test_a_file_of_another_version_warns_and_works(clusterer, X, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(versions, "__version__", "99.1")
        clusterer.save(path)
    with pytest.warns(InconsistentVersionWarning, match=r"99\.1") as caught:
        loaded = load(path, device="cpu")
    assert_same(loaded, clusterer, X)
    assert caught[0].filename == __file__


# what is the user's


def test_functions_are_asked_for_by_the_name_of_their_parameter(fit, path):
    clusterer = fit(NUMBERS, max_iter=1, networks=wide_networks, perturbation=shifted)
    clusterer.save(path)
    assert b"wide_networks" not in path.read_bytes()
    with pytest.raises(InvalidModelFile, match=r"pass load\(path, networks=\.\.\.\)"):
        load(path)
    with pytest.raises(InvalidModelFile, match=r"pass load\(path, perturbation=\.\.\.\)"):
        load(path, networks=wide_networks)
    with pytest.raises(InvalidModelFile, match=r"networks.*other than"):
        load(path, networks=dense_networks, perturbation=shifted)
    loaded = load(path, networks=wide_networks, perturbation=shifted)
    assert loaded.networks is wide_networks
    assert loaded.perturbation is shifted


@pytest.mark.parametrize("name", ["networks", "perturbation"])
def test_a_function_that_is_not_needed_is_refused(saved, name):
    with pytest.raises(InvalidModelFile, match=f"pass no {name}"):
        load(saved, **{name: wide_networks})


def test_networks_that_were_changed_since_the_fit_are_refused(fit, path):
    clusterer = fit(NUMBERS, max_iter=1, networks=wide_networks)
    clusterer.set_params(networks=functools.partial(dense_networks, hidden_layer_sizes=(3,)))
    with pytest.raises(ValueError, match="not that which the model was fitted with"):
        clusterer.save(path)
    assert not path.exists()


def test_what_a_file_cannot_hold_is_refused(clusterer, path):
    with pytest.raises(NotFittedError):
        clone(clusterer).save(path)
    changed = pickle.loads(pickle.dumps(clusterer))
    with pytest.raises(ValueError, match="n_clusters"):
        changed.set_params(n_clusters=-1).save(path)
    changed.set_params(n_clusters=3, hidden_layer_sizes=range(3))
    with pytest.raises(TypeError, match=r"hidden_layer_sizes is a range"):
        changed.save(path)

    changed.set_params(hidden_layer_sizes=8, random_state=np.random.RandomState(np.random.PCG64()))
    with pytest.raises(TypeError, match="random_state has a PCG64"):
        changed.save(path)

    class Own(GMVAEClustering):
        pass

    own = Own()
    vars(own).update(vars(clusterer))
    with pytest.raises(TypeError, match="not a Own: pickle it"):
        own.save(path)
    assert not path.exists()


def test_a_category_that_is_no_plain_value_is_refused(fit, path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({
        "size": NUMBERS[:, 0],
        "day": pd.Series([pd.Timestamp(2020, 1, 1 + i % 2) for i in range(60)]).astype("category"),
    })
    clusterer = fit(frame, max_iter=1)
    with pytest.raises(TypeError, match=r"category of X is a Timestamp, .*astype"):
        clusterer.save(path)
    loaded = pickle.loads(pickle.dumps(clusterer))
    np.testing.assert_array_equal(loaded.predict_proba(frame), clusterer.predict_proba(frame))


def test_an_attribute_that_was_added_or_removed_is_no_fault(clusterer, X, path):
    changed = pickle.loads(pickle.dumps(clusterer))
    changed.note = "mine"
    del changed.labels_
    changed.save(path)
    loaded = load(path)
    assert not hasattr(loaded, "note")
    assert not hasattr(loaded, "labels_")
    assert pickle.loads(pickle.dumps(changed)).note == "mine"


def test_without_safetensors_the_remedy_is_named(clusterer, saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: clusterer.save(saved), lambda: load(saved)):
        with pytest.raises(ImportError, match=r"pip install 'skgmvae\[files\]'"):
            call()
    assert clusterer.__getstate__()  # pickles need none


# damaged pickles


def test_a_pickle_with_one_bit_changed_is_refused_or_the_same(clusterer, X):
    data = pickle.dumps(clusterer)
    reference = clusterer.predict_proba(X)
    for position in np.random.default_rng(0).integers(0, len(data), 300):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded = pickle.loads(bytes(changed))
        except Exception:  # pickle raises what it likes
            continue
        if type(loaded) is not GMVAEClustering or not vars(loaded):
            continue  # the flip made something else of it, which cannot predict
        assert loaded.get_params() == clusterer.get_params()
        np.testing.assert_array_equal(loaded.predict_proba(X), reference)


@pytest.mark.parametrize("change", [
    lambda state: state["arrays"]["fit.units.location"].__setitem__(0, 7.0),
    lambda state: state.update(description=state["description"].replace("[8]", "[9]")),
    lambda state: state["arrays"].pop("fit.units.scale"),
    lambda state: state["_versions"].update(torch="1.0"),
    lambda state: state.pop("sha256"),
    lambda state: state.update(arrays=None),
])
def test_a_changed_state_is_said_to_be_damaged(clusterer, change):
    state = copy.deepcopy(clusterer.__getstate__())
    change(state)
    with pytest.raises(ValueError, match="The pickle is damaged"):
        clone(clusterer).__setstate__(state)


def test_weights_that_are_not_numbers_are_refused(clusterer, path):
    changed = pickle.loads(pickle.dumps(clusterer))
    with torch.no_grad():
        next(changed.module_.parameters())[0, 0] = torch.nan
    for call in (lambda: pickle.dumps(changed), lambda: changed.save(path)):
        with pytest.raises(ValueError, match=r"encoder.*not finite"):
            call()
    assert not path.exists()


# writing


@pytest.mark.parametrize("error", [
    OSError(28, "No space left on device"), OSError(5, "Input/output error"), KeyboardInterrupt(),
], ids=["full", "broken", "interrupted"])
def test_whichever_call_fails_the_file_is_the_old_or_the_new(
    clusterer, fit, X, saved, error, faults
):
    old = saved.read_bytes()
    other = fit(X, max_iter=1)
    n_old = n = 0
    while True:
        n += 1
        saved.write_bytes(old)
        with pytest.MonkeyPatch.context() as patch:
            fault = faults(patch, n, error)
            if n > 50:
                pytest.fail("save never succeeds")
            try:
                other.save(saved)
            except type(error):
                assert fault.fired
        if not fault.fired:
            break
        assert os.listdir(saved.parent) == [saved.name]
        is_old = saved.read_bytes() == old
        n_old += is_old
        if not is_old:  # only the entry of the folder may not have come to the disk
            np.testing.assert_array_equal(load(saved).predict_proba(X), other.predict_proba(X))
    assert n_old == 7  # open, write, flush, fsync, close, mode, replace
    assert n - 1 - n_old == 3  # open, fsync and close of the folder
    np.testing.assert_array_equal(load(saved).predict_proba(X), other.predict_proba(X))


@pytest.mark.parametrize("compressed", [0, 1, 3, 9])
def test_a_pickle_is_known_as_one(clusterer, path, compressed):
    joblib.dump(clusterer, path, compress=compressed)
    with pytest.raises(InvalidModelFile, match=r"looks like a pickle.*joblib.*trust"):
        load(path)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(clusterer, protocol))
        with pytest.raises(InvalidModelFile, match="looks like a pickle"):
            load(path)


def test_a_folder_that_is_not_there_or_a_path_that_is_no_file(clusterer, saved):
    with pytest.raises(FileNotFoundError, match="no such folder, make it first") as caught:
        clusterer.save(saved.parent / "missing" / "model")
    assert caught.value.filename == str(saved.parent / "missing")
    with pytest.raises(OSError, match="no file"):
        clusterer.save(saved.parent)
    with pytest.raises(OSError, match="no file"):
        clusterer.save("/dev/null")
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.skipif(os.name != "posix", reason="has modes and links")
def test_modes_and_links_stay(clusterer, saved):
    umask = os.umask(0o022)
    os.umask(umask)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o666 & ~umask
    saved.chmod(0o600)
    link = saved.parent / "link"
    link.symlink_to(saved.name)
    clusterer.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert load(link).n_iter_ == clusterer.n_iter_


def test_a_model_that_is_too_large_for_a_file_is_refused(clusterer, saved, monkeypatch):
    old = saved.read_bytes()
    for limits in (files.Limits(header_bytes=100), files.Limits(file_bytes=100)):
        monkeypatch.setattr(files, "LIMITS", limits)
        with pytest.raises(ValueError, match="cannot be stored"):
            clusterer.save(saved)
        with pytest.raises(InvalidModelFile, match="more than 100 bytes"):
            load(saved)
    assert saved.read_bytes() == old


def test_a_full_or_read_only_disk_leaves_the_old_file(clusterer, saved, tmp_path):
    script = textwrap.dedent("""
        import os, sys, subprocess, numpy as np
        from skgmvae import load
        source, disk = sys.argv[1:]
        model = load(source)
        path = os.path.join(disk, "model")
        model.save(path)
        old = open(path, "rb").read()
        with open(os.path.join(disk, "filler"), "wb") as file:
            file.write(bytes(%d))
        def attempt():
            try:
                model.save(path)
            except OSError as error:
                print(error.errno)
            assert open(path, "rb").read() == old
            assert sorted(os.listdir(disk)) == ["filler", "model"]
        attempt()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        attempt()
    """)
    size = 4096 * (saved.stat().st_size // 4096 + 1)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={2 * size} tmpfs '{disk}'"
    inside = ["unshare", "-rm", "sh", "-c"]
    try:
        subprocess.run([*inside, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted here")
    done = subprocess.run(
        [*inside, f'{mount} && exec "$@"', "sh", sys.executable, "-c", script % (size // 2),
         str(saved), str(disk)],
        capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(skgmvae.__file__).parents[1])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["28", "30"]  # ENOSPC, EROFS


@pytest.mark.parametrize("path", [None, 3, ["a"], b"a"])
def test_what_is_no_path_is_refused_by_name(clusterer, path):
    for function in (clusterer.save, load):
        with pytest.raises(TypeError, match=r"path=.* must be a string or path-like"):
            function(path)
