"""The state of an estimator as a file holds it, with its parameters, and back again.

A file holds nothing of this machine or process, and no function: those of the user's are passed to
`load` again, by the name of their parameter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..packing import Packed, pack, unpack
from ..parameters import OF_MACHINE
from .checks import check_array, check_keys, need
from .state import plain

__all__ = ["for_file", "from_file"]

#: What scikit-learn calls the containers that `set_output` has chosen, and what they may be.
OUTPUT, CONTAINERS = "_sklearn_output_config", ("default", "pandas", "polars", None)
#: Functions of the user's in a state, and the argument of `load` that stands for them.
GIVEN = {
    "parameters.networks": "networks", "fit.architecture.networks": "networks",
    "parameters.perturbation": "perturbation",
}


def for_file(state: dict[str, Any]) -> Packed:
    """Pack the state of an estimator for a file: without what is of this process or machine.

    Raises
    ------
    ValueError, TypeError
        If it has parameters that are no plain data, and no functions that `load` may be given.
    """
    output = state["others"].get(OUTPUT)
    packed = pack({
        "parameters": {
            name: _parameter_for_file(name, value)
            for name, value in state["parameters"].items() if name not in OF_MACHINE
        },
        "fit": state["fit"],
        "others": {} if output is None else {OUTPUT: output},
    })
    for name, value in packed.objects.items():
        if name.startswith("fit.columns.categories."):
            raise TypeError(
                f"A category of X is a {type(value).__name__}, {str(value)!r}, which a file cannot "
                "hold. Turn such columns into text before the fit, X[name].astype(str), or pickle "
                "the model."
            )
        if name not in GIVEN:
            raise TypeError(
                f"{name} is a {type(value).__name__}, which a file cannot hold. Use numbers, "
                "strings, or lists of them, or pickle the model."
            )
    first, *others = [
        value for name, value in packed.objects.items() if GIVEN[name] == "networks"
    ] or [None]
    if any(other is not first for other in others):
        raise ValueError(
            f"networks={first!r} is not that which the model was fitted with: set it back, or fit "
            "the model again."
        )
    given = {GIVEN[name]: value for name, value in packed.objects.items()}
    from_file(packed, {"networks": None, "perturbation": None} | given)  # it must be possible
    return packed


def from_file(packed: Packed, given: dict[str, Any]) -> dict[str, Any]:
    """Return the state that `for_file` has packed, with functions of the user's.

    Parameters
    ----------
    packed : Packed
        With names of objects only.
    given : dict of str to callable or None
        By the name of the parameter.

    Raises
    ------
    ValueError, TypeError
        If it is no such state, or needs other functions.
    """
    unknown = set(packed.objects) - set(GIVEN)
    if unknown:
        raise ValueError(f"it needs {min(unknown)!r}, of which this version does not know.")
    needed = {GIVEN[name] for name in packed.objects}
    for parameter, function in given.items():
        if parameter in needed and function is None:
            raise ValueError(
                f"it was fitted with {parameter} of your own, which no file holds: pass "
                f"load(path, {parameter}=...)."
            )
        if parameter not in needed and function is not None:
            raise ValueError(f"it has {parameter} of its own: pass no {parameter}.")
    state = unpack(packed._replace(
        objects={name: given[GIVEN[name]] for name in packed.objects}
    ))
    check_keys(state, ("parameters", "fit", "others"), "The state")
    parameters, others = state["parameters"], state["others"]
    need(isinstance(parameters, dict), "The parameters must have names.")
    need(
        others == {} or others in [{OUTPUT: {"transform": name}} for name in CONTAINERS],
        "There are attributes that no fit leaves.",
    )
    if isinstance(parameters.get("random_state"), dict):
        parameters["random_state"] = _random_state(parameters["random_state"])
    return state


def _parameter_for_file(name: str, value: Any) -> Any:
    """Return a parameter as plain data: numpy's numbers and arrays as Python's."""
    if isinstance(value, np.random.RandomState):
        state = plain(value.get_state(legacy=False))
        if state["bit_generator"] != "MT19937":
            raise TypeError(
                f"{name} has a {state['bit_generator']}, which a file cannot hold. Pass an integer."
            )
        return state
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        kind = tuple if isinstance(value, tuple) else list
        return kind(_parameter_for_file(name, item) for item in value)
    return value


def _random_state(plain: dict[str, Any]) -> np.random.RandomState:
    check_keys(plain, ("bit_generator", "state", "has_gauss", "gauss"), "The random_state")
    check_keys(plain["state"], ("key", "pos"), "The random_state")
    check_array(plain["state"]["key"], "uint32", (624,), "key")
    position = plain["state"]["pos"]
    need(type(position) is int and 0 <= position <= 624, "The random_state has no position.")
    random_state = np.random.RandomState(0)
    random_state.set_state(plain)
    return random_state
