"""Whatever befalls a federation without rounds: nothing counts twice, no wait is endless, nobody waits for the slow."""

import math
import os
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nervenet.broker import messages as m
from nervenet.broker.faults import Faults, Partition
from nervenet.broker.messages import Lane
from nervenet.nodes import effects as e
from nervenet.nodes.federated.flow import SILENT_DEADLINES, FlowState
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.federated.strategies.contract import Demands

NAMES = [f"client-{i}" for i in range(5)]
SECONDS = st.floats(0.0, 40.0)
PROFILE = settings.get_profile(os.environ.get("NERVENET_FAULTS", "faults"))


@dataclass(frozen=True)
class Buffered(FedAvg):
    """As much of a strategy as the machine looks at."""

    buffer: int = 2
    max_staleness: int | None = None

    @property
    def demands(self) -> Demands:
        return Demands(asynchronous=True, buffer=self.buffer, max_staleness=self.max_staleness)


@pytest.fixture(scope="module")
def flow(federation: Any) -> Any:
    class Flow(federation):  # type: ignore[misc]
        """A coordinator without rounds, and its clients; see `Federation`."""

        machine = FlowState

        def __init__(self, clients: int = 4, *, buffer: int = 2, max_staleness: int | None = None, **more: Any) -> None:
            self.given: dict[tuple[str, int, int], Any] = {}
            self.counted: set[Any] = set()
            super().__init__(clients, **({"rounds": 12} | more), strategy=Buffered(buffer, max_staleness))

        def look(self, name: str, event: e.Event, effect: e.Effect) -> None:
            """What is folded was sent in answer to a task that its sender had, and counts once."""
            match effect:
                case e.Send(to, m.Task(round=number, attempt=attempt, work="train"), body):
                    for client in to:
                        earlier = [key[1:] for key in self.given if key[0] == client]
                        assert (number, attempt) > max(earlier, default=(0, 0)), f"{client} has had that task"
                        self.given[client, number, attempt] = body
                case e.Fold(number, _, _, body, contributions):
                    demands = self.rules.strategy.demands
                    assert len(contributions) == demands.buffer
                    assert body == f"w{number - 1}"
                    origins = [self.answers[c.body] for c in contributions]
                    assert origins == sorted(origins)
                    for contribution, origin in zip(contributions, origins, strict=True):
                        assert contribution.client == origin[0]
                        assert origin not in self.counted, "an update counts twice"
                        self.counted.add(origin)
                        assert contribution.base == self.given[origin], "not what it started from"
                        assert contribution.staleness == number - 1 - int(contribution.base.removeprefix("w"))
                        if demands.max_staleness is not None:
                            assert contribution.staleness <= demands.max_staleness
                    self.folded.append(number)
                case _:
                    super().look(name, event, effect)
            if isinstance(event, e.Trained | e.WorkFailed) and event is not self._last.get(name):
                self._last[name] = event
                self.training[name] = int(isinstance(effect, e.Train))

        @property
        def bound_s(self) -> float:
            """The longest that it may take: every answer comes just before the silence is too long."""
            rules = self.rules
            answers = rules.rounds * rules.strategy.demands.buffer + 1
            flowing = answers * (SILENT_DEADLINES * rules.deadline_s + 1.0)
            return (
                rules.join_deadline_s + 5 * (rules.deadline_s + 1.0) + flowing + self.stalled_s() + self.restarted_s()
            )

        def _check_story(self) -> None:
            """Steps are made one after another, and none twice."""
            told = [fields["round"] for fields in self.published("coordinator", "round.completed")]
            assert told == list(range(len(told)))
            ended = self.sim.nodes["coordinator"].finished
            if ended is not None and ended.status == "completed":
                assert told[-1] == self.rules.rounds
            assert self.folded == sorted(set(self.folded))

    return Flow


@st.composite
def bad_networks(draw: st.DrawFn) -> Faults:
    sides = st.frozensets(st.sampled_from([*NAMES, "coordinator"]), min_size=1)
    cuts = st.builds(lambda side, at, length: Partition(side, at, at + length), sides, SECONDS, st.floats(0.1, 60.0))
    return Faults(
        seed=draw(st.integers(0, 10**6)),
        delay_s=(0.001, draw(st.sampled_from([0.001, 0.05, 1.0, 4.0]))),
        drop=draw(st.sampled_from([0.0, 0.05, 0.3, 0.9])),
        duplicate=draw(st.sampled_from([0.0, 0.3, 1.0])),
        ordered=draw(st.booleans()),
        partitions=draw(st.lists(cuts, max_size=2)),
        lanes=draw(st.sampled_from([(Lane.CONTROL, Lane.BULK), (Lane.BULK,), (Lane.CONTROL,)])),
    )


