"""Sites that decline, in whole runs on virtual time: named, never waited for, and the quorum decides."""

from collections.abc import Mapping
from typing import Any

import pytest
from federated_config import coordinator_config
from nervenet.broker import messages as m
from nervenet.nodes.config.site import AllowConfig
from nervenet.nodes.consent.requests import Policy
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.simulator import Simulated, Simulation
from nervenet.nodes.topology import schedule
from static_membership import static_peer

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
ROUNDS = 3
DEADLINE_S = 30.0


def work(job: e.Effect) -> tuple[float, ev.Event | None]:
    match job:
        case e.Survey(question, step):
            return 0.01, ev.Surveyed(dict(question), (1.0,), step)
        case e.ApplyAgreement():
            return 0.01, ev.ModelReady({"agreed": True}, MODEL, "w0")
        case e.Train(number, attempt):
            return 0.1, ev.Trained(number, attempt, f"{number}.{attempt}", 10, {"loss": 1.0})
        case e.Fold(number, attempt):
            return 0.01, ev.Folded(number, attempt, f"w{number}")
        case e.Mix(number):
            return 0.01, ev.Mixed(number, f"mixed {number}")
        case e.Evaluate(number, which):
            return 0.01, ev.Evaluated(number, which, {"accuracy": 0.5})
        case e.Checkpoint(number):
            return 0.01, ev.Saved(number)
    return 0.0, None


def policy(allow: Mapping[str, Any], **facts: Any) -> Policy:
    return Policy(allow=AllowConfig(**allow), run="study", model="mlp", rows=10, **facts)


def federation(policies: Mapping[str, Mapping[str, Any]], clients: int = 4) -> Simulation:
    """Run one whose clients have these policies, by name."""
    names = [f"client-{k}" for k in range(clients)]
    sim = Simulation()
    config = coordinator_config(names, ROUNDS, deadline_s=DEADLINE_S, evaluate_sites=False, evaluate_test=True)
    sim.add("coordinator", CoordinatorMachine(config), work)
    for name in names:
        config = ClientConfig("coordinator", 10, policy=policy(policies.get(name, {})))
        sim.add(name, ClientMachine(config), work)
        sim.connect(name, "coordinator", ("client", "coordinator"))
    sim.run(1000.0)
    return sim


def published(node: Simulated, kind: str) -> list[Mapping[str, Any]]:
    return [fields for _, found, fields in node.published if found == kind]


@pytest.mark.parametrize(
    ("allow", "rounds"),
    [
        ({"strategies": ("krum",)}, {0, 1, 2, 3}),
        ({"max_rounds": 2}, {0, 1, 2, 3}),
        ({"min_clients": 5}, {0, 1, 2, 3}),
        ({"statistics": ()}, {0}),  # it tells nothing, and trains with what the others have agreed on
    ],
)
def test_a_run_goes_on_without_a_client_that_declines(allow: Mapping[str, Any], rounds: set[int]) -> None:
    sim = federation({"client-1": allow})
    coordinator = sim.nodes["coordinator"]
    assert coordinator.finished == e.Finish("completed")
    assert sim.now < DEADLINE_S, "nobody waits for it"
    key = f"site.allow.{next(iter(allow))}"
    (event,) = published(coordinator, "site.declined")
    assert (event["subject"], event["key"]) == ("client-1", key)
    missing = {each["round"]: each.get("missing", {}) for each in published(coordinator, "round.completed")}
    assert {number for number, names in missing.items() if names} == rounds
    assert all(names["client-1"].startswith(f"declined: {key}: found ") for names in missing.values() if names)
    took_part = rounds == {0}
    assert (sim.nodes["client-1"].finished or e.Finish("")).status == ("completed" if took_part else "failed")


def test_a_run_that_too_many_decline_fails_by_their_names() -> None:
    sim = federation({f"client-{k}": {"max_rounds": 2} for k in range(3)})
    finished = sim.nodes["coordinator"].finished
    assert finished is not None
    assert finished.status == "failed"
    for k in range(3):
        assert f"client-{k}: declined: site.allow.max_rounds: found 3 rounds; allowed: 2 at most" in finished.reason
    assert sim.now < DEADLINE_S
    client = sim.nodes["client-0"].finished
    assert client is not None
    assert "client-0: declined" in client.reason


@pytest.mark.parametrize("allow", [{"max_rounds": 2}, {"strategies": ("gt",)}, {"min_clients": 5}, {"statistics": ()}])
def test_all_peers_end_by_the_name_of_the_one_that_declines(allow: Mapping[str, Any]) -> None:
    names = list("abcd")
    sim = Simulation()
    ring = schedule("ring", names)
    for name in names:
        facts = {"strategy": "dpsgd", "rounds": ROUNDS}
        peer = static_peer(name, names, ring, policy=policy(allow if name == "c" else {}, **facts))
        sim.add(name, peer, work)
        sim.at(0.0, lambda name=name: sim._post(sim.nodes[name], ev.Proceed(ROUNDS)))  # type: ignore[misc]
    for one, other in zip(names, names[1:] + names[:1], strict=True):
        sim.connect(one, other)
    sim.run(1000.0)
    key = f"site.allow.{next(iter(allow))}"
    for name, node in sim.nodes.items():
        assert node.finished is not None
        assert node.finished.status == "failed"
        start = f"declined: {key}: found " if name == "c" else f"c declined: {key}: found "
        assert node.finished.reason.startswith(start), node.finished.reason
    assert sim.now < DEADLINE_S, "nobody waits for the deadline to join"
