"""Peers whose model no message carries: the same bits as in one message each, whatever is cut on the way."""

from __future__ import annotations

from typing import Any

import pytest
from all_reduce_histories import breaches, draw_all_reduce, whole_rounds
from gossip_drawn import draw
from gossip_promises import PROMISES
from gossip_run import Run, ScriptedWorker
from hypothesis import given, settings
from hypothesis import strategies as st
from large_histories import LargePlayed, LargePlayedAllReduce, chunks_of
from large_simulation import LargeSimulation
from nervenet.broker.messages import Lane
from nervenet.broker.testing.faults import Faults
from nervenet.nodes.gossip.algorithms.registry import SYNCHRONOUS, build_algorithm, encoding_of
from nervenet.nodes.gossip.algorithms.requirements import suitable_mixing
from nervenet.nodes.gossip.asynchronous.machine import AsyncPeerMachine
from nervenet.nodes.gossip.large.cycles import LargeCycles
from nervenet.nodes.gossip.large.offers import KEPT, Offers
from nervenet.nodes.gossip.large.rounds import LargeRounds
from nervenet.nodes.gossip.round_machine import PeerMachine
from nervenet.nodes.large.pull import Pull
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.topology import every_neighbor, schedule
from static_membership import static_peer
from test_free import Company, Weather, check_averages, pairwise, walking
from test_same_bits import ROUNDS, SITES, WORK, gossip, role_worker, worker

SIZES = Sizes(message_bytes=4_096 + 80, chunk_bytes=64)  # of a model of 35 numbers, 16 at a time
TINY = Sizes(message_bytes=4_096 + 16, chunk_bytes=16)
NAMES = [f"peer-{k}" for k in range(SITES)]
Cut = tuple[int, int, float]


def in_chunks(
    seed: int,
    shuffle: int | None = None,
    algorithm: str = "dpsgd",
    topology: str = "ring",
    cuts: list[Cut] | None = None,
    sizes: Sizes = SIZES,
    **rules: Any,
) -> tuple[LargeSimulation, dict[str, bytes]]:
    """Do as `gossip` does, with messages that hold no model; return the final weights of every peer."""
    graph = schedule(topology, NAMES)
    linked = every_neighbor(graph)
    sim = LargeSimulation(None if shuffle is None else Faults(shuffle, (0.001, 0.5), duplicate=0.2))
    learns = build_algorithm(algorithm, {}, "top-k:0.2+int8" if algorithm == "choco" else "")
    workers = {name: role_worker(name, seed, site=site, algorithm=learns) for site, name in enumerate(NAMES)}
    work = WORK | ({"epochs": 1, "local_steps": learns.needs.steps} if learns.needs.steps else {})
    for name in NAMES:
        machine = static_peer(
            name,
            NAMES,
            graph,
            mixing=suitable_mixing(learns.needs, graph),
            needs=learns.needs,
            encoding=encoding_of(learns),
            settings=work | {"carry_optimizer": True},
            evaluate_on="holdout",
            **{"deadline_s": 1e6, "join_deadline_s": 1e6, **rules},
        )
        sim.add(name, LargeRounds(machine, sizes), worker(workers[name], shuffle))
    for name in NAMES:
        for other in linked[name]:
            if name < other:
                sim.connect(name, other)
        sim.post(name, ev.Proceed(ROUNDS))
    for one, other, when in cuts or []:
        sim.cut(NAMES[one], NAMES[other], when)
    sim.run(120.0)
    return sim, {name: one.site_model.get_weights().tobytes() for name, one in workers.items()}


def machine_of(sim: LargeSimulation, name: str) -> LargeRounds:
    found = sim.nodes[name].machine
    assert isinstance(found, LargeRounds)
    return found


def check_all_is_over(sim: LargeSimulation) -> None:
    assert [machine_of(sim, name).machine.completed for name in NAMES] == [ROUNDS] * SITES
    for name in NAMES:
        assert len(machine_of(sim, name).offers) == 0
        assert len(machine_of(sim, name).fetches) == 0
        assert sim.held(name) == 0


