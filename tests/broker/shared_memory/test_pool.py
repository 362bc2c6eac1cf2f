"""The pool of regions: none is written while anybody may read it, and there are never too many."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from nervenet.broker.shared_memory.pool import Pool, size_for

REGIONS, NBYTES = 4, 4 << 20


def test_a_region_is_written_again_once_nobody_reads_it() -> None:
    pool = Pool(REGIONS, NBYTES)
    first = pool.lend(500_000)
    assert first is not None
    assert first.new
    assert [pool.claim(first.region, reader) for reader in (1, 2)] == [1, 1]
    pool.returned(first.region, first.generation)
    pool.release(first.region, 1, 1)
    second = pool.lend(500_000)
    assert second is not None
    assert second.region != first.region, "one reads the first"
    pool.release(first.region, 1, 2)
    third = pool.lend(500_000)
    assert third is not None
    assert (third.region, third.generation, third.new) == (first.region, 2, False)


def test_what_is_released_twice_or_by_others_counts_once() -> None:
    pool = Pool(REGIONS, NBYTES)
    loan = pool.lend(4096)
    assert loan is not None
    pool.claim(loan.region, 1)
    pool.claim(loan.region, 2)
    for reader, generation in ((1, 1), (1, 1), (3, 1), (2, 7)):
        pool.release(loan.region, generation, reader)
    pool.returned(loan.region, 1)
    assert pool.claimed_by(2) == 1
    again = pool.lend(4096)
    assert again is not None
    assert again.region != loan.region


def test_what_a_lost_reader_may_read_is_never_written_again() -> None:
    pool = Pool(REGIONS, NBYTES)
    read, seen, other = (pool.lend(4096) for _ in range(3))
    assert read is not None
    assert seen is not None
    assert other is not None
    pool.claim(read.region, 1)
    for loan in (seen, other):
        pool.returned(loan.region, 1)
    assert pool.lose(1, {seen.region}) == (seen.region,), "the other is lent yet"
    assert pool.returned(read.region, 1)
    later = [pool.lend(4096) for _ in range(3)]
    assert {loan.region for loan in later if loan is not None}.isdisjoint({read.region, seen.region})


def test_there_is_no_room_while_all_is_read_and_room_for_another_size_once_it_is_not() -> None:
    pool = Pool(REGIONS, NBYTES)
    loans = [pool.lend(1 << 20) for _ in range(4)]
    assert pool.lend(1 << 20) is None
    assert pool.lend(3 << 20) is None
    for loan in loans:
        assert loan is not None
        pool.returned(loan.region, 1)
    large = pool.lend(3 << 20)
    assert large is not None
    assert large.given_up == (1, 2, 3)
    assert (len(pool), pool.nbytes) == (2, NBYTES)


def test_sizes_are_whole_pages_and_an_eighth_too_much_at_most() -> None:
    for nbytes in (1, 4096, 262_144, 800_000, 40_000_000, 100_000_000, (256 << 20) + 1):
        size = size_for(nbytes)
        assert size % 4096 == 0
        assert nbytes <= size <= max(4096, nbytes * 9 // 8)


class Readers(RuleBasedStateMachine):
    """Lends, claims, releases and losses in any order, beside a record of who may be looking at what."""

    loans = Bundle("loans")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(REGIONS, NBYTES)
        self.lent: set[tuple[int, int]] = set()
        self.read: list[tuple[int, int, int]] = []  # region, generation, reader: not released
        self.lost: set[tuple[int, int]] = set()  # what lost readers may be reading

    @rule(target=loans, nbytes=st.sampled_from([4096, 300_000, 1 << 20, 3 << 20]))
    def lend(self, nbytes: int) -> tuple[int, int]:
        loan = self.pool.lend(nbytes)
        if loan is None:
            return (0, 0)
        busy = {region for region, _ in (*self.lent, *self.lost)} | {region for region, _, _ in self.read}
        assert loan.region not in busy
        assert busy.isdisjoint(loan.given_up)
        assert loan.size >= nbytes
        self.lent.add((loan.region, loan.generation))
        return (loan.region, loan.generation)

    @rule(target=claims, loan=loans, reader=st.integers(1, 3))
    def claim(self, loan: tuple[int, int], reader: int) -> tuple[int, int, int]:
        if loan not in self.lent:  # nobody refers to an array that is no more
            return (0, 0, 0)
        assert self.pool.claim(loan[0], reader) == loan[1]
        self.read.append((*loan, reader))
        return (*loan, reader)

    @rule(claim=consumes(claims))
    def release(self, claim: tuple[int, int, int]) -> None:
        self.pool.release(*claim)
        if claim in self.read:
            self.read.remove(claim)

    @rule(loan=consumes(loans))
    def let_go(self, loan: tuple[int, int]) -> None:
        self.pool.returned(*loan)
        self.lent.discard(loan)

    @rule(reader=st.integers(1, 3))
    def lose(self, reader: int) -> None:
        self.pool.lose(reader)
        self.lost |= {(region, generation) for region, generation, other in self.read if other == reader}
        self.read = [each for each in self.read if each[2] != reader]

    @invariant()
    def there_are_not_too_many(self) -> None:
        assert len(self.pool) <= REGIONS
        assert self.pool.nbytes <= NBYTES

    @invariant()
    def what_is_lent_is_kept(self) -> None:
        assert all(self.pool.get(region) is not None for region, _ in self.lent)


TestReaders = Readers.TestCase
TestReaders.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
