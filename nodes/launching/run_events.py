"""The events of one launch: the launcher's own, published; everybody's, recorded and passed on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

from nervenet.broker.event_log import attributes
from nervenet.broker.events import Publisher
from nervenet.broker.security.plain import LOCAL
from nervenet.broker.sockets import Security
from nervenet.broker.subscriber import EventStream
from nervenet.broker.transport import new_incarnation

from ..results.round_summaries import RoundSummaries
from ..results.run_dir import RunDir
from ..runtime.event_edge import Edge

LAST_EVENTS_S = 1.0  # how long the end waits for events, which may be lost
FOLLOW_AGAIN_S = 1.0
END_RELAYED_S = 5.0  # and for the one for which every monitor waits

_logger = logging.getLogger(__name__)


class RunEvents:
    """Publishes, follows and records the events of a run. `on_progress` is called when a node has completed a round, or
    a model of the baselines is done; `on_relayed` for any event that comes over the broker, the launcher's own as well.

    Peers measure their models in `every` so many rounds.
    """

    def __init__(
        self,
        run: str,
        run_dir: RunDir,
        on_event: Callable[[dict[str, Any]], None],
        on_progress: Callable[[], None],
        every: int = 1,
        security: Security = LOCAL,
        *,
        on_relayed: Callable[[], None] = lambda: None,
    ) -> None:
        self.first_round_at: float | None = None  # unix seconds
        self.last_round = 0  # that a coordinator has published as complete; it may not live to report it
        self._run = run
        self._run_dir = run_dir
        self._on_event = on_event
        self._on_progress = on_progress
        self._on_relayed = on_relayed
        self._publisher = Publisher("launcher", "launcher", run, new_incarnation(), security=security)
        self._security = security
        self._following: asyncio.Task[None] | None = None
        self._failures: set[str] = set()
        self._edge = Edge()
        self._summaries = RoundSummaries(every)
        self._left: set[str] = set()
        self._awaited: set[str] | None = None
        self._end_relayed = asyncio.Event()
        self._all_left = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_following()
        await self._publisher.close()

    def publish(self, kind: str, **fields: Any) -> None:
        self._record(self._publisher.publish(kind, **fields))

    def say_refused(self) -> None:
        """Say what of the run directory could not be written, and has not been said."""
        while (reason := self._run_dir.refusal()) is not None:
            self.publish("warning", reason=reason)

    def follow(self, broker: str, events_in: str) -> None:
        self._publisher.connect(events_in)
        self._following = asyncio.create_task(self._follow(broker))

    async def end_relayed(self, within_s: float) -> None:
        """Wait, so long at most, until the broker has relayed how the run ended: it is stopped next, and monitors would
        wait forever.
        """
        if self._following is not None and not self._following.done():
            await _within(within_s, self._end_relayed)

    async def all_left(self, survivors: set[str]) -> None:
        """Wait, a second at most, for the last events of the nodes that survive; then record no more."""
        if self._following is not None:
            self._awaited = survivors
            self._check_left()
            await _within(LAST_EVENTS_S if survivors else 0.05, self._all_left)
            await self._stop_following()

    async def _stop_following(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following], timeout=LAST_EVENTS_S)
        self._write(self._summaries.rest)

    async def _follow(self, broker: str) -> None:
        while True:
            try:
                async with EventStream(broker, run=self._run, security=self._security) as events:
                    async for event in events:
                        self._take(event)
                return
            except Exception as error:  # noqa: BLE001  (a recording must not end in silence)
                self._survived("followed", error)
                await asyncio.sleep(FOLLOW_AGAIN_S)

    def _take(self, received: dict[str, Any]) -> None:
        self._on_relayed()
        event, malformed = self._edge.decode(received)
        if malformed is not None:
            self._record(malformed)
        if event["node"] != "launcher":
            try:
                self._note(event)
            except Exception as error:  # noqa: BLE001  (one event that is wrong must not cost the others)
                self._survived("counted", error)
            self._record(event)
        elif event["type"] in ("run.completed", "run.failed"):
            self._end_relayed.set()

    def _note(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "round.started" if self.first_round_at is None:
                self.first_round_at = event["time"]
            case "round.completed":
                self._on_progress()
                if event["role"] == "coordinator":
                    self.last_round = event.get("round", self.last_round)
            case "baseline.progress":
                self._on_progress()
            case "node.left" if "subject" not in event:
                self._left.add(event["node"])
                self._check_left()

    def _check_left(self) -> None:
        if self._awaited is not None and self._left >= self._awaited:
            self._all_left.set()

    def _record(self, event: dict[str, Any]) -> None:
        self._write(lambda: self._summaries.take(event))
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001  (the caller's own)
            self._survived("shown", error)

    def _write(self, summed_up: Callable[[], list[Mapping[str, Any]]]) -> None:
        lines: list[Mapping[str, Any]] = []
        try:
            lines = summed_up()
        except Exception as error:  # noqa: BLE001
            self._survived("summed up", error)
        for line in lines:
            try:
                refused = self._run_dir.record(line)
            except Exception as error:  # noqa: BLE001
                self._survived("recorded", error)
                continue
            if refused:
                self.publish("warning", reason=refused)

    def _survived(self, doing: str, error: Exception) -> None:
        """Say, once for each kind of error, what failed; the recording and the run go on."""
        kind = f"an event could not be {doing}: {type(error).__name__}"
        if kind not in self._failures:
            self._failures.add(kind)
            known = {"run": self._run, "node": "launcher"}
            _logger.warning("an event could not be %s", doing, exc_info=error, extra=attributes(known))
            self.publish("warning", reason=f"{kind}: {error}")


async def _within(seconds: float, happened: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await happened.wait()
