"""Who is asked: a function of address and names, never of what happened before."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.nodes.federated.sampling import by_turns, sample, share_of, surplus, uniform, weighted
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


SIZES = {"a": 10, "b": 20, "c": 30, "d": 0}


def test_by_examples_the_first_drawn_is_each_in_proportion() -> None:
    counts = Counter(name for i in range(6000) for name in weighted(SIZES, 1, seed=0, round=i, attempt=0))
    assert counts["d"] == 0
    for name, chance in (("a", 1 / 6), ("b", 1 / 3), ("c", 1 / 2)):
        assert abs(counts[name] - 6000 * chance) < 5 * (6000 * chance * (1 - chance)) ** 0.5


def test_by_examples_the_second_drawn_is_in_proportion_among_the_rest() -> None:
    """P({b, c}) of two without replacement: 1/3 * 30/40 + 1/2 * 20/30."""
    found = [weighted(SIZES, 2, seed=0, round=i, attempt=0) for i in range(6000)]
    chance = 1 / 3 * 30 / 40 + 1 / 2 * 20 / 30
    assert abs(found.count(("b", "c")) - 6000 * chance) < 5 * (6000 * chance * (1 - chance)) ** 0.5
    assert all(len(set(names)) == 2 and list(names) == sorted(names) for names in found)


def test_clients_without_examples_come_last() -> None:
    assert weighted({"a": 0, "b": 0, "c": 5}, 2, seed=0, round=1, attempt=0) == ("a", "c")


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_by_turns_everybody_has_as_many(n: int, count: int, cycles: int) -> None:
    names = [f"c{i:02}" for i in range(n)]
    count = min(n, count)
    turns = Counter(name for r in range(1, n * cycles + 1) for name in by_turns(names, count, round=r, attempt=0))
    assert set(turns.values()) == {count * cycles}


def test_by_turns_a_failed_attempt_passes_its_turn_on() -> None:
    assert by_turns(["a", "b", "c", "d"], 2, round=1, attempt=0) == ("a", "b")
    assert by_turns(["a", "b", "c", "d"], 2, round=1, attempt=1) == ("c", "d")
    assert by_turns(["a", "b", "c"], 2, round=2, attempt=0) == ("a", "c")


@pytest.mark.parametrize("how", ["uniform", "weighted", "round-robin"])
@given(order=st.permutations(NAMES[:8]), count=st.integers(1, 12), number=st.integers(1, 99), attempt=st.integers(0, 2))
@settings(deadline=None, derandomize=True, max_examples=30)
def test_every_way_is_a_function_of_address_and_pool(
    how: Any, order: list[str], count: int, number: int, attempt: int
) -> None:
    address = {"seed": 3, "round": number, "attempt": attempt}
    found = sample(how, {name: int(name[-2:]) for name in order}, count, **address)
    assert found == sample(how, {name: int(name[-2:]) for name in NAMES[:8]}, count, **address)
    assert len(found) == min(8, count)
    assert list(found) == sorted(set(found))


@pytest.mark.parametrize(
    ("n", "wanted", "over", "count"), [(10, 3, 1.3, 4), (10, 10, 1.3, 10), (100, 10, 1.3, 13), (9, 3, 1.0, 3)]
)
def test_a_surplus_is_rounded_up_and_never_more_than_there_are(n: int, wanted: int, over: float, count: int) -> None:
    assert surplus(n, wanted, over) == count


def test_updates_weigh_by_examples() -> None:
    assert by_examples([Contribution("a", None, None, 10), Contribution("b", None, None, 30)]) == [0.25, 0.75]
