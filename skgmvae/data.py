"""Rows in, tensors out: the units and the shape of the data, and minibatches of it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import Tensor

from .runtime import generator

__all__ = ["DataSpace", "Rows", "n_batches"]

# Rows may lie anywhere, but beyond this, in the model's units, the networks would overflow.
FARTHEST = 1e6
INFERENCE_ROWS = 2048  # rows of one forward pass, so that memory does not grow with X


class DataSpace(NamedTuple):
    """The units and the shape of X: maps rows of X to what the model sees, and back.

    Attributes
    ----------
    location, scale : ndarray of shape (n_features,)
        The model sees ``(X - location) / scale``.
    image_shape : tuple of int or None
        (height, width) or (height, width, channels) of a row, channels last.
    unit_interval : bool
        Whether the model sees values in [0, 1] (Bernoulli).
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    image_shape: tuple[int, ...] | None
    unit_interval: bool

    @classmethod
    def fit(
        cls, X: NDArray[Any], likelihood: str, image_shape: tuple[int, ...] | None
    ) -> DataSpace:
        """Read location and scale off the training data.

        A Bernoulli likelihood takes values in [0, 1] as they are, and bytes above 1 as
        fractions of 255. For a Gaussian one, features are centred and divided by their range,
        then all by one number that makes their mean variance 1: unlike the standard deviation,
        the range does not blow up rare features. The pixels of an image share a location and a
        scale by channel; the features of rows of unit length (word frequencies) share a scale.
        """
        n_features = X.shape[1]
        if likelihood == "bernoulli":
            # bytes are an image's, unless they are but zeros and ones
            unit = 255.0 if X.dtype == np.uint8 and X.max(initial=0) > 1 else 1.0
            return cls(np.zeros(n_features), np.full(n_features, unit), image_shape, True)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, variance = X.mean(0, dtype=np.float64), X.var(0, dtype=np.float64)
            spread = X.max(0).astype(np.float64) - X.min(0)
        if not (np.isfinite(variance) & np.isfinite(spread)).all():
            raise ValueError(
                f"X has values too large to square, up to {np.abs(X).max():.3g}; scale X."
            )
        if image_shape is not None:
            n_channels = image_shape[2] if len(image_shape) == 3 else 1
            pixels = mean.reshape(-1, n_channels)
            mean = np.tile(pixels.mean(0), len(pixels))
            variance = variance + (pixels - pixels.mean(0)).ravel() ** 2
            spread = np.tile(spread.reshape(-1, n_channels).max(0), len(pixels))
        elif _are_directions(X):
            spread = np.where(spread > 0, spread.max(), 0.0)
        # a constant column, up to rounding, has no scale of its own
        constant = spread <= 1e-10 * np.abs(mean)
        scale = np.where(constant, 1.0, spread)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled_variance = (variance / scale**2)[~constant]
        if scaled_variance.size:
            typical = scaled_variance.mean()
            if not typical > 0:
                raise ValueError(
                    "X has values too small to square: a feature has a range of "
                    f"{spread[~constant].min():.3g}; scale X."
                )
            scale[~constant] *= np.sqrt(typical)
        return cls(mean, scale, image_shape, False)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of a row as the model sees it: (n_features,) or (channels, height, width)."""
        if self.image_shape is None:
            return (len(self.scale),)
        height, width, *channels = self.image_shape
        return (channels[0] if channels else 1, height, width)

    @property
    def log_volume(self) -> float:
        """What a log-density in the units of X lacks of one in the model's units.

        A Bernoulli likelihood is no density: it is left as it is.
        """
        return 0.0 if self.unit_interval else float(np.log(self.scale).sum())

    def check(self, X: NDArray[Any]) -> None:
        """Raise a ValueError where values cannot be Bernoulli probabilities."""
        if not self.unit_interval:
            return
        low, high, top = X.min(), X.max(), self.scale[0]
        if low < 0 or high > top:
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

    def to_model(self, X: NDArray[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Rows of X -> tensor (B, *data_shape)."""
        standardised = np.clip((X - self.location) / self.scale, -FARTHEST, FARTHEST)
        rows = torch.from_numpy(np.ascontiguousarray(standardised))
        rows = rows.to(device, dtype)
        if self.image_shape is None:
            return rows
        channels, height, width = self.data_shape
        return rows.view(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()

    def to_data(self, y: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Tensor (B, *data_shape) -> rows in the units of X."""
        if self.image_shape is not None:
            y = y.permute(0, 2, 3, 1)
        rows = y.flatten(1).cpu().numpy()
        return (rows * self.scale + self.location).astype(dtype, copy=False)


class Rows:
    """Training rows in single precision, resident on the device."""

    def __init__(self, X: NDArray[Any], space: DataSpace, device: torch.device) -> None:
        self.n_rows = len(X)
        self.device = device
        parts = [
            space.to_model(X[part], torch.float32, device)
            for part in gen_batches(self.n_rows, INFERENCE_ROWS)
        ]
        self._resident = torch.cat(parts)

    def take(self, index: Tensor) -> Tensor:
        """Return the rows (len(index), *data_shape)."""
        return self._resident.index_select(0, index)

    def flat(self) -> NDArray[np.float32]:
        """Return all rows as an array (n_rows, n_features)."""
        return self._resident.flatten(1).cpu().numpy()

    def typical_norm(self) -> float:
        """Root mean square norm of a row, of a few thousand, in the model's units."""
        stride = max(1, self.n_rows // INFERENCE_ROWS)  # rows may be sorted
        some = torch.arange(0, self.n_rows, stride, device=self.device)
        return float(self.take(some).flatten(1).square().sum(1).mean().sqrt())

    def batches(self, batch_size: int, *key: int) -> tuple[Tensor, ...]:
        """Shuffle the row numbers by `key` into batches of nearly equal size.

        A last batch of one row would leave batch norm without a variance.
        """
        order = torch.randperm(
            self.n_rows, generator=generator(self.device, *key), device=self.device
        )
        return order.tensor_split(n_batches(self.n_rows, batch_size))


def _are_directions(X: NDArray[Any]) -> bool:
    """Whether all rows have one length, but for empty ones, as TfidfVectorizer leaves them."""
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.concatenate([
            np.linalg.norm(X[part], axis=1) for part in gen_batches(len(X), INFERENCE_ROWS)
        ])
        lengths = lengths[lengths > 0]
        return len(lengths) > 0 and bool(np.ptp(lengths) <= 1e-5 * lengths.max())


def n_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of batches: each of two rows or more, and of `batch_size` if it can be."""
    return min(math.ceil(n_rows / batch_size), max(1, n_rows // 2))
