"""The units and the shape of the data: from rows of X to what the model sees, and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import gen_batches
from torch import Tensor

__all__ = ["BLOCK_ROWS", "FARTHEST", "Units"]

#: Rows that are handled at a time, so that memory does not grow with X.
BLOCK_ROWS = 2048
#: Distance, in the model's units, beyond which rows are moved to it: networks would overflow.
FARTHEST = 1e6


class Units(NamedTuple):
    """Maps rows of X to what the model sees, ``(X - location) / scale``, and back.

    Attributes
    ----------
    location, scale : ndarray of shape (n_features,)
    constants : ndarray of shape (n_features,)
        The value of a feature that has but one, which is known exactly; NaN for the others.
    image_shape : tuple of int or None
        (height, width) or (height, width, channels) of a row, channels last.
    """

    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    constants: NDArray[np.float64]
    image_shape: tuple[int, ...] | None

    @classmethod
    def standardizing(cls, X: NDArray[Any], image_shape: tuple[int, ...] | None) -> Units:
        """Read location and scale off the training data.

        Features are centered and divided by their range, then all by one number that makes their
        mean variance 1: unlike the standard deviation, the range does not blow up rare features.
        The pixels of an image share a location and a scale by channel; the features of rows of
        unit length (word frequencies) share a scale.

        Raises
        ------
        ValueError
            If values of X are so large or so small that their squares are not numbers.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            mean, variance = X.mean(0, dtype=np.float64), X.var(0, dtype=np.float64)
            spread = X.max(0).astype(np.float64) - X.min(0)
        if not (np.isfinite(variance) & np.isfinite(spread)).all():
            raise ValueError(
                f"X has values too large to square, up to {np.abs(X).max():.3g}; scale X."
            )
        # what a feature may vary by that has one value but for the rounding of some operations
        rounding = 32 * np.finfo(X.dtype if X.dtype.kind == "f" else np.float64).eps * np.abs(mean)
        constants = np.where(spread <= rounding, X[0], np.nan)
        mean = np.where(spread <= rounding, X[0], mean)
        if image_shape is not None:
            n_channels = image_shape[2] if len(image_shape) == 3 else 1
            pixels = mean.reshape(-1, n_channels)
            mean = np.tile(pixels.mean(0), len(pixels))
            variance = variance + (pixels - pixels.mean(0)).ravel() ** 2
            spread = np.tile(spread.reshape(-1, n_channels).max(0), len(pixels))
        elif _are_directions(X, spread, np.isnan(constants)):
            spread = np.where(spread > 0, spread.max(), 0.0)
        without_scale = spread <= rounding
        scale = np.where(without_scale, 1.0, spread)
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled_variance = (variance / scale**2)[~without_scale]
        if scaled_variance.size:
            typical = scaled_variance.mean()
            if not typical > 0:
                raise ValueError(
                    "X has values too small to square: a feature has a range of "
                    f"{spread[~without_scale].min():.3g}; scale X."
                )
            scale[~without_scale] *= np.sqrt(typical)
        return cls(mean, scale, constants, image_shape)

    @classmethod
    def fractions(
        cls, X: NDArray[Any], top: float, image_shape: tuple[int, ...] | None
    ) -> Units:
        """Return units in which `top` is 1 and 0 is 0."""
        n_features = X.shape[1]
        constants = np.where(X.max(0) == X.min(0), X[0], np.nan)
        return cls(np.zeros(n_features), np.full(n_features, top), constants, image_shape)

    @property
    def data_shape(self) -> tuple[int, ...]:
        """Shape of a row as the model sees it: (n_features,) or (channels, height, width)."""
        if self.image_shape is None:
            return (len(self.scale),)
        height, width, *channels = self.image_shape
        return (channels[0] if channels else 1, height, width)

    def to_model(self, X: NDArray[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
        """Rows of X -> tensor (B, *data_shape)."""
        with np.errstate(over="ignore"):
            standardized = np.clip((X - self.location) / self.scale, -FARTHEST, FARTHEST)
        rows = torch.from_numpy(np.ascontiguousarray(standardized)).to(device, dtype)
        if self.image_shape is None:
            return rows
        channels, height, width = self.data_shape
        return rows.view(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()

    def to_data(self, y: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Tensor (B, *data_shape) -> rows in the units of X, the constant features exact."""
        if self.image_shape is not None:
            y = y.permute(0, 2, 3, 1)
        limit = np.finfo(dtype).max
        with np.errstate(over="ignore"):
            rows = y.flatten(1).cpu().numpy() * self.scale + self.location
        rows = np.where(np.isnan(self.constants), rows, self.constants)
        return np.clip(rows, -limit, limit).astype(dtype, copy=False)

    def n_far(self, X: NDArray[Any]) -> int:
        """Return how many rows of X the model sees nearer than they are, see `FARTHEST`."""
        reach = FARTHEST * self.scale
        with np.errstate(over="ignore"):
            return sum(
                int((np.abs(X[block] - self.location) > reach).any(1).sum())
                for block in gen_batches(len(X), BLOCK_ROWS)
            )

    def seeing(self, X: NDArray[Any]) -> Units:
        """Return units in which features that vary in further rows X are no longer constant."""
        same = (self.constants == X).all(0)
        return self._replace(constants=np.where(same, self.constants, np.nan))


def _are_directions(
    X: NDArray[Any], spread: NDArray[np.float64], varies: NDArray[np.bool_]
) -> bool:
    """Whether all rows have one length, but for empty ones, as TfidfVectorizer leaves them.

    Judged by the features that vary and against how much they do: beside a large number that all
    rows share, nearly or wholly, any rows have one length.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.concatenate([
            np.linalg.norm(X[block][:, varies], axis=1) for block in gen_batches(len(X), BLOCK_ROWS)
        ])
        lengths = lengths[lengths > 0]
        return len(lengths) > 0 and bool(np.ptp(lengths) <= 1e-5 * np.linalg.norm(spread))
