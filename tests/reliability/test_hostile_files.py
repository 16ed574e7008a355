"""Files that are damaged or made to do harm: refused, without a trace, and nothing else.

Run by itself with ``-s`` it prints how many were tried of each kind.
"""

import json
import os
import pickle
import sys
import textwrap
import warnings
from collections import Counter

import joblib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import QUIET, run_python
from skgmvae import files, load
from skgmvae.exceptions import InvalidModelFile
from skgmvae.packing import pack, unpack
from skgmvae.versions import installed

pytestmark = [
    *QUIET,
    pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning"),
]

ROWS = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
tried = Counter()


@pytest.fixture(scope="module", autouse=True)
def table():
    """Print what was tried: group, cases, refused."""
    yield
    for group, n_cases in tried.items():
        print(f"\nhostile files, {group}: {n_cases} tried, {n_cases} survived, 0 failures", end="")


@pytest.fixture(scope="module")
def small(fit):
    """Return the smallest clusterer that there is."""
    return fit(
        ROWS, n_clusters=2, latent_dim=1, style_dim=1, hidden_layer_sizes=(1,), max_iter=1,
        init="random",
    )


@pytest.fixture(scope="module")
def whole(small, tmp_path_factory):
    """Return the bytes of its file."""
    path = tmp_path_factory.mktemp("whole") / "small"
    small.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile") / "file"


def refused(path, data, group):
    """Write the file, and fail unless it is refused as it should be."""
    path.write_bytes(data)
    tried[group] += 1
    with pytest.raises(InvalidModelFile) as caught:
        load(path, device="cpu")
    assert str(path) in str(caught.value)
    return str(caught.value)


def changed_bytes(data, position):
    """Yield the file with one byte changed in each way that changes it."""
    value = data[position]
    for other in {0, 255, value ^ 1, value ^ 128} - {value}:
        yield data[:position] + bytes([other]) + data[position + 1 :]


def check_bytes(path, data, positions):
    for position in positions:
        for changed in changed_bytes(data, position):
            refused(path, changed, "changed bytes")


def check_truncations(path, data, lengths):
    for length in lengths:
        refused(path, data[:length], "truncations")


def test_some_changed_bytes_are_refused(path, whole):
    check_bytes(path, whole, [*range(16), *range(16, len(whole), 101)])


def test_some_truncations_are_refused(path, whole):
    check_truncations(path, whole, [*range(16), *range(16, len(whole), 31), len(whole) - 1])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_changed_byte_is_refused(path, whole, part):
    check_bytes(path, whole, range(part, len(whole), 4))


@pytest.mark.slow
def test_every_truncation_is_refused(path, whole):
    check_truncations(path, whole, range(len(whole)))


def test_what_is_appended_is_refused(path, whole):
    for rest in (b"\0", b"x" * 8, whole):
        refused(path, whole + rest, "appended")


# headers


