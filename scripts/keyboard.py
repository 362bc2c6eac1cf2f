"""Keys as they are pressed, from a terminal that is set back to what it was in whatever way the program ends."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

_NAMES = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end"}
_NUMBERED = {"1": "home", "7": "home", "4": "end", "8": "end", "5": "pageup", "6": "pagedown"}
_PLAIN = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace"}
_SEQUENCE = re.compile(r"\x1b(?:\[|O)([0-9;?<>=]*)([ -/]*)([@-~])")
_BEGUN = re.compile(r"\x1b(?:\[|O)[0-9;?<>=]{0,32}[ -/]{0,8}\Z")
_AT_ONCE = 4096  # bytes that are read


class KeyDecoder:
    """Names of keys from the bytes that a terminal sends; what it does not know is left out."""

    def __init__(self) -> None:
        self._text = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the keys in what was read. An escape that nothing follows in the same read is the key."""
        text, self._rest = self._rest + self._text.decode(data), ""
        keys = []
        at = 0
        while at < len(text):
            if text[at] != "\x1b":
                keys.append(_PLAIN.get(text[at], text[at]))
                at += 1
            elif found := _SEQUENCE.match(text, at):
                number, _, letter = found.groups()
                keys.append(_NUMBERED.get(number, "") if letter == "~" else _NAMES.get(letter, ""))
                at = found.end()
            elif _BEGUN.match(text, at):
                self._rest = text[at:]
                break
            else:
                keys.append("esc" if at + 1 == len(text) else "")
                at += 1 if at + 1 == len(text) else 2  # with Alt: none of ours
        return [key for key in keys if key in _KNOWN or (len(key) == 1 and key.isprintable())]


_KNOWN = {*_NAMES.values(), *_NUMBERED.values(), *_PLAIN.values(), "esc"}


class Keyboard:
    """Calls `on_key` with each key, while entered; does nothing where standard input is no terminal of this program's.

    Keys come one by one and unseen; Ctrl-C is a signal still, and Ctrl-Z too. In the background a program must not
    touch its terminal: `look`, called now and then, takes it up again when it is back.
    """

    def __init__(self, on_key: Callable[[str], None], descriptor: int | None = None) -> None:
        self._on_key = on_key
        self._descriptor = _standard_input() if descriptor is None else descriptor
        self._decoder = KeyDecoder()
        self._before: list[Any] | None = None
        self._reading = False

    @property
    def there(self) -> bool:
        """Whether keys come."""
        return self._reading

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Read keys within this context."""
        from . import signals

        signals.at_exit_at_once.append(self.restore)
        try:
            self.look()
            with signals.terminal_set_back_at_quit():
                yield
        finally:
            signals.at_exit_at_once.remove(self.restore)
            self._stop_reading()
            self.restore()

    def look(self) -> None:
        """Read keys if this program has the terminal, and leave it alone if it does not."""
        if not self._has_terminal():
            self._stop_reading()
        elif self._set() and not self._reading:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)
            self._reading = True

    def restore(self) -> None:
        """Set the terminal back; from a signal handler, too."""
        if self._before is None or not self._has_terminal():
            return
        import termios

        with contextlib.suppress(OSError, termios.error):  # it has closed
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)

    def _set(self) -> bool:
        """Have keys come one by one; return whether they do."""
        import termios

        try:
            now = termios.tcgetattr(self._descriptor)
            wanted = [*now[:3], now[3] & ~(termios.ICANON | termios.ECHO), *now[4:6], [*now[6]]]
            wanted[6][termios.VMIN], wanted[6][termios.VTIME] = 1, 0
            if self._before is None:
                self._before = now
            if now[3] != wanted[3]:  # or a shell has set it back meanwhile
                termios.tcsetattr(self._descriptor, termios.TCSANOW, wanted)
        except (OSError, termios.error):
            return False
        return True

    def _has_terminal(self) -> bool:
        try:
            return self._descriptor >= 0 and os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False

    def _read(self) -> None:
        if not self._has_terminal():  # reading would stop this program
            self._stop_reading()
            return
        try:
            data = os.read(self._descriptor, _AT_ONCE)
        except OSError:
            data = b""
        if not data:  # it has closed
            self._stop_reading()
            self._descriptor = -1
            return
        for key in self._decoder.feed(data):
            self._on_key(key)

    def _stop_reading(self) -> None:
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._reading = False


def _standard_input() -> int:
    """Return the descriptor of standard input, if that is a terminal of a system that has them; -1 otherwise."""
    try:
        import termios  # noqa: F401

        descriptor = sys.stdin.fileno()
        return descriptor if os.isatty(descriptor) else -1
    except (ImportError, OSError, ValueError, AttributeError):
        return -1
