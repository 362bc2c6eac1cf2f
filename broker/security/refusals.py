"""How often a refused connection is reported: at once, and then how many more there were, however many come. Pure."""

from __future__ import annotations

from collections import OrderedDict

from ..transport_events import ConnectionRefused

_EVERY_S = 10.0  # for each who is refused for one reason
_DISTINCT = 256  # that are told apart; beyond them all are "others"


class Refusals:
    """Counts refusals by who and why; a stranger who tries a thousand times a second is one line in ten seconds."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def report(self, refusal: ConnectionRefused, now: float) -> int:
        """Return how many refusals to report with this one, itself included; 0: none yet.

        ``now`` is in seconds, of any origin.
        """
        key = (refusal.service, refusal.key or refusal.address or refusal.name, refusal.reason[:200])
        if key not in self._said:
            while len(self._said) >= _DISTINCT:
                oldest, (since, _) = next(iter(self._said.items()))
                if now - since < _EVERY_S:
                    key = (refusal.service, "", "others")
                    break
                del self._said[oldest]
        since, held = self._said.get(key, (-_EVERY_S, 0))
        if now - since < _EVERY_S and key in self._said:
            self._said[key] = (since, held + 1)
            return 0
        self._said[key] = (now, 0)
        self._said.move_to_end(key)
        return held + 1
