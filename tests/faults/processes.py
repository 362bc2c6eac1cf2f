"""Faults of `vocabulary` over a real ``nervenet launch``: its processes, its connections through a relay, its disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
from relay import Connection, Relay
from vocabulary import (
    AddressChange,
    ClockJump,
    Cut,
    DiskFull,
    Fault,
    Forget,
    Kill,
    ReadOnly,
    Slow,
    Stop,
)

NERVENET = [sys.executable, "-m", "nervenet.scripts.main"]
LAUNCHER, FORK_SERVER = "launcher", "fork server"
CLOCKS = Path(__file__).with_name("clock")  # a sitecustomize.py
READY_S = 120.0


@dataclass
class LaunchedRun:
    """A ``nervenet launch --json`` in a session of its own, all of whose connections go through a relay.

    An async context manager; whoever is left at its end is killed. `number` (1 to 250) chooses its loopback addresses:
    two runs at the same time have different ones.
    """

    arguments: Sequence[object]
    folder: Path
    number: int = 1
    relayed: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    performed: list[tuple[float, str]] = field(default_factory=list)
    _said: bytes = b""

    async def __aenter__(self) -> Self:
        behind, front = f"127.{self.number}.0.1", f"127.{self.number}.0.2"
        self.relay = Relay(behind, front)
        await self.relay.__aenter__()
        self.clock = self.folder.with_name(f"{self.folder.name}.clock")
        where = ["--set", f"network.bind={behind}", "--set", f"network.advertise={front}"] if self.relayed else []
        self.process = await asyncio.create_subprocess_exec(
            *NERVENET,
            *(str(a) for a in ("launch", *self.arguments, *where, "--quiet", "--out", self.folder)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={
                **os.environ,
                **self.environment,
                "PYTHONPATH": path_of(CLOCKS),
                "NERVENET_TEST_CLOCK": str(self.clock),
            },
        )
        self._reading = asyncio.create_task(self._read())
        self.pid = self.process.pid
        self.began = time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        for pid in self.session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self.process.wait()
        await self._reading
        await self.relay.__aexit__()

    async def _read(self) -> None:
        assert self.process.stderr is not None
        while data := await self.process.stderr.read(65_536):  # a pipe: to a file nothing is said on a full disk
            self._said += data

    @property
    def said(self) -> str:
        """What the launcher has written to its standard error."""
        return self._said.decode(errors="replace")

    # ------------------------------------------------------------------------------------------------ who is there

    def session(self) -> list[int]:
        """Return the processes of this run that are alive."""
        return list(living(self.pid))

    def go_on(self) -> None:
        """Continue whoever is stopped."""
        for pid in self.session():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def nodes(self) -> dict[str, int]:
        """Return the process of each node, as ``nodes.json`` has them by now."""
        try:
            known = json.loads((self.folder / "nodes.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return {name: int(fields["pid"]) for name, fields in known.items()}

    def pid_of(self, node: str) -> int | None:
        """Return the process of a node, of the launcher or the fork server; None if it is not alive."""
        if node == LAUNCHER:
            return self.pid if self.process.returncode is None else None
        if node == FORK_SERVER:
            with contextlib.suppress(psutil.Error):
                for child in psutil.Process(self.pid).children():
                    if any("forkserver" in word for word in child.cmdline()):
                        return child.pid
            return None
        pid = self.nodes().get(node)
        return pid if pid in self.session() else None

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of the run folder, rotated ones first."""
        from nervenet.nodes.results.event_log import read_events

        yield from read_events(self.folder)

    async def in_round(self, number: int) -> None:
        """Wait until somebody has completed a round, or the run has ended."""
        rounds, until = Rounds(self.folder, before=-1), time.monotonic() + READY_S
        while self.process.returncode is None and time.monotonic() < until:
            if rounds.look() >= number and self.nodes():
                return
            await asyncio.sleep(0.1)

    # ------------------------------------------------------------------------------------------------ what befalls it

    async def befall(self, faults: Sequence[Fault]) -> None:
        """Perform all faults, each at its time from now; returns when the last is over."""
        tasks = [asyncio.create_task(self._in_time(fault)) for fault in faults]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _in_time(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at)
        if self.process.returncode is None:
            self.performed.append((time.monotonic() - self.began, str(fault)))
            await self.perform(fault)

    async def perform(self, fault: Fault) -> None:
        """Perform a fault now; returns when it is over."""
        match fault:
            case Kill(node):
                self._signal(node, signal.SIGKILL)
            case Stop(node, _, for_s):
                if pid := self._signal(node, signal.SIGSTOP):
                    await asyncio.sleep(for_s)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            case Cut(side, _, for_s, severed):
                await self._cut(side, for_s, severed=severed)
            case Forget(node) | AddressChange(node):
                ports = self._ports({node})
                for connection in list(self.relay.connections):
                    if {connection.port, connection.to} & ports:
                        connection.mute = isinstance(fault, Forget)
                        if isinstance(fault, AddressChange):
                            connection.abort()
            case Slow(_, for_s, delay_s, bytes_per_s):
                with self.relay.slowed(delay_s, bytes_per_s):
                    await asyncio.sleep(for_s)
            case DiskFull(node, _, for_s):
                if pid := self.pid_of(node):
                    with disk_full(pid):
                        await asyncio.sleep(for_s)
            case ReadOnly(_, for_s):
                with read_only(self.folder):
                    await asyncio.sleep(for_s)
            case ClockJump(node, _, by_s):
                if pid := self.pid_of(node):
                    with self.clock.open("a") as jumps:
                        jumps.write(f"{pid} {by_s}\n")
            case _:
                raise ValueError(f"not over real processes: {fault}")

    def _signal(self, node: str, number: signal.Signals) -> int | None:
        pid = self.pid_of(node)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid

    def _ports(self, nodes: set[str] | frozenset[str]) -> set[int]:
        return self.relay.of([pid for node in nodes if (pid := self.pid_of(node))])

    async def _cut(self, side: frozenset[str], for_s: float, *, severed: bool) -> None:
        """Cut off nodes; what they dial meanwhile is refused, or mute as well."""
        relay = self.relay
        pids = [pid for node in side if (pid := self.pid_of(node))]

        def across(port: int, to: int) -> bool:
            ports = relay.of(pids)
            return (port in ports) != (to in ports)

        if severed:
            with relay.refusing(across):
                relay.cut(lambda c: across(c.port, c.to))
                await asyncio.sleep(for_s)
            return
        held: dict[Connection, bool] = {}

        def holds(connection: Connection) -> bool:
            if connection not in held:
                held[connection] = across(connection.port, connection.to)
            return held[connection]

        with relay.holding(holds):
            await asyncio.sleep(for_s)


