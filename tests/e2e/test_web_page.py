"""The page of the web view in a browser: a run that goes on, one that is over, a replay, and events that mean harm."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .browsing import Seen, browser, write_events

pytestmark = pytest.mark.e2e
Start = Callable[..., Any]
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture
def look(chromium: Any) -> Iterator[Callable[..., Seen]]:
    """Open a page; no test may end with a complaint of the browser."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    seen: list[Seen] = []

    def open_page(address: str) -> Seen:
        seen.append(Seen(context.new_page(), address))
        return seen[-1]

    try:
        yield open_page
        assert [complaint for one in seen for complaint in one.complaints] == []
    finally:
        context.close()


@pytest.fixture
def show(nervenet: Start) -> Callable[..., tuple[str, Any]]:
    """Start the web view, and return its address and its command."""

    def start(*what: object, web: str = "127.0.0.1:0") -> tuple[str, Any]:
        view = nervenet("monitor", *what, "--web", web)
        return view.says("web view http").split()[2], view

    return start


def rounds(peers: list[str], last: int) -> list[dict[str, Any]]:
    """Events of a small gossip run."""
    begin = {"node": "launcher", "role": "launcher", "mode": "gossip", "nodes": len(peers), "rounds": last}
    events: list[dict[str, Any]] = [{"type": "run.started", **begin, "data": "iris", "model": "mlp", "rows": 120}]
    events += [{"type": "node.joined", "node": peer, "pid": 7, "address": ""} for peer in peers]
    for number in range(1, last + 1):
        for i, peer in enumerate(peers):
            others = [peers[i - 1]]
            mixed = {"participants": others, "closed_by": "all", "duration_s": 0.05, "waiting_s": 0.01}
            mixed |= {"loss": 1 / number, "bytes_sent": 900}
            events += [{"type": "round.started", "node": peer, "round": number, "attempt": 0}]
            events += [{"type": "round.completed", "node": peer, "round": number, **mixed}]
            events += [{"type": "metric.test", "node": peer, "round": number, "accuracy": 0.9 + i / 100, "loss": 0.3}]
    return events


END = {"type": "run.completed", "node": "launcher", "role": "launcher", "status": "completed", "completed_rounds": 6}


def test_a_run_that_goes_on_is_watched_to_its_end(launch: Start, show: Start, look: Start, ports: int) -> None:
    words = ("--mode", "federated", "--data", "iris", "--nodes", 3, "--rounds", 1_000_000)
    run = launch(*words, "--set", "evaluation.baseline=false")
    broker = run.broker()
    address, view = show("--broker", broker, web=f"127.0.0.1:{ports}")
    seen = look(address)
    seen.says("#link", "live")
    seen.says("#outcome", "[Rr]ound [1-9]")
    seen.click_through()
    seen.page.keyboard.press("2")
    seen.shows("client-1")
    os.kill(run.nodes["client-2"]["pid"], signal.SIGKILL)
    seen.says("tr.row:has-text('client-2')", "✕ lost")
    view.kill(signal.SIGINT)
    seen.says("#link", "connection lost, trying again")
    assert view.wait() == 130
    show("--broker", broker, web=f"127.0.0.1:{ports}")
    seen.says("#link", "live")
    run.kill(signal.SIGINT)
    seen.says("#outcome", "[Ii]nterrupted")
    seen.complaints = [one for one in seen.complaints if "ERR_" not in one]  # of the time without a server
    run.wait()


