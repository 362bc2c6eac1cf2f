"""Sockets without keys: neither encrypted nor authenticated, and so within this machine alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import NotEncrypted

BROKER = ""
"""In place of the name of a node that is dialed: whoever is allowed as the broker."""

_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|\[::1\]|::1", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Plain:
    """Addresses beyond this machine are refused, unless somebody has said ``insecure``."""

    insecure: bool = False

    def check(self, address: str) -> None:
        """Raise `NotEncrypted` for an address that may not be bound or dialed."""
        if not self.insecure and not is_local(address):
            raise NotEncrypted(address)

    def listen(self, *_: object) -> None:
        """Leave a socket as it is."""


LOCAL = Plain()
"""What every socket has that is told nothing else."""


def is_local(address: str) -> bool:
    """Return whether an address does not leave this machine: ipc, inproc, or tcp over its loopback; no name is looked
    up. One that is malformed leads nowhere."""
    scheme, _, rest = address.partition("://")
    if scheme != "tcp":
        return True
    source, _, target = rest.rpartition(";")  # tcp://SOURCE;TARGET says from where to dial as well
    return all(_LOOPBACK.fullmatch(host.rpartition(":")[0]) for host in (source or target, target))
