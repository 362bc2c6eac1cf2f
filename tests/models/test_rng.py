"""Addressed draws: the same address gives the same stream, in every version of this package."""

from hashlib import blake2b

import numpy as np
import pytest
from nervenet.models.rng import generator, generator_when_drawn

ADDRESSES = [(0, "init"), (-3, "client-0", 7, "batches"), (2**70, "a", 1), (0, "a", "1"), (5, *range(20))]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_stream_is_that_of_the_digest_as_a_number(address: tuple[int | str, ...]) -> None:
    parts = [
        b"%c%d:%b" % (kind, len(text), text)
        for kind, text in ((b"s" if isinstance(part, str) else b"i", str(part).encode()) for part in address)
    ]
    digest = int.from_bytes(blake2b(b"".join(parts), digest_size=16).digest(), "little")
    seed, *rest = address
    found = generator(int(seed), *rest)
    assert found.bit_generator.state == np.random.default_rng(digest).bit_generator.state
    assert found.integers(2**62) == np.random.default_rng(digest).integers(2**62)


@pytest.mark.parametrize("zeros", [4, 8, 12, 16])
def test_a_digest_that_ends_in_zeros_is_the_same_number(zeros: int) -> None:
    digest = bytes(range(1, 17 - zeros)) + bytes(zeros)
    words = np.random.SeedSequence(np.frombuffer(digest, "<u4"))
    state = np.random.Generator(np.random.PCG64(words)).bit_generator.state
    assert state == np.random.default_rng(int.from_bytes(digest, "little")).bit_generator.state


def test_another_address_is_another_stream() -> None:
    first = [generator(0, *address).integers(2**62) for address in (("a",), ("b",), (1,), ("1",), ("a", "b"), ("ab",))]
    assert len(set(first)) == len(first)


def test_what_is_made_when_drawn_draws_the_same() -> None:
    later, made = generator_when_drawn(3, "a", 1), generator(3, "a", 1)
    for draw in (lambda rng: rng.permutation(9).tolist(), lambda rng: rng.random(), lambda rng: rng.integers(2**62)):
        assert draw(later) == draw(made)


def test_nothing_is_seeded_where_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[tuple[object, ...]] = []

    def noted(*address: int | str) -> np.random.Generator:
        seeded.append(address)
        return generator(*address)  # type: ignore[arg-type]

    monkeypatch.setattr("nervenet.models.rng.generator", noted)
    later = generator_when_drawn(3, "a", 1)
    assert seeded == []
    later.random(2)
    later.random(2)
    assert seeded == [(3, "a", 1)]
