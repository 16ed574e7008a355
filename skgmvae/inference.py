"""From rows to clusters and reconstructions, at the means of q(x|y) and q(w|y).

All methods are deterministic, treat each row by itself and leave no trace on the object.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from .data import INFERENCE_ROWS, DataSpace
from .model import GMVAE
from .runtime import supports_float64

__all__ = ["InferenceMixin", "cluster_logits", "in_precision_of", "log_odds"]


class InferenceMixin:
    """From rows to clusters and reconstructions."""

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
        >>> bool((clusterer.predict(X) == clusterer.labels_).all())
        True
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
        >>> clusterer.predict_proba(X[:2]).sum(1)
        array([1., 1.])
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
        >>> clusterer.predict_log_proba(X).shape
        (150, 3)
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
        >>> from skgmvae.metrics import max_probability_accuracy
        >>> X, y = load_iris(return_X_y=True)
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> max_probability_accuracy(y, clusterer.decision_function(X)) > 0.8
        True
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
        >>> clusterer.reconstruct(X).shape
        (150, 4)
        """
        return self._map(X, lambda model, y: model.p_y(model.q(y).q_x.mean).mean, decoded=True)

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
