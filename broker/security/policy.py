"""How a node's sockets are secured by its key and the keys that it allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import zmq

from ..enrollment import OPEN, Enrollment
from ..errors import KeysError
from .allow_list import FOLDER, Entry
from .gate import Gate, Listener, OnRefused
from .keys import SECRET, KeyPair, read_secret, secrets_in
from .plain import BROKER


class Curve:
    """Encrypted by CURVE and authenticated in both directions: by this node's key, and a gate's allow-list."""

    insecure = False

    def __init__(self, keys: KeyPair, gate: Gate, enrollment: Enrollment = OPEN) -> None:
        self.keys = keys
        self.gate = gate
        self.enrollment = enrollment

    def check(self, address: str) -> None:
        """Accept any address."""

    def listen(
        self,
        socket: zmq.Socket[bytes],
        address: str,
        service: str,
        on_refused: OnRefused,
        end: Callable[[], None],
    ) -> Listener | None:
        """Secure a socket that will be bound to an address; None where nobody outside this process can reach it."""
        if address.startswith("inproc"):
            return None
        return self.gate.listen(socket, self.keys, service, on_refused, end)

    def server(self, name: str) -> Entry | None:
        """Return the entry of the node that is dialed, or of the `BROKER`; None if none is allowed, or several are."""
        if name != BROKER:
            return self.gate.allowed.by_name.get(name)
        brokers = self.gate.allowed.of_role("broker")
        return brokers[0] if len(brokers) == 1 else None

    def dial(self, socket: zmq.Socket[bytes], server: Entry) -> None:
        """Secure a socket before it is connected to a node."""
        socket.setsockopt(zmq.CURVE_SERVERKEY, server.public.encode())
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.keys.public.encode())
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.keys.secret.encode())

    def unknown(self, name: str) -> str:
        """Return what is said where a node is dialed whose key is not allowed."""
        brokers = ", ".join(entry.name for entry in self.gate.allowed.of_role("broker"))
        if name == BROKER and brokers:
            return f"{self.gate.folder / FOLDER}: several are allowed as broker ({brokers}); expected one"
        who, role = (name, "ROLE") if name != BROKER else ("the broker", "broker")
        file = f"{name or 'BROKER'}.pub"
        folder = self.gate.folder
        return f"no key of {who} is allowed in {folder}: nervenet keys allow {file} --role {role} --keys {folder}"


def own_keys(folder: Path, name: str | None, usual: str = "") -> KeyPair:
    """Return the secret key of a folder: that of a name, or the only one, or the one that is called as ``usual``.

    Raises
    ------
    KeysError
        There is none, or it cannot be used; a missing or unreadable key never means that none is needed.
    """
    if name is not None:
        path = folder / f"{name}{SECRET}"
        if not path.exists():
            raise KeysError(f'{path}: there is no such key; make it by "nervenet keys new {name} --out {folder}"')
        return _named(path)
    try:
        found = secrets_in(folder)
    except OSError as error:
        raise KeysError(f'{folder}: {error.strerror}; make a key by "nervenet keys new NAME --out {folder}"') from None
    chosen = [path for path in found if path.stem == usual] if len(found) > 1 else found
    if not chosen:
        what = "several keys; say by --name which one" if found else "no key"
        raise KeysError(f'{folder}: holds {what}; one is made by "nervenet keys new NAME --out {folder}"')
    return _named(chosen[0])


def _named(path: Path) -> KeyPair:
    keys = read_secret(path)
    if keys.name != path.stem:
        raise KeysError(f"{path}: is the key of {keys.name}; expected {path.stem}")
    return keys
