"""As what a node publishes, and what: in a launch with regions all events are of the launched run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .identity import NodeIdentity

OF_OTHERS = frozenset(
    ("node.suspect", "node.lost", "update.rejected", "site.declined", "warning", "connection.refused")
)
"""What an aggregator publishes as the coordinator of its region; of itself it says all as a client of the run above."""


def published_as(identity: NodeIdentity, role: str) -> tuple[str, str]:
    """Return the run and the role that a node's events bear."""
    if not identity.publishes_for:
        return identity.run, role
    return identity.publishes_for, "aggregator" if role == "coordinator" else role


def is_of_launch(identity: NodeIdentity, role: str, kind: str, fields: Mapping[str, Any]) -> bool:
    """Whether an event of a node is published: all are, but a region's rounds in a launch, which has its own."""
    return not identity.publishes_for or role != "coordinator" or is_of_others(kind, fields)


def is_of_others(kind: str, fields: Mapping[str, Any]) -> bool:
    """Whether what the coordinator of a region says is of its clients, and not of its own rounds."""
    return kind in OF_OTHERS or (kind == "node.ready" and "subject" in fields)
