"""The families of p(y|x): what one is called, its units, its head, its density and its draws.

To add one to the package, write a subclass of `Likelihood` here and name it in `LIKELIHOODS`: no
other file lists them. A name that is added after the import is refused by `GMVAEClustering`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent

from ._model import DiagonalNormal, parameter_head
from ._rows import Units, blocks

__all__ = [
    "LIKELIHOODS", "BernoulliLikelihood", "GaussianLikelihood", "Likelihood", "MixedLikelihood",
    "NegativeBinomialLikelihood", "PoissonLikelihood", "StudentTLikelihood", "from_plain",
    "to_plain",
]


#: Of counts of about 3e12 losses were finite; of 3e13 they were not finite at any learning rate.
LARGEST_COUNT = 1e12


class Likelihood(ABC):
    """A family of p(y|x).

    Attributes
    ----------
    n_parameters : int
        Parameters that it has for each value of a row.
    features_have_units : bool
        Whether columns may be in units of their own, which fractions of one whole are not.
    """

    n_parameters: int
    features_have_units: bool = True

    @abstractmethod
    def units(
        self, X: NDArray[Any], image_shape: tuple[int, ...] | None, scale: str | None = "auto"
    ) -> Units:
        """Read the units that the model sees off the training data.

        Parameters
        ----------
        X : {ndarray, sparse matrix} of shape (n_samples, n_features)
        image_shape : tuple of int or None
            (height, width) or (height, width, channels).
        scale : {"auto", "range", "std"} or None, default="auto"
            The parameter of the estimator; used by families of real values only.

        Returns
        -------
        units : Units
            Location and scale of each feature.

        Raises
        ------
        ValueError
            If X has values that the family does not take.
        """

    @abstractmethod
    def check(self, X: NDArray[Any], units: Units) -> None:
        """Raise a ValueError if rows of X, (n_samples, n_features), can have no density."""

    def conversion_warning(self, X: NDArray[Any], units: Units) -> str:
        """Return what a user should know of rows that may be in other units; nothing if not."""
        return ""

    def check_training(self, X: NDArray[Any], units: Units) -> None:
        """Raise a ValueError if rows of X are none to train on: as `check`, unless said."""
        self.check(X, units)

    @abstractmethod
    def log_density_in_data(self, log_density: Any, units: Units, observed: Any = None) -> Any:
        """Turn log-densities in the model's units into such in the units of X.

        Parameters
        ----------
        log_density : ndarray of shape (n_samples,) or float
            In nats.
        units : Units
        observed : ndarray of shape (..., n_features), default=None
            Which values are there, or the share of them; ``None`` is all.

        Returns
        -------
        log_density : ndarray of shape (n_samples,) or float
            In nats, in the units of X.
        """

    @abstractmethod
    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Turn parameters (B, n_parameters, *data_shape) into p(y|x) over (B, *data_shape), Eq. 1d.

        Values are independent given x, so that missing ones can be left out.
        """

    @abstractmethod
    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Draw a row from each distribution, (B, *data_shape), in the model's units.

        Random numbers are drawn on the device of `source`, so that they are the same everywhere.
        """

    def head(self, n_features: int, data_shape: tuple[int, ...]) -> nn.Module:
        """Return a map from features (B, n_features) to parameters."""
        return parameter_head(n_features, self.n_parameters, *data_shape)

    def fitted_to(self, X: NDArray[Any], units: Units) -> Likelihood:
        """Return the same with what it has to know of the training data."""
        return self

    def is_like(self, other: Likelihood) -> bool:
        """Whether the other is the same but for what it knows of its training data."""
        return type(self) is type(other)

    def read(self, y: Tensor) -> Tensor:
        """Turn rows (B, *data_shape) into what encoders and distances read of them."""
        return y

    def reconstruction(self, p_y: Distribution, y: Tensor) -> Tensor:
        """Return the mean of p(y|x) for rows y (B, *data_shape)."""
        return p_y.mean


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
            DiagonalNormal(*parameters.unbind(1)), parameters.dim() - 2, validate_args=False
        )

    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Add noise to the mean."""
        mean = p_y.mean
        noise = torch.randn(
            mean.shape, generator=source, device=source.device, dtype=torch.float32
        )
        return mean + p_y.stddev * noise.to(mean.device, mean.dtype)


