"""What a question about order statistics must be before a site counts: `order_statistics` asks no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from .asked import Field, MalformedQuestion, check_fields, is_list, is_whole
from .order_statistics import KEY, MOST_PREFIXES, WIDTHS
from .questions import Question

_is_key = is_whole(0, (1 << KEY) - 1)


def check_order(
    what: str, question: Question, column: Callable[[Any], bool], more: Mapping[str, Field] | None = None
) -> None:
    """Raise MalformedQuestion for a question that no site is asked about its order statistics.

    `column` says of a name or a place whether there is such a column, `more` which further fields the question has.
    """
    check_fields(what, question, {**_fields_of(column), **(more or {})})
    columns, prefixes, known, bits = (question[key] for key in ("columns", "prefixes", "known", "bits"))
    if len(columns) != len(prefixes) or known % bits or any(one[-1] >> known for one in prefixes):
        raise MalformedQuestion(
            f"{what} has {len(columns)} columns, {len(prefixes)} lists of prefixes of {known} bits, and counts {bits} "
            "at a time; expected a list for each column, of prefixes below 2**known, and known a multiple of bits"
        )


def _fields_of(column: Callable[[Any], bool]) -> dict[str, Field]:
    widths = ", ".join(map(str, WIDTHS))
    return {
        "columns": Field("a list of columns that there are, each once", lambda found: _distinct(found, column)),
        "bits": Field(f"one of {widths}", lambda found: type(found) is int and found in WIDTHS),
        "known": Field(f"a whole number below {KEY}", is_whole(0, KEY - 1)),
        "prefixes": Field(f"lists of rising whole numbers, at most {MOST_PREFIXES} in all", _are_prefixes),
    }


def _distinct(found: Any, column: Callable[[Any], bool]) -> bool:
    plain = is_list(found) and len(found) > 0 and all(type(one) in (str, int) for one in found)
    return plain and all(map(column, found)) and len(set(found)) == len(found)


def _are_prefixes(found: Any) -> bool:
    if not is_list(found) or not all(is_list(one) and len(one) for one in found):
        return False
    if sum(map(len, found)) > MOST_PREFIXES:
        return False
    return all(all(map(_is_key, one)) and all(a < b for a, b in pairwise(one)) for one in found)
