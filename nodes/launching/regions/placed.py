"""Where a node of a launch is, as its job says: in the launched run, or in that of its region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...config.schema import Experiment
from ...roles.aggregator import Aggregator
from .plan import AGGREGATOR, at_the_top, in_a_region


@dataclass(frozen=True)
class Placed:
    """The run that a node takes part in, its experiment there, and where it reports; under which role, of its name."""

    run: str
    experiment: Experiment
    report_server: Mapping[str, str]
    role: str
    region: str = ""  # the name of its region, if it is in one
    above: str = ""  # and then the launched run

    @classmethod
    def of(cls, job: Mapping[str, Any], spec: Mapping[str, Any], experiment: Experiment) -> Placed:
        """Return that of the node that a part of a job is about."""
        region = spec.get("region")
        if region is None:
            at_top = at_the_top(experiment) if spec["role"] == "coordinator" else experiment
            return cls(job["run"], at_top, job["report_server"], spec["role"])
        role = "coordinator" if spec["role"] == AGGREGATOR else spec["role"]
        within = in_a_region(experiment, region["clients"])
        return cls(region["run"], within, region["report_server"], role, region["name"], job["run"])

    def identity(self, broker: str) -> dict[str, Any]:
        """Return what the identity of a node in a region says beyond that of one in a run without regions."""
        if not self.region:
            return {}
        return {"region": self.region, "publishes_for": self.above, "upstream": broker, "upstream_run": self.above}


def of_aggregator(node: Aggregator, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an aggregator reports: the figures of a coordinator, and the bytes of both its halves.

    The model is the run's, which its coordinator reports.
    """
    return with_bytes_above(fields, node.sent_above)


def with_bytes_above(fields: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of an aggregator: those of the half below, and the bytes of that `above` as well."""
    kinds = dict(fields.get("bytes_sent_by_kind", {}))
    for kind, count in above.get("bytes_sent_by_kind", {}).items():
        kinds[kind] = kinds.get(kind, 0) + count
    bytes_ = {key: fields.get(key, 0) + above.get(key, 0) for key in ("bytes_sent", "bytes_received")}
    return {**fields, **bytes_, "bytes_sent_by_kind": kinds, "role": AGGREGATOR}
