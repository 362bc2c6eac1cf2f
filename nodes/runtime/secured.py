"""How a node's connections are secured, as its experiment says: by a folder of keys, or not beyond this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nervenet.broker.security.plain import BROKER, Plain
from nervenet.broker.sockets import Security

from ..config.schema import NetworkConfig

if TYPE_CHECKING:
    from nervenet.broker.security.gate import Gate


def security_of(network: NetworkConfig, name: str | None, usual: str = "", gate: Gate | None = None) -> Security:
    """Return how the sockets of a node are secured.

    Parameters
    ----------
    network
        Its `keys` are the folder.
    name
        That of its key, and so of the node; None: that of the only key in the folder, or of the one called `usual`.
    gate
        Shared by the nodes of a process, which closes it; else it is the node's own.

    Raises
    ------
    KeysError
        The key is missing, or cannot be used: that never means that none is needed.
    """
    if network.keys is None:
        return Plain(network.insecure)
    from nervenet.broker.security.gate import Gate
    from nervenet.broker.security.policy import Curve, own_keys

    folder = Path(network.keys)
    keys = own_keys(folder, name, usual)
    return Curve(keys, gate or Gate(folder, own=keys))


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
        from nervenet.broker.errors import KeysError

        raise KeysError(security.unknown(BROKER))


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
