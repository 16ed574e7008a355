"""From latent points to rows: decoding and sampling."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_scalar, gen_batches
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .data import INFERENCE_ROWS, DataSpace
from .inference import in_precision_of
from .model import GMVAE
from .runtime import draw_seed, generator

__all__ = ["GenerationMixin"]


class GenerationMixin:
    """From latent points to rows: decoding and sampling."""

    module_: GMVAE
    device_: str
    random_state: Any
    weights_: NDArray[np.float64]
    _space: DataSpace

    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:
        """Decode latent points: the mean of p(y|x), in the units of the data.

        Parameters
        ----------
        X : array-like of shape (n_samples, latent_dim)

        Returns
        -------
        decoded : ndarray of shape (n_samples, n_features)

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If X is not what `transform` returns.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> decoded = clusterer.inverse_transform(clusterer.transform(X))
        >>> np.allclose(decoded, clusterer.reconstruct(X))
        True
        """
        check_is_fitted(self)
        latent: Any = check_array(X, dtype=[np.float64, np.float32])
        if latent.shape[1] != self.module_.latent_dim:
            raise ValueError(
                f"X has {latent.shape[1]} columns, but the latent space has latent_dim="
                f"{self.module_.latent_dim}: pass what `transform` returns."
            )
        device = torch.device(self.device_)
        model, dtype = in_precision_of(latent.dtype, self.module_, device)
        parts = []
        with torch.no_grad():
            for batch in gen_batches(len(latent), INFERENCE_ROWS):
                x = torch.tensor(latent[batch], dtype=dtype, device=device)
                parts.append(self._space.to_data(model.p_y(x).mean, latent.dtype))
        return np.concatenate(parts)

    def latent_components(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return where each component lies in the latent space: p(x|w, z) at w = 0 (Eq. 1c).

        Returns
        -------
        means, variances : ndarray of shape (n_clusters, latent_dim)

        Raises
        ------
        NotFittedError
            Before `fit`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> means, variances = clusterer.latent_components()
        >>> means.shape
        (3, 10)
        """
        check_is_fitted(self)
        with torch.no_grad():
            p_x = self.module_.typical_p_x()
        return p_x.mean.cpu().numpy(), p_x.variance.cpu().numpy()

    def sample(
        self,
        n_samples: int = 1,
        cluster: ArrayLike | None = None,
        w: ArrayLike | None = None,
        *,
        observation_noise: bool = True,
    ) -> tuple[NDArray[Any], NDArray[np.intp]]:
        """Draw rows from the generative model (Eq. 1).

        Parameters
        ----------
        n_samples : int, default=1
        cluster : int or array-like of shape (n_samples,), default=None
            Component of each row; ``None`` draws it from `weights_`.
        w : array-like of shape (style_dim,) or (n_samples, style_dim), default=None
            The style; ``None`` draws it from N(0, I). Zeros give the typical style.
        observation_noise : bool, default=True
            ``False`` returns the mean of p(y|x) rather than a draw, as the paper's figures do;
            images look better so, and a Bernoulli draw is black and white.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            In the units of the training data.
        labels : ndarray of shape (n_samples,)
            The component that each row was drawn from.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError
            If `n_samples` is not positive, a component does not exist, or `w` has another shape.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skgmvae import GMVAEClustering
        >>> X = load_iris().data
        >>> clusterer = GMVAEClustering(3, max_iter=20, random_state=0).fit(X)
        >>> X_new, labels = clusterer.sample(4, cluster=[0, 1, 2, 2])
        >>> X_new.shape, labels
        ((4, 4), array([0, 1, 2, 2]))
        """
        check_is_fitted(self)
        model = self.module_
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        source = generator(torch.device(self.device_), draw_seed(self.random_state))
        if cluster is None:
            weights = torch.tensor(self.weights_, dtype=torch.float32, device=self.device_)
            drawn = torch.multinomial(weights, n_samples, replacement=True, generator=source)
            labels = drawn.cpu().numpy().astype(np.intp)
        else:
            given = np.asarray(cluster)
            whole = np.issubdtype(given.dtype, np.integer)
            if not whole or given.min() < 0 or given.max() >= model.n_components:
                raise ValueError(
                    f"cluster={cluster!r} must name components as whole numbers from 0 to "
                    f"{model.n_components - 1}."
                )
            if given.shape not in [(), (n_samples,)]:
                raise ValueError(
                    f"cluster has shape {given.shape}; it must be one number or n_samples="
                    f"{n_samples} of them."
                )
            labels = np.broadcast_to(given, n_samples).astype(np.intp)

        def standard_normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=source, device=self.device_)

        if w is None:
            style = standard_normal(n_samples, model.style_dim)
        else:
            style_given = np.asarray(w, dtype=np.float32)
            if not np.isfinite(style_given).all():
                raise ValueError("w has values that are not finite.")
            if style_given.shape not in [(model.style_dim,), (n_samples, model.style_dim)]:
                raise ValueError(
                    f"w has shape {style_given.shape}; it must be ({model.style_dim},) or "
                    f"({n_samples}, {model.style_dim})."
                )
            style = torch.tensor(style_given, device=self.device_).expand(n_samples, -1)
        noise = standard_normal(n_samples, model.latent_dim)
        parts = []
        with torch.no_grad():
            for batch in gen_batches(n_samples, INFERENCE_ROWS):
                p_x = model.p_x(style[batch])  # (B, K, N_x)
                picked = torch.arange(len(p_x.mean)), torch.tensor(labels[batch])
                p_y = model.p_y(p_x.mean[picked] + p_x.stddev[picked] * noise[batch])
                rows = p_y.mean
                if observation_noise and model.likelihood.name == "gaussian":
                    rows = rows + p_y.stddev * standard_normal(*rows.shape)
                elif observation_noise:
                    rows = torch.bernoulli(rows, generator=source)
                parts.append(self._space.to_data(rows, np.dtype(np.float64)))
        return np.concatenate(parts), labels
