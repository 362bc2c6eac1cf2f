"""The roles that a node can have, by name."""

from __future__ import annotations

from .aggregator import Aggregator
from .client import Client
from .coordinator import Coordinator
from .peer import Peer

Node = Coordinator | Client | Peer
ROLES: dict[str, type[Node]] = {"coordinator": Coordinator, "aggregator": Aggregator, "client": Client, "peer": Peer}
