"""Whether a state is that of a fitted model: it may come from anywhere.

Nothing is believed of it before `check_structure` has compared every key, dtype and shape with
those that the architecture asks for, and `check_values` found no number that a fitted model cannot
have. The first needs no values: a file is compared before anything is allocated for its arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .._fit import Description, FitState
from .._model import GMVAE, NETWORKS, Architecture, LatentMixture
from .._rows import Columns, Units
from ..likelihoods import MixedLikelihood, from_plain
from ..runtime import CPU, generator, ordinary_torch

__all__ = [
    "ATTRIBUTES", "NOT_STORED", "architecture_of", "check_array", "check_keys", "check_structure",
    "check_values", "need",
]

#: Sizes in an architecture are below it: a tensor of so many values is 8 GiB.
MOST = 2**31
#: Public attributes that a fit leaves.
ATTRIBUTES = (
    *(f"{name}_" for name in Description._fields), "n_features_in_", "feature_names_in_",
)
#: What a fit's state has for `partial_fit` alone, and is not stored.
NOT_STORED = ("optimizer", "reservoir", "forgotten")
STATE = (
    "architecture", "units", "weights", "latent_mixture", "columns", "fit", "history",
    "warnings", "attributes",
)


@ordinary_torch()
def check_structure(state: Any, module: GMVAE | None = None) -> GMVAE:
    """Compare keys, dtypes and shapes, without a look at the values of arrays.

    Parameters
    ----------
    state : object
    module : GMVAE or None, default=None
        Of the architecture; None makes its skeleton, of shapes alone.

    Returns
    -------
    module : GMVAE

    Raises
    ------
    ValueError, TypeError
        Where the state is not one of a fitted model.
    """
    check_keys(state, STATE, "A fit")
    architecture = architecture_of(state)
    shape, n_clusters = architecture.data_shape, architecture.n_clusters
    latent_dim, n_features = architecture.latent_dim, math.prod(shape)

    units = state["units"]
    check_keys(units, Units._fields, "The units")
    for name in Units._fields:
        if name not in ("image_shape", "are_counts"):
            check_array(units[name], "float64", (n_features,), name)
    image = units["image_shape"]
    need(type(units["are_counts"]) is bool, "The units are of counts or not.")
    need(
        image is None or (_are_sizes(image) and len(image) in (2, 3)),
        f"image_shape={image!r} must be (height, width) or (height, width, channels).",
    )
    need(Units(**units).data_shape == shape, f"image_shape={image!r} is not that of rows {shape}.")

    arrays = state["weights"]
    need(isinstance(arrays, dict), "The weights must have names.")
    if module is None:
        n_layers = len(architecture.hidden_layer_sizes)
        need(n_layers <= len(arrays), f"{n_layers} layers have {len(arrays)} arrays of weights.")
        module = architecture.skeleton(generator(CPU, 0))
    expected = module.state_dict()
    try:
        check_keys(arrays, expected, "The weights")
        for name, tensor in expected.items():
            check_array(arrays[name], str(tensor.dtype).removeprefix("torch."), tensor.shape, name)
    except ValueError as error:
        if not callable(architecture.networks):
            raise
        raise ValueError(f"networks are other than those of the fit. {error}") from error

    latent = state["latent_mixture"]
    if latent is not None:
        check_keys(latent, LatentMixture._fields, "The latent distribution")
        dims = (latent_dim,), (latent_dim, latent_dim), shape
        for name, of_component in zip(LatentMixture._fields, dims, strict=True):
            check_array(latent[name], "float64", (n_clusters, *of_component), name)

    n_columns = _check_columns(state["columns"], architecture)
    _check_fit(state["fit"])
    _check_history(state["history"])
    need(
        isinstance(state["warnings"], list)
        and all(type(text) is str for text in state["warnings"]),
        "The warnings must be texts.",
    )
    _check_attributes(state["attributes"], n_clusters, n_features, n_columns)
    return module


def check_values(state: dict[str, Any]) -> None:
    """Raise a ValueError where arrays have values that a fitted model cannot have."""
    n_clusters = state["architecture"]["n_clusters"]
    units, latent, attributes = state["units"], state["latent_mixture"], state["attributes"]
    finite = dict(state["weights"]) | {name: units[name] for name in ("location", "scale")}
    finite |= latent or {}
    finite |= {name: value for name, value in attributes.items() if name == "cluster_centers_"}
    for name, values in finite.items():
        need(bool(np.isfinite(values).all()), f"{name} has values that are not finite.")
    need(bool((units["scale"] > 0).all()), "scale must be positive.")
    need(not np.isinf(units["constants"]).any(), "constants has values that are not finite.")
    for name in ("lowest", "highest", "spread", "observed"):
        need(not np.isnan(units[name]).any(), f"{name} has values that are not numbers.")
    if latent is not None:
        diagonal = latent["factors"].diagonal(axis1=1, axis2=2)
        need(bool((diagonal > 0).all()), "The latent covariances must be positive definite.")
    for name, values in state["weights"].items():
        need(
            not name.endswith("running_var") or values.min() >= 0, f"{name} must not be negative."
        )
    for name, values in state["history"].items():
        need(not np.isinf(values).any(), f"The {name} of epochs has values that are not finite.")
    need(not np.isnan(state["history"].get("loss", 0.0)).any(), "The loss of an epoch is missing.")
    for name, least, most in (
        ("labels_", 0, n_clusters), ("init_labels_", -1, n_clusters),
        ("cluster_counts_", 0, np.inf), ("exemplar_indices_", -1, np.inf),
    ):
        values = attributes.get(name)
        if values is not None and values.size:
            need(
                values.min() >= least and values.max() < most,
                f"{name} has values beyond {least} and {most}.",
            )


def architecture_of(state: dict[str, Any]) -> Architecture:
    plain = state["architecture"]
    check_keys(plain, Architecture._fields, "The architecture")
    for name in ("n_clusters", "latent_dim", "style_dim"):
        need(_is_size(plain[name]), f"{name}={plain[name]!r} must be a positive integer.")
    for name in ("data_shape", "hidden_layer_sizes"):
        need(_are_sizes(plain[name]), f"{name}={plain[name]!r} must be positive integers.")
    networks = plain["networks"]
    need(callable(networks) or networks in NETWORKS, f"networks={networks!r} is not known.")
    need(type(plain["reads_missing"]) is bool, "reads_missing must be True or False.")
    return Architecture(**plain | {"likelihood": from_plain(plain["likelihood"])})


def _check_columns(plain: Any, architecture: Architecture) -> int:
    """Check which columns are categories; return how many columns the table has."""
    likelihood = architecture.likelihood
    groups = likelihood.groups if isinstance(likelihood, MixedLikelihood) else ()
    n_features = math.prod(architecture.data_shape)
    if plain is None:
        need(not groups, "The likelihood is of categories, but no column is one.")
        return n_features
    check_keys(plain, Columns._fields, "The columns")
    n_columns, categories, names = (plain[name] for name in Columns._fields)
    need(
        _is_size(n_columns) and isinstance(categories, dict) and bool(categories)
        and all(
            type(number) is int and 0 <= number < n_columns and isinstance(values, list) and values
            for number, values in categories.items()
        )
        and list(categories) == sorted(categories)
        and all(len(set(values)) == len(values) for values in categories.values())
        and n_columns + sum(len(values) - 1 for values in categories.values()) == n_features,
        "The columns that are categories are not those of a table that the model could see.",
    )
    need(
        names is None or (isinstance(names, list) and len(names) == n_columns),
        "The columns must have a name each.",
    )
    need(
        [tuple(group.tolist()) for group in Columns(**plain).groups] == list(groups),
        "The categories are not those of the likelihood.",
    )
    return n_columns


def _check_fit(plain: Any) -> None:
    stored = [name for name in FitState._fields if name not in NOT_STORED]
    check_keys(plain, stored, "The fit's state")
    for name in ("seed", "n_epochs", "n_steps"):
        need(
            type(plain[name]) is int and plain[name] >= 0,
            f"{name}={plain[name]!r} must be an integer that is not negative.",
        )
    for name in ("keeps_clusters", "interrupted"):
        need(type(plain[name]) is bool, f"{name}={plain[name]!r} must be True or False.")
    n_rows, radius, tol = plain["n_rows"], plain["typical_radius"], plain["tol"]
    need(
        type(n_rows) in (int, float) and 0 <= n_rows < math.inf,
        f"n_rows={n_rows!r} must be a number that is not negative.",
    )
    need(
        radius is None or (type(radius) is float and math.isfinite(radius)),
        f"typical_radius={radius!r} must be a finite number.",
    )
    need(type(tol) in (int, float) and tol >= 0, f"tol={tol!r} must not be negative.")


def _check_history(plain: Any) -> None:
    need(isinstance(plain, dict), "The history must have names.")
    n_epochs = len(plain["loss"]) if "loss" in plain else 0
    need(not plain or n_epochs > 0, "The history has no loss.")
    for name, values in plain.items():
        need(type(name) is str, f"The history has no names such as {name!r}.")
        check_array(values, "float64", (n_epochs,), name)


def _check_attributes(plain: Any, n_clusters: int, n_features: int, n_columns: int) -> None:
    need(
        isinstance(plain, dict) and set(plain) <= set(ATTRIBUTES),
        "There are attributes that no fit leaves.",
    )
    integer = np.dtype(np.intp).name
    for name in ("cluster_counts_", "exemplar_indices_"):
        if name in plain:
            check_array(plain[name], integer, (n_clusters,), name)
    for name in ("labels_", "init_labels_"):
        values = plain.get(name)
        if values is not None:
            check_array(values, integer, np.shape(values)[:1] or (0,), name)
    if "cluster_centers_" in plain:
        check_array(plain["cluster_centers_"], "float64", (n_clusters, n_features), "centers")
    need(
        plain.get("n_features_in_") == n_columns,
        f"n_features_in_ must be {n_columns}, the columns of the table.",
    )
    names = plain.get("feature_names_in_")
    need(
        names is None or (
            isinstance(names, list) and len(names) == n_columns
            and all(isinstance(name, str) for name in names)
        ),
        "feature_names_in_ must be a text for each column.",
    )
    bound = plain.get("lower_bound_", 0.0)
    need(type(bound) is float and not math.isnan(bound), "lower_bound_ must be a number.")
    n_found = plain.get("n_clusters_found_", 0)
    need(
        type(n_found) is int and 0 <= n_found <= n_clusters,
        f"n_clusters_found_={n_found!r} must be between 0 and {n_clusters}.",
    )


def check_keys(found: Any, expected: Iterable[str], subject: str) -> None:
    if not isinstance(found, dict):
        raise TypeError(f"{subject} must be a dict.")
    different = sorted(map(str, set(found) ^ set(expected)))
    if different:
        first = different[0]
        raise ValueError(f"{subject}: {first} is {'unknown' if first in found else 'missing'}.")


def check_array(array: Any, dtype: str, shape: Sequence[int], name: str) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be an array.")
    if array.dtype.name != dtype or array.shape != tuple(shape):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}, where the architecture asks for "
            f"{dtype} of shape {tuple(shape)}."
        )


def _is_size(value: Any) -> bool:
    return type(value) is int and 1 <= value < MOST


def _are_sizes(values: Any) -> bool:
    return type(values) is tuple and bool(values) and all(map(_is_size, values))


def need(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)
