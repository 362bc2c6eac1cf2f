"""A client whose tasks are announced: it fetches the weights, resumes after a cut, and announces its update."""

from typing import Any

import pytest
from msgspec import structs
from nervenet.broker import messages as m
from nervenet.nodes.config.schema import Timing
from nervenet.nodes.config.site import AllowConfig
from nervenet.nodes.consent.requests import Policy
from nervenet.nodes.federated.client_machine import ClientConfig, ClientMachine
from nervenet.nodes.federated.large.client import LargeClient
from nervenet.nodes.large.pull import AGAIN_S
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime.payload_checks import HEADER_BYTES

MODEL = m.Payload("a1b2", "float32", 5)
SIZES = Sizes(message_bytes=HEADER_BYTES + 8, chunk_bytes=8)
RANGES = {0: 2, 2: 2, 4: 1}


def task(number: int, attempt: int = 0, generation: int = 1, work: m.TaskKind = "train", **more: Any) -> m.Task:
    manifest = m.Manifest(more.pop("payload", MODEL), generation)
    return m.Task(number, attempt, work, 10.0, False, {"epochs": 1}, manifest=manifest, **more)


class Bench:
    """A client by hand, linked to its coordinator; vectors that were kept are named after their number."""

    def __init__(self, **config: Any) -> None:
        self.machine = ClientMachine(ClientConfig("coordinator", 25, 7, Timing(), **config))
        self.state = LargeClient(self.machine, SIZES)
        self.now = 0.0
        self.tell(ev.Started())
        self.tell(ev.LinkUp("coordinator", "coordinator", 1))
        self.machine.model = ev.ModelReady({}, MODEL, "init")

    def tell(self, event: ev.Event) -> list[e.Effect]:
        return self.state.handle(event, self.now)

    def say(self, message: m.Message, body: Any = None, flaw: str | None = None) -> list[e.Effect]:
        return self.tell(ev.Arrived("coordinator", message, body, flaw))

    def chunk(self, start: int, generation: int = 1, flaw: str | None = None) -> list[e.Effect]:
        """Take a chunk, and keep it."""
        payload = structs.replace(MODEL, length=RANGES[start])
        effects = self.say(m.Chunk(1, generation, start, payload), f"from {start}", flaw)
        for keep in [effect for effect in effects if isinstance(effect, e.KeepRange)]:
            effects += self.tell(ev.RangeKept(keep.number, keep.start, f"vector {keep.number}"))
        return effects

    def fetch(self, generation: int = 1) -> list[e.Effect]:
        return [effect for start in RANGES for effect in self.chunk(start, generation)]

    def train(self, number: int = 1) -> list[e.Effect]:
        self.say(task(number))
        self.fetch()
        return self.tell(ev.Trained(number, 0, "update", 25, {"loss": 0.5}))


def asked(effects: list[e.Effect]) -> list[int]:
    sends = [effect.message for effect in effects if isinstance(effect, e.Send)]
    return [message.start for message in sends if isinstance(message, m.GetChunk)]


def trains(effects: list[e.Effect]) -> list[Any]:
    return [effect.body for effect in effects if isinstance(effect, e.Train)]


def declined(effects: list[e.Effect]) -> list[str]:
    sends = [effect.message for effect in effects if isinstance(effect, e.Send)]
    return [message.reason for message in sends if isinstance(message, m.Declined)]


def test_it_trains_once_all_ranges_are_there() -> None:
    bench = Bench()
    assert asked(bench.say(task(1))) == list(RANGES)
    assert trains(bench.chunk(4) + bench.chunk(0)) == []
    effects = bench.chunk(2)
    assert trains(effects) == ["vector 1"]
    assert [effect.body for effect in effects if isinstance(effect, e.Record)] == ["vector 1"]


def test_its_update_is_announced_and_handed_out_by_ranges() -> None:
    bench = Bench()
    [told] = [effect for effect in bench.train() if isinstance(effect, e.Announce)]
    assert isinstance(told.message, m.Update)
    assert (told.message.payload, told.message.manifest) == (None, m.Manifest(MODEL, 1))
    [handed] = [effect for effect in bench.say(m.GetChunk(1, 1, 2, 2)) if isinstance(effect, e.SendRange)]
    assert (handed.to, handed.body, handed.message.start) == ("coordinator", "update", 2)
    bench.say(task(2, generation=2))
    assert not [effect for effect in bench.say(m.GetChunk(1, 1, 2, 2)) if isinstance(effect, e.SendRange)]


