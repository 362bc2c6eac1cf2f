"""What happened, in sentences: the lines that somebody who looks should read."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from ..monitoring.notices import notice
from .text import number, short

MOST = 200  # lines

Line = dict[str, Any]
_KINDS = {
    "gap": "warn",
    "malformed": "warn",
    "node.suspect": "warn",
    "node.lost": "bad",
    "round.failed": "warn",
    "update.rejected": "warn",
    "site.declined": "warn",
    "run.stopping": "good",
    "run.failed": "bad",
    "warning": "warn",
    "connection.refused": "warn",
}


class Feed:
    """The last `MOST` lines; `new` are those since it was cleared."""

    def __init__(self) -> None:
        self.lines: deque[Line] = deque(maxlen=MOST)
        self.new: deque[Line] = deque(maxlen=MOST)

    def update(self, event: Mapping[str, Any]) -> None:
        said = _said(event)
        if said is None:
            return
        text, kind = said
        line = {"time": number(event.get("time")), "text": short(text), "kind": kind}
        line["node"] = short(event.get("subject") or event.get("node") or "")
        if self.lines and all(self.lines[-1][key] == line[key] for key in ("text", "kind", "node")):
            return  # several may say the same of one node
        self.lines.append(line)
        self.new.append(line)


def _said(event: Mapping[str, Any]) -> tuple[str, str] | None:
    kind, node, reason = str(event.get("type")), event.get("node"), event.get("reason")
    match kind:
        case "run.started":
            nodes = "clients" if event.get("mode") == "federated" else "peers"
            text = f"a run began: {event.get('mode')}, {event.get('data')}, {event.get('nodes')} {nodes}"
            return f"{text}, {event.get('rounds')} rounds", "info"
        case "node.joined":
            return f"{node} has joined", "info"
        case "node.ready" if event.get("subject") is not None:
            return f"{event.get('subject')} is alive again: {reason}", "good"
        case "node.left" if event.get("subject") is None and event.get("role") != "launcher":
            return f"{node} has left: {reason}", "info"
        case "node.waiting":
            return f"{node} waits for {reason}", "info"
        case "round.completed" if event.get("round") == 0 and event.get("role") == "coordinator":
            return "all sites have agreed on columns, classes and scaling", "good"
        case "run.completed":
            stopped = f", {reason}" if reason else ""
            return f"the run has completed {event.get('completed_rounds')} rounds{stopped}", "good"
    said = notice(event) if kind in _KINDS else None
    return None if said is None else (said, _KINDS[kind])
