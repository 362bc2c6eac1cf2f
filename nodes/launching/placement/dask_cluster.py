"""The way into a Dask cluster: its scheduler by address, or a cluster on this machine; and what it must be like.

Refused before anything starts: a scheduler that is not there, workers with another nervenet, a link that strangers
could read. See docs/cluster.md and docs/security.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from nervenet.models.extras import require

from ...config.factory import node_names
from ...config.keys import ExperimentError
from ...config.schema import Experiment, NetworkConfig
from ...config.site_names import site_names
from ...experiment.validation import validate
from .executor import Wanted
from .link import host_of, is_within, readable
from .placing import Placing, workers_in_words
from .sites_there import SiteFile, look, sites_at

if TYPE_CHECKING:
    from distributed import Client, Future

    from .dask_executor import DaskExecutor

CONNECT_S = 10.0  # in which a scheduler must answer
PROBE_S = 10.0  # and its workers
PARTITIONS = "partitions"  # the name of data whose sites are those of a data frame
LOOK_S = 60.0  # in which they say which files they have
CLOSE_S = 10.0  # in which a cluster of this launch's own ends


@asynccontextmanager
async def open_dask(wanted: Wanted) -> AsyncIterator[DaskExecutor]:
    """Connect to the cluster that is wanted, look whether it can run the experiment, and leave it at the end.

    Raises
    ------
    ExperimentError
        It is not there, or not as it must be: each names what was found and what to do.
    """
    require("cluster.on = 'dask'", "distributed")
    async with AsyncExitStack() as stack:
        client = await _connected(wanted, stack)
        scheduler = client.scheduler.address
        threads = dict(await _within(PROBE_S, client.nthreads(), f"the scheduler {scheduler} does not answer"))
        experiment = _reached(wanted.experiment, scheduler, threads)
        _check_link([scheduler, *threads], experiment)
        await _check_versions(client, threads)
        experiment, sites = await _sites(client, experiment, wanted.data)
        from .dask_executor import DaskExecutor

        placing = Placing(experiment.cluster.deadline_s, version("nervenet"), reachable=_reaches(experiment))
        executor = DaskExecutor(client, experiment, placing, threads, sites)
        stack.push_async_callback(executor.close)
        yield executor


async def _connected(wanted: Wanted, stack: AsyncExitStack) -> Client:
    """Return a client of this event loop; the stack closes it, and a cluster that was started for it."""
    import dask.config
    from distributed import Client, LocalCluster

    given, address = wanted.client, wanted.address
    options: dict[str, Any] = {"asynchronous": True, "timeout": CONNECT_S, "set_as_default": False}
    if given is not None:
        address, security = _of_program(given)
        options["security"] = security
    elif not address:
        count = os.cpu_count() or 1
        if (
            wanted.data is None and wanted.experiment.cluster.data == "launcher"
        ):  # else nobody has counted the sites yet
            count = min(wanted.experiment.process_count, count)
        wanted.say(f"starting a Dask cluster on this machine: {workers_in_words([1] * count)}")
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tcp",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            asynchronous=True,
            preload=[_IGNORE_INTERRUPT],
        )
        stack.push_async_callback(_closed, cluster)
        await cluster
        address = cluster.scheduler_address
    elif "://" not in address:
        encrypted = dask.config.get("distributed.comm.tls.ca-file", None) is not None
        address = f"{'tls' if encrypted else 'tcp'}://{address}"
    client = Client(address, **options)
    stack.push_async_callback(_closed, client)
    try:
        await client
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise ExperimentError(
            f"cluster.on = {wanted.experiment.cluster.on or address!r}: no Dask scheduler answers at {address} within "
            f"{CONNECT_S:g} s ({why}); is it running, encrypted (dask+tls://HOST:PORT), within reach of this machine?"
        ) from None
    return client


_IGNORE_INTERRUPT = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
"""
"""For workers that a launch has started: Ctrl-C reaches the whole process group, and the launcher alone decides."""


def _of_program(given: object) -> tuple[str, object]:
    """Return the scheduler's address, and how the link is secured, of a Dask client or cluster of a program."""
    scheduler = getattr(given, "scheduler", None)
    address = getattr(given, "scheduler_address", None) or getattr(scheduler, "address", None)
    if not isinstance(address, str) or not address:
        raise ExperimentError(f"on: expected a Dask client or cluster that has started, found {type(given).__name__}")
    return address, getattr(given, "security", None)


async def _closed(each: Any) -> None:
    """Close a client or a cluster, but wait no longer than `CLOSE_S`.

    What it cannot do for want of its scheduler is nobody's loss any more, and neither raised nor logged.
    """
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_S):
                await each.close()
    finally:
        log.setLevel(level)


async def _within(seconds: float, work: Any, otherwise: str) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except (OSError, TimeoutError) as error:
        why = str(error).partition("\n")[0] or f"within {seconds:g} s"
        raise ExperimentError(f"cluster.on: {otherwise} ({why})") from None


