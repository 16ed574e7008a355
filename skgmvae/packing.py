"""A state as plain data: arrays by name, all else as JSON, and a digest of both.

Pickles and files hold the same (:mod:`skgmvae.files`). JSON says which lists, tuples, dicts,
numbers and strings there are, and where which array goes; nothing in it is looked up by its name in
Python. What is neither, such as a function of the user's, is left beside it, by name.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DTYPES", "Packed", "contiguous", "digest", "pack", "read_json", "unpack"]

#: What arrays may be of, and what the format safetensors calls it.
DTYPES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32",
    "int32": "I32", "uint64": "U64", "int64": "I64", "float16": "F16", "float32": "F32",
    "float64": "F64",
}

#: Lists and objects in JSON beyond which it would take seconds and much memory to read it.
MOST_PARTS = 2**17


class Packed(NamedTuple):
    """A state in parts.

    Attributes
    ----------
    description : str
        JSON, in ASCII. A list is a list; other things are an object with one key, which says what
        they are: "tuple", "dict", "float" (one that JSON has no number for), "array" or "object".
    arrays : dict of str to ndarray
    objects : dict of str to object
        What is neither plain data nor an array.
    """

    description: str
    arrays: dict[str, NDArray[Any]]
    objects: dict[str, Any]


def pack(state: Any) -> Packed:
    """Take apart what consists of dicts, lists, tuples, numbers, strings and arrays.

    Raises
    ------
    ValueError
        If it could not be read again, see `read_json`.

    Examples
    --------
    >>> pack({"a": np.arange(2), "b": (1, None)}).description
    '{"dict": [["a", {"array": "a"}], ["b", {"tuple": [1, null]}]]}'
    """
    arrays: dict[str, NDArray[Any]] = {}
    objects: dict[str, Any] = {}

    def described(value: Any, name: str) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if kind in (list, tuple):
            items = [described(item, f"{name}.{number}") for number, item in enumerate(value)]
            return items if kind is list else {"tuple": items}
        if kind is dict and all(type(key) in (int, str) for key in value):
            return {"dict": [
                [key, described(item, f"{name}.{key}" if name else str(key))]
                for key, item in value.items()
            ]}
        is_array = kind in (np.ndarray, np.memmap) and value.dtype.name in DTYPES
        parts: dict[str, Any] = arrays if is_array else objects
        while name in parts:  # a dict may have the keys 1 and "1"
            name += "'"
        parts[name] = value
        return {"array" if is_array else "object": name}

    description = json.dumps(described(state, ""))
    read_json(description)  # it must be possible
    return Packed(description, arrays, objects)


def unpack(packed: Packed) -> Any:
    """Put a state together again.

    Raises
    ------
    ValueError
        If the description is not one that `pack` makes, or does not fit the arrays and objects.
    """
    left = {"array": set(packed.arrays), "object": set(packed.objects)}

    def restored(node: Any) -> Any:
        if isinstance(node, list):
            return [restored(item) for item in node]
        if not isinstance(node, dict):
            return node
        if len(node) != 1:
            raise ValueError(f"A value is described by {sorted(node)}, not by one word.")
        ((kind, content),) = node.items()
        if kind == "tuple" and isinstance(content, list):
            return tuple(restored(item) for item in content)
        if kind == "dict" and isinstance(content, list):
            return _dict([(key, restored(item)) for key, item in content])
        if kind == "float" and content in ("nan", "inf", "-inf"):
            return float(content)
        if kind in left and isinstance(content, str):
            parts: dict[str, Any] = packed.arrays if kind == "array" else packed.objects
            if content not in parts:
                raise ValueError(f"The {kind} {content!r} is missing.")
            left[kind].discard(content)
            return parts[content]
        raise ValueError(f"A value is described as {kind!r}, which is unknown.")

    try:
        state = restored(read_json(packed.description))
    except (RecursionError, TypeError) as error:
        raise ValueError(f"The description cannot be read: {error}.") from error
    unused = left["array"] | left["object"]
    if unused:
        raise ValueError(f"There is {min(unused)!r}, of which the description does not know.")
    return state


def digest(packed: Packed, versions: dict[str, Any]) -> str:
    """Return the SHA-256 of versions, description, and of names, dtypes, shapes and bytes."""
    arrays = {name: contiguous(packed.arrays[name]) for name in sorted(packed.arrays)}
    table = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    found = hashlib.sha256(json.dumps([versions, packed.description, table]).encode())
    for array in arrays.values():
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def read_json(text: Any) -> Any:
    """Return what JSON says.

    Raises
    ------
    ValueError
        If it is no JSON, an object has a key twice, it nests too deeply, or has more than
        `MOST_PARTS`.
    """
    if not isinstance(text, str):
        raise ValueError(f"There is {type(text).__name__} where JSON should be.")
    if text.count("[") + text.count("{") > MOST_PARTS:
        raise ValueError(f"The JSON has more than {MOST_PARTS} lists and objects.")
    try:
        return json.loads(text, object_pairs_hook=_dict, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("The JSON is nested too deeply.") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON.")


def _dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("A key stands there twice.")
    return found


def contiguous(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array whose bytes are in order, in C's and in that of little-endian machines."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
