"""Whatever befalls a federation without rounds: nothing counts twice, no wait is endless, nobody waits for the slow."""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

import pytest
from drawn import bad_networks, node_faults
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.broker.messages import Lane
from nervenet.broker.testing.faults import Faults, Partition
from nervenet.nodes.federated.async_buffer import SILENT_DEADLINES, AsyncBuffer
from nervenet.nodes.federated.async_tasks import OpenTask, TaskLedger
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.federated.strategies.base import Demands
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from vocabulary import Kill

NAMES = [f"client-{i}" for i in range(5)]
PROFILE = settings.get_profile(os.environ.get("NERVENET_FAULTS", "faults"))


@dataclass(frozen=True)
class Buffered(FedAvg):
    """As much of a strategy as the machine looks at."""

    buffer: int = 2
    max_staleness: int | None = None

    @property
    def demands(self) -> Demands:
        return Demands(asynchronous=True, buffer=self.buffer, max_staleness=self.max_staleness)


def seen(run: Any, effect: e.Effect) -> bool:
    """Look at what concerns tasks, steps and checkpoints; true if it did."""
    match effect:
        case e.Send(to, m.Task(round=number, attempt=attempt, work="train"), body):
            for client in to:
                earlier = [key[1] for key in run.given if key[::2] == (client, attempt)]
                assert number > max(earlier, default=0), f"{client} has had that task"
                run.given[client, number, attempt] = body
        case e.Checkpoint(number, body):
            assert body == f"w{number}"
            run.kept.append(effect)
        case e.Fold(number, _, body, contributions):
            demands = run.config.strategy.demands
            assert len(contributions) == demands.buffer
            assert body == f"w{number - 1}"
            origins = [run.answers[c.body] for c in contributions]
            assert origins == sorted(origins)
            for contribution, origin in zip(contributions, origins, strict=True):
                assert contribution.client == origin[0]
                assert origin not in run.counted, "an update counts twice"
                run.counted[origin] = number
                assert contribution.base == run.given[origin], "not what it started from"
                assert contribution.staleness == number - 1 - int(contribution.base.removeprefix("w"))
                assert demands.max_staleness is None or contribution.staleness <= demands.max_staleness
            run.folded.append(number)
        case _:
            return False
    return True


@pytest.fixture(scope="module")
def flow(federation: Any) -> Any:
    class Flow(federation):  # type: ignore[misc]
        """A coordinator without rounds, and its clients; see `Federation`."""

        def __init__(self, clients: int = 4, *, buffer: int = 2, max_staleness: int | None = None, **more: Any) -> None:
            self.given: dict[tuple[str, int, int], Any] = {}
            self.counted: dict[Any, int] = {}  # the step that each update is in
            self.kept: list[e.Checkpoint] = []
            super().__init__(clients, **({"rounds": 12} | more), strategy=Buffered(buffer, max_staleness))

        def worker(self, name: str) -> Any:
            usual = super().worker(name)

            def work(job: e.Effect) -> tuple[float, ev.Event | None]:
                return (0.2, ev.Saved(job.round)) if isinstance(job, e.Checkpoint) else usual(job)

            return work

        def restart(self, when: float, again: float) -> None:
            """Kill the coordinator, and go on from the last checkpoint that it had asked for."""

            def revive() -> None:
                kept = self.kept[-1]
                self.counted = {origin: step for origin, step in self.counted.items() if step <= kept.round}
                self.folded = self.folded[: kept.round]
                self.state = CoordinatorMachine.restored(self.config, json.loads(json.dumps(kept.record)), kept.body)
                self.put("coordinator", self.state)
                for name in self.names:
                    self.sim.post("coordinator", ev.LinkUp(name, "client", 1))
                    self.sim.post(name, ev.LinkUp("coordinator", "coordinator", 2))

            self.sim.crash("coordinator", when)
            self.sim.at(again, revive)

        def look(self, name: str, event: ev.Event, effect: e.Effect) -> None:
            """What is folded was sent in answer to a task that its sender had, and counts once."""
            if not seen(self, effect):
                super().look(name, event, effect)
            if isinstance(event, ev.Trained | ev.WorkFailed) and event is not self._last.get(name):
                self._last[name] = event
                self.training[name] = int(isinstance(effect, e.Train))

        @property
        def bound_s(self) -> float:
            """The longest that it may take: every answer comes just before the silence is too long."""
            config, timing = self.config, self.config.timing
            answers = config.rounds * config.strategy.demands.buffer + 1
            training = answers * (SILENT_DEADLINES * timing.deadline_s + config.wait_deadline_s + 1.0)
            gathering = timing.join_deadline_s + 5 * (timing.deadline_s + 1.0)
            return gathering + training + self.stalled_s() + self.restarted_s()

        def _check_story(self) -> None:
            """Steps are made one after another, and none twice."""
            reported = [fields["round"] for fields in self.published("coordinator", "round.completed")]
            assert reported == list(range(reported[0], reported[0] + len(reported))) if reported else True
            ended = self.sim.nodes["coordinator"].finished
            if ended is not None and ended.status == "completed":
                assert reported[-1] == self.config.rounds
            assert self.folded == sorted(set(self.folded))

    return Flow


