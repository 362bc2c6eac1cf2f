"""Who is asked: a function of address and names, never of what happened before."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.federated.sampling import share_of, uniform
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.federated.strategies.pipeline import by_examples

NAMES = [f"client-{i:02}" for i in range(30)]


def drawn(names: list[str], share: float, number: int = 1, attempt: int = 0, seed: int = 0) -> tuple[str, ...]:
    return uniform(names, share_of(len(names), share), seed=seed, round=number, attempt=attempt)


@pytest.mark.parametrize(
    ("share", "n", "count"),
    [(1.0, 30, 30), (0.1, 30, 3), (0.5, 5, 3), (0.01, 30, 1), (0.7, 10, 7), (0.29, 100, 29), (1.0, 1, 1)],
)
def test_a_share_is_rounded_up_in_decimals_as_people_read_them(share: float, n: int, count: int) -> None:
    assert len(drawn([f"c{i}" for i in range(n)], share)) == count


@given(st.permutations(NAMES[:8]), st.floats(0.01, 1.0), st.integers(1, 99), st.integers(0, 2))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_the_same_address_and_names_give_the_same_answer(
    names: list[str], share: float, number: int, attempt: int
) -> None:
    found = drawn(names, share, number, attempt)
    assert found == drawn(NAMES[:8], share, number, attempt)
    assert list(found) == sorted(set(found))
    assert set(found) <= set(names)


def test_rounds_attempts_and_seeds_draw_apart() -> None:
    draws = {drawn(NAMES, 0.2, number, attempt, seed) for number in (1, 2) for attempt in (0, 1) for seed in (0, 1)}
    assert len(draws) == 8


def test_everybody_has_the_same_chance() -> None:
    counts = Counter(name for number in range(2000) for name in drawn(NAMES[:10], 0.3, number))
    # Binomial(2000, 0.3): mean 600, standard deviation 20.5.
    assert all(abs(count - 600) < 5 * 20.5 for count in counts.values())
    assert len(counts) == 10


def test_updates_weigh_by_examples() -> None:
    assert by_examples([Contribution("a", None, None, 10), Contribution("b", None, None, 30)]) == [0.25, 0.75]
