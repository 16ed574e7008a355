"""A training step as one CUDA graph, where there can be one.

A step of a small model launches some hundred kernels that are each done before the next is
launched. A graph launches all at once. Wrapped around a step, of which it changes nothing: a step
is a pure function of its batch, without draws and without a look at a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from .step import Step

__all__ = ["CapturedStep", "captured"]

N_WARM_UPS = 3  # in which libraries choose their algorithms; as many as torch's documentation takes

_CAPTURE = Lock()  # torch has one capture at a time in a process


def captured(
    step: Step, first_batch: Callable[[], Any], debug: Callable[[str], None]
) -> Callable[[Any, float], Tensor]:
    """Return a step as a graph where that is possible, else as it is.

    A step of several processes is as it is: their batches differ in size.

    Parameters
    ----------
    step : Step
    first_batch : callable
        Returns a batch of the shapes that all have.
    debug : callable
        Is told why a step on a GPU does not become a graph: a network of the user's that waits for
        the device, for instance.
    """
    if step.optimizer.learning_rate.device.type != "cuda" or not step.group.is_alone:
        return step
    try:
        return CapturedStep(step, first_batch())
    except RuntimeError as error:
        reason, *_ = str(error).split("\n")  # a page of advice follows
        debug(f"Steps are not taken as a CUDA graph: {reason}")
        return step


class CapturedStep:
    """A step, recorded once and then replayed on batches of the same shapes.

    Recording leaves the weights and the state of the optimizer as they are.

    Parameters
    ----------
    step : Step
    batch : nested tuples of tensors
    """

    def __init__(self, step: Step, batch: Any) -> None:
        self._step = step  # a graph knows addresses only: the state of the optimizer must live
        self._learning_rate = step.optimizer.learning_rate
        self._batch = _mapped(torch.clone, batch)
        self._graph = torch.cuda.CUDAGraph()
        device = self._learning_rate.device
        stream, caller = torch.cuda.Stream(device), torch.cuda.current_stream(device)
        stream.wait_stream(caller)
        try:
            with _CAPTURE, torch.cuda.stream(stream), _undone(step.changed_tensors()):
                for _ in range(N_WARM_UPS):
                    step.take(self._batch)
                with torch.cuda.graph(
                    self._graph, stream=stream, capture_error_mode="thread_local"
                ):
                    self._record = step.take(self._batch)
        finally:
            step.optimizer.zero_grad()
            caller.wait_stream(stream)

    def __call__(self, batch: Any, learning_rate: float) -> Tensor:
        """Take a step and return what the objective recorded."""
        self._learning_rate.fill_(learning_rate)
        _mapped(Tensor.copy_, self._batch, batch)
        self._graph.replay()
        return self._record.clone()


@contextmanager
def _undone(tensors: Iterable[Tensor]) -> Iterator[None]:
    """Give tensors the values back that they had before this context."""
    tensors = list(tensors)
    values = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)


def _mapped(function: Callable[..., Any], *batches: Any) -> Any:
    """Apply a function to the tensors at each place of nested tuples; leave all else."""
    first, *_ = batches
    if isinstance(first, Tensor):
        return function(*batches)
    if not isinstance(first, tuple):
        return first
    parts = [_mapped(function, *each) for each in zip(*batches, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
