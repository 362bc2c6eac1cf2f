"""Computation on long vectors, block by block, on several cores where that pays."""

import os
from collections.abc import Callable, Iterable, Iterator
from threading import Lock

import numpy as np

MOST_THREADS = 3
"""More cores than this wait for memory, not for each other."""

WORTH_THREADS = 4_000_000
"""Elements to go through from which a thread, 0.1 ms to start, pays for itself."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def over_blocks(work: Callable[[Iterable[slice]], None], size: int, block: int, elements: int) -> None:
    """Distribute the blocks of a vector over one worker a core.

    NumPy releases the interpreter lock while it computes, so threads share such work well. Which of them takes a block
    is chance: the result must not depend on it.

    Parameters
    ----------
    work : callable
        Takes an iterable of slices and is done when that ends; called once a thread, so that each has its own buffers.
    size, block : int
        Length of the vector, and of a block; the last may be shorter.
    elements : int
        How many are read in all: few are done on the calling thread alone.
    """
    blocks = [slice(start, min(start + block, size)) for start in range(0, size, block)]
    threads = min(cores(), MOST_THREADS, len(blocks)) if elements >= WORTH_THREADS else 1
    if threads <= 1:
        work(blocks)
        return
    from concurrent.futures import ThreadPoolExecutor

    lock, left = Lock(), iter(blocks)

    def taken() -> Iterator[slice]:
        while True:
            with lock:
                block = next(left, None)
            if block is None:
                return
            yield block

    # The caller's handling of overflow and the like does not reach a new thread by itself.
    handling = np.geterr()

    def help_out() -> None:
        with np.errstate(**handling):
            work(taken())

    with ThreadPoolExecutor(threads - 1, "blocks") as pool:
        helpers = [pool.submit(help_out) for _ in range(threads - 1)]
        work(taken())
    for helper in helpers:
        helper.result()
