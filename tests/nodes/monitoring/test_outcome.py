"""How a run came out, in lines."""

from typing import Any

import pytest
from nervenet.nodes.monitoring.outcome import MOST, Outcome
from nervenet.nodes.monitoring.run_view import RunView


def told(*events: dict[str, Any], files: str = "") -> list[str]:
    outcome, view = Outcome(), RunView(run="r", rounds=5)
    head = {"run": "r", "node": "launcher", "role": "launcher", "incarnation": 1, "seq": 1, "time": 1.0}
    for event in events:
        outcome.update({**head, **event})
        view.update({**head, **event})
    return outcome.lines(view, files)


@pytest.mark.parametrize(
    ("end", "line"),
    [
        ({"type": "run.completed", "completed_rounds": 5, "accuracy": 0.9}, "succeeded: 5 of 5 rounds, accuracy 0.900"),
        ({"type": "run.failed", "reason": "too few"}, "failed after 0 of 5 rounds: too few"),
        (
            {"type": "run.failed", "reason": "interrupted by Ctrl-C", "status": "interrupted"},
            "aborted after 0 of 5 rounds: interrupted by Ctrl-C",
        ),
        ({"type": "round.started", "round": 1}, "not known how it ends: 0 of 5 rounds so far"),
    ],
)
def test_the_first_line_is_how_it_ended(end: dict[str, Any], line: str) -> None:
    assert told(end, files="runs/a") == [line, "  files     runs/a"]


def test_who_was_lost_whose_error_it_was_and_whose_updates_were_refused() -> None:
    lines = told(
        {"type": "node.lost", "subject": "client-1", "reason": "killed by SIGKILL"},
        {"type": "node.lost", "subject": "client-2", "reason": "it will be back"},
        {"type": "node.ready", "node": "client-2", "role": "client"},
        {"type": "run.failed", "node": "peer-3", "role": "peer", "reason": "ValueError: no"},
        {"type": "update.rejected", "subject": "client-4", "reason": "NaN", "round": 1},
        {"type": "update.rejected", "subject": "client-4", "reason": "Inf", "round": 2},
        {
            "type": "site.declined",
            "node": "coordinator",
            "role": "coordinator",
            "subject": "site-5",
            "reason": "few rows",
        },
    )
    assert lines[1:] == [
        "  lost      client-1: killed by SIGKILL (docs/errors.md#node-lost)",
        "  failed    peer-3: ValueError: no",
        "  declined  site-5: few rows",
        "  rejected  client-4: 2 updates, the last: Inf",
    ]


def test_of_many_the_first_have_a_line_each() -> None:
    lines = told(*({"type": "node.lost", "subject": f"p{i:02}", "reason": "x"} for i in range(MOST + 2)))
    assert len(lines) == 1 + MOST + 1
    assert lines[-1] == "  lost      and p10, p11"


def test_what_an_event_holds_is_text() -> None:
    lines = told(
        {"type": "node.lost", "subject": "\x1b[2J[red]", "reason": "a\nb"}, {"type": "node.lost"}, files="\x1b"
    )
    assert lines[1].startswith("  lost      \\x1b[2J[red]: a\\nb")
    assert lines[-1] == "  files     \\x1b"


def test_of_no_run_nothing_is_told() -> None:
    assert Outcome().lines(RunView()) == []
