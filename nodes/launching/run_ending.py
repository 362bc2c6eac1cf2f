"""The end of a launched run: everybody is stopped in order, the folder is made whole, and monitors learn of it."""

from __future__ import annotations

import asyncio

from ..report.written import write_report
from ..results.run_result import RunResult, node_result, run_completed, run_ended
from .announcements import Announcements
from .preparation import Prepared
from .reported_result import Beginning, write_reported
from .run_course import Outcome
from .run_events import END_RELAYED_S
from .run_services import STOP_S, RunServices

STOPPED_RELAYED_S = 2.0  # how long the word of an orderly stop may take to reach monitors


async def ended(
    outcome: Outcome,
    prepared: Prepared,
    services: RunServices,
    announcements: Announcements,
    began: Beginning,
) -> RunResult:
    """Stop everybody, write the results, say how the run has ended, and return its result."""
    supervisor, events, run_dir = services.supervisor, services.events, prepared.run_dir
    completed = outcome.status == "completed"
    if not completed:
        # The folder is readable even if something ends this process while the nodes end.
        await asyncio.to_thread(write_reported, outcome, prepared, services, began)
        # They report what they have when they are stopped; a second signal ends this wait by ending the process.
        # No socket is left open to those that must be killed: ZeroMQ was seen to abort as hundreds died at once.
        await supervisor.stop_nodes(STOP_S, services.report_servers.close)
    result = await asyncio.to_thread(write_reported, outcome, prepared, services, began)
    for name in result["by_node"]:
        events.publish("node.result", **node_result(name, result))
    if result.status == "completed":
        events.publish("run.completed", **run_completed(result))
    else:
        events.publish("run.failed", **run_ended(result), reason=result.reason)
    if supervisor.broker_runs:  # which is stopped last, so that monitors learn of the end
        await events.end_relayed(END_RELAYED_S if completed else STOPPED_RELAYED_S)
    await supervisor.stop(STOP_S)
    await events.all_left(supervisor.survivors())
    announcements.end()
    rounds = supervisor.reports.rounds
    await asyncio.to_thread(run_dir.write_rounds, prepared.experiment.mode, rounds, result["baseline"])
    if missing := await asyncio.to_thread(write_report, run_dir.path):
        events.publish("warning", reason=missing)
    events.say_refused()
    return result
