"""A log is read as it grows: each event once, whole lines only, across parts that are renamed."""

import json
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.web import log_tail
from nervenet.nodes.web.log_tail import LogTail


def line(number: int, **more: Any) -> bytes:
    return json.dumps({"type": "warning", "node": "n", "seq": number, **more}).encode() + b"\n"


def numbers(tail: LogTail) -> list[int]:
    return [event["seq"] for event in tail.new()]


def add(path: Path, *lines: bytes) -> None:
    with path.open("ab") as file:
        file.writelines(lines)


def test_what_is_added_is_read_once_and_only_when_its_line_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    tail = LogTail(log)
    assert numbers(tail) == []
    add(log, line(1), b"no event\n", b"[1]\n", line(2)[:10])
    assert numbers(tail) == [1]
    add(log, line(2)[10:], line(3))
    assert numbers(tail) == [2, 3]
    assert numbers(tail) == []


def test_a_part_that_is_put_aside_is_read_to_its_end_and_not_again(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    add(log, line(1))
    tail = LogTail(tmp_path)
    assert numbers(tail) == [1]
    add(log, line(2))
    log.rename(tmp_path / "events.1.jsonl")
    add(log, line(3))
    assert numbers(tail) == [2, 3]
    log.rename(tmp_path / "events.2.jsonl")
    (tmp_path / "events.1.jsonl").unlink()
    assert numbers(tail) == []


def test_a_file_that_is_written_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "recorded.jsonl"
    add(log, line(1), line(2))
    tail = LogTail(log)
    assert numbers(tail) == [1, 2]
    log.write_bytes(line(3))
    assert numbers(tail) == [3]


def test_what_stands_for_dropped_events_is_read_at_the_beginning_alone(tmp_path: Path) -> None:
    first = tmp_path / "events.0.jsonl"
    add(first, line(1))
    add(tmp_path / "events.1.jsonl", line(2))
    tail = LogTail(tmp_path)
    assert numbers(tail) == [1, 2]
    anew = tmp_path / "anew"
    add(anew, line(1), line(2))
    anew.rename(first)
    (tmp_path / "events.1.jsonl").unlink()
    add(tmp_path / "events.jsonl", line(3))  # which may have the inode of one that is gone
    assert numbers(tail) == [3]
    assert numbers(tail) == []


def test_a_part_that_is_put_aside_while_it_is_looked_for_is_read_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "events.jsonl"
    add(log, line(1))
    tail = LogTail(tmp_path)
    found = tail._parts()
    log.rename(tmp_path / "events.1.jsonl")
    add(log, line(2))
    with monkeypatch.context() as patched:
        patched.setattr(tail, "_parts", lambda: found)
        assert numbers(tail) == []
    assert numbers(tail) == [1, 2]


def test_of_a_long_log_the_beginning_and_the_end_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "BEGINNING", 200)
    for part, first in (("events.1.jsonl", 0), ("events.jsonl", 50)):
        add(tmp_path / part, *(line(number) for number in range(first, first + 50)))
    tail = LogTail(tmp_path, most=1000)
    found = numbers(tail)
    size = len(line(10))
    assert found[0] == 0
    assert found[-1] == 99
    assert 1000 // size - 2 <= len(found) <= (1000 + 200) // size + 2
    assert found == sorted(set(found))
    assert tail.skipped > 3000
    add(tmp_path / "events.jsonl", line(100))
    assert numbers(tail) == [100]
