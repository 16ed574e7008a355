"""Pictures of a fitted clusterer: scikit-learn style Display classes.

Each is made by `from_estimator` (or `from_predictions`), draws on one Axes by `plot`, and keeps
`ax_` and `figure_`. Matplotlib is imported when something is drawn.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted

from .display import CROWDED, Display, colours
from .mosaics import ClusterSamplesDisplay, ExemplarsDisplay
from .tables import ClusterMatrixDisplay, ClusterProfileDisplay

__all__ = [
    "ClusterMatrixDisplay", "ClusterProfileDisplay", "ClusterSamplesDisplay", "ExemplarsDisplay",
    "LatentSpaceDisplay", "LossCurveDisplay",
]

PRIOR_TERMS = {
    "conditional_prior": "conditional prior (Eq. 5)", "w_prior": "w-prior",
    "z_prior": "z-prior (Eq. 6)",
}


class LossCurveDisplay(Display):
    """The four terms of the bound by epoch, and the threshold of the constraint.

    Those of Eq. 3 and Eq. 7. The terms that the bound subtracts stand on the left axis, the
    reconstruction, which is of another size, on the right one.

    Parameters
    ----------
    history : dict of str to ndarray of shape (n_epochs,)
        The estimator's `history_`.
    min_information : float, default=0.0
        The threshold lambda, drawn dotted unless it is 0.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.plotting import LossCurveDisplay
    >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(load_iris().data)
    >>> LossCurveDisplay.from_estimator(clusterer).ax_.get_xlabel()
    'epoch'
    """

    def __init__(
        self, history: dict[str, NDArray[np.float64]], *, min_information: float = 0.0
    ) -> None:
        self.history = history
        self.min_information = min_information

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> Self:
        """Draw the history of a fitted clusterer.

        Parameters
        ----------
        estimator : GMVAEClustering
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LossCurveDisplay
        """
        check_is_fitted(estimator)
        display = cls(estimator.history_, min_information=estimator.min_information)
        return display.plot(ax)

    def _draw(self, ax: Any) -> None:
        ax = self._axes(ax)
        epochs = np.arange(1, len(self.history["reconstruction"]) + 1)
        lines = [
            ax.plot(epochs, self.history[name], label=label)[0]
            for name, label in PRIOR_TERMS.items()
        ]
        if self.min_information:
            lines.append(ax.axhline(
                self.min_information, color=lines[-1].get_color(), linestyle=":",
                label="lambda (Eq. 7)",
            ))
        right = ax.twinx()
        for name, label, style in (
            ("reconstruction", "reconstruction (right)", "-"),
            ("lower_bound", "bound (right)", "--"),
        ):
            lines += right.plot(epochs, self.history[name], style, color="0.5", label=label)
        # a first epoch far off would flatten all that follows
        later = np.concatenate([
            self.history[name][len(epochs) // 20:] for name in ("reconstruction", "lower_bound")
        ])
        if later.size and np.ptp(later):
            right.set_ylim(
                later.min() - 0.05 * np.ptp(later), later.max() + 0.05 * np.ptp(later)
            )
        right.set_ylabel("nats per row")
        ax.set(xlabel="epoch", ylabel="nats per row", ylim=(0, None))
        ax.legend(
            lines, [line.get_label() for line in lines], fontsize=8, ncols=3,
            loc="upper center", bbox_to_anchor=(0.5, -0.15), frameon=False,
        )


class LatentSpaceDisplay(Display):
    """Rows in a plane of the latent space, and the components as ellipses.

    The plane is spanned by the first two principal components of the rows' latent means. An
    ellipse is one standard deviation of p(x|w=0, z): a component is a mixture of such normals
    over w, so rows may lie outside.

    Parameters
    ----------
    latent : ndarray of shape (n_samples, latent_dim)
        Means of q(x|y).
    labels : ndarray of shape (n_samples,)
    means, variances : ndarray of shape (n_clusters, latent_dim)
        Of p(x|w=0, z).

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgmvae import GMVAEClustering
    >>> from skgmvae.plotting import LatentSpaceDisplay
    >>> X = load_iris().data
    >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
    >>> len(LatentSpaceDisplay.from_estimator(clusterer, X).ax_.patches)
    3
    """

    def __init__(
        self,
        latent: NDArray[Any],
        labels: NDArray[np.intp],
        means: NDArray[Any],
        variances: NDArray[Any],
    ) -> None:
        self.latent = latent
        self.labels = labels
        self.means = means
        self.variances = variances

    @classmethod
    def from_estimator(cls, estimator: Any, X: ArrayLike, *, ax: Any = None) -> Self:
        """Draw the rows of X as a fitted clusterer sees them.

        Parameters
        ----------
        estimator : GMVAEClustering
        X : array-like of shape (n_samples, n_features)
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LatentSpaceDisplay
        """
        check_is_fitted(estimator)
        latent = np.asarray(estimator.transform(X))
        means, variances = estimator.latent_components()
        return cls(latent, estimator.predict(X), means, variances).plot(ax)

    def _draw(self, ax: Any) -> None:
        n_clusters, latent_dim = self.means.shape
        crowded = n_clusters > CROWDED
        ax = self._axes(ax, figsize=(10, 10) if crowded else (6, 6))
        from matplotlib.patches import Ellipse

        if latent_dim == 2:
            plane, origin = np.eye(2), np.zeros(2)
        elif latent_dim == 1:
            plane, origin = np.array([[1.0], [0.0]]), np.zeros(1)
        else:
            pca = PCA(2, svd_solver="full").fit(self.latent)
            plane, origin = pca.components_, pca.mean_
        points, centres = (self.latent - origin) @ plane.T, (self.means - origin) @ plane.T
        palette = colours(n_clusters)
        size = float(np.clip(10_000 / len(points), 3, 20))
        ax.scatter(
            *points.T, c=palette[self.labels], s=size, alpha=0.6, linewidths=0, rasterized=True
        )
        for k, centre in enumerate(centres):
            values, vectors = np.linalg.eigh((plane * self.variances[k]) @ plane.T)
            height, width = 2 * np.sqrt(np.maximum(values, 0))
            ax.add_patch(Ellipse(
                centre, width, height, angle=np.degrees(np.arctan2(*vectors[::-1, 1])),
                fill=False, edgecolor=palette[k], linewidth=0.5 if crowded else 1.5,
            ))
            ax.annotate(
                str(k), centre, ha="center", va="center", fontsize=6 if crowded else 9,
                bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": palette[k], "alpha": 0.8},
            )
        axis = "latent dimension" if latent_dim <= 2 else "principal component"
        ax.set(xlabel=f"{axis} 1", ylabel=f"{axis} 2")
