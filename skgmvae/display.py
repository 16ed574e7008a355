"""What the Display classes share: an Axes to draw on, colours, and labels that do not crowd."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["CROWDED", "Display", "colours", "label_clusters"]

CROWDED = 20  # clusters beyond which they are drawn smaller
MOST_LABELS = 60


class Display(ABC):
    """A picture drawn on one Axes."""

    ax_: Any
    figure_: Any

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            ``None`` makes a figure.

        Returns
        -------
        display : Display

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self._draw(ax)
        return self

    @abstractmethod
    def _draw(self, ax: Any) -> None:
        """Draw on `ax`, or on a new figure where it is None."""

    def _axes(self, ax: Any, **figure_options: Any) -> Any:
        """Return `ax`, or the Axes of a new figure, and keep it."""
        if ax is None:
            try:
                import matplotlib.pyplot as plt
            except ImportError as error:
                raise ImportError(
                    "Displays draw with matplotlib: pip install 'skgmvae[plot]'"
                ) from error
            _, ax = plt.subplots(layout="constrained", **figure_options)
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def colours(n: int) -> NDArray[np.float64]:
    """Return `n` colours, each unlike its neighbours, of shape (n, 4)."""
    import matplotlib

    if n <= 10:
        return matplotlib.colormaps["tab10"](np.arange(n))
    # around the wheel in steps of the golden section, light and dark in turn
    hue = (np.arange(n) * 0.618034) % 1
    value = np.where(np.arange(n) % 2, 0.6, 0.9)
    rgb = matplotlib.colors.hsv_to_rgb(np.stack([hue, np.full(n, 0.75), value], 1))
    return np.concatenate([rgb, np.ones((n, 1))], 1)


def label_clusters(axis: Any, names: Iterable[Any]) -> None:
    """Label the ticks 0, 1, ... of an axis, smaller or fewer where there are many."""
    names = list(names)
    step = -(-len(names) // MOST_LABELS)
    size = 9 if len(names) <= CROWDED else 6
    axis.set_ticks(range(0, len(names), step), [str(name) for name in names[::step]], fontsize=size)
