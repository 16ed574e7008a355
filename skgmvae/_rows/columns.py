"""Which columns are categories, and rows with these one-hot encoded, there and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from numbers import Number
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import check_array

from ..exceptions import UnknownCategoryWarning
from ..runtime import warn
from .text import numbers_in, to_numbers, warn_of_text

__all__ = ["DATES", "TEXT", "Columns", "check_numbers", "column_names", "read_types"]

#: What to do about values that only look like numbers.
DATES = (
    "If time is to decide the clusters, turn dates into numbers, such as days since the first: "
    "(X[name] - X[name].min()).dt.days, or X[name].astype('int64'). Else drop the column."
)
TEXT = (
    "If such values are categories, pass a DataFrame, or name their columns by "
    "categorical_features; if they are numbers written as text, use pandas.to_numeric (in polars, "
    "cast)."
)

#: How the names of types of text and of categories begin: of pandas, polars and pyarrow.
TEXT_TYPES = "categor", "enum", "string", "large_string", "dictionary"
#: Categories of a column beyond which it is taken for a name or a number of the row.
MOST_CATEGORIES = 1000


class Columns(NamedTuple):
    """The columns of a table of which some are categories.

    Encoded, each of these becomes as many columns as it has categories, at its place. A category
    that is missing, or was not in the training data, is NaN in all of them.

    Attributes
    ----------
    n_features : int
        Columns of the table.
    categories : dict of int to list
        The values that a column can have, for each that is a category.
    names : list of str or None
        Those of a DataFrame of pandas, which rows become again; None where they become an array.
    """

    n_features: int
    categories: dict[int, list[Any]]
    names: list[Any] | None = None

    @classmethod
    def of(cls, X: Any, which: Any, *, declared: bool = False) -> Columns | None:
        """Find the categories of the training data; None if no column is one.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)
        which : "from_dtype", array-like of names, indices or bool, or None
            The parameter `categorical_features` of the estimator.
        declared : bool, default=False
            Whether what a column may have by its dtype ("category", "Enum", "bool") counts too, as
            in the first chunk of a stream.

        Raises
        ------
        ValueError, TypeError
            If columns are named that X does not have, or a column has no or too many categories.

        Warns
        -----
        TextNumbersWarning, IdentifierWarning
            If text that nobody has said to be categories may be none.
        """
        names = column_names(X)
        by_dtype = isinstance(which, str) and which == "from_dtype"
        if which is None or (by_dtype and names is None):
            return None
        X = _table(X)
        if len(X.shape) != 2:
            return None  # which is refused elsewhere
        chosen = _chosen(X, which)
        if not chosen:
            return None
        _check_rows(X)
        found, of_polars = {}, names is not None and not hasattr(X, "iloc")
        for number in chosen:
            name = number if names is None else names[number]
            with _naming(name):
                values = _ordered(_column(X, number))
            dtype: Any = None if names is None else list(X.dtypes)[number]
            if declared:
                values = _ordered([*values, *_declared(dtype)])
            if not values:
                raise ValueError(f"Column {name!r} of X has no values, all are missing: drop it.")
            if len(values) > MOST_CATEGORIES:
                numbers = numbers_in(values)
                advice = to_numbers(name, numbers, of_polars)
                raise ValueError(
                    f"Column {name!r} of X has {len(values)} categories, as a name or a number of "
                    "each row has: drop it, or encode what it says of the row."
                    + f" If it is to be numbers, use {advice}." * bool(numbers)
                )
            if by_dtype and str(dtype).lower().startswith(("object", "str")):
                warn_of_text(name, values, len(X), of_polars=of_polars)
            found[number] = values
        return cls(X.shape[1], found, names if hasattr(X, "iloc") else None)

    @staticmethod
    def check_same(before: Columns | None, X: Any, which: Any) -> None:
        """Raise a ValueError if other columns than before are categories, by a parameter."""
        names = column_names(X)
        if issparse(X) or (names is None and isinstance(which, str)):
            return
        table = _table(X)
        known_names = None if before is None else before.names
        if len(table.shape) != 2:
            return  # which is refused elsewhere
        if names is not None and known_names is not None and names != known_names:
            return  # it is refused with scikit-learn's words
        chosen = [] if which is None else _chosen(table, which)
        known = [] if before is None else sorted(before.categories)
        if isinstance(which, str):  # a column that has no values has no dtype to go by
            chosen = sorted({*chosen, *(
                number for number in known
                if number < table.shape[1] and all(map(_is_missing, _column(table, number)))
            )})
        if chosen != known:
            raise ValueError(
                f"A fitted model cannot be changed in categorical_features: columns "
                f"{known} of X were categories, and now {chosen}. Give them the dtypes that they "
                "had, or fit a clone; with warm_start=False `fit` begins a new model too."
            )

    @classmethod
    def merged(cls, parts: Sequence[Columns | None]) -> Columns | None:
        """Return columns with the categories of all of these, which are of tables of one form."""
        first = parts[0]
        forms = {part and (part.n_features, tuple(part.categories)) for part in parts}
        if len(forms) > 1:
            raise ValueError(
                "X must have the same columns in all processes of the group, and the same of them "
                "must be categories: name these by categorical_features."
            )
        if first is None:
            return None
        tables = [part for part in parts if part is not None]
        return first._replace(categories={
            number: _ordered(chain.from_iterable(table.categories[number] for table in tables))
            for number in first.categories
        })

    @property
    def groups(self) -> list[NDArray[np.intp]]:
        """The encoded columns of each category."""
        ends = np.cumsum(self._widths)
        return [
            np.arange(ends[number] - self._widths[number], ends[number])
            for number in self.categories
        ]

    def encoded_names(self, names: Iterable[Any]) -> list[str]:
        """Return the names of the encoded columns, such as color=red, by those of the table."""
        return [
            f"{name}={value}" if number in self.categories else str(name)
            for number, name in enumerate(names) for value in self.categories.get(number, [None])
        ]

    def of_encoded(self, names: Sequence[Any]) -> list[Any]:
        """Return for each encoded column which of these, of all columns, is that of its own."""
        widths = zip(names, self._widths, strict=True)
        return [name for name, width in widths for _ in range(width)]

    @property
    def _widths(self) -> NDArray[np.intp]:
        widths = np.ones(self.n_features, np.intp)
        for number, values in self.categories.items():
            widths[number] = len(values)
        return widths

    def encoded(self, X: Any) -> NDArray[Any]:
        """Return rows with categories one-hot encoded, (n_samples, n_encoded).

        In single precision if all other columns are, else in double precision.

        Warns
        -----
        UnknownCategoryWarning
            If values are no category of theirs, and so count as missing.
        """
        if issparse(X):
            raise ValueError("X is sparse, but the model was fitted to a table with categories.")
        X = _table(X)
        if len(X.shape) != 2 or X.shape[1] != self.n_features:
            raise ValueError(
                f"X has shape {X.shape}; it must have {self.n_features} columns, as the table that "
                "the model was fitted to."
            )
        _check_rows(X)
        plain = [number for number in range(self.n_features) if number not in self.categories]
        numbers = np.empty((len(X), 0))
        if plain:
            table = X.iloc[:, plain] if hasattr(X, "iloc") else X[:, plain]
            # numbers beside text in an array are text
            check_numbers(table, may_be_text=column_names(table) is None)
            numbers = check_array(
                table, dtype=read_types(table, [np.float64, np.float32]),
                ensure_all_finite="allow-nan", accept_sparse=True, input_name="X",
            )
            if issparse(numbers):  # as all columns of a DataFrame may be
                numbers = numbers.toarray()
        widths = self._widths
        rows = np.zeros((len(X), widths.sum()), numbers.dtype)
        firsts = np.cumsum(widths) - widths
        rows[:, firsts[plain]] = numbers
        names = column_names(X) or self.names or range(self.n_features)
        unknown: list[str] = []
        for number, known in self.categories.items():
            encoded = rows[:, firsts[number] : firsts[number] + widths[number]]
            with _naming(names[number]):
                codes, values = _factorized(X, number)
                own = {value: code for code, value in enumerate(known)}
                own_codes = np.array([own.get(value, -1) for value in values] + [-1], np.intp)
            found = own_codes[codes]
            encoded[np.arange(len(X)), found] = 1
            encoded[found < 0] = np.nan
            counts = np.bincount(codes[codes >= 0], minlength=len(values))
            unknown += _named_unknown(names[number], {
                values[code]: int(counts[code]) for code in np.flatnonzero(own_codes[:-1] < 0)
                if not _is_missing(values[code])
            }, len(X))
        if unknown:
            warn(UnknownCategoryWarning(
                "X has categories that the training data did not have, which count as missing: "
                f"{'; '.join(unknown[:3])}{'; ...' * (len(unknown) > 3)}. If they were renamed, "
                "call them as in the training data; if they are new, fit again."
            ))
        return rows

    def decoded(self, rows: NDArray[Any], index: Any = None) -> Any:
        """Return encoded rows in the form of the table: a DataFrame, or an array.

        A category is that with the largest value. A DataFrame has the index of the rows that these
        stand for, if there is one: pandas would put others together by their numbers.
        """
        first, columns = 0, []
        for number, width in enumerate(self._widths):
            values: Any = rows[:, first : first + width]
            if number in self.categories:
                possible = np.empty(width, object)  # of tuples np.array would make a matrix
                possible[:] = self.categories[number]
                values = possible[values.argmax(1)]
            else:
                values = values[:, 0]
            columns.append(values)
            first += width
        if self.names is None:
            table = np.empty((len(rows), self.n_features), object)
            for number, values in enumerate(columns):
                table[:, number] = values
            known = list(chain.from_iterable(self.categories.values()))
            exact = next((t for t in (rows.dtype, np.dtype(float)) if _are_exact(known, t)), None)
            return table if exact is None else table.astype(exact)
        import pandas as pd  # type: ignore[import-untyped]  # whose tables the user has

        # flags are of the dtype bool again, of which ~ is the opposite
        frame = pd.DataFrame(dict(enumerate(columns)), index).infer_objects()
        # of tuples an Index is the MultiIndex that they were taken from
        return frame.set_axis(pd.Index(self.names), axis=1)


def check_numbers(X: Any, *, may_be_text: bool = False) -> None:
    """Raise an error if columns hold what would silently become numbers: dates, or text.

    Parameters
    ----------
    X : array-like or DataFrame
    may_be_text : bool, default=False
        Whether numbers may be written as text.

    Raises
    ------
    TypeError
        Of dates and times.
    ValueError
        Of text.
    """
    if not hasattr(X, "__len__"):  # a LazyFrame would be asked to compute
        return
    for where, dtype, values in _parts(X):
        kind, name = getattr(dtype, "kind", ""), str(dtype)
        if kind in tuple("mM") or name.startswith(("Date", "Time", "Duration")):  # of polars
            raise TypeError(f"{where} has values of type {dtype}, not numbers. {DATES}")
        is_text = kind in tuple("SU") or name.lower().startswith((*TEXT_TYPES, "str"))
        if is_text and not may_be_text:
            raise ValueError(f"{where} has values of type {dtype}, not numbers. {TEXT}")
        for value in values:  # "1.5" would become 1.5
            if isinstance(value, np.datetime64 | np.timedelta64):
                raise TypeError(
                    f"{where} has values of type {type(value).__name__}, not numbers. {DATES}"
                )
            if isinstance(value, str | bytes) and not may_be_text:
                raise ValueError(
                    f"{where} has the value {value!r}, which is text, not a number. {TEXT}"
                )


def _parts(X: Any) -> Iterator[tuple[str, Any, Iterable[Any]]]:
    """Yield what errors call a part of X, its dtype, and values that have no type in common.

    The parts of a DataFrame are its columns, all else is one.
    """
    names = column_names(X)
    if names is None:
        yield "X", getattr(X, "dtype", None), _objects(X)
        return
    for number, (name, dtype) in enumerate(zip(names, X.dtypes, strict=True)):
        values: Iterable[Any] = ()
        if str(dtype).lower() in ("object", "category"):
            values = getattr(dtype, "categories", _series(X, number))
        yield f"Column {name!r} of X", dtype, values


def _objects(X: Any) -> Iterator[Any]:
    """Yield the values of arrays of objects, and of lists."""
    if isinstance(X, np.ndarray) and X.dtype.kind in "OSUmM":
        yield from X.flat
    elif isinstance(X, list | tuple):
        for row in X:
            yield from row if isinstance(row, list | tuple) else _objects(row)


def column_names(X: Any) -> list[Any] | None:
    """Return the names of the columns of a DataFrame, of pandas or polars; None of other rows."""
    if all(hasattr(X, name) for name in ("__len__", "columns", "dtypes")):
        return list(X.columns)
    return None


def read_types(X: Any, kept: list[Any]) -> Any:
    """Return the types that `check_array` keeps: of a table of polars, that of all its columns.

    Its types are not those of numpy, by which `check_array` goes.
    """
    if column_names(X) is None or hasattr(X, "iloc") or len(set(X.dtypes)) != 1:
        return kept
    own = next(
        (kind for kind in kept if np.dtype(kind).name == str(X.dtypes[0]).lower()), None
    )
    has_gaps = own == np.uint8 and any(X.null_count().row(0))
    return kept if own is None or has_gaps else own


def _table(X: Any) -> Any:
    """Return a DataFrame, or an array whose values are as they were given."""
    if hasattr(X, "dtype") or column_names(X) is not None:
        return X
    return np.asarray(X, dtype=object)  # which else would make strings of numbers beside strings


def _check_rows(X: Any) -> None:
    if not len(X):
        raise ValueError(
            f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required."
        )


def _chosen(X: Any, which: Any) -> list[int]:
    """Return the numbers of the columns that are categories, in order."""
    names = column_names(X)
    if isinstance(which, str):
        if which != "from_dtype":
            raise ValueError(
                f"categorical_features={which!r} must be 'from_dtype', None, or an array of "
                "names, indices or bool."
            )
        dtypes = enumerate([] if names is None else X.dtypes)
        return [number for number, dtype in dtypes if _is_category(X, number, dtype)]
    given = np.asarray(which)
    n_features = X.shape[1]
    if given.size == 0:
        return []
    if given.ndim != 1:
        raise ValueError(f"categorical_features={which!r} must be one-dimensional.")
    if given.dtype.kind == "b":
        if len(given) != n_features:
            raise ValueError(
                f"categorical_features is a mask of {len(given)} columns, but X has {n_features}."
            )
        return [int(number) for number in np.flatnonzero(given)]
    if given.dtype.kind in "OUS":
        unknown = [name for name in given.tolist() if name not in (names or ())]
        if unknown:
            raise ValueError(
                f"categorical_features has {unknown[0]!r}, which is not a column of X: "
                + (f"these are {names}." if names else "X is an array, pass indices.")
            )
        assert names is not None
        return sorted({names.index(name) for name in given.tolist()})
    if given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= n_features:
        raise ValueError(
            f"categorical_features={which!r} must hold numbers of columns from 0 to "
            f"{n_features - 1}."
        )
    return sorted(set(given.tolist()))


def _is_category(X: Any, number: int, dtype: Any) -> bool:
    """Whether a column of a DataFrame is a category by its dtype, of pandas or polars."""
    name = str(getattr(dtype, "name", dtype)).lower()
    if name == "object":  # of numbers too, as readers of databases make it
        return any(isinstance(value, str | bool | np.bool_) for value in _column(X, number))
    return name == "str" or name.startswith(("bool", *TEXT_TYPES))


def _declared(dtype: Any) -> list[Any]:
    """Return the values that a column may have by its type, of pandas or polars."""
    name = str(dtype).lower()
    if name.startswith("bool"):
        return [False, True]
    return list(dtype.categories) if name.startswith(("category", "enum")) else []


def _series(X: Any, number: int) -> Any:
    return X.iloc[:, number] if hasattr(X, "iloc") else X[:, number]


def _column(X: Any, number: int) -> list[Any]:
    column = _series(X, number)
    values = column.tolist() if hasattr(column, "tolist") else column.to_list()  # of polars
    return [_of_python(value) for value in values]


def _of_python(value: Any) -> Any:
    # numbers of numpy are left in arrays of objects, and a file can hold only those of Python
    return value.item() if isinstance(value, np.generic) else value


def _are_exact(values: list[Any], dtype: np.dtype[Any]) -> bool:
    """Whether values are numbers that this type holds as they are."""
    return all(
        isinstance(value, int | float) and dtype.type(value).item() == value for value in values
    )


def _factorized(X: Any, number: int) -> tuple[NDArray[np.intp], list[Any]]:
    """Return the code of each row's value, -1 if it has none, and the values by their codes."""
    if hasattr(X, "iloc"):
        codes, values = _series(X, number).factorize()
        return codes, [_of_python(value) for value in values]
    known: dict[Any, int] = {}
    codes = [known.setdefault(value, len(known)) for value in _column(X, number)]
    return np.array(codes, np.intp), [*known]


@contextmanager
def _naming(column: Any) -> Iterator[None]:
    """Name the column whose values cannot be looked up, and so cannot be categories."""
    try:
        yield
    except TypeError as error:
        raise TypeError(
            f"Column {column!r} of X holds values that cannot be categories, such as lists: "
            f"{error}."
        ) from error


def _named_unknown(name: Any, counts: dict[Any, int], n_rows: int) -> list[str]:
    """Describe the values of a column that are no known category, by how many rows have each."""
    shown = ", ".join(map(repr, [*counts][:3])) + ", ..." * (len(counts) > 3)
    where = f"column {name!r} has {shown} in {sum(counts.values())} of {n_rows} rows"
    return [where] if counts else []


def _ordered(values: Iterable[Any]) -> list[Any]:
    """Return the distinct values that are not missing, sorted, by their names if need be."""
    distinct = [value for value in dict.fromkeys(values) if not _is_missing(value)]
    try:
        return sorted(distinct)
    except TypeError:  # numbers and strings
        return sorted(distinct, key=lambda value: (type(value).__name__, str(value)))


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, Number) and value != value
