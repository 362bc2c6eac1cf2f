"""Events as records of logging: levels, attributes, one line each, and silence where nobody has asked for a log."""

import asyncio
import logging
from typing import Any

import pytest
from nervenet.broker import event_log
from nervenet.broker.event_log import LEVELS, NAME, log_event
from nervenet.broker.events import Publisher
from nervenet.nodes.runtime.event_types import TYPES

HOSTILE = "\x1b[2J\n\u202epeer\ud800"


def event(kind: str, **fields: Any) -> dict[str, Any]:
    head = {"type": kind, "run": "r", "node": "peer-1", "role": "peer", "incarnation": 7, "seq": 1, "time": 1.0}
    return head | fields


def logged(caplog: pytest.LogCaptureFixture, *events: dict[str, Any]) -> list[Any]:
    with caplog.at_level(logging.DEBUG, logger=NAME):
        for each in events:
            log_event(each)
    return caplog.records


def test_levels_are_of_types_that_there_are() -> None:
    assert set(LEVELS) <= TYPES


def test_a_record_has_run_node_and_round(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = logged(caplog, event("round.completed", round=3, closed_by="all", participants=["a", "b"]))
    assert (record.run, record.node, record.role, record.round, record.closed_by) == ("r", "peer-1", "peer", 3, "all")
    assert (record.name, record.levelno) == (NAME, logging.INFO)
    assert record.getMessage() == (
        "round.completed run=r node=peer-1 role=peer round=3 incarnation=7 closed_by=all participants=['a', 'b']"
    )


def test_a_line_is_one_line_whatever_it_is_of(caplog: pytest.LogCaptureFixture) -> None:
    (record,) = logged(caplog, event("node.lost", subject=HOSTILE, reason="two words"))
    text = record.getMessage()
    assert text.isprintable()
    assert text.endswith(r"subject='\x1b[2J\n\u202epeer\ud800' reason='two words'")


def test_a_field_that_logging_has_a_use_for_gets_another_name(caplog: pytest.LogCaptureFixture) -> None:
    taken = {"name": 1, "msg": 2, "message": 3, "event": 4, "exc_info": 5, "_record": 6, "_logger": 7, "level": 8}
    (record,) = logged(caplog, event("metric.test", **taken))
    assert {key: getattr(record, f"{key}_") for key in taken} == taken


def test_what_follows_a_round_is_of_that_round(caplog: pytest.LogCaptureFixture) -> None:
    publisher = Publisher("peer-1", "peer", "r", 7)
    with caplog.at_level(logging.WARNING, logger=NAME):
        publisher.publish("warning", reason="early")
        publisher.publish("round.started", round=4)  # below that level, and known all the same
        publisher.publish("warning", reason="late")
        publisher.publish("warning", reason="of another", round=2)
    asyncio.run(publisher.close())
    assert [getattr(record, "round", None) for record in caplog.records] == [None, 4, 2]


def said_by_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What is written where a program has configured no logging."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    log_event(event("warning", reason="unheard"))
    written = capsys.readouterr()
    return written.out + written.err


def test_a_library_is_silent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert said_by_itself(monkeypatch, capsys) == ""


def test_without_the_null_handler_it_would_not_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("nervenet"), "handlers", [])
    assert "unheard" in said_by_itself(monkeypatch, capsys)


def test_nothing_is_made_of_an_event_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[object]()
    monkeypatch.setattr(event_log, "EventText", lambda *given: made.append(given))
    log_event(event("exchange.sent", count=1))
    assert made == []


def test_a_program_may_give_every_record_attributes_of_its_own(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = logging.getLogRecordFactory()

    def of_program(*arguments: Any, **more: Any) -> logging.LogRecord:
        record = made(*arguments, **more)
        record.node = "of the program"
        return record

    logging.setLogRecordFactory(of_program)
    try:
        (record,) = logged(caplog, event("node.lost"))
    finally:
        logging.setLogRecordFactory(made)
    assert (record.node, record.node_) == ("of the program", "peer-1")
