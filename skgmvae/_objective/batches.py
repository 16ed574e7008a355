"""What a step needs: rows, noise, perturbed rows, pseudo-labels. All randomness is drawn here.

A batch is a function of the keys (seed, restart) and (epoch, step) alone, so that training can
start anywhere, and a step is a pure function of its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from .._rows import Rows, mixed_order, n_batches, shuffled_batches
from ..distributed import ALONE, Group, Share
from ..perturbations import Perturbation, affine, is_affine
from ..runtime import generator, watched_global_draws
from .elbo import Noise, draw_noise
from .regularizer import PseudoLabels

__all__ = ["Batch", "Batches", "PseudoLabelSchedule", "RegularizerInputs"]


class Batch(NamedTuple):
    """All that a step reads: B rows, M Monte Carlo samples, K clusters.

    In a group of processes each has its own rows of these, but all pseudo-labels.
    """

    y: Tensor  # (B, *data_shape)
    noise: Noise  # x (M, B, N_x), w (M, B, N_w)
    perturbed: Tensor | None  # (B, *data_shape), y after what the model has no part in
    direction: Tensor | None  # (B, *data_shape), random, for the adversarial step
    radius: Tensor | None  # (B,), of that step
    log_sizes: Tensor | None  # (K,), log of the sizes that clusters should have, up to a constant
    pseudo_labels: PseudoLabels | None
    share: Share | None = None

    def whole(self, *parts: Tensor) -> Sequence[Tensor]:
        """Return for all rows of the batch what there is for those of this process."""
        return parts if self.share is None else self.share.whole(*parts)


class PseudoLabelSchedule(NamedTuple):
    """By what weight, in nats, the posterior is fitted to pseudo-labels.

    Attributes
    ----------
    first, last : float
        Weight at first, and that to which it falls.
    share : float
        Share of the schedule over which it would fall to zero.
    """

    first: float
    last: float
    share: float

    def at(self, progress: float) -> float:
        """Return the weight when so much of the schedule is done, from 0 to 1."""
        return max(self.last, self.first * (1 - progress / self.share))


class RegularizerInputs(NamedTuple):
    """What the regularizer needs of the rows.

    Attributes
    ----------
    perturbation : str or callable
    radius : ndarray of shape (n_rows,) or None
        Of the adversarial step.
    pseudo_labels : csr_array of shape (n_rows, K) or None
        Probabilities that rows are in each cluster.
    schedule : PseudoLabelSchedule or None
        Of the loss to these; None where there are none, or they only say which sizes of clusters
        to expect.
    weights : ndarray of shape (n_rows,) or None
        Of the rows; None where all have one.
    """

    perturbation: str | Perturbation
    radius: NDArray[np.float32] | None
    pseudo_labels: csr_array | None = None
    schedule: PseudoLabelSchedule | None = None
    weights: NDArray[np.float64] | None = None

    def prior(self, group: Group = ALONE) -> Tensor | None:
        """p(z) while training, (K,): the shares of the pseudo-labels; None is uniform (Eq. 1b).

        A posterior that is fitted to them has their sizes, so that no other prior goes with it. A
        cluster without rows counts as one row.
        """
        if self.schedule is None:
            return None
        sizes = self.sizes(group).clamp(min=1.0)
        return sizes / sizes.sum()

    def sizes(self, group: Group = ALONE) -> Tensor:
        """Sum the pseudo-labels of each cluster over rows, (K,)."""
        found = self.pseudo_labels
        assert found is not None
        weights = np.ones(found.shape[0]) if self.weights is None else self.weights
        return torch.from_numpy(group.sum(weights @ found)).to(torch.float32)


class ProbabilityTable(NamedTuple):
    """Probabilities of clusters by row, as a device looks them up.

    Attributes
    ----------
    probabilities : Tensor of shape (n_rows, m) or (n_rows, K)
        Those that are not 0, up to m of a row, where m is less than half of K; else all.
    clusters : Tensor of shape (n_rows, m) or None
        Of which clusters they are, in the smallest type that holds K. Where a row has fewer, one
        of its own stands there again.
    n_clusters : int
    """

    probabilities: Tensor
    clusters: Tensor | None
    n_clusters: int

    @classmethod
    def of(cls, given: csr_array, device: torch.device) -> ProbabilityTable:
        """Return a table of the same probabilities; each row has some."""
        n_clusters, counts = given.shape[1], np.diff(given.indptr)
        width = int(counts.max(initial=1))
        if 2 * width >= n_clusters:
            whole = torch.tensor(given.toarray(), device=device, dtype=torch.float32)
            return cls(whole, None, n_clusters)
        column = np.minimum(np.arange(width), counts[:, None] - 1)  # (n_rows, m)
        place = given.indptr[:-1, None] + column
        kind = next(
            kind for kind in (torch.uint8, torch.int16, torch.int32)
            if n_clusters <= torch.iinfo(kind).max + 1
        )
        return cls(
            torch.tensor(given.data[place], device=device, dtype=torch.float32),
            torch.tensor(given.indices[place], device=device, dtype=kind), n_clusters,
        )

    def take(self, index: Tensor) -> Tensor:
        """Return the probabilities of some rows, (len(index), K)."""
        found = self.probabilities[index]
        if self.clusters is None:
            return found
        whole = found.new_zeros(len(index), self.n_clusters)
        return whole.scatter_(1, self.clusters[index].long(), found)


class Batches:
    """The batches of a training run.

    Parameters
    ----------
    rows : Rows
    batch_size : int
    n_mc_samples, latent_dim, style_dim, n_clusters : int
        M, N_x, N_w and K.
    inputs : RegularizerInputs or None
        None leaves out all that the regularizer reads.
    key : tuple of int
        (seed, restart), with (epoch, step) of every draw.
    progress : callable
        From the number of epochs, with fractions, to the share of the schedule that is done.
    weights : ndarray of shape (n_rows,) or None
        In proportion to which rows are drawn; None is once each in an epoch.
    group : Group, default=ALONE
        Batches are of the rows of all its processes.
    numbers : ndarray of int or None, default=None
        Of the rows, among those of all processes, that are trained on; None is all.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        batch_size: int,
        n_mc_samples: int,
        latent_dim: int,
        style_dim: int,
        n_clusters: int,
        inputs: RegularizerInputs | None,
        key: tuple[int, int],
        progress: Callable[[float], float],
        weights: NDArray[np.float64] | None = None,
        group: Group = ALONE,
        numbers: NDArray[np.intp] | None = None,
    ) -> None:
        self.rows = rows
        self.batch_size = batch_size
        self.n_mc_samples = n_mc_samples
        self.latent_dim = latent_dim
        self.style_dim = style_dim
        self.inputs = inputs
        self.key = key
        self.progress = progress
        self.group = group
        self.n_rows = group.n_rows(rows.n_rows) if numbers is None else len(numbers)
        self._weights = None
        if weights is not None:
            of_all = np.concatenate(group.gathered(weights))
            drawn_from = of_all if numbers is None else of_all[numbers]
            self._weights = torch.tensor(drawn_from, device=rows.device, dtype=torch.float32)
        self.n_steps = n_batches(self.n_rows, batch_size)
        self._numbers = None if numbers is None else torch.tensor(numbers, device=rows.device)
        self._epoch = -1
        self._perturbed_once = False
        self._log_sizes = torch.zeros(n_clusters, device=rows.device, dtype=torch.float32)
        self._radius = self._pseudo_labels = None
        if inputs is not None and inputs.radius is not None:
            self._radius = torch.tensor(inputs.radius, device=rows.device)
        if inputs is not None and inputs.pseudo_labels is not None:
            self._pseudo_labels = ProbabilityTable.of(inputs.pseudo_labels, rows.device)
            self._log_sizes = torch.log(inputs.sizes(group) + 1.0).to(rows.device)

    def __call__(self, epoch: int, step: int) -> Batch:
        """Return the batch of a step, 0 to `n_steps` - 1, of an epoch."""
        order = self._order(epoch)[step]
        share = self.group.share(order, self.rows.n_rows)
        index, own, shared = share.numbers, share.own, None if self.group.is_alone else share
        if self.rows.home == self.rows.device:
            y = self.rows.take(index)
        else:  # no step waits for an index that comes back from the device
            y = self.rows.take(self.group.share(self._at_home[step], self.rows.n_rows).numbers)
        source = generator(y.device, *self.key, epoch, step)
        # what is drawn is drawn for all rows of the batch, in every process
        x, w = draw_noise(
            self.n_mc_samples, len(order), self.latent_dim, self.style_dim, source
        )
        noise = Noise(own(x, 1), own(w, 1))
        if self.inputs is None:
            return Batch(y, noise, None, None, None, None, None, shared)
        perturbed = own(self._perturbed(share.padded(y), source))
        direction = radius = pseudo_labels = None
        if self._radius is not None:
            radius = self._radius[index]
            direction = own(torch.randn(
                (len(order), *y.shape[1:]), generator=source, device=y.device,
                dtype=torch.float32,
            ))
        if self._pseudo_labels is not None and self.inputs.schedule is not None:
            weight = self.inputs.schedule.at(self.progress(epoch + step / self.n_steps))
            (probabilities,) = share.whole(self._pseudo_labels.take(index))
            pseudo_labels = PseudoLabels(
                probabilities,
                torch.full((), weight, device=y.device, dtype=torch.float32),
            )
        return Batch(y, noise, perturbed, direction, radius, self._log_sizes, pseudo_labels, shared)

    def _order(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            source = generator(self.rows.device, *self.key, epoch)
            self._shuffled = shuffled_batches(
                self.n_rows, self.batch_size, source, self._weights, self._mixed(source)
            )
            if self._numbers is not None:
                self._shuffled = self._numbers[self._shuffled]
            self._at_home = self._shuffled.to(self.rows.home)
            self._epoch = epoch
        return self._shuffled

    def _mixed(self, source: torch.Generator) -> Tensor | None:
        """Return an order in which few parts of a file are read at a time; None where all is."""
        if self.rows.mixed is None:
            return None
        order = mixed_order(self.group.counts or (self.rows.n_rows,), *self.rows.mixed, source)
        if self._numbers is None:
            return order
        place = torch.full_like(order, -1)
        place[self._numbers] = torch.arange(self.n_rows, device=order.device)
        order = place[order]
        return order[order >= 0]

    def _perturbed(self, y: Tensor, source: torch.Generator) -> Tensor:
        """Return the rows after the part of the perturbation that does not look at the model.

        Missing values are 0 for it, and missing afterwards: the same, or what comes into their
        place where the perturbation is affine.
        """
        if not self.rows.has_missing:
            return self._perturbed_complete(y, source)
        is_missing = y.isnan()
        filled = y.masked_fill(is_missing, 0.0)
        assert self.inputs is not None
        if is_affine(self.inputs.perturbation):
            both = torch.cat([filled, is_missing.to(y.dtype)], 1)
            moved, missing = affine(both, source).chunk(2, 1)
            return moved.masked_fill(missing > 0.5, torch.nan)
        return self._perturbed_complete(filled, source).masked_fill(is_missing, torch.nan)

    def _perturbed_complete(self, y: Tensor, source: torch.Generator) -> Tensor:
        assert self.inputs is not None
        perturbation = self.inputs.perturbation
        if not callable(perturbation):
            return affine(y, source) if is_affine(perturbation) else y
        rows = y.clone()  # a copy: it may change its argument in place
        if self._perturbed_once:
            changed = perturbation(rows, source)
        else:
            with watched_global_draws() as were_any:
                changed = perturbation(rows, source)
                if were_any():
                    raise ValueError(
                        f"perturbation={perturbation!r} draws from torch's global generator, so "
                        "that no seed could fix the fit. Pass the generator that it is given to "
                        "what draws: torch.randn(y.shape, generator=generator, device=y.device)."
                    )
            self._perturbed_once = True
        if not isinstance(changed, Tensor) or changed.shape != y.shape:
            got = tuple(changed.shape) if isinstance(changed, Tensor) else changed
            raise ValueError(
                f"perturbation={perturbation!r} must return a tensor of shape {tuple(y.shape)}, "
                f"that of the rows it was given; it returned {got!r}."
            )
        if changed.dtype != y.dtype or changed.device != y.device:
            raise TypeError(
                f"perturbation={perturbation!r} must return rows of {y.dtype} on {y.device}, as it "
                f"was given; it returned {changed.dtype} on {changed.device}."
            )
        return changed
