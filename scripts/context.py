"""What there was before the command line was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nervenet.nodes.launching.forkserver_client import ForkServerClient


@dataclass(frozen=True)
class Context:
    """When the command started (unix seconds), and the fork server, if it was started early."""

    started_at: float | None = None
    fork_server: ForkServerClient | None = None
