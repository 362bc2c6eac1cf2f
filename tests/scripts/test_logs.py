"""The log of a command: in the run folder, or on standard error, where then all is a line of it; nothing unasked."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.event_log import log_event
from nervenet.nodes.launching import launcher
from nervenet.nodes.launching.process_logs import LogSettings, configure
from nervenet.scripts import logs, output, view_choice
from nervenet.scripts.main import execute
from nervenet.scripts.views import JsonView, PlainView, View

EVENT = {"type": "warning", "run": "r", "node": "launcher", "role": "launcher", "incarnation": 1, "seq": 1, "time": 1.0}
SUMMARY = {"mode": "federated", "nodes": 2, "rounds": 1, "completed_rounds": 1, "data": "iris", "wall_s": 1.0}
SUMMARY |= {"parameters": 1, "baseline": {}, "bytes_sent": 1, "accuracy": 0.9, "model": "mlp"}
MISTAKE = ("node", "client", "--run", "r")  # without an address


def on_stderr(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def log_here() -> Iterator[Callable[[], None]]:
    """Have this process log to what is its standard error then."""
    yield lambda: logs._begun.append(("json", configure(LogSettings("json", "debug"), sys.stderr)))
    logs.end()


def test_a_mistake_is_the_last_line_and_all_is_set_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger().handlers)
    assert execute([*MISTAKE, "--log-format", "json"]) == 2
    (line,) = on_stderr(capsys)
    assert (line["level"], line["event"]) == ("error", "a client joins a run by one address: expected --broker")
    assert logging.getLogger().handlers == before
    assert not logs.on()
    assert execute(MISTAKE) == 2
    assert capsys.readouterr().err == "nervenet: a client joins a run by one address: expected --broker\n"


def test_either_option_begins_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*MISTAKE, "--log-level", "warning"]) == 2
    line = capsys.readouterr().err
    assert "[error" in line
    assert "expected --broker" in line


@pytest.mark.parametrize(
    "command", ["node client --run r", "broker", "monitor", "serve m", "join f", "launch", "simulate"]
)
def test_all_commands_that_run_or_watch_nodes_have_them(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([*command.split(), "--log-format", "xml"]) == 2
    assert "'xml' is not one of 'text', 'json'" in capsys.readouterr().err
    assert execute([*command.split(), "--log-level", "loud"]) == 2
    assert "'loud' is not one of 'debug', 'info', 'warning', 'error'" in capsys.readouterr().err


def test_what_a_command_says_on_stderr_is_a_line_of_its_log(
    log_here: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    log_here()
    output.warn("a\x1bb")
    output.tell("a note")
    JsonView().note("another")
    found = [(line["level"], line["event"]) for line in on_stderr(capsys)]
    assert found == [("warning", "a\x1bb"), ("info", "a note"), ("info", "another")]


def test_what_an_event_says_is_there_once(log_here: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    log_here()
    event = EVENT | {"reason": "no space"}
    log_event(event)
    View().event(event)
    (line,) = on_stderr(capsys)
    assert (line["event"], line["reason"]) == ("warning", "no space")


def test_without_a_log_it_is_said_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    View().event(EVENT | {"reason": "no space"})
    output.tell("a\x1bb")
    logs.seen(EVENT)
    assert capsys.readouterr().err == "warning: no space\na\\x1bb\n"


def test_whoever_watches_logs_what_others_publish(
    log_here: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    log_here()
    logs.seen(EVENT | {"node": "peer-1", "round": 2})
    (line,) = on_stderr(capsys)
    assert (line["run"], line["node"], line["round"]) == ("r", "peer-1", 2)


def test_no_line_of_a_log_goes_through_a_table(log_here: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", Terminal())
    log_here()
    assert type(view_choice.choose_view()) is not PlainView
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert type(view_choice.choose_view()) is PlainView


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    calls = list[dict[str, Any]]()

    async def launch(_experiment: object, **options: Any) -> dict[str, Any]:
        calls.append(options)
        options["out"].mkdir()
        options["on_run_dir"](options["out"])
        log_event(EVENT)
        return SUMMARY

    monkeypatch.setattr(launcher, "launch", launch)
    monkeypatch.chdir(tmp_path)
    return calls


def test_a_launch_logs_to_its_folder_and_says_the_same(
    launched: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["launch", "--out", "a", "--quiet", "--log-format", "json"]) == 0
    with_log = capsys.readouterr()
    assert launched[0]["logs"] == LogSettings("json", "info")
    (line,) = map(json.loads, Path("a/nodes.log").read_text().splitlines())
    assert (line["event"], line["run"], line["node"]) == ("warning", "r", "launcher")
    assert execute(["launch", "--out", "b", "--quiet"]) == 0
    without = capsys.readouterr()
    assert "logs" not in launched[1]
    assert not Path("b/nodes.log").exists()
    assert (without.out.replace("b\n", "a\n"), without.err) == with_log


def test_a_level_alone_leaves_the_lines_json(launched: list[dict[str, Any]]) -> None:
    assert execute(["launch", "--out", "a", "--quiet", "--log-level", "debug"]) == 0
    assert launched[0]["logs"] == LogSettings("json", "debug")


def test_who_is_stopped_at_once_says_so_in_a_line_too(log_here: Callable[[], None]) -> None:
    assert logs.last_line("stopped at once by SIGINT") == "nervenet: stopped at once by SIGINT\n"
    log_here()
    line = json.loads(logs.last_line("stopped at once by SIGINT"))
    assert (line["event"], line["level"]) == ("stopped at once by SIGINT", "error")