def test_a_run_that_is_over_is_clicked_through_and_played_again(
    show: Start, look: Start, until: Start, tmp_path: Path
) -> None:
    events = [*rounds(["ada", "bob", "cyd"], 6), END]
    late = [event | {"time": 1.7e9 + 9000} for event in events if event.get("round") == 6 or event is END]
    before = [event for event in events if event.get("round") != 6 and event is not END]
    quiet = {"type": "exchange.sent", "node": "ada", "subject": "cyd", "round": 5, "count": 1}
    hours = [quiet | {"time": 1.7e9 + 25 * i} for i in range(1, 360)]  # so that a replay stays in round 5 for long
    seen = look(show(write_events(tmp_path / "run.jsonl", before + hours + late))[0])
    seen.says("#outcome", "[Cc]ompleted")
    seen.click_through()
    page = seen.page
    page.keyboard.press("1")
    seen.says(".tiles", "missed events")
    assert seen.saved(page.get_by_role("button", name="PNG").first).startswith(b"\x89PNG")
    table = seen.saved(page.get_by_role("button", name="CSV").first).decode().splitlines()
    assert table[0].startswith("round,accuracy")
    assert table[1].startswith("1,0.91")
    page.keyboard.press("2")
    seen.says("#main .tools", "3 nodes")
    page.keyboard.press("/")
    page.keyboard.type("bo")
    seen.says("#main .tools", "1 of 3 nodes")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    seen.says("#main section h2.name", "^ada$")
    score = page.locator("figure[aria-label='Score']").get_by_role("button", name="CSV")
    assert seen.saved(score).decode().splitlines()[1::5] == ["1,0.9", "6,0.9"]  # which it has not seen as they came
    page.keyboard.press("j")
    seen.says("#main section h2.name", "^bob$")
    page.keyboard.press("?")
    seen.shows("light or dark")
    page.keyboard.press("Escape")
    light = page.evaluate("() => document.documentElement.dataset.theme")
    page.keyboard.press("d")
    assert page.evaluate("() => document.documentElement.dataset.theme") != light
    page.select_option("#replay select", "10")
    page.get_by_role("button", name="Replay").click()
    seen.says("#outcome", "[Rr]ound 5 of 6")
    seen.says("#link", "replay$")
    page.keyboard.press(" ")
    seen.says("#link", "paused")
    page.get_by_role("button", name="Go on").click()
    seen.says("#link", "replay$")
    page.get_by_role("button", name="Show the end").click()
    seen.says("#outcome", "[Cc]ompleted")
    seen.says("#link", "finished")
    page.set_viewport_size({"width": 390, "height": 844})
    until(lambda: page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "it fits on a phone")


def test_a_hostile_event_shows_as_text_and_harms_nothing(show: Start, look: Start, tmp_path: Path) -> None:
    names = [MARKUP, "__proto__", "\u202egnol" + "g" * 5000, '"; DROP=1', "=cmd()"]
    events = rounds(names, 6)
    events[0]["data"] = "<script>alert(2)</script>"
    reason = f"{MARKUP} is no number"
    events += [{"type": "update.rejected", "node": names[1], "subject": names[0], "round": 2, "reason": reason}]
    events += [{"type": "metric.test", "node": names[3], "round": 6, "accuracy": 1e308, "loss": -1e308}]
    events += [{"type": "round.completed", "node": names[4], "round": 10**15}, {"type": "node.lost", "node": names[0]}]
    events += [{"type": "node.suspect", "node": names[0], "subject": {"a": 1}}, {"type": MARKUP, "node": 3}]
    seen = look(show(write_events(tmp_path / "hostile.jsonl", events))[0])
    seen.says("#run", "<script>alert")
    seen.shows(reason)
    seen.click_through()
    seen.page.keyboard.press("2")
    seen.shows("__proto__")
    seen.page.locator("tr.row", has_text="onerror").first.click()
    seen.says("#main section h2.name", "onerror")
    seen.shows(reason)
    assert seen.page.locator("img, iframe, #main script, header script").count() == 0
    assert seen.page.evaluate("() => ({}).state === undefined")


def test_what_was_missed_is_asked_for_and_gaps_are_drawn(show: Start, look: Start, tmp_path: Path) -> None:
    gap = {"type": "gap", "node": "stream", "role": "monitor", "subject": "ada", "about": "metric.test", "missed": 7}
    recording = write_events(tmp_path / "run.jsonl", [*rounds(["ada", "bob"], 6), gap, END])
    seen = look(show(recording)[0])
    seen.says(".tiles", "missed events7")
    found = seen.page.evaluate(
        """async () => {
          const { Store } = await import("/page/store.js");
          const { lines } = await import("/page/series.js");
          const store = new Store();
          store.replace({ v: 1, rounds: { round: [1, 2, 3], loss: [3, 2, 1] } });
          const next = { v: 2, rounds: { round: [3, 9, 10], loss: [0.5, null, 0.1] } };
          const merged = [store.merge(next), store.merge({ v: 4 })];
          const drawn = lines(store.rounds, ["loss"]).map((line) => line.map((x) => x ?? String(x)));
          return { merged, rounds: store.rounds.round, lines: drawn };
        }"""
    )
    assert found["merged"] == [True, False]  # a change of another number: something was missed
    assert found["rounds"] == [1, 2, 3, 9, 10]
    # Rounds 4 to 8 are missing: a gap. In round 9 nothing was measured: none.
    assert found["lines"] == [[1, 2, 3, 6, 9, 10], [3, 2, 0.5, "null", "undefined", 0.1]]
