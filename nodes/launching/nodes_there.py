"""Which processes of a run there are and where, by what they have reported when they were ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from nervenet.broker.sockets import discard

from .broker_process import BROKER

Ready: TypeAlias = Mapping[str, Mapping[str, Any]]


def nodes_json(
    roles: Mapping[str, str], ready: Ready, clients: Mapping[str, Sequence[str]] | None = None
) -> dict[str, dict[str, Any]]:
    """Return what ``nodes.json`` says of the broker and the nodes that are ready: role, process id and address.

    And the region of a client, where the `clients` are by that.
    """
    regions = {client: region for region, names in (clients or {}).items() for client in names}
    found = {}
    for name, role in {BROKER: BROKER, **roles}.items():
        if fields := ready.get(name):
            addresses = fields.get("addresses") or {}
            address = addresses.get("directory") or addresses.get("control", "")
            found[name] = {"role": role, "pid": fields["pid"], "address": address}
            if name in regions:
                found[name]["region"] = regions[name]
    return found


def remove_sockets(ready: Ready) -> None:
    """Remove what nodes that were killed could not: the files of their ipc addresses."""
    for fields in ready.values():
        for address in (fields.get("addresses") or {}).values():
            discard(address)
