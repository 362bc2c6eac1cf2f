"""Rows are added to, and changed, at the end of their file."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.nodes.results import rows_file
from nervenet.nodes.results.rows_file import changing_rows

ROUNDS = 3000


def line(number: int, ballast: int = 0) -> bytes:
    return json.dumps({"round": number, "x": "x" * ballast}).encode() + b"\n"


@given(st.sets(st.integers(1, 40)), st.integers(0, 42), st.integers(1, 200), st.lists(st.integers(0, 90), min_size=40))
def test_a_file_is_cut_where_a_round_begins(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], first: int, block: int, ballast: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    before = {number: line(number, ballast[number - 1]) for number in sorted(numbers)}
    (folder / rows_file.FILE).write_bytes(b"".join(before.values()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_file, "_BLOCK", block)
        with changing_rows(folder) as rows:
            taken = rows.take(first)
            rows.add([line(99)])
    assert [row["round"] for row in taken] == [number for number in sorted(numbers) if number >= first]
    left = b"".join(each for number, each in before.items() if number < first)
    assert (folder / rows_file.FILE).read_bytes() == left + line(99)


def test_what_is_no_row_goes_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / rows_file.FILE).write_bytes(line(1) + b"{\n" + line(2) + b'{"x": 1}\n' + line(3) + b'{"round": 4')
    with changing_rows(tmp_path) as rows:
        assert [row["round"] for row in rows.take(3)] == [3]
    assert (tmp_path / rows_file.FILE).read_bytes() == line(1) + line(2)


def test_where_something_is_raised_the_file_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / rows_file.FILE).write_bytes(line(1))

    def change() -> None:
        with changing_rows(tmp_path) as rows:
            rows.take(1)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        change()
    assert (tmp_path / rows_file.FILE).read_bytes() == line(1)
    assert [file.name for file in tmp_path.iterdir()] == [rows_file.FILE]


def read_for_the_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many rows of a long file are read to change the last ones."""
    (folder / rows_file.FILE).write_bytes(b"".join(line(number, 200) for number in range(1, ROUNDS + 1)))
    read: list[bytes] = []
    decoded = rows_file._row
    monkeypatch.setattr(rows_file, "_row", lambda row: (read.append(row), decoded(row))[1])
    with changing_rows(folder) as rows:
        assert len(rows.take(ROUNDS - 4)) == 5
    return len(read)


def test_of_a_long_run_the_last_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_for_the_last(tmp_path, monkeypatch) < ROUNDS / 8


def test_as_a_whole_it_would_be_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_file, "_BLOCK", 1 << 30)
    assert read_for_the_last(tmp_path, monkeypatch) == ROUNDS
