"""How often a refused connection is reported: at once, and then how many more there were, however many come. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from ..limits import allowed
from ..transport_events import ConnectionRefused

_FIRST_S, _LONGEST_S = 10.0, 640.0  # between two reports of who is refused for one reason; each is twice the last


def fields_of(refusal: ConnectionRefused, count: int) -> dict[str, Any]:
    """Return the fields of the event `connection.refused`."""
    return {
        "subject": refusal.name,
        "service": refusal.service,
        "address": refusal.address,
        "key": refusal.key,
        "reason": refusal.reason,
        "count": count,
    }


@dataclass(slots=True)
class _Said:
    refusal: ConnectionRefused  # the last
    until: float  # when it may be reported again
    pause_s: float
    held: int = 0  # not reported yet


class Refusals:
    """Counts refusals by who and why; who tries a thousand times a second is a line after 10, 20, 40 seconds."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, str, str], _Said] = OrderedDict()

    def report(self, refusal: ConnectionRefused, now: float) -> int:
        """Return how many refusals to report with this one, itself included; 0: none yet.

        ``now`` is in seconds, of any origin.
        """
        key = (refusal.service, refusal.key or refusal.address or refusal.name, refusal.reason[:200])
        if key not in self._said and len(self._said) >= allowed("refusal_lines"):
            key = self._room(key, now)
        said = self._said.get(key)
        if said is None:
            self._said[key] = _Said(refusal, now + _FIRST_S, _FIRST_S)
            return 1
        said.refusal = refusal
        said.held += 1
        if now < said.until:
            return 0
        return self._again(said, now)

    def due(self, now: float) -> list[tuple[ConnectionRefused, int]]:
        """Return what has been held back long enough, each with how many there were."""
        due = [said for said in self._said.values() if said.held and now >= said.until]
        return [(said.refusal, self._again(said, now)) for said in due]

    def rest(self) -> list[tuple[ConnectionRefused, int]]:
        """Return all that is held back, because this is the end."""
        rest = [(said.refusal, said.held) for said in self._said.values() if said.held]
        self._said.clear()
        return rest

    def _room(self, key: tuple[str, str, str], now: float) -> tuple[str, str, str]:
        """Return under which key one more is counted: its own, if another that is over can go; else that of others."""
        for old, said in self._said.items():
            if not said.held and now >= said.until + _LONGEST_S:
                del self._said[old]
                return key
        return (key[0], "", "others")

    @staticmethod
    def _again(said: _Said, now: float) -> int:
        count, said.held = said.held, 0
        said.pause_s = min(2 * said.pause_s, _LONGEST_S)
        said.until = now + said.pause_s
        return count
