"""From rows to clusters, latent points and densities: what a fitted clusterer says of X.

All methods run at the means of q(x|y) and q(w|y), or under noise that all rows share: they are
deterministic, treat each row by itself and leave no trace on the object.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from .data import INFERENCE_ROWS, DataSpace
from .elbo import Noise, Terms, draw_noise, drawn, elbo_terms, log_evidence
from .model import GMVAE
from .runtime import generator, supports_float64

__all__ = ["InferenceMixin", "cluster_logits", "in_precision_of", "log_odds"]

CERTAINTY_ROWS = 2000  # at most, to compare clusters at the means and at draws by
N_BOUND_SAMPLES = 16
BOUND_SEED = 1611


class InferenceMixin:
    """From rows to clusters, latent points and densities."""

    module_: GMVAE
    device_: str
    history_: dict[str, NDArray[np.float64]]
    _space: DataSpace

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Assign each row to its most probable component.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
        """
        return self.predict_log_proba(X).argmax(1)

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return p(z|x, w) at the means of q(x|y) and q(w|y) (Eq. 4).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_clusters)
            In the precision of X, as all methods return.
        """
        return np.exp(self.predict_log_proba(X))

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Return the logarithm of `predict_proba`, which does not underflow.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_clusters)
        """
        return self._map(X, cluster_logits)

    def decision_function(self, X: ArrayLike) -> NDArray[Any]:
        """Return the log-odds of each component, log p / (1 - p).

        They rank rows where probabilities have saturated at 0 or 1, which the paper's protocol
        needs (:func:`skgmvae.metrics.max_probability_labels`).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        log_odds : ndarray of shape (n_samples, n_clusters)
            Infinite where there is one component only.
        """
        return self._map(X, lambda model, y: log_odds(cluster_logits(model, y)))

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Encode and decode: the mean of p(y|x) at the mean of q(x|y), in the units of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        reconstruction : ndarray of shape (n_samples, n_features)
        """
        return self._map(X, lambda model, y: model.p_y(model.q(y).q_x.mean).mean, decoded=True)

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
        TypeError, ValueError
            If `n_draws` is not a positive integer.
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

    def _check_rows(self, X: ArrayLike) -> Any:
        check_is_fitted(self)
        dtypes = [np.float64, np.float32, np.uint8]
        rows: Any = validate_data(self, X, dtype=dtypes, reset=False)
        self._space.check(rows)
        return rows

    def _map(
        self,
        X: ArrayLike,
        function: Callable[[GMVAE, Tensor], Tensor],
        *,
        decoded: bool = False,
        n_rows: int = INFERENCE_ROWS,
    ) -> NDArray[Any]:
        """Validate X, then `_apply`."""
        return self._apply(self._check_rows(X), function, decoded=decoded, n_rows=n_rows)

    def _apply(
        self,
        X: Any,
        function: Callable[[GMVAE, Tensor], Tensor],
        *,
        decoded: bool = False,
        n_rows: int = INFERENCE_ROWS,
    ) -> NDArray[Any]:
        """Apply `function` to the rows of a checked X, a few thousand at a time."""
        out = _float_of(X)
        device = torch.device(self.device_)
        model, dtype = in_precision_of(out, self.module_, device)
        parts = []
        with torch.no_grad():
            for rows in gen_batches(len(X), n_rows):
                values = function(model, self._space.to_model(X[rows], dtype, device))
                parts.append(
                    self._space.to_data(values, out) if decoded
                    else values.cpu().numpy().astype(out, copy=False)
                )
        return np.concatenate(parts)

    def _describe(self, X: Any, *, reorder: bool) -> None:
        """Derive the attributes that tell of the training rows, after ordering the components."""
        logits = self._apply(X, cluster_logits)
        if reorder:
            counts = np.bincount(logits.argmax(1), minlength=self.module_.n_components)
            order = np.argsort(-counts, kind="stable")
            self.module_.reorder_components(torch.from_numpy(order).to(self.device_))
            logits = logits[:, order]
        self.labels_ = logits.argmax(1)
        self.cluster_counts_ = np.bincount(self.labels_, minlength=self.module_.n_components)
        self.n_clusters_found_ = int(np.count_nonzero(self.cluster_counts_))
        weights = np.exp(logits).mean(0, dtype=np.float64)
        self.weights_ = weights / weights.sum()
        self.exemplar_indices_ = log_odds(torch.from_numpy(logits)).argmax(0).numpy()
        with torch.no_grad():
            decoded = self.module_.p_y(self.module_.typical_p_x().mean).mean
        self.cluster_centers_ = self._space.to_data(decoded, np.dtype(np.float64))
        bounds = self.history_["lower_bound"]
        self.lower_bound_ = float(bounds[-1]) if len(bounds) else -np.inf


def _float_of(X: Any) -> np.dtype[Any]:
    """Precision of what is computed from X: that of X, single for bytes."""
    return np.dtype(np.float64 if X.dtype == np.float64 else np.float32)


def in_precision_of(
    dtype: np.dtype[Any], module: GMVAE, device: torch.device
) -> tuple[GMVAE, torch.dtype]:
    """Return the module in the precision of the data.

    In double precision a row's result does not depend, up to 1e-12 or so, on what other rows
    are in the batch. The module is copied, not converted: other threads may be reading it.
    """
    if dtype != np.float64 or not supports_float64(device):
        return module, torch.float32
    return copy.deepcopy(module).double(), torch.float64


def cluster_logits(model: GMVAE, y: Tensor) -> Tensor:
    """Return log p(z|x, w) at the means of q(x|y) and q(w|y), (B, K)."""
    return model.cluster_logits(model.q(y))


def log_odds(logits: Tensor) -> Tensor:
    """Log-odds from normalised logits (B, K), exact where the probability rounds to 1."""
    top = logits.argmax(-1, keepdim=True)
    others = logits.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    odds = logits - torch.log1p(-logits.scatter(-1, top, -torch.inf).exp())
    return odds.scatter(-1, top, logits.gather(-1, top) - others)
