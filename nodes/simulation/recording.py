"""The events of a simulation: recorded in the run folder, and handed to whoever watches."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nervenet.broker.event_log import log_event

from ..launching.baselines import BASELINE
from ..launching.regions.plan import AGGREGATOR
from ..results.round_metrics import SUMMARY
from ..results.round_summaries import RoundSummaries
from ..results.run_dir import RunDir
from ..runtime.published import is_of_others
from .machines import VirtualNode
from .nodes import INCARNATION

Event = dict[str, Any]

WATCHED = 256  # nodes whose events are handed on: a table of more is read by nobody
WAITING = 4_096  # events that may wait for whoever watches, before the simulation waits for them
AT_MOST_S = 1.0  # and how long it does


class Recording:
    """Takes what happens, in the thread of the simulation, and hands it on to the loop of whoever has started it.

    Attributes
    ----------
    lost
        Why a node was lost, by name.
    first_round_at
        When the first round started, in Unix seconds; None before.
    last_round
        The last round that a coordinator has completed.
    """

    def __init__(
        self, run: str, run_dir: RunDir, every: int, watched: Collection[str], hand_on: Callable[[], object]
    ) -> None:
        self.lost: dict[str, str] = {}
        self.first_round_at: float | None = None
        self.last_round = 0
        self._run, self._run_dir = run, run_dir
        self._summaries = RoundSummaries(every)
        self._watched = frozenset(watched)
        self._seq: Counter[tuple[str, str]] = Counter()
        self._hand_on = hand_on
        self._waiting: deque[Event] = deque()
        self._taken = threading.Event()

    def published(self, node: VirtualNode, kind: str, fields: Mapping[str, Any]) -> None:
        if node.lower and not is_of_others(kind, fields):
            return  # of itself an aggregator says all as a client of the run above
        self._record(node.name, AGGREGATOR if node.lower else node.role, kind, fields)
        if kind == "round.started" and self.first_round_at is None:
            self.first_round_at = time.time()
        if kind == "round.completed" and node.role == "coordinator":
            self.last_round = int(fields["round"])

    def ended(self, node: VirtualNode, reason: str) -> None:
        if node.role == AGGREGATOR:
            return  # the half of it that is below ends with this one, and says by what
        self.lost[node.name] = reason
        self.publish("node.lost", subject=node.name, reason=reason)

    def publish(self, kind: str, **fields: Any) -> None:
        """Publish an event of the launcher, as which whoever has started the simulation counts."""
        self._record("launcher", "launcher", kind, fields)

    def publish_baseline(self, kind: str, **fields: Any) -> None:
        """Publish an event of the baselines, which a launch trains in a process of their own."""
        self._record(BASELINE, BASELINE, kind, fields)

    def write(self, line: Mapping[str, Any]) -> None:
        """Write the line of a whole round of all peers."""
        head = {"type": SUMMARY, "run": self._run, "node": "launcher", "role": "launcher", "incarnation": 0}
        self._seq["launcher", SUMMARY] += 1
        self._write([{**head, "seq": self._seq["launcher", SUMMARY], "time": time.time(), **line}])

    def begun(self, at: float) -> None:
        """Take note that the first round has begun."""
        self.first_round_at = at

    def watches(self, name: str) -> bool:
        return name in self._watched

    def show(self, node: str, role: str, kind: str, fields: Mapping[str, Any]) -> None:
        """Hand an event to whoever watches, without writing it: a line of all peers says the same."""
        if node in self._watched:
            self._hand(self._event(node, role, kind, fields))

    def rest(self) -> None:
        """Record what is still held: nothing more is to come."""
        self._write(self._summaries.rest())

    def take(self) -> list[Event]:
        """Return what waits; called by the loop."""
        found = []
        while self._waiting:
            found.append(self._waiting.popleft())
        self._taken.set()
        return found

    def _record(self, node: str, role: str, kind: str, fields: Mapping[str, Any]) -> None:
        event = self._event(node, role, kind, fields)
        self._write(self._summaries.take(event))
        if role not in ("client", "peer") or node in self._watched:
            self._hand(event)

    def _event(self, node: str, role: str, kind: str, fields: Mapping[str, Any]) -> Event:
        self._seq[node, kind] += 1
        head = {"type": kind, "run": self._run, "node": node, "role": role, "incarnation": INCARNATION}
        return log_event({**head, "seq": self._seq[node, kind], "time": time.time(), **fields})

    def _hand(self, event: Event) -> None:
        if len(self._waiting) >= WAITING:
            self._taken.clear()
            self._taken.wait(AT_MOST_S)
        self._waiting.append(event)
        if len(self._waiting) == 1:
            self._hand_on()

    def _write(self, lines: list[Mapping[str, Any]]) -> None:
        for line in lines:
            if refused := self._run_dir.record(line):
                self.publish("warning", reason=refused)
