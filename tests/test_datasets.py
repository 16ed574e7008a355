"""The arcs are what they say; loaders read files, and say what to do without a network."""

from urllib.error import URLError

import numpy as np
import pytest
from scipy.io import savemat

from skgmvae import datasets
from skgmvae.datasets import load_mnist, load_svhn, make_arcs


def test_arcs_lie_on_five_circles():
    X, y = make_arcs(2000, radius=0.8, distance=2.0, span=1.5, noise=0.0, random_state=0)
    outwards = 2 * np.pi * y / 5
    centres = 2.0 * np.stack([np.cos(outwards), np.sin(outwards)], 1)
    offset = X - centres
    assert np.allclose(np.hypot(*offset.T), 0.8)
    turned = np.arctan2(offset[:, 1], offset[:, 0]) - outwards
    angle = (turned + np.pi) % (2 * np.pi) - np.pi
    assert np.abs(angle).max() <= 0.75 + 1e-9
    assert np.abs(angle).max() > 0.7
    assert np.bincount(y).tolist() == [400] * 5


def test_noise_is_the_spread_about_the_arc():
    X, y = make_arcs(20_000, noise=0.1, random_state=0)
    outwards = 2 * np.pi * y / 5
    offset = X - 1.5 * np.stack([np.cos(outwards), np.sin(outwards)], 1)
    assert np.hypot(*offset.T).std() == pytest.approx(0.1, rel=0.05)


def test_arcs_are_reproducible_and_shuffled(untouched_global_state):
    X, y = make_arcs(103, random_state=3)
    again, _ = make_arcs(103, random_state=3)
    assert np.array_equal(X, again)
    assert (np.diff(y) < 0).any()


def test_arcs_take_the_numbers_of_numpy():
    X, _ = make_arcs(np.int64(50), noise=np.float32(0.1), random_state=0)
    assert X.shape == (50, 2)


@pytest.mark.parametrize(("name", "value"), [("n_samples", 0), ("noise", -1.0)])
def test_bad_values_are_named(name, value):
    with pytest.raises(ValueError, match=name):
        make_arcs(**{name: value})


@pytest.mark.parametrize("loader", [load_mnist, load_svhn])
def test_a_local_file_is_read(loader, tmp_path):
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    path = tmp_path / "some.npz"
    np.savez(path, x_train=images, y_train=[1, 2], x_test=images[:1], y_test=[3])
    split = loader(path)
    assert split.X_train.shape == (2, 16)
    assert split.X_train.dtype == np.uint8
    assert split.y_test.tolist() == [3]


def test_a_local_file_that_lacks_an_array_is_named(tmp_path):
    np.savez(tmp_path / "some.npz", x_train=np.zeros((2, 4)), y_train=[0, 1])
    with pytest.raises(ValueError, match=r"some\.npz.*lacks x_test, y_test"):
        load_mnist(tmp_path / "some.npz")


def offline(*arguments, **options):
    raise URLError("no network")


@pytest.mark.parametrize(("loader", "fetch"), [
    (load_mnist, "fetch_openml"), (load_svhn, "urlretrieve"),
])
def test_offline_says_what_to_do(loader, fetch, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, fetch, offline)
    with pytest.raises(OSError, match=r"no network.*pass a local file"):
        loader(data_home=tmp_path)
    assert not list(tmp_path.rglob("*.mat"))


def test_mnist_is_split_as_everyone_does(monkeypatch):
    X = np.zeros((70_000, 1))
    X[60_000] = 7
    monkeypatch.setattr(
        datasets, "fetch_openml", lambda *_, **__: (X, np.repeat(["1", "2"], [60_000, 10_000]))
    )
    split = load_mnist()
    assert len(split.X_train) == 60_000
    assert split.X_test[0, 0] == 7
    assert split.y_test[0] == 2


@pytest.fixture
def official(monkeypatch, tmp_path):
    """Serve small files in place of the official ones, and know them by their sums."""
    import hashlib

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


def test_svhn_is_downloaded_once_and_mapped(official, tmp_path):
    split = load_svhn(extra=True, data_home=tmp_path)
    assert official == ["train", "extra", "test"]
    assert isinstance(split.X_train, np.memmap)
    assert split.X_train.shape == (2 + 4, 3072)
    assert split.X_train[0].reshape(32, 32, 3)[0, 1, 2] == 200  # channels last
    assert split.y_train[:2].tolist() == [9, 0]  # the official 10 is the digit 0
    again = load_svhn(extra=True, data_home=tmp_path)
    assert len(official) == 3
    assert np.array_equal(again.X_train, split.X_train)


def test_a_file_that_is_not_the_official_one_is_refused(official, tmp_path):
    folder = tmp_path / "svhn"
    folder.mkdir()
    (folder / "train_32x32.mat").write_bytes(b"something else")
    with pytest.raises(OSError, match=r"train_32x32\.mat is not the official file.*Delete it"):
        load_svhn(data_home=tmp_path)
