"""README.md's examples, run as they are printed.

Blocks marked ``console`` are commands (``$ …``) with what they print; ``# terminal N`` behind a command lets it run on
beside the next ones, which start when it has printed what stands under it. A ``python`` block is a program, and a
``text`` block right behind it its output. Every line printed must be there, in any order; digits may differ, because
times and sizes do, but figures such as 0.967 by a tenth at most.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d[\d,.]*(?: (?:ms|s|min|kB|MB|B)\b)?")
PORT = re.compile(r"^\$ .*?127\.0\.0\.1:(\d+)", re.MULTILINE)
FIGURE = re.compile(r"\b\d\.\d{3}\b")
COMMAND_S = 300.0  # for what takes seconds on an idle machine

pytestmark = pytest.mark.e2e


@dataclass
class Command:
    """One ``$`` line, and what is printed under it."""

    line: str
    terminal: str = ""
    printed: list[str] = field(default_factory=list)


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, body) of every block, in order."""
    return [(found[1], found[2]) for found in BLOCK.finditer(text)]


def commands(body: str) -> Iterator[Command]:
    """The commands of a console block."""
    current: Command | None = None
    for line in body.splitlines():
        if line.startswith("$ "):
            if current:
                yield current
            text, _, terminal = line[2:].partition("    # terminal ")
            current = Command(text, terminal)
        elif current and line.strip(" …"):
            current.printed.append(line)
    if current:
        yield current


def shape(line: str) -> str:
    """A line without what may differ: numbers with their units, and the width of columns."""
    return " ".join(NUMBER.sub("#", line).split())


def differences(printed: list[str], found: list[str]) -> list[str]:
    """Which of the printed lines have no counterpart."""
    return [line for line in printed if not any(alike(line, other) for other in found)]


def alike(printed: str, found: str) -> bool:
    """Whether two lines say the same, but for times and sizes."""
    figures = zip(FIGURE.findall(printed), FIGURE.findall(found), strict=False)
    return shape(printed) == shape(found) and all(abs(float(a) - float(b)) <= 0.1 for a, b in figures)


class Running:
    """A command on its way; ended, with all it has started, when its block is over."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command = command
        self.output: list[str] = []
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command.line}"],
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
        """Read until everything that the README prints has come, or the output ends."""
        assert self.process.stdout is not None
        while differences(self.command.printed, self.output):
            line = self.process.stdout.readline()
            if not line:
                return
            self.output.append(line)

    def until_ended(self) -> int:
        """Read to the end; gives the exit code."""
        assert self.process.stdout is not None
        if not self.process.stdout.closed:
            self.output += self.process.communicate()[0].splitlines(keepends=True)
            self.watchdog.cancel()
        return self.process.returncode

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def complaint(self) -> str:
        missing = "\n".join(differences(self.command.printed, self.output))
        return f"$ {self.command.line}\nnot printed:\n{missing}\nbut:\n{''.join(self.output)}"


def play(body: str, folder: Path) -> None:
    """Run one console block."""
    steps = list(commands(body))
    others: list[Running] = []
    try:
        for step in steps:
            running = Running(step, folder)
            others.append(running)
            beside = step.terminal and step.terminal != steps[-1].terminal
            running.until_printed()
            if differences(step.printed, running.output):
                raise AssertionError(running.complaint())
            if not beside and (code := running.until_ended()):
                raise AssertionError(f"exit code {code}: {running.complaint()}")
    finally:
        for running in reversed(others):
            running.signal(signal.SIGINT)
        for running in others:
            running.until_ended()


def test_console_blocks_print_what_the_readme_says(tmp_path: Path, three_free_ports: Callable[[], int]) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    bodies = [body for language, body in blocks(text) if language == "console"]
    assert len(bodies) >= 5
    for body in bodies:
        for port in dict.fromkeys(PORT.findall(body)):  # somebody else may have those that the README names
            body = body.replace(f"127.0.0.1:{port}", f"127.0.0.1:{three_free_ports()}")
        play(body, tmp_path)


def test_python_blocks_print_what_the_readme_says(tmp_path: Path) -> None:
    found = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
    programs = [(body, after) for (language, body), after in pairwise(found) if language == "python"]
    assert programs
    for number, (body, (language, printed)) in enumerate(programs):
        program = tmp_path / f"block{number}.py"
        program.write_text(body, encoding="utf-8")
        assert language == "text", f"a program without its output:\n{body}"
        play(f"$ {shlex.quote(sys.executable)} {program.name}\n{printed}", tmp_path)


def test_a_line_that_is_missing_or_tells_another_figure_is_noticed() -> None:
    assert alike("accuracy 0.967 in 3.2 s", "accuracy 0.933  in 815 ms")
    assert differences(["accuracy 0.967"], ["accuracy 0.733", "loss 0.967", "nodes lost  none"]) == ["accuracy 0.967"]
    assert differences(["nodes lost  none"], ["nodes lost  client-3"]) == ["nodes lost  none"]


def test_a_command_that_prints_something_else_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not printed:\nfive"):
        play("$ echo four\nfive\n", tmp_path)
    with pytest.raises(AssertionError, match="exit code 1"):
        play("$ false\n", tmp_path)
