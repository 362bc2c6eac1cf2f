"""Regular rows of numbers: parsed without an object for each, and to the same bits; anything else is left alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.nodes.serving import number_parser
from nervenet.nodes.serving.csv_rows import numbers_of_csv
from nervenet.nodes.serving.json_rows import NumberRows
from nervenet.nodes.serving.number_parser import numbers_in_csv, numbers_in_json
from nervenet.nodes.serving.refusals import Malformed

pytest.importorskip("simdjson")

numbers = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1))
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(numbers, min_size=width, max_size=width), min_size=1, max_size=9)
)
lengths = st.sampled_from([1, 20, 1 << 17])


@given(tables, st.sampled_from([(",", ":"), (", ", ": ")]), lengths)
def test_rows_of_json_are_read_to_the_bit(rows: list[list[float]], separators: tuple[str, str], length: int) -> None:
    body = json.dumps({"X_test": rows}, separators=separators).encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(number_parser, "CHUNK_BYTES", length)
        found = numbers_in_json(body, len(rows[0]), 9)
    assert found is not None
    assert found.tolist() == np.array(rows, np.float64).tolist()


@given(tables, st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "\n", "\n \n"]), lengths)
def test_lines_of_csv_are_read_to_the_bit(rows: list[list[float]], end: str, last: str, length: int) -> None:
    lines = (end.join(",".join(map(repr, row)) for row in rows) + last).encode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(number_parser, "CHUNK_BYTES", max(length, 200))
        found = numbers_in_csv(memoryview(lines), len(rows[0]), 9)
    assert found is not None
    assert found.tolist() == np.array(rows, np.float64).tolist()


@pytest.mark.parametrize("length", [1, 1 << 17])
@pytest.mark.parametrize(
    "value",
    [
        "[]",
        "[[]]",
        "[1, 2]",
        "[[1, 2], [3]]",
        "[[1], [2, 3, 4]]",
        "[[1, 2, 3, 4]]",
        "[1, [2], [3, 4]]",
        "[[1, 2], [3], 4]",
        "[[[1, 2]], [3, 4]]",
        "[[1, [2]], [3, 4]]",
        "[[[1, 2], [3, 4]]]",
        "[[1, 2], [3, true]]",
        "[[1, 2], [3, null]]",
        '[[1, 2], [3, "4"]]',
        '[[1, 2], [3, "], [4"]]',
        '[[1, 2], {"a": 3, "b": 4}]',
        "[[1, 2], [3, 4],]",
        "[[1, 2], [3, 04]]",
        "[[1, 2], [3, NaN]]",
        "[[1, 2], [3, 1e999]]",
        f"[[1, 2], [3, {2**64}]]",
        "[[1, 2], [3, 4]], [[5, 6]]",
        '[[1, 2], [3, 4]], "more": [[5, 6]]',
    ],
)
def test_what_is_not_so_regular_is_left_to_others(value: str, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_parser, "CHUNK_BYTES", length)
    assert numbers_in_json(b'{"X_test": %b}' % value.encode(), 2, 9) is None


@pytest.mark.parametrize("lines", [b"", b"\n", b"1,2\n\n3,4", b"1,2\n3", b"1,[2]", b'1,"2"', b"1,nan", b"1,+2", b"1;2"])
def test_lines_that_are_not_so_regular_likewise(lines: bytes) -> None:
    assert numbers_in_csv(memoryview(lines), 2, 9) is None


def test_more_rows_than_may_be_are_counted_by_others() -> None:
    assert numbers_in_json(b'{"X_test": [[1], [2], [3]]}', 1, 2) is None


def test_numbers_that_fill_each_others_rows_are_told_from_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"X_test": [[1, 2, 3], [4]]}'
    assert numbers_in_json(body, 2, 9) is None
    monkeypatch.setattr(number_parser, "rows_in", lambda found, *_: len(found))
    assert numbers_in_json(body, 2, 9) is not None  # without the look at each row


def test_without_the_parser_the_same_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = tuple("abc")
    rows = np.arange(18_000.0).reshape(-1, 3) / 7
    body = json.dumps({"X_test": rows.tolist()}).encode()
    lines = b"c,a,b\n" + "\n".join(",".join(map(repr, row)) for row in rows[:, [2, 0, 1]].tolist()).encode()

    def read() -> list[list[list[float]]]:
        by_json, by_csv = NumberRows(columns).read(body, 10**4), numbers_of_csv(lines, columns, {}, 10**4)
        return [by_json.tolist(), by_csv.tolist()]

    assert read() == [rows.tolist()] * 2
    monkeypatch.setattr(number_parser, "_parser", lambda: None)
    assert read() == [rows.tolist()] * 2
    with pytest.raises(Malformed, match="expected at most 9"):
        NumberRows(columns).read(body, 9)
