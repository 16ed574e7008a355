"""The estimator's parameters: what is allowed, and the numbers that "auto" stands for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Set
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ._objective import INFORMATION_WEIGHTS, InformationWeights, PseudoLabelSchedule
from ._rows import n_batches
from ._start import FEW_FEATURES
from .likelihoods import LIKELIHOODS
from .perturbations import is_affine
from .validation import refuse_bool

__all__ = [
    "OF_MACHINE", "OF_PROCESS", "OF_RESUMING", "PARAMETER_CONSTRAINTS", "ConsistencyRule",
    "EpochsRule", "LearningRateRule", "PseudoLabelRule", "WidthRule", "auto_consistency",
    "auto_learning_rate", "auto_max_iter", "auto_width", "check_parameters", "hidden_sizes",
    "information_weights", "pseudo_label_schedule",
]

PARAMETER_CONSTRAINTS: dict[str, Any] = {
    "n_clusters": [Interval(Integral, 1, None, closed="left")],
    "latent_dim": [Interval(Integral, 1, None, closed="left")],
    "style_dim": [Interval(Integral, 1, None, closed="left")],
    "hidden_layer_sizes": [
        StrOptions({"auto"}), "array-like", Interval(Integral, 1, None, closed="left"),
    ],
    "networks": [StrOptions({"dense", "conv"}), callable],
    "image_shape": ["array-like", None],
    "likelihood": [StrOptions(set(LIKELIHOODS))],
    "categorical_features": [StrOptions({"from_dtype"}), "array-like", None],
    "scale": [StrOptions({"auto", "range", "std"}), None],
    "n_mc_samples": [Interval(Integral, 1, None, closed="left")],
    "min_information": [Interval(Real, 0, None, closed="left")],
    "consistency": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "perturbation": [StrOptions({"adversarial", "affine", "both"}), callable],
    "perturbation_radius": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    "init": [StrOptions({"neighbors", "random"})],
    "n_init": [Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"cosine", "constant"})],
    "learning_rate_init": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
    "batch_size": [Interval(Integral, 2, None, closed="left")],
    "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "tol": [Interval(Real, 0, None, closed="left")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "warm_start": ["boolean"],
    "checkpoint": [str, os.PathLike, None],
    "checkpoint_every": [Interval(Real, 0, None, closed="left")],
    "device": [str, torch.device],
    "distributed": [StrOptions({"auto", "off"})],
    "n_jobs": [Integral, None],
    "random_state": ["random_state"],
    "verbose": ["verbose"],
}
#: Those with which a fit goes on from its checkpoint though they are others. Of `random_state` the
#: seed is compared, of `early_stopping` and `validation_fraction` the rule that they stand for.
OF_RESUMING = {
    "checkpoint", "checkpoint_every", "device", "distributed", "early_stopping", "n_jobs",
    "random_state", "validation_fraction", "verbose", "warm_start",
}
#: Those that may differ between processes that fit one model together.
OF_PROCESS = {"device", "n_jobs", "random_state", "verbose"}
#: Those of one machine, which a file does not hold.
OF_MACHINE = {"checkpoint", "device"}
# scikit-learn takes True for the integer 1 and for the number 1.0
NUMBERS = [
    name for name, constraints in PARAMETER_CONSTRAINTS.items()
    if any(isinstance(constraint, Interval) for constraint in constraints)
] + ["n_jobs"]

#: Largest number that a model can be trained with, in single precision.
LARGEST = float(np.finfo(np.float32).max)
#: Values that one tensor may hold, 8 GiB in single precision.
MAX_TENSOR_VALUES = 2**31


class EpochsRule(NamedTuple):
    """Epochs for a number of rows: as many steps as a power of it, and some epochs at the least.

    The power and the factor were chosen by hand, for time: 150 rows of iris get 81 steps. With 2.5
    times as many the clusters of iris, wine, breast cancer, digits and twenty generated tables are
    the same, and of digits and breast cancer the bound is higher, by 7 and 5 nats. The least
    number of epochs was measured on MNIST's 60,000 rows: .985 in 24 epochs, .982 in 12 (ten seeds,
    ``examples/benchmarks/clustering_quality.py --data mnist``, docs/results.md).

    Attributes
    ----------
    steps_at_one_row, exponent : float
        Steps are ``steps_at_one_row * n_rows ** exponent``.
    min_epochs : int
        Epochs at the least, as far as `max_steps_of_min_epochs` allows.
    max_steps_of_min_epochs : int
        Steps up to which `min_epochs` count, a quarter of an hour of a CPU for MNIST.
    """

    steps_at_one_row: float = 8.9
    exponent: float = 0.44
    min_epochs: int = 24
    max_steps_of_min_epochs: int = 6000


class WidthRule(NamedTuple):
    """Width of the dense layers for so many rows and features.

    It is the power of two below a power of the number of rows, chosen by hand, between 32 for 50
    rows and 512 for MNIST's 60,000: on digits 256 had .89 where 128 had .84 (accuracy, three
    seeds), on USPS 800 gained nothing over 256
    (``examples/benchmarks/clustering_quality.py --data usps``, docs/results.md). After convolutions
    more than 256 gained nothing on MNIST, at half as much time again. For few features more than
    128 gained nothing: spirals, stripes and rings of 7,000 to 20,000 points in the plane are kept
    by 128 as by 256, for half the time.

    Attributes
    ----------
    width_at_one_row, exponent : float
    max_width : int
    max_width_after_convolutions, max_width_of_few_features : int
    few_features : int
        Features that are few.
    """

    width_at_one_row: float = 13.0
    exponent: float = 0.4
    max_width: int = 512
    max_width_after_convolutions: int = 256
    max_width_of_few_features: int = 128
    few_features: int = FEW_FEATURES


class LearningRateRule(NamedTuple):
    """Learning rate for a number of steps: the fewer there are, the larger each.

    Attributes
    ----------
    at_one_step : float
        To be divided by the square root of the number of steps: 2e-3 for the 5,640 of MNIST, where
        4e-3 had an accuracy of .977 instead of .983.
    largest : float
        Where steps are few. On iris, wine, breast cancer and digits clusters, calibration and
        samples were the same with 2e-3 in all steps, and with 8e-3 in .4 of them.
    constant : float
        Where it does not fall, or the number of steps is not known. After one pass over pendigits
        in chunks of 500 the accuracy was .573, and .518 with 2e-3 (six seeds); with 8e-3 it is
        .32 on 10,000 images of MNIST, where it is .65 with 3e-3 and .64 with 2e-3 (two seeds).
    """

    at_one_step: float = 0.15
    largest: float = 8e-3
    constant: float = 3e-3


class ConsistencyRule(NamedTuple):
    """Weight of the regularizer for a number of features: it grows with the bound.

    The bound is a sum over features; a weight that does not grow with it sharpens the posterior
    of few features and pulls the latent away from where the prior samples.

    Attributes
    ----------
    at_one_feature : float
        Weight for one feature, to be multiplied by the square root of their number: 50 for the 784
        pixels of MNIST, where it was tuned. At half of it much is the same; at a hundredth
        components merge.
    by_itself : float
        Weight, whatever the number of features, where clusters follow from the regularizer: where
        there is no loss to pseudo-labels, or changes are affine. With the root components of few
        features merged: for the five arcs the adjusted Rand index of fits with ``init="random"``
        was .33, and 1.00 with 50; of streams .21, and 1.00 (means of four seeds). On USPS (256
        pixels, `perturbation="both"`, seeds 0, 1, 3) the accuracy was .965 .971 .964 with 50 and
        .961 .967 .961 with 28.8.
    """

    at_one_feature: float = 1.8
    by_itself: float = 50.0


class PseudoLabelRule(NamedTuple):
    """By what weight, in nats, and for how long a fit minimizes the loss to its pseudo-labels.

    Networks improve on a cut of the neighbor graph only where rows are many, for themselves and for
    their features, and features are more than the search for neighbors is good at; or where it is
    known that affine changes should not matter. There the weight falls, but not to zero: on 10,000
    images of MNIST (`examples/benchmarks/clustering_quality.py`) the accuracy was .959 with a last
    weight of 0 and of .3, .950 with 1. Elsewhere a weight that falls loses clusters: five rings of
    20,000 points in the plane ended with an adjusted Rand index of .29 instead of 1.00, 4,186
    worm neurons by 2,000 genes with .33 instead of .47, texts with .00 instead of .26.

    It stays too where features have units, unless changes are affine: a density, unlike a
    probability, has no limit, and pixels that are nearly always 0 get so much of it that they
    outweigh the regularizer. With a Gaussian likelihood and a weight that falls, and with one that
    stays, the accuracy on MNIST is .947, .960 after a start of .962, and on 10,000 of its images
    .816, .853 after .857; the adjusted Rand index on 5,103 images of USPS .871, .900 after .899, on
    spambase (KEEL) .231, .261 after .253, on optdigits .971, .966 after .960, on 14,000 images of
    Fashion-MNIST .526, .504 after .492. Counts, whose features have units too, were not measured.

    Attributes
    ----------
    first, last : float
        Weight at first, and that to which it falls.
    max_rows_throughout, max_features_throughout : int
        Rows, and features, up to which it stays as it was at first.
    rows_of_a_feature : int
        Rows for each feature, up to which it stays too.
    exponent : float
        Of the share of the epochs over which it falls with more rows.
    min_share : float
        The least share, and the share where changes are affine.
    """

    first: float = 10.0
    last: float = 0.3
    max_rows_throughout: int = 2500
    max_features_throughout: int = FEW_FEATURES
    rows_of_a_feature: int = 10
    exponent: float = 0.75
    min_share: float = 0.1


EPOCHS = EpochsRule()
WIDTHS = WidthRule()
CONSISTENCY = ConsistencyRule()
LEARNING_RATES = LearningRateRule()
PSEUDO_LABELS = PseudoLabelRule()


def auto_width(
    n_rows: int, n_features: int, networks: Any = "dense", rule: WidthRule = WIDTHS
) -> int:
    """Return the width of a hidden layer for so many rows and features: a power of two.

    Examples
    --------
    >>> auto_width(50, 4), auto_width(60_000, 20)
    (32, 128)
    >>> auto_width(60_000, 784), auto_width(60_000, 784, "conv")
    (512, 256)
    """
    most = rule.max_width
    if networks == "conv":
        most = rule.max_width_after_convolutions
    elif n_features <= rule.few_features:
        most = rule.max_width_of_few_features
    return min(most, 2 ** int(math.log2(rule.width_at_one_row * n_rows**rule.exponent)))


def auto_max_iter(n_rows: int, batch_size: int, rule: EpochsRule = EPOCHS) -> int:
    """Return the epochs for so many rows.

    Examples
    --------
    >>> auto_max_iter(50, 256), auto_max_iter(60_000, 256), auto_max_iter(600_000, 256)
    (50, 24, 3)
    """
    batches = n_batches(n_rows, batch_size)
    n_steps = max(
        rule.steps_at_one_row * n_rows**rule.exponent,
        min(rule.min_epochs * batches, rule.max_steps_of_min_epochs),
    )
    return math.ceil(n_steps / batches)


def auto_learning_rate(n_steps: int | None, rule: LearningRateRule = LEARNING_RATES) -> float:
    """Return the learning rate at first for so many steps; None if it does not fall.

    Examples
    --------
    >>> auto_learning_rate(100), auto_learning_rate(2_500), auto_learning_rate(None)
    (0.008, 0.003, 0.003)
    """
    if n_steps is None:
        return rule.constant
    return min(rule.largest, rule.at_one_step / math.sqrt(n_steps))


def auto_consistency(
    n_features: int,
    perturbation: Any = "adversarial",
    *,
    has_pseudo_labels: bool = True,
    rule: ConsistencyRule = CONSISTENCY,
) -> float:
    """Return the weight of the regularizer for so many features.

    Examples
    --------
    >>> round(auto_consistency(4), 2), round(auto_consistency(784), 2)
    (3.6, 50.4)
    """
    if is_affine(perturbation) or not has_pseudo_labels:
        return rule.by_itself
    return rule.at_one_feature * math.sqrt(n_features)


def information_weights(schedule: PseudoLabelSchedule | None) -> InformationWeights:
    """Return the weights of the entropy terms, by the schedule of the loss to pseudo-labels.

    Pseudo-labels say how certain rows are, and of which clusters, so that these terms are left out
    where their weight stays. Where it falls, groups of rows that were right drift into other
    clusters unless the posterior is certain: on USPS, "both", seeds 0 and 3, the accuracy was .959
    .953 without the terms and .965 .964 with them.
    """
    if schedule is not None and schedule.last == schedule.first:
        return InformationWeights(0.0, 0.0)
    return INFORMATION_WEIGHTS


def pseudo_label_schedule(
    n_rows: int,
    n_features: int,
    perturbation: Any,
    *,
    is_mixture: bool = False,
    features_have_units: bool = False,
    rule: PseudoLabelRule = PSEUDO_LABELS,
) -> PseudoLabelSchedule:
    """Return the weight of the loss to pseudo-labels for so many rows and features.

    It stays where pseudo-labels are the responsibilities of a mixture, and where features have
    units (`skgmvae.likelihoods.Likelihood`).

    Examples
    --------
    >>> pseudo_label_schedule(60_000, 20, "adversarial").at(1.0)
    10.0
    >>> pseudo_label_schedule(60_000, 784, "adversarial").at(1.0)
    0.3
    >>> pseudo_label_schedule(60_000, 784, "adversarial", features_have_units=True).at(1.0)
    10.0
    """
    affine = is_affine(perturbation)
    few_rows = n_rows <= max(rule.max_rows_throughout, rule.rows_of_a_feature * n_features)
    few = few_rows or n_features <= rule.max_features_throughout
    if is_mixture or ((few or features_have_units) and not affine):
        return PseudoLabelSchedule(rule.first, rule.first, 1.0)
    share = max(rule.min_share, (rule.max_rows_throughout / n_rows) ** rule.exponent)
    return PseudoLabelSchedule(rule.first, rule.last, rule.min_share if affine else share)


def hidden_sizes(estimator: Any, n_rows: int, n_features: int) -> tuple[int, ...]:
    """Return the widths that `hidden_layer_sizes` stands for."""
    given = estimator.hidden_layer_sizes
    if isinstance(given, str):
        return (auto_width(n_rows, n_features, estimator.networks),) * 2
    sizes = positive_integers(given)
    if not sizes:
        raise ValueError(
            f"hidden_layer_sizes={given!r} must hold at least one width, each a positive integer, "
            "as in (128, 128)."
        )
    return sizes


def positive_integers(value: Any) -> tuple[int, ...]:
    """Return a positive integer, or several, as a tuple; empty if they are anything else."""

    def is_array_of_one(v: Any) -> bool:
        return isinstance(v, np.ndarray | torch.Tensor) and not v.ndim

    if isinstance(value, Mapping | Set):  # without an order
        return ()
    several = isinstance(value, Iterable) and not is_array_of_one(value)
    values = [v.item() if is_array_of_one(v) else v for v in (value if several else [value])]
    whole = all(isinstance(v, Integral) and not isinstance(v, bool) for v in values)
    return tuple(map(int, values)) if whole and all(v >= 1 for v in values) else ()


def check_parameters(
    estimator: Any, n_samples: int, n_features: int, *, min_samples: int, n_expected: int = 0
) -> tuple[int, ...] | None:
    """Check what one parameter says against another or against X; return the image shape.

    The networks are for `n_expected` rows if these are more.

    Raises
    ------
    ValueError, TypeError
        Naming the parameter, its value and what to do.
    """
    for name in NUMBERS:
        refuse_bool(getattr(estimator, name), name)
    for name in ("consistency", "perturbation_radius", "learning_rate_init"):
        value = getattr(estimator, name)
        if isinstance(value, Real) and _exceeds(value, LARGEST):
            raise ValueError(f"{name}={value} must be below {LARGEST:.3g}; lower it.")
    if estimator.n_jobs == 0:
        raise ValueError("n_jobs=0 has no meaning: pass 1 or None for one process, -1 for all.")
    if n_samples < min_samples:
        raise ValueError(
            f"n_samples={n_samples} should be >= {min_samples}: a model begins with two rows at "
            f"least, and with as many as n_clusters={estimator.n_clusters}. Lower n_clusters or "
            "pass more rows."
        )
    limit = math.log(estimator.n_clusters)
    # a single cluster leaves nothing to inform about, and the constraint without effect; logarithms
    # of different libraries differ by a rounding
    if estimator.n_clusters > 1 and estimator.min_information >= limit * (1 - 1e-12):
        raise ValueError(
            f"min_information={estimator.min_information} must be below log(n_clusters) = "
            f"{limit:.4g}, the most that a row can say about its cluster. Lower it, or raise "
            "n_clusters."
        )
    _check_memory(estimator, max(n_samples, n_expected), n_features)
    return _image_shape(estimator, n_features)


def _exceeds(value: Any, limit: float) -> bool:
    try:
        return float(value) > limit
    except OverflowError:  # a whole number beyond double precision
        return True


def _check_memory(estimator: Any, n_samples: int, n_features: int) -> None:
    """Raise a ValueError if a tensor would hold more than `MAX_TENSOR_VALUES`."""
    sizes = hidden_sizes(estimator, n_samples, n_features)
    names = ["hidden_layer_sizes", "latent_dim", "style_dim", "n_clusters"]
    # numbers of Python: those of NumPy overflow
    latent_dim, style_dim, n_clusters = (int(getattr(estimator, name)) for name in names[1:])
    widest = max(sizes)
    inner = max(widest, n_features, 2 * n_clusters * latent_dim, 2 * style_dim)
    # the covariances of p(x|z) are the other matrices
    largest = max(widest * inner, n_clusters * latent_dim**2)
    n_drawn = int(estimator.n_mc_samples) * min(n_samples, int(estimator.batch_size))
    drawn = n_drawn * max(n_clusters * latent_dim, style_dim, n_features)
    if drawn > largest:
        largest = drawn
        names = ["n_mc_samples", "batch_size", "n_clusters", "latent_dim", "style_dim"]
    if largest > MAX_TENSOR_VALUES:
        settings = ", ".join(f"{name}={getattr(estimator, name)!r}" for name in names)
        raise ValueError(
            f"{settings} ask for a tensor of {largest:.2g} values, where "
            f"{MAX_TENSOR_VALUES:.2g} are the most. Lower the largest of them."
        )


def _image_shape(estimator: Any, n_features: int) -> tuple[int, ...] | None:
    if estimator.image_shape is None:
        networks, perturbation = estimator.networks, estimator.perturbation
        for name, value, needs_images in (
            ("networks", networks, isinstance(networks, str) and networks == "conv"),
            ("perturbation", perturbation, is_affine(perturbation)),
        ):
            if needs_images:
                raise ValueError(
                    f"{name}={value!r} works on images: pass image_shape=(height, width) or "
                    "(height, width, channels)."
                )
        return None
    image_shape = positive_integers(estimator.image_shape)
    if len(image_shape) not in (2, 3):
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
