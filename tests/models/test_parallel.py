"""Blocks of a vector on several threads: each once, errors reach the caller, and so do its wishes about warnings."""

import warnings
from threading import Barrier, get_ident

import numpy as np
import pytest
from nervenet.models import parallel
from nervenet.models.parallel import over_blocks


@pytest.fixture
def three_cores(monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 3)


@pytest.mark.parametrize("elements", [0, parallel.WORTH_THREADS])
def test_every_element_is_handed_out_once(three_cores, elements):
    seen = np.zeros(1003, int)

    def work(blocks):
        for part in blocks:
            seen[part] += 1

    over_blocks(work, seen.size, 10, elements)
    assert (seen == 1).all()


def test_much_work_is_shared_and_little_is_not(three_cores):
    together = Barrier(3, timeout=60)
    threads = set()

    def work(blocks):
        together.wait()  # breaks unless three are at work at once
        threads.add(get_ident())
        list(blocks)

    over_blocks(work, 100, 10, parallel.WORTH_THREADS)
    assert len(threads) == 3

    alone = []
    over_blocks(lambda blocks: alone.append((get_ident(), len(list(blocks)))), 100, 10, parallel.WORTH_THREADS - 1)
    assert alone == [(get_ident(), 10)]


def test_an_error_on_any_thread_reaches_the_caller(three_cores):
    caller = get_ident()

    def work(blocks):
        if get_ident() != caller:
            raise MemoryError("no room for a block")
        list(blocks)

    with pytest.raises(MemoryError, match="no room"):
        over_blocks(work, 100, 1, parallel.WORTH_THREADS)


def test_what_the_caller_said_about_overflow_holds_on_every_thread(three_cores):
    together = Barrier(3, timeout=60)

    def work(blocks):
        together.wait()
        np.multiply(np.float32(1e30), np.full(3, 1e30, "f"))
        list(blocks)

    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("error")
        over_blocks(work, 100, 1, parallel.WORTH_THREADS)
    with pytest.raises(FloatingPointError), np.errstate(over="raise"):
        over_blocks(work, 100, 1, parallel.WORTH_THREADS)


def test_there_is_a_core():
    assert parallel.cores() >= 1
