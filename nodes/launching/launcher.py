"""launch: cut the data, start a broker and N processes, watch them, gather their reports, leave a run folder."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nervenet.broker.publisher import Publisher
from nervenet.broker.subscriber import EventStream
from nervenet.broker.transport import new_incarnation

from ..config.factory import default_node_names
from ..config.schema import Experiment
from ..experiment.validation import check_members, check_task
from ..results.collect import finish, gather
from ..results.run_dir import RunDir, check_run_dir, default_path
from ..runtime.session import inbox_address
from .data_shares import DataShares, cut
from .forkserver_client import ForkServerClient
from .report_server import ReportServer
from .supervisor import RunAborted, Supervisor

STOP_S = 3.0  # an orderly stop takes no longer; then the children are killed
BASELINE_S = 60.0  # how long the baselines may go on after the run


class RunFailed(RuntimeError):
    """The run ended without its result.

    Attributes
    ----------
    summary : dict
        What is known of it, as in ``summary.json``.
    """

    def __init__(self, reason: str, summary: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.summary = dict(summary)


def prestart() -> ForkServerClient:
    """Start the process from which nodes will be forked; the earlier, the more of its imports are done when it is
    needed.
    """
    return ForkServerClient()


async def launch(
    experiment: Experiment,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    on_address: Callable[[str], None] | None = None,
    zygote: ForkServerClient | None = None,
    started_at: float | None = None,
) -> dict[str, Any]:
    """Run an experiment in real processes on this machine.

    Parameters
    ----------
    experiment
        What to run.
    out
        The run folder; default ``runs/<UTC time>-<mode>-<data>``.
    resume
        The folder of an earlier run of this experiment, which goes on after its last checkpoint; in place of `out`.
    on_event
        Called with every event as it arrives.
    on_address
        Called once with the broker's address, as soon as a monitor can attach.
    zygote
        From `prestart`, where there was time for it. It is closed at the end.
    started_at
        Unix time at which the command started, for the start-up figure; default: now.

    Returns
    -------
    dict
        The summary, as in ``summary.json``.

    Raises
    ------
    RunFailed
        If there is no result; the reason is the message, and the run folder is complete as far as it goes.
    ExperimentError, DataError, CannotMerge
        Before anything is started, for what cannot be.
    """
    run = Run(experiment, out, resume, on_event or _ignore, on_address or _ignore, zygote, started_at or time.time())
    try:
        return await run.go()
    finally:
        run.nursery.close()


class Run:
    """One launch from beginning to end; see `launch`."""

    def __init__(
        self,
        experiment: Experiment,
        out: Path | None,
        resume: Path | None,
        on_event: Callable[[dict[str, Any]], None],
        on_address: Callable[[str], None],
        nursery: ForkServerClient | None,
        started_at: float,
    ) -> None:
        self.experiment = experiment
        self.name = f"{experiment.mode}-{secrets.token_hex(3)}"
        self.started_at = started_at
        self.on_event = on_event
        self.on_address = on_address
        self.nursery = nursery or ForkServerClient()
        self.out = out
        self.resume = resume
        self.path = resume or out or default_path(experiment, datetime.now(UTC))
        self.folder: RunDir
        self.crew: Supervisor
        self.first_round_at: float | None = None
        self.heard = 0  # the last round that a coordinator told to be complete; it may not live to report it
        self.events_done = asyncio.Event()
        self.passed_on = asyncio.Event()  # the broker has told everybody how the run ended
        self._publisher = Publisher("launcher", "launcher", self.name, new_incarnation())
        self._left: set[str] = set()
        self._refused = False  # it was said that the run folder takes no more

    async def go(self) -> dict[str, Any]:
        """See `launch`."""
        check_members(self.experiment, default_node_names(self.experiment.nodes, "peer"))
        if self.experiment.model.name.startswith("sklearn."):
            # An estimator's library takes seconds to import: once, beside our own import of it, and not once a node.
            self.nursery.preload(["nervenet.models.sklearn.adapters", self.experiment.model.name.rpartition(".")[0]])
        if self.experiment.mode == "gossip":
            self.nursery.preload(["nervenet.models.compress"])  # ten milliseconds of every peer's first training
        if self.experiment.evaluation.scorers:
            self.nursery.preload(["sklearn.metrics"])
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._publisher.close)  # also where a second signal cuts the end short
            if self.resume is not None:
                from ..results.resume import reopen, rewind_peers

                check_run_dir(self.resume, out=self.out)
                # Before the data are looked at: what cannot be resumed is told at once.
                self.folder = stack.enter_context(reopen(self.resume, self.experiment))
                if self.experiment.mode == "gossip":
                    rewind_peers(self.folder)
            shares = await asyncio.to_thread(cut, self.experiment)
            stack.callback(shares.close)
            check_task(self.experiment, shares.task, len(shares.columns))
            if self.resume is None:
                self.folder = stack.enter_context(RunDir(self.path))
            self.folder.write_experiment(self.experiment)
            desk_at = (
                inbox_address(self.experiment) if self.experiment.network.transport != "inproc" else "tcp://127.0.0.1:*"
            )
            limit = self.experiment.network.max_message_bytes
            desk = await stack.enter_async_context(
                ReportServer(self.name, desk_at, self._reported, max_message_bytes=limit)
            )
            log = os.open(self.path / "nodes.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            stack.callback(os.close, log)
            self.crew = Supervisor(
                self.experiment,
                self.name,
                self.nursery,
                dict(desk.transport.addresses),
                log,
                self._lost,
                self._say,
                self._roll,
                self.folder.state,
            )
            stack.callback(self.crew.sweep)
            # Whatever happens from here on, no child outlives this block.
            stack.push_async_callback(self.crew.stop, STOP_S)
            return await self._supervised(shares, desk)

    async def _supervised(self, shares: DataShares, desk: ReportServer) -> dict[str, Any]:
        status, reason = "completed", ""
        interrupted: BaseException | None = None
        watching: asyncio.Task[None] | None = None
        try:
            address = await self.crew.start_broker()
            self.on_address(address)
            self._publisher.connect(self.crew.events_in)
            watching = asyncio.create_task(self._watch(address))
            self._say("run.started", **self._opening(shares))
            for reason in self.folder.damaged:
                self._say("warning", reason=reason)
            await self.crew.start_nodes(shares)
            self._roll()
            await self.crew.start_baseline(shares)
            await self.crew.results(desk.failed)
            await self.crew.baseline(BASELINE_S)
        except asyncio.CancelledError as error:
            status, reason, interrupted = "interrupted", "interrupted", error
            # The nodes report what they have when they are told to stop; a second signal ends this wait by ending the
            # process.
            with suppress(asyncio.CancelledError):
                await self.crew.stop(STOP_S)
        except RunAborted as error:
            status, reason = "failed", str(error)
            await self.crew.stop(STOP_S)
        except Exception as error:  # noqa: BLE001  (raised again below, when the folder is readable and nobody left)
            status, reason, interrupted = "failed", f"{type(error).__name__}: {error}", error
            await self.crew.stop(STOP_S)
        summary = await asyncio.to_thread(self._conclude, shares, status, reason)
        if status == "completed" and summary["status"] != status:
            status, reason = summary["status"], summary["reason"]  # the disk did not take the result
        if status == "completed":
            told = {}
            if "stopped_by" in summary:
                told = {"stopped_by": summary["stopped_by"], "reason": summary["reason"]}
            rounds, wall_s = summary["completed_rounds"], summary["wall_s"]
            self._say("run.completed", status=status, completed_rounds=rounds, wall_s=wall_s, **told)
        else:
            self._say("run.failed", reason=reason)
        if watching is not None:
            await self._last_word(watching)
        await self.crew.stop(STOP_S)
        if watching is not None:
            await self._last_events(watching)
        self.folder.flush()
        await asyncio.to_thread(self.folder.write_curves, summary.get("baseline"))
        if interrupted is not None:
            raise interrupted
        if status != "completed":
            raise RunFailed(reason, summary)
        return summary

    # ---------------------------------------------------------------------------------------------------------- events

    async def _watch(self, address: str) -> None:
        """Follow the run's events, as any monitor would; its own it has already."""
        async with EventStream(address, run=self.name) as events:
            async for event in events:
                if event["node"] == "launcher":
                    if event["type"] in ("run.completed", "run.failed"):
                        self.passed_on.set()
                    continue
                if event["type"] == "round.started" and self.first_round_at is None:
                    self.first_round_at = float(event["time"])
                if event["type"] == "round.completed":
                    self.crew.moved()
                    if event["role"] == "coordinator":
                        self.heard = int(event["round"])
                if event["type"] == "node.left" and "subject" not in event:
                    self._left.add(event["node"])
                    if self._left >= self.crew.survivors():
                        self.events_done.set()
                self._record(event)

    async def _last_word(self, watching: asyncio.Task[None]) -> None:
        """Wait until the broker has passed on how the run ended, a second at the most: it is stopped next, and whoever
        watches would wait for ever.
        """
        if not watching.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.passed_on.wait()

    async def _last_events(self, watching: asyncio.Task[None]) -> None:
        """Wait for the farewells of those who lived to say them, a second at the most: events may be lost."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0 if self.crew.survivors() else 0.05):
                await self.events_done.wait()
        watching.cancel()
        await asyncio.wait([watching], timeout=1.0)
        await self._publisher.close()

    def _roll(self) -> None:
        self.folder.write_nodes(self.crew.nodes_json())

    def _say(self, kind: str, **fields: Any) -> None:
        """Publish an event of the launcher's own; what it says itself it does not have to hear."""
        self._record(self._publisher.publish(kind, **fields))

    def _record(self, event: dict[str, Any]) -> None:
        self.folder.record(event)
        self.on_event(event)
        if self.folder.refused is not None and not self._refused:
            self._refused = True
            self._say("warning", reason=self.folder.refused)

    def _opening(self, shares: DataShares) -> dict[str, Any]:
        e = self.experiment
        return {
            "mode": e.mode,
            "nodes": e.nodes,
            "rounds": e.rounds,
            "data": e.data.label,
            "model": e.model.name,
            "rows": shares.rows,
        } | ({} if self.folder.resumed is None else {"resumed_after": self.folder.resumed})

    # --------------------------------------------------------------------------------------------------------- results

    def _reported(self, node: str, kind: str, facts: Mapping[str, Any], array: Any) -> None:
        self.crew.reported(node, kind, facts, array)

    def _lost(self, node: str, reason: str) -> None:
        self._say("node.lost", subject=node, reason=reason)

    def _conclude(self, shares: DataShares, status: str, reason: str) -> dict[str, Any]:
        crew = self.crew
        found = gather(self.experiment, dict(crew.facts), dict(crew.arrays), dict(crew.lost), dict(crew.best))
        return finish(
            self.experiment,
            self.folder,
            found,
            task=shares.task,
            status=status,
            reason=reason,
            baseline=self.crew.baselines,
            lost=self.crew.lost,
            wall_s=time.time() - self.started_at,
            startup_s=None if self.first_round_at is None else self.first_round_at - self.started_at,
            heard=self.heard,
        )


def _ignore(_: Any) -> None:
    return None
