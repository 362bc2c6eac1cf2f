"""The blocks of a page of documentation, run as they are printed, one after the other, in one folder.

``console``
    Commands (``$ …``) with what they print, in a shell. ``# terminal N`` behind a command lets it run on beside the
    next ones, which start when it has printed what stands under it. ``^C`` and ``Killed`` are printed by a terminal:
    when all that stands above has come, the command is sent SIGINT, or SIGKILL. A command under which ``nervenet: …``
    stands last fails. Every line printed must be there, in any order; digits may differ, because times and sizes do,
    but figures such as 0.967 by a tenth at most. Where another address is printed (a peer takes any free port), it is
    the one in the commands that follow.
``sh``
    Commands, of which each has to end well. Those of nervenet run in this process, which has its imports already.
``python``
    A program, of which a ``text`` block right behind is the output. All of a page share their names.
``toml``
    An experiment file, which is loaded.
``text``, ``abnf``
    Not run: what is printed, and a grammar.

A ``python`` or ``toml`` block whose first line is a file's name (``# own_strategy.py``) is that file, which is there
from the beginning.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nervenet.nodes import load_experiment
from nervenet.scripts.main import execute

from . import warm

FENCED = re.compile(r"^```(\S*)\n(.*?)^```$(?:(?=\s*^```text\n(.*?)^```$))?", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.\w+)\n")
NUMBER = re.compile(r"\d[\d,.]*(?: (?:ms|s|min|h|kB|MB|B)\b)?")
PORT = re.compile(r"^\$ .*?(?:127\.0\.0\.1|0\.0\.0\.0):(\d+)", re.MULTILINE)
ADDRESS = re.compile(r"tcp://[\d.]+:\d+")
SHELL = re.compile(r"[$|&;<>()`*?\[\]#~{}!\\]")
FIGURE = re.compile(r"\b\d\.\d{3}\b")
SIGNALS = {"^C": signal.SIGINT, "Killed": signal.SIGKILL}
COMMAND_S = 300.0  # for what takes seconds on an idle machine
FEDERATION = "A federation across organizations, step by step"  # which tests/e2e/test_federation.py runs
NOT_RUN = ("text", "abnf")
NOT_INSTALLED = ("pandas", "torch")  # not even for the tests: their blocks are run where they are there


@dataclass(frozen=True)
class Block:
    language: str
    body: str
    output: str = ""  # the text block right behind

    @property
    def file(self) -> str:
        """The name of the file that it is; empty if it is none."""
        found = FILE.match(self.body) if self.language in ("python", "toml") else None
        return found[1] if found else ""


@dataclass
class Command:
    """One ``$`` line, and what is printed under it."""

    line: str
    terminal: str = ""
    printed: list[str] = field(default_factory=list)
    signal: signal.Signals | None = None
    after: list[str] = field(default_factory=list)  # what is printed after the signal

    def add(self, line: str) -> None:
        if line in SIGNALS:
            self.signal = SIGNALS[line]
        elif line.strip(" …"):
            (self.after if self.signal else self.printed).append(line)

    @property
    def fails(self) -> bool:
        return (self.after or self.printed or [""])[-1].startswith("nervenet: ")


def blocks(text: str) -> list[Block]:
    """Return every block of a page, in order."""
    return [Block(found[1], found[2], found[3] or "") for found in FENCED.finditer(text)]


def section(text: str, heading: str) -> str:
    """Return a section of a page, from its heading to the next one."""
    return re.split(r"^## ", text.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def commands(body: str) -> Iterator[Command]:
    """The commands of a console block."""
    current: Command | None = None
    for line in body.splitlines():
        if line.startswith("$ "):
            if current:
                yield current
            text, _, terminal = line[2:].partition("    # terminal ")
            current = Command(text, terminal)
        elif current:
            current.add(line)
    if current:
        yield current


def shape(line: str) -> str:
    """A line without what may differ: numbers with their units, and the width of columns."""
    return re.sub("#( #)+", "#", " ".join(NUMBER.sub("#", line).split()))


def differences(printed: list[str], found: list[str]) -> list[str]:
    """Which of the printed lines have no counterpart."""
    return [line for line in printed if not any(alike(line, other) for other in found)]


def alike(printed: str, found: str) -> bool:
    """Whether two lines say the same, but for times and sizes."""
    figures = zip(FIGURE.findall(printed), FIGURE.findall(found), strict=False)
    return shape(printed) == shape(found) and all(abs(float(a) - float(b)) <= 0.1 for a, b in figures)


def words_of(line: str) -> list[str]:
    """The words of a line that needs no shell; none if it does."""
    return [] if SHELL.search(line) else shlex.split(line)


class Running:
    """A command on its way; ended, with all it has started, when its block is over.

    One of nervenet starts warm (see `warm`), unless it is to have a fresh interpreter.
    """

    def __init__(self, command: Command, folder: Path, *, fresh: bool = False) -> None:
        self.command = command
        self.output: list[str] = []
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "1",
        }
        words, start = words_of(command.line), subprocess.Popen
        args = ["/bin/sh", "-c", f"exec {command.line}"]
        if words[:1] == ["nervenet"] and not fresh:
            args, start = [sys.executable, *warm.NERVENET, *words[1:]], warm.start
        self.process = start(
            args,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.watchdog = threading.Timer(COMMAND_S, self.signal, (signal.SIGKILL,))
        self.watchdog.start()

    def until_printed(self) -> None:
        """Read until everything has come that the page prints before any signal."""
        assert self.process.stdout is not None
        while differences(self.command.printed, self.output):
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(self.complaint())
            self.output.append(line)

    def until_ended(self) -> int:
        """Read to the end, and return the exit code."""
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.output += self.process.communicate()[0].splitlines(keepends=True)
            self.watchdog.cancel()
        return self.process.returncode

    def check_end(self) -> None:
        code = self.until_ended()
        as_expected = (
            code == -signal.SIGKILL if self.command.signal == signal.SIGKILL else bool(code) == self.command.fails
        )
        if not as_expected or differences(self.command.after, self.output):
            raise AssertionError(f"exit code {code}: {self.complaint()}")

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def complaint(self) -> str:
        missing = "\n".join(differences([*self.command.printed, *self.command.after], self.output))
        return f"$ {self.command.line}\nnot printed:\n{missing}\nbut:\n{''.join(self.output)}"

    def addresses(self) -> Iterator[tuple[str, str]]:
        """Yield each address that the page prints, and the one that was printed in its place."""
        for line in self.command.printed:
            other = next(other for other in self.output if alike(line, other))
            yield from zip(ADDRESS.findall(line), ADDRESS.findall(other), strict=True)


def play(body: str, folder: Path, known_kinds: set[str] | None = None) -> None:
    """Run one console block; a command of nervenet that is not among these yet gets a fresh interpreter."""
    steps = list(commands(body))
    others: list[Running] = []
    known: dict[str, str] = {}
    try:
        for step in steps:
            step.line = ADDRESS.sub(lambda found: known.get(found[0], found[0]), step.line)
            kind = " ".join(step.line.split()[1:2])
            running = Running(step, folder, fresh=known_kinds is not None and kind not in known_kinds)
            others.append(running)
            if known_kinds is not None:
                known_kinds.add(kind)
            running.until_printed()
            known.update(running.addresses())
            if step.signal is not None:
                running.signal(step.signal)
            if step.signal is not None or step.terminal in ("", steps[-1].terminal):
                running.check_end()
    finally:
        for running in reversed(others):
            running.signal(signal.SIGINT)
        for running in others:
            running.until_ended()


def run_script(body: str, folder: Path) -> None:
    """Run the lines of an ``sh`` block; one that ends in a backslash goes on."""
    for line in body.replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["nervenet"]:
            said = io.StringIO()
            said_here = contextlib.redirect_stdout(said), contextlib.redirect_stderr(said)
            with warm.warm_fork_servers(), said_here[0], said_here[1]:
                code = execute(words[1:])
            assert code == 0, f"exit code {code}: {line}\n{said.getvalue()}"
        elif words:
            Running(Command(line), folder).check_end()


def run_python(block: Block, known: dict[str, object]) -> None:
    """Run a program among the names that those before it have left."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(block.body, known)
    except ModuleNotFoundError as error:
        if error.name not in NOT_INSTALLED:
            raise
        return
    missing = differences(block.output.splitlines(), said.getvalue().splitlines())
    assert not missing, f"not printed: {missing}, but:\n{said.getvalue()}"


def write_files(page: list[Block], folder: Path) -> None:
    """Write the blocks that are files."""
    for block in page:
        if block.file:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.body, encoding="utf-8")


def run_page(page: list[Block], folder: Path, free_ports: Callable[[], int], *, fresh: bool = False) -> None:
    """Run all blocks of a page in this folder, which is the current one.

    `fresh`: the first command of each kind (launch, node, serve) gets an interpreter of its own.
    """
    kinds: set[str] | None = set() if fresh else None
    known: dict[str, object] = {"__name__": "__main__"}
    for block in page:
        match block.language:
            case "console":
                body = block.body
                for port in dict.fromkeys(PORT.findall(body)):  # somebody else may have those that the page names
                    body = body.replace(f":{port}", f":{free_ports()}")
                play(body, folder, kinds)
            case "sh":
                run_script(block.body, folder)
            case "python" if not block.file:
                run_python(block, known)
            case "toml" if not block.file:
                (folder / "experiment.toml").write_text(block.body, encoding="utf-8")
                load_experiment(folder / "experiment.toml")
            case "python" | "toml":
                pass
            case other if other not in NOT_RUN:
                raise AssertionError(f"nobody runs a block of language {other!r}:\n{block.body}")
