"""Histories drawn from seeds, of all-reduces among members that come and go: each keeps every promise."""

import pytest
from all_reduce_histories import PlayedAllReduce, breaches, draw_all_reduce

SEEDS = 2  # benchmarks/histories.py plays as many as are asked for


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_history_keeps_every_promise(seed: int) -> None:
    assert breaches(PlayedAllReduce(draw_all_reduce(seed)).play()) == []
