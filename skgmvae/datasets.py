"""The data of the paper: the five arcs of Section 4.1, and loaders for MNIST and SVHN."""

from __future__ import annotations

import hashlib
import math
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlretrieve

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from sklearn.datasets import fetch_openml, get_data_home
from sklearn.utils import check_random_state, check_scalar

__all__ = ["Split", "load_mnist", "load_svhn", "make_arcs"]

N_ARCS = 5

SVHN_URL = "http://ufldl.stanford.edu/housenumbers/{name}_32x32.mat"
#: MD5 sums of the official files, by which they are known.
SVHN_MD5 = {
    "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test": "eb5a983be6a315427106f1b164d9cef3",
    "extra": "a93ce644f1a588dc4d68dda5feec44a7",
}


class Split(NamedTuple):
    """Images as flat rows of bytes, and their labels, to fit on and to evaluate on.

    Attributes
    ----------
    X_train, X_test : ndarray of shape (n_images, n_values)
        Values from 0 to 255.
    y_train, y_test : ndarray of shape (n_images,)

    Examples
    --------
    >>> images, labels = np.zeros((3, 784), np.uint8), np.arange(3)
    >>> X_train, y_train, X_test, y_test = Split(images, labels, images, labels)
    >>> X_train.shape, y_test.shape
    ((3, 784), (3,))
    """

    X_train: NDArray[np.uint8]
    y_train: NDArray[np.intp]
    X_test: NDArray[np.uint8]
    y_test: NDArray[np.intp]


