"""Exact order statistics of columns that several sites hold: the k-th smallest of all values, without a row shared.

Every float64 has a 64-bit key, in the order of the values. All sites count the first 16 bits of their keys; the counts
say in which bin each wanted value lies, and the next 16 bits are counted in those bins only. Four exchanges give the
key, and with it the value, whatever the distribution (radix selection; for the keys: Herf 2001, "Radix tricks"). With
fewer bits at a time there are more exchanges, and a site tells less of the values that nobody asked for.
-0.0 and 0.0 have the same key. NaN is a gap, which is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..moments import IncompatibleSites
from .questions import Answer, Answers, Question, Questions

KEY = 64
BITS = 16

WIDTHS = (1, 2, 4, 8, 16)
"""So many bits can be counted at a time."""

MOST_NUMBERS = 1 << 20
"""A question is split where a site's answer could be longer: 8 MiB."""

MOST_PREFIXES = 1 << 15
"""And where more bins were asked about: a question goes in the header of a message."""

_FEW = 8
_SIGN = np.uint64(1 << 63)

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Ordered:
    """What was asked about a column: how many values all sites have, and those at some ranks, from 0."""

    n: int
    at: Mapping[int, float]


def keys(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return keys, shape (rows,), which are ordered as the values are; NaN is not allowed."""
    bits = (values + 0.0).view(np.int64)  # -0.0 + 0.0 is 0.0
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | _SIGN)


def values_of(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the values of keys."""
    return np.where(keys & _SIGN, keys ^ _SIGN, ~keys).view(np.float64)


def order_statistics(
    columns: Sequence[str | int], ranks: Callable[[int], Sequence[int]], bits: int = BITS
) -> Questions[tuple[Ordered, ...]]:
    """Ask for the values at some ranks of each column, in 64 / bits exchanges for all of them.

    Parameters
    ----------
    columns
        Names or places, by which each site finds its own values.
    ranks
        Which ranks are wanted, from 0 to n - 1, of a column that has n > 0 values at all sites together.
    bits
        How many bits of the keys are counted at a time: 1, 2, 4, 8 or 16.

    Returns one `Ordered` a column. Raises IncompatibleSites: an answer does not fit the question, or the one before,
    naming the site.
    """
    if bits not in WIDTHS:
        raise ValueError(f"bits is {bits}; allowed: {', '.join(map(str, WIDTHS))}")
    search = _Search(len(columns), 1 << bits)
    for known in range(0, KEY, bits):
        for groups in search.batches():
            search.take(groups, (yield _question(columns, {"bits": bits, "known": known}, search, groups)))
        search.narrow(None if known else ranks)
    values = values_of(search.prefix.astype(np.uint64))
    at: list[dict[int, float]] = [{} for _ in columns]
    for column, rank, value in zip(search.column.tolist(), search.asked.tolist(), values.tolist(), strict=True):
        at[column][rank] = value
    return tuple(Ordered(n, found) for n, found in zip(search.n, at, strict=True))


def count(question: Question, values: Callable[[str | int], NDArray[Any]]) -> Answer:
    """Return a site's answer to a question as `order_asked.check_order` allows it: counts of the bins that it occupies.

    `values` gives a column's own values, shape (rows,), in which NaN is a gap. The vector holds, for each prefix that
    was asked, how many bins are occupied, and then for each of those 2**bits * count + bin.
    """
    sizes, codes = [], []
    for column, prefixes in zip(question["columns"], question["prefixes"], strict=True):
        lengths, packed = _count(values(column), question["known"], question["bits"], np.asarray(prefixes, np.uint64))
        sizes.append(lengths)
        codes.append(packed)
    return Answer({}, np.concatenate([*sizes, *codes]).astype(np.float64))


def summed(question: Question, answers: Iterable[Answer]) -> Answer:
    """Return the answer of all rows, from those of `count` for some of them each."""
    size = 1 << question["bits"]
    width = sum(len(prefixes) for prefixes in question["prefixes"])
    codes = counts = np.empty(0, np.int64)
    held: list[tuple[Codes, Codes]] = []
    for answer in answers:
        group, bins, own = _unpacked("", answer, width, size)
        held.append((group * size + bins, own))
        if sum(len(one) for one, _ in held) > MOST_NUMBERS:
            codes, counts = _added([(codes, counts), *held])
            held = []
    codes, counts = _added([(codes, counts), *held])
    sizes = np.bincount(codes // size, minlength=width)
    return Answer({}, np.concatenate([sizes, counts * size + codes % size]).astype(np.float64))


def _added(parts: Sequence[tuple[Codes, Codes]]) -> tuple[Codes, Codes]:
    """Return the codes of all parts, ascending, each with the sum of its counts."""
    codes, counts = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    distinct, places = np.unique(codes, return_inverse=True)
    return distinct, np.bincount(places.ravel(), counts, len(distinct)).astype(np.int64)


def _question(columns: Sequence[str | int], bits: Question, search: _Search, groups: slice) -> Question:
    where, prefixes = search.groups[:, groups]
    asked = np.unique(where)
    split = [prefixes[where == place].tolist() for place in asked]
    return {"ask": "order", "columns": [columns[place] for place in asked], **bits, "prefixes": split}


def _count(values: NDArray[Any], known: int, bits: int, prefixes: NDArray[np.uint64]) -> tuple[Codes, Codes]:
    found = np.asarray(values, np.float64)
    if known and len(prefixes) <= _FEW:
        found = found[_within(found, known, prefixes)]  # faster than a key for each value
    gaps = np.isnan(found)
    own = keys(found[~gaps] if gaps.any() else found)
    group = np.zeros(len(own), np.int64)
    if known:
        top = own >> np.uint64(KEY - known)
        group = np.searchsorted(prefixes, top)
        hit = prefixes[np.minimum(group, len(prefixes) - 1)] == top
        own, group = own[hit], group[hit]
    width = 1 << bits
    bins = ((own >> np.uint64(KEY - known - bits)) & np.uint64(width - 1)).astype(np.int64)
    if len(prefixes) == 1 and len(bins) > width // 8:  # else sorting them is faster than a bin for each
        counts = np.bincount(bins, minlength=width)
        occupied = np.flatnonzero(counts)
        return np.array([len(occupied)]), counts[occupied] * width + occupied
    codes, counts = np.unique(group * width + bins, return_counts=True)
    return np.bincount(codes // width, minlength=len(prefixes)), counts * width + codes % width


def _within(values: NDArray[np.float64], known: int, prefixes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which values have one of these prefixes, shape (rows,): the values of a prefix are an interval."""
    rest = np.uint64(KEY - known)
    least, most = keys(np.array([-np.inf, np.inf]))
    low = np.maximum(prefixes << rest, least)
    high = np.minimum((prefixes << rest) | ((np.uint64(1) << rest) - np.uint64(1)), most)
    within = np.zeros(len(values), np.bool_)
    for first, last in zip(values_of(low), values_of(high), strict=True):
        within |= (values >= first) & (values <= last)
    return within


class _Search:
    """The wanted values, one a place of the arrays: which column, which rank, and what is known of the key."""

    def __init__(self, columns: int, bins: int) -> None:
        self.bins = bins
        self.column = self.rank = self.asked = self.prefix = np.empty(0, np.int64)
        self.groups: Codes = np.stack([np.arange(columns), np.zeros(columns, np.int64)])  # column and prefix of each
        self.group = np.empty(0, np.int64)  # of each wanted value
        self.n = [0] * columns
        self.known: dict[str, Codes] = {}  # how many values a site has in each group
        self._codes: dict[str, list[Codes]] = {}
        self._counts: dict[str, list[Codes]] = {}

    def batches(self) -> Iterator[slice]:
        """Return runs of groups, so short that neither question nor answers are too long."""
        self._codes, self._counts = {}, {}
        bound = np.ones(self.groups.shape[1], np.int64)
        for counts in self.known.values():
            bound = np.maximum(bound, 1 + np.minimum(counts, self.bins))
        start, length = 0, 0
        for place, more in enumerate(bound.tolist()):
            if place > start and (length + more > MOST_NUMBERS or place - start == MOST_PREFIXES):
                yield slice(start, place)
                start, length = place, 0
            length += more
        if start < len(bound):
            yield slice(start, len(bound))

    def take(self, groups: slice, answers: Answers) -> None:
        width = groups.stop - groups.start
        for site, answer in answers.items():
            group, bins, counts = _unpacked(site, answer, width, self.bins)
            if self.known:
                told = np.bincount(group, counts, minlength=width).astype(np.int64)
                if not np.array_equal(told, self.known[site][groups]):
                    raise IncompatibleSites(f"site {site} has counted other values than it counted before", site)
            self._codes.setdefault(site, []).append((group + groups.start) * self.bins + bins)
            self._counts.setdefault(site, []).append(counts)

    def narrow(self, ranks: Callable[[int], Sequence[int]] | None) -> None:
        """Find the bin of each wanted value; in the first step the number of values says which ranks are wanted."""
        if not self.groups.shape[1]:
            return
        codes = {site: np.concatenate(parts) for site, parts in self._codes.items()}
        counts = {site: np.concatenate(parts) for site, parts in self._counts.items()}
        occupied, inverse = np.unique(np.concatenate(list(codes.values())), return_inverse=True)
        sums = np.bincount(inverse.ravel(), np.concatenate(list(counts.values())), len(occupied)).astype(np.int64)
        below = np.concatenate([[0], np.cumsum(sums)])
        first = below[np.searchsorted(occupied, np.arange(self.groups.shape[1] + 1) * self.bins)]
        if ranks is not None:
            self._want(np.diff(first), ranks)
        place = np.searchsorted(below, first[self.group] + self.rank, side="right") - 1
        self.rank = self.rank - (below[place] - first[self.group])
        self.prefix = self.prefix * self.bins + occupied[place] % self.bins if len(place) else self.prefix
        told = {site: _lookup(codes[site], counts[site], occupied[place]) for site in codes}
        pairs = np.stack([self.column, self.prefix])
        self.groups, kept, group = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
        self.group = group.reshape(-1)
        self.known = {site: numbers[kept] for site, numbers in told.items()}

    def _want(self, numbers: Codes, ranks: Callable[[int], Sequence[int]]) -> None:
        self.n = numbers.tolist()
        wanted = [np.unique(np.asarray(ranks(n), np.int64)) if n else np.empty(0, np.int64) for n in self.n]
        self.column = self.group = np.repeat(np.arange(len(wanted)), [len(some) for some in wanted])
        self.rank = self.asked = np.concatenate([np.empty(0, np.int64), *wanted])
        self.prefix = np.zeros(len(self.rank), np.int64)


def _lookup(codes: Codes, counts: Codes, wanted: Codes) -> Codes:
    """Return a site's counts at some codes, 0 where it has none."""
    if not len(codes):
        return np.zeros(len(wanted), np.int64)
    place = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    return np.where(codes[place] == wanted, counts[place], 0)


def _unpacked(site: str, answer: Answer, width: int, size: int) -> tuple[Codes, Codes, Codes]:
    """Return group, bin and count of each occupied bin, or raise IncompatibleSites naming the site."""
    vector = answer.vector
    whole = vector.ndim == 1 and len(vector) >= width and bool(((vector >= 0) & (vector <= 2**53)).all())
    numbers = vector.astype(np.int64) if whole else np.empty(0, np.int64)
    if not whole or not np.array_equal(numbers, vector) or numbers[:width].sum() != len(vector) - width:
        raise IncompatibleSites(f"site {site} has sent no list of counts of bins", site)
    group = np.repeat(np.arange(width), numbers[:width])
    bins, counts = numbers[width:] % size, numbers[width:] // size
    if (counts < 1).any() or (np.diff(group * size + bins) <= 0).any():
        raise IncompatibleSites(f"site {site} has sent a bin without values, or one twice", site)
    return group, bins, counts
