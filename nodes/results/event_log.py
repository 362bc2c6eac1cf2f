"""``events.jsonl`` and its older parts: appended to by one process, begun anew when it is long, readable at any moment.

Parts are ``events.1.jsonl``, ``events.2.jsonl`` and so on, the oldest first, and then ``events.jsonl``. Of what was
dropped `FIRST` keeps the beginnings and ends of runs, and what each node had sent by then.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from .round_summaries import unfolded

CURRENT = "events.jsonl"
FIRST = "events.0.jsonl"
PARTS = 4  # the newest included, of equal size
DROPPED = "events.dropped"  # the type of a line that stands for those of a node
RUN_EVENTS = ("run.started", "run.completed", "run.failed")

_SPELL_S = 0.002

_PART = re.compile(r"events\.([1-9]\d*)\.jsonl\Z")


class LogInUse(Exception):
    """Another process writes to this log."""


class EventLog:
    """Appends lines to a folder's events; the parts together take about `max_bytes`.

    `dropping` is called with the oldest part before it is removed: in a thread, because it takes seconds, and whoever
    writes is an event loop. Raises `LogInUse`, or `OSError`.
    """

    def __init__(self, folder: Path, max_bytes: int, dropping: Callable[[Path], None]) -> None:
        self.folder, self.part_bytes = folder, max(1, max_bytes // PARTS)
        self.in_haste = threading.Event()  # while not, what is dropped is dropped at leisure
        self._dropping = dropping
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None  # of the thread
        self._file, self._size = self._open()
        if self._size and not _ends_whole(folder / CURRENT):
            self._file.write(b"\n")  # the line that a killed process had begun

    def write(self, line: bytes) -> None:
        try:
            self._raise_failure()
            if self._size and self._size + len(line) > self.part_bytes:
                self._begin_anew()
        finally:  # where that fails the part goes on growing, and the next line tries again
            self._file.write(line)
            self._size += len(line)

    def flush(self) -> None:
        self._file.flush()

    def settle(self) -> None:
        """Wait until what is to be dropped has been; raise what has gone wrong with it."""
        self.in_haste.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._too_old():  # of late
            self._drop()
        self.in_haste.clear()
        self._raise_failure()

    def close(self) -> None:
        try:
            self.settle()
        finally:
            self._file.close()

    def _open(self) -> tuple[IO[bytes], int]:
        file = (self.folder / CURRENT).open("ab", buffering=1 << 16)
        if not _lock(file):
            file.close()
            raise LogInUse
        return file, file.tell()

    def _begin_anew(self) -> None:
        """Put the current part aside."""
        self._file.flush()
        current, older = self.folder / CURRENT, older_parts(self.folder)
        if current.exists():
            number = int(_PART.match(older[-1].name)[1]) + 1 if older else 1  # type: ignore[index]
            current.rename(self.folder / f"events.{number}.jsonl")
        before = self._file
        self._file, self._size = self._open()
        before.close()
        too_old = self._too_old()
        if len(too_old) > 1:  # they come faster than they go
            self.in_haste.set()
        if too_old and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._drop, name="drop-events", daemon=True)
            self._thread.start()

    def _too_old(self) -> list[Path]:
        return older_parts(self.folder)[: 1 - PARTS]

    def _drop(self) -> None:
        try:
            while too_old := self._too_old():
                self._dropping(too_old[0])
                too_old[0].unlink()
        except Exception as error:  # noqa: BLE001  raised to whoever writes next, in whose thread it can be reported
            self._failure = error
        self.in_haste.clear()

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def older_parts(folder: Path) -> list[Path]:
    """Return the older parts of a folder's events, the oldest first."""
    found = {int(known[1]): path for path in folder.glob("events.*.jsonl") if (known := _PART.match(path.name))}
    return [found[number] for number in sorted(found)]


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a run folder in the order of their arrival; a truncated last line is left out.

    After a ``round.summary`` come the events of the peers that it stands for.
    """
    return read_parts(folder / FIRST, *parts_of(folder))


def parts_of(folder: Path) -> list[Path]:
    """Return the files of a folder's events, but for what stands for those that were dropped."""
    return [*older_parts(folder), folder / CURRENT]


def read_parts(*parts: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of files, as `read_events`."""
    return unfolded(line for part in parts for line in read_lines(part))


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines, as far as they are whole; none where there is no such file."""
    try:
        lines = file.open("rb")
    except FileNotFoundError:
        return
    with lines:
        for line in lines:
            try:
                event = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue
            if isinstance(event, dict):
                yield event


def at_leisure(events: Iterable[dict[str, Any]], in_haste: threading.Event) -> Iterator[dict[str, Any]]:
    """Yield events, and rest for as long as was spent on them, unless in haste: other threads have work to do."""
    began = time.monotonic()
    for event in events:
        yield event
        spent_s = time.monotonic() - began
        if spent_s > _SPELL_S:
            in_haste.wait(spent_s)
            began = time.monotonic()


def kept_of(events: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the lines that stand for events which are dropped: how runs began and ended, what nodes had sent."""
    kept: list[Mapping[str, Any]] = []
    totals: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for event in events:
        key = event.get("node"), event.get("incarnation")
        if event.get("type") in RUN_EVENTS:
            kept += [*totals.values(), event]  # what belongs to a run stays within it
            totals = {}
        elif isinstance(event.get("bytes_sent_total"), int):
            known = ("run", "node", "role", "incarnation", "time", "bytes_sent_total")
            totals[key] = {"type": DROPPED, **{name: event[name] for name in known if name in event}}
    return [*kept, *totals.values()]


def _lock(file: IO[bytes]) -> bool:
    """Lock a file for as long as this process has it open; False if another one has. True where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some file systems have no locks
        return True
    return True


def _ends_whole(file: Path) -> bool:
    with file.open("rb") as lines:
        lines.seek(-1, os.SEEK_END)
        return lines.read(1) == b"\n"
