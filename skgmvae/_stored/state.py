"""What a fit leaves on the estimator as one state of plain data, and back again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from .._fit import FitState, Recorded
from .._model import GMVAE, LatentMixture
from .._rows import Columns, Units
from ..fitted import Fitted, load_arrays, to_arrays
from ..likelihoods import to_plain
from ..runtime import CPU, generator, ordinary_torch
from .checks import ATTRIBUTES, NOT_STORED, architecture_of, check_structure, check_values

__all__ = ["from_state", "plain", "to_state"]


def to_state(attributes: dict[str, Any]) -> dict[str, Any]:
    """Take what a fit has left out of an estimator's attributes; return it as plain data."""
    fitted: Fitted = attributes.pop("_fitted")
    columns: Columns | None = attributes.pop("_columns")
    records: Sequence[Recorded] = attributes.pop("_records")
    public = {name: attributes.pop(name) for name in ATTRIBUTES if name in attributes}
    if "feature_names_in_" in public:
        public["feature_names_in_"] = list(public["feature_names_in_"])
    if columns is not None and "cluster_centers_" in public:
        public["cluster_centers_"] = columns.encoded(public["cluster_centers_"])
    likelihood = to_plain(fitted.likelihood)
    latent = fitted.latent_mixture
    fit_state = attributes.pop("_state")._asdict()
    state = {
        "architecture": plain(fitted.architecture._asdict()) | {"likelihood": likelihood},
        "units": fitted.units._asdict(),
        "weights": to_arrays(fitted.module),
        "latent_mixture": None if latent is None else {
            name: part.numpy().copy() for name, part in latent._asdict().items()
        },
        "columns": columns and columns._asdict(),
        "fit": plain({
            name: value for name, value in fit_state.items() if name not in NOT_STORED
        }),
        "history": {
            name: np.array([record.get(name, np.nan) for record in records], np.float64)
            for name in dict.fromkeys(name for record in records for name in record)
        },
        "warnings": attributes.pop("_warnings"),
        "attributes": public,
    }
    check_structure(state, fitted.module)
    check_values(state)
    return state


@ordinary_torch()
def from_state(state: dict[str, Any], skeleton: GMVAE) -> dict[str, Any]:
    """Return the attributes of an estimator, with the model on the CPU.

    Parameters
    ----------
    state : dict
    skeleton : GMVAE
        That `check_structure` has made of this state.

    Raises
    ------
    ValueError
        If arrays have values that a fitted model cannot have.
    """
    check_values(state)
    architecture = architecture_of(state)
    module = architecture.drawn(skeleton, generator(CPU, 0))
    load_arrays(module, state["weights"])
    columns = state["columns"] and Columns(**state["columns"])
    public = dict(state["attributes"])
    if "feature_names_in_" in public:
        public["feature_names_in_"] = np.array(public["feature_names_in_"], object)
    if columns is not None and "cluster_centers_" in public:
        public["cluster_centers_"] = columns.decoded(public["cluster_centers_"])
    latent = state["latent_mixture"] and LatentMixture(**{
        name: torch.tensor(value, device=CPU) for name, value in state["latent_mixture"].items()
    })
    records = [
        {name: value for name, value in zip(state["history"], of_epoch, strict=True)
         if not math.isnan(value)}
        for of_epoch in np.array(list(state["history"].values())).T.tolist()
    ]
    return {
        **public, "_columns": columns, "_state": FitState(**state["fit"]), "_records": records,
        "_warnings": state["warnings"],
        "_fitted": Fitted(architecture, module, Units(**state["units"]), latent),
    }


def plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Return numpy's numbers, which parameters may be, as Python's."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in fields.items()
    }
