"""Nodes embedded in another asyncio program: they learn there, and change nothing of it."""

import asyncio
import logging
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.events import Publisher
from nervenet.models import MLP, datasets
from nervenet.nodes import Client, Coordinator, Experiment, NodeFailed, Peer
from nervenet.nodes.federated.coordinator_worker import Aggregator, CoordinatorWorker
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.round_reports import RoundReport
from nervenet.nodes.runtime.session import Session
from nervenet.nodes.runtime.worker import Worker

DEADLINE_S = 240.0


def iris_parts(count: int) -> list[tuple[Any, Any]]:
    data = datasets.load("iris")
    order = np.random.default_rng(0).permutation(len(data.y))
    return [(data.X[rows], data.y[rows]) for rows in np.array_split(order, count)]


def plan(mode: str, nodes: int, transport: str, **more: object) -> Experiment:
    network = {"transport": transport, "join_deadline_s": 60}
    processes = 1 if transport == "inproc" else nodes
    return Experiment.from_dict({"mode": mode, "nodes": nodes, "processes": processes, "network": network, **more})


@asynccontextmanager
async def broker(transport: str) -> AsyncIterator[str]:
    if transport == "inproc":
        name = f"inproc://broker-{time.monotonic_ns()}"
        async with Broker(name, context=zmq.Context.instance()) as serving:
            yield serving.addresses["directory"]
    else:
        async with Broker("tcp://127.0.0.1:0") as serving:
            yield serving.addresses["directory"]


async def gossip(models: list[Any], transport: str = "tcp", rounds: int = 5, **more: Any) -> list[Peer]:
    """Train peers together; return them after they have left."""
    parts = iris_parts(len(models))
    async with broker(transport) as address:
        wanted = plan("gossip", len(models), transport)

        async def live(k: int) -> Peer:
            words = {"broker": address, "run": "g", "name": f"p{k}", "experiment": wanted, **more}
            async with Peer(models[k], parts[k], **words) as peer:
                async for report in peer.rounds(rounds):
                    assert report.closed_by
            return peer

        async with asyncio.timeout(DEADLINE_S):
            return list(await asyncio.gather(*(live(k) for k in range(len(models)))))


async def federated(
    make: Callable[[], Any], transport: str = "tcp", rounds: int = 3, checkpoint_dir: Path | None = None, **more: object
) -> tuple[Coordinator, list[Client]]:
    parts = iris_parts(2)
    async with broker(transport) as address:
        wanted = plan("federated", 2, transport, rounds=rounds, **more)

        async def lead() -> Coordinator:
            async with Coordinator(make(), broker=address, run="f", experiment=wanted) as coordinator:
                async for report in coordinator.rounds():
                    assert report.participants == ("c0", "c1")
            return coordinator

        async def follow(k: int) -> Client:
            name = f"c{k}"
            own = None if checkpoint_dir is None else checkpoint_dir / name
            words: dict[str, Any] = {"broker": address, "run": "f", "checkpoint_dir": own, "experiment": wanted}
            async with Client(make(), parts[k], name=name, **words) as client:
                async for _ in client.rounds():
                    pass
            return client

        async with asyncio.timeout(DEADLINE_S):
            coordinator, *clients = await asyncio.gather(lead(), *(follow(k) for k in range(2)))
    return coordinator, clients  # type: ignore[return-value]


@pytest.mark.parametrize("transport", ["tcp", "inproc"])
async def test_peers_learn_in_one_program(transport: str) -> None:
    peers = await gossip([MLP((8,)) for _ in range(3)], transport, rounds=20)
    X, y = iris_parts(1)[0]
    for peer in peers:
        assert (peer.model.predict(X) == y).mean() > 0.85


async def test_a_coordinator_without_a_test_set_reports_what_the_sites_found_of_every_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[RoundReport] = []
    of = RoundReport.of
    monkeypatch.setattr(RoundReport, "of", lambda done: made.append(of(done)) or made[-1])
    await federated(lambda: MLP((8,)), "inproc", rounds=3)
    of_coordinator = [report for report in made if report.participants]
    assert [report.round for report in of_coordinator] == [1, 2, 3]
    assert all(report.accuracy is not None and report.evaluated_on == "holdout" for report in of_coordinator)
    assert all(report.metrics["holdout"]["sites"] == 2 for report in of_coordinator)
    of_clients = [report for report in made if not report.participants]
    assert {(report.round, report.accuracy is not None) for report in of_clients} == {(1, False), (2, True), (3, True)}


@pytest.mark.parametrize("transport", ["tcp", "inproc"])
async def test_everybody_holds_the_final_model(transport: str) -> None:
    coordinator, clients = await federated(lambda: MLP((8,)), transport)
    final = coordinator.model.get_weights()
    for client in clients:
        assert np.array_equal(client.model.get_weights(), final)
        assert client.weights is None


