"""How the tests measure memory: what a call takes, and not what another thread took meanwhile."""

from collections.abc import Callable

MEGABYTE = 1 << 20


def test_what_was_allocated_once_is_not_the_call_s_own(allocated: Callable[..., int]) -> None:
    kept: list[bytes] = []
    first = iter([MEGABYTE])
    assert allocated(lambda: kept.append(bytes(next(first, 0))), 10_000) < 10_000


def test_what_a_call_allocates_is_seen(allocated: Callable[..., int]) -> None:
    assert allocated(lambda: bytes(MEGABYTE), 10_000) >= MEGABYTE
