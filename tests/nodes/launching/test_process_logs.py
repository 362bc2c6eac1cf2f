"""The log of a process of nervenet's own: JSON whatever it is of, text that obeys nothing, and all of it set back."""

import gc
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from nervenet.broker import event_log
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.launching import process_logs
from nervenet.nodes.launching.nodes_log import NodesLog
from nervenet.nodes.launching.process_logs import JSON, QUIET, TEXT, LogSettings, configure

HOSTILE = '\x1b]0;title\x07\n{"time": 1}\u2028\u202e\ud800'
EVENT = {"type": "node.lost", "run": "r", "node": "peer-1", "role": "peer", "incarnation": 7, "seq": 1, "time": 1.0}


def written(settings: LogSettings, say: Callable[[], object]) -> str:
    stream = io.StringIO()
    gc.collect()  # what other tests have left is not told of here
    gc.disable()
    set_back = configure(settings, stream)
    try:
        say()
    finally:
        set_back()
        gc.enable()
    return stream.getvalue()


def lines(say: Callable[[], object], settings: LogSettings = LogSettings(JSON, "debug")) -> list[dict[str, Any]]:  # noqa: B008
    return [json.loads(line) for line in written(settings, say).splitlines()]


def fail() -> None:
    raise ValueError(HOSTILE)


def test_a_line_begins_with_when_how_grave_what_and_where() -> None:
    (line,) = lines(lambda: event_log.log_event({**EVENT, "round": 3, "subject": "peer-2"}))
    assert list(line)[:7] == ["time", "level", "event", "run", "node", "role", "round"]
    assert (line["level"], line["event"], line["subject"]) == ("warning", "node.lost", "peer-2")
    assert line["time"].endswith("Z")
    assert len(line["time"]) == len("2026-01-01T00:00:00.000000Z")


def test_hostile_names_stay_within_their_line() -> None:
    hostile = {**EVENT, "node": HOSTILE, "subject": HOSTILE, "reason": HOSTILE, HOSTILE: [HOSTILE], "_record": "x"}
    (line,) = lines(lambda: event_log.log_event(hostile))
    assert line["reason"] == line["node"] == HOSTILE.replace("\ud800", "\\ud800")
    assert "\n" not in written(LogSettings(JSON, "debug"), lambda: event_log.log_event(hostile)).rstrip("\n")


@pytest.mark.parametrize("value", [float("nan"), object(), {1: object()}, b"\xff", {"a"}, 10**400])
def test_a_value_that_json_has_no_word_for_costs_no_line(value: object) -> None:
    (line,) = lines(lambda: logging.getLogger("nervenet.x").warning("odd", extra={"value": value, "round": 1}))
    assert (line["event"], line["round"]) == ("odd", 1)


def test_an_exception_is_a_field() -> None:
    def say() -> None:
        try:
            fail()
        except ValueError:
            structlog.get_logger().bind(run="r", node="n").error("failed", round=2, exc_info=True)
            logging.getLogger("nervenet.x").exception("failed, too")

    one, other = lines(say)
    assert (one["run"], one["node"], one["round"], one["level"]) == ("r", "n", 2, "error")
    for line in (one, other):
        assert line["exception"].startswith("Traceback (most recent call last)")
        assert "ValueError" in line["exception"]
        assert "exc_info" not in line


def test_text_obeys_nothing_that_stands_in_it() -> None:
    def say() -> None:
        event_log.log_event({**EVENT, "node": HOSTILE, "subject": [HOSTILE]})
        try:
            fail()
        except ValueError:
            logging.getLogger("nervenet.x").exception(HOSTILE)

    text = written(LogSettings(TEXT, "info"), say)
    assert all(line.isprintable() for line in text.split("\n"))
    assert "Traceback (most recent call last)" in text
    assert "run=r node=" in text.splitlines()[0]


