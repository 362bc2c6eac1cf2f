"""Nothing that reads events, live or recorded, can fail because of what they say."""

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from nervenet.broker.errors import ProtocolError
from nervenet.broker.events import REQUIRED, decode_event, encode_event
from nervenet.nodes.launching.run_events import RunEvents
from nervenet.nodes.monitoring import run_view
from nervenet.nodes.monitoring.notices import notice
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.results import round_metrics
from nervenet.nodes.results.event_log import read_events
from nervenet.nodes.results.round_metrics import RecordedRounds, run_rows
from nervenet.nodes.results.run_dir import RunDir, to_json
from nervenet.nodes.runtime import event_edge, event_fitting
from nervenet.nodes.runtime.event_edge import Edge
from nervenet.nodes.runtime.event_fitting import FIELDS, fit, parse_event
from nervenet.scripts.live_table import plain_line, render
from rich.console import Console

HEAD = {"run": "r", "node": "n", "role": "peer", "incarnation": 1, "seq": 1, "time": 1.0}
WORDS = st.sampled_from(["", "n", "m", "coordinator", "client", "peer", "labels", "buffer", "\x1b]0;t\x07", "7"])
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, 1, 2, 3, 1e308, -1e308])
    | WORDS
)
ANYTHING = st.recursive(
    PLAIN, lambda of: st.lists(of, max_size=3) | st.dictionaries(WORDS, of, max_size=3), max_leaves=6
)
NUMBERS = st.integers(0, 4) | st.floats(-1e300, 1e300)
PLAUSIBLE = st.lists(NUMBERS, max_size=3) | st.dictionaries(WORDS, NUMBERS, max_size=2) | NUMBERS | WORDS
KINDS = sorted(FIELDS)


@st.composite
def an_event(draw: st.DrawFn) -> dict[str, Any]:
    """An event of any type, each of whose fields may hold anything or be missing; its head passes the decoder."""
    kind = draw(st.sampled_from(KINDS))
    names = [name for name in FIELDS[kind] if name not in HEAD]
    fields = draw(st.fixed_dictionaries({}, optional=dict.fromkeys(names, PLAUSIBLE | ANYTHING)))
    roles = st.sampled_from(["coordinator", "client", "peer", "launcher", "x"])
    head = {"type": kind, "node": draw(st.sampled_from(["n", "m", "x-1"])), "role": draw(roles)}
    head |= {"time": draw(st.floats(0, 2**53 - 1)), "incarnation": 1, "seq": draw(st.integers(0, 2**53 - 1))}
    return {**fields, "run": "r", **head}


EVENTS = st.lists(an_event(), min_size=1, max_size=12)
MANY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def seen(events: list[dict[str, Any]]) -> RunView:
    """Every view of a run, drawn after each event."""
    view = RunView()
    console = Console(file=io.StringIO(), width=120)
    for event in events:
        view.update(event)
        view.update(parse_event({**HEAD, **event}))
        notice(event)
        plain_line(view, 3.0)
        console.print(render(view, 3.0, 20))
    return view


@MANY
@given(EVENTS)
def test_every_view_takes_every_event(events: list[dict[str, Any]]) -> None:
    seen(events)


@MANY
@given(EVENTS)
def test_every_recorded_event_can_be_folded_into_rows(events: list[dict[str, Any]]) -> None:
    for mode in ("federated", "gossip"):
        for row in run_rows(mode, RecordedRounds(events), {}):
            json.loads(to_json(row))


class NoRunDir:
    def record(self, event: dict[str, Any]) -> None:
        """Record as a run folder does."""
        to_json(event)


@MANY
@given(EVENTS)
def test_the_launcher_takes_every_event(events: list[dict[str, Any]]) -> None:
    shown: list[dict[str, Any]] = []
    launched = RunEvents("r", NoRunDir(), shown.append, lambda: None)  # type: ignore[arg-type]
    for event in events:
        launched._take(event)
    assert [e for e in shown if e["type"] == "warning" and "could not be" in str(e.get("reason"))] == []


