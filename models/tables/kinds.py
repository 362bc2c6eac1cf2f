"""Kinds of columns: number, category or date, as a user says or as the values look."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..data.arrays import changed_by_float64
from ..data.data import EXACT, DataError
from .dates import looks_like_date, read_dates
from .options import ColumnOptions
from .raw import RawTable, Words
from .table import DATES, GAP, Kind

CONFUSED = "a whole number of at most 2**53, beyond which float64 confuses them"
SHOWN = 3  # so many of the cells that are wrong are named

TRUTH = {"true": 1.0, "false": 0.0}
"""A column of nothing else is a column of numbers, as truth values are in every other kind of file."""

_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+([eE][+-]?\d+)?", re.ASCII)
_THREE_DIGITS = re.compile(r"[+-]?\d{1,3}(,\d{3})+", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
Reading: TypeAlias = Callable[[str], float | None]
DECIMAL_COMMA, THOUSANDS_COMMA = "1,5", "1,500"


class Column(NamedTuple):
    """A column of known kind: its array as `Table` has it, and the format of its cells where they need one."""

    kind: Kind
    array: NDArray[Any]
    form: str = ""


def recognized(raw: RawTable, name: str, options: ColumnOptions) -> Column:
    """Return a column of a raw table as what it is said to be, else as what it looks like.

    Text is a number where every word is one, a date where every word is one, and else a category. Words that are mostly
    numbers, or mostly dates, are neither taken for categories nor for gaps: DataError names them, and what to say.
    """
    cells = raw.cells(name)
    if isinstance(cells, Words):
        return _spread(cells, by_word(raw, name, cells, options))
    return _of_array(raw, name, cells, options)


def _spread(cells: Words, column: Column) -> Column:
    """Return a value a row for a value a word."""
    return column._replace(array=column.array[cells.codes])


def _of_array(raw: RawTable, name: str, values: NDArray[Any], options: ColumnOptions) -> Column:
    """Return a column of a file that says what its columns hold."""
    if values.dtype.kind == "M":
        if options.kind == "number":
            raise DataError(f'{raw.name}: column "{name}": found dates, expected numbers')
        dates = values.astype(DATES)
        if options.kind == "category":
            return Column(
                "category", _objects(dates, np.isnat(dates), lambda day: day.isoformat().removesuffix("T00:00:00"))
            )
        return Column("date", dates)
    if options.kind == "date":
        if values.dtype.kind == "f" and np.isnan(values).all():  # a column of gaps alone has no type of its own
            return Column("date", np.full(len(values), "NaT", DATES))
        if options.format is None:
            say = f'say data.columns.{name}.format, such as "%Y%m%d"' if raw.options else "write them as in 2026-01-31"
            raise DataError(f'{raw.name}: column "{name}": found numbers, expected dates: {say}')
        words = Words.of(_as_text(values))
        return _spread(words, by_word(raw, name, words, options))
    if options.kind == "category":
        return Column("category", _objects(values, (values != values) | _gap_numbers(values, options), category_name))
    if values.dtype.kind in "iu" and (changed := changed_by_float64(values)).any():
        row = int(np.flatnonzero(changed)[0])
        raise raw.refusal(row, name, f"found {values[row]}, expected {CONFUSED}")
    numbers = values.astype(np.float64)
    if np.isinf(numbers).any():
        row = int(np.flatnonzero(np.isinf(numbers))[0])
        raise raw.refusal(row, name, f"found {numbers[row]}, expected a finite number")
    missing = _gap_numbers(values, options)
    return Column("number", np.where(missing, np.nan, numbers) if missing.any() else numbers)


def _gap_numbers(values: NDArray[Any], options: ColumnOptions) -> NDArray[np.bool_]:
    """Return which numbers are said to be gaps, such as -999."""
    said = [value for word in options.gaps or () if (value := number(word)) is not None]
    return np.isin(values, said) if said else np.zeros(len(values), np.bool_)


def _objects(values: NDArray[Any], missing: NDArray[np.bool_], text: Callable[[Any], str]) -> NDArray[Any]:
    found = np.empty(len(values), object)
    distinct, places = np.unique(values[~missing], return_inverse=True)
    found[~missing] = np.array([text(value) for value in distinct.tolist()] or [""], object)[places]
    found[missing] = GAP
    return found


def category_name(value: Any) -> str:
    """Return a category's name, of a number without a fraction that of the integer: 1 may be stored as 1 or as 1.0."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float):  # an integer may be beyond the range of floats
        return str(value)
    return str(int(value)) if value.is_integer() else repr(float(value))


