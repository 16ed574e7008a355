"""The data sets of the paper: the five arcs of Section 4.1, MNIST and SVHN."""

from __future__ import annotations

import hashlib
import math
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.request import urlretrieve
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from sklearn.datasets import fetch_openml, get_data_home
from sklearn.utils import check_random_state, check_scalar

__all__ = ["Split", "load_mnist", "load_svhn", "make_arcs"]

N_ARCS = 5

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

SVHN_URL = "http://ufldl.stanford.edu/housenumbers/{name}_32x32.mat"
#: The MD5 checksums by which the official files are recognized.
SVHN_MD5 = {
    "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test": "eb5a983be6a315427106f1b164d9cef3",
    "extra": "a93ce644f1a588dc4d68dda5feec44a7",
}


class Split(NamedTuple):
    """A training set and a test set of images with their labels.

    Attributes
    ----------
    X_train, X_test : ndarray of shape (n_images, n_values)
        The images as flat rows, of dtype uint8 with values from 0 to 255. Images of a file of your
        own keep its dtype and range.
    y_train, y_test : ndarray of shape (n_images,)
        The label of each image, of dtype intp.

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

    The centers of the circles are spaced evenly around the origin, and each arc is the outer part
    of its circle. The paper shows the data but does not state their parameters, so the default
    values are those of this package.

    Parameters
    ----------
    n_samples : int, default=10_000
        The number of points, divided evenly among the arcs.
    radius : float, default=1.0
        The radius of each circle.
    span : float, default=2.0
        The angle that each arc covers, in radians.
    distance : float, default=1.5
        The distance of each circle's center from the origin.
    noise : float, default=0.05
        The standard deviation of the distance between a point and its arc.
    random_state : int, RandomState instance or None, default=None
        Determines the random numbers. Pass an int for reproducible output.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        The points, in random order, of dtype float64.
    y : ndarray of shape (n_samples,)
        The arc of each point, 0 to 4, of dtype intp.

    Raises
    ------
    TypeError
        If `n_samples` is not an integer, or another parameter is not a number.
    ValueError
        If `n_samples` is less than 1, another parameter is negative, infinite or NaN, or
        `random_state` cannot seed a generator.

    Examples
    --------
    >>> from skgmvae.datasets import make_arcs
    >>> X, y = make_arcs(1000, random_state=0)
    >>> X.shape, len(set(y))
    ((1000, 2), 5)
    """
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    for name, value in (
        ("radius", radius), ("span", span), ("distance", distance), ("noise", noise)
    ):
        check_scalar(value, name, Real, min_val=0)
        if not math.isfinite(value):
            raise ValueError(f"{name} == {value}, must be finite.")
    random = check_random_state(random_state)
    arc = random.permutation(np.arange(n_samples) % N_ARCS)
    outward = 2 * math.pi * arc / N_ARCS
    angle = outward + random.uniform(-span / 2, span / 2, n_samples)
    length = radius + noise * random.standard_normal(n_samples)
    x = distance * np.cos(outward) + length * np.cos(angle)
    y = distance * np.sin(outward) + length * np.sin(angle)
    return np.stack([x, y], 1), arc


def load_mnist(
    path: str | Path | None = None, *, data_home: str | Path | None = None
) -> Split:
    """Load MNIST: 60,000 training and 10,000 test images of 28 x 28 pixels.

    Parameters
    ----------
    path : path-like, default=None
        A local ``.npz`` file that holds the arrays ``x_train``, ``y_train``, ``x_test`` and
        ``y_test``. If None, the data are downloaded from OpenML by
        :func:`sklearn.datasets.fetch_openml`, which keeps a copy.
    data_home : path-like, default=None
        The folder for downloaded files. If None, it is that of
        :func:`sklearn.datasets.get_data_home`.

    Returns
    -------
    split : Split
        ``X_train`` of shape (60000, 784), ``y_train``, ``X_test`` of shape (10000, 784) and
        ``y_test``.

    Raises
    ------
    OSError
        If the data cannot be downloaded, or there is no file at `path`.
    ValueError
        If the file at `path` does not hold the four arrays, or images and labels are not equally
        many.

    References
    ----------
    LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proc. IEEE, 1998.

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
    """Load SVHN, the Street View House Numbers: color images of 32 x 32 pixels.

    The data are for non-commercial use only. Images that were downloaded are memory-mapped and
    read-only, since with `extra` they take 1.9 GB; those of `path` are read at once.

    Parameters
    ----------
    path : path-like, default=None
        A local ``.npz`` file that holds the arrays ``x_train``, ``y_train``, ``x_test`` and
        ``y_test``. If None, the official files are downloaded once, and their checksums are
        verified.
    extra : bool, default=False
        Whether to add the 531,131 easier images to the 73,257 of the training set, as in the
        paper. The parameter is not used if `path` is given.
    data_home : path-like, default=None
        The folder for downloaded files. If None, it is that of
        :func:`sklearn.datasets.get_data_home`.

    Returns
    -------
    split : Split
        ``X_train`` of shape (73257, 3072), or (604388, 3072) with `extra`, ``y_train``, ``X_test``
        of shape (26032, 3072) and ``y_test``.

    Raises
    ------
    OSError
        If a file cannot be downloaded, is not the official one, or there is no file at `path`.
    ValueError
        If the file at `path` does not hold the four arrays, or images and labels are not equally
        many.

    References
    ----------
    Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, NIPS
    Workshop, 2011.

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
    """Return the images of the files, memory-mapped from a single array, and their labels."""
    stem = folder / "_".join(names)
    images, labels = stem.with_suffix(".x.npy"), stem.with_suffix(".y.npy")
    if not labels.exists():  # it is written last
        parts = [loadmat(_svhn_file(folder, name)) for name in names]
        # images of shape (height, width, channels, n_images), and the digit 0 as class 10
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
    try:
        # np.load leaves a file that it opened itself open if it is a broken archive
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ARRAYS if name in archive}
    except (TypeError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"path={str(path)!r} is not an .npz file of arrays: {error}") from error
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ValueError(
            f"path={str(path)!r} lacks {', '.join(missing)}; the file should hold x_train, "
            "y_train, x_test and y_test."
        )
    for part in ("train", "test"):
        images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if images.ndim < 2 or labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(
                f"path={str(path)!r}: y_{part} should hold one integer label for each image in "
                f"x_{part}; it has shape {labels.shape} and dtype {labels.dtype}, and x_{part} has "
                f"shape {images.shape}."
            )
    return Split(
        _flat(arrays["x_train"]), arrays["y_train"].astype(np.intp),
        _flat(arrays["x_test"]), arrays["y_test"].astype(np.intp),
    )


def _flat(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images.reshape(len(images), math.prod(images.shape[1:]))


def _offline(data: str, loader: str, error: BaseException) -> OSError:
    return OSError(
        f"{data} could not be downloaded ({error}). Connect to the internet once, or pass a local "
        f"file, {loader}('{data.lower()}.npz'), that holds x_train, y_train, x_test and y_test."
    )
