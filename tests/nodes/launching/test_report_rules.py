"""What a launcher takes of whom: the reports of its own nodes, each of what it has to say, once."""

from __future__ import annotations

from typing import Any

import pytest
from nervenet.broker import transport as t
from nervenet.broker.messages import Receipt, Refused, Report
from nervenet.nodes.launching.report_rules import ReportRules
from nervenet.nodes.launching.report_server import ReportServer

ROLES = {"broker": "broker", "baseline": "baseline", "coordinator": "coordinator", "a": "client", "b": "client"}


@pytest.mark.parametrize(
    ("node", "kind", "fields", "why"),
    [
        ("mallory", "result", {}, "is not of this run"),
        ("a", "best", {}, "which is for coordinator"),
        ("a", "counts", {"site": "b"}, "which is for coordinator"),
        ("broker", "result", {}, "it is a broker"),
        ("baseline", "ready", {}, "it is a baseline"),
        ("coordinator", "counts", {"site": "nowhere"}, "which is no site of this run"),
        ("coordinator", "counts", {}, "which is no site of this run"),
    ],
)
def test_a_report_that_is_not_its_senders_business_is_not_taken(
    node: str, kind: str, fields: dict[str, Any], why: str
) -> None:
    refusal = ReportRules(ROLES).refusal(node, kind, fields)
    assert refusal is not None
    assert why in refusal


def test_each_is_taken_once_and_nothing_after_the_result() -> None:
    rules = ReportRules(ROLES)
    said: list[tuple[str, dict[str, Any]]] = [("ready", {}), ("rounds", {}), ("rounds", {}), ("best", {})]
    said += [("counts", {"site": "a"}), ("counts", {"site": "b"})]
    assert [rules.refusal("coordinator", kind, fields) for kind, fields in said] == [None] * 6
    assert "a second time" in (rules.refusal("coordinator", "best", {}) or "")
    assert "a second time" in (rules.refusal("coordinator", "counts", {"site": "a"}) or "")
    assert rules.refusal("coordinator", "result", {}) is None
    assert "after its result" in (rules.refusal("coordinator", "result", {}) or "")
    assert rules.refusal("a", "result", {}) is None, "which is another's"
    rules.started("coordinator")
    assert rules.refusal("coordinator", "result", {}) is None, "of its next process"


async def reported(roles: dict[str, str]) -> tuple[list[str], list[str], list[Any]]:
    """Who was believed to have a result, who was refused, and what was answered."""
    believed, refused, answers = list[str](), list[str](), list[Any]()
    server = ReportServer(
        "r",
        "tcp://127.0.0.1:*",
        lambda node, *_: believed.append(node),
        max_message_bytes=10**6,
        on_refused=lambda refusal: refused.append(refusal.name),
        roles=roles,
    )
    server.transport.send = lambda _to, message, *_: answers.append(message)  # type: ignore[method-assign]
    for name in ("a", "mallory"):
        server._receive(server.transport, t.LinkUp(name, "client", 5, False))
        server._receive(server.transport, t.Arrival(name, Report("result", 1, {}), None, 9))
    return believed, refused, answers


async def test_a_stranger_reports_for_nobody_and_hears_why() -> None:
    believed, refused, answers = await reported(ROLES)
    assert (believed, refused) == (["a"], ["mallory"])
    assert answers[0] == Receipt(1)
    assert isinstance(answers[1], Refused)
    assert (answers[1].about, answers[1].code) == ("report", "identity")


async def test_without_rules_everybody_was_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReportRules, "refusal", lambda *_: None)
    believed, _, _ = await reported(ROLES)
    assert believed == ["a", "mallory"]
