"""Numbers that were read as text, and names of rows, are not taken for categories in silence."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from skgmvae._rows import Columns
from skgmvae._rows.text import TEXT_RULE
from skgmvae.exceptions import ClusteringWarning, IdentifierWarning, TextNumbersWarning

N_ROWS = 300
AMOUNTS = np.random.default_rng(0).normal(5000, 900, N_ROWS).round()
FEW = [*map(str, range(TEXT_RULE.few_values))]


def warned(column, which="from_dtype", name="amount"):
    """Return what is said of a column that is not refused: classes, and words."""
    X = pd.DataFrame({name: column})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Columns.of(X, which)
    assert all(issubclass(warning.category, ClusteringWarning) for warning in caught)
    return [(warning.category, str(warning.message)) for warning in caught]


def with_gaps(values):
    column = pd.Series(values, dtype=object)
    column[5], column[6], column[7] = "n/a", None, np.nan
    return column


WRITTEN = {
    "thousands": [f"{value:,.0f}" for value in AMOUNTS],
    "decimal commas": [str(value / 1000).replace(".", ",") for value in AMOUNTS],
    "plain": [f" {value:g}" for value in AMOUNTS],
    "beside numbers": [int(v) if i % 2 else f"{v:,.0f}" for i, v in enumerate(AMOUNTS)],
}


@pytest.mark.parametrize("how", WRITTEN)
def test_the_line_that_is_advised_makes_the_numbers(how):
    column = with_gaps(WRITTEN[how])
    ((kind, words),) = warned(column)
    assert kind is TextNumbersWarning
    n_distinct = column.nunique()
    assert words.startswith("Column 'amount' of X is text and taken for categories, but ")
    assert f"{n_distinct - 1} of its {n_distinct} distinct values are numbers" in words
    assert re.search(r"such as ('?[ \d,.]+'?)(, | and |\. Turn them into)", words)
    assert "dtype 'category' if they are names" in words
    line = re.search(r"by (pandas\.to_numeric\(.*\));", words)[1]
    found = eval(line, {"pandas": pd, "X": pd.DataFrame({"amount": column})})
    scale = 1000 if how == "decimal commas" else 1
    expected = pd.Series(AMOUNTS / scale).mask([5 <= i < 8 for i in range(N_ROWS)])
    np.testing.assert_allclose(found, expected)


def test_numbers_may_be_names_if_that_is_said():
    column = with_gaps(WRITTEN["thousands"])
    assert not warned(column.astype("category"))
    assert not warned(column, which=["amount"])
    identifiers = pd.Series([f"c{number}" for number in range(N_ROWS)])
    assert not warned(identifiers.astype("category"))
    assert not warned(identifiers, which=["amount"])


@pytest.mark.parametrize(("values", "kind"), [
    (FEW * 10, None), ([*FEW, "20"] * 10, TextNumbersWarning),
    ([*map(str, range(27)), "a", "b", "c"] * 10, TextNumbersWarning),
    ([*map(str, range(26)), "a", "b", "c"] * 10, None),
    ([f"c{value}" for value in FEW], None),
    ([f"c{value}" for value in (*FEW, 20)], IdentifierWarning),
    ([f"c{i}" for i in range(30)] * 2, None),
    ([f"c{i}" for i in range(31)] + ["c0"] * 30, IdentifierWarning),
    ([True, False] * 50, None), ([*range(40), "x", "y"] * 3, TextNumbersWarning),
    ([*range(40)] * 3, None),
])
def test_what_is_warned_of(values, kind):
    assert [found for found, _ in warned(pd.Series(values, dtype=object))] == [kind] * bool(kind)


@pytest.mark.parametrize("dtype", [object, "string", "str"])
def test_a_column_that_identifies_rows_is_to_be_dropped(dtype):
    values = pd.Series([f"c{number:05d}" for number in range(N_ROWS)], dtype=dtype)
    ((kind, words),) = warned(values, name="id")
    assert kind is IdentifierWarning
    assert "Column 'id' of X is text with 300 distinct values in 300 rows" in words
    assert "Drop it if it identifies rows" in words


def test_columns_of_polars_are_looked_at_too():
    polars = pytest.importorskip("polars")
    X = polars.DataFrame({"amount": WRITTEN["thousands"], "id": [f"c{i}" for i in range(N_ROWS)]})
    with (
        pytest.warns(TextNumbersWarning, match="dtype 'Categorical'") as told,
        pytest.warns(IdentifierWarning, match="dtype 'Categorical'"),
    ):
        Columns.of(X, "from_dtype")
    line = re.search(r"by (X\[.*\));", str(told[0].message))[1]
    np.testing.assert_array_equal(eval(line, {"polars": polars, "X": X}), AMOUNTS)
    said = X.select(polars.all().cast(polars.Categorical))
    with warnings.catch_warnings(action="error"):
        Columns.of(said, "from_dtype")


DAYS = pd.date_range("2024-01-01", periods=200)
DATES = {
    "ISO": DAYS.strftime("%Y-%m-%d"), "with a time": DAYS.strftime("%Y/%m/%d 12:30"),
    "American": DAYS.strftime("%m/%d/%Y"),
}


@pytest.mark.parametrize("how", DATES)
def test_dates_that_are_text_are_warned_of_with_a_line_that_makes_numbers(how):
    column = with_gaps(list(DATES[how]))
    ((kind, words),) = warned(column, name="day")
    assert kind is TextNumbersWarning
    assert "197 of its 198 distinct values are dates" in words
    assert "else drop the column" in words
    line = re.search(r"Turn them into numbers by (.*), if time", words)[1]
    found = eval(line, {"pandas": pd, "X": pd.DataFrame({"day": column})})
    assert found.isna().sum() == 3
    np.testing.assert_array_equal(np.diff(found[8:]), 1)


@pytest.mark.parametrize("values", [
    [f"{i}-{i}" for i in range(40)], [f"10.0.0.{i}" for i in range(40)],
    [f"2024-01/{i:02d}" for i in range(40)],
])
def test_other_text_is_no_date(values):
    assert not warned(pd.Series(values * 10, dtype=object))


def test_too_many_categories_that_are_numbers_are_refused_with_a_remedy():
    X = pd.DataFrame({"amount": [f"{number:,}" for number in range(2000)]})
    for which in ("from_dtype", ["amount"]):
        with pytest.raises(ValueError, match=r"2000 categories.*drop it.*to_numeric\(X\['am"):
            Columns.of(X, which)
    with pytest.raises(ValueError, match=r"2000 categories.*row\.$"):
        Columns.of("c" + X, "from_dtype")
    with pytest.raises(ValueError, match=r"2000 categories.*row\.$"):
        Columns.of(pd.DataFrame({"amount": range(2000)}), ["amount"])
