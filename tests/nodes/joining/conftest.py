"""A hub with its keys, and an invitation of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.security.allow_list import Entry, allow_entry
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.joining.invitation import Invitation
from nervenet.nodes.joining.inviting import invite

BROKER = "tcp://hub.example.org:5555"


def new_hub(folder: Path, roles: tuple[str, ...] = ("broker", "coordinator"), peers: tuple[str, ...] = ()) -> Path:
    """Make a folder of keys that allows its own in these roles, and those of peers."""
    pairs = [(new_key_pair("hub"), roles), *((new_key_pair(name), ("peer",)) for name in peers)]
    write_keys(folder, pairs[0][0])
    for pair, said in pairs:
        allow_entry(folder, Entry(pair.name, pair.public, frozenset(said)), "here")
    return folder


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return new_hub(tmp_path / "hub")


@pytest.fixture
def invited(hub: Path) -> Callable[..., Invitation]:
    """Return an invitation for north; further words are those of the experiment."""

    def invited(name: str = "north", folder: Path = hub, **overrides: Any) -> Invitation:
        wins = {"nodes": 3, **{key.replace("__", "."): value for key, value in overrides.items()}}
        return invite(name, load_experiment(None, wins), run="flowers", broker=BROKER, folder=folder)

    return invited
