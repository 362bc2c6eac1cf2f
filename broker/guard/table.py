"""Decides which connections of one socket are ended, and why; pure, so that each rule can be tested by a call.

It is told of connections (by descriptor), of what came over them, and of what the system counts; ``now`` is in seconds,
of any origin. What it returns is to be ended and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..kernel import Reading
from ..limits import allowed
from .bucket import Bucket

# What else may come, uncounted: the handshake, and ZeroMQ's heartbeats, which take 42 bytes every second at the most.
_HANDSHAKE, _HEARTBEATS_S = 2_048, 64
_GREETED = 100  # bytes: more than the greeting with which that begins
_ADDRESSES = 4_096  # whose pace is remembered


@dataclass(frozen=True, slots=True)
class Policy:
    """What differs between the sockets: when a connection is known, and how many bytes it may have under way.

    It is known by a HELLO that was accepted, or by a first good message; where ``silent``, as publishers are, by having
    begun ZeroMQ's handshake, which has a deadline of its own.
    ``subscribes``: all that comes are subscriptions. ``strangers`` is the row of how many may be unknown.
    """

    service: str
    held: int
    silent: bool = False
    subscribes: bool = False
    nbytes: tuple[int, int] | None = None  # at once, and a second
    together: bool = False  # of all connections from one address, and not of each
    strangers: str = "unknown"
    proves: bool = False  # whether an introduction shows that it is one of the run's
    speaks_for: int = 1  # nodes whose messages one connection carries


class Ending(NamedTuple):
    """A connection that is to be ended, and for what reason; ``limit`` is its row in the table.

    Without a reason nobody is told: that it was refused has been said.
    """

    connection: Connection
    limit: str
    reason: str


@dataclass(slots=True, eq=False)
class Connection:
    """One accepted connection; ``known`` from when on it is no stranger's."""

    descriptor: int
    inode: int
    address: str
    since: float
    known: bool
    messages: Bucket
    nbytes: Bucket | None = None
    announced: bool = False  # by ZeroMQ, and not just by what came over it
    ended: bool = False
    delivered: int = 0
    faults: int = 0
    sent: int = 0
    caught_up: int = 0  # what had been relayed when everything sent had been read
    acknowledged: int = 0  # and what had been acknowledged then
    held: int = 0  # as of the last look
    checked: int = 0  # of what was sent, when it was looked at last
    unread: int = 0
    identity: bytes = b""
    snapshots: Bucket | None = None
    topics: int = 0
    topic_bytes: int = 0


