"""The coordinator's list of clients: who is here, who is heard of, what each is doing; plain questions, plain answers.

Nothing here decides about a round; what a look at the clock has changed comes back as verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..liveness import Liveness, Verdicts


@dataclass(slots=True)
class ClientRecord:
    """One client as the coordinator knows it."""

    name: str
    examples: int = 0
    settled: bool = False  # it holds the agreement of round 0
    sending: tuple[int, ...] = ()  # rounds whose update it says is on its way
    state: str = "idle"
    codecs: tuple[str, ...] = ()  # stages of encodings that it can do


class Roll:
    """Everybody who has enrolled, and when each was last heard.

    Attributes
    ----------
    clients
        By name.
    liveness
        Of all who are connected, enrolled or not.
    """

    def __init__(self, suspect_after_s: float, lost_after_s: float) -> None:
        self.clients: dict[str, ClientRecord] = {}
        self.liveness = Liveness(suspect_after_s, lost_after_s)
        self._leaving: dict[str, tuple[int, ...]] = {}  # rounds whose task has not left this machine yet

    # ---------------------------------------------------------------------------------------------------- what is told

    def linked(self, name: str, now: float) -> None:
        """(Re)connected: whatever this client held of ours before, it starts afresh."""
        self.liveness.watch(name, now)
        if name in self.clients:
            self.clients[name].settled = False

    def enrol(self, name: str, examples: int, now: float, codecs: tuple[str, ...] = ()) -> bool:
        """Note that a client is ready, true if that is news; what it said first of its rows stands."""
        new = name not in self.clients
        record = self.clients.setdefault(name, ClientRecord(name, examples))
        new, record.codecs = new or record.codecs != codecs, codecs
        self.liveness.watch(name, now)
        return new

    def leave(self, name: str) -> None:
        """Strike a client off: it took its leave."""
        self.liveness.forget(name)
        self.clients.pop(name, None)

    def beat(self, name: str, state: str, sending: Iterable[int]) -> None:
        """Note what a client says that it is doing."""
        record = self.clients.get(name)
        if record:
            record.state, record.sending = state, tuple(sending)

    def leaving(self, name: str, rounds: tuple[int, ...]) -> None:
        """Note that tasks of these rounds are still on their way out to a client."""
        self._leaving[name] = rounds

    def all_left(self) -> None:
        """Forget what was on its way out: the next beat brings news of what is, and none of what has left."""
        self._leaving.clear()

    def review(self, now: float, late_by_s: float) -> Verdicts:
        """Look at the clock, `late_by_s` after one wanted to."""
        self.liveness.forgive(max(0.0, late_by_s), now)
        return self.liveness.review(now)

    # --------------------------------------------------------------------------------------------------- what is asked

    def __contains__(self, name: object) -> bool:
        return name in self.clients

    def __getitem__(self, name: str) -> ClientRecord:
        return self.clients[name]

    def living(self) -> list[str]:
        """Clients that are neither suspected nor lost, in name order."""
        return sorted(name for name in self.clients if self.liveness.living(name))

    def reachable(self) -> list[str]:
        """Clients that have not been given up for good, in name order."""
        return sorted(name for name in self.clients if name not in self.liveness.lost)

    def is_lost(self, name: str) -> bool:
        """Whether a name has been given up for good."""
        return name in self.liveness.lost

    def moving(self, name: str, number: int) -> bool:
        """Whether bytes of round `number` are on their way to or from a living client."""
        record = self.clients.get(name)
        there = self.liveness.living(name)
        return there and (number in self._leaving.get(name, ()) or bool(record and number in record.sending))

    def doing(self, name: str) -> str:
        """What a client last said that it is doing."""
        return self.clients[name].state if name in self.clients else "gone"