def _as_text(values: NDArray[Any]) -> list[str]:
    return ["" if value != value else category_name(value) for value in values.tolist()]


def by_word(raw: RawTable, name: str, cells: Words, options: ColumnOptions) -> Column:
    """Return the kind of a column of text, as `recognized` does, and the value of each of its words."""
    gap_words = options.gap_words
    missing = np.array([word in gap_words for word in cells.words], np.bool_)
    present = [word for word, gap in zip(cells.words, missing.tolist(), strict=True) if not gap]
    found = _Found(raw, name, cells, missing, present, options)
    match options.kind or ("category" if cells.category else None):
        case "category":
            return found.categories()
        case "number":
            return found.numbers(truth) if _all_truth(present) else found.numbers(found.reading())
        case "date":
            return found.dates()
    if not present:
        return Column("number", np.full(len(cells.words), math.nan))
    if _all_truth(present):
        return found.numbers(truth)
    if options.format is not None and options.format not in (DECIMAL_COMMA, THOUSANDS_COMMA):
        return found.dates()
    if (values := _plain_numbers(present)) is not None:  # at once: most columns are no more than this
        return found.numbers(number, values)
    reading = found.reading()
    counts = np.bincount(cells.codes, minlength=len(cells.words))[~missing]
    numeric = np.array([reading(word) is not None for word in present], np.bool_)
    if counts[numeric].sum() * 2 >= counts.sum():
        return found.numbers(reading)
    dates = np.array([looks_like_date(word) for word in present], np.bool_)
    return found.dates() if counts[dates].sum() * 2 >= counts.sum() else found.categories()