def path_of(first: Path) -> str:
    """Return PYTHONPATH with a folder in front."""
    return os.pathsep.join([str(first), *filter(None, [os.environ.get("PYTHONPATH")])])


class Rounds:
    """Follows the events of a run folder: the last round that somebody completed."""

    def __init__(self, folder: Path, before: int = 0) -> None:
        self.last = before
        self._file = folder / "events.jsonl"
        self._inode, self._offset = 0, 0

    def look(self) -> int:
        """Return the last round that somebody has completed by now."""
        for line in self._new():
            if b'"round.' in line[:40]:
                with contextlib.suppress(ValueError):
                    event = json.loads(line)
                    if event["type"] in ("round.completed", "round.summary"):
                        self.last = max(self.last, event["round"])
        return self.last

    def _new(self) -> Iterator[bytes]:
        with contextlib.suppress(OSError), self._file.open("rb") as file:
            inode = self._file.stat().st_ino
            file.seek(self._offset if inode == self._inode else 0)
            self._inode = inode
            yield from file
            self._offset = file.tell()


def living(session: int) -> Iterator[int]:
    """Yield the processes of a session that are alive; one that has ended and was not reaped yet is not."""
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid


@contextlib.contextmanager
def disk_full(pid: int) -> Iterator[None]:
    """Let no file grow that a process writes (Linux): to it, the disk is full."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only: nothing new can be opened for writing in it. Root, whom modes do not bind, mounts it."""
    if os.geteuid():
        mode = folder.stat().st_mode
        folder.chmod(mode & ~0o222)
        try:
            yield
        finally:
            folder.chmod(mode)
        return
    os.system(f"mount --bind '{folder}' '{folder}'")
    try:
        for _ in range(100):  # busy while somebody writes a new file
            if not os.system(f"mount -o remount,ro,bind '{folder}' 2>/dev/null"):
                break
        yield
    finally:
        os.system(f"umount -l '{folder}'")
