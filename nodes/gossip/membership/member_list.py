"""Who is there, by all that has been said: a list that converges whatever order the news arrive in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace
from nervenet.broker.messages import MemberState

from .news import newer

MOST = 2**53  # refutations that can be said


@dataclass(frozen=True, slots=True)
class Change:
    """A member has come to stand otherwise than before: what the owner of the list is told.

    `state` is ``alive`` (it is new, or here again), ``suspect``, ``dead`` (until it says otherwise), ``left``, or
    ``restarted``: the same name in a new life, whatever it stood like before. Of this node itself: ``superseded`` by a
    newer life of its name, or ``readmitted`` after it had been called gone. `last` is the last round of one that left.
    """

    peer: str
    state: str
    incarnation: int
    addresses: Mapping[str, str]
    reason: str = ""
    last: int = 0


class MemberList:
    """The newest saying of each member, this node apart.

    Parameters
    ----------
    me
        What this node says of itself.
    others
        Those known from the start.
    """

    def __init__(self, me: MemberState, others: Iterable[MemberState] = ()) -> None:
        self.me = me
        self.known: dict[str, MemberState] = {news.node: news for news in others if news.node != me.node}

    def __contains__(self, node: str) -> bool:
        return node in self.known

    def in_state(self, *states: str) -> list[str]:
        """Names of those that stand so, in name order."""
        return sorted(node for node, news in self.known.items() if news.state in states)

    def present(self) -> list[str]:
        """Names of those that count as here, the suspects among them and this node too, in name order."""
        return sorted([self.me.node, *self.in_state("alive", "suspect")])

    def take(self, news: MemberState, reason: str = "") -> Change | None:
        """Take in a saying about somebody else; what it changes, None where it is old."""
        before = self.known.get(news.node)
        if before is not None and not newer(news, before):
            return None
        if not news.addresses and before is not None:
            news = replace(news, addresses=before.addresses)
        self.known[news.node] = news
        if before is not None and before.incarnation < news.incarnation and news.state in ("alive", "suspect"):
            return self._change(news, "restarted", reason)
        if before is None and news.state in ("dead", "left"):
            return None  # it was gone before this node knew of it
        if before is None or before.state != news.state:
            return self._change(news, news.state, reason)
        return None

    def say(self, node: str, state: str, reason: str = "", last: int = 0) -> tuple[MemberState, Change | None]:
        """Say that a known member stands so, as of what it last said itself."""
        news = replace(self.known[node], state=state, last=last)
        return news, self.take(news, reason)

    def refute(self, news: MemberState) -> MemberState | None:
        """Answer a saying about this node in this life that makes it worse than it is; None if it does not."""
        mine = self.me
        if news.incarnation != mine.incarnation or not newer(news, mine):
            return None
        self.me = replace(mine, refutations=min(news.refutations + 1, MOST))
        return self.me

    def all(self) -> tuple[MemberState, ...]:
        """All that is known, this node's word of itself included, in name order."""
        return tuple(news for _, news in sorted({**self.known, self.me.node: self.me}.items()))

    @staticmethod
    def _change(news: MemberState, state: str, reason: str) -> Change:
        return Change(news.node, state, news.incarnation, news.addresses, reason, news.last)
