"""The coordinator's list of clients: who is here, who is heard of, what each is doing, and who has lost its trust.

Nothing here decides about a round; what a look at the clock has changed comes back as verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime.failure_detector import FailureDetector, Verdicts
from ..runtime.payload_checks import brief
from .row_cap import cap_of, median_of

STRIKES = 3  # rejections in a row that put a client on probation
DURABLE = ("here", "examples", "strikes", "probations", "barred", "counted")  # fields that a restart must not change
MOST_LOST = 256  # who was connected, never ready, and is lost; of those before them nothing is known any more
DEBTS = 8  # tasks that are remembered until their answer comes: a client that is so far behind is in nobody's way


@dataclass(slots=True)
class ClientRecord:
    name: str
    examples: int = 0
    here: bool = True  # it has said that it is ready, to this incarnation of the coordinator
    incarnation: int = 0  # of the client that said so
    pid: int = 0  # its process
    evicted: bool = False  # another process has come under its name while it still answered
    ready: bool = False  # it holds the agreement of round 0
    sending: tuple[int, ...] = ()  # rounds whose update it says is on its way
    state: str = "idle"
    codecs: tuple[str, ...] = ()  # stages of encodings that it can do
    owes: tuple[tuple[int, int], ...] = ()  # (round, attempt) of tasks that it has not answered
    strikes: int = 0  # rejections in a row
    struck: tuple[int, int] = (-1, -1)  # (round, attempt) of the last one
    probations: int = 0  # how often it was put on probation
    barred: int = 0  # the last round in which it is not asked
    counted: int = 0  # the last round whose update of it is in the model
    capped: bool = False  # it was said that it has more examples than it counts for
    weight_warned: bool = False  # and that its rows have more weight, or none
    majority_warned: bool = False  # and that it would count for most of a round
    declined: tuple[str, ...] = ()  # keys of its site's policy by which it has declined


class ClientRegistry:
    """Every client that has enrolled, and when each was last heard."""

    def __init__(self, suspect_after_s: float, lost_after_s: float) -> None:
        self.clients: dict[str, ClientRecord] = {}  # by name
        self.liveness = FailureDetector(suspect_after_s, lost_after_s)  # of all who are connected, enrolled or not
        self._left: dict[str, ClientRecord] = {}  # leaving and coming back clears nobody's name
        self._incarnations: dict[str, int] = {}
        self.outgoing: dict[str, tuple[int, ...]] = {}  # rounds whose task has not left this machine yet
        self._median: int | None = None
        self._cut: dict[str, float] = {}  # whose connection has ended, and when: nothing can be sent to them
        self._lost: dict[str, None] = {}  # who was lost, in that order
        self.regions: set[str] = set()  # those of the connected that are aggregators
        self._early: dict[str, m.Ready] = {}  # of those with a connection for control alone, which anybody has quickly

    def cut(self, name: str, now: float) -> None:
        """Note that the connection of a client has ended; what is still read of it does not bring it back."""
        self._cut[name] = now

    def linked(self, name: str, incarnation: int, now: float, role: str = "client") -> bool:
        """Note a (re)connection: the client may hold nothing any more. True if it was started again meanwhile."""
        restarted = name in self.clients and incarnation > self._incarnations.get(name, incarnation)
        if restarted and self.here(name) and self.liveness.living(name):
            self.clients[name].evicted = True
        self._incarnations[name] = incarnation
        (self.regions.add if role == "aggregator" else self.regions.discard)(name)
        self._cut.pop(name, None)
        self.liveness.watch(name, now)
        if name in self.clients:
            self.clients[name].ready = False
        if restarted:
            self.clients[name].owes = self.clients[name].sending = ()
        return restarted

    def held(self, name: str, ready: m.Ready) -> bool:
        """Return whether a client is not to be enrolled until it is linked, since nothing could be sent to it."""
        if name in self._incarnations:
            return False
        self._early[name] = ready
        if len(self._early) > MOST_LOST:
            del self._early[next(iter(self._early))]
        return True

    def ready_before(self, name: str) -> m.Ready | None:
        """Return what a client that is linked now said before, and forget it."""
        return self._early.pop(name, None)

    def enroll(self, name: str, examples: int, now: float, codecs: tuple[str, ...] = (), pid: int = 0) -> bool:
        """Note that a client is ready; what it said first of its rows stands until it is started again.

        True if it is a new one, or can do other encodings than before.
        """
        known = self.clients.get(name) or self._left.pop(name, None)
        record = known or ClientRecord(name, examples)
        new, record.codecs = known is None or known.codecs != codecs, codecs
        incarnation = self._incarnations.get(name, 0)
        if incarnation != record.incarnation or not record.here:
            record.examples = examples
        record.here, record.incarnation, record.pid = True, incarnation, pid
        self.clients[name] = record
        self.liveness.watch(name, now)
        self._median = None
        return new

    def taken_over(self, name: str, examples: int, pid: int) -> str | None:
        """Note the process that is ready under a name; return what to say if it has taken it from one that answered."""
        known = self.clients.get(name)
        if known is None:
            return None
        evicted, before, known.pid, known.evicted = known.evicted, known.pid, pid, False
        if not evicted:
            return None
        return (
            f"{name} is another process now (pid {before} -> {pid}, rows {known.examples} -> {examples}): it took the "
            "name from one that still answered, and every site needs a name of its own"
        )

    def leave(self, name: str) -> None:
        self.liveness.forget(name)
        self._median = None
        if name in self.clients:
            self._left[name] = self.clients.pop(name)
            self._left[name].here = self._left[name].ready = False

    def heartbeat(self, name: str, state: str, sending: Iterable[int]) -> None:
        record = self.clients.get(name)
        if record:
            record.state, record.sending = state, tuple(sending)

    def review(self, now: float, late_by_s: float) -> Verdicts:
        self.liveness.extend_deadlines(max(0.0, late_by_s), now)
        verdicts = self.liveness.review(now)
        self._lost |= dict.fromkeys(verdicts.lost)
        for name in list(self._lost)[:-MOST_LOST]:  # in an open run anybody may connect, by ever new names
            del self._lost[name]
            if name not in self.clients and name not in self._left and self.is_lost(name):
                self.liveness.forget(name)
                self._incarnations.pop(name, None)
                self._cut.pop(name, None)
        return verdicts

    def __contains__(self, name: object) -> bool:
        return name in self.clients

    def __getitem__(self, name: str) -> ClientRecord:
        return self.clients[name]

    def here(self, name: str) -> bool:
        return name in self.clients and self.clients[name].here

    def living(self) -> list[str]:
        there = self.liveness.those_living()
        return sorted(
            [name for name, record in self.clients.items() if record.here and name in there and name not in self._cut]
        )

    def reachable(self) -> list[str]:
        return sorted(name for name, record in self.clients.items() if record.here and name not in self.liveness.lost)

    def connected(self) -> list[str]:
        """Return those whom a message reaches, though some may have been silent for a while."""
        return [name for name in self.reachable() if name not in self._cut]

    def cut_since(self, moment: float) -> set[str]:
        """Return those whose connection has ended since then, and is not made again yet."""
        return {name for name in self.reachable() if self._cut.get(name, float("-inf")) > moment}

    def is_lost(self, name: str) -> bool:
        return name in self.liveness.lost

    def moving(self, name: str, number: int) -> bool:
        """Whether bytes of round `number` are on their way to or from a living client."""
        record = self.clients.get(name)
        there = self.liveness.living(name)
        return there and (number in self.outgoing.get(name, ()) or bool(record and number in record.sending))

    def doing(self, name: str) -> str:
        return self.clients[name].state if name in self.clients else "gone"

    def ask(self, names: Iterable[str], key: tuple[int, int]) -> None:
        for name in names:
            self.clients[name].owes = (*self.clients[name].owes[1 - DEBTS :], key)

    def answered(self, name: str, key: tuple[int, int]) -> bool:
        """Note that an answer has come; true for the first one to a task that was given."""
        record = self.clients.get(name)
        if record is None or key not in record.owes:
            return False
        record.owes = tuple([one for one in record.owes if one != key])
        return True

    def declined(self, name: str, declined: m.Declined) -> list[e.Effect]:
        """Publish, once for each key of its policy, that a site does not take part; not what it cannot do."""
        record, key = self.clients.get(name), brief(declined.key or "")
        if record is None or not key or key in record.declined or len(record.declined) >= DEBTS:
            return []
        record.declined = (*record.declined, key)
        fields = {"subject": name, "round": declined.round, "key": key, "reason": brief(declined.reason)}
        return [e.Publish("site.declined", fields)]

    def owing(self, names: Iterable[str], key: tuple[int, int]) -> tuple[str, ...]:
        """Return those living who may still be at work on (round, attempt)."""
        return tuple(n for n in names if self.liveness.living(n) and n in self.clients and key in self.clients[n].owes)

    @property
    def median(self) -> int:
        """The examples of the median client; see `row_cap`."""
        if self._median is None:
            self._median = median_of(record.examples for record in self.clients.values() if record.here)
        return self._median

    def cap(self, ratio: float) -> int:
        """The most examples that an update may count for."""
        return cap_of(self.median, ratio)

    def newly_capped(self, ratio: float) -> list[ClientRecord]:
        cap = self.cap(ratio)
        found = [r for _, r in sorted(self.clients.items()) if r.here and r.examples > cap and not r.capped]
        for record in found:
            record.capped = True
        return found

    def trusted(self, number: int, least: int = 1) -> list[str]:
        """Clients that are living and not on probation in round `number`; all who live, if fewer than `least` are."""
        living = self.living()
        found = [name for name in living if self.clients[name].barred < number]
        return living if len(found) < least else found

    def strike(self, name: str, key: tuple[int, int], rounds: int) -> int | None:
        """Count a rejection in (round, attempt); at the third in a row return the last round in which the client is not
        asked: `rounds` of them the first time, twice as many each further time.
        """
        record = self.clients.get(name)
        if record is None or record.struck == key:
            return None
        record.strikes, record.struck = record.strikes + 1, key
        if record.strikes < STRIKES:
            return None
        record.barred = key[0] + rounds * 2**record.probations
        record.strikes, record.probations = 0, record.probations + 1
        return record.barred

    def count(self, tasks: Iterable[tuple[str, int]]) -> None:
        """Note whose updates, and of which round, are in the model now: their strikes are forgotten."""
        for name, number in tasks:
            record = self.clients.get(name) or self._left.get(name)
            if record:
                record.counted = number
            if name in self.clients:
                self.clients[name].strikes = 0

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Return what the next incarnation of the coordinator must know, as JSON can say it."""
        known = sorted((self._left | self.clients).items())
        return {name: {key: getattr(record, key) for key in DURABLE} for name, record in known}

    def restore(self, clients: Mapping[str, Mapping[str, Any]]) -> None:
        """Take up what `to_dict` returned; nobody is here before it says so."""
        for name, fields in clients.items():
            self._left[name] = ClientRecord(name, **{**fields, "here": False})
