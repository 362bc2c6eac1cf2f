"""Moves messages between nodes: knows arrays, knows nothing of learning.

Names are loaded when they are first asked for, so that a node pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "Broker": "broker",
    "BrokerError": "errors",
    "EventStream": "subscriber",
    "Faults": "testing.faults",
    "Limits": "codec",
    "MemoryTransport": "testing.memory",
    "Lease": "lease",
    "Network": "testing.memory",
    "ProtocolError": "errors",
    "Publisher": "subscriber",
    "Transport": "transport",
    "ZmqTransport": "transport",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
