"""A fitted model: rows in, arrays out. It is what is stored, moved and shared by threads.

All methods treat each row by itself and give the same answer at every call.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from torch import Tensor, nn

from ._model import GMVAE, Architecture, LatentMixture, Posterior, memberships
from ._objective import (
    PROPOSAL,
    Noise,
    Terms,
    draw_noise,
    drawn,
    elbo_terms,
    fixed_points,
    log_evidence,
    mixture_log_evidence,
    shifted_points,
)
from ._rows import (
    BLOCK_ROWS,
    FARTHEST,
    Units,
    dense,
    has_missing,
    rows_at_a_time,
    rows_of_values,
    slices,
)
from .likelihoods import Likelihood
from .runtime import (
    CPU,
    cached_property,
    computes_in_float64,
    generator,
    ordinary_torch,
    threads_for,
)

__all__ = ["ESTIMATION", "Estimation", "Fitted", "load_arrays", "log_odds", "to_arrays"]


#: Values that are decoded at a time, for memory.
DECODED_VALUES = 2**20


class Estimation(NamedTuple):
    """How bounds and densities are estimated, under noise that all rows share.

    Chosen for time, not tuned: the spread that the draws leave in `score` of iris is a few
    hundredths of a nat.

    Attributes
    ----------
    n_draws : int
        Of x and w, for Eq. 3.
    seed : int
        Of the noise, the same at every call and on every device.
    """

    n_draws: int = 16
    seed: int = 1611


ESTIMATION = Estimation()


class Sampling(NamedTuple):
    """How rows of a cluster are drawn. Chosen for time, not tuned.

    Attributes
    ----------
    n_pilot : int
        Rows from each component that tell how many of them are of each cluster.
    max_rounds : int
        How often a row is drawn at most. One that was never kept, as of a component without rows,
        is drawn from the component's own latent distribution as it is.
    """

    n_pilot: int = 64
    max_rounds: int = 100


SAMPLING = Sampling()


class Fitted:
    """A trained module with the units that it speaks.

    Parameters
    ----------
    architecture : Architecture
    module : GMVAE
        Is put in evaluation mode, and must not be changed afterwards.
    units : Units
    latent_mixture : LatentMixture or None
        p(x|z), fitted to the posteriors of the training rows, in double precision on the CPU. None
        leaves the paper's, the integral of p(x|w, z) over the style w.
    """

    def __init__(
        self,
        architecture: Architecture,
        module: GMVAE,
        units: Units,
        latent_mixture: LatentMixture | None = None,
    ) -> None:
        self.architecture = architecture
        self.module = module.eval()
        self.module.complete = False
        self.units = units
        self.latent_mixture = latent_mixture

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return self.module.log_weights.device

    @property
    def likelihood(self) -> Likelihood:
        """The family of p(y|x)."""
        return cast(Likelihood, self.architecture.likelihood)

    @cached_property
    def _n_multiplications(self) -> int:
        return self.module.n_multiplications(self.architecture.data_shape)

    @cached_property
    def _double(self) -> GMVAE:
        """The module in double precision.

        With it a row's result does not depend, up to 1e-12 or so, on what other rows are in the
        batch. A copy: other threads may be reading the module.
        """
        return copy.deepcopy(self.module).double()

    @cached_property
    def _limits(self) -> Tensor:
        return self.units.limits_in_model()

    @ordinary_torch()
    def moved(self, device: torch.device) -> Fitted:
        """Move the module, which nobody else may use yet, and return the model."""
        self.module.to(device)
        return self

    def check(self, X: NDArray[Any]) -> None:
        """Raise a ValueError where rows of X can have no density."""
        self.likelihood.check(X, self.units)

    def conversion_warnings(self, X: NDArray[Any]) -> list[Warning]:
        """Return warnings if rows of X seem to be in other units than the training data."""
        n_far, of_values = self.units.n_far(X), self.likelihood.conversion_warning(X, self.units)
        of_distance = (
            f"{n_far} of {X.shape[0]} rows lie more than {FARTHEST:.0e} units of the training data "
            "away from it, and are taken for rows at that distance."
        ) if n_far else ""
        return [DataConversionWarning(text) for text in (of_distance, of_values) if text]

    def labels(self, X: NDArray[Any]) -> NDArray[np.intp]:
        """Return the most probable component of each row."""
        return self._map(X, lambda model, y: self._logits(model, y).argmax(1)).astype(np.intp)

    def assignment(
        self, X: NDArray[Any]
    ) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[np.bool_]]:
        """Return each row's component, its log-odds, and whether others are as probable."""

        def assigned(model: GMVAE, y: Tensor) -> Tensor:
            logits = self._logits(model, y)
            top = logits.argmax(1, keepdim=True)
            n_top = (logits == logits.gather(1, top)).sum(1, keepdim=True)
            return torch.cat([top, log_odds(logits).gather(1, top), n_top], 1)

        labels, odds, n_top = self._map(X, assigned).T
        return labels.astype(np.intp), odds, n_top > 1

    def log_proba(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return log p(z|x, w) at the means of q(x|y) and q(w|y), (n_rows, K)."""
        return self._map(X, self._logits)

    def log_odds(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the log-odds of each component, (n_rows, K)."""
        return self._map(X, lambda model, y: log_odds(self._logits(model, y)))

    def latent(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the mean of q(x|y), (n_rows, latent_dim)."""
        return self._map(X, lambda model, y: self._q(model, y)[0].mean)

    def reconstructed(self, X: NDArray[Any]) -> NDArray[Any]:
        """Return the mean of p(y|x) at the mean of q(x|y), in the units of X."""

        def reconstruction(model: GMVAE, y: Tensor) -> Tensor:
            return self.likelihood.reconstruction(model.p_y(self._q(model, y).q_x.mean), y)

        return self._map(X, reconstruction, decoded=True)

    def elbo(self, X: NDArray[Any]) -> Terms:
        """Estimate the terms of Eq. 3 of each row."""

        def terms_of(model: GMVAE, y: Tensor, noise: Noise) -> Tensor:
            return torch.stack(elbo_terms(model, y, *self._q(model, y), noise), -1)

        terms = Terms(*self._map_noise(X, terms_of, ESTIMATION.n_draws).T)
        return terms._replace(reconstruction=self._in_data(terms.reconstruction, X))

    def log_density(self, X: NDArray[Any], n_draws: int) -> NDArray[Any]:
        """Estimate the log-density of each row by importance weighting."""
        latent = self.latent_mixture
        if latent is None:
            of_rows = self._map_noise(
                X,
                lambda model, y, noise: log_evidence(model, y, *self._q(model, y), noise),
                n_draws,
            )
            return self._in_data(of_rows, X)
        n_prior = int(PROPOSAL.prior_share * n_draws)
        n_columns = self.module.latent_dim + 1
        points = [
            fixed_points(n_points, n_columns, ESTIMATION.seed + number)
            for number, n_points in enumerate((n_draws - n_prior, n_prior))
        ]
        directions = PROPOSAL.frequency * torch.randn(
            len(points), math.prod(self.architecture.data_shape), n_columns,
            generator=generator(CPU, ESTIMATION.seed), device=CPU, dtype=torch.float64,
        )

        def evidence(model: GMVAE, y: Tensor) -> Tensor:
            of_posterior, of_prior = map(shifted_points, points, (y, y), directions)
            return mixture_log_evidence(
                model, latent.to(y.device, y.dtype), y, self._q(model, y).q_x, of_posterior,
                of_prior, PROPOSAL.inflation,
            )

        return self._in_data(self._map(X, evidence, n_rows=self._n_rows_with(n_draws)), X)

    def certainty(self, X: NDArray[Any]) -> tuple[float, float]:
        """Return how probable rows' clusters are: at the means of q(x|y), q(w|y), and at draws."""

        def probabilities(model: GMVAE, y: Tensor, noise: Noise) -> Tensor:
            posterior = self._q(model, y)
            at_means, cluster = model.cluster_logits(posterior).exp().max(-1, keepdim=True)
            x, w = drawn(*posterior, noise)
            at_draws = model.p_z(x, model.p_x(w)).probs.mean(0)
            return torch.cat([at_means, at_draws.gather(-1, cluster)], -1)

        means = self._map_noise(X, probabilities, ESTIMATION.n_draws).mean(0)
        return float(means[0]), float(means[1])

    @ordinary_torch()
    @torch.no_grad()
    def decoded(self, latent: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
        """Return the mean of p(y|x) at latent points, in the units of X.

        Rows have the dtype of the points, or another: rows in the units of X may need double
        precision where points do not.
        """
        model, precision = self._in_precision_of(latent.dtype)
        dtype = np.dtype(dtype or latent.dtype)
        rows = np.empty((len(latent), len(self.units.scale)), dtype)
        for block in slices(len(latent), rows_of_values(rows.shape[1])):
            near = np.clip(latent[block], -FARTHEST, FARTHEST)  # the networks would overflow
            x = torch.from_numpy(near).to(self.device, precision)
            rows[block] = self.units.to_data(model.p_y(x).mean, dtype)
        return rows

    @ordinary_torch()
    @torch.no_grad()
    def components(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the means (K, N_x) and covariances (K, N_x, N_x) of p(x|z); at w = 0 if by w."""
        latent = self.latent_mixture
        if latent is None:
            p_x = self.module.typical_p_x()
            return p_x.mean.cpu().numpy(), torch.diag_embed(p_x.variance).cpu().numpy()
        return latent.means.numpy().copy(), latent.covariances.numpy()

    def centers(self) -> NDArray[np.float64]:
        """Return the mean rows of the components, in the units of X; decoded at w = 0 if by w."""
        if self.latent_mixture is None:
            return self.decoded(self.components()[0], np.float64)
        return self.units.to_data(self.latent_mixture.mean_rows, np.dtype(np.float64))

    @property
    def weights(self) -> NDArray[np.float64]:
        """p(z), of shape (K,)."""
        weights = np.exp(self.module.log_weights.cpu().numpy().astype(np.float64))
        return weights / weights.sum()

    @ordinary_torch()
    @torch.no_grad()
    def sample(
        self,
        n_samples: int,
        seed: int,
        *,
        labels: NDArray[np.intp] | None,
        style: NDArray[np.float32] | None,
        observation_noise: bool,
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Draw rows and the component of each: from Eq. 1, or without a style from p(y) p(z|y).

        In the latter p(y) is that of `log_density`, and p(z|y) is weighed as `memberships` are. All
        randomness is drawn on the CPU: the same rows on every device, up to rounding.
        """
        source = generator(CPU, seed)
        origins = _drawn_from(self.weights, n_samples, source) if labels is None else labels
        if style is None and self.latent_mixture is not None:
            if labels is not None:
                return self._rows_of_clusters(labels, observation_noise, source), labels
            rows = self._drawn_rows(origins, None, observation_noise, source)
            return rows, self._drawn_labels(rows, source)
        if style is not None:
            w = torch.from_numpy(np.broadcast_to(style, (n_samples, style.shape[-1])).copy())
        else:
            w = _standard_normal(n_samples, self.module.style_dim, source)
        return self._drawn_rows(origins, w, observation_noise, source), origins

    @ordinary_torch()
    @torch.no_grad()
    def sample_confusion(self, n_samples: int, seed: int) -> NDArray[np.float64]:
        """Return what rows that are drawn from each component's latent distribution are of.

        Returns
        -------
        ndarray of shape (K, K)
            Of rows from component i, the share that `sample` takes for component j.
        """
        return self._confusion(n_samples, True, generator(CPU, seed))

    def _confusion(
        self, n_samples: int, observation_noise: bool, source: torch.Generator
    ) -> NDArray[np.float64]:
        n_components = self.module.n_components
        origins = np.arange(n_components).repeat(n_samples)
        rows = self._drawn_rows(origins, None, observation_noise, source)
        kept: NDArray[np.float64] = (
            self._memberships(rows).reshape(n_components, n_samples, -1).mean(1)
        )
        return kept

    def _rows_of_clusters(
        self,
        labels: NDArray[np.intp],
        observation_noise: bool,
        source: torch.Generator,
    ) -> NDArray[np.float64]:
        """Draw rows of given components, by rejection.

        A row is drawn from the latent distribution of a component, mostly its own, and kept by its
        membership, else drawn again: p(x|z) reaches into other clusters where these are no
        ellipsoids in the latent space.
        """
        rows = np.empty((len(labels), len(self.units.scale)))
        kept = self._confusion(SAMPLING.n_pilot, observation_noise, source)
        origins = np.empty_like(labels)
        for k in np.unique(labels):
            mass = self.weights * kept[:, k]
            mass[k] += np.finfo(np.float32).tiny  # all that there is of a component without rows
            origins[labels == k] = _drawn_from(mass, int((labels == k).sum()), source)
        waiting = np.arange(len(labels))
        for _ in range(SAMPLING.max_rounds):
            drawn = self._drawn_rows(origins[waiting], None, observation_noise, source)
            is_kept = self._drawn_labels(drawn, source) == labels[waiting]
            rows[waiting[is_kept]] = drawn[is_kept]
            waiting = waiting[~is_kept]
            if not len(waiting):
                return rows
        rows[waiting] = self._drawn_rows(labels[waiting], None, observation_noise, source)
        return rows

    def _q(self, model: GMVAE, y: Tensor) -> Posterior:
        """q(x|y) and q(w|y); of values that the encoder has not learned of, by the nearest ones."""
        low, high = self._limits.to(y.device, y.dtype)
        return model.q(y.clamp(low, high))

    def _logits(self, model: GMVAE, y: Tensor) -> Tensor:
        """Log p(z|y), (B, K); p(z) of rows that say nothing, as all their values are missing."""
        is_empty = y.flatten(1).isnan().all(1, keepdim=True)
        return torch.where(
            is_empty, model.log_weights, model.cluster_logits(self._q(model, y))
        )

    def _memberships(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._map(rows, lambda model, y: memberships(self._logits(model, y)))

    def _drawn_labels(
        self, rows: NDArray[np.float64], source: torch.Generator
    ) -> NDArray[np.intp]:
        """Draw a component of each row by its memberships."""
        return _drawn_from(self._memberships(rows), 1, source)[:, 0]

    def _drawn_rows(
        self,
        labels: NDArray[np.intp],
        w: Tensor | None,
        observation_noise: bool,
        source: torch.Generator,
    ) -> NDArray[np.float64]:
        """Draw rows from components, by p(x|w, z) (Eq. 1c) or, without styles, by p(x|z)."""
        model, latent = self.module, self.latent_mixture
        noise = _standard_normal(len(labels), model.latent_dim, source)
        rows = np.empty((len(labels), len(self.units.scale)))
        for block in slices(len(labels), rows_of_values(rows.shape[1])):
            z = torch.from_numpy(labels[block]).to(self.device)
            x_noise = noise[block].to(self.device)
            if w is None:
                assert latent is not None
                x = latent.to(self.device, torch.float32).points(z, x_noise)
            else:
                p_x = model.p_x(w[block].to(self.device))  # (B, K, N_x)
                picked = torch.arange(len(z), device=self.device), z
                x = p_x.mean[picked] + p_x.stddev[picked] * x_noise
            p_y = model.p_y(x)
            y = self.likelihood.draw(p_y, source) if observation_noise else p_y.mean
            rows[block] = self.units.to_data(y, rows.dtype)
        if observation_noise and self.units.are_counts:
            rows = np.round(rows)  # which the model saw in single precision
        return rows

    def _in_data(self, log_density: NDArray[Any], X: NDArray[Any]) -> NDArray[Any]:
        if not has_missing(X):
            return self.likelihood.log_density_in_data(log_density, self.units)
        parts = [
            self.likelihood.log_density_in_data(
                log_density[block], self.units, ~np.isnan(dense(X[block]))
            )
            for block in slices(X.shape[0], BLOCK_ROWS)
        ]
        return np.concatenate(parts)

    def _in_precision_of(self, dtype: Any) -> tuple[GMVAE, torch.dtype]:
        if dtype == np.float64 and computes_in_float64(self.device):
            return self._double, torch.float64
        return self.module, torch.float32

    @ordinary_torch()
    @torch.no_grad()
    def _map(
        self,
        X: NDArray[Any],
        function: Callable[[GMVAE, Tensor], Tensor],
        *,
        decoded: bool = False,
        n_rows: int = BLOCK_ROWS,
    ) -> NDArray[Any]:
        """Apply `function` to the rows of a checked X, a block at a time.

        The result is in the precision of X, single for bytes, if it is of floats.
        """
        dtype = np.dtype(np.float64 if X.dtype == np.float64 else np.float32)
        model, precision = self._in_precision_of(dtype)
        result: NDArray[Any] | None = None
        n_rows = rows_at_a_time(X, n_rows)
        with threads_for(self._n_multiplications * min(n_rows, X.shape[0])):
            for block in slices(X.shape[0], n_rows):
                values = function(model, self.units.to_model(X[block], precision, self.device))
                part = self.units.to_data(values, dtype) if decoded else values.cpu().numpy()
                if result is None:
                    out = dtype if part.dtype.kind == "f" else part.dtype
                    result = np.empty((X.shape[0], *part.shape[1:]), out)
                result[block] = part
        assert result is not None
        return result

    def _map_noise(
        self,
        X: NDArray[Any],
        function: Callable[[GMVAE, Tensor, Noise], Tensor],
        n_draws: int,
    ) -> NDArray[Any]:
        """Apply `function` to the rows of a checked X, under noise that all rows share."""
        noise = draw_noise(
            n_draws, 1, self.module.latent_dim, self.module.style_dim,
            generator(CPU, ESTIMATION.seed),
        )

        def with_noise(model: GMVAE, y: Tensor) -> Tensor:
            return function(model, y, Noise(*(draw.to(y.device, y.dtype) for draw in noise)))

        return self._map(X, with_noise, n_rows=self._n_rows_with(n_draws))

    def _n_rows_with(self, n_draws: int) -> int:
        """Return how many rows to decode at a time from so many draws each, by their values."""
        n_at_most = DECODED_VALUES // math.prod(self.architecture.data_shape)
        return max(1, min(BLOCK_ROWS, n_at_most) // n_draws)


def to_arrays(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the module's parameters and buffers as numpy arrays."""
    return {name: value.cpu().numpy().copy() for name, value in module.state_dict().items()}


def load_arrays(module: nn.Module, arrays: dict[str, NDArray[Any]]) -> None:
    """Copy arrays, which may be read-only or mapped from disk, into the module."""
    module.load_state_dict({
        name: torch.tensor(value, device=CPU) for name, value in arrays.items()
    })


def _drawn_from(
    weights: NDArray[np.float64], n_samples: int, source: torch.Generator
) -> NDArray[np.intp]:
    """Draw components in proportion to their weights (..., K): (..., n_samples)."""
    drawn = torch.multinomial(
        torch.from_numpy(weights).to(torch.float32), n_samples, replacement=True, generator=source
    )
    return drawn.numpy().astype(np.intp)


def _standard_normal(n_rows: int, n_columns: int, source: torch.Generator) -> Tensor:
    return torch.randn(
        n_rows, n_columns, generator=source, device=CPU, dtype=torch.float32
    )


def log_odds(logits: Tensor) -> Tensor:
    """Log-odds from normalized logits (B, K), exact where the probability rounds to 1."""
    top = logits.argmax(-1, keepdim=True)
    others = logits.scatter(-1, top, -torch.inf).logsumexp(-1, keepdim=True)
    odds = logits - torch.log1p(-logits.scatter(-1, top, -torch.inf).exp())
    return odds.scatter(-1, top, logits.gather(-1, top) - others)
