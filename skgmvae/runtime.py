"""Device and seeding: the only room that names a device or makes a random generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "available_device", "draw_seed", "generator", "random_initialisation", "select_device",
    "supports_float64",
]


def select_device(name: str) -> torch.device:
    """Turn the `device` parameter into a device that is there.

    Parameters
    ----------
    name : str
        ``"auto"`` (a CUDA device if there is one, else the CPU) or what `torch.device` reads.

    Raises
    ------
    ValueError
        If the name is unknown or there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={name!r} cannot be used: {str(error).splitlines()[0]} "
            "Pass device='auto' or device='cpu'."
        ) from error
    return device


def available_device(name: str) -> torch.device:
    """Return the device of that name if this machine has it, else the CPU."""
    try:
        return select_device(name)
    except ValueError:
        return torch.device("cpu")


def supports_float64(device: torch.device) -> bool:
    """Whether `device` computes in double precision (Apple's does not)."""
    return device.type != "mps"


def generator(device: torch.device, *key: int) -> torch.Generator:
    """Return a generator on `device` seeded from `key`, as (seed, restart, epoch, step)."""
    # the length in front: SeedSequence pads with zeros, so (5,) and (5, 0) would be one key
    state = np.random.SeedSequence((len(key), *key)).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) & (2**63 - 1))


def draw_seed(random_state: Any) -> int:
    """Turn the `random_state` parameter into a seed.

    ``None`` asks the operating system, where scikit-learn would advance numpy's global state.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0]) >> 1
    return int(check_random_state(random_state).randint(2**31 - 1))


class random_initialisation(TorchDispatchMode):
    """Within this context every random draw of torch, in this thread, uses one generator.

    The constructors of `torch.nn` draw from torch's global state and cannot be told
    otherwise; this gives them, and a user's own modules, a generator of their own.
    """

    def __init__(self, source: torch.Generator) -> None:
        super().__init__()
        self.source = source

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        overload = func._overloadname
        # "default" -> "generator", "low" -> "low_generator", "low_dtype" -> "low_generator_dtype"
        name = "generator" if overload == "default" else overload.replace("low", "low_generator")
        if any(argument.name == "generator" for argument in func._schema.arguments):
            kwargs["generator"] = kwargs.get("generator") or self.source
        elif name != overload and name in func.overloadpacket.overloads():
            func = getattr(func.overloadpacket, name)
            kwargs["generator"] = self.source
        return func(*args, **kwargs)
