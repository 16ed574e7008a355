"""The arcs have the shape that is documented; loaders read files and explain their errors."""

import hashlib
from urllib.error import ContentTooShortError, URLError

import numpy as np
import pytest
from scipy.io import savemat

from skgmvae import datasets
from skgmvae.datasets import load_mnist, load_svhn, make_arcs


def test_arcs_lie_on_five_circles():
    X, y = make_arcs(2000, radius=0.8, distance=2.0, span=1.5, noise=0.0, random_state=0)
    outward = 2 * np.pi * y / 5
    centers = 2.0 * np.stack([np.cos(outward), np.sin(outward)], 1)
    offset = X - centers
    assert np.allclose(np.hypot(*offset.T), 0.8)
    turned = np.arctan2(offset[:, 1], offset[:, 0]) - outward
    angle = (turned + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(angle).max() <= 0.75 + 1e-9
    assert np.abs(angle).max() > 0.7
    assert np.bincount(y).tolist() == [400] * 5


def test_noise_is_the_spread_about_the_arc():
    X, y = make_arcs(20_000, noise=0.1, random_state=0)
    outward = 2 * np.pi * y / 5
    offset = X - 1.5 * np.stack([np.cos(outward), np.sin(outward)], 1)
    assert np.hypot(*offset.T).std() == pytest.approx(0.1, rel=0.05)


def test_arcs_are_reproducible_and_shuffled(untouched_global_state):
    X, y = make_arcs(103, random_state=3)
    again, _ = make_arcs(103, random_state=3)
    assert np.array_equal(X, again)
    other, y_other = make_arcs(103, random_state=4)
    assert not np.array_equal(X, other)
    assert not np.array_equal(y, y_other)
    assert not np.array_equal(y, np.arange(103) % 5)
    assert not np.array_equal(y, np.sort(y))


def test_arcs_take_the_numbers_of_numpy():
    X, _ = make_arcs(np.int64(50), noise=np.float32(0.1), random_state=0)
    assert X.shape == (50, 2)


@pytest.mark.parametrize(("name", "value", "error"), [
    ("n_samples", 0, ValueError), ("n_samples", 10.0, TypeError), ("n_samples", "10", TypeError),
    *((name, value, error) for name in ("radius", "span", "distance", "noise")
      for value, error in ((-1.0, ValueError), (np.nan, ValueError), (np.inf, ValueError),
                           ("1", TypeError), (None, TypeError), (1j, TypeError))),
])
def test_invalid_values_are_named(name, value, error):
    with pytest.raises(error, match=f"^{name} "):
        make_arcs(**{name: value})


@pytest.mark.parametrize("loader", [load_mnist, load_svhn])
def test_a_local_file_is_read(loader, tmp_path):
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    path = tmp_path / "some.npz"
    np.savez(path, x_train=images, y_train=[1, 2], x_test=images[:1], y_test=[3])
    split = loader(path)
    assert np.array_equal(split.X_train, images.reshape(2, 16))
    assert np.array_equal(split.X_test, images[:1].reshape(1, 16))
    assert split.X_train.dtype == split.X_test.dtype == np.uint8
    assert (split.y_train.tolist(), split.y_test.tolist()) == ([1, 2], [3])
    assert split.y_train.dtype == split.y_test.dtype == np.intp


def test_a_local_file_that_lacks_an_array_is_named(tmp_path):
    np.savez(tmp_path / "some.npz", x_train=np.zeros((2, 4)), y_train=[0, 1])
    with pytest.raises(ValueError, match=r"some\.npz.*lacks x_test, y_test"):
        load_mnist(tmp_path / "some.npz")


GOOD = {
    "x_train": np.zeros((2, 4)), "y_train": [0, 1], "x_test": np.zeros((1, 4)), "y_test": [0],
}


@pytest.mark.parametrize("loader", [load_mnist, load_svhn])
@pytest.mark.parametrize(("changes", "message"), [
    ({"y_train": [0]}, r"y_train should hold one .* shape \(1,\) .* x_train has shape \(2, 4\)"),
    ({"y_test": [[0]]}, r"y_test should hold one integer label .* shape \(1, 1\)"),
    ({"y_test": [np.nan]}, "y_test should hold one integer label .* dtype float64"),
    ({"y_test": ["7"]}, "y_test should hold one integer label .* dtype <U1"),
    ({"x_train": 3}, r"x_train has shape \(\)"),
    ({"x_test": np.zeros(1)}, r"x_test has shape \(1,\)"),
    ({"y_train": np.array([0, 1], object)}, "is not an .npz file of arrays"),
])
def test_a_local_file_with_unusable_arrays_is_named(loader, changes, message, tmp_path):
    np.savez(tmp_path / "some.npz", **(GOOD | changes))
    with pytest.raises(ValueError, match=rf"some\.npz'.*{message}"):
        loader(tmp_path / "some.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 a broken archive"])
