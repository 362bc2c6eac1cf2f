"""One round's fold of updates that stay with their clients until they are asked for, range by range; pure.

All clients are asked for the same ranges, and each range is folded once all have sent it, in the order of their names.
A client that has to be left out midway is in every range that is folded already: the fold then begins again without
it, and the others, who still have their updates, are asked for these once more.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec import structs
from nervenet.broker import messages as m

from ...large.pull import AGAIN_S, Pull
from ...large.sizes import Sizes
from ...runtime import effects as e
from ...runtime import events as ev
from ..round import Round

EXTENSIONS = 10  # deadlines that a fold lasts at most, if others cannot do without those who are behind


@dataclass(frozen=True, slots=True)
class Remote:
    """The body of an update that is still with its client: what its manifest says of it."""

    payload: m.Payload
    generation: int


class Folding:
    """Fetches and folds the updates of one `e.Fold`."""

    def __init__(self, fold: e.Fold, current: Round, sizes: Sizes, number: int, deadline_s: float, now: float) -> None:
        self.fold = fold
        self.current = current  # whose quorum and floor say who may be left out
        self.left = list(fold.contributions)
        self.missing: dict[str, str] = {}
        self.rejected: dict[str, str] = {}
        self.sending: dict[str, bool] = {}  # who has said in its last heartbeat that something is on its way
        self.failed = False  # too few are left
        self._sizes = sizes
        self._deadline_s = deadline_s
        self.number = number - 1
        self.pull = self._begin(now)

    @property
    def key(self) -> tuple[int, int]:
        return self.fold.round, self.fold.attempt

    def _begin(self, now: float) -> Pull:
        self.number += 1
        self._began = now  # whoever is left has all the time there is: each time there are fewer
        remote = {c.client: c.body for c in self.left if isinstance(c.body, Remote)}
        payload = next(iter(remote.values())).payload
        generations = {name: body.generation for name, body in remote.items()}
        return Pull(self.number, self.fold.round, payload, self._sizes, generations, now)

    def came(self, sender: str, chunk: m.Chunk, event: ev.Arrived, now: float) -> list[e.Effect]:
        """Take a chunk; fold its range once all have sent it."""
        flaw = self.pull.take(sender, chunk, event.body, now) or event.flaw
        if flaw and sender in self.pull.sources:
            return self.leave_out({sender: flaw}, now, rejected=True)
        return [self._fold_range(start, dict(bodies)) for start, bodies in self.pull.complete()]

    def _fold_range(self, start: int, bodies: dict[str, ev.Body]) -> e.Effect:
        given = [dataclasses.replace(c, body=bodies.get(c.client, c.body)) for c in self.left]
        return e.FoldRange(self.number, *self.key, start, self.fold.body, tuple(given))

    def folded(self, event: ev.RangeFolded, now: float) -> list[e.Effect]:
        if event.number != self.number:
            return []
        if event.rejected:
            return self.leave_out(event.rejected, now, rejected=True)
        self.pull.used(event.start, now)
        return [e.CloseFold(self.number, *self.key)] if self.pull.finished else self.pull.request()

    def result(self, event: ev.Folded) -> ev.Folded:
        """Return what the fold has made, with who is not in it."""
        return structs.replace(event, rejected={**event.rejected, **self.rejected}, missing=dict(self.missing))

    def nothing(self) -> ev.Folded:
        """Return what the machine fails the round by: too few updates are left."""
        return ev.Folded(*self.key, None, rejected=dict(self.rejected), missing=dict(self.missing))

    def leave_out(self, reasons: Mapping[str, str], now: float, *, rejected: bool = False) -> list[e.Effect]:
        """Go on without clients, from the first range on; too few may be left for that (`failed`)."""
        found = {c.client: reasons[c.client] for c in self.left if c.client in reasons}
        if not found:
            return []
        (self.rejected if rejected else self.missing).update(found)
        self.left = [c for c in self.left if c.client not in found]
        remote = any(isinstance(c.body, Remote) for c in self.left)
        effects: list[e.Effect] = []
        for name, reason in sorted(found.items()):
            said = f"the update of {name} is left out of round {self.fold.round} while it is fetched: {reason}"
            effects.append(e.Publish("warning", {"subject": name, "round": self.fold.round, "reason": said}))
        if len(self.left) < max(1, self.current.floor) or not remote:
            self.failed = True
            return effects
        self.pull = self._begin(now)
        return effects + self.pull.request()

    def review(self, now: float) -> tuple[list[e.Effect], dict[str, str]]:
        """Ask again for what is overdue; return that, and who is to be left out, with the reasons."""
        effects: list[e.Effect] = []
        given_up: dict[str, str] = {}
        for name in self.pull.awaited():
            source = self.pull.sources[name]
            if self.sending.get(name):
                continue
            idle_s = now - source.heard_at
            if idle_s >= self._deadline_s:
                given_up[name] = f"nothing of it came for {idle_s:.0f} s"
            elif now - max(source.heard_at, source.again_at) >= AGAIN_S:
                effects += self.pull.again(name, now)
        behind = [name for name in self.pull.behind() if name not in given_up]
        others = len(self.left) - len(behind) - len(given_up)
        enough = self._enough(others)
        lasted_s, within_s = now - self._began, self._deadline_s * (1 if enough else EXTENSIONS)
        if behind and lasted_s >= within_s:
            told = f"it was not all there within {within_s:g} s: {self.pull.share:.0%} of it was"
            given_up |= dict.fromkeys(behind, told)
        return effects, given_up

    def _enough(self, answers: int) -> bool:
        """Whether a round that need not have all updates can do with so many."""
        current = self.current
        return current.quorum < 1 and answers >= max(1, current.floor, current.strategy_least)
