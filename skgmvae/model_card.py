"""A description of a fitted clusterer in Markdown, from what it knows of itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from ._rows import Units
from .metrics import check_lengths, encode_labels, max_probability_labels

__all__ = ["model_card"]

#: Features and clusters that are listed, at the most.
MOST_LISTED = 20
#: What of the history is listed.
BRIEF = ("lower_bound", "reconstruction", "regularizer", "pseudo_label_loss")


def model_card(
    clusterer: Any,
    units: Units,
    names: Sequence[str],
    columns: Sequence[int],
    warnings: Sequence[str],
    versions: dict[str, Any],
    X: Any = None,
    y: ArrayLike | None = None,
) -> str:
    """Return the model card of a clusterer, whose features have these units and names.

    `columns` are the numbers of the columns of X that they are of.
    """
    if (X is None) != (y is None):
        raise ValueError("Pass both X and y, by which calibration is judged, or neither.")
    sections = {
        "Data": _data(clusterer, units, names, columns),
        "Settings that are not defaults": _settings(clusterer),
        "Fit": _fit(clusterer),
        "Clusters": _clusters(clusterer),
        "Warnings": [f"- {_text(warning)}" for warning in warnings] or ["None."],
        "Versions": [
            f"- {name} {version}" for name, version in versions.items() if name != "layout"
        ],
    }
    if y is not None:
        sections["Calibration"] = _calibration(clusterer, X, y)
    parts = [f"# {type(clusterer).__name__} with {len(clusterer.cluster_counts_)} clusters"]
    for title, lines in sections.items():
        parts += [f"## {title}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _data(
    clusterer: Any, units: Units, names: Sequence[str], columns: Sequence[int]
) -> list[str]:
    n_columns = clusterer.n_features_in_
    # a category is missing in all of its encoded columns
    observed = np.bincount(columns, units.observed) / np.bincount(columns)
    encoded = f" ({len(names)} with categories one-hot encoded)" if len(names) > n_columns else ""
    lines = [
        f"{clusterer.cluster_counts_.sum()} rows of {n_columns} columns{encoded}; "
        f"{1 - observed.mean():.1%} of the values are missing.", "",
    ]
    rows = zip(names, units.location, units.scale, 1 - units.observed, strict=True)
    of_counts = ["Of log(1 + X):", ""] if units.are_counts else []
    return lines + of_counts + _table(
        ("feature", "subtracted", "divided by", "missing"),
        ([_text(name), f"{a:.4g}", f"{b:.4g}", f"{c:.1%}"] for name, a, b, c in rows), len(names),
    )


def _settings(clusterer: Any) -> list[str]:
    defaults = inspect.signature(type(clusterer)).parameters
    return [
        f"- {name}: {_text(getattr(value, '__qualname__', repr(value)))}"
        for name, value in clusterer.get_params(deep=False).items()
        if name != "checkpoint" and repr(value) != repr(defaults[name].default)
    ] or ["None."]


def _fit(clusterer: Any) -> list[str]:
    history = {name: clusterer.history_[name] for name in BRIEF if name in clusterer.history_}
    end = "converged" if clusterer.converged_ else "not converged"
    lines = [
        f"{clusterer.n_iter_} epochs, {end}; the mean bound of the rows is "
        f"{clusterer.lower_bound_:.4g} nats.", "",
    ]
    if not clusterer.n_iter_:
        return lines[:1]
    return lines + _table(
        ("nats, while training", "first epoch", "last epoch"),
        ([name, f"{values[0]:.4g}", f"{values[-1]:.4g}"] for name, values in history.items()),
        len(history),
    )


def _clusters(clusterer: Any) -> list[str]:
    counts, weights = clusterer.cluster_counts_, clusterer.weights_
    return _table(
        ("cluster", "rows", "share", "p(z)"),
        (
            [str(k), str(count), f"{count / max(1, counts.sum()):.1%}", f"{weight:.4f}"]
            for k, (count, weight) in enumerate(zip(counts, weights, strict=True))
        ),
        len(counts),
    )


def _calibration(clusterer: Any, X: Any, y: ArrayLike) -> list[str]:
    """Compare the probabilities of classes, those of their clusters, with the labels."""
    scores = clusterer.decision_function(X)
    classes, codes = encode_labels(y, "y", "X")
    check_lengths(len(codes), "y", len(scores), "X")
    if len(classes) < 2:
        raise ValueError(f"y must have at least two classes, but has {len(classes)}.")
    of_clusters = max_probability_labels(y, scores)
    joint = np.exp(clusterer.predict_log_proba(X).astype(np.float64))
    proba = joint @ (of_clusters[:, None] == classes)
    proba /= proba.sum(1, keepdims=True)
    confidence = proba.max(1)
    correct: NDArray[np.bool_] = proba.argmax(1) == codes
    shares, means = calibration_curve(
        correct, confidence, pos_label=True, n_bins=5, strategy="quantile"
    )
    return [
        f"Of {len(codes)} rows with labels. A cluster has the label of its most certain row, and a "
        "class the probability of its clusters.", "",
        f"- accuracy: {correct.mean():.3f}",
        f"- mean probability of the most probable class: {confidence.mean():.3f}",
        f"- log loss: {log_loss(codes, proba, labels=range(len(classes))):.3f}",
        "- Brier score of the most probable class: "
        f"{brier_score_loss(correct, confidence, pos_label=True):.3f}", "",
        *_table(
            ("probability", "share that is right"),
            ([f"{mean:.3f}", f"{share:.3f}"] for mean, share in zip(means, shares, strict=True)),
            len(means),
        ),
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], n_rows: int) -> list[str]:
    shown = [row for row, _ in zip(rows, range(MOST_LISTED), strict=False)]
    lines = [heads, ["---"] * len(heads), *shown]
    more = [f"\n{n_rows - MOST_LISTED} more are left out."] * (n_rows > MOST_LISTED)
    return [f"| {' | '.join(line)} |" for line in lines] + more


def _text(value: Any) -> str:
    """Return a text for a line or a cell."""
    return " ".join(str(value).split()).replace("|", "\\|")
