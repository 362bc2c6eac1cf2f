"""Members that neither come nor go: what tests give to a peer's machine in place of the membership service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import inf
from typing import Any

from nervenet.nodes.config.schema import EvaluationConfig, Timing
from nervenet.nodes.gossip.membership.member_list import Change
from nervenet.nodes.gossip.neighborhood import Neighborhood
from nervenet.nodes.gossip.round_machine import PeerMachine, PeerRules
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.failure_detector import FailureDetector
from nervenet.nodes.topology import Schedule


class StaticMembership:
    """Suspects whoever has lost its connection, or has been silent for `suspect_after_s`, until it is heard again."""

    late = False
    missing: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    count = 1_000_000  # nobody is waited for

    def __init__(
        self, name: str, schedule: Schedule, mixing: str, *, doubly: bool, suspect_after_s: float = inf
    ) -> None:
        self.neighborhood = Neighborhood(name, schedule, mixing, doubly=doubly)
        self.fixed = schedule.fixed
        self.members: tuple[str, ...] = ()
        self.until = 0
        self.gathering = True
        self._detector = FailureDetector(suspect_after_s, inf)

    def handle(self, event: ev.Event, now: float) -> list[e.Effect | Change]:
        match event:
            case ev.LinkUp(peer):
                self._detector.watch(peer, now)
            case ev.Arrived(sender):
                self._detector.heard(sender, now)
            case ev.LinkLost(peer, reason) if self._detector.suspect(peer):
                return [Change(peer, "suspect", 0, {}, reason)]
            case ev.TimerFired(("pulse",), due):
                self._detector.extend_deadlines(max(0.0, now - due), now)
                silent = self._detector.review(now).suspected
                return [Change(peer, "suspect", 0, {}, f"silent for {s:.1f} s") for peer, s in silent.items()]
        return []

    def only_heard(self, event: ev.Event, now: float) -> bool:
        return False

    def gathered(self) -> None:
        self.gathering = False

    def open(self, number: int) -> list[e.Effect]:
        return []

    def expects(self, peer: str, number: int, *, later: bool) -> bool:
        return peer in self.neighborhood.sources(number)

    def go_back(self, number: int) -> list[e.Effect]:
        return []

    def cut_off(self, number: int) -> bool:
        return False

    def missed(self, peer: str) -> list[e.Effect]:
        return []

    def outdated(self, peer: str, number: int) -> list[e.Effect]:
        return []

    def begin(self, number: int) -> list[e.Effect]:
        return []


def tables(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `PeerRules` with durations and intervals in the tables they belong to."""
    timing = {key: value for key, value in rules.items() if key in {f.name for f in fields(Timing)}}
    every = {"every": rules["evaluate_every"]} if "evaluate_every" in rules else {}
    others = {key: value for key, value in rules.items() if key not in timing and key != "evaluate_every"}
    return {"timing": Timing(**timing), "evaluation": EvaluationConfig(**every), **others}


def static_peer(
    name: str,
    members: Any,
    schedule: Schedule,
    mixing: str = "metropolis-hastings",
    *,
    suspect_after_s: float = inf,
    **rules: Any,
) -> PeerMachine:
    """Return the machine of one peer among members that neither come nor go."""
    given = PeerRules(name, tuple(members), **tables(rules))
    doubly = given.needs.doubly
    membership = StaticMembership(name, schedule, mixing, doubly=doubly, suspect_after_s=suspect_after_s)
    return PeerMachine(given, membership)
