"""What a forked process does: host one or more nodes, a broker, or the baselines, and report to the launcher.

These processes belong to the launcher alone, so they may do what an embedded node may not: handle signals, configure
logging, write to standard error (which is the run folder's log).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .node_group import host_nodes
from .process_logs import LogSettings, configure
from .serving_broker import serve_broker

if TYPE_CHECKING:
    from ..roles.registry import Node

LINGER_S = 5.0  # how long a broker serves on after SIGTERM: its launcher, which may have had it too, ends the run
SWITCH_INTERVAL_S = 0.0005  # how long the event loop waits at most for a training thread to release the interpreter
COLLECTOR = (10_000, 20, 20)  # objects, and collections of the generation before, between two looks for garbage


def settle_process() -> None:
    """Set for this whole process what an embedded node must leave alone: how often threads and collector take over.

    A round makes some hundred objects, none of them garbage in a cycle: by default every third one is looked through.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECTOR)


def host(job: Mapping[str, Any], descriptors: Sequence[int]) -> int:
    """Do `job` in this process and return the exit code. The first descriptor is the log, the rest are the job's."""
    log, *rest = descriptors
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    configure(LogSettings.from_job(job), sys.stderr)
    settle_process()
    match job["kind"]:
        case "broker":
            return asyncio.run(_until_terminated(serve_broker(job), job["stop_by"], LINGER_S))
        case "nodes":
            hosted: list[Node] = []
            return asyncio.run(_until_terminated(host_nodes(job, rest, hosted), on_stop=lambda: _mute(hosted)))
        case "baseline":
            from .baselines import report_baselines

            with suppress(OSError):
                os.nice(10)
            return asyncio.run(_until_terminated(report_baselines(job, rest)))
        case "describe":
            from .described_site import answer_questions

            return asyncio.run(_until_terminated(answer_questions(job)))
        case kind:
            raise ValueError(f"kind must be broker, nodes, baseline or describe, found {kind!r}")


async def _until_terminated(
    work: Any,
    stop_by: int = signal.SIGTERM,
    linger_s: float = 0.0,
    on_stop: Callable[[], None] = lambda: None,
) -> int:
    """Run until done, until the signal `stop_by`, or until `linger_s` seconds after SIGTERM; return the exit code."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        # Once: the launcher's own signal may follow one that went to the whole group, and must not cancel the report.
        if not task.cancelling():
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, loop.call_later, linger_s, stop)
    loop.add_signal_handler(stop_by, stop)  # if that is SIGTERM, in place of the line before
    signal.signal(stop_by, lambda *_: on_stop())  # at once: `stop`, of which the loop hears beside, waits for its turn
    try:
        return int(await task or 0)
    except asyncio.CancelledError:
        return 0
    finally:
        # From here on this process ends by itself; a late signal would find the loop already closed.
        for number in {signal.SIGTERM, stop_by}:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)


def _mute(hosted: Sequence[Node]) -> None:
    """Let all nodes of this process drop what they have in hand: a busy machine would take long to work it off."""
    for node in hosted:
        node.session.mute()
