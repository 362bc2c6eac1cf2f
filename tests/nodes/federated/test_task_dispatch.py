"""What tasks say: who encodes, what the last one asks for, and which states clients may forget."""

import math
from typing import Any

import pytest
from federated_config import coordinator_config
from msgspec import UNSET
from nervenet.broker import messages as m
from nervenet.nodes.federated.client_registry import ClientRegistry
from nervenet.nodes.federated.coordinator_machine import CoordinatorMachine
from nervenet.nodes.federated.round import encoding_figures
from nervenet.nodes.federated.strategies import Contribution
from nervenet.nodes.federated.task_dispatch import missing_codecs, tasks
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev

MODEL = m.Payload(layout="a1b2", dtype="float32", length=5)
SURVEY = m.Payload(layout="survey", dtype="float64", length=9)
SPEC = "delta+top-k:0.1+int8"
ALL = ("delta", "top-k", "float16", "bfloat16", "int8", "int4", "deflate")


def asked(
    codecs: dict[str, tuple[str, ...]],
    work: m.TaskKind = "train",
    holding: tuple[str, ...] = (),
    durable: int = 0,
    resumed_after: int = 0,
    **more: Any,
) -> dict[str, m.Task]:
    """The task that each client gets."""
    registry = ClientRegistry(2.0, 10.0)
    for name, can in codecs.items():
        registry.enroll(name, 10, 0.0, can)
        registry[name].ready = name in holding
    config = coordinator_config(codecs, 9, **{"settings": {"epochs": 1}, **more})
    model = ev.ModelReady({"columns": ["x"]}, MODEL, "w0")
    known = (config, registry, model)
    sends = tasks(*known, codecs, work, (3, 0), "w2", durable=durable, resumed_after=resumed_after)
    found: dict[str, m.Task] = {}
    for send in sends:
        assert isinstance(send, e.Send)
        assert isinstance(send.message, m.Task)
        found |= dict.fromkeys(send.to, send.message)
    return found


def test_whoever_can_encodes_as_the_run_does_and_others_send_what_they_have() -> None:
    found = asked({"a": ALL, "b": ("delta", "int8"), "c": ()}, compression=SPEC)
    assert found["a"].settings == {"epochs": 1, "encoding": SPEC}
    assert found["b"].settings == found["c"].settings == {"epochs": 1}
    assert missing_codecs(SPEC, ("delta", "int8")) == ["top-k"]
    assert missing_codecs("", ()) == []


@pytest.mark.parametrize(("least", "needed"), [(3, True), (2, UNSET)])
def test_regions_are_told_whether_the_round_fails_without_each_of_them(least: int, needed: Any) -> None:
    """Clients are not, which do the same either way."""
    machine = CoordinatorMachine(coordinator_config(("a", "b", "c"), 9, min_clients=least))
    machine.handle(ev.Started(), 0.0)
    effects: list[e.Effect] = []
    for name, role in (("a", "aggregator"), ("b", "client"), ("c", "aggregator")):
        machine.handle(ev.LinkUp(name, role, 1), 0.0)
        effects += machine.handle(ev.Arrived(name, m.Ready(10, 1)), 0.0)
    tasks_of = {send.to: send.message for send in effects if isinstance(send, e.Send)}
    told = {name: task.needed for to, task in tasks_of.items() if isinstance(task, m.Task) for name in to}
    assert told == {"a": needed, "b": UNSET, "c": needed}


def test_those_who_are_alike_share_one_message() -> None:
    codecs = {"a": ALL, "b": (), "c": ALL, "d": ()}
    found = asked(codecs, compression=SPEC, holding=("a", "c", "d"))
    assert found["a"] is found["c"]
    assert len({id(task) for task in found.values()}) == 3


def test_only_the_answer_to_a_training_is_encoded() -> None:
    assert "encoding" not in asked({"a": ALL}, work="evaluate", compression=SPEC)["a"].settings


def test_only_the_last_task_asks_for_a_model_of_ones_own() -> None:
    assert asked({"a": ALL}, final_settings={"fine_tune": 2})["a"].settings == {"epochs": 1}
    assert asked({"a": ALL}, "finish", final_settings={"fine_tune": 2})["a"].settings == {"epochs": 1, "fine_tune": 2}


def test_a_client_new_to_this_incarnation_learns_after_which_round_it_began() -> None:
    found = asked({"old": ALL, "new": ALL}, holding=("old",), durable=8, resumed_after=5)
    assert (found["old"].durable, found["new"].durable) == (8, 5)


def test_a_client_that_cannot_encode_is_named_once() -> None:
    state = CoordinatorMachine(coordinator_config(rounds=1, clients=frozenset(("a", "b")), compression="delta+int4"))
    state.handle(ev.LinkUp("a", "client", 1), 0.0)
    (reported,) = state.handle(ev.Arrived("a", m.Ready(10, 1, ("delta",))), 0.0)
    reason = "a cannot encode int4: its updates come as they are, without compression"
    assert reported == e.Publish("warning", {"reason": reason, "subject": "a"})
    assert state.handle(ev.Arrived("a", m.Ready(10, 1, ("delta",))), 0.5) == []
    assert state.handle(ev.Arrived("a", m.Ready(10, 1, ("delta", "int4"))), 0.0) == []


def update(**metrics: float) -> Contribution:
    return Contribution("a", "body", "w0", 10, metrics)


def test_a_round_reports_what_encoding_saved_and_changed() -> None:
    whole = {"raw_bytes": 400.0, "sent_bytes": 100.0}
    figures = encoding_figures({"a": update(**whole, codec_error=0.1), "b": update(**whole, codec_error=0.3)})
    assert figures == {"bytes_raw": 800, "bytes_encoded": 200, "codec_error": pytest.approx(0.2)}
    assert encoding_figures({"a": update(loss=1.0)}) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_figures_that_are_none_are_left_out(value: float) -> None:
    good = update(raw_bytes=4.0, sent_bytes=1.0, codec_error=0.0)
    bad = update(raw_bytes=value, sent_bytes=1.0, codec_error=0.0)
    assert encoding_figures({"good": good, "bad": bad}) == {"bytes_raw": 4, "bytes_encoded": 1, "codec_error": 0.0}


def test_a_client_hears_which_of_its_updates_counted_where_that_matters(coordinator: Any) -> None:
    names = ("client-0", "client-1", "client-2", "client-3")
    harness = coordinator(4, rounds=9, compression="delta+int8", quorum=0.75)
    harness.tell(ev.Started())
    for name in names:
        harness.tell(ev.LinkUp(name, "client", 1))
        harness.say(name, m.Ready(examples=1000, pid=1, codecs=ALL))
    for name in names:
        harness.say(name, m.Update(0, 0, 10, {}, {"columns": ["x"]}, SURVEY), "survey")
    harness.tell(ev.ModelReady({"columns": ["x"]}, MODEL, "w0"))
    for name in names:
        harness.answer(name, 1)  # the round closes without the last one
    harness.tell(ev.Folded(1, 0, "w1", rejected={names[1]: "its values"}))
    reported: dict[str, int | None] = {}
    for send in harness.effects:
        if isinstance(send, e.Send) and isinstance(send.message, m.Task) and send.message.round == 2:
            reported |= dict.fromkeys(send.to, send.message.counted)
    assert reported == {names[0]: 1, names[1]: 0, names[2]: 1, names[3]: 0}
    assert asked({"a": ALL})["a"].counted is None, "nothing is carried that could go astray"
