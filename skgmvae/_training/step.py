"""A training step: loss, gradient, Adam."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from ..distributed import ALONE, Group

__all__ = ["Adam", "Step"]


class Adam:
    """Adam with the paper's betas and epsilon, fused: one kernel for all parameters.

    The same as ``torch.optim.Adam``, the first object of which imports torch's compiler, which
    takes longer than many a fit. What changes is in tensors, so that a CUDA graph may change it.

    Parameters
    ----------
    module : Module
        Whose parameters it moves.

    Attributes
    ----------
    parameters : list of Parameter
    learning_rate : Tensor
        0-d, to be filled before a step.
    means, squares, n_steps : list of Tensor
        Of the gradients, and how many there were, for each parameter.
    """

    def __init__(self, module: nn.Module) -> None:
        self.parameters = list(module.parameters())
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.n_steps = [
            torch.zeros((), dtype=torch.float32, device=parameter.device)
            for parameter in self.parameters
        ]
        self.learning_rate = torch.zeros_like(self.n_steps[0])

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def moments(self) -> dict[str, Tensor]:
        """Return all that the optimizer remembers, by name: the tensors themselves."""
        parts = {"means": self.means, "squares": self.squares, "n_steps": self.n_steps}
        return {
            f"{part}.{number}": tensor
            for part, tensors in parts.items() for number, tensor in enumerate(tensors)
        }

    @torch.no_grad()
    def load(self, moments: dict[str, Tensor]) -> None:
        """Remember what another optimizer of such parameters did."""
        own = self.moments()
        for name in own.keys() | moments.keys():
            own[name].copy_(moments[name])

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters that have a gradient."""
        state = zip(self.parameters, self.means, self.squares, self.n_steps, strict=True)
        moved = [
            (parameter, parameter.grad, *rest)
            for parameter, *rest in state if parameter.grad is not None
        ]
        parameters, gradients, means, squares, n_steps = map(list, zip(*moved, strict=True))
        adam(
            parameters, gradients, means, squares, [], n_steps, fused=True, amsgrad=False,
            beta1=0.9, beta2=0.999, lr=self.learning_rate, weight_decay=0.0, eps=1e-8,
            maximize=False,
        )


class Step:
    """A step of an optimizer on the loss of a batch.

    Parameters
    ----------
    objective : Module
        ``objective(batch)`` returns the loss and a tensor of what to record.
    optimizer : Adam
        Which moves the parameters of the objective.
    group : Group, default=ALONE
        Processes over which gradients are summed.
    """

    def __init__(self, objective: nn.Module, optimizer: Adam, group: Group = ALONE) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.group = group

    def __call__(self, batch: Any, learning_rate: float) -> Tensor:
        """Take a step and return what the objective recorded."""
        self.optimizer.learning_rate.fill_(learning_rate)
        return self.take(batch)

    @torch.enable_grad()
    def take(self, batch: Any) -> Tensor:
        """Take a step at the learning rate that the optimizer has."""
        self.optimizer.zero_grad()
        loss, record = self.objective(batch)
        loss.backward()
        self.group.sum_gradients(self.objective)
        self.optimizer.step()
        return record

    def changed_tensors(self) -> list[Tensor]:
        """Return all that a step changes."""
        objective, optimizer = self.objective, self.optimizer
        return [
            *objective.parameters(), *objective.buffers(),
            *optimizer.means, *optimizer.squares, *optimizer.n_steps,
        ]
