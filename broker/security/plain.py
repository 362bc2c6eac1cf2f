"""Sockets without keys: neither encrypted nor authenticated, and so within this machine alone."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from ..enrollment import OPEN, Enrollment
from ..errors import NotEncrypted

BROKER = ""
"""In place of the name of a node that is dialed: whoever is allowed as the broker."""

_WITHIN = ("ipc", "inproc")  # of libzmq's others tcp may stay within, and tipc spans a cluster


@dataclass(frozen=True, slots=True)
class Plain:
    """Addresses beyond this machine are refused, unless somebody has said ``insecure``."""

    insecure: bool = False
    enrollment: Enrollment = OPEN

    def check(self, address: str) -> None:
        """Raise `NotEncrypted` for an address that may not be bound or dialed."""
        if not self.insecure and not is_local(address):
            raise NotEncrypted(address)

    def listen(self, *_: object) -> None:
        """Leave a socket as it is."""


LOCAL = Plain()
"""What every socket has that is told nothing else."""


def is_local(address: str) -> bool:
    """Return whether an address does not leave this machine: ipc, inproc, or tcp over its loopback.

    No name is looked up but ``localhost``. What has no scheme leads nowhere.
    """
    scheme, separator, rest = address.partition("://")
    if not separator or scheme in _WITHIN:
        return True
    source, _, target = rest.rpartition(";")  # tcp://SOURCE;TARGET says from where to dial as well
    return scheme == "tcp" and all(_is_loopback(host.rpartition(":")[0]) for host in (source or target, target))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
