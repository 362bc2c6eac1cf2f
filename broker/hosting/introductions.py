"""What another process may name: nodes that it speaks for, and nodes here that it greets before they are open. Pure.

A process of a launch has the secret by which all prove that they are of it, and could make up names without end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from ..limits import allowed
from ..messages import Hello


class Introductions:
    """HELLOs of other processes; of ``roles``, the names of the run, where those are known, and so many of each."""

    def __init__(self, roles: Collection[str] = ()) -> None:
        self._roles = roles
        self._speaks_for: dict[str, set[str]] = {}  # by process
        self._early: dict[str, dict[tuple[str, str], Hello]] = {}  # by node, and then by process and sender
        self._waiting: Counter[str] = Counter()  # of these, by process

    def refusal(self, host: str, sender: str) -> str | None:
        """Return why a process may not speak for a node, or None, and take note of that."""
        known = self._speaks_for.setdefault(host, set())
        if sender in known:
            return None
        if self._roles and sender not in self._roles:
            return f"{host} speaks for a node that is not of the run"
        if len(known) >= allowed("hosted"):
            return f"{host} speaks for more than {allowed('hosted'):,} nodes"
        known.add(sender)
        return None

    def keep(self, host: str, hello: Hello, to: str) -> str | None:
        """Keep a HELLO until the node that it is for is open; return why not, if not."""
        if self._roles and to not in self._roles:
            return f"{host} greets a node that is not of the run"
        kept = self._early.get(to, {})
        if (host, hello.node) not in kept:
            if self._waiting[host] >= allowed("hellos_early"):
                return f"{host} greets nodes that are not open more than {allowed('hellos_early'):,} times"
            self._waiting[host] += 1
        self._early.setdefault(to, kept)[host, hello.node] = hello
        return None

    def take(self, to: str) -> list[tuple[str, Hello]]:
        """Return what has been kept for a node, with the processes that it came from."""
        kept = self._early.pop(to, {})
        self._waiting.subtract(host for host, _ in kept)
        return [(host, hello) for (host, _), hello in kept.items()]

    def forget(self, host: str) -> None:
        """Forget a process whose connection has ended."""
        self._speaks_for.pop(host, None)
        if not self._waiting.pop(host, 0):
            return
        left = {to: {key: each for key, each in kept.items() if key[0] != host} for to, kept in self._early.items()}
        self._early = {to: kept for to, kept in left.items() if kept}
