"""The file of an audit log: lines are appended, never changed; several processes of one name may share it.

Each line is written under a lock, after a look at what the last one is.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nervenet.broker.errors import see

from .chain import CONTINUED, TORN, Broken, Head, follows, parse, sealed, torn_fields

LARGEST = 64 * 2**20  # bytes of a file, before the chain goes on in another
ENDING = ".jsonl"
CLOSED = "~"  # before the number of a file that is closed; no name has it
RUN_FILE = "experiment.toml"  # by which a run folder is known
LOCKED_S = 2.0  # how long another process of the name may hold the lock: it writes one line under it
_BLOCK = 1 << 16


class AuditError(RuntimeError):
    """An audit log that cannot be used; the message says which file, why, and what mends it."""


class AuditLog:
    """The chain of one node's name in a folder: NAME.jsonl and, closed, NAME~00001.jsonl and so on.

    Parameters
    ----------
    folder, node
        Where, and whose: a new life of the name goes on with its chain.
    largest
        Bytes of a file, before the next one is begun.
    clock, write
        Seconds since 1970; how bytes are written to a descriptor.

    Raises
    ------
    AuditError
        The file is not the user's own, or its end is not as it was written.
    """

    def __init__(
        self,
        folder: Path,
        node: str,
        *,
        largest: int = LARGEST,
        clock: Callable[[], float] = time.time,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        self.path = folder / f"{node}{ENDING}"
        self.head = Head()
        self._file = -1
        self._largest, self._clock, self._write = largest, clock, write
        self._end = -1  # of the file, behind the last line of this log's own
        self._unsynced = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open()
            with self._locked():
                self._look()
        except OSError as error:
            ways_out = "site.audit_dir says where it is, site.audit = false keeps none"
            problem = f"the audit log cannot be opened: {error.strerror} ({ways_out})"
            raise AuditError(f"{self.path}: {problem}{see('audit-unusable')}") from error

    def append(self, kind: str, fields: Mapping[str, Any]) -> Head:
        """Write one line, and return the head of the chain. Raises OSError, after which the chain is as it was."""
        try:
            with self._locked():
                self._look()
                if self._end >= self._largest:
                    self._begin_another()
                self._put(kind, fields)
        except AuditError as error:  # somebody has changed the file meanwhile
            raise OSError(errno.EIO, str(error)) from None
        return self.head

    def unsynced(self) -> int | None:
        """Return a descriptor by which the disk can be made to hold what was written, to be closed; None: it does."""
        if not self._unsynced:
            return None
        self._unsynced = False
        return os.dup(self._file)

    def close(self) -> None:
        if self._file < 0:
            return
        try:
            with suppress(OSError):
                os.fsync(self._file)
        finally:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(self.path, flags, 0o600)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            os.close(file)
            raise AuditError(f"{self.path}: an audit log is a file of its user's own; this is none")
        if stat.S_IMODE(found.st_mode) & 0o077:
            os.fchmod(file, 0o600)
        self._file, self._end = file, -1

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the file that has the name now: another process may have begun the next one."""
        while True:
            self._lock()
            try:
                here = self.path.stat()
            except FileNotFoundError:
                here = None
            mine = os.fstat(self._file)
            if here is not None and (here.st_ino, here.st_dev) == (mine.st_ino, mine.st_dev):
                break
            old = self._file
            self._open()  # which may be refused: then the old one is still this log's
            os.close(old)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _look(self) -> None:
        """Take up the chain where it ends, if that is not where this log has left it."""
        size = os.fstat(self._file).st_size
        if size == self._end:
            return
        last, fragment = _tail(self._file, size)
        closed = closed_files(self.path) if last is None else []
        self.head = self._head_of(self.path, last) if last is not None else self._closed_head(closed)
        self._end = size
        if fragment and follows(self.head, fragment):  # only its line break is missing
            self.head = parse(fragment).head
            self._add(b"\n")
        elif fragment:
            self._put(TORN, torn_fields(fragment), first=b"\n")
        elif closed:
            self._put(CONTINUED, {"node": self.path.stem})

    def _closed_head(self, closed: list[Path]) -> Head:
        """Return the end of the newest closed file, where the one that is open has no line yet."""
        if not closed:
            return Head()
        file = os.open(closed[-1], os.O_RDONLY | os.O_CLOEXEC)
        try:
            last, _ = _tail(file, os.fstat(file).st_size)
        finally:
            os.close(file)
        return self._head_of(closed[-1], last or b"")

    @staticmethod
    def _head_of(path: Path, last: bytes) -> Head:
        try:
            return parse(last).head
        except Broken as error:
            raise AuditError(
                f"{path}: the last line is not as it was written ({error.problem}); look at it by "
                f'"nervenet audit verify {path}", and move the file away to begin a new chain{see("audit-unusable")}'
            ) from None

    def _put(self, kind: str, fields: Mapping[str, Any], first: bytes = b"") -> None:
        line, head = sealed(self.head, kind, fields, self._clock())
        self._add(first + line)
        self.head = head

    def _add(self, content: bytes) -> None:
        try:
            done = 0
            while done < len(content):
                done += self._write(self._file, content[done:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._end)  # what a full disk took of it
            raise
        self._end += len(content)
        self._unsynced = True

    def _begin_another(self) -> None:
        """Go on in a new file; whoever waits for the lock of the old one looks again which has the name."""
        os.fsync(self._file)
        number = newest_number(self.path) + 1
        self.path.rename(self.path.with_name(f"{self.path.stem}{CLOSED}{number:05d}{ENDING}"))
        old = self._file
        self._open()
        try:
            self._lock()
        finally:
            os.close(old)
        self._look()

    def _lock(self) -> None:
        """Take the lock of the open file. Raises OSError where somebody holds it for longer than one line takes."""
        until = time.monotonic() + LOCKED_S
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= until:
                    problem = f"another process has held the lock of {self.path.name} for {LOCKED_S:g} s"
                    raise OSError(errno.ETIMEDOUT, problem) from None
                time.sleep(LOCKED_S / 1000)


def _tail(file: int, size: int) -> tuple[bytes | None, bytes]:
    """Return the last whole line, None if there is none, and what there is behind it."""
    held, start = b"", size
    while start > 0 and held.count(b"\n") < 2:
        length = min(_BLOCK, start)
        start -= length
        held = os.pread(file, length, start) + held
    *lines, fragment = held.split(b"\n")
    return (lines[-1] if lines else None), fragment


def closed_files(path: Path) -> list[Path]:
    """Return the older files of a chain, in their order, given the one that is open."""
    return sorted(path.parent.glob(f"{glob.escape(path.stem)}{CLOSED}[0-9]*{ENDING}"))


def newest_number(path: Path) -> int:
    """Return the number of the newest closed file of a chain, 0 without one; older ones may have been moved away."""
    closed = closed_files(path)
    return int(closed[-1].stem.rpartition(CLOSED)[2]) if closed else 0


def chains(place: Path) -> dict[Path, list[Path]]:
    """Return the chains at a place, a file or a folder or a run folder: the open file, and all files in their order.

    Raises AuditError where there is none.
    """
    if place.is_file():
        return {place: [place] if CLOSED in place.name else [*closed_files(place), place]}
    folder = place / "audit" if (place / "audit").is_dir() else place
    if (folder / RUN_FILE).exists():  # whose other files are lines of JSON, too
        raise AuditError(f"{place}: this run has kept no audit log (nervenet launch --audit, or site.audit = true)")
    found = sorted(folder.glob(f"*{ENDING}")) if folder.is_dir() else []
    opened = [path for path in found if CLOSED not in path.name]
    if not opened:
        raise AuditError(f"{place}: holds no audit log (NAME{ENDING})")
    return {path: [*closed_files(path), path] for path in opened}
