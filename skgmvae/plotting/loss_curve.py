"""The terms of the bound by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ._axes import make_axes
from ._last_step import last_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

__all__ = ["LossCurveDisplay"]

PRIOR_TERMS = {
    "conditional_prior": "conditional prior (Eq. 5)",
    "w_prior": "w-prior",
    "z_prior": "z-prior (Eq. 6)",
}


class RightAxisLimits(NamedTuple):
    """The right axis covers all but the first epochs, which would flatten what follows.

    Chosen by eye, on fits of 15 to 60 epochs.

    Attributes
    ----------
    epochs_left_out : float
        Share of the epochs, the first ones, that the limits need not cover.
    margin : float
        Above and below, as a share of the range that is covered.
    """

    epochs_left_out: float = 0.05
    margin: float = 0.05

    def of(self, *curves: NDArray[np.float64]) -> tuple[float, float] | None:
        """Return the limits for curves of one length, or None where they are all flat."""
        later = np.concatenate([
            curve[int(self.epochs_left_out * len(curve)):] for curve in curves
        ])
        if not later.size or not np.ptp(later):
            return None
        margin = self.margin * np.ptp(later)
        return float(later.min() - margin), float(later.max() + margin)


RIGHT_AXIS = RightAxisLimits()


class LossCurveDisplay:
    """The four terms of the bound by epoch, and the threshold of the constraint.

    These are the terms of Eq. 3 and the threshold of Eq. 7, means over the rows in nats. The terms
    that the bound subtracts are on the left axis; the reconstruction and the bound itself, which
    are of another size, on the right one.

    Parameters
    ----------
    history : dict of str to ndarray of shape (n_epochs,)
        The estimator's `history_`, of which `reconstruction`, `conditional_prior`, `w_prior`,
        `z_prior` and `lower_bound` are drawn.
    min_information : float, default=0.0
        The threshold lambda in nats, drawn dotted unless it is 0.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With the left axis.
    figure_ : matplotlib Figure
        Containing the Axes.

    See Also
    --------
    LossCurveDisplay.from_estimator : Draw the history of a fitted clusterer.

    Examples
    --------
    >>> from skgmvae.plotting import LossCurveDisplay
    >>> display = LossCurveDisplay(clusterer.history_, min_information=0.5).plot()
    >>> display.ax_.get_xlabel()
    'epoch'
    """

    ax_: Axes
    figure_: Figure | SubFigure

    def __init__(
        self, history: Mapping[str, NDArray[np.float64]], *, min_information: float = 0.0
    ) -> None:
        self.history = history
        self.min_information = min_information

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Draw the history of a fitted clusterer.

        Parameters
        ----------
        estimator : GMVAEClustering, Pipeline or search
            Fitted; a pipeline or a search that ends in a GMVAEClustering.
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            The display, which is drawn.

        Raises
        ------
        TypeError
            If the estimator is not, and does not end in, a GMVAEClustering.
        NotFittedError
            If it is not fitted.
        ImportError
            If matplotlib is not installed.

        Examples
        --------
        >>> from skgmvae.plotting import LossCurveDisplay
        >>> LossCurveDisplay.from_estimator(clusterer).ax_.get_xlabel()
        'epoch'
        """
        clusterer = last_step(estimator, "history_", "min_information").clusterer
        return cls(clusterer.history_, min_information=clusterer.min_information).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The Axes to draw on. ``None`` makes a figure.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        ax = make_axes(ax, (6.4, 4.8))
        from matplotlib.ticker import MaxNLocator

        reconstruction, bound = self.history["reconstruction"], self.history["lower_bound"]
        epochs = np.arange(1, len(bound) + 1)
        marker = "." if len(epochs) == 1 else None  # a line through one point is not seen
        lines = [
            ax.plot(epochs, self.history[name], marker=marker, label=label)[0]
            for name, label in PRIOR_TERMS.items()
        ]
        if self.min_information:
            lines.append(ax.axhline(
                self.min_information, color=lines[-1].get_color(), linestyle=":",
                label="lambda (Eq. 7)",
            ))
        right = ax.twinx()
        for curve, label, linestyle in (
            (reconstruction, "reconstruction (right)", "-"), (bound, "bound (right)", "--"),
        ):
            lines += right.plot(epochs, curve, linestyle, color="0.5", marker=marker, label=label)
        right.set_ylabel("nats per row")
        limits = RIGHT_AXIS.of(reconstruction, bound)
        if limits is not None:
            right.set_ylim(limits)
        ax.set(xlabel="epoch", ylabel="nats per row", ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.legend(
            handles=lines, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.15),
            frameon=False,
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self