def with_header(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def parts(whole):
    n_header = int.from_bytes(whole[:8], "little")
    return json.loads(whole[8 : 8 + n_header]), whole[8 + n_header :]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries({
    "dtype": st.sampled_from(["F64", "F32", "I64", "BF16", "F4", "C64", ""]) | JSON,
    "shape": st.lists(st.integers(-1, 2**70), max_size=4) | JSON,
    "data_offsets": st.lists(st.integers(-1, 2**70), max_size=3) | JSON,
})


@settings(max_examples=50)
@given(header=st.dictionaries(st.text(max_size=8), ENTRIES | JSON, max_size=3), body=st.binary())
def test_headers_of_any_kind_are_refused(path, header, body):
    refused(path, with_header(header, body), "headers")


@settings(max_examples=100)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused(path, data):
    refused(path, data, "bytes")
    refused(path, with_header(data), "bytes")


@settings(max_examples=50)
@given(data=st.data())
def test_a_header_with_one_entry_changed_is_refused(path, whole, data):
    header, body = parts(whole)
    name = data.draw(st.sampled_from(sorted(header)))
    other = data.draw(ENTRIES | JSON)
    if header[name] != other:
        refused(path, with_header(header | {name: other}, body), "entries")


@settings(max_examples=50)
@given(data=st.data())
def test_a_header_with_one_text_changed_is_refused(path, whole, data):
    header, body = parts(whole)
    content = json.loads(header["__metadata__"]["skgmvae"])
    name = data.draw(st.sampled_from([None, *content]))
    other = data.draw(JSON)
    if name is None:
        header["__metadata__"]["skgmvae"] = other
    elif content[name] != other:
        header["__metadata__"]["skgmvae"] = json.dumps(content | {name: other})
    else:
        return
    refused(path, with_header(header, body), "texts")


@settings(max_examples=25)
@given(data=st.data())
def test_offsets_that_are_exchanged_or_overlap_are_refused(path, whole, data):
    header, body = parts(whole)
    names = sorted(set(header) - {"__metadata__"})
    one, other = (data.draw(st.sampled_from(names)) for _ in range(2))
    first = header[one]["data_offsets"]
    moved = header | {other: header[other] | {"data_offsets": first}}
    exchanged = moved | {one: header[one] | {"data_offsets": header[other]["data_offsets"]}}
    for changed in (moved, exchanged):
        begin, end = header[other]["data_offsets"]
        if body[slice(*first)] != body[begin:end]:
            refused(path, with_header(changed, body), "offsets")


def test_keys_that_stand_twice_are_refused(path, whole):
    header, body = parts(whole)
    text = json.dumps(header)
    name = next(name for name in header if name != "__metadata__")
    entry = json.dumps({name: header[name]})[1:-1]
    assert "twice" in refused(
        path, with_header(f"{{{entry}, {text[1:]}".encode(), body), "keys twice"
    )
    escaped = entry.replace(name[0], f"\\u{ord(name[0]):04x}", 1)
    assert "twice" in refused(
        path, with_header(f"{{{escaped}, {text[1:]}".encode(), body), "keys twice"
    )
    metadata = json.dumps({"__metadata__": header["__metadata__"]})[1:-1]
    assert "twice" in refused(
        path, with_header(f"{{{metadata}, {text[1:]}".encode(), body), "keys twice"
    )
    content = header["__metadata__"]["skgmvae"]
    for doubled in (
        '{"sha256": "", ' + content[1:],
        content.replace('"description": "', '"description": "{}", "description": "', 1),
    ):
        header["__metadata__"]["skgmvae"] = doubled
        assert "twice" in refused(path, with_header(header, body), "keys twice")


def test_more_in_the_header_than_there_should_be_is_refused(path, whole):
    header, body = parts(whole)
    name = next(name for name in header if name != "__metadata__")
    for changed in (
        header | {name: header[name] | {"module": "os"}},
        header | {"__metadata__": header["__metadata__"] | {"format": "pt"}},
        header | {"more": {"dtype": "F64", "shape": [0], "data_offsets": [len(body)] * 2}},
    ):
        refused(path, with_header(changed, body), "more than there should be")


DEEP = [
    b"[" * 100_000, b'{"a":' * 100_000, b"[" * 900 + b"]" * 900,
    b'{"a":' * 900 + b"1" + b"}" * 900,
]


@pytest.mark.parametrize("deep", DEEP, ids=range(len(DEEP)))
def test_json_that_nests_deeply_is_refused(path, whole, deep):
    refused(path, with_header(deep), "deep JSON")
    header, body = parts(whole)
    content = json.loads(header["__metadata__"]["skgmvae"])
    header["__metadata__"]["skgmvae"] = deep.decode()
    refused(path, with_header(header, body), "deep JSON")
    header["__metadata__"]["skgmvae"] = json.dumps(content | {"description": deep.decode()})
    refused(path, with_header(header, body), "deep JSON")


# states with the digest that belongs to them: their maker knows the format


def forged(path, whole, change):
    """Write the file with a changed state and the digest of that."""
    path.write_bytes(whole)
    with files.opened(path) as file:
        state = unpack(file.read())
    made = change(state)
    files.write(path, pack(state if made is None else made), installed())
    return path.read_bytes()


def replaced(**changes):
    """Return a change of entries of a state, by the keys that lead to them, with "__" between."""
    def change(state):
        for name, value in changes.items():
            *keys, last = name.split("__")
            part = state
            for key in keys:
                part = part[key]
            part[last] = value(part.get(last)) if callable(value) else value
    return change


def removed(*keys):
    def change(state):
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]
    return change


def first(value):
    def change(array):
        array = array.copy()
        array.flat[0] = value
        return array
    return change