@st.composite
def misfortunes(draw: st.DrawFn, clients: int) -> dict[str, Any]:
    there = NAMES[:clients]
    names = st.sampled_from(there)
    trainings = st.frozensets(st.tuples(names, st.integers(1, 12)), max_size=3)
    return {
        "train_s": draw(st.dictionaries(names, st.sampled_from([0.01, 2.0, 9.0, 15.0, 40.0]))),
        "hangs": draw(trainings),
        "fails": draw(trainings),
        "faults": draw(node_faults(there, ["coordinator"])),
    }


@PROFILE
@given(data=st.data())
def test_nothing_counts_twice_and_no_wait_is_endless(flow: Any, trouble: Any, data: st.DataObject) -> None:
    clients = data.draw(st.integers(1, 5))
    rules = data.draw(
        st.fixed_dictionaries(
            {
                "rounds": st.integers(1, 12),
                "buffer": st.integers(1, 4),
                "max_staleness": st.sampled_from([None, 0, 3]),
                "participation": st.sampled_from([0.3, 1.0]),
                "min_clients": st.sampled_from([None, 1, 2]),
                "evaluate_sites": st.booleans(),
                "evaluate_test": st.booleans(),
            }
        )
    )
    bad = trouble(**data.draw(misfortunes(clients)))
    flow(clients, faults=data.draw(bad_networks([*NAMES, "coordinator"])), trouble=bad, **rules).run()


def test_a_fast_client_never_waits_for_a_slow_one(flow: Any, trouble: Any) -> None:
    run = flow(4, rounds=30, buffer=4, trouble=trouble(train_s={"client-3": 5.0})).run()
    lasted = run.when("coordinator", "round.completed", round=30)
    answers = {name: sum(origin[0] == name for origin in run.counted) for name in run.names}
    # Half a second each, but for the way there and back; the last answers are to no step any more.
    assert min(answers[name] for name in NAMES[:3]) >= math.floor(lasted / 0.55)
    assert answers["client-3"] == math.floor((lasted - 0.1) / 5.05)


def test_after_a_crash_the_others_go_on_and_who_comes_back_is_tasked_at_once(flow: Any, trouble: Any) -> None:
    run = flow(3, rounds=20, buffer=1, trouble=trouble(faults=[Kill("client-1", 1.3, down_s=1.2)])).run()
    at = {fields["round"]: when for when, kind, fields in run.sim.nodes["coordinator"].published
          if kind == "round.completed"}  # fmt: skip
    assert all(
        after - before < 0.8 for before, after in zip(list(at.values())[1:], list(at.values())[2:], strict=False)
    )
    back = [key for key in run.given if key[0] == "client-1" and int(run.given[key][1:]) >= 3]
    assert back
    assert run.state.run.completed == 20


def test_a_lost_task_is_missed_at_its_deadline_and_given_anew(flow: Any) -> None:
    cut = Faults(seed=1, partitions=[Partition(frozenset({"client-2"}), 0.8, 1.7)], lanes=(Lane.BULK,))
    run = flow(3, rounds=80, buffer=1, deadline_s=5.0, faults=cut).run()
    (reported,) = run.published("coordinator", "warning")
    assert (reported["subject"], reported["reason"].split(": ")[1]) == ("client-2", "no answer within 5 s (last heard")
    assert sum(origin[0] == "client-2" for origin in run.counted) > 5
    assert run.state.run.completed == 80


@pytest.mark.parametrize("when", [1.01 + 0.137 * i for i in range(12)])
def test_a_coordinator_that_dies_goes_on_without_loss_and_counts_nothing_twice(
    flow: Any, trouble: Any, when: float
) -> None:
    slow = trouble(train_s={"client-2": 1.3})
    run = flow(3, rounds=25, buffer=2, trouble=slow)
    run.sim.add("patience", run.clock(when + 3.0), lambda job: (0.0, None))
    run.restart(when, when + 2.0)
    run.run()
    assert run.state.run.completed == 25
    assert run.state.run.ledger.attempt == 1
    assert sorted(run.counted.values()) == [step for step in range(1, 26) for _ in range(2)]
    numbers = [[origin[1] for origin, _ in sorted(run.counted.items()) if origin[0] == name] for name in run.names]
    assert all(len(set(mine)) == len(mine) for mine in numbers), "what a client carries would be carried twice"
    assert not run.published("coordinator", "update.rejected")


def test_all_hanging_ends_the_run_by_name(flow: Any, trouble: Any) -> None:
    hanging = trouble(hangs=[(f"client-{i}", n) for i in range(2) for n in range(1, 40)])
    run = flow(2, deadline_s=5.0, trouble=hanging).run()
    ended = run.sim.nodes["coordinator"].finished
    assert ended.status == "failed"
    assert ended.reason.startswith("no update that could be used has come for 15 s; client-0: ")


# --------------------------------------------------------------------------------------- the watching itself can fail


def test_a_fold_that_counts_an_update_twice_would_be_seen(flow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = TaskLedger.done

    def forgetful(self: TaskLedger, name: str) -> OpenTask:
        out = self.out[name] = done(self, name)
        return out

    monkeypatch.setattr(TaskLedger, "done", forgetful)
    with pytest.raises(AssertionError, match="counts twice"):
        flow(2, faults=Faults(seed=1, duplicate=1.0)).run()


def test_a_wait_without_a_deadline_would_be_seen(flow: Any, trouble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AsyncBuffer, "_silence", lambda self, now: [])
    with pytest.raises(AssertionError, match="still waits"):
        flow(1, min_clients=1, trouble=trouble(hangs=[("client-0", n) for n in range(1, 400)])).run()
