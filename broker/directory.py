"""The directory of runs: members, addresses, leases; pure, so that every rule can be tested by a call.

`Directory.handle` takes a request, `Directory.tick` the passing of time; both take ``now`` (seconds, any origin) and
return the replies to send and the events to publish. A node publishes itself that it joined and left; the directory
publishes what a node cannot, that it became silent. docs/protocol.md, section 7.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any

import msgspec

from . import messages as m
from .authority import SERVICES
from .enrollment import BROKER, OPEN, Enrollment
from .limits import allowed
from .terms import differing

ROLES = frozenset({"client", "aggregator", "coordinator", "peer", "launcher"})
_PLACES = {"federated": ROLES - {"peer"}, "gossip": frozenset({"peer", "launcher"})}
_UNCOUNTED = frozenset({"coordinator", "launcher"})  # roles that do not count toward min_nodes
_DEADLINE = "network.join_deadline_s"  # by which a node's owner knows the deadline to join
_LONGEST_POLL_S = 60.0
_FORGET_S = 60.0  # for which a run without live members is remembered


@dataclass(frozen=True, slots=True)
class Reply:
    identity: bytes
    message: m.Message


Outcome = Reply | dict[str, Any]
"""A reply, or the fields of an event (``type``, ``run`` and those of the type)."""


@dataclass(slots=True)
class _Entry:
    join: m.Join  # without its shared configuration, which is the run's
    identity: bytes  # of the connection by which it was last heard
    joined: float
    seen: float  # from when its lease counts
    heard: float  # its last sign of life, however long this process has slept since
    state: str = "alive"

    def member(self) -> m.Member:
        join = self.join
        return m.Member(join.node, join.role, join.incarnation, join.pid, join.addresses, self.state)  # type: ignore[arg-type]


@dataclass(slots=True)
class _Poll:
    identity: bytes
    request: m.GetRoster
    until: float


@dataclass(slots=True)
class _Run:
    name: str
    terms: bytes  # its shared configuration, encoded: decoded, it takes 30 times as much
    min_nodes: int
    join_deadline_s: float
    opened: float
    version: int = 0
    failure: str | None = None
    ended: float | None = None
    entries: dict[str, _Entry] = field(default_factory=dict)
    founders: dict[str, int] = field(default_factory=dict)
    polls: list[_Poll] = field(default_factory=list)

    @property
    def shared_config(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.msgpack.decode(self.terms)
        return found

    def living(self) -> list[str]:
        return sorted(name for name, entry in self.entries.items() if entry.state != "dead")

    def counted(self) -> list[str]:
        return [name for name in self.living() if self.entries[name].join.role not in _UNCOUNTED]

    def lacks_coordinator(self) -> bool:
        roles = {self.entries[name].join.role for name in self.living()}
        return self.shared_config.get("mode") == "federated" and "coordinator" not in roles

    def misplaced(self, join: m.Join) -> str | None:
        """Return why a node has no place in this run in its role, or None."""
        places = _PLACES.get(str(self.shared_config.get("mode")), ROLES)
        if join.role not in places:
            return f"{join.node} joins run '{self.name}' as {join.role}; its members are {', '.join(sorted(places))}"
        known = self.entries.get(join.node)
        if known is not None and known.state != "dead" and known.join.role != join.role:
            return f"{join.node} is the {known.join.role} of run '{self.name}', and joins as {join.role}"
        there = [name for name in self.living() if self.entries[name].join.role == "coordinator" and name != join.node]
        if join.role == "coordinator" and there:
            return f"run '{self.name}' has a coordinator, {there[0]}, and takes no second one"
        return None

    def complete(self) -> bool:
        return len(self.counted()) >= self.min_nodes and not self.lacks_coordinator()

    def shortfall(self, within: str = "") -> str:
        present = self.counted()
        names = ", ".join(present) or "none"
        missing = "; no coordinator" if self.lacks_coordinator() else ""
        return f"{len(present)} of {self.min_nodes} nodes joined{within}: {names}{missing}"

    def late(self) -> str:
        return "no newer roster yet" if self.version else self.shortfall()

    def tell(self, *asked: tuple[bytes, m.GetRoster]) -> list[Reply]:
        """Return who is here, to each that has asked: the same members, and not as many times as there are.

        The run's terms are for its members alone, as they were last heard.
        """
        members = tuple(self.entries[name].member() for name in sorted(self.entries))
        inside = {entry.identity for entry in self.entries.values()}
        terms, none = self.shared_config, dict[str, Any]()
        founders = dict(self.founders)
        return [
            Reply(
                identity,
                m.Roster(request.id, self.name, self.version, terms if identity in inside else none, members, founders),
            )
            for identity, request in asked
        ]


class Directory:
    """The runs of one broker.

    A node that has not renewed for ``lease_s`` seconds is suspect, and dead after three times as long; a shorter lease
    detects failures faster, with more false positives.
    """

    def __init__(self, events_in: str, events_out: str, *, lease_s: float = 5.0, enrollment: Enrollment = OPEN) -> None:
        self.events_in = events_in
        self.events_out = events_out
        self.lease_s = lease_s
        self._enrollment = enrollment
        self._runs: dict[str, _Run] = {}

    @property
    def runs(self) -> int:
        """How many runs have live members."""
        return sum(bool(run.living()) for run in self._runs.values())

    def handle(self, identity: bytes, message: m.Message, now: float) -> list[Outcome]:
        match message:
            case m.Join():
                return self._join(identity, message, now)
            case m.RenewLease() | m.Leave():
                entry = self._entry(message)
                if isinstance(entry, m.Failed):
                    return [Reply(identity, entry)]
                entry.identity = identity
                if isinstance(message, m.RenewLease):
                    entry.seen, entry.heard, entry.state = now, now, "alive"
                    return [Reply(identity, m.Ok(message.id))]
                run = self._runs[message.run]
                del run.entries[message.node]
                return [Reply(identity, m.Ok(message.id)), *self._changed(run, now)]
            case m.GetRoster(run=name):
                return self._ask_roster(identity, message, self._runs.get(name), now)
            case m.GetEventAddresses(id=id_):
                return [Reply(identity, m.EventAddresses(id_, self.events_in, self.events_out))]
            case _:
                return [
                    Reply(identity, m.Failed(getattr(message, "id", 0), "unknown", "a directory does not answer that"))
                ]

    def has_begun(self, run: str) -> bool:
        """Return whether the members of a run have joined it."""
        return run in self._runs and self._runs[run].version > 0

    def expel(self, name: str, now: float) -> list[Outcome]:
        """Hold a node for dead in every run, because its key is no longer allowed."""
        outcomes: list[Outcome] = []
        for run in self._runs.values():
            entry = run.entries.get(name)
            if entry is None or entry.state == "dead":
                continue
            entry.state = "dead"
            reason = f"the key of {name} is no longer allowed at the broker"
            outcomes.append({"type": "node.lost", "run": run.name, "subject": name, "reason": reason})
            if run.version == 0:  # it was never in a roster
                del run.entries[name]
            outcomes += self._changed(run, now)
        return outcomes

    def tick(self, now: float) -> list[Outcome]:
        """Return what has become due: lapsed leases, missed join deadlines, expired polls; forget ended runs."""
        outcomes: list[Outcome] = []
        for run in list(self._runs.values()):
            outcomes += self._lapse(run, now)
            if run.version == 0 and run.failure is None and now >= run.opened + run.join_deadline_s:
                run.failure = run.shortfall(f" within {run.join_deadline_s:g} s ({_DEADLINE})")
                outcomes += [Reply(p.identity, m.Failed(p.request.id, "incomplete", run.failure)) for p in run.polls]
                run.polls.clear()
            late = [poll for poll in run.polls if now >= poll.until]
            run.polls = [poll for poll in run.polls if now < poll.until]
            outcomes += [Reply(p.identity, m.Failed(p.request.id, "late", run.late())) for p in late]
            if run.ended is not None and now >= run.ended + _FORGET_S:
                del self._runs[run.name]
                gone = f"run '{run.name}' has ended"
                outcomes += [Reply(p.identity, m.Failed(p.request.id, "unknown", gone)) for p in run.polls]
        return outcomes

    def extend_deadlines(self, slept_s: float, now: float) -> None:
        """Extend all leases and deadlines by the time for which this process was stopped, up to having begun now."""
        for run in self._runs.values():
            run.opened = min(now, run.opened + slept_s)
            for entry in run.entries.values():
                entry.seen = min(now, entry.seen + slept_s)

    def _join(self, identity: bytes, join: m.Join, now: float) -> list[Outcome]:
        run = self._runs.get(join.run)
        refusal = self._not_admitted(join, run)
        if refusal is not None:
            return [Reply(identity, refusal)]
        if run is None or not run.living():
            waiting = run.polls if run is not None else []
            terms = msgspec.msgpack.encode(join.shared_config)
            if (over := self._no_room(join, len(terms))) is not None:
                return [Reply(identity, over)]
            run = _Run(join.run, terms, join.min_nodes, join.join_deadline_s, now, polls=waiting)
            self._runs[join.run] = run
        refusal = self._refusal(run, join) or self._claim(run, join, now) or self._crowded(run, join, identity)
        if refusal is not None:
            return [Reply(identity, refusal)]
        if join.role == "coordinator":
            # One that resumes a run knows better than its clients how many are needed by now.
            run.min_nodes = min(run.min_nodes, join.min_nodes)
        known = run.entries.get(join.node)
        again = known is not None and known.join.incarnation == join.incarnation and known.state != "dead"
        entered = msgspec.structs.replace(join, shared_config={})
        run.entries[join.node] = _Entry(entered, identity, known.joined if again and known else now, now, now)
        outcomes = [] if again else self._changed(run, now)
        reply = m.Joined(join.id, self.events_in, self.events_out, self.lease_s, run.version)
        return [Reply(identity, reply), *outcomes]

    def _refusal(self, run: _Run, join: m.Join) -> m.Failed | None:
        same = msgspec.msgpack.encode(join.shared_config) == run.terms
        others = "" if same else differing(run.shared_config, join.shared_config)
        if others:
            reason = f"run '{run.name}' was opened with other terms than {join.node} brings: {others}"
            return m.Failed(join.id, "config", f"{reason}; who opened it has the experiment")
        known = run.entries.get(join.node)
        if known is not None and join.incarnation < known.join.incarnation:
            return _superseded(join, known.join)
        if run.failure is not None:
            return m.Failed(join.id, "incomplete", f"run '{run.name}' failed to start: {run.failure}")
        return None

    def _not_admitted(self, join: m.Join, run: _Run | None) -> m.Failed | None:
        """Return why a node may not be of a run, whoever else is: its name, its role, its proof; None if it may."""
        reason = self._enrollment.refusal(join.run, join.node, join.role, join.incarnation, join.secret, BROKER)
        if reason is None and (join.node in SERVICES or join.role not in ROLES):
            reason = f"{join.node} joins as {join.role}; the members of a run are {', '.join(sorted(ROLES))}"
        if reason is None and run is not None and run.living():
            reason = run.misplaced(join)
            known = run.entries.get(join.node)
            same = known is not None and known.join.incarnation == join.incarnation and known.state != "dead"
            if reason is None and same and known is not None and not _same(known.join.secret, join.secret):
                reason = f"the lease of {join.node} in run '{join.run}' is that of another process"
        return None if reason is None else m.Failed(join.id, "identity", reason)

    def _claim(self, run: _Run, join: m.Join, now: float) -> m.Failed | None:
        """Refuse a name whose node renewed since the newcomer began to wait; until its lease is over, let it wait."""
        known = run.entries.get(join.node)
        if known is None or join.replace or join.incarnation == known.join.incarnation:
            return None
        left_s = self.lease_s - (now - known.seen)
        if left_s <= 0:
            return None
        who = f"{_whereabouts(known.join)}, joined {now - known.joined:.0f} s ago"
        if now - known.heard < join.waited_s:
            reason = f"the name {join.node} is taken in run '{run.name}' by a node that answers ({who})"
            return m.Failed(join.id, "taken", f"{reason}: choose another --name, or end that node by --replace")
        reason = f"the name {join.node} is held in run '{run.name}' ({who}, last heard {now - known.heard:.1f} s ago)"
        return m.Failed(join.id, "held", f"{reason}: it is free in {left_s:.1f} s unless that node still answers")

    def _no_room(self, join: m.Join, nbytes: int) -> m.Failed | None:
        """Refuse a run beyond the limits."""
        others = [run for name, run in self._runs.items() if name != join.run]
        found = "the broker has {} already; it takes {:,} of them at once"
        if len(others) >= allowed("runs"):
            return m.Failed(join.id, "limit", found.format(f"{len(others):,} runs", allowed("runs")))
        held = sum(len(run.terms) for run in others)
        if held + nbytes > allowed("terms_bytes"):
            what = f"{held:,} bytes of shared configurations, and this run brings {nbytes:,}"
            return m.Failed(join.id, "limit", found.format(what, allowed("terms_bytes")))
        return None

    def _crowded(self, run: _Run, join: m.Join, identity: bytes) -> m.Failed | None:
        """Refuse a member beyond the limits."""
        if join.node in run.entries:
            return None
        members = sum(len(each.entries) for each in self._runs.values())
        if members >= allowed("members"):
            found = f"the broker has {members:,} members of runs already; it takes {allowed('members'):,}"
            return m.Failed(join.id, "limit", found)
        entries = (entry for each in self._runs.values() for entry in each.entries.values())
        if sum(entry.identity == identity for entry in entries) >= allowed("memberships"):
            most = allowed("memberships")
            return m.Failed(join.id, "limit", f"{most} nodes have joined by this connection; each has one of its own")
        return None

    def _entry(self, message: m.RenewLease | m.Leave) -> _Entry | m.Failed:
        run = self._runs.get(message.run)
        entry = run.entries.get(message.node) if run is not None else None
        if entry is None or entry.state == "dead" or message.incarnation > entry.join.incarnation:
            return m.Failed(message.id, "unknown", f"{message.node} is not in run '{message.run}'")
        if message.incarnation != entry.join.incarnation:
            return _superseded(message, entry.join)
        if not _same(entry.join.secret, message.secret):
            return m.Failed(message.id, "identity", f"the lease of {message.node} is that of another process")
        return entry

    def _ask_roster(self, identity: bytes, request: m.GetRoster, run: _Run | None, now: float) -> list[Outcome]:
        if run is None:
            return [Reply(identity, m.Failed(request.id, "unknown", f"there is no run '{request.run}'"))]
        if run.version > request.newer_than:
            return list(run.tell((identity, request)))
        if run.failure is not None:
            return [Reply(identity, m.Failed(request.id, "incomplete", run.failure))]
        if sum(poll.identity == identity for each in self._runs.values() for poll in each.polls) >= allowed("polls"):
            most = f"this connection has {allowed('polls')} open requests for rosters; answers come in their turn"
            return [Reply(identity, m.Failed(request.id, "limit", most))]
        run.polls.append(_Poll(identity, request, now + min(request.deadline_s, _LONGEST_POLL_S)))
        return []

    def _changed(self, run: _Run, now: float) -> list[Outcome]:
        run.ended = None if run.living() else now
        if run.failure is not None or (run.version == 0 and not run.complete()):
            return []
        run.version += 1
        if run.version == 1:
            run.founders = {name: run.entries[name].join.incarnation for name in run.living()}
        ready = [poll for poll in run.polls if run.version > poll.request.newer_than]
        run.polls = [poll for poll in run.polls if run.version <= poll.request.newer_than]
        return list(run.tell(*[(poll.identity, poll.request) for poll in ready])) if ready else []

    def _lapse(self, run: _Run, now: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        lost = False
        for name in sorted(run.entries):
            entry = run.entries[name]
            silent_s = now - entry.seen
            event = {"run": run.name, "subject": name, "reason": f"no sign of life for {silent_s:.1f} s"}
            if entry.state == "alive" and silent_s >= self.lease_s:
                entry.state = "suspect"
                outcomes.append({"type": "node.suspect"} | event)
            if entry.state == "suspect" and silent_s >= 3 * self.lease_s:
                entry.state = "dead"
                lost = True
                outcomes.append({"type": "node.lost"} | event)
                if run.version == 0:  # it was never in a roster
                    del run.entries[name]
        return outcomes + self._changed(run, now) if lost else outcomes


def _whereabouts(join: m.Join) -> str:
    return " at ".join([f"pid {join.pid}", *list(join.addresses.values())[:1]])


def _superseded(message: m.Join | m.RenewLease | m.Leave, newest: m.Join) -> m.Failed:
    reason = f"{message.node} of run '{message.run}' has been started again since, and has the name now"
    return m.Failed(message.id, "stale", f"{reason} ({_whereabouts(newest)})", newest.incarnation)


def _same(secret: str, other: str) -> bool:
    return hmac.compare_digest(secret.encode(errors="replace"), other.encode(errors="replace"))
