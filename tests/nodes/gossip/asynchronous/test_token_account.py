"""Token accounts: the published formulas, and an account that is never overdrawn."""

from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervenet.nodes.gossip.asynchronous.token_account import (
    STRATEGIES,
    TokenAccount,
    generalized,
    proactive,
    rand_round,
    randomized,
    simple,
)


def test_a_purely_proactive_account_sends_each_period_and_never_answers() -> None:
    account = TokenAccount(proactive())
    assert all(account.tick(draw) for draw in (0.0, 0.5, 0.999))
    assert account.react(True, 0.0) == 0
    assert account.balance == 0


@pytest.mark.parametrize("capacity", [1, 2, 10])
def test_a_simple_account_is_proactive_when_full_and_answers_while_it_has_anything(capacity: int) -> None:
    account = simple(capacity)
    for a in range(capacity + 2):
        assert account.proactive(a) == (1.0 if a >= capacity else 0.0)
        assert account.reactive(a, True, 0.5) == account.reactive(a, False, 0.5) == (1 if a > 0 else 0)


@pytest.mark.parametrize(("capacity", "reactivity"), [(5, 1), (20, 10), (7, 3)])
def test_a_generalized_account_follows_its_formula(capacity: int, reactivity: int) -> None:
    account = generalized(capacity, reactivity)
    for a in range(capacity + 1):
        assert account.proactive(a) == (1.0 if a >= capacity else 0.0)
        assert account.reactive(a, True, 0.9) == floor((reactivity - 1 + a) / reactivity)
        assert account.reactive(a, False, 0.9) == floor((reactivity - 1 + a) / (2 * reactivity))


def test_with_reactivity_one_a_generalized_account_spends_all_it_has() -> None:
    assert [generalized(9, 1).reactive(a, True, 0.0) for a in range(10)] == list(range(10))


@pytest.mark.parametrize(("capacity", "reactivity"), [(5, 1), (20, 10), (7, 3), (4, 4)])
def test_a_randomized_account_follows_its_formula(capacity: int, reactivity: int) -> None:
    account = randomized(capacity, reactivity)
    for a in range(capacity + 3):
        if a < reactivity - 1:
            assert account.proactive(a) == 0
        elif a <= capacity:
            assert account.proactive(a) == pytest.approx((a - reactivity + 1) / (capacity - reactivity + 1))
        else:
            assert account.proactive(a) == 1
        assert account.reactive(a, False, 0.0) == 0
        assert account.reactive(a, True, 0.0) == ceil(a / reactivity)
        assert account.reactive(a, True, 0.999999) == floor(a / reactivity)


def test_rounding_at_random_keeps_the_mean() -> None:
    draws = [k / 1000 for k in range(1000)]
    assert sum(rand_round(2.3, draw) for draw in draws) == 2300
    assert {rand_round(3.0, draw) for draw in draws} == {3}


@given(
    st.sampled_from(sorted(STRATEGIES)),
    st.integers(1, 12),
    st.integers(1, 12),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True)), max_size=60),
)
def test_no_account_is_overdrawn_or_overflows(
    name: str, capacity: int, reactivity: int, history: list[tuple[bool, bool, float]]
) -> None:
    capacity = max(capacity, reactivity)
    account, ticks, sent = TokenAccount(STRATEGIES[name](capacity, reactivity)), 0, 0
    for period, useful, draw in history:
        if period:
            ticks += 1
            sent += account.tick(draw)
        else:
            sent += account.react(useful, draw)
        assert 0 <= account.balance <= capacity
        assert sent + account.balance <= ticks


@pytest.mark.parametrize(("capacity", "reactivity"), [(3, 4), (0, 0), (5, 0)])
def test_an_account_that_cannot_be_is_refused(capacity: int, reactivity: int) -> None:
    with pytest.raises(ValueError, match=f"found reactivity {reactivity}, capacity {capacity}"):
        generalized(capacity, reactivity)
