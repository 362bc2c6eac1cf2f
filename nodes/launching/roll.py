"""The nodes of a launch and its secret, as the launcher hands them to the processes that it starts."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from nervenet.broker.enrollment import SECRET_BYTES, Enrollment

SERVICES = {"broker": "broker", "launcher": "launcher", "baseline": "baseline"}


def new_enrollment(roles: Mapping[str, str]) -> Enrollment:
    """Return that of a new launch of nodes with these roles: nobody else can take part in its run."""
    return Enrollment(secrets.token_bytes(SECRET_BYTES), {**SERVICES, **roles})


def to_job(run: str, report_server: Mapping[str, str], enrollment: Enrollment) -> dict[str, Any]:
    """Return what every process of a run is told: through a pipe, and neither in a file nor on a command line."""
    enrolled = {"secret": enrollment.secret.hex(), "roles": dict(enrollment.roles)}
    return {"run": run, "report_server": dict(report_server), "enrollment": enrolled}


def from_job(job: Mapping[str, Any]) -> Enrollment:
    found = job.get("enrollment") or {}
    return Enrollment(bytes.fromhex(found.get("secret", "")), dict(found.get("roles", {})))