def make_arcs(
    n_samples: int = 10_000,
    *,
    radius: float = 1.0,
    span: float = 2.0,
    distance: float = 1.5,
    noise: float = 0.05,
    random_state: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Draw points from the arcs of five circles (Section 4.1 of arXiv:1611.02648v2).

    The centres lie evenly on a circle; each arc bulges outwards. The paper shows the data but
    not their parameters: the defaults are ours.

    Parameters
    ----------
    n_samples : int, default=10_000
        Shared evenly among the arcs.
    radius : float, default=1.0
        Of each circle.
    span : float, default=2.0
        Angle of each arc, in radians.
    distance : float, default=1.5
        Of the circles' centres from the origin.
    noise : float, default=0.05
        Standard deviation of a point's distance from its arc.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
    y : ndarray of shape (n_samples,)
        The arc of each point, 0 to 4.

    Raises
    ------
    TypeError, ValueError
        If `n_samples` is no positive integer, or `noise` is negative.

    Examples
    --------
    >>> from skgmvae.datasets import make_arcs
    >>> X, y = make_arcs(1000, random_state=0)
    >>> X.shape, len(set(y))
    ((1000, 2), 5)
    """
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    check_scalar(noise, "noise", Real, min_val=0)
    random = check_random_state(random_state)
    arc = random.permutation(np.arange(n_samples) % N_ARCS)
    outwards = 2 * math.pi * arc / N_ARCS
    angle = outwards + random.uniform(-span / 2, span / 2, n_samples)
    length = radius + noise * random.standard_normal(n_samples)
    x = distance * np.cos(outwards) + length * np.cos(angle)
    y = distance * np.sin(outwards) + length * np.sin(angle)
    return np.stack([x, y], 1), arc


def load_mnist(
    path: str | Path | None = None, *, data_home: str | Path | None = None
) -> Split:
    """Load MNIST: 60,000 images to fit on, 10,000 to evaluate on, 28 x 28 bytes.

    Parameters
    ----------
    path : path-like, default=None
        A local ``.npz`` with ``x_train, y_train, x_test, y_test``. ``None`` downloads the data
        from OpenML through :func:`sklearn.datasets.fetch_openml`, once.
    data_home : path-like, default=None
        Where downloads are kept; ``None`` is scikit-learn's folder.

    Returns
    -------
    split : Split
        ``X_train`` (60000, 784), ``y_train``, ``X_test`` (10000, 784), ``y_test``.

    Raises
    ------
    OSError
        If the data cannot be downloaded; it says how to go on without.
    ValueError
        If the file at `path` lacks an array.

    Examples
    --------
    >>> from skgmvae.datasets import load_mnist
    >>> X_train, y_train, X_test, y_test = load_mnist()  # doctest: +SKIP
    """
    if path is not None:
        return _read_npz(path)
    try:
        X, y = fetch_openml(
            "mnist_784", version=1, return_X_y=True, as_frame=False, data_home=data_home,
            parser="liac-arff",
        )
    except (URLError, ConnectionError, TimeoutError) as error:
        raise _offline("MNIST", "load_mnist", error) from error
    X, y = X.astype(np.uint8), y.astype(np.intp)
    return Split(X[:60_000], y[:60_000], X[60_000:], y[60_000:])


def load_svhn(
    path: str | Path | None = None,
    *,
    extra: bool = False,
    data_home: str | Path | None = None,
) -> Split:
    """Load the Street View House Numbers: 32 x 32 x 3 bytes, for non-commercial use.

    The training rows are mapped from disk, not read: with `extra` they take 1.9 GB.

    Parameters
    ----------
    path : path-like, default=None
        A local ``.npz`` with ``x_train, y_train, x_test, y_test``. ``None`` downloads the official
        files, once, and checks their sums.
    extra : bool, default=False
        Whether the 531,131 easier images join the 73,257 of the training set, as in the paper.
    data_home : path-like, default=None
        Where downloads are kept; ``None`` is scikit-learn's folder.

    Returns
    -------
    split : Split
        ``X_train`` (73257 or 604388, 3072), ``y_train``, ``X_test`` (26032, 3072), ``y_test``.

    Raises
    ------
    OSError
        If a file cannot be downloaded, or is not the official one; it says how to go on.
    ValueError
        If the file at `path` lacks an array.

    Examples
    --------
    >>> from skgmvae.datasets import load_svhn
    >>> X_train, y_train, X_test, y_test = load_svhn(extra=True)  # doctest: +SKIP
    """
    if path is not None:
        return _read_npz(path)
    folder = Path(get_data_home(data_home)) / "svhn"
    folder.mkdir(exist_ok=True)
    train = ("train", "extra") if extra else ("train",)
    X_train, y_train = _svhn_rows(folder, train)
    X_test, y_test = _svhn_rows(folder, ("test",))
    return Split(X_train, y_train, X_test, y_test)


def _svhn_rows(
    folder: Path, names: tuple[str, ...]
) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """Return the rows of the files, mapped from one array on disk, and their labels."""
    stem = folder / "_".join(names)
    images, labels = stem.with_suffix(".x.npy"), stem.with_suffix(".y.npy")
    if not labels.exists():  # written last
        parts = [loadmat(_svhn_file(folder, name)) for name in names]
        # (height, width, channels, n) with the digit 0 as class 10
        rows = [part["X"].transpose(3, 0, 1, 2).reshape(-1, 3072) for part in parts]
        np.save(images, np.concatenate(rows))
        np.save(labels, np.concatenate([part["y"].ravel() % 10 for part in parts]).astype(np.intp))
    return np.load(images, mmap_mode="r"), np.load(labels)


def _svhn_file(folder: Path, name: str) -> Path:
    file = folder / f"{name}_32x32.mat"
    if not file.exists():
        unfinished = file.with_suffix(".part")
        try:
            urlretrieve(SVHN_URL.format(name=name), unfinished)
        except (URLError, ConnectionError, TimeoutError) as error:
            raise _offline("SVHN", "load_svhn", error) from error
        unfinished.replace(file)
    with file.open("rb") as stream:
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != SVHN_MD5[name]:
        raise OSError(
            f"{file} is not the official file: its MD5 is {md5}, not {SVHN_MD5[name]}. Delete it "
            "and try again."
        )
    return file


def _read_npz(path: str | Path) -> Split:
    with np.load(path, allow_pickle=False) as arrays:
        missing = {"x_train", "y_train", "x_test", "y_test"} - set(arrays)
        if missing:
            raise ValueError(
                f"path={str(path)!r} lacks {', '.join(sorted(missing))}; it should hold x_train, "
                "y_train, x_test and y_test."
            )
        X_train, X_test = arrays["x_train"], arrays["x_test"]
        return Split(
            X_train.reshape(len(X_train), -1), arrays["y_train"].astype(np.intp),
            X_test.reshape(len(X_test), -1), arrays["y_test"].astype(np.intp),
        )


def _offline(data: str, loader: str, error: BaseException) -> OSError:
    return OSError(
        f"{data} could not be downloaded ({error}). Go online once, or pass a local file: "
        f"{loader}('{data.lower()}.npz') with x_train, y_train, x_test and y_test."
    )
