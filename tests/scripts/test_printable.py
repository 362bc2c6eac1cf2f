"""Control characters from elsewhere reach no terminal and no file as they are, in any view."""

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.messages.base import Name
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.experiment import ineffective
from nervenet.nodes.launching import launcher, standalone
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.results import run_dir
from nervenet.nodes.results.run_dir import RunDir, to_json
from nervenet.nodes.runtime.printable import printable, printable_json, printable_lines
from nervenet.scripts import live_table, main, output, result_table, views
from rich.console import Console

TITLE = "\x1b]0;a title\x07"  # what would set a terminal's title
NASTY = f"a{TITLE}\x9b2J\u202eb\r\n"
HEAD = {"run": f"r{NASTY}", "node": f"n{NASTY}", "role": "peer", "incarnation": 1, "seq": 1, "time": 1.0}
EVENTS: list[dict[str, Any]] = [
    {**HEAD, "type": "run.started", "mode": NASTY, "nodes": 2, "rounds": 2, "data": NASTY, "model": NASTY},
    {**HEAD, "type": "node.lost", "subject": NASTY, "reason": NASTY},
    {**HEAD, "type": "update.rejected", "subject": NASTY, "reason": NASTY},
    {**HEAD, "type": "warning", "reason": NASTY},
    {**HEAD, "type": NASTY},
    {
        **HEAD,
        "type": "connection.refused",
        "subject": f"../[red]{NASTY}",
        "service": NASTY,
        "address": NASTY,
        "key": NASTY,
        "reason": f"<b>{NASTY}" * 500,
        "count": 3,
    },
    {**HEAD, "type": "metric.test", "round": 1, "accuracy": 0.5, "sketch": [1.0, 2.0]},
    {**HEAD, "node": f"m{NASTY}", "type": "metric.test", "round": 1, "accuracy": 0.5, "sketch": [9.0, 9.0]},
    {**HEAD, "type": "run.failed", "reason": NASTY},
]
SUMMARY: dict[str, Any] = {
    "mode": "gossip", "data": NASTY, "model": f"[bold]{NASTY}", "nodes": 2, "rounds": 2, "completed_rounds": 1,
    "accuracy": 0.5, "wall_s": 1.0, "bytes_sent": 1, "nodes_lost": [NASTY], "stopped_by": NASTY, "reason": NASTY,
    "updates_rejected": {NASTY: 1}, "mass": {"gone": {NASTY: 1.0}}, "scores": {NASTY: 1.0},
}  # fmt: skip


def check_plain(text: str) -> None:
    bad = {c for c in text if not c.isprintable() and c != "\n"}
    assert not bad, f"as they are: {bad!r} in {text!r}"
    assert TITLE not in text


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """Everything that the views write of these events, on both streams."""
    for view in (views.View(), views.PlainView(), views.JsonView()):
        for event in EVENTS:
            view.event(event)
        view.note(f"run folder {NASTY}")
        if isinstance(view, views.PlainView):
            view._show()
    main._tell(NASTY, 2)
    print(result_table.result_line(SUMMARY))
    result_table.print_result(SUMMARY, Path("out" + TITLE), sys.stdout)
    out, err = capsys.readouterr()
    return out + err


def drawn() -> str:
    """The live table, without the sequences by which it is colored."""
    view = RunView()
    for event in EVENTS:
        view.update(event)
    file = io.StringIO()
    console = Console(file=file, width=300, color_system=None)
    console.print(live_table.render(view, 2.0, 40))
    return file.getvalue()


def test_no_view_writes_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys) + drawn()
    check_plain(text)
    assert r"\x1b]0;a title\x07" in text


@pytest.mark.parametrize("module", [views, live_table, result_table])
def test_written_as_it_came_it_would_be_obeyed(
    module: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "printable", str)
    with pytest.raises(AssertionError, match="as they are"):
        check_plain(shown(capsys) + drawn())


def test_the_files_of_a_run_hold_the_same_values_without_it(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run") as run_dir:
        for event in EVENTS:
            run_dir.record({**event, "reason": NASTY})
        run_dir.write_summary({"reason": TITLE + "\x9b"})
    text = (tmp_path / "run" / "events.jsonl").read_text()
    check_plain(text)
    assert json.loads(text.splitlines()[0])["reason"] == NASTY
    summary = (tmp_path / "run" / "summary.json").read_text()
    check_plain(summary)
    assert json.loads(summary) == {"reason": TITLE + "\x9b"}


@given(st.text(st.characters()))
def test_what_is_printable_stays_and_what_is_not_can_be_told(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()
    assert printable_lines(text).count("\n") == text.count("\n")


@given(st.text())
def test_a_line_of_json_keeps_its_value(text: str) -> None:
    line = to_json({"reason": text})
    assert line.isprintable()
    assert json.loads(line) == {"reason": text}
    assert printable_json(line) == line


@pytest.mark.parametrize("name", ["a\n", "a\x1b", "", "a/b", "a" * 65])
def test_no_name_of_a_node_holds_them(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, Name)
    assert msgspec.convert("a-1.b_2", Name) == "a-1.b_2"


def test_by_the_end_of_a_line_a_newline_would_be_let_through() -> None:
    assert msgspec.convert("a\n", Annotated[str, msgspec.Meta(pattern=r"^[a-z]$")]) == "a\n"


def test_half_a_character_goes_into_json_as_it_is_shown() -> None:
    reason = {"reason": ["x\udce9.csv", {"\ud800": 1.5}], "figure": np.float64("nan"), "names": ("ä\n",)}
    line = to_json(reason)
    assert line.isprintable()
    whole = {"reason": ["x\\udce9.csv", {"\\ud800": 1.5}], "figure": None, "names": ["ä\n"]}
    assert json.loads(line) == msgspec.json.decode(line) == whole


def test_without_that_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_dir, "_whole", lambda value: value)
    with pytest.raises(UnicodeEncodeError):
        to_json("x\udce9.csv")


def warned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What commands say on their own of an experiment whose settings are named as nobody would."""

    async def refuse(*_: object, **__: object) -> None:
        raise ExperimentError("no")

    monkeypatch.setattr(ineffective, "warnings", lambda *_: [f"data.{NASTY} has no effect"])
    monkeypatch.setattr(launcher, "launch", refuse)
    monkeypatch.setattr(standalone, "run_node", refuse)
    assert main.execute(["launch", "--data", "nowhere.csv"]) == 2
    assert main.execute(["node", "client", "--broker", "tcp://h:1", "--run", "r", "--data", "nowhere.csv"]) == 2
    return capsys.readouterr().err


def test_what_a_command_warns_of_itself_is_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = warned(capsys, monkeypatch)
    check_plain(text)
    assert text.count(r"\x1b]0;a title\x07") == 2


def test_as_it_came_a_terminal_would_obey_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "printable", str)
    with pytest.raises(AssertionError, match="as they are"):
        check_plain(warned(capsys, monkeypatch))


def test_half_a_character_of_a_file_name_can_be_shown() -> None:
    assert printable("x\udce9.csv") == r"x\udce9.csv"
