"""Who is sent which model of a round, and who has lost the copy of what was sent before."""

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
        self._by_differences = bool(rules.encoding)
        self._only_apart = rules.needs.mass
        self._whole: set[str] = set()
        self._asked: tuple[str, ...] = ()
        self._renewed: set[str] = set()  # started again since the training that runs was asked for

    def open(self) -> tuple[str, ...]:
        self._renewed = set()
        self._asked = tuple(sorted(self._whole))
        return self._asked

    def lost(self, peer: str) -> None:
        """A neighbor asks for the whole, or something to it did not go out."""
        if self._by_differences:
            self._whole.add(peer)

    def renew(self, peer: str) -> None:
        """A neighbor has been started again: what is being prepared builds on its previous incarnation."""
        self._renewed.add(peer)
        self.lost(peer)

    def send(
        self, event: ev.Trained, common: ev.OutgoingModel, number: int, to: Sequence[str], degree: int = 0
    ) -> list[e.Effect]:
        """Send what training gave to those that are there; what is the same for several, once.

        `degree` is how many edges this peer holds, where members come and go.
        """
        alike: dict[tuple[int, float, int | None], tuple[ev.OutgoingModel, list[str]]] = {}
        for peer in to:
            if peer in self._renewed or (self._only_apart and peer not in event.apart):
                self.lost(peer)
                continue
            model = event.apart.get(peer, common)
            alike.setdefault((id(model.body), model.mass, model.base), (model, []))[1].append(peer)
            if peer in self._asked:
                self._whole.discard(peer)

        def exchange(model: ev.OutgoingModel) -> m.Exchange:
            return m.Exchange(number, model.payload, model.mass, model.base, degree, event.clock)

        return [e.Send(tuple(peers), exchange(model), model.body) for model, peers in alike.values()]