@pytest.mark.parametrize(
    ("algorithm", "topology"),
    [
        *((name, "complete") for name in SYNCHRONOUS if name != "all-reduce"),
        ("sgp", "one-peer-exponential"),
        ("gradient-tracking", "base-k"),
    ],
)
def test_each_algorithm_gives_the_bits_of_whole_messages(algorithm: str, topology: str) -> None:
    whole = gossip(7, None, algorithm, topology)
    for shuffle in (None, 0):
        sim, found = in_chunks(7, shuffle, algorithm, topology, sizes=TINY if algorithm == "choco" else SIZES)
        assert found == whole
        assert sim.sent
        assert sim.longest <= 16
        check_all_is_over(sim)


WHOLE = gossip(7, None, "dpsgd", "complete")
cuts = st.lists(st.tuples(st.integers(0, SITES - 1), st.integers(1, SITES - 1), st.floats(0.1, 12.0)), max_size=8)


@settings(deadline=None, max_examples=4)
@given(cuts, st.integers(0, 1_000))
def test_connections_that_are_cut_change_no_bit(drawn: list[Cut], shuffle: int) -> None:
    sim, found = in_chunks(7, shuffle, topology="complete", cuts=[(a, (a + b) % SITES, at) for a, b, at in drawn])
    assert found == WHOLE
    check_all_is_over(sim)


MIDWAY = [(one, other, 0.6 + 0.35 * k) for k in range(30) for one in range(SITES) for other in range(one)]


