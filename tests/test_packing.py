"""Plain data there and back, and a digest that nothing escapes."""

import hashlib
import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skgmvae.packing import DTYPES, MOST_PARTS, Packed, digest, pack, read_json, unpack

ARRAYS = hnp.arrays(st.sampled_from(sorted(DTYPES)), hnp.array_shapes(min_dims=0, min_side=0))
STATES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | ARRAYS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple)
    | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
)


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, of_other in zip(one, other, strict=True):
            assert_same(mine, of_other)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, float):
        assert one == other or (math.isnan(one) and math.isnan(other))
        assert math.copysign(1, one) == math.copysign(1, other) or math.isnan(one)
    else:
        assert one == other


@given(STATES)
def test_a_state_comes_back(state):
    packed = pack(state)
    assert packed.description.isascii()
    assert not packed.objects
    assert_same(unpack(packed), state)
    assert pack(unpack(packed)).description == packed.description


def test_what_is_no_plain_data_is_left_beside_it_as_it_is():
    class Number(int):
        pass

    values = {
        "f": len, "n": np.int64(3), "o": np.array(["a"], object), "s": Number(2), "z": 1j,
        "d": {(1, 2): 3}, "m": np.ma.array([1.0]),
    }
    packed = pack(values)
    assert packed.objects == values
    assert unpack(packed)["f"] is len


def test_keys_that_are_written_alike_have_names_of_their_own():
    state = {"a.b": np.zeros(1), "a": {"b": np.ones(1)}, 1: np.full(1, 2.0), "1": np.full(1, 3.0)}
    packed = pack(state)
    assert len(packed.arrays) == 4
    assert_same(unpack(packed), state)


@pytest.mark.parametrize("description", [
    "", "{", "NaN", "[Infinity]", '{"a": 1, "a": 2}', '{"list": []}', '{"tuple": 3}', "{}",
    '{"tuple": [], "dict": []}', '{"dict": [1]}', '{"dict": [[1]]}', '{"dict": [[[], 1]]}',
    '{"dict": [["a", 1], ["a", 2]]}', '{"float": "1"}', '{"float": NaN}', '{"array": "b"}',
    '{"array": ["a"]}', '{"object": "a"}', '{"module": "os"}', "[" * 10_000, "9" * 5000, "[]",
    "[" + "[]," * MOST_PARTS + "1]",
])
def test_a_description_that_pack_does_not_make_is_refused(description):
    with pytest.raises(ValueError):  # noqa: PT011 (of many kinds)
        unpack(Packed(description, {"a": np.zeros(2)}, {}))


def test_json_is_read_strictly():
    assert read_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    with pytest.raises(ValueError, match="twice"):
        read_json('[{"a": 1, "\\u0061": 1}]')
    with pytest.raises(ValueError, match="NaN"):
        read_json("[NaN]")


STATE = {
    "a": np.arange(6.0).reshape(2, 3), "b": np.arange(4), "c": np.zeros((0, 2)), "d": [1, (2.5,)],
    "e": np.array(7.0, np.float32),
}
VERSIONS = {"layout": 1}


def test_the_digest_is_of_values_not_of_how_they_lie_in_memory(tmp_path):
    expected = digest(pack(STATE), VERSIONS)
    path = tmp_path / "a.npy"
    np.save(path, STATE["a"])
    for same in (
        np.asfortranarray(STATE["a"]), STATE["a"].astype(">f8"), np.load(path, mmap_mode="r"),
        np.repeat(STATE["a"], 2, axis=0)[::2],
    ):
        assert digest(pack(STATE | {"a": same}), VERSIONS) == expected
    written_out = (
        b'[{"layout": 1}, ' + json.dumps(pack(STATE).description).encode() + b', '
        b'[["a", "<f8", [2, 3]], ["b", "<i8", [4]], ["c", "<f8", [0, 2]], ["e", "<f4", []]]]'
        + struct.pack("<6d", *range(6)) + struct.pack("<4q", *range(4)) + struct.pack("<f", 7.0)
    )
    assert expected == hashlib.sha256(written_out).hexdigest()


@pytest.mark.parametrize("changes", [
    {"a": STATE["a"].reshape(3, 2)}, {"a": STATE["a"].astype(np.float32)}, {"a": -STATE["a"]},
    {"b": np.arange(4).astype(np.uint64)}, {"c": np.zeros((2, 0))}, {"d": [1, [2.5]]},
    {"d": [1.0, (2.5,)]}, {"a": STATE["b"], "b": STATE["a"]}, {"f": None},
    {"e": np.array([7.0], np.float32)},
])
def test_any_change_changes_the_digest(changes):
    assert digest(pack(STATE | changes), VERSIONS) != digest(pack(STATE), VERSIONS)


@given(st.integers(0, 6 * 64 - 1))
def test_any_bit_changes_the_digest(bit):
    data = bytearray(STATE["a"].tobytes())
    data[bit // 8] ^= 1 << bit % 8
    other = np.frombuffer(bytes(data)).reshape(2, 3)
    assert digest(pack(STATE | {"a": other}), VERSIONS) != digest(pack(STATE), VERSIONS)


def test_names_and_versions_are_in_the_digest():
    packed = pack(STATE)
    renamed = {name + "x": array for name, array in packed.arrays.items()}
    assert digest(packed._replace(arrays=renamed), VERSIONS) != digest(packed, VERSIONS)
    assert digest(packed, {"layout": 2}) != digest(packed, VERSIONS)
    assert digest(packed, json.loads(json.dumps(VERSIONS))) == digest(packed, VERSIONS)


def test_what_could_not_be_read_again_is_not_packed():
    with pytest.raises(ValueError, match="has more than 131072 lists and objects"):
        pack([[number] for number in range(140_000)])
