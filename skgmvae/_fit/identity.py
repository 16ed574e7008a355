"""What a fit comes to depends on, in words that are the same in another process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Set
from functools import partial
from numbers import Integral, Real
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

from .. import __version__
from .._rows import BLOCK_ROWS, Copies, LazyRows, dense, slices
from ..callbacks import EarlyStopping
from ..distributed import Group, digest_of_rows
from ..fitted import to_arrays
from ..parameters import OF_RESUMING
from .state import Previous

__all__ = ["difference", "identity_of", "in_words"]


def identity_of(
    estimator: Any,
    copies: Copies,
    previous: Previous | None,
    early_stopping: EarlyStopping | None,
    group: Group,
) -> dict[str, str]:
    """Return what a fit depends on, but for its seed: by name, in words."""
    digest, n_rows = _digest(copies.rows, copies.weights), len(copies.inverse)
    if not group.has_one_source:
        digest, n_rows = ", ".join(group.gathered(digest)), group.sum(n_rows)
    rule = None
    if early_stopping is not None:
        rows = ", ".join(group.gathered(_digest(early_stopping.X_val)))
        rule = (
            f"validation_fraction={in_words(early_stopping.validation_fraction)}, "
            f"patience={early_stopping.patience}, X_val of digest {rows}"
        )
    model = None if previous is None else "of digest " + _digest(*(
        array.reshape(-1, 1) for array in to_arrays(previous.fitted.module).values()
    ))
    return {
        name: in_words(value) for name, value in estimator.get_params(deep=False).items()
        if name not in OF_RESUMING
    } | {
        "X, with sample_weight,": f"{n_rows} rows of {copies.rows.shape[1]} features ({digest})",
        "early stopping": str(rule), "the model that is trained on": str(model),
        "the version of skgmvae": __version__,
    }


def in_words(value: Any, within: tuple[int, ...] = ()) -> str:
    """Return a parameter as text.

    Functions are told apart by their code, defaults and closures, other objects by their
    attributes; what functions call is not looked at.

    Examples
    --------
    >>> in_words(np.float64(2.0)), in_words([2, 3]), in_words("auto")
    ('2', '(2, 3)', "'auto'")
    """
    if id(value) in within:
        return "..."
    within = (*within, id(value))
    if isinstance(value, str | bytes | bool | None):
        return repr(str(value) if isinstance(value, str) else value)
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, Real):
        number = float(value)
        return repr(int(number) if number.is_integer() else number)
    if isinstance(value, os.PathLike):
        return in_words(os.fspath(value))
    is_array = isinstance(value, np.ndarray | torch.Tensor)
    if is_array or hasattr(value, "iloc") or hasattr(value, "to_list"):  # of pandas, polars
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        return in_words(np.asarray(array).tolist(), within)
    if isinstance(value, list | tuple | Set):
        parts = [in_words(each, within) for each in value]
        return f"({', '.join(sorted(parts) if isinstance(value, Set) else parts)})"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {in_words(each, within)}' for key, each in value.items())}}}"
    kind = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    inside: Any = None
    if isinstance(value, partial):
        inside = value.func, value.args, value.keywords
    elif isinstance(value, MethodType):
        inside = value.__func__, value.__self__
    elif isinstance(value, FunctionType):
        closure = [cell.cell_contents for cell in value.__closure__ or ()]
        inside = _of_code(value.__code__), value.__defaults__, value.__kwdefaults__, closure
    elif not isinstance(value, type):
        inside = value.__getstate__()  # attributes, those in slots too
    if inside is None:
        return name
    text = in_words(inside, within)
    return f"{name} ({hashlib.blake2b(text.encode(), digest_size=6).hexdigest()})"


def difference(before: str, now: str, length: int = 100) -> str:
    """Say how a text has changed, from where it did if it is long."""
    if max(len(before), len(now)) > length:
        pairs = enumerate(zip(before, now, strict=False))
        shorter = min(len(before), len(now))
        first = max(0, next((n for n, (a, b) in pairs if a != b), shorter) - length // 4)
        dots = "..." if first else ""
        before, now = (dots + text[first : first + length] for text in (before, now))
    return f"was {before} and is {now}"


def _of_code(code: CodeType) -> str:
    constants = [
        _of_code(constant) if isinstance(constant, CodeType)
        # whose order is another in each process
        else repr(sorted(constant, key=repr) if isinstance(constant, frozenset) else constant)
        for constant in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {constants}"


def _digest(*parts: Any) -> str:
    """Return a digest of arrays and matrices, which may be None; of rows in a file, of some."""
    found = hashlib.blake2b(digest_size=6)
    for part in parts:
        if isinstance(part, LazyRows):
            found.update(digest_of_rows(part))
        elif part is not None:
            for block in slices(part.shape[0], BLOCK_ROWS):
                found.update(digest_of_rows(dense(part[block])))
        found.update(str(None if part is None else (part.shape, part.dtype)).encode())
    return found.hexdigest()
