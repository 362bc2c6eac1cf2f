"""What a launch does before it opens anything: refuses what cannot be run, divides the data, makes the run folder."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ..config.factory import node_names
from ..config.schema import DataConfig, Experiment
from ..experiment.validation import check_members
from ..results.run_dir import RunDir, check_run_dir, new_default_dir
from .data_shares import DataShares
from .forkserver_client import ForkServerClient
from .hosts import host_names
from .jobs import group_nodes, imported_modules
from .launch_keys import check_keys
from .machine_limits import check_this_machine
from .placement.executor import Engine, open_engine
from .placement.own_rows import unread
from .preflight import check_data
from .regions.checks import check_regions
from .regions.plan import Regions, at_the_top, regions_of


@dataclass(frozen=True)
class Prepared:
    """A run that can begin: what is to be learned, from which rows, and where it is written down."""

    experiment: Experiment  # with a node for each site, where those lie at an engine
    run: str  # its name
    run_dir: RunDir
    shares: DataShares
    regions: Regions
    hosts: Sequence[str] = ()  # the processes whose nodes share an inbox, the launcher's first; see `host_names`
    engine: Engine | None = None  # places clients and peers; None: they are forked here

    @property
    def reached(self) -> Experiment:
        """The experiment with the addresses at which nodes and launcher reach each other."""
        return self.experiment if self.engine is None else self.engine.experiment


@asynccontextmanager
async def prepared(
    experiment: Experiment,
    fork_server: ForkServerClient,
    *,
    out: Path | None,
    resume: Path | None,
    on: object | None,
    data: object | None,
    divide: Callable[[Experiment], DataShares],
    warn: Callable[[str], None],
    on_target: Callable[[str], None],
) -> AsyncIterator[Prepared]:
    """Yield what `launch` begins, by the arguments that it was given; the data and the folder are closed after it.

    What cannot be is refused as early as it can be known: before the data are loaded, and before there is a folder.
    """
    run = f"{experiment.mode}-{secrets.token_hex(3)}"
    if modules := imported_modules(experiment):
        fork_server.preload(modules)
    async with AsyncExitStack() as stack:
        opening = open_engine(experiment, on, data, warn)
        engine = None if opening is None else await stack.enter_async_context(opening)
        if engine is not None:  # with a node for each site there, and this launcher's own addresses
            experiment = replace(engine.experiment, network=experiment.network)
            check_regions(experiment)
        regions = regions_of(experiment, run)
        hosts = _check(experiment, regions, here=engine is None)
        # Before the data are loaded: what cannot be resumed is refused at once.
        earlier = None if resume is None else _reopened(stack, resume, out, experiment)
        divided = unread if engine is not None and engine.rows_there else divide
        shares = await asyncio.to_thread(divided, experiment)
        stack.callback(shares.close)
        if shares.target:
            on_target(shares.target)
        if shares.kinds is not None or experiment.data.preprocess != DataConfig.preprocess:
            from nervenet.models.pipeline.given import STEPS

            fork_server.preload(STEPS)  # once, and not once a node
        if divided is not unread:
            check_data(experiment, shares, initial=resume is None)
        run_dir = earlier if earlier is not None else stack.enter_context(_new_run_dir(experiment, out))
        yield Prepared(experiment, run, run_dir, shares, regions, hosts, engine)


def _check(experiment: Experiment, regions: Regions, *, here: bool) -> Sequence[str]:
    """Refuse what its nodes' names, the keys or this machine rule out; return the hosts of those that are `here`."""
    names = node_names(experiment)
    check_members(experiment, names)
    check_keys(experiment)
    groups, hosts = (group_nodes(experiment, names), host_names(experiment)) if here else ([], [])
    check_this_machine(experiment, groups, shared=bool(hosts), regions=len(regions.all))
    return hosts


def _reopened(stack: AsyncExitStack, resume: Path, out: Path | None, experiment: Experiment) -> RunDir:
    from ..results.resume import reopen, rewind_peers

    check_run_dir(resume, out=out)
    run_dir = stack.enter_context(reopen(resume, experiment, at_the_top(experiment)))
    if experiment.mode == "gossip":
        rewind_peers(run_dir)
    return run_dir


def _new_run_dir(experiment: Experiment, out: Path | None) -> RunDir:
    path = out or new_default_dir(experiment, datetime.now(UTC))
    return RunDir(path, max_log_bytes=experiment.max_log_bytes)
