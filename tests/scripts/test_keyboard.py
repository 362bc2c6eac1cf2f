"""Keys from a terminal's bytes, and a terminal that is set back."""

import asyncio
import os
import pty
import signal
import termios
from collections.abc import Iterator

import pytest
from nervenet.scripts import signals
from nervenet.scripts.keyboard import Keyboard, KeyDecoder


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q?/ ", ["q", "?", "/", " "]),
        (b"\x1b[A\x1b[B\x1bOC\x1bOD\x1b[H\x1b[F", ["up", "down", "right", "left", "home", "end"]),
        (b"\x1b[5~\x1b[6~\x1b[1~\x1b[4~", ["pageup", "pagedown", "home", "end"]),
        (b"\r\n\x7f\x08", ["enter", "enter", "backspace", "backspace"]),
        (b"\x1b", ["esc"]),
        (b"\x1bx", []),
        (b"\x1b[1;5A\x1b[99~\x1b[<0;1;1M", ["up"]),
        ("é".encode(), ["é"]),
        (b"\xff\x00\x01", ["\ufffd"]),
    ],
)
def test_keys_have_names(data: bytes, keys: list[str]) -> None:
    assert KeyDecoder().feed(data) == keys


def test_what_comes_in_pieces_is_put_together() -> None:
    decoder = KeyDecoder()
    assert [decoder.feed(piece) for piece in (b"\x1b[", b"5", b"~", b"\xc3", b"\xa9")] == [
        [],
        [],
        ["pageup"],
        [],
        ["é"],
    ]


def test_a_sequence_without_an_end_is_forgotten() -> None:
    decoder = KeyDecoder()
    decoder.feed(b"\x1b[" + b"1" * 10_000)
    assert len(decoder._rest) < 100
    assert decoder.feed(b"q")[-1] == "q"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Both ends of a terminal that is this process's."""
    ours, its = pty.openpty()
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    yield ours, its
    os.close(ours)
    os.close(its)


def unseen(descriptor: int) -> bool:
    return not termios.tcgetattr(descriptor)[3] & (termios.ICANON | termios.ECHO)


async def test_keys_come_one_by_one_and_the_terminal_is_set_back(terminal: tuple[int, int]) -> None:
    ours, its = terminal
    pressed: asyncio.Queue[str] = asyncio.Queue()
    keyboard = Keyboard(pressed.put_nowait, its)
    before = termios.tcgetattr(its)
    with keyboard.listening():
        assert keyboard.there
        assert unseen(its)
        os.write(ours, b"a\x1b[A")
        async with asyncio.timeout(60):
            assert [await pressed.get(), await pressed.get()] == ["a", "up"]
    assert termios.tcgetattr(its) == before
    assert not keyboard.there


async def test_it_is_set_back_after_an_exception_and_by_a_second_signal(terminal: tuple[int, int]) -> None:
    _, its = terminal
    keyboard = Keyboard(lambda _: None, its)
    before = termios.tcgetattr(its)

    def fails() -> None:
        with keyboard.listening():
            for restore in signals.at_exit_at_once:
                restore()
            assert termios.tcgetattr(its) == before
            keyboard.look()
            assert unseen(its), "as after Ctrl-Z and fg"
            raise RuntimeError("over")

    with pytest.raises(RuntimeError, match="over"):
        fails()
    assert termios.tcgetattr(its) == before
    assert signals.at_exit_at_once == []


async def test_ctrl_backslash_sets_it_back_and_ends_the_program_as_ever(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, its = terminal
    before = termios.tcgetattr(its)
    found = list[object]()

    def ends(_pid: int, number: int) -> None:
        found.append((number, signal.getsignal(number), termios.tcgetattr(its) == before))

    with Keyboard(lambda _: None, its).listening():
        assert unseen(its)
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", ends)
            signal.raise_signal(signal.SIGQUIT)
    assert found == [(signal.SIGQUIT, signal.SIG_DFL, True)]
    assert signal.getsignal(signal.SIGQUIT) == signal.SIG_DFL


async def test_a_program_that_has_a_use_for_ctrl_backslash_keeps_it(terminal: tuple[int, int]) -> None:
    found = list[int]()
    signal.signal(signal.SIGQUIT, lambda number, _: found.append(number))
    try:
        with Keyboard(lambda _: None, terminal[1]).listening():
            signal.raise_signal(signal.SIGQUIT)
    finally:
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    assert found == [signal.SIGQUIT]


async def test_in_the_background_the_terminal_is_left_alone(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, its = terminal
    before = termios.tcgetattr(its)
    keyboard = Keyboard(lambda _: None, its)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp() + 1)
    with keyboard.listening():
        assert not keyboard.there
        assert termios.tcgetattr(its) == before
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
        keyboard.look()
        assert keyboard.there


async def test_no_terminal_gives_no_keys() -> None:
    reading, writing = os.pipe()
    try:
        for descriptor in (reading, -1):
            keyboard = Keyboard(lambda _: None, descriptor)
            with keyboard.listening():
                assert not keyboard.there
    finally:
        os.close(reading)
        os.close(writing)
