"""The families of p(y|x): what one is called, its units, its head, its density and its draws.

To add one, write a subclass of `Likelihood` and name it in `LIKELIHOODS`: nothing else in the
package knows which there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent

from ._model import normal, parameter_head
from ._rows import Units, blocks

__all__ = ["LIKELIHOODS", "BernoulliLikelihood", "GaussianLikelihood", "Likelihood"]


class Likelihood(ABC):
    """A family of p(y|x).

    Attributes
    ----------
    n_parameters : int
        Parameters that it has for each value of a row.
    """

    n_parameters: int

    @abstractmethod
    def units(
        self, X: NDArray[Any], image_shape: tuple[int, ...] | None, scale: str | None = "auto"
    ) -> Units:
        """Read the units that the model sees off the training data (n_samples, n_features).

        `scale` is the parameter of the estimator, for those whose features have no fixed range.
        """

    @abstractmethod
    def check(self, X: NDArray[Any], units: Units) -> None:
        """Raise a ValueError where rows of X can have no density."""

    @abstractmethod
    def log_density_in_data(self, log_density: Any, units: Units, observed: Any = None) -> Any:
        """Turn log-densities in the model's units into such in the units of X.

        `observed` (..., n_features) are the values that are there, or the share of them; None is
        all.
        """

    @abstractmethod
    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Turn parameters (B, n_parameters, *data_shape) into p(y|x) over (B, *data_shape).

        Values are independent, so that missing ones can be left out.
        """

    @abstractmethod
    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Draw a row from each distribution, (B, *data_shape).

        The randomness is drawn where `source` is, so that it is the same on every device.
        """

    def head(self, n_features: int, data_shape: tuple[int, ...]) -> nn.Module:
        """Return a map from features (B, n_features) to parameters."""
        return parameter_head(n_features, self.n_parameters, *data_shape)


@dataclass(frozen=True)
class GaussianLikelihood(Likelihood):
    """Real values, each with a mean and a variance of its own.

    Examples
    --------
    >>> GaussianLikelihood().distribution(torch.zeros(5, 2, 4)).log_prob(torch.zeros(5, 4)).shape
    torch.Size([5])
    """

    n_parameters = 2  # the mean and the log-variance

    def units(
        self, X: NDArray[Any], image_shape: tuple[int, ...] | None, scale: str | None = "auto"
    ) -> Units:
        """See `Units.standardizing`."""
        return Units.standardizing(X, image_shape, scale)

    def check(self, X: NDArray[Any], units: Units) -> None:
        """Take all finite values."""

    def log_density_in_data(self, log_density: Any, units: Units, observed: Any = None) -> Any:
        """Divide the density by the volume of a unit, of the values that are there."""
        log_scale = np.log(units.scale)
        if observed is None:
            return log_density - float(log_scale.sum())
        return log_density - (observed @ log_scale).astype(np.asarray(log_density).dtype)

    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Return a diagonal normal distribution."""
        return Independent(
            normal(*parameters.unbind(1)), parameters.dim() - 2, validate_args=False
        )

    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Add noise to the mean."""
        mean = p_y.mean
        noise = torch.randn(
            mean.shape, generator=source, device=source.device, dtype=torch.float32
        )
        return mean + p_y.stddev * noise.to(mean.device, mean.dtype)


@dataclass(frozen=True)
class BernoulliLikelihood(Likelihood):
    """Values in [0, 1], or bytes, taken as the probability of a 1.

    Examples
    --------
    >>> BernoulliLikelihood().distribution(torch.zeros(5, 1, 4)).mean.unique()
    tensor([0.5000])
    """

    n_parameters = 1  # the logit

    def units(
        self, X: NDArray[Any], image_shape: tuple[int, ...] | None, scale: str | None = "auto"
    ) -> Units:
        """Take values in [0, 1] as they are, and bytes above 1 as fractions of 255."""
        is_bytes = X.dtype == np.uint8 and any(block.max(initial=0) > 1 for block in blocks(X))
        return Units.fractions(X, 255.0 if is_bytes else 1.0, image_shape)

    def check(self, X: NDArray[Any], units: Units) -> None:
        """Raise a ValueError where values are not probabilities in these units."""
        low = np.fmin.reduce([np.fmin.reduce(block, axis=None) for block in blocks(X)])
        high = np.fmax.reduce([np.fmax.reduce(block, axis=None) for block in blocks(X)])
        top = units.scale[0]
        rounding = 1e-6 * top  # as MinMaxScaler leaves it
        if low < -rounding or high > top + rounding:
            remedy = (
                "The model was fitted to values from 0 to 1: pass X / 255."
                if X.dtype == np.uint8 else
                "Scale X, for instance with MinMaxScaler, pass images as uint8, or use "
                "likelihood='gaussian'."
            )
            raise ValueError(
                f"likelihood='bernoulli' needs values between 0 and {top:g}, but X has values "
                f"between {low:g} and {high:g}. {remedy}"
            )

    def log_density_in_data(self, log_density: Any, units: Units, observed: Any = None) -> Any:
        """Leave it: it is a log-probability, which has no unit."""
        return log_density

    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Return independent Bernoulli distributions."""
        bernoulli = Bernoulli(logits=parameters.squeeze(1), validate_args=False)
        return Independent(bernoulli, parameters.dim() - 2, validate_args=False)

    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Draw zeros and ones."""
        mean = p_y.mean
        return torch.bernoulli(mean.to(source.device), generator=source).to(mean.device)


#: The families, by the name that the parameter `likelihood` gives.
LIKELIHOODS: dict[str, Likelihood] = {
    "gaussian": GaussianLikelihood(), "bernoulli": BernoulliLikelihood(),
}
