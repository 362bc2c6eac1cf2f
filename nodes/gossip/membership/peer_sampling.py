"""Peer sampling: a small, fresh, random part of all peers, kept by trading parts of it.

Cyclon; Voulgaris, Gavidia & van Steen 2005.

Every so often a peer sends some of its contacts to the one it has known longest and gets some back. In-degrees stay
balanced, who has died is forgotten in as many cycles as a view has entries, and the graph of all views stays connected
through the death of a large part of it. Pure; the trades are addressed by their number.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace
from nervenet.broker.messages import Contact
from nervenet.models.rng import generator

SIZE = 8
TRADED = 3


class PartialView:
    """What one peer knows of others: at most `size` contacts, one a name, never itself.

    A size of log2(n) and some more keeps n peers connected; `traded` contacts travel each way in one trade.
    """

    def __init__(self, me: Contact, seed: int, *, size: int = SIZE, traded: int = TRADED) -> None:
        self.me = me
        self.size = size
        self.traded = min(traded, size)
        self.contacts: dict[str, Contact] = {}
        self._seed = seed
        self._trades = 0
        self._given: dict[str, tuple[str, ...]] = {}  # what was offered in the open trade with a partner

    def fill(self, contacts: Iterable[Contact]) -> None:
        """Begin with as many of these as there is room for, drawn at random: members known from elsewhere."""
        fresh = [c for c in contacts if c.node != self.me.node and c.node not in self.contacts]
        room = self.size - len(self.contacts)
        for i in generator(self._seed, self.me.node, "view", "fill", self._trades).permutation(len(fresh))[:room]:
            self.contacts[fresh[i].node] = fresh[i]

    def trade(self) -> tuple[str, tuple[Contact, ...]] | None:
        """Open a trade: with whom, and what it is sent; None where nobody is known (Cyclon, section 2.2, steps 1-4).

        The partner leaves the view: if it answers it is known by what it sends and by having answered (`answered`
        takes it up again at age 0 when there is room), and if it is dead nothing more need be done to forget it.
        """
        if not self.contacts:
            return None
        self._trades += 1
        self.contacts = {name: replace(c, age=c.age + 1) for name, c in self.contacts.items()}
        names = sorted(self.contacts)
        lot = generator(self._seed, self.me.node, "view", "partner", self._trades).permutation(len(names))
        # Among those known equally long the lot decides: by name, some would be forgotten more often than others.
        partner = max(zip((self.contacts[name].age for name in names), lot, names, strict=True))[2]
        del self.contacts[partner]
        some = self._some(self.traded - 1, "trade")
        self._given = {partner: tuple(c.node for c in some)}
        return partner, (self.me, *some)

    def take(self, sender: str, received: Iterable[Contact]) -> tuple[Contact, ...]:
        """Take what another offers; what it is sent in return."""
        self._trades += 1
        some = self._some(self.traded, "answer")
        self._merge(received, tuple(c.node for c in some if c.node != sender))
        return tuple(c for c in some if c.node != sender)

    def answered(self, sender: str, received: Iterable[Contact]) -> None:
        """Take what came in return; an answer to no open trade is only that, and fills what room there is."""
        self._merge(received, self._given.pop(sender, ()))

    def drop(self, peer: str) -> None:
        self.contacts.pop(peer, None)

    def _some(self, count: int, purpose: str) -> tuple[Contact, ...]:
        names = sorted(self.contacts)
        draw = generator(self._seed, self.me.node, "view", purpose, self._trades)
        return tuple(self.contacts[names[i]] for i in draw.permutation(len(names))[:count])

    def _merge(self, received: Iterable[Contact], given: tuple[str, ...]) -> None:
        """Keep what is new: first in empty slots, then in place of what was given away (steps 6 and 7)."""
        spare = [name for name in given if name in self.contacts]
        for contact in received:
            if contact.node == self.me.node:
                continue
            known = self.contacts.get(contact.node)
            if known is not None:
                if (contact.incarnation, -contact.age) > (known.incarnation, -known.age):
                    self.contacts[contact.node] = contact
                continue
            if len(self.contacts) >= self.size:
                if not spare:
                    continue
                del self.contacts[spare.pop(0)]
            self.contacts[contact.node] = contact