class _Found:
    """A column of words, for each kind that it can be."""

    def __init__(
        self,
        raw: RawTable,
        name: str,
        cells: Words,
        missing: NDArray[np.bool_],
        present: Sequence[str],
        options: ColumnOptions,
    ) -> None:
        self.raw, self.name, self.cells, self.missing, self.present = raw, name, cells, missing, present
        self.options = options

    def _filled(self, values: Sequence[Any] | NDArray[Any], array: NDArray[Any]) -> NDArray[Any]:
        """Return a value a word: those of the words that are there, and `array`'s where there is none."""
        array[~self.missing] = np.array(values, array.dtype)
        return array

    def categories(self) -> Column:
        return Column("category", self._filled(self.present, np.full(len(self.missing), GAP, object)))

    def dates(self) -> Column:
        try:
            values, form = read_dates(self.present, self.options.format)
        except ValueError as error:
            say = (
                f'say which, --set data.columns.{self.name}.format="%d/%m/%Y" or "%m/%d/%Y" (with the marks of the '
                f"file), or --categorical {self.name}"
            )
            hint = say if self.raw.options else "write it as in 2026-01-31"
            raise DataError(f'{self.raw.name}: column "{self.name}": {error}: {hint}') from None
        bad = {word for word, value in zip(self.present, values, strict=True) if value is None}
        if bad:
            expected = "a date" if self.options.format is None else f"a date of the form {self.options.format}"
            raise self._odd(bad, f"{expected}, as in 2026-01-31")
        return Column("date", self._filled(values, np.full(len(self.missing), "NaT", DATES)), form)

    def reading(self) -> Reading:
        return reading_of(self.raw, self.name, self.present, self.options)

    def numbers(self, reading: Reading, known: NDArray[np.float64] | None = None) -> Column:
        if known is None:
            values = [reading(word) for word in self.present]
            if bad := {word for word, value in zip(self.present, values, strict=True) if value is None}:
                raise self._odd(bad, "a number")
            known = np.array(values, np.float64)
        for place in np.flatnonzero(np.abs(known) >= EXACT).tolist():
            self._check_large(self.present[place], float(known[place]))
        form = FORMS.get(reading, "")
        return Column("number", self._filled(known, np.full(len(self.missing), math.nan)), form)

    def _check_large(self, word: str, value: float) -> None:
        row = int(self.cells.rows_of(word.__eq__)[0])
        if math.isinf(value):
            hint = (
                f"; --set 'data.columns.{self.name}.gaps=[\"{word}\"]' takes it for a gap" if self.raw.options else ""
            )
            raise self.raw.refusal(row, self.name, f"found {word}, expected a finite number{hint}")
        if is_integer(word) and int(word) != int(value):
            raise self.raw.refusal(row, self.name, f"found {word}, expected {CONFUSED}")

    def _odd(self, bad: set[str], expected: str) -> DataError:
        """Return what to say of a few words among many values of another kind."""
        rows = self.cells.rows_of(bad.__contains__)
        first = int(rows[0])
        further = [f'{self.raw.place(row)} "{_short(self.cells.cell(row))}"' for row in rows[1:SHOWN].tolist()]
        more = [f"{len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
        also = f" (also {', '.join([*further, *more])})" if further else ""
        if not self.raw.options:
            hint = "an empty cell is a gap"
        elif len(rows) == 1 and self.raw.place(first) == "line 2":
            hint = "delete the line if it is a second header"
        else:
            hint = f"--categorical {self.name} takes them all as categories"
            if len(bad) <= SHOWN and all(word == _short(word) for word in bad):  # else these are no words for a gap
                words, these = ", ".join(f'"{word}"' for word in sorted(bad)), "this" if len(bad) == 1 else "these"
                hint += f", --set 'data.columns.{self.name}.gaps=[{words}]' takes {these} for gaps"
        found = f'found text "{_short(self.cells.cell(first))}", expected {expected}{also}; {hint}'
        return self.raw.refusal(first, self.name, found)


def reading_of(raw: RawTable, name: str, words: Sequence[str], options: ColumnOptions) -> Reading:
    """Return how a column's numbers are read: with a decimal point, or with a decimal comma.

    Raises DataError where the comma may as well be between thousands.
    """
    if options.format == DECIMAL_COMMA:
        return number_with_comma
    if options.format == THOUSANDS_COMMA:
        return number_with_thousands
    odd = [word for word in words if "," in word]
    if not odd or any(number_with_comma(word) is None for word in odd):
        return number
    if any("." in word and number(word) is not None for word in words):
        return number  # both marks: nobody can say which is which
    if all(_THREE_DIGITS.fullmatch(word) for word in odd):
        say = f'say which, --set data.columns.{name}.format="{DECIMAL_COMMA}" or "{THOUSANDS_COMMA}"'
        hint = say if raw.options else "write it with a decimal point, or without the comma"
        found = f'"{odd[0]}" has a decimal comma or a comma between thousands: {hint}'
        raise DataError(f'{raw.name}: column "{name}": {found}')
    return number_with_comma


def number(word: str) -> float | None:
    """Return a number written with a decimal point, or None."""
    try:
        value = float(word)
    except ValueError:
        return None
    return None if "_" in word or math.isnan(value) else value


def _plain_numbers(words: Sequence[str]) -> NDArray[np.float64] | None:
    """Return what `number` gives of each word, or None where one is no number."""
    try:
        values = np.array(list(map(float, words)))
    except ValueError:
        return None
    return None if np.isnan(values).any() or "_" in "".join(words) else values


def number_with_comma(word: str) -> float | None:
    """Return a number written with a decimal comma, thousands with points or not at all; or a whole number; or None."""
    if _COMMA.fullmatch(word):
        return number(word.replace(".", "").replace(",", "."))
    return None if "." in word else number(word)


def number_with_thousands(word: str) -> float | None:
    """Return a number whose thousands may be separated by commas, or None."""
    return number(word.replace(",", "")) if _THOUSANDS.fullmatch(word) else number(word)


def is_integer(word: str) -> bool:
    return word.removeprefix("-").removeprefix("+").isdecimal()


def truth(word: str) -> float | None:
    """Return 1 for "true" and 0 for "false", however they are capitalized, or None."""
    return TRUTH.get(word.lower())


def _all_truth(words: Sequence[str]) -> bool:
    return bool(words) and all(truth(word) is not None for word in words)


def _short(word: str, most: int = 40) -> str:
    return word[:most].replace("\n", " ")


FORMS: dict[Reading, str] = {number_with_comma: DECIMAL_COMMA, number_with_thousands: THOUSANDS_COMMA}
"""The format of a column that is read so."""
