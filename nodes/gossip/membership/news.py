"""What is said of members, which of two sayings is newer, and how long each is passed on."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nervenet.broker.messages import MemberState

ORDER = {"alive": 0, "suspect": 1, "dead": 2, "left": 3}
REPEATS = 3  # times log2(n): how often one saying is passed on (the lambda of SWIM, section 4.1)
AT_ONCE = 8  # sayings that travel on one probe


def newer(one: MemberState, other: MemberState) -> bool:
    """Whether `one` outweighs `other`, of the same member (SWIM, section 4.2, with lives in front).

    A later life outweighs all of an earlier one; within a life what the member itself said last outweighs all that
    others had said before; and of those left over the worse outweighs the better.
    """
    return _rank(one) > _rank(other)


def _rank(news: MemberState) -> tuple[int, int, int]:
    return news.incarnation, news.refutations, ORDER[news.state]


class BroadcastQueue:
    """Sayings that still travel: each on so many messages as spread it to everybody, the freshest first.

    The number is `REPEATS` times log2 of the members, after which a saying has reached all n with a probability of at
    least 1 - 1/n (SWIM, section 4.1).
    """

    def __init__(self) -> None:
        self._carried: dict[str, tuple[MemberState, int]] = {}  # by member: one saying supersedes the other

    def put(self, news: MemberState) -> None:
        """Pass on a saying from now on."""
        self._carried[news.node] = (news, 0)

    def take(self, members: int, first: Iterable[str] = ()) -> tuple[MemberState, ...]:
        """Give what travels on the next message: at most `AT_ONCE`, and of `first` if anything is said of them."""
        limit = REPEATS * max(1, math.ceil(math.log2(members + 1)))
        wanted = set(first)
        queue = sorted(self._carried.items(), key=lambda item: (item[0] not in wanted, item[1][1], item[0]))
        chosen = []
        for node, (news, times) in queue[:AT_ONCE]:
            chosen.append(news)
            if times + 1 < limit:
                self._carried[node] = (news, times + 1)
            else:
                del self._carried[node]
        return tuple(chosen)
