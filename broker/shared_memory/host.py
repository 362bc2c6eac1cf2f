"""Which processes can share memory: those of one system, one network namespace and one user."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from .region import can_be_made

_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid: struct ucred


@lru_cache(maxsize=8)
def host_of(run: str) -> str:
    """Return what names this system to the nodes of a run; empty where no memory can be shared.

    It has the boot id, so that no two systems have the same, and the network namespace, in which a Unix socket without
    a file is found. In another run it is another, so that it tells nobody which machine this is.
    """
    if not hasattr(socket, "SO_PEERCRED") or not can_be_made():
        return ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        network = os.stat("/proc/self/ns/net").st_ino  # noqa: PTH116  (follows what Path.readlink would not)
        said = "\0".join((boot, str(network), run)).encode()
        return blake2b(said, digest_size=8).hexdigest()
    return ""


def is_own(connection: socket.socket) -> bool:
    """Return whether the other end of a Unix socket is a process of this one's user."""
    try:
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return False
    return bool(_CREDENTIALS.unpack(found)[1] == os.geteuid())
