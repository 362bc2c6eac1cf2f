"""What the owner of a key may do; pure, so that every rule can be tested by a call.

A key has a name and roles. The name is the node's name in every run; the roles say which services it may connect to,
and as what it may speak there.
"""

from __future__ import annotations

ROLES = ("client", "peer", "coordinator", "aggregator", "monitor", "broker")
"""What a site allows a key as."""

OF_LAUNCH = ("launcher", "baseline")
"""And those of the other processes of ``nervenet launch``, whose keys it makes itself."""

_NODES = frozenset({"client", "peer", "coordinator", "aggregator", *OF_LAUNCH})

SERVICES: dict[str, frozenset[str]] = {
    "directory": _NODES | {"monitor"},
    "events_in": _NODES,
    "events_out": _NODES | {"monitor"},
    "inbox.coordinator": frozenset({"client", "aggregator"}),
    "inbox.peer": frozenset({"peer"}),
    "inbox.launcher": _NODES | {"broker"},
}
"""Which roles may connect to a service: a monitor watches, and nothing else."""

_MEMBERS = frozenset({"client", "peer", "coordinator", "aggregator", "launcher"})
"""Which roles may be of a run: a monitor's key neither fills a place nor opens a run."""

PUBLISHERS: dict[str, frozenset[str]] = {
    "run.started": frozenset({"coordinator", "launcher"}),
    "run.completed": frozenset({"coordinator", "launcher"}),
    "run.stopping": frozenset({"coordinator"}),
    "baseline.progress": frozenset({"baseline"}),
    "run.failed": frozenset({"coordinator", "launcher", "peer"}),
    "node.joined": frozenset({"aggregator", "client", "coordinator", "peer"}),
    "node.waiting": frozenset({"aggregator", "client", "coordinator", "peer"}),
    "node.ready": frozenset({"aggregator", "client", "coordinator", "peer"}),
    "node.suspect": frozenset({"aggregator", "client", "coordinator", "peer"}),
    "node.lost": frozenset({"aggregator", "client", "coordinator", "launcher", "peer"}),
    "node.left": frozenset({"aggregator", "client", "coordinator", "peer"}),
    "node.finished": frozenset({"aggregator", "client"}),
    "node.result": frozenset({"launcher"}),
    "round.started": frozenset({"coordinator", "peer"}),
    "round.progress": frozenset({"coordinator", "peer"}),
    "round.completed": frozenset({"coordinator", "peer"}),
    "round.failed": frozenset({"coordinator"}),
    "metric.test": frozenset({"coordinator", "peer"}),
    "metric.sites": frozenset({"coordinator"}),
    "metric.local": frozenset({"aggregator", "client", "peer"}),
    "metric.personal": frozenset({"client"}),
    "exchange.sent": frozenset({"peer"}),
    "exchange.received": frozenset({"peer"}),
    "update.rejected": frozenset({"aggregator", "client", "coordinator", "peer"}),
    "site.declined": frozenset({"aggregator", "client", "coordinator", "peer"}),
    "warning": frozenset({"aggregator", "client", "coordinator", "launcher", "peer"}),
    "connection.refused": frozenset({"aggregator", "client", "coordinator", "peer"}),
}
"""Which roles may publish an event, by its type, beside the broker; of other types any that may publish at all."""

VISITOR = "seeker-"
"""Begins the temporary name under which a peer asks who is in a run, before it joins it (docs/protocol.md, 6.8)."""


def wrong_role(service: str, roles: frozenset[str]) -> str | None:
    """Return why a key of these roles may not connect to a service, or None."""
    allowed = SERVICES.get(service, frozenset())
    if roles & allowed:
        return None
    return f"is allowed as {', '.join(sorted(roles))}; the {service} is for {', '.join(sorted(allowed))}"


def wrong_speaker(name: str, roles: frozenset[str], node: str, role: str) -> str | None:
    """Return why the owner of a key may not speak as a node of a name and role, or None."""
    if node != name:
        return f"the name {node} is not that of its key, which is {name}'s"
    if role not in roles:
        return f"{name} speaks as {role}; its key is allowed as {', '.join(sorted(roles))}"
    return None


def wrong_member(name: str, roles: frozenset[str], node: str, role: str) -> str | None:
    """Return why the owner of a key may not join a run as a node of a name and role, or None."""
    if role not in _MEMBERS:
        return f"{name} joins as {role}; the members of a run are {', '.join(sorted(_MEMBERS))}"
    return wrong_speaker(name, roles, node, role)


def wrong_publisher(name: str, roles: frozenset[str], event: str, node: str, role: str) -> str | None:
    """Return why the owner of a key may not publish an event of a type as a node of a name and role, or None."""
    reason = wrong_speaker(name, roles, node, role)
    if reason is None and role not in PUBLISHERS.get(event, {role}):
        return f"{name} publishes as {role}; it is for {', '.join(sorted(PUBLISHERS[event])) or 'the broker'}"
    return reason
