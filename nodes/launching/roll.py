"""The nodes of a launch and its secret, as the launcher hands them to the processes that it starts."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from nervenet.broker.enrollment import SECRET_BYTES, Enrollment

SERVICES = {"broker": "broker", "launcher": "launcher", "baseline": "baseline"}


def new_enrollment(roles: Mapping[str, str], below: Mapping[str, Mapping[str, str]] | None = None) -> Enrollment:
    """Return that of a new launch of nodes with these roles: nobody else can take part in its run.

    `below`: their roles in the runs of its regions, by the run's name.
    """
    within = {run: {**SERVICES, **of_run} for run, of_run in (below or {}).items()}
    return Enrollment(secrets.token_bytes(SECRET_BYTES), {**SERVICES, **roles}, within)


def to_job(run: str, report_server: Mapping[str, str], enrollment: Enrollment) -> dict[str, Any]:
    """Return what every process of a run is told: through a pipe, and neither in a file nor on a command line."""
    below = {run: dict(roles) for run, roles in enrollment.below.items()}
    enrolled = {"secret": enrollment.secret.hex(), "roles": dict(enrollment.roles), "below": below}
    return {"run": run, "report_server": dict(report_server), "enrollment": enrolled}


def from_job(job: Mapping[str, Any]) -> Enrollment:
    found = job.get("enrollment") or {}
    return Enrollment(bytes.fromhex(found.get("secret", "")), dict(found.get("roles", {})), found.get("below", {}))
