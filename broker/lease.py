"""Membership of a node in a run of a broker: join, renew the lease, follow the roster, leave."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

import zmq
from msgspec.structs import replace

from .enrollment import BROKER
from .errors import BrokerUnreachable, JoinRefused, NameTaken, RosterIncomplete, see
from .messages import Failed, GetRoster, Join, Joined, Leave, Message, Ok, RenewLease, Roster
from .request_client import BrokerClient
from .roster_frames import RosterReader
from .security.plain import LOCAL
from .sockets import Security, reached_by
from .versions import OURS

_ASK_AGAIN_S = 0.5  # whether the node that has one's name still answers
_SOON_S = 2.0  # and at first, where somebody wants to know who has joined so far
_POLL_S = 18.0  # a long poll is repeated this often, so that the loss of a broker is noticed
_ANSWER_S = 2.0  # how long an answer that is due may take


class Lease:
    """Membership of a run, as an async context manager that keeps its lease renewed.

    Parameters
    ----------
    broker : str
        Address of the broker's directory.
    join : Join
        The request to join, with this node's name, incarnation, addresses and shared configuration; its ``id`` is not
        used. ``min_nodes`` and ``join_deadline_s`` count if this node opens the run.
    context : zmq.Context
    connect_deadline_s : float
        How long the broker may take to answer at first.
    rejoin_deadline_s : float
        How long the others may take to join a broker that was restarted, if that is longer than ``join_deadline_s``:
        a node that failed together with the broker needs the time to be restarted.
    on_roster : callable (Roster) -> None, optional
        Called with each roster newer than the last one returned or passed on.
    on_joined : callable (Joined) -> None, optional
        Called after each rejoining of a restarted broker.
    on_warning : callable (str) -> None, optional
        Called when the broker goes away and when it is back, and when joining waits for another node of this name.
    on_error : callable (BaseException) -> None, optional
        Called with what ends the membership early: `JoinRefused` when a newer incarnation has taken over.
    security : Plain or Curve, optional
    rosters : RosterReader, optional
        That of other nodes of this process, too, which are told the same.

    Attributes
    ----------
    events_in, events_out : str
    version : int
        Of the newest roster seen. It only grows, even if the broker is restarted.
    connect_deadline_s : float
    away : bool
        Whether the broker has not answered the last renewal.
    """

    def __init__(
        self,
        broker: str,
        join: Join,
        context: zmq.Context[zmq.Socket[bytes]],
        *,
        connect_deadline_s: float = 10.0,
        rejoin_deadline_s: float = 0.0,
        on_roster: Callable[[Roster], None] | None = None,
        on_joined: Callable[[Joined], None] | None = None,
        on_warning: Callable[[str], None] | None = None,
        on_error: Callable[[BaseException], None] | None = None,
        security: Security = LOCAL,
        rosters: RosterReader | None = None,
    ) -> None:
        self.events_in = self.events_out = ""
        self.lease_s = 0.0
        self.version = 0
        self.connect_deadline_s = connect_deadline_s
        self.away = False
        self.leave_reason = "done"
        self._broker = broker
        # Only this node can renew its lease, or end it: over whatever connection, and at a broker started again.
        secret = security.enrollment.proof(join.run, join.node, join.incarnation, BROKER) or secrets.token_hex(16)
        self._join = replace(join, secret=secret)
        self._context = context
        self._security = security
        self._rosters = rosters
        self._rejoin_deadline_s = max(join.join_deadline_s, rejoin_deadline_s)
        self._on_roster = on_roster
        self._on_joined = on_joined
        self._on_warning = on_warning or (lambda _: None)
        self._on_error = on_error
        self._base = 0  # added to the versions of a restarted broker, which count from 1 again
        self._rejoins = False  # it has asked to, and heard nothing yet
        self._tasks: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Join; where another node has the name, wait until it answers or its lease is over.

        Raises
        ------
        BrokerUnreachable, JoinRefused, BadAddress
        NameTaken
            It answers, and `join` does not say ``replace``.
        """
        self._client = BrokerClient(self._broker, self._context, self._security, self._on_warning, self._rosters)
        try:
            self._joined(await self._request_join(self.connect_deadline_s))
        except BaseException:
            self._client.close()
            raise
        self._keeping = self._supervise(self._keep_lease(), "lease")
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        mine = self._join
        leave = lambda id_: Leave(id_, mine.run, mine.node, mine.incarnation, self.leave_reason, mine.secret)  # noqa: E731
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(BrokerUnreachable):
                await self._client.ask(leave, 0.5)
        finally:  # cancelled, too: for a socket that stays open the end of its context would wait for ever
            self._client.close()

    async def roster(
        self,
        newer_than: int = 0,
        deadline_s: float | None = None,
        key: str = "",
        on_late: Callable[[str], None] | None = None,
    ) -> Roster:
        """Return the first roster newer than ``newer_than``; by default within this node's own join deadline.

        Its owner knows that deadline by ``key``, if given; ``on_late`` hears now and then who has joined so far.

        Raises
        ------
        RosterIncomplete
            Too few nodes have joined in time; the message counts and names them.
        BrokerUnreachable
            The broker does not answer.
        JoinRefused
            Another node has taken the name meanwhile.
        """
        limit_s = self._join.join_deadline_s if deadline_s is None else deadline_s
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        answer: Message | None = None
        while (left_s := until - loop.time()) > 0:
            try:
                answer = await self._poll_as_member(newer_than, min(left_s, _POLL_S if on_late is None else _SOON_S))
            except BrokerUnreachable:
                answer = None
                continue
            if isinstance(answer, Roster):
                return self._seen(answer)
            if isinstance(answer, Failed) and answer.code == "incomplete":
                raise RosterIncomplete(answer.reason)
            if isinstance(answer, Failed) and answer.code == "late" and on_late is not None:
                on_late(answer.reason)
            if isinstance(answer, Failed) and answer.code == "unknown":  # not rejoined yet
                await asyncio.sleep(min(left_s, 0.1))
        if answer is None:
            raise BrokerUnreachable(self._broker, limit_s, key)
        within = f"within {limit_s:g} s" + (f" ({key})" if key else "")
        what = f"no roster newer than {newer_than}" if newer_than else "not enough nodes"
        why = answer.reason if isinstance(answer, Failed) else type(answer).__name__
        raise RosterIncomplete(f"run '{self._join.run}' had {what} {within}: {why}")

    def watch(self, after_s: float = 0.0) -> None:
        """Pass every newer roster to ``on_roster``, from ``after_s`` seconds on; idempotent."""
        if self._watching is None or self._watching.done():
            self._watching = self._supervise(self._watch(after_s), "roster")

    def unwatch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._tasks.remove(self._watching)
            self._watching = None

    async def _request_join(self, deadline_s: float, join: Join | None = None) -> Joined:
        wanted = join or self._join
        loop = asyncio.get_running_loop()
        waits_since: float | None = None
        while True:
            waited_s = 0.0 if waits_since is None else loop.time() - waits_since
            answer = await self._ask_to_join(replace(wanted, waited_s=waited_s), deadline_s)
            if not isinstance(answer, Failed) or answer.code != "held":
                break
            if waits_since is None:
                waits_since = loop.time()
                self._on_warning(answer.reason)
            await asyncio.sleep(_ASK_AGAIN_S)
        if isinstance(answer, Joined):
            return answer
        if isinstance(answer, Failed) and answer.code == "taken":
            raise NameTaken(answer.reason)
        if isinstance(answer, Failed) and answer.code == "version":
            raise JoinRefused(answer.code, f"{answer.reason}; this node speaks {OURS}")
        if isinstance(answer, Failed):
            raise JoinRefused(answer.code, answer.reason, answer.newest)
        raise JoinRefused("unknown", f"the broker at {self._broker} answered with {type(answer).__name__}")

    async def _ask_to_join(self, join: Join, deadline_s: float) -> Message:
        return await self._client.ask(lambda id_: replace(join, id=id_), deadline_s)

    def _joined(self, answer: Joined) -> None:
        self.events_in = reached_by(answer.events_in, self._broker)
        self.events_out = reached_by(answer.events_out, self._broker)
        self.lease_s = answer.lease_s

    def _seen(self, roster: Roster) -> Roster:
        roster = replace(roster, version=self._base + roster.version)
        self.version = max(self.version, roster.version)
        return roster

    async def _poll_as_member(self, newer_than: int, hold_s: float) -> Message:
        """Poll, unless this membership ends first."""
        poll = asyncio.ensure_future(self._poll(newer_than, hold_s))
        try:
            await asyncio.wait({poll, self._keeping}, return_when=asyncio.FIRST_COMPLETED)
            if not poll.done() and not self._keeping.cancelled():
                self._keeping.result()
            return await poll
        finally:
            poll.cancel()

    async def _poll(self, newer_than: int, hold_s: float) -> Message:
        newer = max(0, newer_than - self._base)
        run = self._join.run
        # The broker's own deadline is the shorter one, so that no answer means no broker.
        return await self._client.ask(lambda id_: GetRoster(id_, run, newer, hold_s), hold_s + _ANSWER_S)

    async def _keep_lease(self) -> None:
        mine = self._join
        while True:
            pause_s = self.lease_s / 3
            try:
                answer = await self._client.ask(
                    lambda id_: RenewLease(id_, mine.run, mine.node, mine.incarnation, mine.secret), pause_s
                )
                if self.away:
                    self.away = False
                    self._on_warning(f"the broker at {self._broker} answers again")
                if self._rejoins or not isinstance(answer, Ok):  # renewed, where only the answer of a join was lost
                    await self._not_renewed(answer)
            except BrokerUnreachable:
                if not self.away:
                    self.away = True
                    without = "the run goes on" if self.version else "no run begins"
                    self._on_warning(
                        f"the broker at {self._broker} does not answer; {without} without it{see('broker-away')}"
                    )
                continue
            await asyncio.sleep(pause_s)

    async def _not_renewed(self, answer: Message) -> None:
        if isinstance(answer, Failed) and answer.code == "stale":
            raise JoinRefused(answer.code, answer.reason)
        self._rejoins = True
        try:
            # It had the name before, and whoever has a newer claim to it has a larger incarnation.
            again = replace(self._join, join_deadline_s=self._rejoin_deadline_s, replace=True)
            joined = await self._request_join(self.lease_s / 3, again)
        except JoinRefused as error:
            if error.code == "stale":
                raise
            self._on_warning(f"the broker at {self._broker} refused to let {self._join.node} rejoin: {error}")
            return
        self._rejoins = False
        self._base = self.version
        self._joined(joined)
        if self._watching is not None and not self._watching.done():
            # Its open request was lost with the broker.
            self.unwatch()
            self.watch()
        if self._on_joined is not None:
            self._on_joined(joined)

    async def _watch(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while True:
            known = self.version
            try:
                answer = await self._poll(known, _POLL_S)
            except BrokerUnreachable:
                continue
            if isinstance(answer, Roster):
                roster = self._seen(answer)
                if roster.version > known and self._on_roster is not None:
                    self._on_roster(roster)
            elif isinstance(answer, Failed) and answer.code != "late":
                await asyncio.sleep(self.lease_s / 3)  # not a member at present; the lease rejoins

    def _supervise(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{self._join.node}.{name}")
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and self._on_error is not None:
            self._on_error(error)
        elif error is not None:
            self._on_warning(f"{task.get_name()} has ended: {error}")
