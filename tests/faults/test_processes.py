"""The vocabulary of faults over real processes; benchmarks/histories.py plays hundreds of them."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from process_histories import draw_process_history
from processes import LAUNCHER, LaunchedRun
from vocabulary import AddressChange, ClockJump, Cut, DiskFull, Kill, Slow, Stop

HOUR_S = 3600.0


@pytest.mark.e2e
async def test_a_run_outlives_what_befalls_it(tmp_path: Path, held: Callable[[], None]) -> None:
    words = ("--mode", "gossip", "--nodes", 3, "--rounds", 1010, "--data", "iris", "--set", "evaluation.baseline=false")
    words += ("--deadline", 2)  # of the round whose weights a cut has lost
    # It does not come to its end, at which the model is written, before all has befallen it and the disk has room.
    late = {"HELD_AT": "1000"}
    async with LaunchedRun((*words, "--model", "held:Held"), tmp_path / "run", 251, environment=late) as run:
        await run.in_round(5)
        await run.befall(
            [
                Stop("peer-0", 0.0, 0.3),
                Cut(frozenset({"peer-1"}), 0.0, 0.3),
                Cut(frozenset({"peer-2"}), 0.3, 0.2, severed=False),
                Slow(0.0, 0.2, 0.01),
                ClockJump("peer-2", 0.0, -HOUR_S),
                DiskFull(LAUNCHER, 0.6, 1.5),
                AddressChange("peer-0", 0.4),
                Kill("broker", 0.5),
            ]
        )
        assert len(run.performed) == 8
        held()
        assert await run.process.wait() == 0, run.said
        assert "is not whole: File too large" in run.said
        set_back = [x["time"] for x in run.events() if x.get("node") == "peer-2" and x["time"] < time.time() - 1800]
        assert set_back
        assert run.session() == []


def test_the_same_seed_draws_the_same_history() -> None:
    assert [draw_process_history(seed, "gossip") for seed in range(20)] == [
        draw_process_history(seed, "gossip") for seed in range(20)
    ]
    drawn = {type(fault) for seed in range(50) for fault in draw_process_history(seed, "federated").faults}
    assert drawn == {Kill, Stop, Cut, Slow}
