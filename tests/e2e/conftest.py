"""Real processes: command lines in sessions of their own, waits with deadlines, and nobody left behind."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import pytest
from nervenet.scripts.main import execute

from .. import warm

T = TypeVar("T")
PATIENCE_S = 240.0  # for what takes a second on an idle machine: a busy one is no reason to fail
NERVENET = [sys.executable, "-m", "nervenet.scripts.main"]


def wait_until(
    condition: Callable[[], T], what: str, within_s: float = PATIENCE_S, why: Callable[[], str] = lambda: ""
) -> T:
    """Wait for a condition to give something true, and give it; `why` is asked for what to say where it does not."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}\n{why()}"
        time.sleep(0.01)
    return found


class Command:
    """``nervenet …`` in a session of its own."""

    def __init__(
        self,
        *arguments: object,
        cwd: Path,
        fresh: bool = False,
        ignoring_sigint: bool = False,
        file_blocks: int | None = None,
        script: Path | None = None,
    ) -> None:
        # `script` does what the command does, but for what it has changed before.
        # `fresh`: an interpreter of its own, for what is about its start; so is one that a shell starts.
        # A shell that starts a job in the background has it ignore SIGINT, and that is inherited. With `file_blocks`
        # no file can become longer than so many times 512 bytes: to who writes it, the disk is full.
        limits = ["trap '' INT"] if ignoring_sigint else []
        limits += [f"ulimit -f {file_blocks}"] if file_blocks is not None else []
        shell = ["sh", "-c", "; ".join([*limits, 'exec "$@"']), "sh"] if limits else []
        self.words = [str(a) for a in arguments]
        start: Callable[..., Any] = subprocess.Popen if shell or fresh else warm.start
        self.process = start(
            [*shell, *([sys.executable, str(script)] if script else NERVENET), *self.words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.out: list[str] = []
        self.err: list[str] = []
        self._readers = [
            threading.Thread(target=into.extend, args=(pipe,), daemon=True)
            for into, pipe in ((self.out, self.process.stdout), (self.err, self.process.stderr))
        ]
        for reader in self._readers:
            reader.start()

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Return the exit code; everything that was written is in `out` and `err`."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {within_s:g} s: {self.words}\n{self.text}") from None
        for reader in self._readers:
            reader.join(60)
        return code

    def ok(self, within_s: float = PATIENCE_S) -> "Command":
        """Wait for the end and insist that it was a good one."""
        code = self.wait(within_s)
        assert code == 0, f"exit code {code}: {self.words}\n{self.text}"
        return self

    @property
    def text(self) -> str:
        return "".join([*list(self.out), *list(self.err)])

    def says(self, words: str, within_s: float = PATIENCE_S) -> str:
        """Wait for a line with these words on either stream, and give it."""

        def line() -> str | None:
            found = next((x for x in [*list(self.out), *list(self.err)] if words in x), None)
            assert found or self.process.poll() is None, f"ended without saying {words!r}: {self.words}\n{self.text}"
            return found

        return wait_until(line, f"{self.words} says {words!r}", within_s, lambda: self.text[-3000:])

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)

    def family(self) -> list[int]:
        """Everybody in this command's session who is alive."""
        return session(self.pid)

    def close(self) -> list[int]:
        """End whatever is left; gives what was."""
        left = self.family()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(60)
        for reader in self._readers:
            reader.join(60)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        return left


def session(sid: int) -> list[int]:
    """Processes of a session that run; one that has ended and was not reaped yet is none."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            if os.getsid(process.pid) == sid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess, PermissionError):
            continue
    return found


def alive(pids: list[int]) -> list[int]:
    """Those that run."""
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


class Here:
    """``nervenet …``, run to its end in this process, which has its imports already: half the price of a command.

    The nodes that it launches are processes all the same. For what ends well, and needs no signal.
    """

    def __init__(self, *arguments: object, cwd: Path) -> None:
        self.words = [str(a) for a in arguments]
        out, err = io.StringIO(), io.StringIO()
        out_err = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
        with warm.warm_fork_servers(), contextlib.chdir(cwd), out_err[0], out_err[1]:
            self.code = execute(self.words)
        self.out, self.err = out.getvalue().splitlines(keepends=True), err.getvalue().splitlines(keepends=True)
        self.text = out.getvalue() + err.getvalue()

    def wait(self) -> int:
        """Return the exit code."""
        return self.code

    def ok(self) -> Self:
        """Insist that it ended well."""
        assert self.code == 0, f"exit code {self.code}: {self.words}\n{self.text}"
        return self


class RunDirectory:
    """What a run leaves, and what it says with --json."""

    folder: Path
    out: list[str]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.out) if line.startswith("{") and line.endswith("\n")]

    def reported(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Events of a type so far, with these fields."""
        found = [x for x in self.events if x["type"] == kind]
        return [x for x in found if all(x.get(key) == value for key, value in fields.items())]

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """``nodes.json``."""
        return dict(json.loads((self.folder / "nodes.json").read_text()))

    def summary(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "summary.json").read_text()))


