"""Text in a table that is not what it is taken for: numbers, dates, and names of rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..exceptions import IdentifierWarning, TextNumbersWarning
from ..runtime import warn

__all__ = ["TEXT_RULE", "TextRule", "numbers_in", "to_numbers", "warn_of_text"]

#: 1,234 and 1,234,567.8, but not 3,5, where the comma is the decimal point.
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")


#: 2024-01-31, 31.1.24 and 1/31/2024, with a time of the day or without.
DATE = re.compile(r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3(\d{2}|\d{4}))([T ].*)?")


class TextRule(NamedTuple):
    """When to warn that a column of text may hold no categories. Chosen by hand.

    Attributes
    ----------
    few_values : int
        Distinct values up to which a column has categories, whatever they are: "1", "2" and "3" may
        be codes.
    min_share_of_numbers : float
        Of the distinct values, from which on the column is one of numbers, or of dates. The others
        may stand for what is missing, such as "n/a".
    max_share_of_rows : float
        Distinct values for each row, beyond which they may be names of the rows.
    """

    few_values: int = 20
    min_share_of_numbers: float = 0.9
    max_share_of_rows: float = 0.5


TEXT_RULE = TextRule()


def warn_of_text(
    name: Any,
    values: Sequence[Any],
    n_rows: int,
    *,
    of_polars: bool = False,
    rule: TextRule = TEXT_RULE,
) -> None:
    """Warn if a column of text has many distinct values that are numbers, dates, or names of rows.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings(action="always", record=True) as caught:
    ...     warn_of_text("day", [f"2024-1-{day}" for day in range(1, 29)], 100)
    >>> print(str(caught[0].message).split(", such as ")[0])
    Column 'day' of X is text and taken for categories, but 28 of its 28 distinct values are dates
    """
    category = "Categorical" if of_polars else "category"
    if len(values) <= rule.few_values:
        return
    numbers = numbers_in(values, rule)
    if numbers:
        first, second, third = numbers[:3]
        kind, unless = "numbers", ""
        if _is_date(first):
            kind, unless = "dates", ", if time is to decide the clusters; else drop the column"
        warn(TextNumbersWarning(
            f"Column {name!r} of X is text and taken for categories, but {len(numbers)} of its "
            f"{len(values)} distinct values are {kind}, such as {first!r}, {second!r} and "
            f"{third!r}. Turn them into numbers by {to_numbers(name, numbers, of_polars)}{unless}; "
            f"or give the column the dtype {category!r} if they are names."
        ))
    elif len(values) > rule.max_share_of_rows * n_rows:
        warn(IdentifierWarning(
            f"Column {name!r} of X is text with {len(values)} distinct values in {n_rows} rows, "
            "each of which is taken for a category. Drop it if it identifies rows, which makes "
            f"fits slow and says nothing of clusters; or give it the dtype {category!r} if it does "
            "not."
        ))


def numbers_in(values: Sequence[Any], rule: TextRule = TEXT_RULE) -> list[Any]:
    """Return which of a column's distinct values are numbers, if it is text and nearly all are.

    Or which are dates, if these are nearly all.

    Examples
    --------
    >>> numbers_in(["1,234", "56", *map(str, range(9)), "n/a"])[:2]
    ['1,234', '56']
    >>> numbers_in(["a", "b", "3"]), numbers_in([1, 2, 3])
    ([], [])
    """
    if not any(isinstance(value, str) for value in values):
        return []
    for is_meant in (_is_number, _is_date):
        found = [value for value in values if is_meant(value)]
        if len(found) >= rule.min_share_of_numbers * len(values):
            return found
    return []


def to_numbers(name: Any, numbers: Sequence[Any], of_polars: bool = False) -> str:
    """Say how a column of pandas or polars becomes numbers.

    Examples
    --------
    >>> print(to_numbers("a", ["1", "2"]))
    pandas.to_numeric(X['a'], errors='coerce')
    >>> print(to_numbers("a", ["1,234", "2"]))
    pandas.to_numeric(X['a'].astype(str).str.replace(',', ''), errors='coerce')
    >>> print(to_numbers("a", ["3,5", "2"], of_polars=True))
    X['a'].str.replace_all(',', '.').cast(polars.Float64, strict=False)
    """
    if numbers and _is_date(numbers[0]):
        if of_polars:
            return f"X[{name!r}].str.to_date(strict=False).dt.epoch('d')"
        days = f"pandas.to_datetime(X[{name!r}], errors='coerce') - pandas.Timestamp(0)"
        return f"({days}).dt.days"
    column, with_comma = f"X[{name!r}]", [text for text in map(str, numbers) if "," in text]
    if with_comma:
        point = "" if all(map(THOUSANDS.fullmatch, with_comma)) else "."
        replaced = ".str.replace_all" if of_polars else ".astype(str).str.replace"
        column += f"{replaced}(',', {point!r})"
    if of_polars:
        return f"{column}.cast(polars.Float64, strict=False)"
    return f"pandas.to_numeric({column}, errors='coerce')"


def _is_date(value: Any) -> bool:
    return DATE.fullmatch(str(value).strip()) is not None


def _is_number(value: Any) -> bool:
    try:
        float(str(value).replace(",", ""))
    except ValueError:
        return False
    return True