def with_weight(value):
    def change(state):
        weights = state["fit"]["weights"]
        weights["y_head.0.weight"] = first(value)(weights["y_head.0.weight"])
    return change


FORGERIES = {
    "n_clusters": replaced(fit__architecture__n_clusters=3),
    "n_clusters huge": replaced(fit__architecture__n_clusters=2**30),
    "n_clusters absurd": replaced(fit__architecture__n_clusters=2**300),
    "n_clusters bool": replaced(fit__architecture__n_clusters=True),
    "latent_dim huge": replaced(fit__architecture__latent_dim=2**31 - 1),
    "widths huge": replaced(fit__architecture__hidden_layer_sizes=(2**31 - 1, 2**31 - 1)),
    "many layers": replaced(fit__architecture__hidden_layer_sizes=(1,) * 100_000),
    "no layers": replaced(fit__architecture__hidden_layer_sizes=()),
    "shape of rows": replaced(fit__architecture__data_shape=(2**31 - 1,)),
    "shape of images": replaced(fit__architecture__data_shape=(1, 1, 1)),
    "conv": replaced(fit__architecture__networks="conv"),
    "module": replaced(fit__architecture__networks="os.system"),
    "networks list": replaced(fit__architecture__networks=["dense"]),
    "likelihood": replaced(fit__architecture__likelihood={"name": "skgmvae.likelihoods.Any"}),
    "likelihood fields": replaced(fit__architecture__likelihood={"name": "gaussian", "x": 1.0}),
    "likelihood None": replaced(fit__architecture__likelihood=None),
    "poisson": replaced(fit__architecture__likelihood={
        "name": "poisson", "scale": 0.0, "log_total": 0.0, "log_total_spread": 0.0,
    }),
    "mixed": replaced(fit__architecture__likelihood={
        "name": "mixed", "numbers": {"name": "gaussian"}, "groups": ((0,),), "low": (0.0,),
        "high": (1.0,),
    }),
    "mixed in mixed": replaced(fit__architecture__likelihood={
        "name": "mixed", "numbers": {"name": "mixed"}, "groups": (), "low": (), "high": (),
    }),
    "reads_missing": replaced(fit__architecture__reads_missing=True),
    "NaN weight": with_weight(np.nan),
    "infinite weight": with_weight(np.inf),
    "weights None": replaced(fit__weights=None),
    "weights of another dtype": lambda state: state["fit"]["weights"].update({
        name: array.astype(np.float64) for name, array in state["fit"]["weights"].items()
    }),
    "a weight too many": lambda state: state["fit"]["weights"].update(more=np.zeros(1)),
    "a weight too few": removed("fit", "weights", "y_head.0.weight"),
    "scale 0": replaced(fit__units__scale=first(0.0)),
    "scale negative": replaced(fit__units__scale=first(-1.0)),
    "scale NaN": replaced(fit__units__scale=first(np.nan)),
    "location infinite": replaced(fit__units__location=first(np.inf)),
    "constant infinite": replaced(fit__units__constants=first(np.inf)),
    "lowest NaN": replaced(fit__units__lowest=first(np.nan)),
    "units short": replaced(fit__units__scale=np.ones(0)),
    "image_shape": replaced(fit__units__image_shape=(1, 1)),
    "image_shape text": replaced(fit__units__image_shape="ab"),
    "counts": replaced(fit__units__are_counts=1),
    "latent NaN": replaced(fit__latent_mixture__means=first(np.nan)),
    "latent covariance": replaced(fit__latent_mixture__factors=first(0.0)),
    "latent shape": replaced(fit__latent_mixture__factors=np.zeros((2, 2, 2))),
    "latent list": replaced(fit__latent_mixture=[1]),
    "labels beyond": replaced(fit__attributes__labels_=first(2)),
    "labels negative": replaced(fit__attributes__labels_=first(-1)),
    "labels of floats": replaced(fit__attributes__labels_=lambda labels: labels * 1.0),
    "labels of two axes": replaced(fit__attributes__labels_=lambda labels: labels[:, None]),
    "exemplars": replaced(fit__attributes__exemplar_indices_=first(-2)),
    "counts negative": replaced(fit__attributes__cluster_counts_=first(-1)),
    "centers NaN": replaced(fit__attributes__cluster_centers_=first(np.nan)),
    "bound": replaced(fit__attributes__lower_bound_=float("nan")),
    "n_found": replaced(fit__attributes__n_clusters_found_=3),
    "n_features_in_": replaced(fit__attributes__n_features_in_=2),
    "names": replaced(fit__attributes__feature_names_in_=["a", "b"]),
    "names of numbers": replaced(fit__attributes__feature_names_in_=[1]),
    "attribute": replaced(fit__attributes__predict="x"),
    "seed": replaced(fit__fit__seed="1"),
    "n_rows": replaced(fit__fit__n_rows=-1),
    "tol": replaced(fit__fit__tol=float("nan")),
    "radius": replaced(fit__fit__typical_radius=float("inf")),
    "stream": replaced(fit__fit__reservoir=None),
    "history": replaced(fit__history__loss=first(np.nan)),
    "history infinite": replaced(fit__history__loss=first(np.inf)),
    "history length": replaced(fit__history__more=np.zeros(7)),
    "history without loss": removed("fit", "history", "loss"),
    "warnings": replaced(fit__warnings=[1]),
    "columns": replaced(fit__columns={"n_features": 1, "categories": {0: ["a"]}, "names": None}),
    "columns empty": replaced(fit__columns={"n_features": 1, "categories": {}, "names": None}),
    "no fit": replaced(fit=None),
    "fit list": replaced(fit=[]),
    "parameter": replaced(parameters__n_clusters=0),
    "parameter unknown": replaced(parameters__module="os"),
    "parameter of device": replaced(parameters__device="cuda:0"),
    "parameters None": replaced(parameters=None),
    "parameter function": replaced(parameters__networks="os.system"),
    "parameter array": replaced(parameters__n_clusters=np.array(2)),
    "random_state": replaced(parameters__random_state={"bit_generator": "MT19937"}),
    "random_state key": replaced(parameters__random_state={
        "bit_generator": "MT19937", "has_gauss": 0, "gauss": 0.0,
        "state": {"key": np.zeros(623, np.uint32), "pos": 0},
    }),
    "random_state pos": replaced(parameters__random_state={
        "bit_generator": "MT19937", "has_gauss": 0, "gauss": 0.0,
        "state": {"key": np.zeros(624, np.uint32), "pos": 2**40},
    }),
    "random_state kind": replaced(parameters__random_state={
        "bit_generator": "PCG64", "has_gauss": 0, "gauss": 0.0,
        "state": {"key": np.zeros(624, np.uint32), "pos": 0},
    }),
    "others": replaced(others={"__class__": "x"}),
    "output": replaced(others={"_sklearn_output_config": {"transform": "os"}}),
    "more": lambda state: state | {"more": 1},
    "less": lambda state: {"fit": state["fit"]},
    "list": lambda state: [state],
    "object": replaced(parameters__networks=lambda _: print),
    "object elsewhere": replaced(parameters__verbose=lambda _: print),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_state_is_refused(path, whole, name):
    message = refused(path, forged(path, whole, FORGERIES[name]), "forged states")
    assert message.split(": ", 1)[1]


LEAVES = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats() | st.text(max_size=6) | (
    st.sampled_from([(), [], {}, (1,), [1], np.zeros(0), np.zeros((2, 2)), np.array(1), "dense"])
)


def leaves(state, keys=()):
    """Yield the keys that lead to each part of a state."""
    yield keys
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, (*keys, key))


