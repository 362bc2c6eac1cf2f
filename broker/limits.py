"""The table of what may be sent, kept and opened at a socket on which others connect; docs/protocol.md, section 3."""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Limit:
    """A number, what it counts, and why it is that one."""

    value: int
    of: str
    why: str


LIMITS: dict[str, Limit] = {
    "control_bytes": Limit(64 * KIB, "bytes of a message on control, or of an event", "heartbeats do not queue"),
    "header_bytes": Limit(MIB, "bytes of a header", "decoding takes up to 96 times as much"),
    "message_bytes": Limit(256 * MIB, "bytes of a message on bulk", "network.max_message_bytes; the largest model"),
    "request_bytes": Limit(256 * KIB, "bytes of a request to a broker", "a shared configuration takes a few KiB"),
    "depth": Limit(256, "lists and maps within each other", "Python's own recursion ends at 1,000"),
    "frames": Limit(2, "frames of a message", "a header and an array"),
    "frames_read": Limit(16, "frames of a message before its connection is ended", "fewer are counted as malformed"),
    "addresses": Limit(4, "addresses of a node", "one for each lane, and as many to spare"),
    "name_chars": Limit(64, "characters of a node's name", "it stands in file names and tables"),
    "run_chars": Limit(128, "characters of a run's name", "the same"),
    "unknown_bytes": Limit(320 * KIB, "bytes before a HELLO, or a first request", "a request, and a little more"),
    "unknown_faults": Limit(16, "messages before a HELLO", "a node of another version tries a few times"),
    "unknown_s": Limit(30, "seconds before a HELLO, or a first request", "a HELLO is repeated every 5 s"),
    "handshake_s": Limit(10, "seconds for ZeroMQ's handshake", "two turns over the slowest network"),
    "unknown": Limit(1_024, "connections to a broker's socket without a first request", "all nodes start at once"),
    "unknown_at_inbox": Limit(512, "the same to a lane of a node, without a HELLO", "each takes about 30 kB of ZeroMQ"),
    "unknown_in_all": Limit(1_280, "the same of all sockets of a process", "40 MB of ZeroMQ"),
    "unknown_grace_s": Limit(2, "seconds for which the newest is ended in place of one", "all nodes come back at once"),
    "connections": Limit(2_048, "connections at a socket", "the newest is ended, or a stranger that has had its time"),
    "connections_in_all": Limit(4_096, "connections of a process", "the same; 120 MB of ZeroMQ"),
    "handshakes": Limit(2_000, "connections at once from one address", "as many nodes may start on one machine"),
    "handshakes_s": Limit(200, "and then connections a second", "with keys each takes half a millisecond"),
    "handshakes_unknown_s": Limit(100, "connections a second without a HELLO", "at once as many as may be unknown"),
    "refusals": Limit(1_000, "refused HELLOs that are answered at once", "the others are ended without a word"),
    "refusals_s": Limit(50, "and then a second", "who is not answered says HELLO again"),
    "held_bytes": Limit(16 * MIB, "bytes that came and are no whole message yet", "1,000 events that had waited"),
    "held_in_all": Limit(48 * MIB, "the same of all connections of a process", "bulk apart; the largest is ended"),
    "messages": Limit(20_000, "messages at once of a connection", "what waits for a node that was stopped"),
    "messages_s": Limit(5_000, "and then messages a second", "rounds of a millisecond, with five messages each"),
    "requests_bytes": Limit(4 * MIB, "bytes of requests at once from one address", "as many nodes may start at once"),
    "requests_bytes_s": Limit(512 * KIB, "and then bytes a second", "the leases of 8,000 nodes"),
    "events_bytes": Limit(16 * MIB, "bytes of events at once of a connection", "4,000 events that had waited"),
    "events_bytes_s": Limit(MIB, "and then bytes a second", "1,000 events"),
    "faults": Limit(200, "malformed messages of a connection", "each is reported"),
    "unread_bytes": Limit(10 * MIB, "bytes of answers that wait for a reader", "the largest snapshot, and more"),
    "unread_in_all": Limit(24 * MIB, "the same of all connections", "the largest is ended"),
    "snapshots": Limit(16, "snapshots at once of a connection, and then one a second", "a monitor asks for one or two"),
    "lag_bytes": Limit(8 * MIB, "bytes of events that wait for a subscriber", "an hour of a run of eight nodes"),
    "last_values_bytes": Limit(8 * MIB, "bytes of last events at a broker, each and 512", "ten of each of 1,000 nodes"),
    "last_values_of_one": Limit(2 * MIB, "the same of one publisher", "so that none displaces all others"),
    "topic_bytes": Limit(128, "bytes of a subscription", "the longest type of event has 20"),
    "subscriber_frame": Limit(1_024, "bytes of a frame from a subscriber", "ZeroMQ's own for a handshake have 400"),
    "subscriptions_waiting": Limit(64, "subscriptions of a connection that wait to be read", "a monitor has two"),
    "subscriptions": Limit(64, "subscriptions of a connection", "a monitor has two"),
    "subscription_bytes": Limit(MIB // 4, "bytes of the subscriptions of all", "each byte takes about 50"),
    "runs": Limit(256, "runs at a broker", "each with its shared configuration"),
    "terms_bytes": Limit(8 * MIB, "bytes of the shared configurations of all runs", "as they are encoded"),
    "members": Limit(4_096, "members of all runs at a broker", "a roster of them fits a header"),
    "departed": Limit(1_024, "nodes that are remembered without a connection", "of the others any HELLO is the first"),
    "hosted": Limit(4_096, "nodes for which another process speaks", "as many as a broker has members"),
    "hellos_early": Limit(
        16_384, "HELLOs of another process to nodes that are not open yet", "125 nodes to 125 others"
    ),
    "memberships": Limit(8, "members that joined by one connection", "a node has one of its own"),
    "polls": Limit(8, "open requests for a roster of a connection", "a node has one"),
    "shared_vector_bytes": Limit(256 * KIB, "bytes, at least, of a vector in shared memory", "less is no gain"),
    "shared_bytes": Limit(1_024 * MIB, "bytes of the regions of a node", "three of the largest models, and more"),
    "shared_bytes_in_all": Limit(8_192 * MIB, "the same of a process, with those it reads", "it may have many nodes"),
    "shared_regions": Limit(32, "regions of a node", "a few vectors of each size are under way"),
    "shared_readers": Limit(256, "nodes that read a node's regions, or that it reads", "as many as a host bears"),
    "shared_descriptors": Limit(512, "descriptors of a process for shared memory", "half of what most may open"),
    "refusal_lines": Limit(64, "reasons that are reported apart", "beyond them all are others"),
}


def allowed(name: str) -> int:
    """Return the value of a limit."""
    return LIMITS[name].value
