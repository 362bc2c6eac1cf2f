"""A node's audit log at work: a thread hashes and writes, and a message leaves only once it is recorded."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias

from nervenet import __version__
from nervenet.broker.errors import see
from nervenet.broker.messages import Declined, Goodbye, Message, Task, Update, tag_of
from nervenet.broker.security.plain import Plain
from nervenet.broker.sockets import Security

from ..audit.chain import OPENED
from ..audit.log import AuditError, AuditLog
from ..audit.place import audit_folder
from ..audit.record import carries, is_recorded, recorded
from ..config.schema import Experiment
from ..config.site import SiteConfig
from .identity import NodeIdentity
from .lanes import OwnLane

Send: TypeAlias = Callable[[Sequence[str], Message, Any], None]
Publish: TypeAlias = Callable[[str, Mapping[str, Any]], None]
Call: TypeAlias = Callable[..., None]

KEY = "site.unrecorded"
SLOW_S = 5.0  # after which it is said that the disk keeps messages waiting
CLOSING_S = 5.0  # how long a node that leaves waits for its last records
SMALL_BYTES = 65_536  # below this, hashing and writing (0.2 ms) cost less than a hop to a thread on a busy machine
SYNC_S = 1.0  # how much of what was written a power cut may cost


class Auditor:
    """Records what one life of a node is asked, what it sends and what it declines.

    A vector is hashed in a thread, unless it is small; what is sent leaves in its order, what has come is recorded once
    it is hashed. What cannot be written is not sent, unless the site says otherwise: a client declines instead, a peer
    ends by name; a coordinator, who holds no rows, goes on and says so. The chain then has a line of how many records
    are missing.
    """

    def __init__(self, log: AuditLog, security: Security, *, unrecorded: bool) -> None:
        self._log, self._security, self._unrecorded = log, security, unrecorded
        self._lock = threading.Lock()  # of the log
        self._outgoing, self._incoming = OwnLane("audit of what is sent"), OwnLane("audit of what came")
        self._pending: deque[float] = deque()  # since when messages wait to be recorded
        self._missing = 0  # records that could not be written since the last line
        self._failing = False  # the last message that was to be recorded could not be
        self._said = float("-inf")
        self._syncing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._later: Call = _nowhere
        self._send: Send = _nowhere
        self._publish: Publish = _nowhere
        self._fail: Callable[[BaseException], None] = _nowhere

    @classmethod
    def of(cls, identity: NodeIdentity, security: Security, experiment: Experiment) -> Self | None:
        """Return the auditor of a node, None where it keeps no log. Raises AuditError for a log that cannot be used."""
        if identity.audit_dir is None:
            return None
        log = AuditLog(identity.audit_dir, identity.name)
        return cls(log, security, unrecorded=experiment.site.unrecorded)

    # ----------------------------------------------------------------------------------------------- on the event loop

    def open(self, fields: Mapping[str, Any]) -> None:
        """Write the first line of this life. Raises AuditError where that cannot be."""
        public = "" if isinstance(self._security, Plain) else self._security.keys.public
        try:
            self._append(OPENED, {"version": __version__, "key": public, "pid": os.getpid(), **fields}, strict=True)
        except OSError as error:
            if not self._unrecorded:
                raise AuditError(
                    f"{self._log.path}: the audit log cannot be written: {error.strerror}; a site sends nothing "
                    f"unrecorded ({KEY} = true goes on without){see('audit-unusable')}"
                ) from error

    def attach(self, later: Call, send: Send, publish: Publish, fail: Callable[[BaseException], None]) -> None:
        """Begin to work for a node of the running event loop, on which `later` calls, from any thread."""
        self._loop = asyncio.get_running_loop()
        self._later, self._publish, self._fail = later, publish, fail
        # What is only announced stays here with its vector, which is hashed for the record all the same.
        self._send = lambda to, message, body: send(to, message, body if carries(message) else None)

    def received(self, sender: str, message: Message, body: Any) -> None:
        """Record a message that has come, if it asks for something or tells something."""
        if not is_recorded(message):
            return
        whom = self._whom("from", (sender,))

        def record() -> None:
            self._write("received", whom, message, body)

        if _is_small(body):
            record()
        else:
            self._incoming.put(record)
        self._sync_soon()

    def send(self, to: Sequence[str], message: Message, body: Any) -> None:
        """Record a message, and have it sent then; send at once what is none of those that are recorded."""
        if not is_recorded(message):
            self._send(to, message, body)
            return
        whom = self._whom("to", tuple(to))
        self._sync_soon()
        if _is_small(body) and not self._pending:
            error = self._write("sent", whom, message, body)
            self._recorded(to, message, body, error)
            return
        self._say_if_slow()
        self._pending.append(time.monotonic())

        def record() -> None:
            error = self._write("sent", whom, message, body)
            self._later(self._taken, to, message, body, error)

        self._outgoing.put(record)

    def close(self, reason: str) -> None:
        """Write the last line, once all that is still to be written is; not from the event loop.

        A disk that takes nothing, not even an error, keeps no node: what is not done in time is said, and left.
        """
        late = []
        for lane in (self._outgoing, self._incoming):
            lane.close()
            if lane.thread is not None:
                lane.thread.join(CLOSING_S)
                late.append(lane.thread.is_alive())
        closing = threading.Thread(target=self._close, args=(reason,), name="audit is closed", daemon=True)
        closing.start()
        closing.join(CLOSING_S)
        if (any(late) or closing.is_alive()) and self._loop is not None:
            missing = "its last records are missing, and what waited for them was not sent"
            reason = f"the audit log was not closed within {CLOSING_S:g} s: {missing} ({self._log.path})"
            self._later(self._publish, "warning", {"reason": reason})

    def _close(self, reason: str) -> None:
        self._append("closed", {"reason": reason})
        with self._lock:
            self._log.close()

    def _taken(self, to: Sequence[str], message: Message, body: Any, error: OSError | None) -> None:
        self._pending.popleft()
        self._recorded(to, message, body, error)

    def _recorded(self, to: Sequence[str], message: Message, body: Any, error: OSError | None) -> None:
        """Send what is recorded, and decide what becomes of a message that could not be."""
        known, self._failing = self._failing, error is not None
        if error is None:
            self._send(to, message, body)
            return
        why = f"the audit log cannot be written: {error.strerror} ({self._log.path})"
        if self._unrecorded or isinstance(message, Task | Declined):
            self._warn(f"{why}: {tag_of(message)} was sent unrecorded")
            self._send(to, message, body)
            return
        number = int(getattr(message, "round", 0))
        if not known:
            fields = {"subject": to[0] if to else "", "round": number, "key": KEY, "reason": why}
            self._publish("site.declined", fields)
        if isinstance(message, Update):
            self._send(to, Declined(message.round, message.attempt, why, KEY), None)
            return
        self._send(to, Goodbye(number, f"declined: {why}"), None)
        ways_out = f"a site sends nothing unrecorded ({KEY} = true goes on without)"
        self._fail(AuditError(f"{why}; {ways_out}{see('audit-unusable')}"))

    def _say_if_slow(self) -> None:
        waiting_s = time.monotonic() - self._pending[0] if self._pending else 0.0
        if waiting_s > SLOW_S:
            kept = f"keeps {len(self._pending)} messages waiting for {waiting_s:.0f} s"
            self._warn(f"the audit log {kept}: {self._log.path} is not written")

    def _warn(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._said > SLOW_S:
            self._said = now
            self._publish("warning", {"reason": reason})

    def _whom(self, word: str, names: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(self._security, Plain):
            return {word: list(names)}
        entries = [self._security.server(name) for name in names]
        return {word: list(names), "keys": ["" if entry is None else entry.public for entry in entries]}

    def _sync_soon(self) -> None:
        if not self._syncing and self._loop is not None:
            self._syncing = True
            self._loop.call_later(SYNC_S, self._incoming.put, self._sync)

    # ------------------------------------------------------------------------------------------------- from any thread

    def _sync(self) -> None:
        self._syncing = False
        try:
            with self._lock:
                file = self._log.unsynced()
            if file is not None:
                try:
                    os.fsync(file)
                finally:
                    os.close(file)
        except OSError as error:
            reason = f"{self._log.path}: the disk does not hold what was written: {error.strerror}"
            self._later(self._warn, reason)

    def _write(self, kind: str, whom: Mapping[str, Any], message: Message, body: Any) -> OSError | None:
        """Write a record; return why it could not be."""
        try:
            self._append(kind, {**whom, **recorded(message, body)}, strict=True)
        except OSError as error:
            return error
        return None

    def _append(self, kind: str, fields: Mapping[str, Any], *, strict: bool = False) -> None:
        with self._lock:
            try:
                if self._missing:
                    self._log.append("unrecorded", {"records": self._missing})
                    self._missing = 0
                self._log.append(kind, fields)
            except OSError:
                self._missing += 1
                if strict:
                    raise


def _is_small(body: Any) -> bool:
    return body is None or body.nbytes <= SMALL_BYTES


def opened_fields(role: str, identity: NodeIdentity, incarnation: int, experiment: Experiment) -> dict[str, Any]:
    """Return what the first line of a life says."""
    allow = {key: value for key, value in dataclasses.asdict(experiment.site.allow).items() if value is not None}
    told: dict[str, Any] = {"node": identity.name, "role": role, "run": identity.run, "incarnation": incarnation}
    return {**told, "allow": allow} if allow else told


def audit_dir_of(site: SiteConfig, run_dir: Path | str | None, *, usual: bool) -> Path | None:
    """Return the folder of a node's audit log, None where it keeps none; `usual`: where its site does not say."""
    wanted = usual or site.audit_dir is not None if site.audit is None else site.audit
    return audit_folder(wanted=wanted, chosen=site.audit_dir, run_dir=run_dir)


def _nowhere(*_: Any) -> None:
    raise RuntimeError("an auditor must be attached to a node before it records")
