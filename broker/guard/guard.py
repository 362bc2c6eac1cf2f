"""The guard of a listening socket: it notes what comes over each connection, and ends those beyond the limits.

`ConnectionTable` decides. One watch for all guards of an event loop asks the system what each connection has received;
it does so once a second, and at once when this process has grown: 25 ms of a flood are what can come between.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from typing import ClassVar
from weakref import WeakKeyDictionary

from .. import kernel
from ..accept_filter import MOST, drop_from
from ..limits import allowed
from ..transport_events import ConnectionRefused
from .early_leavers import EarlyLeavers
from .shut_out import ShutOut
from .table import Connection, ConnectionTable, Ending, Policy, already

_TICK_S = 0.025
_LOOK_S = 1.0
_GROWN = 4 << 20  # bytes by which this process has grown since the last look, before the next one is due
_GREETED = 24 << 10  # and for each connection accepted since, whatever comes over it: what ZeroMQ takes for one
_SHARE = 10  # of the time, at most one part in so many is spent on looking
_MUCH = 1 << 20  # held bytes of an ended connection, from which on memory is given back to the system
_MANY = 64  # connections that have closed, from which on it is
_GIVE_BACK_S = 2.0
_ANSWERED_S = 0.25  # in which who is refused may read why
_CHECKED = 1 << 20  # bytes of answers to one connection after which it is looked at at once
_UNREAD = {"lag_bytes", "unread_bytes", "unread_in_all"}
_ADDRESSES = 4_096  # of those who left
_PACES = {"handshakes_s", "handshakes_unknown_s"}
_WAITS = {"held_bytes", "unknown_bytes", "unknown_s", "unknown", "unknown_at_inbox"}


class Guard:
    """Guards one socket: ``refused`` hears who was ended; at the descriptor that ``listens`` a flood is kept out.

    ``drain`` delivers what is there, some of it at least.
    """

    def __init__(self, policy: Policy, refused: Callable[[ConnectionRefused], None], *, listens: int = -1) -> None:
        self.table = ConnectionTable(policy)
        self.drain: Callable[[], None] = lambda: None
        self._refused = refused
        self._routes: dict[bytes, int] = {}  # by identity, over which connection it is answered
        self._loop = asyncio.get_running_loop()
        self._watch = Watch.of(self._loop)
        self._watch.add(self)
        self._shut_out = ShutOut(MOST)
        self._left: dict[str, float] = {}  # by address, when a connection that had introduced itself has closed
        self._listening = listens, kernel.inode(listens)
        self._port = kernel.port_of(listens)
        self._reopen: asyncio.TimerHandle | None = None
        self._early = EarlyLeavers(self._tell_of_early, self.has_left)

    def close(self) -> None:
        self._watch.remove(self)
        self._early.close()
        self._listening = -1, 0
        if self._reopen is not None:
            self._reopen.cancel()

    def accepted(self, descriptor: int) -> None:
        self._watch.has_opened()
        port, address = kernel.ends_of(descriptor)
        known = kernel.inode(descriptor) if not self._port or port == self._port else 0
        if not known:  # it has closed already
            return
        now = self._loop.time()
        for ending in self.table.accepted(descriptor, known, address, now):
            self.end(ending)
            if ending.limit in _PACES and not self._awaits(ending.connection.address, now):
                self._keep_out(ending.connection.address, allowed(ending.limit), now)
        found = self.table.get(descriptor)
        if found is None or found.ended:
            return
        for limit, count in (
            ("connections_in_all", self._watch.connections),
            ("unknown_in_all", self._watch.strangers),
        ):
            if count > allowed(limit):
                self.end(Ending(self.table.over(found, now), limit, already(limit)))
                break

    def address_of(self, descriptor: int) -> str:
        found = self.table.get(descriptor)
        return "" if found is None else found.address

    def closed(self, descriptor: int) -> Connection | None:
        """Forget a connection that has closed, and return what was known of it."""
        found = self.table.get(descriptor)
        if found is not None and self._routes.get(found.identity) == descriptor:
            del self._routes[found.identity]
        if found is not None:
            self.table.closed(descriptor)
            self._watch.has_closed()
            if found.known and not found.ended and self.table.policy.proves:
                if len(self._left) >= _ADDRESSES:
                    self._left.clear()
                self._left[found.address] = self._loop.time()
        return found

    def left_early(self, address: str) -> None:
        """Take note that one has closed its connection before its HELLO; it is reported in a while, if at all."""
        self._early.add(address)

    def introduced(self, descriptor: int, identity: bytes = b"") -> None:
        """Take note that a connection is no stranger's, and that answers to an identity go over it."""
        found = self.table.get(descriptor)
        if found is not None and found.known and identity and self._routes.get(identity) == descriptor:
            return  # as for almost every message
        self.table.introduced(descriptor)
        if found is not None and identity:
            found.identity = identity
            self._routes[identity] = descriptor

    def heard(self, descriptor: int, nbytes: int, frames: int) -> bool:
        """Take note of a message, and what it took of the connection; return whether it is to be delivered."""
        if descriptor < 0:  # inproc
            return True
        ending = self.table.came(descriptor, self._inode, nbytes, frames, self._loop.time())
        if ending is not None:
            self.end(ending)
        found = self.table.get(descriptor)
        return not self.table.left_over(descriptor) if found is None else not found.ended

    def fault(self, descriptor: int) -> None:
        self.end(self.table.fault(descriptor))

    def displaced(self, descriptor: int, reason: str = "") -> None:
        """End a connection whose identity another one has taken: ZeroMQ leaves it open and mute, and tells nobody."""
        found = self.table.get(descriptor)
        if found is None or found.ended:
            return
        self.table.displaced(found)
        kernel.end(found.descriptor, found.inode)
        if reason:
            self._refused(ConnectionRefused(self.table.policy.service, found.address, "", "", reason))

    def refuse(self, descriptor: int) -> bool:
        """Take note that its HELLO was refused, and return whether it is to be answered; then its connection ends."""
        self.fault(descriptor)
        found, answers = self.table.get(descriptor), self.table.may_refuse(self._loop.time())
        if found is not None and not found.known:
            self._loop.call_later(_ANSWERED_S if answers else 0.0, self._answered, found)
        return answers

    def _answered(self, connection: Connection) -> None:
        if not connection.known:
            self.end(Ending(connection, "refused", ""))

    def subscribed(self, descriptor: int, nbytes: int) -> bool:
        """Take note of a subscription; return whether it may stand."""
        ending = self.table.subscribed(descriptor, nbytes)
        self.end(ending)
        return ending is None

    def snapshot(self, descriptor: int) -> bool:
        """Return whether a connection may have a snapshot now."""
        return self.table.snapshot(descriptor, self._loop.time())

    def sent(self, identity: bytes, nbytes: int) -> None:
        """Take note of an answer."""
        found = self.table.get(self._routes.get(identity, -1))
        if found is None:
            return
        found.sent += nbytes
        if found.sent - found.checked > _CHECKED:  # an answer may be large, and a turn of the loop long
            found.checked = found.sent
            counts = _read(found)
            self.end(None if counts is None else self.table.unread(found, counts))

    def _tell_of_early(self, address: str) -> None:
        reason = "closed its connection before its HELLO, or sent a frame beyond the limit"
        self._refused(ConnectionRefused(self.table.policy.service, address, "", "", reason))

    def end(self, ending: Ending | None) -> None:
        if ending is None or ending.connection.ended:
            return
        connection = ending.connection
        self.table.ended(connection)
        kernel.end(connection.descriptor, connection.inode)
        if connection.held > _MUCH or ending.limit in _UNREAD:
            self._watch.give_back()
        if ending.reason:
            self._refused(ConnectionRefused(self.table.policy.service, connection.address, "", "", ending.reason))

    def has_left(self, address: str, since: float) -> bool:
        """Return whether one that had introduced itself has closed since then; of no address means of any."""
        times = self._left.values() if not address else [self._left.get(address, -math.inf)]
        return any(at >= since for at in times)

    def _inode(self, descriptor: int) -> int:
        """Return what identifies a connection that was accepted here; 0 if it is closed.

        Its descriptor may be another's by now: that of a connection which this process has dialed is no stranger's.
        """
        if self._port and kernel.port_of(descriptor) != self._port:
            return 0
        return kernel.inode(descriptor)

    def _awaits(self, address: str, now: float) -> bool:
        """Return whether one from there was cut off a while ago: it would have to try for seconds, among a flood."""
        return now - self._left.get(address, -math.inf) < allowed("unknown_s")

    def _keep_out(self, address: str, per_s: int, now: float) -> None:
        """Have the system drop what comes from an address, for a moment: accepting costs most of a connection."""
        if not self._listening[1] or not self._shut_out.beyond(address, per_s, now):
            return
        if not drop_from(*self._listening, self._shut_out.addresses):
            self._listening = -1, 0  # which it does nowhere but on Linux; each is ended when it has come, then
        elif self._reopen is None:
            self._reopen = self._loop.call_at(self._shut_out.next() or now, self._let_in)

    def _let_in(self) -> None:
        self._reopen = None
        if self._shut_out.over(self._loop.time()):
            drop_from(*self._listening, self._shut_out.addresses)
        due = self._shut_out.next()
        if due is not None:
            self._reopen = self._loop.call_at(due, self._let_in)

    def look(self, now: float) -> None:
        for connection in [each for each in self.table if kernel.inode(each.descriptor) != each.inode]:
            self.closed(connection.descriptor)  # of which ZeroMQ has not told: another took its identity
        endings = self.table.look(_read, now)
        if any(ending.limit in _WAITS for ending in endings):
            self.drain()  # whole messages that wait are no reason, and one of them may be a HELLO
            endings = self.table.look(_read, now)
        for ending in endings:
            self.end(ending)