def test_a_local_file_that_is_no_archive_is_named(content, tmp_path):
    (tmp_path / "some.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.npz' is not an \.npz file of arrays"):
        load_mnist(tmp_path / "some.npz")


def test_a_single_array_or_no_file_is_named(tmp_path):
    np.save(tmp_path / "some.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"some\.npy' is not an \.npz file of arrays"):
        load_mnist(tmp_path / "some.npy")
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        load_mnist(tmp_path / "absent.npz")


def offline(*arguments, **options):
    raise URLError("no network")


@pytest.mark.parametrize(("loader", "fetch"), [
    (load_mnist, "fetch_openml"), (load_svhn, "urlretrieve"),
])
def test_without_a_network_the_error_says_what_to_do(loader, fetch, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, fetch, offline)
    advice = rf"no network.*pass a local file, {loader.__name__}\('\w+\.npz'\)"
    with pytest.raises(OSError, match=advice):
        loader(data_home=tmp_path)


def test_mnist_has_the_usual_split(monkeypatch):
    X = np.zeros((70_000, 1))
    X[60_000] = 7.0
    monkeypatch.setattr(
        datasets, "fetch_openml", lambda *_, **__: (X, np.repeat(["1", "2"], [60_000, 10_000]))
    )
    split = load_mnist()
    assert split.X_train.shape == (60_000, 1)
    assert split.X_test.shape == (10_000, 1)
    assert split.X_train.dtype == split.X_test.dtype == np.uint8
    assert split.X_test[0, 0] == 7
    assert not split.X_train.any()
    assert set(split.y_train.tolist()) == {1}
    assert set(split.y_test.tolist()) == {2}


@pytest.fixture
def official(monkeypatch, tmp_path):
    """Serve small files in place of the official ones, and accept their checksums."""
    served = tmp_path / "served"
    served.mkdir()
    for number, name in enumerate(["train", "test", "extra"]):
        images = np.full((32, 32, 3, 2 + number), number, np.uint8)
        images[0, 1, 2, 0] = 200
        savemat(served / f"{name}.mat", {"X": images, "y": np.arange(9, 11 + number)[:, None]})
        data = (served / f"{name}.mat").read_bytes()
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        monkeypatch.setitem(datasets.SVHN_MD5, name, md5)
    downloads = []

    def retrieve(url, target):
        name = url.rsplit("/")[-1].split("_")[0]
        downloads.append(name)
        target.write_bytes((served / f"{name}.mat").read_bytes())

    monkeypatch.setattr(datasets, "urlretrieve", retrieve)
    return downloads


def test_svhn_is_downloaded_once_and_memory_mapped(official, tmp_path):
    split = load_svhn(extra=True, data_home=tmp_path)
    assert official == ["train", "extra", "test"]
    assert isinstance(split.X_train, np.memmap)
    assert split.X_train.shape == (2 + 4, 3072)
    assert split.X_train[0].reshape(32, 32, 3)[0, 1, 2] == 200  # channels last
    assert split.y_train[:2].tolist() == [9, 0]  # the official 10 is the digit 0
    again = load_svhn(extra=True, data_home=tmp_path)
    assert len(official) == 3
    assert np.array_equal(again.X_train, split.X_train)


def test_svhn_without_the_extra_images(official, tmp_path):
    with_extra = load_svhn(extra=True, data_home=tmp_path)
    split = load_svhn(data_home=tmp_path)
    assert official == ["train", "extra", "test"]
    assert np.array_equal(split.X_train, with_extra.X_train[:2])
    assert np.array_equal(split.y_train, with_extra.y_train[:2])
    assert np.array_equal(split.X_test, with_extra.X_test)
    assert split.X_test.shape == (3, 3072)


def test_an_interrupted_download_is_not_taken_for_the_file(official, monkeypatch, tmp_path):
    whole = datasets.urlretrieve

    def interrupted(url, target):
        target.write_bytes(b"the first part")
        raise ContentTooShortError("retrieval incomplete", None)

    monkeypatch.setattr(datasets, "urlretrieve", interrupted)
    with pytest.raises(OSError, match=r"retrieval incomplete.*pass a local file"):
        load_svhn(data_home=tmp_path)
    monkeypatch.setattr(datasets, "urlretrieve", whole)
    assert load_svhn(data_home=tmp_path).X_train.shape == (2, 3072)


def test_a_file_that_is_not_the_official_one_is_an_error(official, tmp_path):
    folder = tmp_path / "svhn"
    folder.mkdir()
    (folder / "train_32x32.mat").write_bytes(b"something else")
    with pytest.raises(OSError, match=r"train_32x32\.mat is not the official file.*Delete it"):
        load_svhn(data_home=tmp_path)