class ConnectionTable:
    """The connections of one socket, by descriptor."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.relayed = 0  # bytes of events so far, to all subscribers
        self.topic_bytes = 0
        self._connections: dict[int, Connection] = {}
        self._strangers: dict[int, Connection] = {}  # the oldest first
        self._paces: dict[str, Bucket] = {}  # of connections,
        self._paces_of_strangers: dict[str, Bucket] = {}  # of those that do not introduce themselves, and
        self._sent: dict[str, Bucket] = {}  # of bytes, by address
        self._answers: Bucket | None = None
        self._cut: dict[str, int] = {}  # by address, how many connections have closed and are not back
        self._closed: dict[int, int] = {}  # by descriptor, the inode of the last connection that has closed
        self._ended: set[int] = set()  # the descriptors of which that one was ended from here

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections.values())

    def get(self, descriptor: int) -> Connection | None:
        return self._connections.get(descriptor)

    def accepted(self, descriptor: int, inode: int, address: str, now: float) -> list[Ending]:
        """Take note of a connection that ZeroMQ has accepted."""
        found = self._connections.get(descriptor)
        early = found is not None and found.inode == inode and not found.announced  # something has come over it already
        if found is None or not early:
            self.closed(descriptor)
            found = self._add(descriptor, inode, address, now)
        found.announced, found.address = True, address
        if early and found.known:
            return []
        if not _of_address(self._paces, address, (allowed("handshakes"), allowed("handshakes_s")), now).take(now):
            return [Ending(found, "handshakes_s", f"more than {allowed('handshakes_s')} connections a second come")]
        if not self._pace_of_strangers(address, now).take(now):
            most = f"{allowed('handshakes_unknown_s')} connections a second"
            return [Ending(found, "handshakes_unknown_s", f"more than {most} come that do not introduce themselves")]
        if len(self._connections) > allowed("connections"):
            return [Ending(self.over(found, now), "connections", already("connections"))]
        if len(self._strangers) > allowed(self.policy.strangers):
            return [self._stranger(self.over(found, now))]
        return []

    @property
    def strangers(self) -> int:
        """How many connections have not introduced themselves."""
        return len(self._strangers)

    def over(self, newest: Connection, now: float) -> Connection:
        """Return which connection is ended where there is one too many: a stranger that has had its time, if any."""
        oldest = next(iter(self._strangers.values()), newest)
        return oldest if now - oldest.since > allowed("unknown_grace_s") else newest

    def introduced(self, descriptor: int) -> None:
        """Take note that a connection is no stranger's."""
        found = self._strangers.pop(descriptor, None)
        if found is not None:
            found.known = True
            self._is_back(found)
            if found.announced:
                self._pace_of_strangers(found.address, found.since).give()

    def closed(self, descriptor: int) -> None:
        self._strangers.pop(descriptor, None)
        found = self._connections.pop(descriptor, None)
        if found is not None:
            self._closed[descriptor] = found.inode
            (self._ended.add if found.ended else self._ended.discard)(descriptor)
            self.topic_bytes -= found.topic_bytes
            if not found.ended:
                self._may_be_back(found)

    def displaced(self, connection: Connection) -> None:
        """Take note that a connection has been ended whose owner has done nothing wrong, and may come back."""
        self._may_be_back(connection)
        self.ended(connection)

    def ended(self, connection: Connection) -> None:
        """Take note that a connection has been ended; ZeroMQ will announce that it has closed."""
        connection.ended = True
        self._strangers.pop(connection.descriptor, None)

    def left_over(self, descriptor: int) -> bool:
        """Return whether what comes now is what ZeroMQ has left of a connection that was ended, and has closed."""
        return descriptor not in self._connections and descriptor in self._ended

    def came(self, descriptor: int, inode: Callable[[int], int], nbytes: int, frames: int, now: float) -> Ending | None:
        """Take note of a message that took ``nbytes`` of the connection; return why that is ended, if it is."""
        found = self._connections.get(descriptor)
        if found is not None and found.ended and inode(descriptor) != found.inode:
            self.closed(descriptor)  # that one; another has its descriptor by now, and neither has been announced
            found = None
        if found is None:
            known = inode(descriptor)
            # It has closed already, and this was left of it. ZeroMQ announces that a moment before it closes it.
            if not known or known == self._closed.get(descriptor):
                return None
            found = self._add(descriptor, known, "", now)
        found.delivered += nbytes
        if not found.messages.take(now):
            return Ending(found, "messages", f"sends more than {allowed('messages_s'):,} messages a second")
        if frames > allowed("frames_read"):
            return Ending(found, "frames_read", f"sent a message of more than {allowed('frames_read')} frames")
        if self.policy.nbytes is None:
            return None
        pace = self._pace_of(found, now)
        if pace is not None and not pace.take(now, nbytes):
            whose = " from its address" if self.policy.together else ""
            return Ending(found, "bytes", f"sends more than {self.policy.nbytes[1]:,} bytes a second{whose}")
        return None

    def fault(self, descriptor: int) -> Ending | None:
        """Take note that a message was none; return why its connection is ended, if it is."""
        found = self._connections.get(descriptor)
        if found is None:
            return None
        found.faults += 1
        if not found.known and found.faults > allowed("unknown_faults"):
            self._excuse(found)
        limit = "faults" if found.known else "unknown_faults"
        if found.faults <= allowed(limit):
            return None
        what = "malformed messages" if found.known else "messages before it introduced itself"
        return Ending(found, limit, f"sent more than {allowed(limit)} {what}")

    def may_refuse(self, now: float) -> bool:
        """Return whether a refused HELLO may be answered: of a flood that would be half of the work."""
        if self._answers is None:
            self._answers = Bucket(allowed("refusals"), allowed("refusals_s"), now)
        return self._answers.take(now)

    def snapshot(self, descriptor: int, now: float) -> bool:
        """Return whether a connection may have a snapshot."""
        found = self._connections.get(descriptor)
        if found is None:
            return True
        if found.snapshots is None:
            found.snapshots = Bucket(allowed("snapshots"), 1.0, now)
        return found.snapshots.take(now)

    def subscribed(self, descriptor: int, nbytes: int) -> Ending | None:
        """Take note of a subscription (of more than 0 bytes) or its end."""
        found = self._connections.get(descriptor)
        if found is None:
            return None
        self.introduced(descriptor)
        found.topics += 1
        found.topic_bytes += nbytes
        self.topic_bytes += nbytes
        if nbytes > allowed("topic_bytes"):
            return Ending(found, "topic_bytes", f"subscribed to a topic of more than {allowed('topic_bytes')} bytes")
        if found.topics > allowed("subscriptions"):
            return Ending(found, "subscriptions", f"subscribed more than {allowed('subscriptions')} times")
        if self.topic_bytes > allowed("subscription_bytes"):
            most = f"{allowed('subscription_bytes'):,} bytes"
            return Ending(found, "subscription_bytes", f"the subscriptions of all would take more than {most}")
        return None

    def look(self, read: Callable[[Connection], Reading | None], now: float) -> list[Ending]:
        """Return whose time or room is used up, by what the system counts of each."""
        endings: list[Ending] = []
        for found in list(self._connections.values()):
            if found.ended:
                continue
            counts = read(found)
            if self.policy.silent and counts is not None and counts.received > _GREETED:
                self.introduced(found.descriptor)
            ending = self._late(found, now)
            if ending is None and counts is not None:
                ending = self._held(found, counts, now) or self._lags(found, counts)
            endings += [ending] if ending is not None else []
        over = {ending.connection.descriptor for ending in endings}
        return endings + [each for each in self._crowd(now) if each.connection.descriptor not in over]

    def _late(self, found: Connection, now: float) -> Ending | None:
        if found.known or now - found.since <= allowed("unknown_s") or self._excuse(found):
            return None
        return Ending(found, "unknown_s", f"has not introduced itself in {allowed('unknown_s')} s")

    def _held(self, found: Connection, counts: Reading, now: float) -> Ending | None:
        uncounted = _HANDSHAKE + _HEARTBEATS_S * (now - found.since)
        found.held = max(0, int(counts.received - found.delivered - uncounted))
        if not found.known and found.held > allowed("unknown_bytes") and not self._excuse(found):
            most = f"{allowed('unknown_bytes'):,} bytes"
            return Ending(found, "unknown_bytes", f"sent more than {most} before it introduced itself")
        if found.held > self.policy.held:
            return Ending(found, "held_bytes", f"sent {self.policy.held:,} bytes that are no whole message")
        return None

    def _lags(self, found: Connection, counts: Reading) -> Ending | None:
        if not self.policy.subscribes:
            return self.unread(found, counts)
        if counts.idle:
            found.caught_up, found.acknowledged = self.relayed, counts.acknowledged
            return None
        waiting = (self.relayed - found.caught_up) - (counts.acknowledged - found.acknowledged)
        if waiting <= allowed("lag_bytes"):
            return None
        return Ending(found, "lag_bytes", f"leaves {allowed('lag_bytes'):,} bytes of events unread")

    def unread(self, found: Connection, counts: Reading) -> Ending | None:
        """Return why a connection is ended that does not read what it asked for, if it is."""
        found.unread = max(0, found.sent - counts.acknowledged)
        if found.unread <= allowed("unread_bytes"):
            return None
        return Ending(found, "unread_bytes", f"leaves {allowed('unread_bytes'):,} bytes of answers unread")

    def _add(self, descriptor: int, inode: int, address: str, now: float) -> Connection:
        nodes = self.policy.speaks_for
        messages = Bucket(nodes * allowed("messages"), nodes * allowed("messages_s"), now)
        found = Connection(descriptor, inode, address, now, False, messages, caught_up=self.relayed)
        self._connections[descriptor] = self._strangers[descriptor] = found
        return found

    def _excuse(self, found: Connection) -> bool:
        """Take a stranger for one who was cut off and is back, for as many as were; return whether it is.

        What ZeroMQ has not sent before goes ahead of the next HELLO, and may be a model.
        """
        if not self._cut.get(found.address):
            return False
        self.introduced(found.descriptor)
        return True

    def _may_be_back(self, found: Connection) -> None:
        if found.known and (found.address in self._cut or len(self._cut) < _ADDRESSES):
            self._cut[found.address] = self._cut.get(found.address, 0) + 1

    def _is_back(self, found: Connection) -> None:
        left = self._cut.pop(found.address, 0) - 1
        if left > 0:
            self._cut[found.address] = left

    def _pace_of(self, found: Connection, now: float) -> Bucket | None:
        """Return the bucket of what a connection sends, or of what comes from its address."""
        if self.policy.nbytes is None:
            return None
        if self.policy.together:
            return _of_address(self._sent, found.address, self.policy.nbytes, now)
        if found.nbytes is None:
            found.nbytes = Bucket(*self.policy.nbytes, now)
        return found.nbytes

    def _pace_of_strangers(self, address: str, now: float) -> Bucket:
        """Return the bucket of the connections from an address that have not introduced themselves."""
        size = allowed(self.policy.strangers), allowed("handshakes_unknown_s")
        return _of_address(self._paces_of_strangers, address, size, now)

    def _crowd(self, now: float) -> list[Ending]:
        """Return the oldest strangers, where there are too many; not those that may have said a word meanwhile."""
        over = list(self._strangers.values())[: max(0, len(self._strangers) - allowed(self.policy.strangers))]
        return [self._stranger(each) for each in over if now - each.since > allowed("unknown_grace_s")]

    def _stranger(self, found: Connection) -> Ending:
        limit = self.policy.strangers
        return Ending(found, limit, f"more than {allowed(limit)} connections have not introduced themselves")


def already(limit: str) -> str:
    """Return why the newest connection is ended, where there are as many as there may be."""
    return f"there are {allowed(limit):,} connections already{' that have said nothing' * limit.startswith('unknown')}"


def _of_address(buckets: dict[str, Bucket], address: str, size: tuple[int, int], now: float) -> Bucket:
    found = buckets.get(address)
    if found is None:
        while len(buckets) >= _ADDRESSES:
            del buckets[next(iter(buckets))]
        found = buckets[address] = Bucket(*size, now)
    return found