@settings(max_examples=100)
@given(data=st.data())
def test_a_state_with_any_part_replaced_is_refused_or_a_model(path, whole, small, data):
    def change(state):
        keys = data.draw(st.sampled_from(sorted(leaves(state), key=str)))
        value = data.draw(LEAVES)
        if not keys:
            return [] if value is None else value
        part = state
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        return state

    path.write_bytes(forged(path, whole, change))
    tried["states with a part replaced"] += 1
    try:
        loaded = load(path, device="cpu")
    except InvalidModelFile:
        return
    np.testing.assert_array_equal(loaded.predict_proba(ROWS).shape, (6, 2))
    assert np.isfinite(loaded.score_samples(ROWS)).all()
    loaded.to_markdown()
    assert pickle.loads(pickle.dumps(loaded)).get_params().keys() == small.get_params().keys()


# what is no file of ours


class Canary:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (str(self.trace), "w")


def test_pickles_are_never_unpickled(tmp_path, small):
    trace = tmp_path / "trace"
    path = tmp_path / "file"
    with open(path, "wb") as file:
        pickle.dump(Canary(trace), file)
    made = [path.read_bytes(), pickle.dumps(small), b"", b"\x80", b"PK\x03\x04" + bytes(50)]
    joblib.dump([Canary(trace), np.zeros(3)], path)
    made.append(path.read_bytes())
    torch.save({"weights": Canary(trace)}, path)
    made.append(path.read_bytes())
    np.save(path.with_suffix(".npy"), np.array([Canary(trace)], object), allow_pickle=True)
    made.append(path.with_suffix(".npy").read_bytes())
    for data in made:
        refused(path, data, "pickles with a canary")
    assert not trace.exists()
    pickle.loads(made[0])
    assert trace.exists()  # the canary sings where it is unpickled


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, whole):
    good = tmp_path / "good"
    good.write_bytes(whole)
    pipe, link, loop, gone = (tmp_path / name for name in ("pipe", "link", "loop", "gone"))
    os.mkfifo(pipe)
    for target in ("/dev/zero", pipe):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(InvalidModelFile, match="not a regular file"):
            load(link)
        tried["links, pipes, folders"] += 1
    loop.symlink_to(loop)
    gone.symlink_to(tmp_path / "missing")
    for path in (loop, gone, tmp_path, tmp_path / "missing"):
        with pytest.raises(OSError, match=path.name):
            load(path)
        tried["links, pipes, folders"] += 1
    link.unlink()
    link.symlink_to(good)
    assert load(link).n_features_in_ == 1