@dataclass(frozen=True)
class StudentTLikelihood(GaussianLikelihood):
    """Real values with heavy tails: Student's t distributions.

    Each value has a location and a scale of its own, and each feature its degrees of freedom, which
    are more than one, so that the location is the mean.

    Examples
    --------
    >>> StudentTLikelihood().distribution(torch.zeros(5, 3, 4)).log_prob(torch.zeros(5, 4)).shape
    torch.Size([5])
    """

    n_parameters = 3  # the location, twice the log-scale, and what gives the degrees of freedom

    def head(self, n_features: int, data_shape: tuple[int, ...]) -> nn.Module:
        """Return a map from features to locations and scales, beside degrees of freedom."""
        return _HeadByFeature(n_features, 2, data_shape)

    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Return independent Student's t distributions."""
        location, log_square, tail = parameters.unbind(1)
        values = _StudentT(DiagonalNormal(location, log_square), _degrees_of_freedom(tail))
        return Independent(values, parameters.dim() - 2, validate_args=False)

    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Add noise to the location."""
        values: _StudentT = p_y.base_dist  # type: ignore[attr-defined]
        half = 0.5 * values.df.to(source.device, torch.float32)
        noise = torch.randn(
            half.shape, generator=source, device=source.device, dtype=torch.float32
        )
        noise = noise * (half / torch._standard_gamma(half, source)).sqrt()
        return values.normal.loc + values.normal.scale * noise.to(values.normal.loc)


class _StudentT(Distribution):
    """Student's t distributions, in few operations and without torch's checks of each value.

    Parameters
    ----------
    normal : DiagonalNormal
        Whose mean and standard deviation are the location and the scale.
    df : Tensor of the same shape
        Degrees of freedom, more than 1.
    """

    def __init__(self, normal: DiagonalNormal, df: Tensor) -> None:
        self.normal = normal
        self.df = df
        super().__init__(df.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.normal.loc

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of each value."""
        squares = ((value - self.normal.loc) * self.normal.inverse_scale).square()
        half, half_more = 0.5 * self.df, 0.5 * (self.df + 1.0)
        return (
            torch.lgamma(half_more) - torch.lgamma(half) - 0.5 * (math.pi * self.df).log()
            - self.normal.log_scale - half_more * torch.log1p(squares / self.df)
        )


def _degrees_of_freedom(tail: Tensor) -> Tensor:
    """Map 0 to 11, and all numbers to between 1.07 and 1,485.

    A step of the optimizer moves any number by about the learning rate. By a slope of 1 in the
    logarithm the degrees of freedom would be far from where they belong at the end of a short fit:
    .3 to .5 nats of held-out log-density were lost on 250 rows with heavy tails.
    """
    return 1.0 + 10.0 * (5.0 * torch.tanh(2.0 * tail)).exp()


