"""Which way Dask's own connections take, and whether strangers could read what travels over them. Pure.

Over that link go a launch's rows and the secret keys of its nodes; what is learned goes over nervenet's own sockets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

ENCRYPTED = ("tls", "wss")
WITHIN = ("inproc",)  # the scheduler is in this process


def host_of(address: str) -> str:
    """Return the host of an address such as ``tls://10.0.0.5:8786``."""
    rest = address.partition("://")[2] or address
    host = rest.rpartition(":")[0] if ":" in rest else rest
    return host.strip("[]")


def is_within(address: str) -> bool:
    """Whether what is sent to an address stays on this machine."""
    if address.partition("://")[0] in WITHIN:
        return True
    try:
        return ipaddress.ip_address(host_of(address)).is_loopback
    except ValueError:
        return host_of(address) == "localhost"


def readable(addresses: Iterable[str]) -> list[str]:
    """Return those that leave this machine and are not encrypted."""
    return [address for address in addresses if address.partition("://")[0] not in ENCRYPTED and not is_within(address)]
