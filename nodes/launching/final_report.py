"""What a node reports at its end: its figures, its rounds and its model; and a run's result as one node knows it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from nervenet.broker.errors import MessageTooLarge
from nervenet.broker.messages import Payload

from ..config.schema import Experiment
from ..large.sizes import Sizes
from ..results.collect import PEERS, PERSONAL, save_models, save_personal
from ..results.run_result import RunResult
from ..results.score_reports import Judged
from ..roles.aggregator import Aggregator
from ..roles.client import Client
from ..roles.coordinator import Coordinator
from ..roles.peer import Peer
from ..roles.registry import Node
from ..runtime.report_client import ReportClient
from .regions.placed import of_aggregator

FEW_LINES = 3  # of each list, where all of them would not fit a message


def report_of(node: Node) -> dict[str, Any]:
    """Return a node's figures as its final report has them."""
    fields = node.session.stats.report(node.session.transport.counters)
    if isinstance(node, Coordinator) and node.best is not None:
        fields["best"] = {"round": node.best.round, "metrics": dict(node.best.metrics)}
        if node.best.clock:
            fields["best"]["clock"] = node.best.clock
    if not node.model.built:  # the run failed before
        return fields
    if clock := node.model.clock if isinstance(node, Client) else node.clock if node.model.scheduled else 0.0:
        fields["clock"] = clock
    return fields


def result_of(name: str, node: Node, reason: str) -> RunResult:
    """Return what one node knows of the result: its figures, and its model."""
    from nervenet.models.site_model import kept_rows

    site_model = node.model
    result = RunResult({name: report_of(node)}, status="failed" if reason else "completed", reason=reason)
    if isinstance(node, Coordinator) and node.best is not None:
        result.best_weights = node.best.weights
    if site_model.built:
        result.weights = site_model.get_weights() if isinstance(node, Client) and not reason else node.weights
        result.task = site_model.preprocessing.task
        result.preprocessing, result.layout = site_model.preprocessing.to_dict(), site_model.layout.to_dict()
        result.judged = Judged(holdout=kept_rows(site_model))
        if isinstance(node, Coordinator):
            result.judged, result.site_matrix = Judged(counts=node.site_counts), node.site_matrix
    return result


async def _models_saved(experiment: Experiment, folder: str, node: Coordinator, failure: str) -> bool:
    """Write the models of a coordinator, so that they are there whatever becomes of the launcher."""
    import structlog

    result = result_of(node.identity.name, node, failure)
    try:
        await asyncio.to_thread(save_models, experiment, Path(folder), result)
    except OSError as error:  # the launcher will try, and fail the run by that name
        of_node = {"run": node.identity.run, "node": node.identity.name}
        structlog.get_logger().warning("models not saved", **of_node, reason=str(error))
        return False
    return True


async def report_end(node: Node, failure: str, folder: str, experiment: Experiment) -> None:
    session, site_model, weights = node.session, node.model, node.weights
    fields = report_of(node) | ({"failed": failure} if failure else {})
    if isinstance(node, Aggregator):  # the run's rounds and its model are for the coordinator above to report
        folder, weights, fields = "", None, of_aggregator(node, fields)
    if folder and isinstance(node, Coordinator):  # before anything waits for the launcher
        fields["models_saved"] = await _models_saved(experiment, folder, node, failure)
    limit = experiment.network.max_message_bytes // 2  # of a message: its header needs room as well
    history = () if isinstance(node, Aggregator) else session.stats.history.to_reports(limit)
    for how, numbers in history:
        rounds = Payload(layout="rounds", dtype="float64", length=numbers.size)
        await session.reports.report("rounds", how, numbers, payload=rounds)
    for site, counts in sorted(node.site_counts.items()) if isinstance(node, Coordinator) else ():
        await session.reports.report("counts", {"site": site, "counts": dict(counts)})
    if weights is None or not site_model.built:
        await _report_result(session.reports, fields)
        return
    layout = site_model.layout
    fields |= {"layout": layout.to_dict(), "agreement": site_model.preprocessing.to_dict()}
    payload = Payload(layout=layout.hash, dtype=layout.dtype, length=layout.size)
    if folder and Sizes.of(experiment.network).too_large(payload):
        # No report carries it: the launcher finds it in the run folder.
        if isinstance(node, Client | Peer):
            name, result = node.identity.name, result_of(node.identity.name, node, failure)
            where = PEERS if isinstance(node, Peer) else PERSONAL
            await asyncio.to_thread(save_personal, experiment, Path(folder), name, result, weights, where)
        await _report_result(session.reports, fields | {"apart": True})
        return
    best = node.best if isinstance(node, Coordinator) else None
    if best is not None and best.weights is not weights:
        await session.reports.report("best", fields["best"], best.weights, payload=payload)
    await _report_result(session.reports, fields, weights, payload)


async def _report_result(
    reports: ReportClient, fields: dict[str, Any], weights: Any = None, payload: Payload | None = None
) -> None:
    """Report the result, if need be without most of its lists: a run must not be lost by them."""
    try:
        await reports.report("result", fields, weights, payload)
    except MessageTooLarge as error:
        warning = f"only a few durations, disturbances and warnings are reported: {error}"
        few = {"round_s": fields["round_s"][-100:], "disturbed": fields["disturbed"][:FEW_LINES]}
        few["warnings"] = [*fields["warnings"][:FEW_LINES], warning]
        await reports.report("result", fields | few, weights, payload)
