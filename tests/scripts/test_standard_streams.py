"""Standard output on a full disk, without a reader, or closed: what was to be done is done, and said in one line."""

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from nervenet.nodes.launching import launcher
from nervenet.scripts import main, running, views
from nervenet.scripts.main import execute
from nervenet.scripts.standard_streams import give_up
from nervenet.scripts.views import View

SUMMARY = {
    "mode": "federated", "nodes": 2, "rounds": 1, "completed_rounds": 1, "data": "iris", "model": "mlp",
    "parameters": 10, "accuracy": 0.9, "baseline": None, "bytes_sent": 10, "wall_s": 1.0,
}  # fmt: skip
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
GONE = BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class Refusing(io.StringIO):
    """Standard output that takes nothing."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error, self.lines = error, 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        raise self.error


def event(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "run": "r", "node": "launcher", "role": "launcher", "incarnation": 1, "time": 1.0, **more}


def launched(
    output: str, error: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Return the exit code of a launch whose standard output is refused by `error`, and its standard error."""

    async def launch(*_: Any, on_run_dir: Callable[[Path], None], **on: Any) -> Mapping[str, Any]:
        on_run_dir(Path("made"))
        on["on_address"]("tcp://127.0.0.1:7")
        on["on_event"](event("run.started", rounds=1))
        return SUMMARY

    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.setattr(sys, "stdout", Refusing(error))
    monkeypatch.setattr(sys.stdout, "flush", lambda: None)
    return execute(["launch", "--out", "x", *output.split()]), capsys.readouterr().err


@pytest.mark.parametrize("output", ["", "--quiet", "--json"])
def test_a_run_goes_on_when_the_disk_of_standard_output_is_full(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = launched(output, FULL, monkeypatch, capsys)
    assert code == 0
    assert "warning: standard output is not whole: No space left on device; all else goes on\n" in err


@pytest.mark.parametrize("output", ["", "--quiet", "--json"])
def test_a_run_goes_on_without_a_word_when_nobody_reads_its_output(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, err = launched(output, GONE, monkeypatch, capsys)
    assert code == 0
    assert "standard output" not in err


@pytest.mark.parametrize("error", [FULL, GONE])
def test_a_line_that_is_merely_printed_would_end_the_run(
    error: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(views, "going_on", contextlib.nullcontext)
    code, _ = launched("", error, monkeypatch, capsys)
    assert code == 1


def lines_of_a_replay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    recorded = tmp_path / "recorded.jsonl"
    ended = event("run.completed", status="completed")
    recorded.write_text("".join(f"{json.dumps(each)}\n" for each in (event("run.started"), ended)))
    monkeypatch.setattr(sys, "stdout", Refusing(GONE))
    execute(["replay", str(recorded), "--json", "--speed", "max"])
    return sys.stdout.lines  # type: ignore[attr-defined, no-any-return]


def test_a_replay_is_over_when_nobody_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lines_of_a_replay(monkeypatch, tmp_path) == 1


def test_a_replay_that_goes_on_would_play_for_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(View, "only_shows", property(lambda _: False, lambda *_: None), raising=False)
    assert lines_of_a_replay(monkeypatch, tmp_path) > 1


@pytest.mark.parametrize("arguments", [["--version"], ["topology", "--list"]])
def test_a_command_that_only_prints_says_why_it_could_not(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Refusing(FULL))
    assert execute(arguments) == 1
    assert capsys.readouterr().err == "nervenet: No space left on device\n"


def failed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/there/file")

    monkeypatch.setattr(running, "run_one", refused)
    assert execute(["launch", "--out", "x"]) == 1
    return capsys.readouterr().err


def test_what_the_system_refuses_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failed(monkeypatch, capsys) == "nervenet: /there/file: Permission denied\n"


def test_it_would_be_taken_for_a_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "REFUSALS", frozenset())
    assert "Traceback" in failed(monkeypatch, capsys)


def test_a_stream_that_was_given_up_takes_everything() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        stream.write("held back")
        give_up(stream)
        stream.write("and more")


@pytest.mark.e2e
@pytest.mark.parametrize(("opened", "code"), [("open_closed()", 0), ("pass", 1)])
def test_a_file_does_not_take_the_place_of_a_closed_standard_output(opened: str, code: int) -> None:
    told = f"from nervenet.scripts.standard_streams import open_closed; {opened}; import os, sys; "
    told += "sys.exit(os.open(os.devnull, 0) <= 2 or None in (sys.stdout, sys.stderr))"
    process = subprocess.run(["/bin/sh", "-c", f'exec {sys.executable} -c "$0" <&- >&- 2>&-', told], check=False)
    assert process.returncode == code
