"""What neighbors have announced and is being fetched: from each sender one array after the other; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec import structs
from nervenet.broker import messages as m

from ...large.pull import AGAIN_S, Pull
from ...large.sizes import Sizes
from ...runtime import effects as e
from .offers import superseded

KNOWN = 16  # generations of a sender that are remembered, so that one that is said twice is fetched once


@dataclass(slots=True, eq=False)
class Fetch:
    """A message whose array is to come; without a `pull` it waits for those before it."""

    sender: str
    generation: int
    message: m.Announced
    announced_at: float
    pull: Pull | None = None

    @property
    def payload(self) -> m.Payload:
        """How its array travels: one that is encoded as bytes, which no range tells to be of an encoding."""
        return structs.replace(self.message.payload, encoding="")

    @property
    def round(self) -> int:
        return int(getattr(self.message, "round", 0))

    @property
    def what(self) -> str:
        """What it is, for people."""
        kind = m.tag_of(self.message)
        return f"{kind} of round {self.round}" if self.round else kind


class Fetches:
    """The announcements of each sender, in the order in which they came; the first is being fetched."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._queues: dict[str, list[Fetch]] = {}
        self._known: dict[str, dict[int, None]] = {}
        self._pulls = 0

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def __iter__(self) -> Iterator[Fetch]:
        """Yield what is first of each sender."""
        return (queue[0] for queue in list(self._queues.values()) if queue)

    def add(self, sender: str, announcement: m.Announcement, now: float) -> Sequence[Fetch]:
        """Queue what is announced; return what makes room for it: the sender hands that out no longer."""
        queue, known = self._queues.setdefault(sender, []), self._known.setdefault(sender, {})
        known[announcement.generation] = None
        while len(known) > KNOWN:
            del known[next(iter(known))]
        fetch = Fetch(sender, announcement.generation, announcement.message, now)
        # What a late peer starts from comes before what it can make use of only then.
        queue.append(fetch)
        queue.sort(key=lambda each: not isinstance(each.message, m.Model))
        found = superseded([each for each in queue if type(each.message) is type(fetch.message)])
        for each in found:
            queue.remove(each)
        return found

    def knows(self, sender: str, generation: int) -> bool:
        return generation in self._known.get(sender, ())

    def waiting(self, sender: str, generation: int) -> bool:
        """Whether an array is still to be fetched, or being fetched."""
        return any(each.generation == generation for each in self._queues.get(sender, ()))

    def first(self, sender: str) -> Fetch | None:
        queue = self._queues.get(sender)
        return queue[0] if queue else None

    def of(self, sender: str) -> list[Fetch]:
        return list(self._queues.get(sender, ()))

    def numbered(self, number: int) -> Fetch | None:
        """Return what is kept in a vector of that number."""
        return next((each for each in self if each.pull is not None and each.pull.number == number), None)

    def begin(self, fetch: Fetch, now: float) -> list[e.Effect]:
        """Ask for the first ranges."""
        self._pulls += 1
        generations = {fetch.sender: fetch.generation}
        fetch.pull = Pull(self._pulls, fetch.round, fetch.payload, self._sizes, generations, now)
        return fetch.pull.request()

    def remove(self, fetch: Fetch) -> list[e.Effect]:
        """Tell the sender that no more of an array is needed; drop what has come of it, if that is not all."""
        queue = self._queues.get(fetch.sender, [])
        if fetch in queue:
            queue.remove(fetch)
        effects: list[e.Effect] = [e.Send((fetch.sender,), m.Fetched(fetch.generation))]
        if fetch.pull is not None and not fetch.pull.finished:
            effects.append(e.DropVector(fetch.pull.number))
        return effects

    def forget(self, sender: str) -> list[e.Effect]:
        """Fetch nothing more of a sender that has gone, or was started again."""
        self._known.pop(sender, None)
        pulls = [fetch.pull for fetch in self._queues.pop(sender, []) if fetch.pull is not None]
        return [e.DropVector(pull.number) for pull in pulls]

    def again(self, sender: str, now: float) -> list[e.Effect]:
        """Ask again for what the connection that has ended may have taken with it."""
        fetch = self.first(sender)
        return [] if fetch is None or fetch.pull is None else fetch.pull.again(sender, now)

    def on_its_way(self, sender: str, rounds: tuple[int, ...], now: float) -> None:
        """Take note of the rounds of which a sender says that something of them is on its way."""
        fetch = self.first(sender)
        if fetch is not None and fetch.pull is not None and fetch.round in rounds:
            fetch.pull.progress_at = now

    def moving(self, fetch: Fetch, now: float, idle_s: float, most_s: float) -> bool:
        """Whether what comes of its sender has moved within `idle_s`; it is waited for `most_s` at the most."""
        first = self.first(fetch.sender)
        if first is None or now - fetch.announced_at >= most_s:
            return False
        moved_at = first.announced_at if first.pull is None else first.pull.progress_at
        return now - max(moved_at, fetch.announced_at) < idle_s

    def overdue(self, fetch: Fetch, now: float) -> list[e.Effect]:
        """Ask again for what was asked for, has not come, and is not known to be on its way."""
        pull = fetch.pull
        if pull is None:
            return []
        source = pull.sources[fetch.sender]
        if not source.asked or now - max(pull.progress_at, source.again_at) < AGAIN_S:
            return []
        return pull.again(fetch.sender, now)
