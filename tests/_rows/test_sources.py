"""Training rows: what is held, where, and what is seen of it."""

import gc
import math
import pickle
import warnings
import weakref

import numpy as np
import pytest
import torch

from skgmvae._rows import BLOCK_ROWS, Rows, Units, joined, sources
from skgmvae._rows.copies import Reordered
from skgmvae._rows.sources import Residence
from skgmvae._rows.units import Winsorizing

CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("image_shape", [None, (1, 3), (1, 1, 3)])
@pytest.mark.parametrize("n_rows", [1, BLOCK_ROWS, 2 * BLOCK_ROWS + 3])
def test_rows_are_what_the_model_sees_in_single_precision_whatever_their_number(
    n_rows, image_shape
):
    X = 5 + draw(n_rows, 3)
    units = Units.standardizing(X, image_shape)
    rows = Rows.standardized(X, units, CPU)
    assert rows.n_rows == n_rows
    assert rows.device == CPU
    index = torch.tensor([n_rows - 1, 0, n_rows // 2, n_rows // 2])
    taken = rows.take(index)
    assert taken.dtype == torch.float32
    assert torch.equal(taken, units.to_model(X[index.numpy()], torch.float32, CPU))
    assert rows.flat().shape == (n_rows, 3)
    np.testing.assert_array_equal(rows.flat()[index.numpy()], taken.flatten(1))


def test_blocks_are_all_rows_in_order_and_none_is_long():
    X = draw(2 * BLOCK_ROWS + 3, 2)
    rows = Rows.standardized(X, Units.standardizing(X, None), CPU)
    blocks = list(rows.blocks())
    assert [len(block) for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 3]
    np.testing.assert_array_equal(torch.cat(blocks), rows.flat())


# What is held.

TYPES = ["bool", "uint8", "int8", "int16", "int32", "float16", "float32", "int64", "float64"]


def typed(n_rows, n_features, dtype, seed=0):
    """Return rows of a type, some of them far from the others where the type can say so."""
    X = 40 * draw(n_rows, n_features, seed=seed) + 100
    X[0], X[1] = 3000, -3000
    if dtype == "bool":
        return X > 100
    limits = np.finfo(dtype) if "float" in dtype else np.iinfo(dtype)
    return np.clip(X, limits.min, limits.max).astype(dtype)


@pytest.mark.parametrize("image_shape", [None, (3, 2), (1, 2, 3)])
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_of_any_type_are_seen_as_the_whole_array_converted_in_double_precision(
    dtype, image_shape
):
    X = typed(500, 6, dtype)
    units = Units.standardizing(X.astype(float), image_shape)
    low, high = (units.location + sign * 3 * units.spread for sign in (-1, 1))
    expected = units.to_model(np.clip(X.astype(float), low, high), torch.float32, CPU)
    rows = Rows.standardized(X, units, CPU)
    index = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    for found, wanted in [
        (rows.take(index), expected[index]), (rows.take(index[:20]), expected[index[:20]]),
        (torch.cat([*rows.blocks()]), expected),
        (torch.cat([*rows.blocks(index)]), expected[index]),
        (rows.matrix(), expected.flatten(1)),
    ]:
        assert found.dtype == torch.float32
        assert torch.equal(found, wanted)  # to the bit
    assert rows.data_shape == units.data_shape


def test_more_rows_than_a_block_are_taken_by_blocks():
    X = typed(2 * BLOCK_ROWS + 3, 2, "uint8")
    rows = Rows.standardized(X, Units.standardizing(X, None), CPU)
    everyone = torch.arange(len(X)).flip(0)
    assert torch.equal(rows.take(everyone), rows.matrix().flip(0))


def address(rows):
    return rows._held.data_ptr()


def held_by(X):
    return Rows.standardized(X, Units.standardizing(X[:].astype(float), None), CPU)


@pytest.mark.parametrize("dtype", TYPES)
def test_rows_share_the_memory_of_narrow_types_and_of_wide_ones_hold_single_precision(dtype):
    X = typed(30, 4, dtype)
    rows = held_by(X)
    if X.itemsize <= 4:
        assert address(rows) == X.ctypes.data
        assert rows._held.element_size() == X.itemsize
    else:
        assert rows._held.dtype == torch.float32


@pytest.mark.parametrize("view", [
    lambda X: X[::3], lambda X: X[:, 1:3], lambda X: np.broadcast_to(X[:1], X.shape),
    lambda X: X[::-1], lambda X: X[:, ::-1], lambda X: X[:, ::2], np.asfortranarray,
    lambda X: X.astype(X.dtype.newbyteorder()),
])
def test_views_of_any_layout_are_rows(view):
    X = typed(30, 4, "float32")
    units = Units.standardizing(X, None)
    seen = view(X)
    units = units._replace(**{
        name: value[: seen.shape[1]] for name, value in units._asdict().items()
        if isinstance(value, np.ndarray)
    })
    rows = Rows.standardized(seen, units, CPU)
    expected = Rows.standardized(seen.astype(float), units, CPU)
    assert torch.equal(rows.matrix(), expected.matrix())


def test_an_array_that_is_read_only_is_shared_without_a_warning_and_never_written_to(tmp_path):
    X = typed(30, 4, "uint8")
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    units = Units.standardizing(X, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = Rows.standardized(mapped, units, CPU)
    assert address(rows) == mapped.ctypes.data
    for taken in (rows.take(torch.arange(30)), *rows.blocks(), rows.matrix()):
        taken.fill_(-1.0)  # another tensor
    np.testing.assert_array_equal(rows.flat(), Rows.standardized(X, units, CPU).flat())


def test_what_is_shared_lives_as_long_as_the_rows():
    X = typed(3000, 40, "uint8")
    alive, expected = weakref.ref(X), held_by(X).flat()
    rows = held_by(X)
    del X
    gc.collect()
    assert alive() is not None
    np.testing.assert_array_equal(rows.flat(), expected)
    del rows
    gc.collect()
    assert alive() is None


def test_blocks_are_joined_as_they_are_made():
    alive = []

    def block(number):
        gc.collect()
        assert sum(made() is not None for made in alive) <= 1
        made = torch.full((2, 3), float(number))
        alive.append(weakref.ref(made))
        return made

    found = joined(map(block, range(4)), 8)
    assert found[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


# Where it is held.

class FullDevice(Residence):
    """Nothing fits on the device."""

    def home(self, n_bytes, device):
        return CPU


@pytest.mark.parametrize("dtype", TYPES)
def test_rows_in_another_order_share_the_memory_of_the_array_too(dtype):
    X = typed(30, 4, dtype)
    order = np.array([3, 1, 1, 29, 7])
    rows, expected = held_by(Reordered(X, order)), held_by(X[order])
    assert rows.n_rows == expected.n_rows
    if X.itemsize <= 4:
        assert address(rows) == X.ctypes.data
    index = torch.tensor([4, 0, 0])
    for moved in (rows, pickle.loads(pickle.dumps(rows))):
        assert torch.equal(moved.take(index), expected.take(index))
        np.testing.assert_array_equal(moved.flat(), expected.flat())


def test_rows_that_are_left_out_miss_nothing():
    X = np.array([[1.0, 2.0], [np.nan, 0.0], [3.0, 1.0]], np.float32)
    rows = Rows.standardized(Reordered(X, np.array([2, 0])), Units.standardizing(X, None), CPU)
    assert not rows.has_missing


@pytest.mark.parametrize(("n_bytes", "free", "fits"), [
    (50, 100.0, True), (51, 100.0, False), (51, 102.0, True), (10**12, math.inf, True),
])
def test_rows_are_on_the_device_if_they_leave_half_of_it_free(monkeypatch, n_bytes, free, fits):
    monkeypatch.setattr(sources, "free_memory", lambda device: free)
    device = torch.device("meta")
    assert Residence().home(n_bytes, device) == (device if fits else CPU)


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_the_bytes_that_are_compared_are_those_that_are_held(monkeypatch, dtype):
    asked = []
    monkeypatch.setattr(
        Residence, "home", lambda self, n_bytes, device: asked.append(n_bytes) or device
    )
    held_by(typed(30, 4, dtype))
    assert asked == [30 * 4 * (1 if dtype == "uint8" else 4)]


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_rows_in_the_memory_of_the_host_travel_as_they_are_asked_for(dtype):
    X = typed(30, 4, dtype)
    # a device that computes nothing, but says where tensors are
    elsewhere = torch.device("meta")
    rows = Rows.standardized(X, Units.standardizing(X, None), elsewhere, residence=FullDevice())
    assert rows.home == rows._held.device == CPU
    assert rows.device == elsewhere
    index = torch.tensor([3, 1])
    for taken in (rows.take(index), *rows.blocks(), *rows.blocks(index), rows.matrix()):
        assert taken.device == elsewhere
    assert rows.take(index).shape == (2, 4)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("image_shape", [None, (1, 2, 2)])
@pytest.mark.parametrize("fit", [True, False])
def test_rows_are_the_same_on_any_device_and_from_the_memory_of_the_host(
    dtype, image_shape, fit, device
):
    X = typed(3000, 4, dtype)
    units = Units.standardizing(X, image_shape)
    if fit:
        rows = Rows.standardized(X, units, torch.device(device))
        assert rows.home == torch.device(device)
    else:
        # the CPU under another name: rows travel from memory that seems to be another's
        device = "cpu:0" if device == "cpu" else device
        rows = Rows.standardized(X, units, torch.device(device), residence=FullDevice())
        assert rows.home == CPU != rows.device == torch.device(device)
    expected = Rows.standardized(X, units, CPU)
    index = torch.arange(0, 2990, 7)
    for number in range(20):  # staging memory is used again
        taken = rows.take(index + number % 7)
        assert taken.device == torch.zeros(0, device=device).device
        assert torch.equal(taken.cpu(), expected.take(index + number % 7))
    assert torch.equal(rows.take(index.to(device)).cpu(), expected.take(index))
    np.testing.assert_array_equal(rows.flat(), expected.flat())
    assert rows.typical_norm() == pytest.approx(expected.typical_norm(), rel=1e-6)


# Winsorizing.

@pytest.mark.parametrize("image_shape", [None, (1, 3), (1, 1, 3)])
def test_rows_are_winsorized_at_three_ranges_from_the_location(image_shape):
    X = draw(300, 3)
    X[0], X[1, 2] = 1e6, -1e6
    units = Units.standardizing(X, image_shape)
    reach = units.spread / units.scale
    y = Rows.standardized(X, units, CPU).flat()
    np.testing.assert_allclose(y[0], 3 * reach, rtol=1e-6)
    np.testing.assert_allclose(y[1, 2], -3 * reach[2], rtol=1e-6)
    seen = units.to_model(X, torch.float32, CPU).flatten(1).numpy()
    np.testing.assert_array_equal(y[2:], seen[2:])
    np.testing.assert_array_equal(y[1, :2], seen[1, :2])
    nearer = Rows.standardized(X, units, CPU, Winsorizing(n_ranges=1.0)).flat()
    np.testing.assert_allclose(nearer[0], reach, rtol=1e-6)


def test_later_rows_that_lie_elsewhere_are_winsorized_only_if_they_are_far_from_each_other():
    units = Units.standardizing(draw(300, 3), None)
    later = draw(300, 3, seed=1) + 100
    later[0] = 1e9
    further = units.seeing(later)
    y = Rows.standardized(later, further, CPU).flat()
    seen = further.to_model(later, torch.float32, CPU).numpy()
    np.testing.assert_array_equal(y[1:], seen[1:])
    np.testing.assert_array_equal(y[0], seen[1:].max(0))


def test_a_single_later_row_is_winsorized_if_it_is_far_from_all_before():
    units = Units.standardizing(draw(300, 3), None)
    near, far = units.highest + 9 * (units.highest - units.lowest), np.full(3, 1e3)
    for row, wanted in ((near, near), (far, np.maximum(
        units.location + 3 * units.spread, units.highest
    ))):
        further = units.seeing(row[None])
        np.testing.assert_allclose(
            Rows.standardized(row[None], further, CPU).flat(),
            further.to_model(wanted[None], torch.float32, CPU), rtol=1e-6,
        )
        assert (further.lowest == units.lowest).all()
    assert (units.seeing(np.vstack([far] * 4)).highest == far).all()


def test_a_feature_that_was_constant_is_not_winsorized():
    X = np.column_stack([draw(20), np.full(20, 7.0)])
    units = Units.standardizing(X, None)
    X[3, 1] = 1e5
    assert Rows.standardized(X, units.seeing(X), CPU).flat()[3, 1] == np.float32(1e5 - 7)
    assert Rows.standardized(X, units, CPU).flat()[3, 1] == 0  # as of rows to stop early by


@pytest.mark.parametrize("shape", [(50, 3), (50, 1, 3, 4)])
def test_the_typical_norm_is_the_root_mean_square(shape):
    y = torch.tensor(draw(*shape), dtype=torch.float32)
    expected = np.sqrt((np.linalg.norm(y.flatten(1), axis=1) ** 2).mean())
    assert Rows(y).typical_norm() == pytest.approx(expected, rel=1e-5)


def test_the_typical_norm_of_many_rows_that_are_sorted_is_that_of_all():
    n_rows = 10 * BLOCK_ROWS + 7
    y = torch.linspace(0, 1, n_rows)[:, None]
    assert Rows(y).typical_norm() == pytest.approx(1 / np.sqrt(3), rel=1e-3)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("image_shape", [None, (1, 2, 2)])
def test_rows_travel_as_an_array_that_may_be_read_only(dtype, image_shape):
    X = typed(20, 4, dtype)
    rows = Rows.standardized(X, Units.standardizing(X, image_shape), CPU)
    copy = pickle.loads(pickle.dumps(rows))
    assert torch.equal(copy.take(torch.arange(20)), rows.take(torch.arange(20)))
    assert copy.device == rows.device
    make, (array, *others) = rows.__reduce__()
    assert isinstance(array, np.ndarray)
    assert array.dtype == (X.dtype if X.itemsize <= 4 else np.float32)
    array = array.copy()
    array.flags.writeable = False  # as joblib maps it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = make(array, *others)
    np.testing.assert_array_equal(made.flat(), rows.flat())
    assert address(made) == array.ctypes.data  # processes of joblib share what is mapped