class LaunchedHere(Here, RunDirectory):
    """``nervenet launch --json``, run to its end in this process."""

    def __init__(self, *arguments: object, cwd: Path, out: str = "run") -> None:
        self.folder = cwd / out
        super().__init__("launch", *arguments, "--json", "--out", self.folder, cwd=cwd)


class Launched(Command, RunDirectory):
    """``nervenet launch --json`` in a session of its own."""

    def __init__(self, *arguments: object, cwd: Path, out: str = "run", **more: Any) -> None:
        self.folder = cwd / out
        super().__init__("launch", *arguments, "--json", "--out", self.folder, cwd=cwd, **more)

    def heard(self, kind: str, within_s: float = PATIENCE_S, **fields: Any) -> dict[str, Any]:
        """Wait for an event."""

        def found() -> dict[str, Any] | None:
            reported = self.reported(kind, **fields)
            assert reported or self.process.poll() is None, f"ended without {kind} {fields}\n{self.text[-3000:]}"
            return reported[0] if reported else None

        event = wait_until(found, f"{kind} {fields}", within_s, lambda: self.text[-3000:])
        assert event is not None
        return event

    @property
    def nodes(self) -> dict[str, dict[str, Any]]:
        """``nodes.json``, once it is there."""
        path = self.folder / "nodes.json"
        wait_until(lambda: path.exists() or self.process.poll() is not None, "nodes.json")
        return super().nodes

    def in_round(self, number: int) -> None:
        """Wait until somebody has completed a round."""

        def reached() -> bool:
            found = any(x["round"] >= number for x in self.reported("round.completed"))
            assert found or self.process.poll() is None, f"ended before round {number}\n{self.text[-3000:]}"
            return found

        wait_until(reached, f"round {number}", why=lambda: self.text[-3000:])

    def broker(self) -> str:
        """The broker's address, as a person would read it."""
        line = self.says("broker tcp://")
        return line.split()[1]


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[list[Command]]:
    """Whoever is in this list is ended with the test, and must have left nobody behind by then."""
    started: list[Command] = []
    yield started
    for command in started:
        if command.process.poll() is not None:
            wait_until(lambda c=command: not c.family(), f"{command.words} leaves nobody behind")  # type: ignore[misc]
    for command in started:
        command.close()


@pytest.fixture
def nervenet(tmp_path: Path, commands: list[Command]) -> Callable[..., Command]:
    """Start any command."""

    def start(*arguments: object, **more: Any) -> Command:
        command = Command(*arguments, cwd=tmp_path, **more)
        commands.append(command)
        return command

    return start


@pytest.fixture
def launch(tmp_path: Path, commands: list[Command]) -> Callable[..., Launched]:
    """Start ``nervenet launch``."""

    def start(*arguments: object, **more: Any) -> Launched:
        command = Launched(*arguments, cwd=tmp_path, **more)
        commands.append(command)
        return command

    return start


@pytest.fixture
def launch_here(tmp_path: Path) -> Callable[..., LaunchedHere]:
    """Run ``nervenet launch`` to its end."""
    return lambda *arguments, **more: LaunchedHere(*arguments, cwd=tmp_path, **more)


@pytest.fixture
def nervenet_here(tmp_path: Path) -> Callable[..., Here]:
    """Run any command to its end."""
    return lambda *arguments: Here(*arguments, cwd=tmp_path)


@pytest.fixture
def until() -> Callable[..., Any]:
    """Wait for a condition, with a deadline."""
    return wait_until


@pytest.fixture
def still_alive() -> Callable[[list[int]], list[int]]:
    """Return which processes run."""
    return alive
