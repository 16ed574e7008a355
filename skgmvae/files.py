"""A fitted model in one file, in the format safetensors: arrays, and all else as JSON.

The header of such a file says which arrays there are, of which dtype and shape, and where; under
the key "skgmvae" of its metadata stands, as JSON, what :func:`skgmvae.packing.pack` has made, the
versions that made it, and a SHA-256 of all of it. A file is read in this order, so that nothing is
allocated for what it only claims:

1. the header, if it is not too long, strictly;
2. the description with arrays that have a dtype and a shape but no memory, which the caller checks
   (`skgmvae/_stored/checks.py`);
3. the data, if there is as much of it as the header says, and the digest.

Whatever is wrong is an `InvalidModelFile`; what the operating system refuses is an OSError.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .exceptions import InvalidModelFile
from .packing import DTYPES, Packed, contiguous, digest, read_json

__all__ = [
    "LIMITS", "Limits", "ModelFile", "PathLike", "check_installed", "opened", "previous_of",
    "remove_unfinished", "write",
]

PathLike = str | os.PathLike[str]
KEY = "skgmvae"
#: How pickles begin, as they are or, as joblib does, compressed by zlib.
PICKLES = b"\x80", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda"


class Limits(NamedTuple):
    """How large a file may be. Chosen by hand, so that to refuse one costs no more than 200 MB.

    Attributes
    ----------
    header_bytes : int
        Enough for the names of some 100,000 columns.
    file_bytes : int
        Enough for the labels of some 200 million rows.
    """

    header_bytes: int = 2**22
    file_bytes: int = 2**32


LIMITS = Limits()


def write(
    path: PathLike, packed: Packed, versions: dict[str, Any], *, keeps_previous: bool = False
) -> None:
    """Write a file that has the new content or, whatever fails, the old.

    Of `packed.objects` only the names are stored.

    Parameters
    ----------
    path : str or path-like
    packed : Packed
    versions : dict
        By which it was made.
    keeps_previous : bool, default=False
        Whether the old file stays as `previous_of(path)`, on disks that have links.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If the file would be larger than `LIMITS`.
    OSError
        If it cannot be written.
    """
    content = {
        "versions": versions, "description": packed.description,
        "objects": sorted(packed.objects), "sha256": digest(packed, versions),
    }
    arrays = {name: contiguous(array) for name, array in packed.arrays.items()}
    data = _safetensors().numpy.save(arrays, {KEY: json.dumps(content)})
    n_header = int.from_bytes(data[:8], "little")
    if n_header > LIMITS.header_bytes or len(data) > LIMITS.file_bytes:
        raise ValueError(
            f"The model cannot be stored: a header of {n_header} bytes, where "
            f"{LIMITS.header_bytes} are the most, and a file of {len(data)} bytes, where "
            f"{LIMITS.file_bytes} are. Use shorter names of columns or categories, or pickle it."
        )
    _replace(os.path.realpath(path), data, keeps_previous)  # what is a link stays one


def previous_of(path: PathLike) -> str:
    """Return the path of the file that `write` has kept of before."""
    return os.path.realpath(path) + ".previous"


class ModelFile(NamedTuple):
    """A file of which the header has been read.

    Attributes
    ----------
    versions : object
        What it says of the versions that made it.
    outline : Packed
        Its content, with arrays that have no memory, and `objects` that are names only.
    sha256 : object
    header : bytes
    file : file
        Behind the header.
    """

    versions: Any
    outline: Packed
    sha256: Any
    header: bytes
    file: BinaryIO

    def read(self) -> Packed:
        """Return the content with its arrays; raise a ValueError if it is damaged."""
        claimed = self.outline.arrays
        n_bytes = len(self.header) + sum(array.nbytes for array in claimed.values())
        if n_bytes != os.fstat(self.file.fileno()).st_size:  # for which there is memory, not more
            raise ValueError("its length is not that which its header says: it is damaged.")
        arrays = _safetensors().numpy.load(self.header + self.file.read())
        if any(
            (array.dtype, array.shape) != (claimed[name].dtype, claimed[name].shape)
            for name, array in arrays.items()
        ):
            raise ValueError("its header may be read in two ways.")
        packed = self.outline._replace(arrays={
            name: np.require(array, requirements="W") for name, array in arrays.items()
        })
        if digest(packed, self.versions) != self.sha256:
            raise ValueError(
                "its content does not match its digest: it is damaged. Take another copy of it."
            )
        return packed


@contextmanager
def opened(path: PathLike) -> Iterator[ModelFile]:
    """Open a file and read its header.

    Within this context ValueError and what else unfit content leads to is an `InvalidModelFile`.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    InvalidModelFile
        If the file is no model, or damaged.
    OSError
        If it cannot be opened.
    """
    # a reader would wait at a pipe until somebody writes
    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    error_of_library = _safetensors().SafetensorError
    with open(os.fspath(path), "rb", opener=without_waiting) as file:
        try:
            yield _with_header(file)
        except InvalidModelFile:
            raise
        except (OverflowError, RuntimeError, TypeError, ValueError, error_of_library) as error:
            raise InvalidModelFile(
                f"{os.fspath(path)!r} holds no model that can be loaded: {error}"
            ) from error


def _with_header(file: BinaryIO) -> ModelFile:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file.")
    if status.st_size > LIMITS.file_bytes:
        raise ValueError(f"it has more than {LIMITS.file_bytes} bytes.")
    first = file.read(8)
    n_header = int.from_bytes(first, "little")
    if len(first) < 8:
        raise ValueError("it is too short.")
    if n_header > LIMITS.header_bytes and first.startswith(PICKLES):
        raise ValueError(
            "it looks like a pickle. Read it with joblib or pickle, and only if you trust where it "
            "comes from: a pickle runs code of its own."
        )
    if n_header > LIMITS.header_bytes:
        raise ValueError(
            f"it begins with no header, or one of more than {LIMITS.header_bytes} bytes."
        )
    text = file.read(n_header)
    header = read_json(text.decode())
    if not isinstance(header, dict):
        raise ValueError("its header is no table of arrays.")
    (content,) = _values(header.pop("__metadata__", None), KEY)
    versions, description, objects, sha256 = _values(
        read_json(content), "versions", "description", "objects", "sha256"
    )
    if not isinstance(objects, list) or not all(type(name) is str for name in objects):
        raise ValueError("the objects that it needs have no names.")
    arrays = {name: _without_memory(entry) for name, entry in header.items()}
    outline = Packed(description, arrays, dict.fromkeys(objects))
    return ModelFile(versions, outline, sha256, first + text, file)


def _without_memory(entry: Any) -> NDArray[Any]:
    """Return an array of the dtype and shape of an entry of the header, which takes no memory."""
    code, shape, _ = _values(entry, "dtype", "shape", "data_offsets")
    dtypes = [name for name in DTYPES if DTYPES[name] == code]
    if not dtypes:
        raise ValueError(f"an array is of {code!r}, which is not known.")
    if not isinstance(shape, list) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"an array has the shape {shape!r}.")
    if math.prod(shape) > LIMITS.file_bytes:
        raise ValueError(f"an array of shape {shape} would not fit into it.")
    return np.broadcast_to(np.zeros((), dtypes[0]), shape)


def _values(found: Any, *keys: str) -> list[Any]:
    """Return the values of a dict that must have these keys and no others."""
    if not isinstance(found, dict) or set(found) != set(keys):
        raise ValueError(f"it has not {' and '.join(keys)} where a file of skgmvae has them.")
    return [found[key] for key in keys]


def _replace(path: str, data: bytes, keeps_previous: bool) -> None:
    """Put a file of this content in the place of another, in one step and for good."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise FileExistsError(errno.EEXIST, "There is something that is no file", path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):  # the error of a temporary file would name that one
        raise FileNotFoundError(errno.ENOENT, "There is no such folder, make it first", folder)
    temporary = os.path.join(folder, f"{_beginning(path)}{secrets.token_hex(8)}.tmp")
    file = open(temporary, "xb")  # noqa: SIM115 (if it fails, there is nothing to remove)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(path, temporary)
        if keeps_previous:  # where there are links: at no time is there no file
            with suppress(OSError):
                os.unlink(previous_of(path))
            with suppress(OSError):
                os.link(path, previous_of(path))
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if os.name == "posix":  # where a folder can be opened: its entry must be on the disk too
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_unfinished(path: PathLike) -> None:
    """Remove what processes left that were killed while they wrote this file."""
    whole = os.path.realpath(path)
    # in full: that of "run" is not that of "run.2"
    temporary = re.compile(re.escape(_beginning(whole)) + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError):
        for entry in os.scandir(os.path.dirname(whole)):
            if temporary.fullmatch(entry.name):
                os.unlink(entry.path)


def _beginning(path: str) -> str:
    """Return how names of files begin that are to take the place of this one."""
    return f".{os.path.basename(path)[:100]}."


def check_installed() -> None:
    """Raise an ImportError that names the remedy if safetensors is not installed."""
    _safetensors()


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "Files of models need the package safetensors: pip install 'skgmvae[files]'."
        ) from error
    return safetensors