def _read(connection: Connection) -> kernel.Reading | None:
    return kernel.read(connection.descriptor, connection.inode)


class Watch:
    """Looks at the connections of all guards of an event loop."""

    _all: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Watch]] = WeakKeyDictionary()

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Watch:
        found = cls._all.get(loop)
        if found is None:
            found = cls._all[loop] = cls(loop)
        return found

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._guards: list[Guard] = []
        self._resident: kernel.Resident | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._mark = 0
        self._next = self._pause_until = 0.0
        self._giving: asyncio.TimerHandle | None = None
        self._opened = 0  # connections, since the last look
        self._closed = 0  # and since memory was given back

    @property
    def connections(self) -> int:
        """How many there are, of all guards."""
        return sum(len(guard.table) for guard in self._guards)

    @property
    def strangers(self) -> int:
        """How many have not introduced themselves, of all guards."""
        return sum(guard.table.strangers for guard in self._guards)

    def add(self, guard: Guard) -> None:
        if self._resident is None:
            self._resident = kernel.Resident()
        self._guards.append(guard)

    def remove(self, guard: Guard) -> None:
        if guard in self._guards:
            self._guards.remove(guard)
        if not self._guards:
            for timer in (self._timer, self._giving):
                if timer is not None:
                    timer.cancel()
            self._timer = self._giving = None
            if self._resident is not None:
                self._resident.close()
                self._resident = None
            if self._all.get(self._loop) is self:
                del self._all[self._loop]  # which it holds, and which would never be forgotten

    def has_opened(self) -> None:
        """Take note of a connection that was accepted, and look from now on."""
        self._opened += 1
        if self._timer is None:
            self._mark = self._resident.nbytes() if self._resident is not None else 0
            self._timer = self._loop.call_later(_TICK_S, self._tick)

    def has_closed(self) -> None:
        """Take note of a connection that has closed: after many of them there is memory to be given back."""
        self._closed += 1
        if self._closed >= _MANY:
            self.give_back()

    def give_back(self) -> None:
        """Have freed memory returned to the system, in a while."""
        if self._giving is None:
            self._giving = self._loop.call_later(_GIVE_BACK_S, self._give_back)

    def _give_back(self) -> None:
        self._giving, self._closed = None, 0
        threading.Thread(target=kernel.give_back, name="give_back", daemon=True).start()

    def _tick(self) -> None:
        self._timer = None
        if not any(len(guard.table) for guard in self._guards) or self._resident is None:
            return
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        now, nbytes = self._loop.time(), self._resident.nbytes()
        self._mark = min(self._mark, nbytes)
        if self._due(now, nbytes):
            self._mark, self._opened = nbytes, 0
            self.look(now)
            self._next = now + _LOOK_S
            self._pause_until = now + _SHARE * (self._loop.time() - now)

    def _due(self, now: float, nbytes: int) -> bool:
        """Return whether it is time for a look, of a process that has grown to so many bytes."""
        if now >= self._next:
            return True
        return nbytes > self._mark + _GROWN + self._opened * _GREETED and now >= self._pause_until

    def look(self, now: float) -> None:
        """Look at every connection; and end those that hold most, until all together hold what they may."""
        for guard in list(self._guards):
            guard.look(now)
        self._reduce("held_in_all", lambda each: each.held, "sent {:,} bytes that are no whole message")
        self._reduce("unread_in_all", lambda each: each.unread, "leaves {:,} bytes of answers unread")

    def _reduce(self, limit: str, of: Callable[[Connection], int], found: str) -> None:
        held = [
            (of(connection), guard, connection)
            for guard in self._guards
            if guard.table.policy.held <= allowed("held_bytes")
            for connection in guard.table
            if of(connection) and not connection.ended
        ]
        total = sum(nbytes for nbytes, _, _ in held)
        for nbytes, guard, connection in sorted(held, key=lambda each: -each[0]):
            if total <= allowed(limit):
                break
            total -= nbytes
            reason = f"{found.format(nbytes)}, of {allowed(limit):,} for all connections"
            guard.end(Ending(connection, limit, reason))
