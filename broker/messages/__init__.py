"""Every message of the protocol, one frozen class each; `Message` is their union.

docs/protocol.md is the normative description. A message is a header (a map of the fields of its class, its kind under
``t``) and, where ``payload`` is not ``None``, one array that travels beside it as raw bytes.
"""
# ruff: noqa: F403, F405

from __future__ import annotations

from typing import get_args

from .base import *
from .common import *
from .directory import *
from .federated import *
from .gossip import *
from .hosting import *
from .membership import *
from .ranges import *

CODES = frozenset(
    {
        *("stranger", "version", "run", "stale", "identity", "lane", "malformed", "oversize"),  # of the transport
        *("uninvited", "duplicate", "examples", "values", "payload"),  # of the rounds, beside stale
        *("layout", "dtype", "length"),  # a payload that is not what round 0 agreed on
        "base",  # of gossip by differences
        "busy",  # of gossip without rounds, beside stale
        # of the directory, beside version, stale and identity
        *("config", "held", "incomplete", "late", "limit", "taken", "unknown", "unreachable", "elsewhere"),
    }
)
"""Every code that a `Refused` or `Failed` may carry; docs/protocol.md says when."""

Message = (
    Hello | SharedMemoryOffer | Heartbeat | Goodbye | Refused | Report | Receipt
    | Ready | Task | Update | Declined | Announcement | GetChunk | Chunk | Fetched
    | PeerSurvey | PeerSurveys | CatchUp | Exchange | Propose | Accept | Decision | QueryDecision | Walk
    | GetModel | Model | ReduceReady | ReduceCall | ReducePart | ReducedPart
    | Carried | CarriedBulk | Departed
    | Ping | Ack | Gossip | Shuffle | Edge | GetPeers | Peers
    | Join | Joined | Leave | RenewLease | GetRoster | Roster | GetSnapshot | Snapshot
    | GetEventAddresses | EventAddresses | GetBrokerInfo | BrokerInfo | DialBack | Ok | Failed
)  # fmt: skip

_TAGS = {kind: snake_case(kind.__name__) for kind in get_args(Message)}

BY_TAG: dict[str, type[Message]] = {tag: kind for kind, tag in _TAGS.items()}


def tag_of(message: Message | type[Message]) -> str:
    """Return the kind of a message as it stands on the wire, such as ``task``."""
    return _TAGS[message if isinstance(message, type) else type(message)]
