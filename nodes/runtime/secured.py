"""How a node's connections are secured, as its experiment says: by a folder of keys, or not beyond this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nervenet.broker.enrollment import OPEN, Enrollment
from nervenet.broker.errors import KeysError
from nervenet.broker.security.plain import BROKER, Plain
from nervenet.broker.security.refusals import Refusals, fields_of
from nervenet.broker.sockets import Security
from nervenet.broker.transport_events import ConnectionRefused

from ..config.schema import NetworkConfig

if TYPE_CHECKING:
    from nervenet.broker.security.gate import Gate

PublishEvent: TypeAlias = "Callable[[str, Mapping[str, Any]], None]"
HELD_BACK_S = 10.0


def security_of(
    network: NetworkConfig,
    name: str | None,
    usual: str = "",
    gate: Gate | None = None,
    enrollment: Enrollment = OPEN,
) -> Security:
    """Return how the sockets of a node are secured.

    Parameters
    ----------
    network
        Its `keys` are the folder.
    name
        That of its key, and so of the node; None: that of the only key in the folder, or of the one called `usual`.
    gate
        Shared by the nodes of a process, which closes it; else it is the node's own.
    enrollment
        Who is of the run, where a launcher has started all of it.

    Raises
    ------
    KeysError
        The key is missing, or cannot be used: that never means that none is needed.
    """
    if network.keys is None:
        return Plain(network.insecure, enrollment)
    from nervenet.broker.security.gate import Gate
    from nervenet.broker.security.policy import Curve, own_keys

    folder = Path(network.keys)
    keys = own_keys(folder, name, usual)
    return Curve(keys, gate or Gate(folder, own=keys), enrollment)


def key_name(security: Security) -> str | None:
    """Return the name that a node has by its key, or None."""
    return None if isinstance(security, Plain) else security.keys.name


def check_way_in(security: Security, *addresses: str) -> None:
    """Refuse what could not be encrypted, or dialed, before anything is begun.

    Raises
    ------
    NotEncrypted
        An address is beyond this machine, and there are no keys.
    KeysError
        No key is allowed as the broker's.
    """
    for address in addresses:
        security.check(address)
    if not isinstance(security, Plain) and security.server(BROKER) is None:
        raise KeysError(security.unknown(BROKER))


def check_entrance(security: Security, broker: str, seed_name: str, seed_peer: str) -> None:
    """Refuse a way into a run that cannot be taken: by a broker, or by a seed peer, which has to be named with keys.

    Raises
    ------
    NotEncrypted, KeysError
    """
    if not seed_peer:
        check_way_in(security, broker)
    elif isinstance(security, Plain):
        security.check(seed_peer)
    elif not seed_name or security.server(seed_name) is None:
        form = f"with keys a seed peer is named: --seed-peer NAME@{seed_peer}"
        raise KeysError(security.unknown(seed_name) if seed_name else form)


class RefusalEvents:
    """Publishes who was not let in, `connection.refused`; of a flood few events, and at last how many more."""

    def __init__(self) -> None:
        self._refusals = Refusals()
        self._timer: asyncio.TimerHandle | None = None

    def publish(self, refusal: ConnectionRefused, publish: PublishEvent) -> None:
        loop = asyncio.get_running_loop()
        count = self._refusals.report(refusal, loop.time())
        if count:
            publish("connection.refused", fields_of(refusal, count))
        elif self._timer is None:
            self._timer = loop.call_later(HELD_BACK_S, self._due, publish)

    def close(self, publish: PublishEvent) -> None:
        """Publish what was held back; idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for refusal, count in self._refusals.rest():
            publish("connection.refused", fields_of(refusal, count))

    def _due(self, publish: PublishEvent) -> None:
        self._timer = None
        for refusal, count in self._refusals.due(asyncio.get_running_loop().time()):
            publish("connection.refused", fields_of(refusal, count))


def on_key_warning(security: Security, warn: Callable[[str], None]) -> None:
    """Have it said what is wrong with the files of allowed keys."""
    if not isinstance(security, Plain):
        security.gate.on_warning = warn


@contextmanager
def closing_gate(security: Security) -> Iterator[None]:
    try:
        yield
    finally:
        close_gate(security)


def close_gate(security: Security) -> None:
    if not isinstance(security, Plain):
        security.gate.close()
