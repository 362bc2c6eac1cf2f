"""All checks of a site, one after another: what `nervenet doctor` runs.

Nothing is joined, published or left behind, so that a run in progress is not disturbed; each probe has a deadline.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nervenet.broker.greeting import greet

from ..config.factory import node_names
from ..config.schema import Experiment
from ..launching.machine_limits import files_of_process
from ..runtime.secured import close_gate, key_name
from .broker_facts import Asked
from .broker_findings import judge_broker
from .broker_probe import ANSWER_S, probe_broker
from .finding import Finding, problem
from .machine_facts import look_at_folder, look_at_libraries, look_at_limits, look_at_ports
from .machine_findings import judge_folder, judge_interface, judge_libraries, judge_limits, judge_ports
from .site import DIALED, judge_allowed, judge_data, judge_experiment, judge_policy, read_keys

DEFAULT_BROKER = ("127.0.0.1", 5555)
SERVICES = 3  # consecutive ports of a broker
DATA_S = 120.0  # in which a site's own file is read
LOOK_S = 10.0  # in which a file system answers

T = TypeVar("T")


@dataclass(frozen=True)
class Visit:
    """What is to be looked at."""

    experiment: Experiment
    file: Path | None = None
    broker: str | None = None
    run: str = ""
    name: str | None = None
    out: Path = Path("runs")
    data: bool = False  # whether this site's rows are to be read
    ineffective: tuple[str, ...] = ()  # settings without effect


async def examine(visit: Visit) -> AsyncIterator[Finding]:
    """Yield one finding after another, as soon as each is known."""
    experiment = visit.experiment
    for finding in judge_libraries(look_at_libraries()):
        yield finding
    for finding in judge_experiment(experiment, visit.file, list(visit.ineffective)):
        yield finding
    for finding in judge_policy(experiment, visit.run):
        yield finding
    needed = files_of_process(experiment, node_names(experiment)[:1])
    for finding in judge_limits(look_at_limits(), needed):
        yield finding
    for finding in await _within(LOOK_S, lambda: list(judge_folder(look_at_folder(visit.out))), "disk", str(visit.out)):
        yield finding
    if visit.data:
        for finding in await _within(DATA_S, lambda: list(judge_data(experiment)), "data", experiment.data.name):
            yield finding
    async for finding in _network(visit):
        yield finding


async def _network(visit: Visit) -> AsyncIterator[Finding]:
    experiment = visit.experiment
    security, found = read_keys(experiment.network, visit.name)
    for finding in found:
        yield finding
    broker = visit.broker
    if broker is None:
        host, port = DEFAULT_BROKER
        if not (await greet(f"tcp://{host}:{port}", ANSWER_S)).connected:
            for finding in judge_ports(look_at_ports(host, tuple(range(port, port + SERVICES)))):
                yield finding
            if bind := _inbox(experiment, f"tcp://{host}:{port}"):
                yield judge_interface(look_at_ports(bind, (0,)))
            return
        broker = f"tcp://{host}:{port}"
    if security is None:
        return
    try:
        for finding in judge_allowed(security, experiment.mode):
            yield finding
        asked = Asked(
            broker, visit.run, DIALED[experiment.mode], _inbox(experiment, broker), experiment.network.advertise or ""
        )
        facts = await probe_broker(asked, security)
        for finding in judge_broker(facts, visit.name or key_name(security) or ""):
            yield finding
    finally:
        close_gate(security)


def _inbox(experiment: Experiment, broker: str) -> str:
    """Return the interface on which this node would be dialed, or nothing: clients only ever dial."""
    network = experiment.network
    dialed = experiment.mode == "gossip" or network.advertise is not None
    return network.bind if dialed and network.transport == "tcp" and broker.startswith("tcp://") else ""


async def _within(limit_s: float, look: Callable[[], Iterable[Finding]], check: str, what: str) -> Iterable[Finding]:
    """Return what a look at files finds; one that does not return is left behind in its thread."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Iterable[Finding]] = loop.create_future()

    def settle(found: Iterable[Finding] | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        elif found is not None:
            done.set_result(found)

    def work() -> None:
        try:
            found, error = look(), None
        except BaseException as caught:  # noqa: BLE001  raised in the caller
            found, error = None, caught
        try:
            loop.call_soon_threadsafe(settle, found, error)
        except RuntimeError:  # the loop has been closed meanwhile
            return

    threading.Thread(target=work, daemon=True, name=f"doctor.{check}").start()
    try:
        async with asyncio.timeout(limit_s):
            return await done
    except TimeoutError:
        remedy = "look whether its disk or network drive answers"
        return [problem(check, f"{what} was not read within {limit_s:g} s", "", remedy)]
