"""Tables with categories are encoded, and decoded again."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from skgmvae._rows.columns import Columns, check_numbers
from skgmvae.exceptions import UnknownCategoryWarning


def table():
    return pd.DataFrame({
        "age": [1.0, 2.0, np.nan, 4.0],
        "color": ["red", None, "blue", "red"],
        "size": pd.Categorical(["S", "M", "S", np.nan], categories=["S", "M", "L"]),
        "member": [True, False, True, True],
        "n": [3, 4, 5, 6],
    })


def test_strings_categories_and_bools_of_a_frame_are_found():
    columns = Columns.of(table(), "from_dtype")
    assert columns.categories == {
        1: ["blue", "red"], 2: ["M", "S"], 3: [False, True]
    }
    expected = [[1, 2], [3, 4], [5, 6]]
    np.testing.assert_array_equal(columns.groups, expected)


def test_each_category_is_one_hot_at_its_place_and_what_is_missing_is_nan():
    encoded = Columns.of(table(), "from_dtype").encoded(table())
    nan = np.nan
    np.testing.assert_array_equal(encoded, [
        [1, 0, 1, 0, 1, 0, 1, 3],
        [2, nan, nan, 1, 0, 1, 0, 4],
        [nan, 1, 0, 0, 1, 0, 1, 5],
        [4, 0, 1, nan, nan, 0, 1, 6],
    ])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_columns_in_single_precision_stay_so(dtype):
    X = table().fillna({"age": 3.0}).astype({"age": dtype, "n": dtype})
    encoded = Columns.of(X, "from_dtype").encoded(X)
    assert encoded.dtype == (np.float32 if dtype == np.float32 else np.float64)
    np.testing.assert_array_equal(encoded[:, 0], X["age"])


@pytest.mark.parametrize("make", [
    pd.Series, lambda values: pd.Series(values, dtype="category"),
    lambda values: pd.Series(values, dtype=object, index=range(7, 0, -1)),
])
@pytest.mark.parametrize("values", [
    ["b", None, "a", "b", "c", np.nan, "a"], [2, 1, 2, 3, 3, 1, 2],
    [True, False, False, True, False, False, True], [0.5, np.nan, 1.5, 0.5, 2.0, 2.0, np.nan],
])
def test_values_are_looked_up_as_one_by_one(make, values):
    X = make(values).to_frame("c")
    columns = Columns.of(X, [0])
    (known,) = columns.categories.values()
    expected = [
        [float(value == one) if value in known else np.nan for one in known] for value in values
    ]
    np.testing.assert_array_equal(columns.encoded(X), expected)
    np.testing.assert_array_equal(columns.encoded(X.to_numpy()), expected)


def test_flags_and_whole_numbers_come_back_as_such():
    X = table()[["member", "n"]]
    columns = Columns.of(X, ["member", "n"])
    pd.testing.assert_frame_equal(columns.decoded(columns.encoded(X)), X)


def test_columns_of_several_levels_come_back():
    levels = pd.MultiIndex.from_product([["a"], table().columns])
    whole = table().set_axis(levels, axis=1).iloc[[3, 0]]
    columns = Columns.of(whole, "from_dtype")
    found = columns.decoded(columns.encoded(whole), whole.index)
    assert found.columns.equals(levels)
    assert found.index.tolist() == [3, 0]


def test_what_was_no_category_is_missing():
    columns = Columns.of(table(), "from_dtype")
    other = table().assign(color="green")
    with pytest.warns(UnknownCategoryWarning, match="column 'color' has 'green' in 4 of 4 rows"):
        assert np.isnan(columns.encoded(other)[:, 1:3]).all()


def test_decoding_is_the_inverse():
    columns = Columns.of(table(), "from_dtype")
    whole = table().iloc[[0]]
    found = columns.decoded(columns.encoded(whole))
    assert list(found.columns) == list(whole.columns)
    assert found.iloc[0].tolist() == [1.0, "red", "S", True, 3.0]


@pytest.mark.parametrize("which", [
    [1, 3], ["color", "member"], [False, True, False, True, False], np.array([3, 1]),
])
def test_columns_are_named_by_number_name_or_mask(which):
    assert list(Columns.of(table(), which).categories) == [1, 3]


@pytest.mark.parametrize("which", ["from_dtype", None, [], [False] * 3])
def test_none_of_an_array_of_numbers_is_a_category(which):
    assert Columns.of(np.ones((4, 3)), which) is None


def test_numbers_of_an_array_may_be_categories():
    X = np.array([[1.0, 5.0], [2.0, 7.0], [3.0, 5.0]])
    columns = Columns.of(X, [1])
    np.testing.assert_array_equal(columns.encoded(X), [[1, 1, 0], [2, 0, 1], [3, 1, 0]])
    np.testing.assert_array_equal(columns.decoded(columns.encoded(X)), X)
    assert columns.decoded(columns.encoded(X)).dtype == float


def test_strings_of_an_array_may_be_categories():
    X = np.array([[1.0, "a"], [2.0, "b"]], dtype=object)
    columns = Columns.of(X, [1])
    np.testing.assert_array_equal(columns.decoded(columns.encoded(X)), X)


def test_numbers_and_strings_in_one_column():
    X = pd.DataFrame({"code": [1, "x", 2, "x"], "v": [1.0, 2, 3, 4]})
    assert Columns.of(X, "from_dtype").categories[0] == [1, 2, "x"]


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=30))
def test_any_column_comes_back(values):
    X = pd.DataFrame({"c": pd.Series(values, dtype=object), "v": np.arange(len(values))})
    if not any(values):
        assert Columns.of(X, "from_dtype") is None
        with pytest.raises(ValueError, match="Column 'c' of X has no values"):
            Columns.of(X, ["c"])
        return
    columns = Columns.of(X, "from_dtype")
    encoded = columns.encoded(X)
    known = np.array([value is not None for value in values])
    assert columns.decoded(encoded[known])["c"].tolist() == [v for v in values if v]
    assert np.isnan(encoded[~known, :-1]).all()


@pytest.mark.parametrize(("which", "error", "message"), [
    ("dtype", ValueError, "'from_dtype', None"),
    (["colour"], ValueError, "has 'colour', which is not a column"),
    ([5], ValueError, "numbers of columns from 0 to 4"),
    ([-1], ValueError, "numbers of columns from 0 to 4"),
    ([1.5], ValueError, "numbers of columns"),
    ([True], ValueError, "a mask of 1 columns, but X has 5"),
    ([[1]], ValueError, "one-dimensional"),
])
def test_columns_that_there_are_not_are_named(which, error, message):
    with pytest.raises(error, match=message):
        Columns.of(table(), which)


def test_names_of_rows_are_no_categories():
    X = pd.DataFrame({"name": [f"person {i}" for i in range(1001)]})
    with pytest.raises(ValueError, match=r"'name' of X has 1001 categories.*drop it"):
        Columns.of(X, "from_dtype")


def test_values_that_cannot_be_categories():
    X = pd.DataFrame({"lists": [[1], [2]]})
    with pytest.raises(TypeError, match=r"'lists' of X holds values that cannot be categories"):
        Columns.of(X, ["lists"])


def test_processes_take_the_categories_of_all():
    parts = [Columns.of(table().iloc[rows], "from_dtype") for rows in ([0, 3], [1, 2])]
    assert Columns.merged(parts).categories == Columns.of(table(), "from_dtype").categories
    assert Columns.merged([None, None]) is None
    with pytest.raises(ValueError, match="the same columns in all processes"):
        Columns.merged([parts[0], None])


def test_rows_in_lists_keep_their_types():
    # an array of them is one of strings, so that numbers were no categories that are known
    X = pd.DataFrame({"grade": pd.Categorical([1, 2, 2]), "c": ["a", "b", "a"], "n": [0.5, 1, 2]})
    columns = Columns.of(X, "from_dtype")
    np.testing.assert_array_equal(columns.encoded(X.to_numpy().tolist()), columns.encoded(X))
    of_list = Columns.of([["a", 1.0], [np.nan, 2.0], ["b", 3.0]], [0])
    assert of_list.categories == {0: ["a", "b"]}


def test_numbers_in_a_column_of_objects_are_numbers():
    X = pd.DataFrame({"price": [Decimal("1.5"), Decimal("2"), None], "n": [1, 2, 3]}).astype(object)
    assert Columns.of(X, "from_dtype") is None
    assert list(Columns.of(X.assign(b=[True, None, False]), "from_dtype").categories) == [2]


def test_every_kind_of_nan_is_missing():
    values = ["a", np.float32("nan"), Decimal("NaN"), pd.NaT]
    X = pd.DataFrame({"c": pd.Series(values, dtype=object)})
    assert Columns.of(X, "from_dtype").categories == {0: ["a"]}


def test_a_stream_has_the_categories_that_its_dtype_declares():
    X = pd.DataFrame({"c": pd.Categorical(list("ab"), categories=list("abc"))})
    assert Columns.of(X, "from_dtype").categories == {0: ["a", "b"]}
    assert Columns.of(X, "from_dtype", declared=True).categories == {0: ["a", "b", "c"]}


def test_no_rows_and_sparse_rows_are_refused():
    columns = Columns.of(table(), "from_dtype")
    with pytest.raises(ValueError, match="0 sample"):
        columns.encoded(table().head(0))
    with pytest.raises(ValueError, match="0 sample"):
        Columns.of(table().head(0), "from_dtype")
    with pytest.raises(ValueError, match="X is sparse"):
        columns.encoded(csr_array((2, 5)))


def test_encoded_columns_have_the_name_of_the_column_that_they_come_from():
    columns = Columns.of(table(), "from_dtype")
    names = ["age", "color", "color", "size", "size", "member", "member", "n"]
    assert columns.of_encoded(list(table())) == names
    assert columns.of_encoded(range(5)) == [0, 1, 1, 2, 2, 3, 3, 4]


def test_other_categories_than_before_are_refused():
    columns = Columns.of(table(), "from_dtype")
    Columns.check_same(columns, table(), "from_dtype")
    Columns.check_same(columns, table(), [1, 2, 3])
    Columns.check_same(columns, table().to_numpy(), "from_dtype")
    for which in (None, [1]):
        with pytest.raises(ValueError, match="cannot be changed in categorical_features"):
            Columns.check_same(columns, table(), which)
    with pytest.raises(ValueError, match=r"columns \[\] of X were categories, and now \[1\]"):
        Columns.check_same(None, table(), [1])


def of_polars(table):
    """Return a table of polars with a column of each of its types that are categories."""
    polars = pytest.importorskip("polars")
    return polars.DataFrame({
        "age": table["age"].tolist(),
        "color": ["red", None, "blue", "red"],
        "member": table["member"].tolist(),
        "size": polars.Series(["S", "M", "S", None], dtype=polars.Categorical),
        "grade": polars.Series(["b", "a", None, "a"], dtype=polars.Enum(["a", "b"])),
        "pair": [{"a": 1}] * 4,
    })


def test_categories_of_polars_are_found_by_their_types_and_by_their_names():
    columns = Columns.of(of_polars(table()), "from_dtype")
    assert columns.categories == {
        1: ["blue", "red"], 2: [False, True], 3: ["M", "S"], 4: ["a", "b"],
    }
    assert columns.names is None  # rows become an array: pandas may not be there
    found = Columns.of(of_polars(table()), ["size", "color"])
    assert list(found.categories) == [1, 3]
    with pytest.raises(ValueError, match=r"has 'colour', .*: these are \['age', 'color'"):
        Columns.of(of_polars(table()), ["colour"])


def test_a_table_of_polars_is_encoded_as_that_of_pandas():
    names = ["age", "color", "member", "size"]
    of_pandas, other = table()[names], of_polars(table()).select(names)
    columns = Columns.of(of_pandas, "from_dtype")
    np.testing.assert_array_equal(columns.encoded(other), columns.encoded(of_pandas))
    Columns.check_same(columns, other, "from_dtype")
    Columns.check_same(columns, other.with_columns(color=None), "from_dtype")
    with pytest.raises(ValueError, match=r"\[1, 2, 3\] of X were categories, and now \[1\]"):
        Columns.check_same(columns, other, ["color"])


def test_columns_that_hold_no_numbers_are_named():
    columns = Columns.of(table(), "from_dtype")
    for values, kind, words in (
        ("x", ValueError, "type str|the value 'x'"),
        (pd.Series([1, "x", 2, 3], dtype=object), ValueError, "the value 'x', which is text"),
        (pd.Timestamp("2020-01-01"), TypeError, "type datetime64.*drop the column"),
    ):
        for check in (columns.encoded, lambda X: check_numbers(X[["n", "age"]])):
            with pytest.raises(kind, match=f"Column 'age' of X has (values of )?({words})"):
                check(table().assign(age=values))
    polars = pytest.importorskip("polars")
    for values in (polars.Series(list("wxyz")), polars.Series(["a", 1, 2, 3], dtype=polars.Object)):
        with pytest.raises(ValueError, match=r"Column 'b' of X .*in polars, cast"):
            check_numbers(polars.DataFrame({"a": [1.0] * 4, "b": values}))


@pytest.mark.parametrize("dtype", ["large_string", "dictionary"])
def test_text_and_categories_of_pyarrow_are_found(dtype):
    pa = pytest.importorskip("pyarrow")
    kind = pa.large_string() if dtype == "large_string" else pa.dictionary(pa.int64(), pa.string())
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0], "c": ["1", "2", "1"]})
    X["c"] = X["c"].astype(pd.ArrowDtype(kind))
    assert Columns.of(X, "from_dtype").categories == {1: ["1", "2"]}
    with pytest.raises(ValueError, match=r"Column .c. of X has values of type .*pyarrow"):
        check_numbers(X)


def test_flags_and_numbers_that_pandas_holds_sparse_are_read():
    X = pd.DataFrame({"a": pd.arrays.SparseArray([1, 0, 2]), "c": ["x", "y", "x"]})
    columns = Columns.of(X, "from_dtype")
    np.testing.assert_array_equal(columns.encoded(X), [[1, 1, 0], [0, 0, 1], [2, 1, 0]])


def test_a_stream_may_have_both_values_of_a_flag():
    X = pd.DataFrame({"a": [1.0, 2.0], "b": [True, True]})
    assert Columns.of(X, "from_dtype", declared=True).categories == {1: [False, True]}


def test_a_stream_has_the_categories_of_an_enum_of_polars():
    pl = pytest.importorskip("polars")
    X = pl.DataFrame({"a": [1.0, 2.0], "c": ["x", "y"]})
    for dtype, expected in ((pl.Enum(["x", "y", "z"]), ["x", "y", "z"]),
                            (pl.Categorical, ["x", "y"])):
        columns = Columns.of(X.cast({"c": dtype}), "from_dtype", declared=True)
        assert columns.categories == {1: expected}


@pytest.mark.parametrize("X", [
    np.array([["2020-01-01"] * 2, ["2021-01-01"] * 2], "M8[D]"),
    np.array([["a", np.datetime64("2020-01-01")], ["b", np.datetime64("2021-01-01")]], object),
])
def test_dates_beside_a_category_are_refused_in_arrays_too(X):
    columns = Columns.of(X, [0])
    with pytest.raises(TypeError, match=r"values of type datetime64.* not numbers"):
        columns.encoded(X)
