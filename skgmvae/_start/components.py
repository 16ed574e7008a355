"""Principal components of many features, on the device of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..runtime import CPU, generator, has_float64

__all__ = ["COMPONENTS", "ComponentSolver", "Components", "principal_components"]


class ComponentSolver(NamedTuple):
    """How principal components are found.

    Attributes
    ----------
    max_exact_features : int
        Features up to which they are the eigenvectors of the covariance matrix, in a time that
        grows with their cube; of more, by iteration in a subspace (Halko, Martinsson & Tropp 2011).
        Not tuned.
    n_spare, n_iter : int
        Dimensions of the subspace beyond the components, and iterations: scikit-learn's.
    """

    max_exact_features: int = 2000
    n_spare: int = 10
    n_iter: int = 7


COMPONENTS = ComponentSolver()


class Components(NamedTuple):
    """The directions of largest variance, from the mean.

    Attributes
    ----------
    mean : Tensor of shape (n_features,)
    directions : Tensor of shape (n_features, n_components)
        Orthonormal, that of the largest variance first.
    """

    mean: Tensor
    directions: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Return the components of values (n_rows, n_features), (n_rows, n_components)."""
        return (values - self.mean) @ self.directions


def principal_components(
    blocks: Callable[[], Iterable[Tensor]],
    n_components: int,
    seed: int,
    *,
    solver: ComponentSolver = COMPONENTS,
) -> Components:
    """Return the principal components of rows that come in blocks.

    Parameters
    ----------
    blocks : callable
        Returns the rows, each time anew, in tensors (B, n_features).
    n_components : int
        At most `n_features`.
    seed : int
        Draws the subspace of the iterations.
    solver : ComponentSolver, default=COMPONENTS
    """
    n_rows = sum(map(len, blocks()))
    mean = torch.stack([block.sum(0) / n_rows for block in blocks()]).sum(0)  # (n_features,)
    n_features = len(mean)

    def scatter(directions: Tensor | None) -> Tensor:
        """Return the covariance matrix times directions, but for a factor."""
        total = torch.zeros_like(mean[0])
        for block in blocks():
            centered = block - mean
            total = total + centered.T @ (centered if directions is None else centered @ directions)
        return total

    if n_features <= solver.max_exact_features:
        return Components(mean, _eigenvectors(scatter(None), n_components))
    source = generator(CPU, seed)
    n_dimensions = min(n_components + solver.n_spare, n_features)
    basis = torch.randn(
        n_features, n_dimensions, generator=source, device=CPU, dtype=torch.float32
    ).to(mean)
    for _ in range(solver.n_iter):
        basis, _ = torch.linalg.qr(scatter(basis))
    return Components(mean, basis @ _eigenvectors(basis.T @ scatter(basis), n_components))


def _eigenvectors(matrix: Tensor, n_components: int) -> Tensor:
    """Return the eigenvectors of a symmetric matrix with the largest eigenvalues.

    In single precision LAPACK may return NaN: of pixels of MNIST in one order of the rows.
    """
    exact = matrix if has_float64(matrix.device) else matrix.to(CPU)
    _, vectors = torch.linalg.eigh(exact.double())
    return vectors[:, -n_components:].flip(1).to(matrix)
