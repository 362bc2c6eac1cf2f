"""A coordinator whose run is over, and whose clients still fetch the final model: how long it stays; pure."""

from __future__ import annotations

from ...config.schema import Timing
from ...runtime import effects as e


class Leaving:
    """Holds the end back until all of `owed` have been sent the last range, have left, or are not heard any more."""

    def __init__(self, finish: e.Finish, owed: set[str], timing: Timing, now: float) -> None:
        self._finish = finish
        self._heard = dict.fromkeys(sorted(owed), now)
        self._timing = timing

    def heard(self, name: str, now: float) -> None:
        if name in self._heard:
            self._heard[name] = now

    def done(self, name: str) -> None:
        self._heard.pop(name, None)

    def pulse(self, now: float) -> list[e.Effect]:
        """Say that this node is still there, and give up who has been silent for too long."""
        effects: list[e.Effect] = []
        for name, at in list(self._heard.items()):
            if now - at >= self._timing.lost_after_s:
                self.done(name)
                reason = f"{name} has not fetched all of the final model, and was silent for {now - at:.0f} s"
                effects.append(e.Publish("warning", {"subject": name, "reason": reason}))
        if self._heard:
            effects.append(e.SendHeartbeat(tuple(self._heard), 0, "hands out the final model"))
        return [*effects, e.SetTimer(("pulse",), now + self._timing.heartbeat_s)]

    def finish(self, served: set[str]) -> list[e.Effect]:
        """Return the end, once nobody is owed anything."""
        for name in served:
            self.done(name)
        return [] if self._heard else [e.CancelTimer(("pulse",)), self._finish]
