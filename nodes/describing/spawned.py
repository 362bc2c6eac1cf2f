"""A description by real processes on this machine: one for each file, which reads it and answers for it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
from nervenet.broker.broker import Broker
from nervenet.broker.security.plain import Plain
from nervenet.models.agreement.questions import Questions
from nervenet.models.data.data import DataError
from nervenet.models.describe.description import Description
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables.options import ReadOptions

from ..config.schema import Experiment
from ..launching.described_site import SHARED
from ..launching.forkserver_client import ForkServerClient
from ..launching.processes import ProcessTable
from ..launching.report_server import ReportServer
from ..launching.roll import new_enrollment, to_job
from ..roles.inquiry import Inquirer
from ..runtime.identity import NodeFailed, NodeIdentity

STOP_S = 3.0  # an orderly stop takes no longer; then the processes are killed
SPAWN_S = 30.0  # how long a process may take to be forked
LAST_S = 5.0  # how long the last reports may take once all questions are answered
AFTER_S = 1.0  # how long a site's failure waits for the reason of all
DEADLINE_S = 600.0  # of an answer: a site may have many rows to sort
NEEDED = ("nervenet.nodes.launching.described_site", "nervenet.models.agreement.order_statistics")


async def describe_files(
    files: Mapping[str, Path],
    asked: DescribeOptions,
    options: ReadOptions,
    *,
    fork_server: ForkServerClient | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Description:
    """Return the description of some files, by the names of their sites.

    `on_note` is called with what is to be said of how a file was read. Raises DataError for a file that cannot be
    described; NodeFailed if a process ended before its time, or the sites could not agree.
    """
    server = fork_server or ForkServerClient()
    try:
        return await _Spawned(files, asked, options, server, on_note).run()
    finally:
        server.close()


class _Spawned:
    """One description from beginning to end."""

    def __init__(
        self,
        files: Mapping[str, Path],
        asked: DescribeOptions,
        options: ReadOptions,
        fork_server: ForkServerClient,
        on_note: Callable[[str], None],
    ) -> None:
        self._files, self._asked, self._options = files, asked, options
        self._fork_server, self._on_note = fork_server, on_note
        self._run = f"describe-{secrets.token_hex(3)}"
        roles = {"coordinator": "coordinator", **dict.fromkeys(files, "client")}
        self._security = Plain(enrollment=new_enrollment(roles))
        federated = {"min_clients": len(files), "deadline_s": DEADLINE_S}
        self._experiment = Experiment.from_dict({"nodes": len(files), "federated": federated})
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended: set[str] = set()
        self._all_ended = asyncio.Event()
        self._misfit: IncompatibleSites | None = None

    async def run(self) -> Description:
        self._fork_server.preload(NEEDED)
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(Broker("tcp://127.0.0.1:0", security=self._security))
            most = self._experiment.network.max_message_bytes
            reports = await stack.enter_async_context(
                ReportServer(
                    self._run,
                    "tcp://127.0.0.1:*",
                    self._reported,
                    max_message_bytes=most,
                    security=self._security,
                    roles=self._security.enrollment.roles,
                )
            )
            processes = ProcessTable(self._fork_server, self._exited, lambda why: self._fail(NodeFailed(why)))
            # Whatever happens from here on, no process outlives this block.
            stack.push_async_callback(processes.stop, STOP_S)
            await self._spawn(processes, broker.address, dict(reports.transport.addresses))
            inquiry = asyncio.create_task(self._inquire(broker.address))
            serving = asyncio.create_task(broker.serve())
            try:
                await self._first_of(inquiry, serving, reports.failed)
                return await self._with_notes(inquiry.result())
            finally:
                inquiry.cancel()
                serving.cancel()
                self._failed.cancel()
                await asyncio.gather(inquiry, serving, return_exceptions=True)

    async def _first_of(self, inquiry: asyncio.Task[Description], *failing: asyncio.Future[None]) -> None:
        """Wait until all have agreed; raise what goes wrong before, a site's own reason first."""
        watched: list[asyncio.Future[Any]] = [inquiry, self._failed, *failing]
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        for future in (self._failed, *failing):
            if future.done():
                future.result()
                raise NodeFailed("the broker ended")

    async def _spawn(self, processes: ProcessTable, broker: str, report_server: Mapping[str, str]) -> None:
        common = {
            "kind": "describe",
            "broker": broker,
            **to_job(self._run, report_server, self._security.enrollment),
            "experiment": self._experiment.to_dict(),
            "options": msgspec.to_builtins(self._options),
            "min_rows": self._asked.min_rows,
        }
        log = os.open(os.devnull, os.O_WRONLY)
        try:
            for name, path in self._files.items():
                job = {**common, "name": name, "file": str(path.absolute())}
                await processes.spawn(job, (name,), [log], within_s=SPAWN_S)
        finally:
            os.close(log)

    async def _inquire(self, broker: str) -> Description:
        identity = NodeIdentity(
            broker,
            self._run,
            "coordinator",
            shared_config=SHARED,
            patient=True,
            replace=True,
            security=self._security,
        )
        try:
            async with Inquirer(self._questions, self._experiment, identity) as node:
                return await node.agreed()
        except NodeFailed as error:
            raise self._misfit or error from None

    def _questions(self) -> Questions[Description]:
        """Ask, and keep what cannot be agreed on: by itself it says more than the end of the run."""
        try:
            return (yield from describe_questions(self._asked))
        except IncompatibleSites as error:
            self._misfit = error
            raise

    async def _with_notes(self, description: Description) -> Description:
        """Return it, once every site has said what it has to say."""
        try:
            async with asyncio.timeout(LAST_S):
                await self._all_ended.wait()
        except TimeoutError:
            late = ", ".join(sorted(set(self._files) - self._ended))
            self._on_note(f"warning: no last word of {late} within {LAST_S:g} s")
        return description

    def _reported(self, node: str, kind: str, fields: Mapping[str, Any], _array: Any) -> None:
        if kind != "result":
            return
        if (failed := fields.get("failed")) and fields.get("kind") == "data":
            self._fail(DataError(failed))
        elif failed:  # which may follow from how the run has ended
            loop = asyncio.get_running_loop()
            loop.call_later(AFTER_S, self._fail, NodeFailed(f"{node}: {failed}"))
        for note in fields.get("notes", ()):
            self._on_note(str(note))
        self._end(node)

    def _exited(self, nodes: tuple[str, ...], how: str) -> None:
        for node in nodes:
            if node not in self._ended:
                self._fail(NodeFailed(f"{node}: {how}"))
                self._end(node)

    def _end(self, node: str) -> None:
        self._ended.add(node)
        if self._ended >= set(self._files):
            self._all_ended.set()

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)
