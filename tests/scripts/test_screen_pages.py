"""Every page, drawn."""

import io
from typing import Any

import pytest
from nervenet.nodes.monitoring.run_view import RunView
from nervenet.nodes.monitoring.screen import HELP_LEAVE, Screen
from nervenet.scripts.event_lines import MOST, EventLines, log_line
from nervenet.scripts.screen_pages import Shown, draw
from rich.console import Console

HEAD = {"run": "r", "role": "peer", "incarnation": 1, "seq": 1, "time": 100.0}


def shown(*events: dict[str, Any], nodes: int = 3) -> Shown:
    view, lines = RunView(run="r"), EventLines()
    began = {
        "type": "run.started",
        "node": "launcher",
        "role": "launcher",
        "mode": "gossip",
        "data": "iris",
        "rounds": 9,
    }
    ready = ({"type": "node.ready", "node": f"peer-{i}"} for i in range(nodes))
    for event in ({**began, "nodes": nodes, "model": "mlp"}, *ready, *events):
        view.update({**HEAD, **event})
        lines.update({**HEAD, **event})
    return Shown(view, lines, 101.0)


def drawn(what: Shown, *keys: str, width: int = 100, height: int = 20, screen: Screen | None = None) -> str:
    screen = screen or Screen()
    console = Console(file=io.StringIO(), width=width)
    console.print(draw(screen, what, width, height))
    for key in keys:
        screen.key(key)
    file = console.file = io.StringIO()
    console.print(draw(screen, what, width, height, keys=HELP_LEAVE, playing="speed 2"))
    return file.getvalue()


def test_nodes_are_a_table_that_says_how_it_is_sorted_and_what_is_beyond_it() -> None:
    text = drawn(
        shown(
            {"type": "node.lost", "node": "launcher", "role": "launcher", "subject": "peer-1", "reason": "x"}, nodes=300
        ),
        "s",
        "s",
    )
    assert "round ▲" in text
    assert "of 300 nodes" in text
    assert "lost: peer-1" in text
    assert "speed 2" in text
    assert text.startswith("gossip · iris · mlp  round 0/9")
    assert len(text.splitlines()) <= 20


@pytest.mark.parametrize("height", [3, 5, 24])
@pytest.mark.parametrize("width", [20, 80])
@pytest.mark.parametrize("keys", ["", "f", "l", "?", "\r", "/x"])
def test_every_page_fits_the_terminal(keys: str, width: int, height: int) -> None:
    warned = [{"type": "warning", "node": "peer-0", "reason": f"{i} {'long ' * 50}"} for i in range(50)]
    text = drawn(shown(*warned, nodes=40), *(key.replace("\r", "enter") for key in keys), width=width, height=height)
    assert len(text.splitlines()) <= max(height, 8)


def test_one_node_has_its_figures_and_what_happened_to_it() -> None:
    events = [{"type": "node.suspect", "node": "peer-1", "subject": "peer-0", "reason": "silent"}]
    text = drawn(shown({"type": "metric.local", "node": "peer-0", "round": 2, "loss": 0.25}, *events), "enter")
    assert "role          peer" in text
    assert "state         suspect" in text
    assert "peer-0 is suspected: silent" in text


def test_the_feed_is_of_sentences_and_the_log_of_events() -> None:
    what = shown({"type": "metric.local", "node": "peer-0", "round": 2, "loss": 0.25, "sketch": [1.0] * 64})
    assert "a run began: gossip, iris, 3 peers" in drawn(what, "f")
    assert "peer-0 metric.local round 2 loss=0.25 sketch=[64]" in drawn(what, "l")
    assert "metric.local" not in drawn(what, "l", "/", *"ready", "enter")
    assert "nothing contains that" in drawn(what, "l", "/", *"zzz", "enter")


def test_help_names_every_key() -> None:
    text = drawn(shown(), "?")
    assert "filter: nodes and lines that contain this" in text
    assert "q Ctrl-C" in text


def test_what_is_dropped_is_counted() -> None:
    lines = EventLines()
    for i in range(MOST + 5):
        lines.update({**HEAD, "type": "warning", "node": "peer-0", "reason": str(i)})
    assert lines.dropped("log") == lines.dropped("feed") == 5
    assert lines.log()[0].endswith("reason=5")


def test_what_an_event_holds_is_text_on_every_page() -> None:
    evil = "[red]\x1b]0;x\x07\n" + "n" * 3000
    what = shown(
        {"type": "node.ready", "node": evil},
        {"type": "warning", "node": evil, "reason": "[/bold]\x1b[2J", "more": {"a": [1] * 9}, "time": 2.0**53},
        {"type": "metric.local", "node": evil, "round": 2**53, "loss": 1e308},
        {"type": evil, "node": evil, "x": 10**30},
        {},
    )
    for keys in ("", "f", "l", "?", "s"):
        text = drawn(what, *keys)
        assert "\x1b" not in text
        assert "\x07" not in text
    screen = Screen()
    while screen.chosen != evil:
        text = drawn(what, "down", screen=screen)
    assert "\x1b" not in drawn(what, "enter", screen=screen)
    assert log_line({}).startswith("--:--:-- None None")
