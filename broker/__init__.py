"""Moves messages between nodes: it handles arrays and knows nothing of learning.

Names are loaded on first use, so that a node imports only what it needs.
"""
# ruff: noqa: F403, F405

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .broker import Broker
    from .codec import Limits
    from .errors import *
    from .events import Publisher
    from .lease import Lease
    from .subscriber import EventStream
    from .transport import Transport, ZmqTransport

__all__ = [
    "AddressInUse",
    "BadAddress",
    "Broker",
    "BrokerError",
    "BrokerUnreachable",
    "EventStream",
    "JoinRefused",
    "Lease",
    "Limits",
    "MessageTooLarge",
    "NameTaken",
    "PeerUnreachable",
    "ProtocolError",
    "Publisher",
    "RosterIncomplete",
    "Transport",
    "TransportClosed",
    "ZmqTransport",
]

_MODULES = {
    "Broker": "broker",
    "EventStream": "subscriber",
    "Lease": "lease",
    "Limits": "codec",
    "Publisher": "events",
    "Transport": "transport",
    "ZmqTransport": "transport",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)