def test_after_a_cut_it_asks_for_what_is_missing_alone() -> None:
    bench = Bench()
    bench.say(task(1))
    bench.chunk(2)
    bench.tell(ev.LinkLost("coordinator", "cut"))
    assert asked(bench.tell(ev.LinkUp("coordinator", "coordinator", 1))) == [0, 4]
    assert trains(bench.chunk(0) + bench.chunk(4)) == ["vector 1"]


def test_of_a_coordinator_that_was_started_again_it_wants_nothing_of_before() -> None:
    bench = Bench()
    bench.say(task(1))
    bench.chunk(2)
    assert asked(bench.tell(ev.LinkUp("coordinator", "coordinator", 2))) == []
    assert bench.chunk(0) == []
    assert asked(bench.say(task(1))) == list(RANGES)


def test_what_does_not_come_is_asked_for_again_unless_it_is_on_its_way() -> None:
    bench = Bench()
    bench.say(task(1))
    bench.now = AGAIN_S
    bench.say(m.Heartbeat(1, "asking", (1,)))
    assert asked(bench.tell(ev.TimerFired(("pulse",), bench.now))) == []
    bench.now = 2 * AGAIN_S
    effects = bench.tell(ev.TimerFired(("pulse",), bench.now))
    assert asked(effects) == list(RANGES)
    [beat] = [effect for effect in effects if isinstance(effect, e.SendHeartbeat)]
    assert beat.state == "receives the weights of round 1: 0%"


def test_the_same_weights_are_fetched_once() -> None:
    bench = Bench()
    bench.say(task(1))
    bench.chunk(0)
    assert asked(bench.say(task(1, 1))) == []  # the round is tried again
    assert trains(bench.chunk(2) + bench.chunk(4)) == ["vector 1"]
    bench.tell(ev.Trained(1, 1, "update", 25, {}))
    effects = bench.say(task(1, 2, work="evaluate"))
    assert [effect.body for effect in effects if isinstance(effect, e.Evaluate)] == ["vector 1"]


def test_a_newer_task_takes_the_place_of_the_one_that_is_fetched() -> None:
    bench = Bench()
    bench.say(task(1))
    assert asked(bench.say(task(2, generation=2))) == list(RANGES)
    assert bench.chunk(0) == []
    assert trains(bench.fetch(2)) == ["vector 2"]
    assert bench.say(task(1)) == []  # held up on its way


def test_a_chunk_that_is_not_finite_spoils_the_task() -> None:
    bench = Bench()
    bench.say(task(1))
    assert declined(bench.chunk(2, flaw="values must be finite, found NaN or infinity")) == [
        "values must be finite, found NaN or infinity"
    ]
    assert bench.chunk(0) == []


def after_a_refusal(code: str) -> tuple[list[str], list[e.Effect]]:
    """Return what a client declines whose request was refused, and what it does with a chunk then."""
    bench = Bench()
    bench.say(task(1))
    reason = "2 numbers are more than a message carries here (network.max_message_bytes = 4)"
    return declined(bench.say(m.Refused("get_chunk", 1, code, reason))), bench.chunk(0)


def test_a_range_that_the_other_limits_do_not_allow_ends_the_task_by_name() -> None:
    reason = "the weights cannot be fetched: 2 numbers are more than a message carries here"
    assert after_a_refusal("length") == ([f"{reason} (network.max_message_bytes = 4)"], [])


def test_passed_over_nobody_would_know_why_it_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LargeClient, "_hand_on", lambda client, *_: client._drop() or [])
    assert after_a_refusal("length") == ([], [])


def test_what_is_offered_no_more_needs_no_answer() -> None:
    assert after_a_refusal("stale") == ([], [])


def test_nothing_is_fetched_for_what_is_declined_anyway() -> None:
    bench = Bench(policy=Policy(allow=AllowConfig(max_rounds=5)))
    effects = bench.say(task(1, rounds=50))
    assert asked(effects) == []
    assert len(declined(effects)) == 1
    huge = structs.replace(MODEL, length=10**12)
    effects = bench.say(task(2, generation=2, payload=huge))
    assert asked(effects) == []
    assert declined(effects) == ["the array must be 5 float32, found 1000000000000 float32"]
