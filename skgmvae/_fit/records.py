"""What is recorded of each epoch of training, by name."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["LOG_VOLUME", "VALIDATION", "Recorded", "named_records"]

#: What was recorded of an epoch: the terms of the objective, in the model's units, and these two.
Recorded = dict[str, float]
#: What a bound in the model's units is above that in those of X.
LOG_VOLUME = "log_volume"
#: The bound of rows that are held out, in the units of X, where there are any.
VALIDATION = "validation_score"


def named_records(
    names: Sequence[str], log_volume: float, records: Sequence[Sequence[float]]
) -> list[Recorded]:
    """Return records of epochs, in the order of these names, by name."""
    return [
        dict(zip(names, record, strict=True)) | {LOG_VOLUME: log_volume} for record in records
    ]
