"""With real models: an undisturbed run gives the same bits, whatever order messages arrive in and work ends in."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from federated_config import coordinator_config
from msgspec.structs import replace
from nervenet.broker.testing.faults import Faults
from nervenet.models.data.partition import partition
from nervenet.models.data.splits import split
from nervenet.models.datasets import load
from nervenet.models.mlp.mlp import MLP
from nervenet.models.site_model import SiteModel
from nervenet.nodes.checkpoint.client_state import ClientStateStore
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.client_worker import ClientWorker
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.federated.strategies.averaging import FedAvg
from nervenet.nodes.gossip.algorithms import Algorithm
from nervenet.nodes.gossip.algorithms.registry import SYNCHRONOUS, build_algorithm, encoding_of
from nervenet.nodes.gossip.algorithms.requirements import suitable_mixing
from nervenet.nodes.gossip.worker import GossipWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.model_worker import ModelWorker
from nervenet.nodes.runtime.simulator import Simulation
from nervenet.nodes.runtime.worker import Worker
from nervenet.nodes.topology import every_neighbor, schedule
from static_membership import static_peer

SITES = 4
ROUNDS = 4
WORK = {"epochs": 2, "local_steps": None, "batch_size": 16}
PATIENT = {"suspect_after_s": 1e6, "deadline_s": 1e6, "join_deadline_s": 1e6}  # nothing disturbs the run
Run = Callable[[int, int | None], dict[str, bytes]]


def role_worker(name: str, seed: int, *, site: int | None, algorithm: Algorithm | None = None) -> ModelWorker:
    train, test = split(load("iris"), 0.2, 42)
    if site is None:
        site_model = SiteModel(MLP(hidden=(4,)), test=(test.X, test.y))
    else:
        rows = partition(train, SITES, "iid", seed=0)[site]
        momentum = 0.0 if algorithm is not None and algorithm.needs.plain else 0.9
        site_model = SiteModel(MLP(hidden=(4,), momentum=momentum), train.X[rows], train.y[rows], columns=train.columns)
    if site is None:
        return CoordinatorWorker(site_model, Aggregator(FedAvg()), node=name, seed=seed)
    if algorithm is None:
        return ClientWorker(site_model, node=name, seed=seed, states=ClientStateStore())
    return GossipWorker(site_model, algorithm, node=name, seed=seed)


def worker(role: ModelWorker, shuffle: int | None) -> Callable[[Any], tuple[float, ev.Event | None]]:
    durations, answer = random.Random(f"{shuffle} {role.node}"), Worker(role).answer
    return lambda job: (0.01 if shuffle is None else durations.uniform(0.001, 1.0), answer(job))


def simulation(shuffle: int | None) -> Simulation:
    """Disturb nothing but the order: delays, and second copies."""
    return Simulation(None if shuffle is None else Faults(shuffle, (0.001, 0.5), duplicate=0.2))


def federated(seed: int, shuffle: int | None) -> dict[str, bytes]:
    """Return the final weights of every node."""
    names = [f"client-{i}" for i in range(SITES)]
    sim = simulation(shuffle)
    settings = WORK | {"carry_optimizer": False}
    workers = {"coordinator": role_worker("coordinator", seed, site=None)}
    state = CoordinatorMachine(
        coordinator_config(
            rounds=ROUNDS, clients=frozenset(names), seed=seed, participation=0.75, settings=settings, **PATIENT
        )
    )
    sim.add("coordinator", state, worker(workers["coordinator"], shuffle))
    for site, name in enumerate(names):
        workers[name] = role_worker(name, seed, site=site)
        sim.add(name, ClientMachine(ClientConfig("coordinator", 30)), worker(workers[name], shuffle))
        sim.connect("coordinator", name, ("coordinator", "client"))
    sim.run(1000.0)
    assert all(node.finished == e.Finish("completed") for node in sim.nodes.values())
    return {name: one.site_model.get_weights().tobytes() for name, one in workers.items()}


def gossip(seed: int, shuffle: int | None, algorithm: str = "dpsgd", topology: str = "ring") -> dict[str, bytes]:
    """Return the final weights of every peer."""
    names = [f"peer-{i}" for i in range(SITES)]
    graph = schedule(topology, names)
    linked = every_neighbor(graph)
    sim = simulation(shuffle)
    learns = build_algorithm(algorithm, {}, "top-k:0.2+int8" if algorithm == "choco" else "")
    workers = {name: role_worker(name, seed, site=site, algorithm=learns) for site, name in enumerate(names)}
    work = WORK | ({"epochs": 1, "local_steps": learns.needs.steps} if learns.needs.steps else {})
    for name in names:
        machine = static_peer(
            name,
            names,
            graph,
            mixing=suitable_mixing(learns.needs, graph),
            needs=learns.needs,
            encoding=encoding_of(learns),
            settings=work | {"carry_optimizer": True},
            evaluate_on="holdout",
            deadline_s=1e6,
            join_deadline_s=1e6,
        )
        sim.add(name, machine, worker(workers[name], shuffle))
    for name in names:
        for other in linked[name]:
            if name < other:
                sim.connect(name, other)
        sim.post(name, ev.Proceed(ROUNDS))
    sim.run(60.0)
    assert [node.machine.completed for node in sim.nodes.values()] == [ROUNDS] * SITES
    assert all(
        fields["closed_by"] == "all"
        for node in sim.nodes.values()
        for _, kind, fields in node.published
        if kind == "round.completed"
    )
    return {name: one.site_model.get_weights().tobytes() for name, one in workers.items()}


@pytest.mark.parametrize("run", [federated, gossip])
def test_the_same_seed_gives_the_same_bits_in_whatever_order_things_happen(run: Run) -> None:
    first = run(7, None)
    for shuffle in range(6):
        assert run(7, shuffle) == first
    assert run(8, None) != first


@pytest.mark.parametrize(
    ("algorithm", "topology"),
    [
        *((name, "complete") for name in SYNCHRONOUS if name != "all-reduce"),  # its histories say more
        ("dpsgd", "one-peer-exponential"),
        ("epidemic", "epidemic-local"),
        ("sgp", "epidemic-local"),
        ("sgp", "one-peer-exponential"),
        ("gradient-tracking", "base-k"),
    ],
)
def test_each_algorithm_gives_the_same_bits_in_whatever_order_things_happen(algorithm: str, topology: str) -> None:
    first = gossip(7, None, algorithm, topology)
    assert [gossip(7, shuffle, algorithm, topology) for shuffle in range(2)] == [first] * 2
    assert gossip(8, None, algorithm, topology) != first


def test_all_clients_end_with_the_coordinator_s_model() -> None:
    assert len(set(federated(0, None).values())) == 1


def test_peers_that_start_together_stay_near_and_apart() -> None:
    vectors = [np.frombuffer(bits, np.float32) for bits in gossip(0, None).values()]
    mean = np.mean(vectors, axis=0)
    spread = max(np.linalg.norm(vector - mean) for vector in vectors)
    assert 0 < spread < 0.5 * np.linalg.norm(mean)


@pytest.mark.parametrize("run", [federated, gossip])
def test_summing_in_order_of_arrival_would_be_seen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself can fail."""
    answer = Worker.answer
    draws = random.Random(0)

    def unordered(self: Worker, job: Any) -> ev.Event | None:
        match job:
            case e.Fold(contributions=contributions):
                job = replace(job, contributions=tuple(draws.sample(contributions, len(contributions))))
            case e.Mix(number, bodies, weights, names):
                triples = draws.sample(list(zip(bodies, weights, names, strict=True)), len(bodies))
                job = e.Mix(number, *map(tuple, zip(*triples, strict=True)))
        return answer(self, job)

    first = run(7, None)
    monkeypatch.setattr(Worker, "answer", unordered)
    assert any(run(7, None) != first for _ in range(3))
