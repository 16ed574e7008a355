"""What the regularizer needs of the rows: the initial partition, the size of the perturbation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from .._objective import RegularizerInputs
from .._rows import BLOCK_ROWS, Rows, SparseRows, joined, slices
from .._start import (
    RADIUS,
    Neighbors,
    certain,
    completed,
    find_neighbors,
    initial_partition,
    nearest_in_sample,
    nearest_up_to_affine,
    perturbation_radius,
)
from ..distributed import ALONE, Group
from ..likelihoods import Likelihood
from ..parameters import pseudo_label_schedule
from ..perturbations import is_adversarial, is_affine
from .given import Given
from .preparation import Prepared

__all__ = ["comparable", "inputs_of_fit", "median", "regularizer_inputs"]


def inputs_of_fit(
    estimator: Any, given: Given, prepared: Prepared, rows: Rows, sample: Any, seed: int
) -> RegularizerInputs | None:
    """Return what the regularizer needs of the rows: of these, or of a sample of them all."""
    labels = None
    if given.previous and estimator.init == "neighbors":
        labels = given.previous.fitted.labels(given.copies.rows)
    if given.group.has_all_at_hand:
        inputs = regularizer_inputs(estimator, prepared, rows, seed, labels, begins=True)
    else:
        sampled = Rows.standardized(sample, prepared.units, rows.device)
        inputs = _inputs_by_sample(
            estimator, prepared, rows, sampled, seed, labels, given.group
        )
    return inputs and inputs._replace(weights=given.copies.weights)


def regularizer_inputs(
    estimator: Any,
    prepared: Prepared,
    rows: Rows,
    seed: int,
    labels: NDArray[np.intp] | None,
    *,
    begins: bool,
    radius: float | None = None,
    n_rows: int | None = None,
) -> RegularizerInputs | None:
    """Return what the regularizer needs of the rows, None where there is no regularizer.

    Parameters
    ----------
    estimator : GMVAEClustering
    prepared : Prepared
    rows : Rows
    seed : int
    labels : ndarray of shape (n_rows,) or None
        Clusters that rows have already, in place of an initial partition.
    begins : bool
        Whether the posterior is fitted to pseudo-labels; if not, only its sizes to those of labels.
    radius : float, default=None
        Of the perturbation, in place of one that is measured on the rows.
    n_rows : int, default=None
        Of which these are a sample, if they are one.
    """
    if estimator.consistency == 0:
        return None
    likelihood, perturbation = prepared.likelihood, estimator.perturbation
    if estimator.perturbation_radius != "auto":
        radius = float(estimator.perturbation_radius)
    measures = is_adversarial(perturbation) and radius is None
    partitions = begins and labels is None and estimator.init == "neighbors"
    radii, probabilities, is_mixture = None, None, False
    if is_adversarial(perturbation) and radius is not None:
        radii = np.full(rows.n_rows, radius, np.float32)
    if labels is not None:
        probabilities = certain(labels, int(estimator.n_clusters))
    if measures or partitions:
        complete = completed(rows)
        seen = comparable(complete, likelihood)
        neighbors = find_neighbors(
            seen, seed, up_to_affine=partitions and is_affine(perturbation)
        )
        if measures:
            radii = _measured_radii(complete, neighbors, n_rows or rows.n_rows)
        if partitions:
            probabilities, is_mixture = _partition(
                estimator, prepared, rows, seen, neighbors, seed
            )
    schedule = None
    if begins and probabilities is not None:
        schedule = pseudo_label_schedule(
            n_rows or rows.n_rows, len(prepared.units.scale), perturbation, is_mixture=is_mixture,
            features_have_units=likelihood.features_have_units,
        )
    return RegularizerInputs(perturbation, radii, probabilities, schedule)


def _measured_radii(rows: Rows, neighbors: Neighbors, n_rows: int) -> NDArray[np.float32]:
    """Return the radius of each of these rows, a sample of so many, by its distance to another."""
    # the 10th neighbor of all rows is a nearer one of a sample
    rank = max(1, round(RADIUS.neighbor * rows.n_rows / n_rows))
    return perturbation_radius(rows, neighbors, radius=RADIUS._replace(neighbor=rank))


def _partition(
    estimator: Any, prepared: Prepared, rows: Rows, seen: Rows, neighbors: Neighbors, seed: int
) -> tuple[csr_array, bool]:
    """Return the initial partition, and whether it is that of a mixture.

    `seen` is of the same rows, complete, as distances between them are meant.
    """
    units = prepared.units
    are_images = units.image_shape is not None
    if is_affine(estimator.perturbation):
        neighbors = nearest_up_to_affine(seen, neighbors)
    is_table = prepared.likelihood.features_have_units and not are_images
    return initial_partition(
        seen, neighbors, int(estimator.n_clusters), seed,
        scale=units.scale if is_table else None, are_images=are_images, observed=rows,
    )


def comparable(rows: Rows, likelihood: Likelihood) -> Rows:
    """Return rows as distances between them are meant: counts brought to one total."""
    if type(likelihood).read is Likelihood.read:
        return rows
    blocks = (likelihood.read(block) for block in rows.blocks())
    if isinstance(rows, SparseRows):  # which stay so: of no count nothing is read
        read = [csr_array(block.flatten(1).cpu().numpy()) for block in blocks]
        return SparseRows.of_values(vstack(read, format="csr"), rows.device)
    return Rows(joined(blocks, rows.n_rows))


def _inputs_by_sample(
    estimator: Any,
    prepared: Prepared,
    rows: Rows,
    sample: Rows,
    seed: int,
    labels: NDArray[np.intp] | None,
    group: Group,
) -> RegularizerInputs | None:
    """Return what the regularizer needs of own rows, found by the first process on a sample.

    If the sample is not all rows, what a row has is the mean of its neighbors in the sample. Rows
    are read as many at a time as the sample has.
    """
    n_rows, first = group.n_rows(rows.n_rows), group.first_row
    likelihood = prepared.likelihood
    labels_of_sample = None if labels is None else group.sampled(labels)

    def find() -> RegularizerInputs | None:
        found = regularizer_inputs(
            estimator, prepared, sample, seed, labels_of_sample, begins=True, n_rows=n_rows
        )
        return found and found._replace(perturbation="")  # a callable may be bound to its process

    found = group.of_first(find)
    if found is None:
        return None
    seen = None if sample.n_rows == n_rows else comparable(completed(sample), likelihood)
    radii, probabilities = [], []
    for block in slices(rows.n_rows, max(BLOCK_ROWS, sample.n_rows)):
        if seen is None:
            nearest = np.arange(first, first + rows.n_rows)[block, None]
        else:
            index = torch.arange(block.start, block.stop, device=rows.home)
            own = completed(Rows(rows.take(index)), sample)
            nearest = nearest_in_sample(comparable(own, likelihood), seen)
        if found.radius is not None:
            radii.append(_means(found.radius, nearest))
        if found.pseudo_labels is not None and labels is None:
            probabilities.append(_means(found.pseudo_labels, nearest))
    pseudo_labels = None
    if labels is not None and found.pseudo_labels is not None:
        pseudo_labels = certain(labels, int(estimator.n_clusters))
    elif probabilities:
        pseudo_labels = vstack(probabilities, format="csr")
    return found._replace(
        perturbation=estimator.perturbation, radius=np.concatenate(radii) if radii else None,
        pseudo_labels=pseudo_labels,
    )


def _means(values: Any, nearest: NDArray[np.intp]) -> Any:
    """Return for each row the mean of what its neighbors have, by an array or a sparse matrix."""
    return sum(values[column] for column in nearest.T) / np.float32(nearest.shape[1])


def median(radii: NDArray[np.float32] | None, group: Group = ALONE) -> float | None:
    """Return the median radius of the perturbation of all rows."""
    return None if radii is None else float(np.median(group.sampled(radii)))
