"""A fitted model as plain arrays: weights out of a module and back, and the pickled state."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from .architecture import Architecture
from .model import GMVAE
from .runtime import available_device

__all__ = ["StateMixin", "load_arrays", "restore", "to_arrays"]


def to_arrays(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the module's parameters and buffers as numpy arrays."""
    return {name: value.cpu().numpy().copy() for name, value in module.state_dict().items()}


def load_arrays(module: nn.Module, arrays: dict[str, NDArray[Any]]) -> None:
    """Copy arrays, which may be read-only or mapped from disk, into the module."""
    module.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})


def restore(
    architecture: Architecture, device: torch.device, arrays: dict[str, NDArray[Any]]
) -> GMVAE:
    """Return a module with these weights, in evaluation mode."""
    module = architecture.build(device, 0)
    load_arrays(module, arrays)
    return module.eval()


class StateMixin:
    """Holds the weights as numpy arrays when pickled, and makes the module anew when loaded.

    One representation serves pickle, joblib with memory mapping, skops, and moving from a GPU
    to a machine without one.
    """

    module_: GMVAE
    device_: str
    _architecture: Architecture

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_optimizer", None)
        if "module_" in state:
            state["module_"] = to_arrays(self.module_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[misc]
        if "module_" in state:
            device = available_device(state["device_"])
            self.device_ = str(device)
            self.module_ = restore(self._architecture, device, state["module_"])