async def test_clients_carry_residuals_in_their_folders_and_models_of_their_own_at_the_end(tmp_path: Path) -> None:
    settings = {"compression": "delta+top-k:0.5", "fine_tune": 2}
    coordinator, clients = await federated(lambda: MLP((8,)), checkpoint_dir=tmp_path, federated=settings)
    final = coordinator.model.get_weights()
    for client in clients:
        assert not np.array_equal(client.model.get_weights(), final)
        assert np.array_equal(client.model.get_weights(), client.weights)
        files = sorted(path.name for path in (tmp_path / client.identity.name).iterdir())
        assert files[-1] == "round-000000003.safetensors"
    plain, _ = await federated(lambda: MLP((8,)), checkpoint_dir=tmp_path / "plain")
    assert not np.array_equal(plain.model.get_weights(), final)
    assert not (tmp_path / "plain").exists(), "who carries nothing writes nothing"


@pytest.mark.parametrize("wanted", [False, True])
async def test_each_round_tells_who_is_out_of_line_if_that_is_asked_for(
    wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[Mapping[str, Any]] = []
    fold = Aggregator.fold

    def listened(aggregator: Aggregator, job: e.Fold) -> ev.Folded:
        reported.append(fold(aggregator, job).metrics)
        return fold(aggregator, job)

    monkeypatch.setattr(Aggregator, "fold", listened)
    await federated(lambda: MLP((8,)), federated={"report_outliers": wanted})
    assert reported
    assert all(("norms" in metrics and "cosines" in metrics) == wanted for metrics in reported)


async def test_without_taking_it_over_the_coordinator_keeps_what_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Worker.answer

    def forgetful(worker: Worker, job: Any) -> ev.Event | None:
        forgets = isinstance(job, e.LoadWeights) and isinstance(worker.role, CoordinatorWorker)
        return None if forgets else answer(worker, job)

    monkeypatch.setattr(Worker, "answer", forgetful)
    coordinator, clients = await federated(lambda: MLP((8,)))
    assert not np.array_equal(coordinator.model.get_weights(), clients[0].model.get_weights())


@pytest.mark.parametrize("name", ["SGDClassifier", "LogisticRegression", "MLPClassifier"])
async def test_estimators_of_scikit_learn_are_models_too(name: str) -> None:
    import sklearn.linear_model
    import sklearn.neural_network

    given: dict[str, Callable[[], Any]] = {
        "SGDClassifier": sklearn.linear_model.SGDClassifier,
        "LogisticRegression": sklearn.linear_model.LogisticRegression,
        "MLPClassifier": lambda: sklearn.neural_network.MLPClassifier((8,), solver="sgd", learning_rate_init=0.05),
    }
    peers = await gossip([given[name]() for _ in range(2)], rounds=8)
    X, y = iris_parts(1)[0]
    for peer in peers:
        assert (peer.model.predict(X) == y).mean() > 0.8


def logging_state() -> tuple[object, ...]:
    """How logging is configured, which is up to the program that a node is part of."""
    root, ours = logging.getLogger(), logging.getLogger("nervenet")
    assert [type(handler) for handler in ours.handlers] == [logging.NullHandler], "silent, and nothing else"
    of_structlog = "structlog" in sys.modules and sys.modules["structlog"].is_configured()
    states = [(list(each.handlers), each.level, each.propagate, each.disabled) for each in (root, ours)]
    return states, root.manager.disable, warnings.showwarning, of_structlog


async def test_a_node_is_a_good_guest() -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    logs = logging_state()
    np.random.seed(7)  # noqa: NPY002  (the global generator of somebody's program)
    random.seed(7)
    theirs = (np.random.get_state()[1].copy(), random.getstate())  # type: ignore[index,union-attr]  # noqa: NPY002
    tasks = asyncio.all_tasks()
    factory = asyncio.get_running_loop().get_task_factory(), asyncio.get_running_loop().get_debug()
    trained_on: set[int] = set()

    class Watched(MLP):
        def fit(self, *given: Any) -> Any:
            trained_on.add(threading.get_ident())
            return super().fit(*given)

    await gossip([Watched((8,)) for _ in range(2)], rounds=5)
    assert trained_on
    assert threading.get_ident() not in trained_on, "the loop of somebody's program goes on meanwhile"
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
    assert logging_state() == logs
    assert np.array_equal(np.random.get_state()[1], theirs[0])  # type: ignore[index]  # noqa: NPY002
    assert random.getstate() == theirs[1]
    assert asyncio.all_tasks() == tasks
    assert (asyncio.get_running_loop().get_task_factory(), asyncio.get_running_loop().get_debug()) == factory
    async with asyncio.timeout(60):
        while any(thread.name.endswith(("p0", "p1")) for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def check_classes_are_counted_at_home_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two peers keep rows from training: what they send, and what their owners hear of it."""
    sent: list[dict[str, Any]] = []
    publish, set_up = Publisher.publish, Session.__init__

    def listened(publisher: Publisher, kind: str, **fields: Any) -> dict[str, Any]:
        event = publish(publisher, kind, **fields)
        sent.append(dict(event))
        return event

    heard: list[dict[str, Any]] = []

    def opened(session: Session, *given: Any, **more: Any) -> None:
        set_up(session, *given, **more)
        session.on_event = heard.append

    with monkeypatch.context() as patched:
        patched.setattr(Publisher, "publish", listened)
        patched.setattr(Session, "__init__", opened)
        await gossip([MLP((4,)) for _ in range(2)], rounds=1)
    of_ready = [event for event in sent if event["type"] == "node.ready" and "examples" in event]
    assert [(event["examples"], event["held_out"]) for event in of_ready] == [(60, 15), (60, 15)]
    assert not any("held_out_by_class" in event for event in sent)
    by_class = [event["held_out_by_class"] for event in heard if "held_out_by_class" in event]
    assert [sum(counts.values()) for counts in by_class] == [15, 15]


async def test_how_many_rows_of_a_class_a_site_keeps_is_told_to_its_owner_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await check_classes_are_counted_at_home_alone(monkeypatch)


async def test_published_like_all_else_everybody_would_learn_it(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = Session.publish

    def all_sent(session: Session, kind: str, fields: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> None:
        publish(session, kind, {**fields, **(own or {})})

    monkeypatch.setattr(Session, "publish", all_sent)
    with pytest.raises(AssertionError):
        await check_classes_are_counted_at_home_alone(monkeypatch)


async def test_data_that_do_not_fit_are_reported_by_name_at_every_peer() -> None:
    async with broker("tcp") as address:
        wanted = plan("gossip", 2, "tcp")
        parts = iris_parts(2)

        async def live(k: int) -> None:
            data = (parts[k][0][:, : 4 - k], parts[k][1])
            async with Peer(MLP((4,)), data, broker=address, run="g", name=f"p{k}", experiment=wanted) as peer:
                async for _ in peer.rounds(3):
                    pass

        async def told_to(k: int) -> str:
            with pytest.raises(NodeFailed) as caught:
                await live(k)
            return str(caught.value)

        async with asyncio.timeout(DEADLINE_S):
            for reported in await asyncio.gather(told_to(0), told_to(1)):
                assert "p1" in reported or "p0" in reported
                assert "column" in reported


async def test_more_rounds_can_follow() -> None:
    parts = iris_parts(2)
    async with broker("tcp") as address, AsyncExitStack() as stack:
        wanted = plan("gossip", 2, "tcp")

        async def live(k: int) -> list[int]:
            peer = Peer(MLP((4,)), parts[k], broker=address, run="g", name=f"p{k}", experiment=wanted)
            await stack.enter_async_context(peer)
            first = [report.round async for report in peer.rounds(2)]
            return first + [report.round async for report in peer.rounds(3)]

        async with asyncio.timeout(DEADLINE_S):
            for numbers in await asyncio.gather(live(0), live(1)):
                assert numbers == [1, 2, 3, 4, 5]


@pytest.fixture
def said_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what a program is warned of that makes a client of SGDClassifier with these parameters."""
    from sklearn.linear_model import SGDClassifier

    monkeypatch.setattr(Client, "_set_up", lambda *_: None)  # which opens what only an entered client closes

    def said(**parameters: Any) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Client(SGDClassifier(**parameters), iris_parts(1)[0], broker="tcp://127.0.0.1:1", run="r")
        assert {each.filename for each in caught} <= {__file__}, "the line that makes the node"
        return [str(each.message) for each in caught]

    return said


def test_parameters_without_effect_of_an_estimator_are_warned_of_as_in_a_file(
    said_of: Callable[..., list[str]],
) -> None:
    from nervenet.nodes.experiment.ineffective import warnings as of_a_file

    given: dict[str, Any] = {"max_iter": 7, "tol": 0.1, "random_state": 1, "alpha": 0.1}
    written = Experiment.from_dict({"model": {"name": "sklearn.linear_model.SGDClassifier", **given}})
    assert sorted(said_of(**given)) == sorted(of_a_file(written))
    assert len(of_a_file(written)) == 3
    assert said_of(alpha=0.1, max_iter=1000) == [], "the default of its class"


def test_nothing_would_be_said_of_them(said_of: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.roles.base.idle_lines_of", lambda _: [])
    assert said_of(max_iter=7) == []
