"""The terminal view in a real terminal: keys, and a terminal that is what it was before."""

import json
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e
# Has its standard input as the terminal of its session, as a shell would give it.
IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
SEEN = termios.ICANON | termios.ECHO


class Terminal:
    """A command in a terminal of its own; `text` is what it has written there."""

    def __init__(self, *words: object) -> None:
        self._ours, its = pty.openpty()
        command = [sys.executable, "-m", "nervenet.scripts.main", *map(str, words)]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "24"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *command],
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            env=environment,
        )
        self._its = its  # held open: what is written there last can be read after the end, too
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):
            while data := os.read(self._ours, 65536):
                self.text += data.decode(errors="replace")

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def is_seen(self) -> bool:
        """Whether what is typed comes line by line, and is shown."""
        return termios.tcgetattr(self._its)[3] & SEEN == SEEN

    def close(self) -> None:
        self.process.kill()
        self.process.wait(120)
        os.close(self._its)
        self._reader.join(60)
        os.close(self._ours)


@pytest.fixture
def replayed(tmp_path: Path) -> Iterator[Terminal]:
    """A replay, at its end, of a run of 60 peers with names that would clear the screen."""
    head = {"run": "r", "role": "peer", "incarnation": 1, "seq": 1, "time": 1.0}
    began = {"type": "run.started", "node": "launcher", "role": "launcher", "mode": "gossip", "rounds": 9, "nodes": 60}
    ready = [{"type": "node.ready", "node": f"peer-{i}"} for i in range(60)]
    lines: list[dict[str, Any]] = [began, *ready, {"type": "node.ready", "node": "\x1b[2Jevil"}]
    file = tmp_path / "recorded.jsonl"
    file.write_text("".join(f"{json.dumps({**head, **line})}\n" for line in lines))
    terminal = Terminal("replay", file, "--speed", "max")
    yield terminal
    terminal.close()


def test_keys_steer_the_view_and_leave_it(replayed: Terminal, until: Callable[..., Any]) -> None:
    until(lambda: "the recording has ended, q leaves" in replayed.text, "the replay ends and waits")
    assert not replayed.is_seen()
    replayed.press("\x1b[F")
    until(lambda: "of 61 nodes" in replayed.text and "peer-59" in replayed.text, "the last nodes are scrolled to")
    replayed.press("?")
    until(lambda: "sort by the next column" in replayed.text, "help is shown")
    replayed.press("l/peer-7\r")
    until(lambda: "filter: peer-7" in replayed.text, "the log is filtered")
    replayed.press("q")
    assert replayed.process.wait(120) == 0
    assert replayed.is_seen()
    until(lambda: "not known how it ends: 0 of 9 rounds so far" in replayed.text, "the outcome is the last word")
    assert "\\x1b[2Jevil" in replayed.text
    assert "\x1b[2J" not in replayed.text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGQUIT, -signal.SIGQUIT)])
def test_a_signal_leaves_the_terminal_as_it_was(
    number: signal.Signals, code: int, replayed: Terminal, until: Callable[..., Any]
) -> None:
    until(lambda: "the recording has ended, q leaves" in replayed.text, "the replay ends and waits")
    assert not replayed.is_seen()
    replayed.process.send_signal(number)
    assert replayed.process.wait(120) == code
    assert replayed.is_seen()
