"""The versions that a state was made by, and which of them can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.exceptions import InconsistentVersionWarning

from . import __version__
from .runtime import warn

__all__ = ["LAYOUT", "check_layout", "installed", "warn_of_other_version"]

#: Of the state, and of pickles and files that hold it; raised when older versions could not read it
LAYOUT = 2


def installed() -> dict[str, Any]:
    """Return the versions of what makes a state."""
    return {
        "layout": LAYOUT, "skgmvae": __version__, "scikit-learn": sklearn.__version__,
        "numpy": np.__version__, "torch": str(torch.__version__),  # is of a class of torch's
    }


def check_layout(found: Any) -> None:
    """Raise a ValueError unless this version reads a state that such versions have made."""
    found = found if isinstance(found, dict) else {}
    layout, version = found.get("layout"), found.get("skgmvae")
    made_by = f"It was made by skgmvae {version or 'of an unknown version'}"
    if type(layout) is not int or type(version) is not str or layout < LAYOUT:
        raise ValueError(
            f"{made_by}, in a layout that skgmvae {__version__} cannot read. Load it with that "
            "version, or fit it again."
        )
    if layout > LAYOUT:
        raise ValueError(
            f"{made_by}, in a newer layout than skgmvae {__version__} can read. Upgrade skgmvae."
        )


def warn_of_other_version(found: dict[str, Any], name: str) -> None:
    """Warn, as scikit-learn does, if a state was made by another version than this."""
    if found["skgmvae"] != __version__:
        warn(InconsistentVersionWarning(
            estimator_name=name, current_sklearn_version=__version__,
            original_sklearn_version=found["skgmvae"],
        ))
