"""An Axes to draw on, colors that tell clusters apart, and labels that do not crowd."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Colormap

__all__ = ["CROWDED", "cluster_colors", "label_ticks", "make_axes"]


class CrowdedLayout(NamedTuple):
    """Where clusters are many, they are drawn smaller, and then not all are labeled.

    Chosen by eye, on pictures of 2, 3, 10, 50 and 200 clusters.

    Attributes
    ----------
    n_clusters : int
        The most clusters (or labels) that are drawn at full size.
    max_tick_labels : int
        The most tick labels on an axis; of more, every second, third, ... is shown.
    """

    n_clusters: int = 20
    max_tick_labels: int = 60


CROWDED = CrowdedLayout()


def make_axes(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Return `ax`, or the Axes of a new figure of `figsize` inches where it is None."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Displays draw with matplotlib: pip install 'skgmvae[plot]'") from error
    _, new = plt.subplots(layout="constrained", figsize=figsize)
    return new


def cluster_colors(n_clusters: int, cmap: str | Colormap | None = None) -> NDArray[np.float64]:
    """Return RGBA colors of shape (n_clusters, 4): of `cmap`, or each unlike its neighbors."""
    import matplotlib as mpl
    from matplotlib.colors import hsv_to_rgb

    if cmap is not None:
        colormap = mpl.colormaps.get_cmap(cmap)
        return np.asarray(colormap.resampled(n_clusters)(np.arange(n_clusters)))
    if n_clusters <= 10:
        return np.asarray(mpl.colormaps["tab10"](np.arange(n_clusters)))
    # around the color wheel in steps of the golden section, light and dark in turn
    number = np.arange(n_clusters)
    hue, value = (number * 0.618034) % 1, np.where(number % 2, 0.6, 0.9)
    rgb = hsv_to_rgb(np.stack([hue, np.full(n_clusters, 0.75), value], 1))
    return np.concatenate([rgb, np.ones((n_clusters, 1))], 1)


def label_ticks(axis: Axis, names: Iterable[Any], **text: Any) -> None:
    """Label the ticks 0, 1, ... of an axis: in smaller print, or not all, where there are many.

    Further keywords are those of the labels' `Text`.
    """
    labels = [str(name) for name in names]
    step = -(-len(labels) // CROWDED.max_tick_labels)
    size = 9 if len(labels) <= CROWDED.n_clusters else 6
    text = {"fontsize": size, "parse_math": False} | text  # "$" is of a name, not of a formula
    axis.set_ticks(range(0, len(labels), step), labels[::step], **text)