def _reached(experiment: Experiment, scheduler: str, workers: Mapping[str, int]) -> Experiment:
    """Return the experiment with an address of this machine at which the workers reach it.

    It is the one from which this machine reaches their scheduler, unless the experiment says another, or nobody is
    beyond this machine.
    """
    network = experiment.network
    if network.transport != "tcp":
        raise ExperimentError(
            f"network.transport = {network.transport!r}: stays on one machine, and cluster.on places nodes on several; "
            "expected tcp"
        )
    if network.bind != NetworkConfig.bind or all(map(is_within, (scheduler, *workers))):
        return experiment
    from distributed.utils import get_ip

    try:
        here = get_ip(host_of(scheduler), 1)
    except OSError as error:
        raise ExperimentError(
            f"network.bind: no address of this machine reaches {scheduler} ({error}); say which others reach, with "
            "--set network.bind=ADDRESS"
        ) from None
    return replace(experiment, network=replace(network, bind=here))


def _check_link(addresses: list[str], experiment: Experiment) -> None:
    """Refuse a cluster whose own connections strangers could read: rows and keys travel over them."""
    if experiment.network.insecure:
        return
    if plain := readable(addresses):
        raise ExperimentError(
            f"cluster.on: the link to {plain[0]} is not encrypted, and the nodes' rows and keys would travel over it; "
            "start scheduler and workers with Dask's --tls-ca-file, --tls-cert and --tls-key, and say "
            "dask+tls://HOST:PORT; or accept it with --insecure: anybody on the way can then read and forge everything"
        )


async def _check_versions(client: Client, workers: Mapping[str, int]) -> None:
    """Refuse workers that have another nervenet than this program, or none: by name."""
    if not workers:
        return
    own = version("nervenet")
    asking = client.run(version, "nervenet", on_error="return")
    found = await _within(PROBE_S, asking, "a worker does not say which nervenet it has")
    for worker, has in sorted(found.items()):
        if isinstance(has, PackageNotFoundError):
            has = "no nervenet"
        elif isinstance(has, BaseException):
            raise ExperimentError(f"cluster.on: worker {worker} cannot be asked for its nervenet: {has}")
        else:
            has = f"nervenet {has}"
        if has != f"nervenet {own}":
            raise ExperimentError(
                f"cluster.on: worker {worker} has {has}, and this is {own}: install the same there "
                f'(pip install "nervenet=={own}")'
            )


async def _sites(
    client: Client, experiment: Experiment, frame: Any
) -> tuple[Experiment, Mapping[str, SiteFile | Future] | None]:
    """Return the experiment with a node for each site whose rows lie at the workers, and where; None: none do."""
    there = experiment.cluster.data == "workers"
    if frame is None and not there:
        return experiment, None
    if frame is not None:
        parts = _partitions(frame)
        partitions = client.compute(parts)
        named = replace(experiment.data, name=PARTITIONS, sites=())
        found = _with_own_rows(replace(experiment, nodes=len(partitions), data=named))
        return found, dict(zip(node_names(found), partitions, strict=True))
    patterns = experiment.data.sites
    if not patterns:
        raise ExperimentError("cluster.data = 'workers': expected data.sites (--sites), the paths of the files there")
    looking = client.run(look, patterns)
    sites = sites_at(await _within(LOOK_S, looking, "the workers do not say which files they have"), patterns)
    found = _with_own_rows(replace(experiment, nodes=len(sites), data=replace(experiment.data, sites=tuple(sites))))
    return found, {name: sites[str(path)] for name, path in site_names(found.data.sites).items()}


def _partitions(frame: Any) -> list[Any]:
    """Return the partitions of a Dask DataFrame, each to be computed where its data are."""
    if not hasattr(frame, "to_delayed") or not hasattr(frame, "npartitions"):
        raise ExperimentError(f"data: expected a Dask DataFrame, found {type(frame).__name__}")
    return list(frame.to_delayed())


def _with_own_rows(experiment: Experiment) -> Experiment:
    """Return the experiment as nodes run it that bring their own rows: each in its process, judged on its own."""
    if experiment.process_count != experiment.nodes:
        raise ExperimentError(
            f"processes = {experiment.processes}: expected one for each of the {experiment.nodes} sites whose rows lie "
            "at the workers; leave it out"
        )
    evaluation = replace(experiment.evaluation, baseline=False, sites=experiment.mode == "federated")
    found = replace(experiment, evaluation=evaluation)
    validate(found)
    return found


def _reaches(experiment: Experiment) -> Callable[[str], str]:
    """Return what says why a worker that comes later could not reach this launcher, or must not."""
    network = experiment.network

    def wrong(worker: str) -> str:
        if is_within(worker):
            return ""
        if is_within(f"tcp://{network.bind}:1"):
            return (
                f"this launcher listens on {network.bind} alone, which other machines do not reach: --set network.bind"
            )
        return "" if network.insecure or not readable([worker]) else "its link is not encrypted"

    return wrong
