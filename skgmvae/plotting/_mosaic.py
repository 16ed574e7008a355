"""A line of rows for each cluster, one below the other: rows as images, or as profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._axes import CROWDED, cluster_colors, label_ticks, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["draw_images", "draw_profiles"]


class MosaicLayout(NamedTuple):
    """Sizes of the parts of a mosaic, chosen by eye on 2, 3, 10 and 50 clusters.

    Attributes
    ----------
    cell, crowded_cell : float
        Inches from one row to the next, across or down, whichever is farther; the second one
        where clusters are many.
    gap : float
        Between images, as a share of the distance from one column to the next.
    profile_height : float
        Of the range of a feature, as a share of the distance from one cluster to the next.
    min_height : float
        Inches of a figure of few clusters.
    letter : float
        Inches that a letter of the longest name takes below profiles.
    """

    cell: float = 0.55
    crowded_cell: float = 0.35
    gap: float = 0.08
    profile_height: float = 0.8
    min_height: float = 2.4
    letter: float = 0.07


LAYOUT = MosaicLayout()


def draw_images(
    ax: Axes | None,
    rows: NDArray[Any],
    cluster_counts: Sequence[int] | NDArray[np.intp],
    image_shape: Sequence[int],
    cmap: str | Colormap,
) -> Axes:
    """Draw rows (n_clusters, n_columns, n_features) as images, on one scale; NaN: no row."""
    shape = _check_image_shape(image_shape, rows.shape[-1])
    n_clusters, n_columns, _ = rows.shape
    # in units of the distance from one column to the next
    width = 1 - LAYOUT.gap
    height = width * shape[0] / shape[1]
    distance = height + LAYOUT.gap  # from one cluster to the next
    inches = _cell(n_clusters) / max(1.0, distance)
    ax = make_axes(ax, (
        1 + inches * n_columns, max(0.6 + inches * distance * n_clusters, LAYOUT.min_height)
    ))
    low, high = np.nanmin(rows), np.nanmax(rows)
    images = np.clip((rows - low) / (high - low if high > low else 1.0), 0, 1)
    images = images.reshape(n_clusters, n_columns, *shape)
    if images.shape[4:] not in [(3,), (4,)]:
        # neither RGB nor RGBA: channels are averaged
        images = _to_rgba(images if images.ndim == 4 else images.mean(-1), cmap)
    else:
        images = np.nan_to_num(images, nan=1.0)
    right, down = width / 2, height / 2 / distance
    for row, column in np.ndindex(n_clusters, n_columns):
        if not np.isnan(rows[row, column]).all():  # pixels that are missing are left white
            ax.imshow(
                images[row, column],
                extent=(column - right, column + right, row + down, row - down),
            )
    ax.set(
        xlim=(-0.5, n_columns - 0.5), ylim=(n_clusters - 0.5, -0.5), aspect=distance, xticks=[]
    )
    _label_clusters(ax, cluster_counts)
    return ax


def draw_profiles(
    ax: Axes | None,
    rows: NDArray[Any],
    cluster_counts: Sequence[int] | NDArray[np.intp],
    linestyles: Sequence[str],
    feature_names: ArrayLike | None = None,
) -> Axes:
    """Draw rows (n_clusters, n_columns, n_features) as lines across the features; NaN: no row.

    More features than there is room for names, as in series, are numbered.
    """
    n_clusters, _, n_features = rows.shape
    has_room = feature_names is not None and n_features <= CROWDED.max_tick_labels
    names = [str(name) for name in np.asarray(feature_names)] if has_room else []
    height = max(1 + 1.3 * _cell(n_clusters) * n_clusters, LAYOUT.min_height)
    ax = make_axes(ax, (6, height + LAYOUT.letter * max(map(len, names), default=0)))
    from matplotlib.ticker import MaxNLocator

    low, high = (extreme.reduce(rows, (0, 1)) for extreme in (np.fmin, np.fmax))
    scaled = (rows - low) / np.where(high > low, high - low, 1.0)
    features = np.arange(n_features)
    colors = cluster_colors(n_clusters)
    for k in range(n_clusters):
        for profile, linestyle in zip(scaled[k], linestyles, strict=True):
            ax.plot(
                features, k + LAYOUT.profile_height * (0.5 - profile), linestyle,
                color=colors[k], alpha=0.7, linewidth=0.9,
                marker="." if n_features == 1 else None,
            )
    ax.set(
        xlabel="feature (from its least value, below, to its greatest)",
        ylim=(n_clusters - 0.4, -0.6),
    )
    if names:
        label_ticks(ax.xaxis, names, rotation=60, ha="right")
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _label_clusters(ax, cluster_counts)
    return ax


def _cell(n_clusters: int) -> float:
    return LAYOUT.cell if n_clusters <= CROWDED.n_clusters else LAYOUT.crowded_cell


def _check_image_shape(image_shape: Sequence[int], n_features: int) -> tuple[int, ...]:
    shape = tuple(np.atleast_1d(image_shape).tolist())
    whole = all(isinstance(size, int) for size in shape)
    if not whole or len(shape) not in (2, 3) or math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} must be (height, width) or (height, width, channels) of rows "
            f"with {n_features} values."
        )
    return shape


def _to_rgba(gray: NDArray[Any], cmap: str | Colormap) -> NDArray[Any]:
    """Color values from 0 to 1 of shape (...): (..., 4)."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    flat = ScalarMappable(Normalize(0, 1), cmap).to_rgba(gray.ravel())
    return np.asarray(flat).reshape(*gray.shape, 4)


def _label_clusters(ax: Axes, cluster_counts: Sequence[int] | NDArray[np.intp]) -> None:
    label_ticks(ax.yaxis, [f"{k} ({count})" for k, count in enumerate(cluster_counts)])
    ax.set_ylabel("cluster (rows in it)")
