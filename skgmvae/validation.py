"""Checks of what is passed to methods and constructors: numbers that are what they are said to be.

Errors name the argument, its value and what to do.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from sklearn.utils import check_scalar

__all__ = ["check_finite", "check_positive_integer", "refuse_bool"]


def refuse_bool(value: Any, name: str) -> None:
    """Raise a TypeError if a number is True or False, which Python counts among the integers."""
    if isinstance(value, bool):
        raise TypeError(f"{name}={value} must be a number, not a bool.")


def check_finite(value: Any, name: str, remedy: str) -> None:
    """Raise a ValueError if a number is NaN, which no comparison refuses, or infinite."""
    is_number = isinstance(value, Real)
    if is_number and not -math.inf < value < math.inf:
        raise ValueError(f"{name}={value} must be finite: {remedy}.")


def check_positive_integer(value: Any, name: str) -> None:
    """Raise a TypeError or a ValueError if an argument is no positive integer."""
    check_scalar(value, name, Integral, min_val=1)
    refuse_bool(value, name)
