"""What is said in lines: at once what a person should read, of a flood how large it is, and no end that is none."""

from typing import Any

import pytest
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.scripts import notices
from nervenet.scripts.notices import Notices, Suspicions
from nervenet.scripts.views import PlainView


def event(kind: str, **more: Any) -> dict[str, Any]:
    head = {"run": "r", "node": "launcher", "role": "launcher", "incarnation": 1, "seq": 1, "time": 1.0}
    return {"type": kind, **head, **more}


def suspicions_told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines about thirty nodes that ten neighbors each suspect, while the view is drawn three times."""
    view = PlainView()
    for node in range(30):
        view.event(event("node.ready", node=f"peer-{node:02d}", role="peer"))
    for _ in range(3):
        for witness in range(30, 40):
            for node in range(30):
                said = {"subject": f"peer-{node:02d}", "reason": "silent"}
                view.event(event("node.suspect", node=f"peer-{witness}", role="peer", **said))
        view._show()
    return [line for line in capsys.readouterr().out.splitlines() if "suspected" in line]


def test_suspicions_are_told_once_how_many_and_which(capsys: pytest.CaptureFixture[str]) -> None:
    names = ", ".join(f"peer-{i:02d}" for i in range(6))
    assert suspicions_told(capsys) == [f"30 nodes are suspected: {names} and 24 more"]


def test_told_each_by_itself_they_would_scroll(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Suspicions, "add", lambda self, _subject, line: print(line))
    assert len(suspicions_told(capsys)) == 900


def test_a_node_that_was_heard_again_can_be_suspected_again() -> None:
    suspicions = Suspicions()
    suspicions.add("a", "a is suspected: silent")
    assert suspicions.take({"a"}) == "a is suspected: silent"
    suspicions.add("a", "a is suspected: silent")
    assert suspicions.take(set()) is None
    suspicions.add("a", "a is suspected: silent")
    assert suspicions.take({"a"}) == "a is suspected: silent"


def said_of_a_flood(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what is said as 300 peers each warn three times, and one of them is lost."""
    view = PlainView()
    for number in range(900):
        view.event(event("warning", node=f"peer-{number % 300}", role="peer", reason=f"no connection, {number}"))
    view.event(event("node.lost", subject="peer-7", reason="killed"))
    view._show(last=True)
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("waiting for a run")]


def test_of_a_flood_the_first_lines_are_said_and_how_many_more(capsys: pytest.CaptureFixture[str]) -> None:
    said = said_of_a_flood(capsys)
    assert said[:2] == ["peer-0: no connection, 0", "peer-1: no connection, 1"]
    assert "peer-7 is lost: killed (docs/errors.md#node-lost)" in said, "another kind of news is not lost in it"
    assert "… and 890 more warnings" in said
    assert len(said) == notices.AT_ONCE + 2


def test_without_a_limit_they_would_scroll(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Notices, "_room", lambda *_: True)
    assert len(said_of_a_flood(capsys)) == 901


def test_after_a_while_there_is_room_again() -> None:
    said: list[str] = []
    clock = [0.0]
    lines = Notices(said.append, lambda: clock[0])
    for number in range(12):
        lines.event(event("warning", reason=str(number)))
    lines.settle({}, RunView())
    assert len(said) == 10, "the rest is counted when the window is over"
    clock[0] = 2.0
    lines.settle({}, RunView())
    assert said[10:] == ["… and 2 more warnings"]
    lines.event(event("warning", reason="later"))
    assert said[11:] == ["launcher: later"]


def said_of_a_resumed_run(after: tuple[dict[str, Any], ...]) -> list[str]:
    said: list[str] = []
    clock = [0.0]
    lines, view = Notices(said.append, lambda: clock[0]), RunView("r")
    for one in (event("run.failed", reason="interrupted by Ctrl-C", status="interrupted"), *after):
        view.update(one)
        lines.event(one)
        lines.settle({"r": view}, view)
    clock[0] = 1.0
    lines.settle({"r": view}, view)
    return said


def test_how_a_previous_incarnation_ended_is_no_news() -> None:
    again = event("node.joined", incarnation=2, pid=1, address="")
    assert said_of_a_resumed_run((again,)) == []
    assert said_of_a_resumed_run(()) == ["the run was interrupted by Ctrl-C"]


def test_said_at_once_it_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "HOLD_S", 0.0)
    assert said_of_a_resumed_run((event("node.joined", incarnation=2, pid=1, address=""),)) != []