def test_of_others_there_are_warnings_at_most() -> None:
    def say() -> None:
        for name in ("nervenet.x", "other"):
            for level in (logging.DEBUG, logging.INFO, logging.WARNING):
                logging.getLogger(name).log(level, "%s", logging.getLevelName(level))

    found = [(line["logger"], line["event"]) for line in lines(say)]
    assert found == [("nervenet.x", "DEBUG"), ("nervenet.x", "INFO"), ("nervenet.x", "WARNING"), ("other", "WARNING")]


def test_where_no_level_is_said_there_are_no_events() -> None:
    def say() -> None:
        event_log.log_event({**EVENT, "type": "run.failed"})
        logging.getLogger("nervenet.nodes.launching.node_process").info("started")
        logging.getLogger("nervenet.nodes.runtime.worker").warning("train failed")

    assert [line["event"] for line in lines(say, QUIET)] == ["started", "train failed"]


def test_warnings_and_crashes_are_lines_too() -> None:
    class Falls:
        def __del__(self) -> None:
            fail()

    def say() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)  # which this context has undone, and pytest's before it
            logging.captureWarnings(True)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        thread = threading.Thread(target=fail, name="worker x")
        thread.start()
        thread.join()
        fallen = Falls()
        del fallen

    warned, thread, unraisable = lines(say)
    assert "DeprecationWarning: old" in warned["event"]
    assert (thread["event"], thread["level"]) == ("worker x has ended", "critical")
    assert "ValueError" in thread["exception"]
    assert "Falls.__del__" in unraisable["event"]
    assert "ValueError" in unraisable["exception"]


@pytest.fixture
def as_it_was() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


def state() -> tuple[Any, ...]:
    names = ("", "nervenet", "nervenet.events", "nervenet.nodes.launching")
    loggers = [(logging.getLogger(name).level, list(logging.getLogger(name).handlers)) for name in names]
    return loggers, sys.unraisablehook, threading.excepthook, warnings.showwarning, structlog.is_configured()


@pytest.mark.usefixtures("as_it_was")
def test_all_of_it_is_set_back() -> None:
    set_back = configure(LogSettings(JSON, "debug"), io.StringIO())
    assert logging.getLogger("nervenet").level == logging.DEBUG
    set_back()


def test_the_process_tells_what_it_ends_with(monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.nodes.launching.forkserver import _tell

    (line,) = lines(lambda: _tell(ValueError("mistake")))
    assert (line["level"], line["event"]) == ("critical", "the process ends")
    assert "ValueError: mistake" in line["exception"]
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    _tell(ValueError("mistake"))
    assert "ValueError: mistake" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def test_what_is_written_to_a_folders_log_keeps_to_its_size(tmp_path: Path) -> None:
    with NodesLog(tmp_path, 80_000) as log:
        set_back = configure(LogSettings(JSON, "info"), log)
        for number in range(400):
            logging.getLogger("nervenet.x").info("a line", extra={"round": number})
        set_back()
    parts = [(tmp_path / name).read_text() for name in ("nodes.1.log", "nodes.log")]
    kept = [json.loads(line) for part in parts for line in part.splitlines()]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) <= 12_000
    assert [line["round"] for line in kept] == list(range(400 - len(kept), 400))
    assert (tmp_path / "nodes.log").stat().st_mode & 0o777 == 0o600


def test_settings_go_to_other_processes_and_back() -> None:
    settings = LogSettings(TEXT, "debug")
    assert LogSettings.from_job({"logs": settings.to_job()}) == settings
    assert LogSettings.from_job({}) == process_logs.QUIET


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"format": "xml"}, "logs: format = 'xml': expected one of json, text"),
        ({"level": "loud"}, "logs: level = 'loud': expected one of debug, info, warning, error"),
    ],
)
def test_settings_that_there_are_not_are_refused(wrong: dict[str, str], reason: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        LogSettings(**wrong)
    assert str(caught.value) == reason


def test_a_line_that_cannot_be_made_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # without pytest's own, which raise
    (line,) = lines(lambda: logging.getLogger("other").warning("%d", "no number"))
    assert (line["level"], line["event"]) == ("error", "a line of other could not be made")
    assert "TypeError" in line["exception"]