@dataclass(frozen=True)
class BernoulliLikelihood(Likelihood):
    """Values in [0, 1], or bytes, taken as the probability of a 1.

    Examples
    --------
    >>> BernoulliLikelihood().distribution(torch.zeros(5, 1, 4)).mean.unique()
    tensor([0.5000])
    """

    n_parameters = 1  # the logit
    features_have_units = False

    def units(
        self, X: NDArray[Any], image_shape: tuple[int, ...] | None, scale: str | None = "auto"
    ) -> Units:
        """Take values in [0, 1] as they are, and bytes above 1 as fractions of 255."""
        is_bytes = X.dtype == np.uint8 and any(block.max(initial=0) > 1 for block in blocks(X))
        return Units.fractions(X, 255.0 if is_bytes else 1.0, image_shape)

    def check(self, X: NDArray[Any], units: Units) -> None:
        """Raise a ValueError where values are not probabilities in these units."""
        lows, highs = zip(*(
            (np.fmin.reduce(block, axis=None), np.fmax.reduce(block, axis=None))
            for block in blocks(X)
        ), strict=True)
        low, high = np.fmin.reduce(lows), np.fmax.reduce(highs)
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

    def conversion_warning(self, X: NDArray[Any], units: Units) -> str:
        """See `Likelihood.conversion_warning`: fractions where the model was fitted to bytes."""
        top = units.scale[0]
        if top == 1 or X.dtype.kind != "f":
            return ""
        seems_scaled = all((np.fmax.reduce(block, axis=None) <= 1) for block in blocks(X))
        if not (seems_scaled and any((block % 1 > 0).any() for block in blocks(X))):
            return ""
        return (
            f"X has fractions between 0 and 1, but the model was fitted to bytes, from 0 to "
            f"{top:g}: pass X * {top:g}, unless all rows are as dark."
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


@dataclass(frozen=True)
class PoissonLikelihood(Likelihood):
    """Counts, whose expectations are shares of the total of their row.

    The model sees log(1 + count), the encoder the same after all rows were brought to one total
    (size factors). Densities are given the total of a row. New rows have totals like those of the
    training data, with a log-normal distribution.

    Parameters
    ----------
    scale : float, default=1.0
        By which log(1 + count) is divided.
    log_total, log_total_spread : float, default=0.0
        Median and standard deviation of the logarithm of the totals of the training rows.

    Examples
    --------
    >>> p_y = PoissonLikelihood().distribution(torch.zeros(1, 1, 2))
    >>> p_y.log_prob(torch.tensor([[3.0, 1.0]]).log1p()).exp()  # of means of 2 and 2
    tensor([0.0488])
    """

    scale: float = 1.0
    log_total: float = 0.0
    log_total_spread: float = 0.0

    n_parameters = 1  # the logit of the share

    def units(
        self, X: NDArray[Any], image_shape: tuple[int, ...] | None, scale: str | None = "auto"
    ) -> Units:
        """See `Units.of_counts`; raise a ValueError unless values are 0, 1, 2, ..."""
        self._check_counts(X)
        return Units.of_counts(X, image_shape)

    def check(self, X: NDArray[Any], units: Units) -> None:
        """Raise a ValueError if values are negative or missing; expected ones may be fractions."""
        for block in blocks(X):
            self._check_block(block, block < 0)

    def check_training(self, X: NDArray[Any], units: Units) -> None:
        """Raise a ValueError unless values are 0, 1, 2, ..."""
        self._check_counts(X)

    def _check_counts(self, X: NDArray[Any]) -> None:
        for block in blocks(X):
            self._check_block(block, (block < 0) | (block != np.round(block)))

    def _check_block(self, block: NDArray[Any], is_wrong: NDArray[np.bool_]) -> None:
        if np.isnan(block).any():
            raise ValueError(
                f"X has missing values (NaN), which likelihood={self.name!r} cannot take: the "
                "total of a row would not be known. Leave out the rows or columns that have them, "
                "or use likelihood='gaussian' on logarithms."
            )
        if is_wrong.any():
            raise ValueError(
                f"likelihood={self.name!r} needs counts 0, 1, 2, ..., but X has the value "
                f"{float(block[is_wrong][0])!r}. Pass counts as they were counted (of single "
                "cells, a layer of raw counts), or use likelihood='gaussian'."
            )
        largest = float(block.max(initial=0))
        if largest > LARGEST_COUNT:
            raise ValueError(
                f"likelihood={self.name!r} takes counts up to {LARGEST_COUNT:g}, but X has the "
                f"value {largest:g}. Leave out what is no count, or use likelihood='gaussian' on "
                "logarithms."
            )

    @property
    def name(self) -> str:
        """What the parameter `likelihood` calls it."""
        return "poisson"

    def fitted_to(self, X: NDArray[Any], units: Units) -> Likelihood:
        """Read off the totals of rows."""
        totals = np.concatenate([block.sum(1, dtype=np.float64) for block in blocks(X)])
        logs = np.log(np.maximum(totals, 1))
        return replace(
            self, scale=float(units.scale[0]), log_total=float(np.median(logs)),
            log_total_spread=float(logs.std()),
        )

    def log_density_in_data(self, log_density: Any, units: Units, observed: Any = None) -> Any:
        """Leave it: it is a log-probability, which has no unit."""
        return log_density

    def read(self, y: Tensor) -> Tensor:
        """Bring all rows to the typical total."""
        counts = self._counts(y)
        total = counts.sum(tuple(range(1, y.dim())), keepdim=True).clamp(min=1.0)
        return torch.log1p(counts * (math.exp(self.log_total) / total)) / self.scale

    def reconstruction(self, p_y: Distribution, y: Tensor) -> Tensor:
        """Return expected counts that have the totals of the rows."""
        values: _Counts = p_y.base_dist  # type: ignore[attr-defined]
        total = self._counts(y).flatten(1).sum(1)
        return self._in_model(total.view(-1, *[1] * (y.dim() - 1)) * values.log_share.exp())

    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Return independent Poisson distributions of given totals."""
        return Independent(
            _Counts(self, _log_shares(parameters[:, 0]), None), parameters.dim() - 2,
            validate_args=False,
        )

    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Draw a total for each row, and counts."""
        values: _Counts = p_y.base_dist  # type: ignore[attr-defined]
        shares = values.log_share.to(source.device, torch.float32).exp()
        noise = torch.randn(
            len(shares), *[1] * (shares.dim() - 1), generator=source, device=source.device,
            dtype=torch.float32,
        )
        mean = (self.log_total + self.log_total_spread * noise).exp() * shares
        if values.log_dispersion is not None:
            inverse = (-values.log_dispersion).to(source.device, torch.float32).exp()
            mean = mean * torch._standard_gamma(inverse.expand_as(mean), source) / inverse
        return self._in_model(torch.poisson(mean, source)).to(values.log_share)

    def _counts(self, y: Tensor) -> Tensor:
        return torch.expm1(y * self.scale).clamp(min=0)

    def _in_model(self, counts: Tensor) -> Tensor:
        return torch.log1p(counts) / self.scale


@dataclass(frozen=True)
class NegativeBinomialLikelihood(PoissonLikelihood):
    """Counts that vary more than a Poisson distribution, with a dispersion for each feature.

    The variance is mean + dispersion * mean ** 2, as in scVI (Lopez et al., Nature Methods 2018).

    Examples
    --------
    >>> family = NegativeBinomialLikelihood()
    >>> family.distribution(torch.zeros(5, 2, 4)).log_prob(torch.zeros(5, 4)).shape
    torch.Size([5])
    """

    n_parameters = 2  # the logit of the share, and the logarithm of the dispersion

    @property
    def name(self) -> str:
        """What the parameter `likelihood` calls it."""
        return "negative_binomial"

    def head(self, n_features: int, data_shape: tuple[int, ...]) -> nn.Module:
        """Return a map from features to logits, beside dispersions that depend on nothing."""
        return _HeadByFeature(n_features, 1, data_shape)

    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Return independent negative binomial distributions of given totals."""
        return Independent(
            # of a smaller dispersion single precision would see nothing but rounding
            _Counts(self, _log_shares(parameters[:, 0]), parameters[:, 1].clamp(min=-10.0)),
            parameters.dim() - 2, validate_args=False,
        )


class _HeadByFeature(nn.Module):
    """From features (B, n_features) to parameters, beside one more that depends on nothing.

    It returns (B, n_parameters + 1, *data_shape). The one more begins at 0: the logarithm of a
    dispersion at the variance of an exponential distribution.
    """

    def __init__(self, n_features: int, n_parameters: int, data_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.by_row = parameter_head(n_features, n_parameters, *data_shape)
        self.by_feature = nn.Parameter(torch.empty(1, *data_shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin at 0."""
        nn.init.zeros_(self.by_feature)

    def forward(self, features: Tensor) -> Tensor:
        by_row: Tensor = self.by_row(features)
        return torch.cat([by_row, self.by_feature.expand(len(by_row), *self.by_feature.shape)], 1)


class _Counts(Distribution):
    """Counts, in the model's units, of rows whose totals are given.

    Parameters
    ----------
    family : PoissonLikelihood
    log_share : Tensor of shape (B, *data_shape)
        Logarithm of the expected share in the total of a row.
    log_dispersion : Tensor of the same shape, or None
        Of a negative binomial distribution.
    """

    def __init__(
        self, family: PoissonLikelihood, log_share: Tensor, log_dispersion: Tensor | None
    ) -> None:
        self.family = family
        self.log_share = log_share
        self.log_dispersion = log_dispersion
        super().__init__(log_share.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Expected counts of a row of the typical total."""
        return self.family._in_model((self.log_share + self.family.log_total).exp())

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability of each count."""
        counts = self.family._counts(value).round()
        total = counts.flatten(1).sum(1).clamp(min=1.0)
        log_mean = self.log_share + total.log().view(-1, *[1] * (value.dim() - 1))
        if self.log_dispersion is None:
            return counts * log_mean - log_mean.exp() - torch.lgamma(counts + 1)
        log_inverse = -self.log_dispersion
        inverse = log_inverse.exp()
        log_sum = torch.logaddexp(log_inverse, log_mean)
        return (
            torch.lgamma(counts + inverse) - torch.lgamma(inverse) - torch.lgamma(counts + 1)
            + inverse * (log_inverse - log_sum) + counts * (log_mean - log_sum)
        )


def _log_shares(logits: Tensor) -> Tensor:
    return logits.flatten(1).log_softmax(1).view_as(logits)


@dataclass(frozen=True)
class MixedLikelihood(Likelihood):
    """Columns of numbers, and one-hot encoded categories, each with probabilities of its own.

    Parameters
    ----------
    numbers : Likelihood
        Of the columns that are numbers.
    groups : tuple of tuple of int
        The columns of each category.
    low, high : tuple of float
        What 0 and 1 are in the model's units, for each of these columns in turn.

    Examples
    --------
    >>> mixed = MixedLikelihood(GaussianLikelihood(), ((1, 2),), (-0.5, -0.5), (0.5, 0.5))
    >>> p_y = mixed.distribution(torch.zeros(5, 2, 3))
    >>> p_y.mean[0]
    tensor([0., 0., 0.])
    """

    numbers: Likelihood
    groups: tuple[tuple[int, ...], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of_columns(
        cls, numbers: Likelihood, groups: Sequence[NDArray[np.intp]], units: Units
    ) -> MixedLikelihood:
        """Return the likelihood of such columns in these units."""
        columns = np.concatenate(groups)
        low, high = (
            (value - units.location[columns]) / units.scale[columns] for value in (0.0, 1.0)
        )
        return cls(
            numbers, tuple(tuple(map(int, group)) for group in groups),
            tuple(map(float, low)), tuple(map(float, high)),
        )

    @property
    def n_parameters(self) -> int:  # type: ignore[override]
        """Parameters for each value; a category has logits for the first of them."""
        return self.numbers.n_parameters

    @property
    def features_have_units(self) -> bool:  # type: ignore[override]
        """Whether columns of numbers may be in units of their own."""
        return self.numbers.features_have_units

    def units(
        self, X: NDArray[Any], image_shape: tuple[int, ...] | None, scale: str | None = "auto"
    ) -> Units:
        """Read them off as for numbers."""
        return self.numbers.units(X, image_shape, scale)

    def head(self, n_features: int, data_shape: tuple[int, ...]) -> nn.Module:
        """Return a map from features to the parameters of numbers, of which categories use one."""
        return self.numbers.head(n_features, data_shape)

    def is_like(self, other: Likelihood) -> bool:
        """Whether the other has the same likelihood of numbers, and the same categories."""
        return (
            isinstance(other, MixedLikelihood) and self.numbers.is_like(other.numbers)
            and self.groups == other.groups
        )

    def check(self, X: NDArray[Any], units: Units) -> None:
        """Check the numbers."""
        self.numbers.check(X, units)

    def log_density_in_data(self, log_density: Any, units: Units, observed: Any = None) -> Any:
        """Do so for the numbers; categories have no unit."""
        scale = units.scale.copy()
        scale[[column for group in self.groups for column in group]] = 1.0
        return self.numbers.log_density_in_data(
            log_density, units._replace(scale=scale), observed
        )

    def distribution(self, parameters: Tensor) -> Independent[Any]:
        """Return independent numbers and categories."""
        numbers = self.numbers.distribution(parameters).base_dist
        layout = self._layout(parameters.device, parameters.dtype)
        log_p = _log_softmax_of_groups(
            parameters[:, 0, layout.columns], layout.group, len(self.groups)
        )
        return Independent(_MixedValues(numbers, log_p, layout), 1, validate_args=False)

    def draw(self, p_y: Distribution, source: torch.Generator) -> Tensor:
        """Draw the numbers, and one category of each."""
        values: _MixedValues = p_y.base_dist  # type: ignore[attr-defined]
        y = self.numbers.draw(Independent(values.numbers, 1, validate_args=False), source)
        layout = values.layout
        drawn = [
            torch.multinomial(p, 1, generator=source)
            for p in values.log_p.exp().to(source.device, torch.float32).split(
                [len(group) for group in self.groups], 1
            )
        ]
        is_in = torch.cat([
            nn.functional.one_hot(number[:, 0], len(group))
            for number, group in zip(drawn, self.groups, strict=True)
        ], 1).to(y.device, y.dtype)
        y[:, layout.columns] = layout.low + (layout.high - layout.low) * is_in
        return y

    @lru_cache(maxsize=32)  # noqa: B019 (of the last few likelihoods)
    @torch.inference_mode(mode=False)  # of the caller: these tensors are kept, and trained with
    def _layout(self, device: torch.device, dtype: torch.dtype) -> _Layout:
        columns = [column for group in self.groups for column in group]
        group = [number for number, group in enumerate(self.groups) for _ in group]
        return _Layout(
            torch.tensor(columns, device=device), torch.tensor(group, device=device),
            torch.tensor(self.low, device=device, dtype=dtype),
            torch.tensor(self.high, device=device, dtype=dtype),
        )


class _Layout(NamedTuple):
    """Columns of categories, the number of their category, and what 0 and 1 are, (n_columns,)."""

    columns: Tensor
    group: Tensor
    low: Tensor
    high: Tensor


class _MixedValues(Distribution):
    """Values of rows (B, n_features): numbers, and what columns of categories say of a row.

    Parameters
    ----------
    numbers : Distribution
        Of all columns; what it says of those of categories does not count.
    log_p : Tensor of shape (B, n_columns)
        Of the columns of categories.
    layout : _Layout
    """

    def __init__(self, numbers: Distribution, log_p: Tensor, layout: _Layout) -> None:
        self.numbers = numbers
        self.log_p = log_p
        self.layout = layout
        super().__init__(numbers.batch_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Mean of each value."""
        columns, _, low, high = self.layout
        return self.numbers.mean.index_copy(1, columns, low + (high - low) * self.log_p.exp())

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of each number, and log-probability of the category that a row is in.

        The latter stands in the column of that category, with zeros in the others.
        """
        columns, _, low, high = self.layout
        # not above the mean: where the first rows of a stream are all of one category, 1 is there
        is_in = value[:, columns] > (low + high) / 2
        return self.numbers.log_prob(value).index_copy(1, columns, is_in * self.log_p)


def _log_softmax_of_groups(logits: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Normalize logits (B, n_columns) within groups of columns, of which the numbers are given."""
    index = group.expand_as(logits)
    shape = len(logits), n_groups
    largest = logits.detach().new_zeros(shape).scatter_reduce(
        1, index, logits.detach(), "amax", include_self=False
    )
    shifted = logits - largest[:, group]
    total = logits.new_zeros(shape).index_add(1, group, shifted.exp())
    return shifted - total.log()[:, group]


#: The families, by the name that the parameter `likelihood` gives.
LIKELIHOODS: dict[str, Likelihood] = {
    "gaussian": GaussianLikelihood(), "student_t": StudentTLikelihood(),
    "bernoulli": BernoulliLikelihood(),
    "poisson": PoissonLikelihood(), "negative_binomial": NegativeBinomialLikelihood(),
}


def to_plain(likelihood: Likelihood) -> dict[str, Any] | Likelihood:
    """Return the name and the fields of a likelihood; one of the user's as it is."""
    if type(likelihood) is MixedLikelihood:
        return {
            "name": "mixed", "numbers": to_plain(likelihood.numbers), "groups": likelihood.groups,
            "low": likelihood.low, "high": likelihood.high,
        }
    for name, family in LIKELIHOODS.items():
        if type(family) is type(likelihood) and is_dataclass(likelihood):
            return {"name": name, **asdict(likelihood)}
    return likelihood


def from_plain(plain: Any) -> Likelihood:
    """Return the likelihood of a name and fields.

    Raises
    ------
    ValueError
        If the name is unknown, or a field is not what it can be.
    """
    if isinstance(plain, Likelihood):
        return plain
    if not isinstance(plain, dict) or plain.get("name") not in [*LIKELIHOODS, "mixed"]:
        raise ValueError(f"{plain!r} is not a likelihood that is known.")
    fields = {name: value for name, value in plain.items() if name != "name"}
    if plain["name"] == "mixed":
        return _mixed(**fields)
    if not all(type(value) is float and math.isfinite(value) for value in fields.values()):
        raise ValueError(f"{plain!r} must have finite numbers.")
    if fields.get("scale", 1.0) <= 0:
        raise ValueError(f"{plain!r} must have a positive scale.")
    return replace(LIKELIHOODS[plain["name"]], **fields)  # type: ignore[type-var]


def _mixed(numbers: Any, groups: Any, low: Any, high: Any) -> MixedLikelihood:
    columns = [column for group in groups for column in group]
    if (
        not all(type(column) is int and column >= 0 for column in columns)
        or columns != sorted(set(columns))
        or not all(type(value) is float and math.isfinite(value) for value in (*low, *high))
        or not len(low) == len(high) == len(columns)
    ):
        raise ValueError("The columns of categories, or their units, are not such.")
    return MixedLikelihood(from_plain(numbers), groups, low, high)
