"""The estimator's parameters: what is allowed, and the numbers that "auto" stands for."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from .architecture import Architecture
from .data import DataSpace, Rows, n_batches
from .neighbours import N_NEIGHBOURS, find_neighbours, radius
from .objective import Settings
from .start import find_start
from .tangents import N_CANDIDATES, nearest_up_to_affine

__all__ = [
    "PARAMETER_CONSTRAINTS", "architecture_of", "check_parameters", "neighbourhood_of",
    "settings_of",
]

PARAMETER_CONSTRAINTS: dict[str, Any] = {
    "n_clusters": [Interval(Integral, 1, None, closed="left")],
    "latent_dim": [Interval(Integral, 1, None, closed="left")],
    "style_dim": [Interval(Integral, 1, None, closed="left")],
    "hidden_layer_sizes": [StrOptions({"auto"}), "array-like"],
    "networks": [StrOptions({"dense", "conv"}), callable],
    "image_shape": ["array-like", None],
    "likelihood": [StrOptions({"gaussian", "bernoulli"})],
    "n_mc_samples": [Interval(Integral, 1, None, closed="left")],
    "min_information": [Interval(Real, 0, None, closed="left")],
    "consistency": [Interval(Real, 0, None, closed="left")],
    "perturbation": [StrOptions({"adversarial", "affine", "both"}), callable],
    "perturbation_radius": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    "init": [StrOptions({"neighbours", "random"})],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"cosine", "constant"})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "device": [str],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}

STEPS_AT_ONE_ROW = 22.25
STEPS_EXPONENT = 0.44
# From some 18,000 rows on that power gives fewer epochs than pay: MNIST's 60,000 want two dozen.
# So many epochs are the least, unless they are more steps than a CPU takes in a quarter of an hour.
MIN_EPOCHS = 24
MAX_STEPS_OF_MIN_EPOCHS = 6000

WIDTH_AT_ONE_ROW = 13.0
WIDTH_EXPONENT = 0.4
MAX_WIDTH = 512
MAX_WIDTH_AFTER_CONVOLUTIONS = 256  # wider tells no more there, and takes half as long again

# The fit is held to its start for all epochs up to so many rows, then for fewer: networks find
# clusters that survive perturbation by themselves only if rows are many, or if it is known that
# affine changes should not matter.
MOST_GUIDED_ROWS = 2500
GUIDED_EXPONENT = 0.75
MIN_GUIDED_SHARE = 0.1
# In the latter case groups of rows that were right at the start (fours that are closed at the top,
# as nines) drift away in some fits unless something holds them to the end.
LASTING_HOLD_OF_AFFINE = 0.2


def check_parameters(estimator: Any, X: Any, *, continued: bool) -> tuple[int, ...] | None:
    """Check what one parameter says against another or against X; return the image shape.

    Raises
    ------
    ValueError
        Naming the parameter, its value and what to do.
    """
    n_samples, n_features = X.shape
    least = 2 if continued else max(2, estimator.n_clusters)
    if n_samples < least:
        raise ValueError(
            f"n_samples={n_samples} should be >= {least}: batch norm needs two rows, and "
            f"n_clusters={estimator.n_clusters} as many rows to begin with. Lower n_clusters or "
            "pass more rows."
        )
    limit = math.log(estimator.n_clusters)
    # a single cluster leaves nothing to inform about, and the constraint without effect
    if estimator.n_clusters > 1 and estimator.min_information >= limit:
        raise ValueError(
            f"min_information={estimator.min_information} must be below log(n_clusters) = "
            f"{limit:.4g}, the most that a row can say about its cluster. Lower it, or raise "
            "n_clusters."
        )
    sizes = estimator.hidden_layer_sizes
    given = not isinstance(sizes, str)
    flat = np.ndim(sizes) == 1 and len(sizes) > 0
    if given and not (flat and all(map(_is_positive_integer, sizes))):
        raise ValueError(
            f"hidden_layer_sizes={sizes!r} must hold at least one width, each a positive integer, "
            "as in (128, 128)."
        )
    if estimator.image_shape is None:
        for name, value in (
            ("networks", "conv"), ("perturbation", "affine"), ("perturbation", "both"),
        ):
            if getattr(estimator, name) == value:
                raise ValueError(
                    f"{name}={value!r} works on images: pass image_shape=(height, width) or "
                    "(height, width, channels)."
                )
        return None
    image_shape = tuple(estimator.image_shape)
    if len(image_shape) not in (2, 3) or not all(map(_is_positive_integer, image_shape)):
        raise ValueError(
            f"image_shape={estimator.image_shape!r} must be (height, width) or (height, width, "
            "channels), positive integers."
        )
    if math.prod(image_shape) != n_features:
        raise ValueError(
            f"image_shape={image_shape} means {math.prod(image_shape)} values to a row, but X has "
            f"{n_features} features. Flatten images with X.reshape(len(X), -1)."
        )
    return image_shape


def _is_positive_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def auto_width(n_rows: int, networks: Any = "dense") -> int:
    """Width of a hidden layer for so many rows: a power of two, 32 for 50, 512 for 60,000.

    After convolutions it is 256 at the most.
    """
    most = MAX_WIDTH_AFTER_CONVOLUTIONS if networks == "conv" else MAX_WIDTH
    return min(most, 2 ** int(math.log2(WIDTH_AT_ONE_ROW * n_rows**WIDTH_EXPONENT)))


def auto_max_iter(n_rows: int, batch_size: int) -> int:
    """Epochs for so many rows: 125 for 50 (as many steps), 24 for 60,000 (5,640), 4 for 600,000."""
    batches = n_batches(n_rows, batch_size)
    n_steps = max(
        STEPS_AT_ONE_ROW * n_rows**STEPS_EXPONENT,
        min(MIN_EPOCHS * batches, MAX_STEPS_OF_MIN_EPOCHS),
    )
    return math.ceil(n_steps / batches)


def guided_share(n_rows: int, perturbation: Any) -> float:
    """Share of the epochs held to the start: all up to 2,500 rows, .1 from 54,000 on.

    Where images should survive affine changes it is .1 of however many rows.
    """
    if _is_affine(perturbation):
        return MIN_GUIDED_SHARE
    return max(MIN_GUIDED_SHARE, min(1.0, (MOST_GUIDED_ROWS / n_rows) ** GUIDED_EXPONENT))


def _is_affine(perturbation: Any) -> bool:
    return perturbation in ("affine", "both")


def architecture_of(
    estimator: Any, data_shape: tuple[int, ...], n_rows: int, fitted: Architecture | None
) -> Architecture:
    """Read the shape of the module off the parameters.

    Where a fit is continued, "auto" stands for the width of the `fitted` module.
    """
    sizes = estimator.hidden_layer_sizes
    if isinstance(sizes, str):
        width = auto_width(n_rows, estimator.networks)
        sizes = fitted.hidden_layer_sizes if fitted else (width, width)
    return Architecture(
        data_shape,
        int(estimator.n_clusters),
        int(estimator.latent_dim),
        int(estimator.style_dim),
        tuple(int(size) for size in sizes),
        estimator.networks,
        estimator.likelihood,
    )


def neighbourhood_of(
    estimator: Any,
    X: NDArray[Any],
    space: DataSpace,
    device: torch.device,
    seed: int,
    *,
    started: bool,
) -> tuple[NDArray[np.float32] | None, NDArray[np.intp] | None]:
    """Return each row's adversarial radius and its cluster at the start, both (n_rows,).

    Either is None where it is not used; a model that was `started` before has no start.
    """
    adversarial = estimator.perturbation in ("adversarial", "both")
    measured = adversarial and estimator.perturbation_radius == "auto"
    guided = estimator.init == "neighbours" and not started
    if not estimator.consistency:
        return None, None
    given = np.full(len(X), estimator.perturbation_radius, np.float32) if (
        adversarial and not measured
    ) else None
    if not (measured or guided):
        return given, None
    rows = Rows(X, space, device)
    affine = guided and _is_affine(estimator.perturbation)
    neighbours = find_neighbours(rows, seed, N_CANDIDATES if affine else N_NEIGHBOURS)
    found = radius(rows, neighbours) if measured else given
    if not guided:
        return found, None
    if affine:
        neighbours = nearest_up_to_affine(rows, neighbours)
    return found, find_start(rows, neighbours, estimator.n_clusters, seed)


def settings_of(
    estimator: Any,
    n_rows: int,
    seed: int,
    radius: NDArray[np.float32] | None,
    start: NDArray[np.intp] | None,
    *,
    first_epoch: int,
) -> Settings:
    """Resolve the training parameters to numbers."""
    max_iter = estimator.max_iter
    if max_iter == "auto":
        max_iter = auto_max_iter(n_rows, estimator.batch_size)
    return Settings(
        seed=seed,
        n_mc_samples=estimator.n_mc_samples,
        min_information=estimator.min_information,
        consistency=estimator.consistency,
        perturbation=estimator.perturbation,
        radius=radius,
        start=start,
        guided_epochs=guided_share(n_rows, estimator.perturbation) * max_iter,
        lasting_hold=LASTING_HOLD_OF_AFFINE if _is_affine(estimator.perturbation) else 0.0,
        learning_rate=estimator.learning_rate_init,
        learning_rate_falls=estimator.learning_rate == "cosine",
        batch_size=estimator.batch_size,
        first_epoch=first_epoch,
        max_iter=max_iter,
        last_epoch=None,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        verbose=estimator.verbose,
    )
