"""What the tests of this room share: a folder of keys for each site, as its owner would make it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nervenet.broker.security.allow_list import allow, revoke
from nervenet.broker.security.gate import Gate
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.broker.security.policy import Curve, own_keys


class Sites:
    """Folders of keys, by name, and who allows whom."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.gates: list[Gate] = []

    def make(self, *names: str) -> None:
        for name in names:
            write_keys(self.path(name), new_key_pair(name))

    def path(self, name: str) -> Path:
        return self._folder / name

    def public(self, name: str) -> Path:
        return self.path(name) / f"{name}.pub"

    def allow(self, at: str, name: str, *roles: str) -> None:
        allow(self.path(at), self.public(name), roles)

    def revoke(self, at: str, name: str) -> None:
        revoke(self.path(at), name)

    def curve(self, name: str, on_warning: Callable[[str], None] = lambda _: None) -> Curve:
        """What the sockets of a site are secured with."""
        keys = own_keys(self.path(name), name)
        gate = Gate(self.path(name), on_warning=on_warning, own=keys)
        self.gates.append(gate)
        return Curve(keys, gate)


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Sites]:
    found = Sites(tmp_path)
    yield found
    for gate in found.gates:
        gate.close()
