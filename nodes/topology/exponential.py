"""Exponential graphs: node i sends to i + 1, i + 2, i + 4, … (Ying et al. 2021, arXiv 2110.13363)."""

from __future__ import annotations

from collections.abc import Sequence

from .base import Rows, Schedule, incoming, named


def hops(n: int) -> list[int]:
    """1, 2, 4, … below n: ceil(log2 n) of them."""
    return [2**t for t in range((n - 1).bit_length())]


def static_exponential(names: Sequence[str]) -> Schedule:
    """All hops at once, every weight 1 / (1 + ceil(log2 n)) (section 3, eq. 5).

    A circulant matrix: doubly stochastic, though not symmetric.
    """
    n = len(names)
    out = named(names, {i: [(i + hop) % n for hop in hops(n)] for i in range(n)})
    share = 1 / (1 + len(hops(n)))
    own: Rows = {me: dict.fromkeys(sorted((me, *heard)), share) for me, heard in incoming(out).items()}
    return Schedule.of(out, own=(own,), directed=True)


def one_peer_exponential(names: Sequence[str]) -> Schedule:
    """One hop a round, in turn; half one's own, half the other's (section 4, eq. 7).

    Doubly stochastic. The product over a period of ceil(log2 n) rounds is the exact average if n is a power of two,
    and otherwise not (lemma 1 and remark 4 there).
    """
    n = len(names)
    graphs = tuple(named(names, {i: [(i + hop) % n] for i in range(n)}) for hop in hops(n))
    own = tuple({me: dict.fromkeys(sorted((me, *heard)), 0.5) for me, heard in incoming(out).items()} for out in graphs)
    return Schedule.of(*graphs, own=own, directed=True)
