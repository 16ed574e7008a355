"""From rows to densities: the bound and its terms, under noise that all rows share.

The noise is the same at every call, so that the methods are deterministic, treat each row by itself
and leave no trace on the object.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar
from torch import Tensor

from .data import INFERENCE_ROWS
from .elbo import Noise, Terms, draw_noise, drawn, elbo_terms, log_evidence
from .inference import InferenceMixin
from .model import GMVAE
from .runtime import generator

__all__ = ["DensityMixin"]

CERTAINTY_ROWS = 2000  # at most, to compare clusters at the means and at draws by
N_BOUND_SAMPLES = 16
BOUND_SEED = 1611


class DensityMixin(InferenceMixin):
    """From rows to densities."""

    def elbo(self, X: ArrayLike) -> Terms:
        """Estimate the four terms of Eq. 3 for each row, under noise that all rows share.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        terms : Terms
            Named arrays of shape (n_samples,), in nats: `reconstruction` (a log-density in the
            units of X), `conditional_prior`, `w_prior`, `z_prior`; their `bound` is the
            first minus the others.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is unfit.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> terms = clusterer.elbo(X)
        >>> terms.bound.shape
        (150,)
        >>> bool(terms.z_prior.max() <= np.log(3))
        True
        """

        def terms_of(model: GMVAE, y: Tensor, noise: Noise) -> Tensor:
            return torch.stack(elbo_terms(model, y, *model.q(y), noise), -1)

        values = self._map_noise(X, terms_of, N_BOUND_SAMPLES)
        values[:, 0] -= self._space.log_volume
        return Terms(*values.T)

    def score_samples(self, X: ArrayLike, *, n_draws: int | None = None) -> NDArray[Any]:
        """Return a lower bound on the log-density of each row, in the units of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_draws : int, default=None
            ``None`` gives the bound of Eq. 3. A number gives the importance-weighted estimate
            by so many draws of (x, w) (Burda et al., arXiv:1509.00519), which comes near the
            density itself: in two dimensions some hundred draws do.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats; higher is better.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, ValueError
            If `n_draws` is not a positive integer; ValueError also if X is unfit.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> typical, far = [5.8, 3.1, 3.8, 1.2], [58.0, 3.1, 3.8, 1.2]
        >>> bound = clusterer.score_samples([typical, far])
        >>> bool(bound[0] > bound[1])
        True
        """
        if n_draws is None:
            return self.elbo(X).bound
        check_scalar(n_draws, "n_draws", Integral, min_val=1)

        def evidence(model: GMVAE, y: Tensor, noise: Noise) -> Tensor:
            return log_evidence(model, y, *model.q(y), noise)

        return self._map_noise(X, evidence, n_draws) - self._space.log_volume

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Return the mean of `score_samples`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : Ignored

        Returns
        -------
        bound : float
            In nats per row; higher is better.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is unfit.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> clusterer.score(X) > clusterer.score(X + 10)
        True
        """
        return float(np.mean(self.score_samples(X)))

    def _map_noise(
        self, X: ArrayLike, function: Callable[[GMVAE, Tensor, Noise], Tensor], n_draws: int
    ) -> NDArray[Any]:
        """Validate X and apply `function` to its rows, under noise that all rows share."""
        return self._apply_noise(self._check_rows(X), function, n_draws)

    def _apply_noise(
        self, X: Any, function: Callable[[GMVAE, Tensor, Noise], Tensor], n_draws: int
    ) -> NDArray[Any]:
        """Apply `function` to the rows of a checked X, under noise that all rows share."""

        def with_noise(model: GMVAE, y: Tensor) -> Tensor:
            source = generator(y.device, BOUND_SEED)
            noise = draw_noise(n_draws, 1, model.latent_dim, model.style_dim, source)
            return function(model, y, Noise(*(draw.to(y.dtype) for draw in noise)))

        return self._apply(X, with_noise, n_rows=max(1, INFERENCE_ROWS // n_draws))

    def _certainty(self, X: Any) -> tuple[float, float]:
        """Return how probable rows' clusters are: at the means of q(x|y), q(w|y), and at draws."""

        def probabilities(model: GMVAE, y: Tensor, noise: Noise) -> Tensor:
            posterior = model.q(y)
            at_means, cluster = model.cluster_logits(posterior).exp().max(-1, keepdim=True)
            x, w = drawn(*posterior, noise)
            at_draws = model.p_z(x, model.p_x(w)).probs.mean(0)
            return torch.cat([at_means, at_draws.gather(-1, cluster)], -1)

        few = X[:: -(-len(X) // CERTAINTY_ROWS)]
        at_means, at_draws = self._apply_noise(few, probabilities, N_BOUND_SAMPLES).mean(0)
        return float(at_means), float(at_draws)