CLAIMS = textwrap.dedent("""
    import json, os, resource, sys
    from skgmvae import load
    from skgmvae.exceptions import InvalidModelFile
    folder, good = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    load(good, device="cpu")  # all that is ever imported
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20,) * 2)
    for name in sorted(os.listdir(folder)):
        try:
            load(os.path.join(folder, name), device="cpu")
        except InvalidModelFile:
            continue
        sys.exit(f"{name} was loaded")
    print(len(os.listdir(folder)))
""")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_large_claims_take_no_memory(tmp_path, whole):
    header, body = parts(whole)
    ten = 10 * 2**30
    name = next(name for name in header if name.startswith("fit.weights"))
    entry = {"dtype": "U8", "shape": [ten], "data_offsets": [0, ten]}
    claims = tmp_path / "claims"
    claims.mkdir()
    forge = tmp_path / "forge"

    def of_state(change):
        return forged(forge, whole, change)

    made = {
        "one": with_header({"a": entry}), "in place": with_header(header | {name: entry}, body),
        "length": ten.to_bytes(8, "little") + whole[8:],
        "length 4 MiB": (2**22).to_bytes(8, "little") + whole[8:],
        "lists": with_header(b"[" + b"[]," * (2**22 // 3 - 2) + b"1]"),
        "dicts": with_header(b"[" + b"{}," * (2**22 // 3 - 2) + b"1]"),
        "numbers": with_header(b"[" + b"9" * (2**22 - 2) + b"]"),
        "latent": of_state(replaced(fit__architecture__latent_dim=2**31 - 1)),
        "width": of_state(replaced(fit__architecture__hidden_layer_sizes=(2**31 - 1,) * 3)),
        "clusters": of_state(replaced(fit__architecture__n_clusters=2**31 - 1)),
    }
    labels = {"dtype": "I64", "shape": [ten // 8], "data_offsets": [0, ten]}
    made["labels"] = with_header(header | {"fit.attributes.labels_": labels}, body)
    for number, data in enumerate(made.values()):
        (claims / str(number)).write_bytes(data)
    with open(claims / "sparse", "wb") as file:
        file.write(with_header({"a": entry}))
        file.truncate(ten)
    good = tmp_path / "good"
    good.write_bytes(whole)
    tried["claims of 10 GB"] += int(run_python("-c", CLAIMS, claims, good, seconds=120))


def test_nothing_is_warned_of_or_left_behind(tmp_path, whole, recwarn):
    path = tmp_path / "file"
    before = set(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else set()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in (b"", whole[:100], whole[:-1], whole[:-1] + b"x"):
            refused(path, data, "truncations")
    after = set(os.listdir("/proc/self/fd")) if before else set()
    assert len(after) <= len(before)
    assert os.listdir(tmp_path) == ["file"]