@MANY
@given(an_event())
def test_what_is_kept_has_its_type_and_what_is_not_is_told(event: dict[str, Any]) -> None:
    kept, problem = fit(event)
    assert fit(kept)[0] == kept
    for name, field in FIELDS[event["type"]].items():
        if name in kept:
            msgspec.convert(kept[name], field.type, strict=False)
        elif name in event or field.required:
            assert name in problem or len(problem) == 200


@settings(max_examples=3, deadline=None)
@given(EVENTS)
@example(
    [
        {
            **HEAD,
            "type": "round.completed",
            "round": n,
            "closed_by": "all",
            "node": node,
            "bytes_sent": 2**53,
            "loss": x,
        }
        for n, x in ((1, 1e308), (2, -1e308), (2**53, 0.0))
        for node in ("n", "m")
    ]
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_run_folder_that_holds_them_gets_its_curves(events: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder, RunDir(Path(folder) / "run") as run_dir:
        for event in events:
            run_dir.record(event)
        run_dir.write_rounds("gossip", {})
        assert len(list(read_events(run_dir.path))) == len(events)
        assert (run_dir.path / "curves.png").exists()


WORD_FOR_A_NUMBER = {**HEAD, "type": "run.started", "mode": "gossip", "nodes": 2, "data": "d", "model": "m"}
WORD_FOR_A_NUMBER |= {"rounds": "many"}


def check_a_word_for_a_number_is_survived() -> None:
    view = seen([WORD_FOR_A_NUMBER])
    assert (view.mode, view.rounds) == ("gossip", 0)


def test_a_word_where_a_number_belongs_is_left_out() -> None:
    check_a_word_for_a_number_is_survived()


def test_events_taken_as_they_come_would_end_a_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_view, "fitted", dict)
    with pytest.raises(ValueError, match="many"):
        check_a_word_for_a_number_is_survived()


def test_recorded_rounds_taken_as_they_come_would_cost_the_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    event = {**HEAD, "type": "metric.test", "round": 1, "spread": {"loss": 3}, "loss": 1.0}
    assert RecordedRounds([event]).rounds["n"][1]["loss"] == 1.0
    monkeypatch.setattr(round_metrics, "fitted", dict)
    with pytest.raises(AttributeError):
        RecordedRounds([event])


def test_malformed_events_are_counted_and_told_ever_less_often() -> None:
    edge = Edge()
    told = [made for _ in range(150) if (made := edge.decode(WORD_FOR_A_NUMBER)[1])]
    assert [event["count"] for event in told] == [1, 10, 100]
    assert notice(told[-1]) == "100 malformed events run.started of n: rounds: Expected `int`, got `str`"
    view = RunView()
    for event in told:
        view.update(event)
    assert sum(view.malformed.values()) == 100
    assert "100 events malformed" in plain_line(view, 1.0)
    many = [edge.decode({**WORD_FOR_A_NUMBER, "node": f"n-{i}"})[1] for i in range(5_000)]
    assert sum(made is not None for made in many) < event_edge._DISTINCT + 5


@pytest.mark.parametrize(("key", "value"), [("time", -1.0), ("time", 1e300), ("node", "stream")])
def test_a_head_that_cannot_be_is_no_event(key: str, value: Any) -> None:
    good = {**HEAD, "type": "warning", "reason": "x"}
    assert set(REQUIRED) <= set(decode_event(encode_event(good)))
    with pytest.raises(ProtocolError):
        decode_event(encode_event({**good, key: value}))


def test_a_recorded_line_of_any_kind_is_read(tmp_path: Path) -> None:
    lines = [
        "{}",
        "[]",
        "7",
        '{"type": 3}',
        '{"type": "round.completed", "round": 1e400}',
        "{",
        '{"round": 10' + "0" * 400 + "}",
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    events = list(read_events(tmp_path))
    assert len(events) == 3
    seen(events)
    RecordedRounds(events)


@MANY
@given(an_event())
def test_looked_at_as_a_whole_an_event_is_what_it_is_field_by_field(event: dict[str, Any]) -> None:
    at_once = fit(event)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_fitting, "_WHOLE", dict.fromkeys(FIELDS, int))  # which no event is
        assert fit(event) == at_once
