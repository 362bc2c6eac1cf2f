"""A coordinator whose run is over, and whose clients still fetch the final model: how long it stays; pure."""

from __future__ import annotations

from ...config.schema import Timing
from ...runtime import effects as e


class Leaving:
    """Holds the end back until all of `owed` have said goodbye, are silent, or fetch nothing for too long."""

    def __init__(self, finish: e.Finish, owed: set[str], timing: Timing, now: float) -> None:
        self._finish = finish
        self._heard = dict.fromkeys(sorted(owed), now)
        self._moved = dict(self._heard)  # when each asked for a range, or was being sent one, last
        self._timing = timing

    def heard(self, name: str, now: float) -> None:
        if name in self._heard:
            self._heard[name] = now

    def moved(self, name: str, now: float) -> None:
        """Note that a transfer goes on."""
        self.heard(name, now)
        if name in self._heard:
            self._moved[name] = now

    def done(self, name: str) -> None:
        self._heard.pop(name, None)

    def pulse(self, now: float) -> list[e.Effect]:
        """Say that this node is still there, and give up who has been silent for too long."""
        effects: list[e.Effect] = []
        for name, at in list(self._heard.items()):
            silent_s, idle_s = now - at, now - self._moved[name]
            if silent_s >= self._timing.lost_after_s or idle_s >= self._timing.deadline_s:
                self.done(name)
                found = f"was silent for {silent_s:.0f} s"
                if silent_s < self._timing.lost_after_s:
                    found = f"asked for nothing for {idle_s:.0f} s"
                reason = f"{name} is not known to have all of the final model, and {found}"
                effects.append(e.Publish("warning", {"subject": name, "reason": reason}))
        if self._heard:
            effects.append(e.SendHeartbeat(tuple(self._heard), 0, "hands out the final model"))
        return [*effects, e.SetTimer(("pulse",), now + self._timing.heartbeat_s)]

    def finish(self) -> list[e.Effect]:
        """Return the end, once nobody is owed anything."""
        return [] if self._heard else [e.CancelTimer(("pulse",)), self._finish]
