"""A node that is stopped for a while, as by a closed lid, and woken: the run completes, on virtual time."""

from typing import Any

import pytest
from nervenet.nodes.config.schema import Timing
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime.failure_detector import FailureDetector
from vocabulary import Stop

DONE = e.Finish("completed")
FELL_ASLEEP_S = 2.3  # in the middle of a training


@pytest.mark.parametrize("seconds", [3.0, 12.0, 60.0])
@pytest.mark.parametrize("sleeper", ["coordinator", "client-1"])
def test_a_federation_completes_whoever_slept(federation: Any, trouble: Any, sleeper: str, seconds: float) -> None:
    patience_s = Timing().rejoin_deadline_s
    stalls = trouble(faults=[Stop(sleeper, FELL_ASLEEP_S, seconds)])
    run = federation(4, rounds=40, trouble=stalls, client_lost_after_s=patience_s).run()
    assert run.sim.nodes["coordinator"].finished == DONE
    assert run.state.run.completed == 40
    assert {run.sim.nodes[name].finished for name in run.names if name != sleeper} == {DONE}


def test_a_patience_of_less_would_not_outlast_a_minute_of_sleep(federation: Any, trouble: Any) -> None:
    stalls = trouble(faults=[Stop("coordinator", FELL_ASLEEP_S, 60.0)])
    run = federation(4, rounds=40, trouble=stalls, client_lost_after_s=50.0).run()
    assert run.sim.nodes["coordinator"].finished.status == "failed"


@pytest.mark.parametrize("seconds", [3.0, 12.0, 60.0])
def test_peers_complete_whoever_slept(gossip: Any, trouble: Any, seconds: float) -> None:
    run = gossip(4, rounds=40, trouble=trouble(faults=[Stop("peer-1", FELL_ASLEEP_S, seconds)])).run()
    assert all(
        run.sim.nodes[f"peer-{k}"].finished is None or "fail" not in run.sim.nodes[f"peer-{k}"].finished.status
        for k in range(4)
    )


def verdicts_of_one_that_slept(federation: Any, trouble: Any) -> list[str]:
    """Whom a coordinator suspects that wakes after a minute."""
    run = federation(4, rounds=40, trouble=trouble(faults=[Stop("coordinator", FELL_ASLEEP_S, 12.0)])).run()
    return [fields["subject"] for fields in run.published("coordinator", "node.suspect")]


def test_who_slept_blames_nobody_for_it(federation: Any, trouble: Any) -> None:
    assert verdicts_of_one_that_slept(federation, trouble) == []


def test_without_regard_to_its_own_delay_it_would_blame_all(
    federation: Any, trouble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FailureDetector, "extend_deadlines", lambda *_: None)
    monkeypatch.setattr(FailureDetector, "heard", lambda *_: False)
    assert verdicts_of_one_that_slept(federation, trouble) != []
