"""The broker of a launch in its own process: serves until it is stopped, and reports where it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..config.schema import NetworkConfig
from ..runtime.report_client import report_once
from ..runtime.secured import closing_gate, on_key_warning, security_of
from .process_logs import log_key_warning
from .roll import from_job


async def serve_broker(job: Mapping[str, Any]) -> int:
    from nervenet.broker.broker import Broker

    network = NetworkConfig(keys=job.get("keys"), insecure=bool(job.get("insecure")))
    security = security_of(network, "broker", enrollment=from_job(job))
    said = partial(log_key_warning, job["run"], "broker")
    on_key_warning(security, said)
    with closing_gate(security):
        async with Broker(job["bind"], advertise=job.get("advertise"), security=security, on_refused=said) as broker:
            fields = {"pid": os.getpid(), "addresses": dict(broker.addresses)}
            where = (job["report_server"], job["run"], "broker", "broker")
            await report_once(*where, "ready", fields, security=security)
            await broker.serve()
    return 0
