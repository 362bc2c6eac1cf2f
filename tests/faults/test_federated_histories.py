"""Histories of federations drawn from seeds: each keeps every promise, and is the same each time."""

import pytest
from federated_drawn import draw

SEEDS = 12  # benchmarks/histories.py plays thousands


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_history_keeps_every_promise(seed: int) -> None:
    draw(seed).play()


def test_the_same_seed_gives_the_same_history() -> None:
    runs = [draw(3).play() for _ in range(2)]
    assert runs[0].sim.nodes["coordinator"].published == runs[1].sim.nodes["coordinator"].published
    assert draw(3) == draw(3) != draw(4)
