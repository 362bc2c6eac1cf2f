"""Who may say what to whom: the roles between which each kind of message travels, and who may dial whom. Pure.

docs/protocol.md, section 12, has the table. What depends on the run, its phase or the node named in a message is
decided where that is known: by the directory, the machines and the launcher's report server.
"""

from __future__ import annotations

from . import messages as m

SERVICES = frozenset({"launcher", "broker", "baseline", "stream"})
"""Names of what is no node of a run."""

_CLIENTS = ("client", "aggregator")
_UP = frozenset((client, "coordinator") for client in _CLIENTS)
_DOWN = frozenset(("coordinator", client) for client in _CLIENTS)
_PEERS = frozenset({("peer", "peer")})
_REPORTING = ("coordinator", "peer", "broker", "baseline", *_CLIENTS)
_REPORTS = frozenset((role, "launcher") for role in _REPORTING)
_ANSWERS = frozenset(("launcher", role) for role in _REPORTING)
_HOSTS = frozenset({("host", "host")})
_ANY = _UP | _DOWN | _PEERS | _REPORTS | _ANSWERS | _HOSTS
_NOBODY: frozenset[tuple[str, str]] = frozenset()

BETWEEN: dict[type[m.Message], frozenset[tuple[str, str]]] = {
    m.Hello: _ANY,
    m.Refused: _ANY,
    m.SharedMemoryOffer: _ANY,
    m.Heartbeat: _UP | _DOWN | _PEERS,
    m.Goodbye: _UP | _DOWN | _PEERS,
    m.Report: _REPORTS,
    m.Receipt: _ANSWERS | _PEERS,
    m.Carried: _HOSTS,
    m.CarriedBulk: _HOSTS,
    m.Departed: _ANY - _HOSTS,
    m.Ready: _UP,
    m.Update: _UP,
    m.Declined: _UP,
    m.Task: _DOWN,
    m.GetChunk: _UP | _DOWN | _PEERS,
    m.Chunk: _UP | _DOWN | _PEERS,
    **dict.fromkeys(
        (
            *(m.PeerSurvey, m.PeerSurveys, m.CatchUp, m.Exchange, m.Propose, m.Accept, m.Decision, m.QueryDecision),
            *(m.ReduceReady, m.ReduceCall, m.ReducePart, m.ReducedPart),
            *(m.Walk, m.GetModel, m.Model, m.Announcement, m.Fetched),
            *(m.Ping, m.Ack, m.Gossip, m.Shuffle, m.Edge, m.GetPeers, m.Peers),
        ),
        _PEERS,
    ),
    # Requests to a broker and its answers have a connection of their own, and are never said between nodes.
    **{kind: _NOBODY for kind in m.BY_TAG.values() if kind.lane is m.Lane.DIRECTORY},
}
"""By kind of message, the pairs (role of the sender, role of the receiver)."""

ROLES = frozenset(role for pair in _ANY for role in pair)


def wrong_pair(kind: type[m.Message], sender: str, receiver: str) -> str | None:
    """Return why a node of one role may not send a kind of message to one of another, or None.

    A receiver of a role that no run has is one of a test or of another program, which decides for itself.
    """
    if receiver not in ROLES or (sender, receiver) in BETWEEN[kind]:
        return None
    may = sorted({one for one, other in BETWEEN[kind] if other == receiver})
    return f"{m.tag_of(kind)} came from a {sender}; a {receiver} takes it from {' or '.join(may) or 'nobody'}"


def wrong_caller(node: str, role: str, receiver: str) -> str | None:
    """Return why a node of a name and role may not introduce itself to one of another role, or None."""
    if node in SERVICES and (receiver != "launcher" or role != node):
        return f"{node} is the name of a service, and no {role}"
    return wrong_pair(m.Hello, role, receiver)