@st.composite
def misfortunes(draw: st.DrawFn, clients: int) -> dict[str, Any]:
    there = NAMES[:clients]
    names = st.sampled_from(there)
    trainings = st.frozensets(st.tuples(names, st.integers(1, 12)), max_size=3)
    stalled = st.tuples(st.sampled_from([*there, "coordinator"]), SECONDS, st.floats(0.1, 30.0))
    crashed = st.tuples(names, SECONDS, st.one_of(st.none(), SECONDS))
    return {
        "train_s": draw(st.dictionaries(names, st.sampled_from([0.01, 2.0, 9.0, 15.0, 40.0]))),
        "hangs": draw(trainings),
        "fails": draw(trainings),
        "stalls": draw(st.lists(stalled, max_size=2)),
        "crashes": draw(st.lists(crashed, max_size=3, unique_by=lambda crash: crash[0])),
        "noticed": draw(st.booleans()),
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
                "min_clients": st.sampled_from([None, 2]),
                "evaluate_sites": st.booleans(),
                "evaluate_test": st.booleans(),
            }
        )
    )
    bad = trouble(**data.draw(misfortunes(clients)))
    flow(clients, faults=data.draw(bad_networks()), trouble=bad, **rules).run()


def test_a_fast_client_never_waits_for_a_slow_one(flow: Any, trouble: Any) -> None:
    run = flow(4, rounds=30, buffer=4, trouble=trouble(train_s={"client-3": 5.0})).run()
    lasted = run.when("coordinator", "round.completed", round=30)
    answers = {name: sum(origin[0] == name for origin in run.counted) for name in run.names}
    # Half a second each, but for the way there and back; the last answers are to no step any more.
    assert min(answers[name] for name in NAMES[:3]) >= math.floor(lasted / 0.55)
    assert answers["client-3"] == math.floor((lasted - 0.1) / 5.05)


def test_after_a_crash_the_others_go_on_and_who_comes_back_is_tasked_at_once(flow: Any, trouble: Any) -> None:
    run = flow(3, rounds=20, buffer=1, trouble=trouble(crashes=[("client-1", 1.3, 2.5)])).run()
    at = {fields["round"]: when for when, kind, fields in run.sim.nodes["coordinator"].published
          if kind == "round.completed"}  # fmt: skip
    assert all(
        after - before < 0.6 for before, after in zip(list(at.values())[1:], list(at.values())[2:], strict=False)
    )
    back = [key for key in run.given if key[0] == "client-1" and int(run.given[key][1:]) >= 3]
    assert back
    assert run.state.completed == 20


def test_a_lost_task_is_missed_at_its_deadline_and_given_anew(flow: Any) -> None:
    cut = Faults(seed=1, partitions=[Partition(frozenset({"client-2"}), 0.8, 1.7)], lanes=(Lane.BULK,))
    run = flow(3, rounds=80, buffer=1, deadline_s=5.0, faults=cut).run()
    (told,) = run.published("coordinator", "warning")
    assert (told["subject"], told["reason"].split(": ")[1]) == ("client-2", "no answer within 5 s (last heard")
    assert sum(origin[0] == "client-2" for origin in run.counted) > 5
    assert run.state.completed == 80


def test_all_hanging_ends_the_run_by_name(flow: Any, trouble: Any) -> None:
    hanging = trouble(hangs=[(f"client-{i}", n) for i in range(2) for n in range(1, 40)])
    run = flow(2, deadline_s=5.0, trouble=hanging).run()
    ended = run.sim.nodes["coordinator"].finished
    assert ended.status == "failed"
    assert ended.reason.startswith("no client has answered for 15 s; client-0: ")


# --------------------------------------------------------------------------------------- the watching itself can fail


def test_a_fold_that_counts_an_update_twice_would_be_seen(flow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = FlowState._take_back

    def forgetful(self: FlowState, name: str) -> list[e.Effect]:
        out = self.out.get(name)
        effects = unasked(self, name)
        if out is not None and self.flowing:
            self.out[name] = replace(out)
        return effects

    monkeypatch.setattr(FlowState, "_take_back", forgetful)
    with pytest.raises(AssertionError, match="counts twice"):
        flow(2, faults=Faults(seed=1, duplicate=1.0)).run()


def test_a_wait_without_a_deadline_would_be_seen(flow: Any, trouble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowState, "_silence", lambda self, now: [])
    with pytest.raises(AssertionError, match="still waits"):
        flow(1, trouble=trouble(hangs=[("client-0", n) for n in range(1, 400)])).run()
