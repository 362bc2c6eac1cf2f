"""The report servers of a launch: one in its run and, since a node speaks in one run alone, one in each region's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Self

from ..report_server import ReportServer
from .plan import Region, Regions


class ReportServers:
    """The one of the run, and what `of_region` makes for each region. An async context manager.

    `regions` then says where they are; `failed` fails where one of them does.
    """

    def __init__(self, server: ReportServer, regions: Regions, of_region: Callable[[Region], ReportServer]) -> None:
        self.addresses: dict[str, str] = {}  # of that of the run
        self.regions = regions
        self.failed = server.failed
        self._servers = [server]
        self._of_region = of_region
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            [first] = self._servers
            self.addresses = (await stack.enter_async_context(first)).addresses
            found = {}
            for region in self.regions.all:
                server = await stack.enter_async_context(self._of_region(region))
                server.failed.add_done_callback(self._fail)
                found[region.name] = server.addresses
                self._servers.append(server)
            self.regions = replace(self.regions, servers=found)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def close(self) -> None:
        """Close all connections; nothing more is received. Idempotent."""
        await asyncio.gather(*(server.close() for server in self._servers))

    def _fail(self, failed: asyncio.Future[None]) -> None:
        if not failed.cancelled() and (error := failed.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)
