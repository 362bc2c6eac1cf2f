"""Who is sent which model of a round, what is sent again, and who has lost the copy of what was sent before."""

from __future__ import annotations

from collections.abc import Sequence

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .rules import PeerRules


class Outbox:
    """Addresses what training gave.

    Where differences are sent, whoever misses one cannot make anything of the next: such neighbors are remembered, so
    that the worker gives them the whole.
    """

    def __init__(self, rules: PeerRules) -> None:
        self.last_sent = 0  # the last round of which anybody was sent a model
        self._by_differences = bool(rules.encoding)
        self._only_apart = rules.needs.mass
        self._whole: set[str] = set()
        self._asked: tuple[str, ...] = ()
        self._renewed: set[str] = set()  # started again since the training that runs was asked for
        self._cut: set[str] = set()  # neighbors whose connection has ended, until there is another one
        self._trained: tuple[ev.Trained, ev.OutgoingModel, int, int] | None = None  # what `send` was given last
        self._sent: dict[str, e.Send] = {}  # of that, by neighbor

    def open(self) -> tuple[str, ...]:
        self._trained, self._sent = None, {}
        self._renewed = set()
        self._asked = tuple(sorted(self._whole))
        return self._asked

    def lost(self, peer: str) -> None:
        """A neighbor asks for the whole, or something to it did not go out."""
        if self._by_differences:
            self._whole.add(peer)

    def renew(self, peer: str) -> None:
        """A neighbor has been started again: what is being prepared may build on its previous incarnation."""
        self._renewed.add(peer)
        self._cut.discard(peer)
        self.lost(peer)

    def cut(self, peer: str) -> None:
        """The connection of a neighbor has ended: what is on its way may be lost."""
        self._cut.add(peer)

    def gone(self, peer: str) -> None:
        self._cut.discard(peer)

    def mended(self, peer: str) -> bool:
        """Take note that a neighbor is back; return whether its connection had ended."""
        cut = peer in self._cut
        self._cut.discard(peer)
        return cut

    def send(
        self, event: ev.Trained, common: ev.OutgoingModel, number: int, to: Sequence[str], degree: int = 0
    ) -> list[e.Effect]:
        """Send what training gave to those that are there; what is the same for several, once.

        `degree` is how many edges this peer holds, where members come and go.
        """
        self._trained = event, common, number, degree
        alike: dict[tuple[int, float, int | None], tuple[ev.OutgoingModel, list[str]]] = {}
        for peer in to:
            outdated = peer in self._renewed and (self._by_differences or self._only_apart)
            if outdated or (self._only_apart and peer not in event.apart):
                self.lost(peer)
                continue
            model = event.apart.get(peer, common)
            alike.setdefault((id(model.body), model.mass, model.base), (model, []))[1].append(peer)
            if peer in self._asked:
                self._whole.discard(peer)

        def exchange(model: ev.OutgoingModel) -> m.Exchange:
            return m.Exchange(number, model.payload, model.mass, model.base, degree, event.clock)

        sends = [e.Send(tuple(peers), exchange(model), model.body) for model, peers in alike.values()]
        self._sent |= {peer: send for send in sends for peer in send.to}
        self.last_sent = number if sends else self.last_sent
        return [*sends]

    def again(self, peer: str) -> tuple[list[e.Effect], bool]:
        """Send the model of the open round to a neighbor that is back; return also whether that is the first time.

        What was on its way to it may have been lost with its connection, and nothing was sent while it was silent. What
        was sent is sent again only if it builds on nothing before it. One that has it takes the second for a late one.
        """
        cut, sent = peer in self._cut, self._sent.get(peer)
        self._cut.discard(peer)
        if self._trained is None:
            return [], False
        if sent is None:
            event, common, number, degree = self._trained
            effects = self.send(event, common, number, (peer,), degree)
            return effects, bool(effects)
        if not cut or self._by_differences or self._only_apart:
            return [], False
        return [e.Send((peer,), sent.message, sent.body)], False