@pytest.mark.parametrize("missing", [(), (Pull, "again"), (Offers, "again")])
def test_what_a_cut_takes_is_said_and_asked_again(missing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing:
        monkeypatch.setattr(*missing, lambda *_: [])
    sim, found = in_chunks(7, 1, topology="complete", cuts=MIDWAY, deadline_s=60.0)
    completed = [machine_of(sim, name).machine.completed for name in NAMES]
    assert (completed == [ROUNDS] * SITES and found == WHOLE) == (not missing)


class LargeRun(Run):
    """Members that come and go, none of whose messages holds a model."""

    def _simulation(self, faults: Any) -> Simulation:
        return LargeSimulation(faults)

    def _add(self, name: str, incarnation: int, state: PeerMachine) -> None:
        sizes = Sizes(message_bytes=4_096 + 16, chunk_bytes=8)  # a number of float64, of a model of four
        self.sim.add(name, LargeRounds(state, sizes), ScriptedWorker(name, self))


def large_run(*given: Any, **rules: Any) -> tuple[LargeRun, LargeSimulation]:
    run = LargeRun(*given, **rules)
    assert isinstance(run.sim, LargeSimulation)
    return run, run.sim


def test_who_comes_late_fetches_one_model_to_start_from() -> None:
    run, sim = large_run(4, "complete", rounds=14)
    run.late("peer-9", "peer-0", at=3.2)
    run.run()
    assert run.states["peer-9"].completed == 14
    (joined,) = [fields for _, fields in run.published("peer-9", "warning")]
    assert joined["reason"].startswith("joined late, with the model of round")
    assert sim.longest == 1
    assert {"peer-9"} < set(run.rows[14]), "and mixes in the end"
    assert run.rows[14]["peer-0"]["peer-9"] == run.rows[14]["peer-9"]["peer-0"]


def test_who_dies_in_the_midst_holds_up_nobody_for_good() -> None:
    run, sim = large_run(4, "complete", rounds=14, deadline_s=5.0)
    run.crash("peer-2", at=2.5017)
    run.run()
    for name in ("peer-0", "peer-1", "peer-3"):
        assert run.states[name].completed == 14
        machine = sim.nodes[name].machine
        assert isinstance(machine, LargeRounds)
        assert "peer-2" not in machine.offers.told()
        assert "peer-2" not in {fetch.sender for fetch in machine.fetches}
        assert sim.held(name) == 0


@pytest.mark.parametrize("seed", [46])
def test_a_history_keeps_its_promises_without_a_model_in_any_message(seed: int) -> None:
    """But for that of how long a round lasts at the most: it waits for what comes."""
    run = LargePlayed(draw(seed)).play()
    found = [f"{name}: {breach}" for name, promise in PROMISES.items() if name != "waits" for breach in promise(run)]
    assert found == []
    assert chunks_of(run) > 500


def test_a_history_of_all_reduces_keeps_its_promises_in_chunks() -> None:
    run = LargePlayedAllReduce(draw_all_reduce(5)).play()
    assert [breach for breach in breaches(run) if not breach.startswith("waits")] == []
    whole, closed = whole_rounds(run)
    assert whole > closed / 2
    assert chunks_of(run) > 500


class LargeCompany(Company):
    def _simulation(self) -> Simulation:
        return LargeSimulation(self._network)

    def _wrapped(self, machine: AsyncPeerMachine) -> e.Machine:
        return LargeCycles(machine, Sizes(message_bytes=4_096 + 16, chunk_bytes=16))  # two numbers, of a model of six


weathers = st.builds(
    Weather,
    loss=st.sampled_from([0.0, 0.1]),
    slowest_s=st.sampled_from([0.0, 0.02, 0.2]),
    stalls=st.lists(st.tuples(st.integers(0, 7), st.floats(1, 3), st.floats(0.1, 8)), max_size=1).map(tuple),
    crashes=st.lists(st.tuples(st.integers(0, 7), st.floats(1, 3)), max_size=1).map(tuple),
)


@settings(deadline=None, max_examples=10)
@given(weathers, st.integers(0, 10**6), st.sampled_from(["ring", "complete"]))
def test_pairwise_averages_are_taken_by_both_or_by_none(weather: Weather, seed: int, graph: str) -> None:
    company = LargeCompany(pairwise(), n=4, cycles=8, seed=seed, graph=graph, weather=weather).run()
    company.check_ended()
    check_averages(company)


@pytest.mark.parametrize("make", [pairwise(patience_s=0.05), walking(), walking(parts=3, tokens="simple", capacity=3)])
def test_a_slow_way_is_no_silence_without_rounds(make: Any) -> None:
    """Models take longer than the patience of an average, and come all the same."""
    company = LargeCompany(make, n=4, cycles=30, graph="complete", weather=Weather(slowest_s=0.05)).run()
    company.check_ended()
    assert isinstance(company.sim, LargeSimulation)
    assert company.sim.longest <= 2
    if company.halves:
        check_averages(company)
        assert len(company.halves) > 10
    else:
        assert all(fields["participants"] for name in company.names for fields in completed_by(company, name)[-5:])


class FarApart(LargeCompany):
    """The first two are ten periods of the walks apart, and near to the others."""

    def _network(self, sender: str, receiver: str, _lane: Lane, _now: float) -> list[float]:
        return [0.5 if {sender, receiver} == set(self.names[:2]) else 0.005]


@pytest.mark.parametrize("oldest_goes", [False, True])
def test_what_is_being_fetched_over_a_slow_link_is_not_given_up_for_what_is_newer(
    oldest_goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if oldest_goes:
        for end in ("offers", "fetches"):
            monkeypatch.setattr(f"nervenet.nodes.gossip.large.{end}.superseded", lambda alike: alike[:-KEPT])
    company = FarApart(walking(), n=4, cycles=60, graph="complete").run()
    over_it = [
        fields
        for name, other in (company.names[:2], company.names[1::-1])
        for fields in completed_by(company, name)
        if fields["participants"] == [other]
    ]
    assert bool(over_it) == (not oldest_goes)


def completed_by(company: Company, name: str) -> list[Any]:
    published = company.sim.nodes[name].published
    return [fields for _, kind, fields in published if kind == "round.completed" and fields["round"]]
