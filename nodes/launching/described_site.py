"""What a forked process does for `describe`: reads one file, answers questions about it, and reports how that ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from nervenet.broker.security.plain import Plain
from nervenet.models.data.data import DataError
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.tables.columns import read_columns
from nervenet.models.tables.options import ReadOptions

from ..config.schema import Experiment
from ..roles.inquiry import Respondent
from ..runtime.identity import NodeIdentity
from ..runtime.report_client import report_once
from .roll import from_job

SHARED = {"mode": "federated", "purpose": "describe"}
"""What the nodes of such a run have in common: one that trains is refused among them."""

UNTOLD = 1
"""The number of rows that a site joins with, whatever it has: it is told in an answer, or not at all."""


async def answer_questions(job: Mapping[str, Any]) -> int:
    """Take part in the run of `job` with its file, and return the exit code."""
    where = (job["report_server"], job["run"], job["name"], "client")
    security = Plain(enrollment=from_job(job))
    try:
        options = msgspec.convert(job["options"], ReadOptions)
        table, notes = await asyncio.to_thread(read_columns, Path(job["file"]), options)
        identity = NodeIdentity(
            job["broker"],
            job["run"],
            job["name"],
            job["report_server"],
            shared_config=SHARED,
            patient=True,  # another site may have more to read
            replace=True,
            security=security,
        )
        experiment = Experiment.from_dict(job["experiment"])
        describer = SiteDescriber(table, job["min_rows"])
        async with Respondent(describer.answer, UNTOLD, experiment, identity) as node:
            await node.done()
            await node.session.reports.report("result", {"notes": list(notes)})
    except asyncio.CancelledError:
        return 0
    except Exception as error:  # noqa: BLE001  (whatever it is, the launcher hears of it)
        kind = "data" if isinstance(error, DataError) else "failure"
        reason = str(error) or type(error).__name__
        await report_once(*where, "result", {"failed": reason, "kind": kind}, security=security)
        return 1
    return 0
