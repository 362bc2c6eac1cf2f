"""Around a peer's machine: what is announced to it is checked, fetched, and handed on when it is whole."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from nervenet.broker import messages as m
from nervenet.nodes.gossip.large.rounds import LargeRounds
from nervenet.nodes.large.sizes import Sizes
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.topology import schedule
from static_membership import static_peer

T = TypeVar("T")
MODEL = m.Payload("a1b2", "float32", 5)
SIZES = Sizes(message_bytes=4_096 + 8, chunk_bytes=8)  # two numbers
SURVEY = m.Payload("survey", "float64", 1)
DEADLINE_S = 30.0


class Ring:
    """Peer b of a ring a - b - c - a, in its first round; what its neighbors have announced it asks for."""

    def __init__(self, *, settled: bool = True, late: bool = False, **rules: Any) -> None:
        given = {"deadline_s": DEADLINE_S, "heartbeat_s": 1.0, **rules}
        machine = static_peer("b", "abc", schedule("ring", "abc"), **given)
        machine.membership.late = late
        self.state = LargeRounds(machine, SIZES)
        self.now = 0.0
        self.log: list[e.Effect] = []
        self.timers: dict[ev.Key, float] = {}
        self.tell(ev.Started())
        self.tell(ev.Proceed(10))
        for peer in ("a", "c"):
            self.tell(ev.LinkUp(peer, "peer", 1))
        if settled and not late:
            self.settle()

    def settle(self) -> list[e.Effect]:
        self.tell(ev.Surveyed({}, ("b",)))
        for origin in ("a", "c"):
            self.tell(ev.Arrived(origin, m.PeerSurvey(origin, {}, SURVEY), (origin,), None, 8))
        return self.tell(ev.ModelReady({}, MODEL, "w0"))

    def tell(self, event: ev.Event, now: float | None = None) -> list[e.Effect]:
        self.now = self.now if now is None else now
        effects = self.state.handle(event, self.now)
        for effect in effects:
            if isinstance(effect, e.SetTimer):
                self.timers[effect.key] = effect.at
        self.log += effects
        return effects

    def say(self, sender: str, message: m.Message, body: Any = None, flaw: str | None = None) -> list[e.Effect]:
        return self.tell(ev.Arrived(sender, message, body, flaw, 100))

    def announce(self, sender: str, number: int = 1, generation: int = 1, payload: m.Payload = MODEL) -> list[e.Effect]:
        return self.say(sender, m.Announcement(generation, m.Exchange(number, payload)))

    def chunk(self, sender: str, start: int, generation: int = 1, flaw: str | None = None) -> list[e.Effect]:
        length = min(2, MODEL.length - start)
        chunk = m.Chunk(1, generation, start, m.Payload("a1b2", "float32", length))
        return self.say(sender, chunk, f"{sender}{start}", flaw)

    def kept(self, number: int, start: int, body: Any = "part") -> list[e.Effect]:
        return self.tell(ev.RangeKept(number, start, body))

    def fetch(self, sender: str, generation: int = 1) -> list[e.Effect]:
        """Have all of it come, and kept; return what the last range led to."""
        effects: list[e.Effect] = []
        for start in (0, 2, 4):
            (keep,) = only(e.KeepRange, self.chunk(sender, start, generation))
            effects = self.kept(keep.number, start, f"all of {sender}")
        return effects

    def trained(self) -> list[e.Effect]:
        return self.tell(ev.Trained(self.state.machine.round, 0, "b1", 10, {}))

    def pulse(self, now: float) -> list[e.Effect]:
        return self.tell(ev.TimerFired(("pulse",), now), now)


def only(kind: type[T], effects: list[e.Effect]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]


def said(effects: list[e.Effect], kind: type[T]) -> list[T]:
    return [send.message for send in only(e.Send, effects) if isinstance(send.message, kind)]


def warnings(effects: list[e.Effect]) -> list[str]:
    return [str(each.fields["reason"]) for each in only(e.Publish, effects) if each.type == "warning"]


def test_a_round_is_mixed_of_what_was_fetched() -> None:
    ring = Ring()
    announced = only(e.Announce, ring.trained())
    assert [(each.to, each.body) for each in announced] == [(("a", "c"), "b1")]
    assert [asked.start for asked in said(ring.announce("a"), m.GetChunk)] == [0, 2, 4]
    ring.announce("c")
    first = ring.fetch("a")
    assert said(first, m.Fetched) == [m.Fetched(1)]
    assert only(e.Record, first) == [e.Record("a", m.Exchange(1, MODEL), "all of a")]
    (mix,) = only(e.Mix, ring.fetch("c"))
    assert dict(zip(mix.names, mix.bodies, strict=True)) == {"a": "all of a", "b": "b1", "c": "all of c"}
    assert len(ring.state.fetches) == 0


def test_a_model_that_fits_goes_by_the_machine_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    ring.state._fits = True
    taken: list[Any] = []
    monkeypatch.setattr(ring.state, "_handle", lambda *given: taken.append(given) or [])
    ring.say("a", m.Heartbeat(1, "waiting", ()))
    assert taken == []
    ring.announce("a")  # of one with other limits
    assert len(taken) == 1


def test_before_round_0_is_over_nothing_is_asked_for() -> None:
    ring = Ring(settled=False)
    assert said(ring.announce("a"), m.GetChunk) == []
    asked = said(ring.settle(), m.GetChunk)
    assert [each.start for each in asked] == [0, 2, 4]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (m.Payload("ffff", "float32", 5), "layout must be a1b2, found ffff"),
        (m.Payload("a1b2", "float64", 5), "dtype must be float32, found float64"),
        (m.Payload("a1b2", "float32", 1 << 40), "length must be 1 to 5, found 1099511627776"),
        (m.Payload("a1b2", "float32", 0), "length must be 1 to 5, found 0"),
        (m.Payload("a1b2", "uint8", 9, "int8"), "encoding must be none, found int8"),
    ],
)
def test_what_cannot_be_a_model_of_this_run_is_refused_before_room_is_made(payload: m.Payload, reason: str) -> None:
    ring = Ring()
    effects = ring.announce("a", payload=payload)
    (refused,) = said(effects, m.Refused)
    assert (refused.about, refused.code, refused.reason) == ("exchange", "values", reason)
    assert said(effects, m.GetChunk) == []
    assert said(effects, m.Fetched) == [m.Fetched(1)]


def test_a_range_that_is_not_finite_spoils_its_model_and_its_room_is_given_back() -> None:
    ring = Ring()
    ring.announce("a")
    (keep,) = only(e.KeepRange, ring.chunk("a", 0))
    effects = ring.chunk("a", 2, flaw="values must be finite, found NaN or infinity")
    assert [refused.code for refused in said(effects, m.Refused)] == ["values"]
    assert only(e.DropVector, effects) == [e.DropVector(keep.number)]
    assert said(effects, m.Fetched) == [m.Fetched(1)]
    assert ring.kept(keep.number, 0) == []


def test_what_is_said_twice_is_fetched_once() -> None:
    ring = Ring()
    ring.announce("a")
    assert said(ring.announce("a"), m.GetChunk) == []
    ring.fetch("a")
    again = ring.announce("a")
    assert said(again, m.GetChunk) == []
    assert said(again, m.Fetched) == [m.Fetched(1)], "the word that it is here may have been lost"


def test_one_after_the_other_is_fetched_of_a_sender_and_of_several_at_once() -> None:
    ring = Ring()
    ring.announce("a", 1, 1)
    assert said(ring.announce("a", 2, 2), m.GetChunk) == []
    assert said(ring.announce("c", 1, 1), m.GetChunk) != []
    assert [asked.generation for asked in said(ring.fetch("a"), m.GetChunk)] == [2, 2, 2]


def test_of_too_many_what_is_being_fetched_stays_and_then_comes_the_newest() -> None:
    ring = Ring()
    for generation in (1, 2):
        ring.announce("a", generation, generation)
    ring.chunk("a", 0)
    effects = ring.announce("a", 3, 3)
    assert said(effects, m.Fetched) == [m.Fetched(2)]
    assert only(e.DropVector, effects) == []
    ring.kept(1, 0)
    (keep,) = only(e.KeepRange, ring.chunk("a", 2))
    ring.kept(keep.number, 2)
    ring.chunk("a", 4)
    assert {asked.generation for asked in said(ring.kept(keep.number, 4), m.GetChunk)} == {3}


def test_a_model_of_a_closed_round_is_counted_as_late_and_not_fetched() -> None:
    ring = Ring()
    ring.trained()
    ring.announce("a")
    ring.announce("c")
    ring.fetch("a")
    closed = ring.tell(ev.TimerFired(("deadline", 1), 99.0), 99.0)  # c has sent nothing
    assert [mix.names for mix in only(e.Mix, closed)] == [("a", "b")]
    assert said(closed, m.Fetched) == [m.Fetched(1)]
    ring.tell(ev.Mixed(1, "m1"))
    assert len(ring.state.fetches) == 0
    late = ring.announce("c", 1, 2)
    assert (said(late, m.GetChunk), said(late, m.Fetched)) == ([], [m.Fetched(2)])
    assert ring.state.machine.stats.report(0.0, 2, last=True)  # and is in the figures


def test_a_deadline_waits_while_chunks_come_and_no_longer() -> None:
    ring = Ring()
    ring.trained()
    ring.announce("a")
    ring.announce("c")
    ring.fetch("c")
    (keep,) = only(
        e.KeepRange, ring.tell(ev.Arrived("a", m.Chunk(1, 1, 0, m.Payload("a1b2", "float32", 2)), "a0"), 20.0)
    )
    ring.kept(keep.number, 0)
    deadline = ("deadline", 1)
    assert ring.tell(ev.TimerFired(deadline, 30.0), 30.0) == [e.SetTimer(deadline, 32.0)]
    closed = ring.tell(ev.TimerFired(deadline, 51.0), 51.0)
    assert [mix.names for mix in only(e.Mix, closed)] == [("b", "c")]


@pytest.mark.parametrize("patience", [10, 10**9])
def test_what_is_announced_again_and_again_extends_no_deadline_for_good(
    patience: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nervenet.nodes.gossip.large.rounds.PATIENCE", patience)
    ring = Ring()
    ring.trained()
    ring.announce("c")
    ring.fetch("c")
    closed: list[e.Mix] = []
    for generation in range(1, 100):
        ring.now += DEADLINE_S / 2
        ring.announce("a", 1, generation)
        ring.chunk("a", 0, generation)
        closed += only(e.Mix, ring.tell(ev.TimerFired(("deadline", 1), ring.now)))
    assert [mix.names for mix in closed] == ([("b", "c")] if patience == 10 else [])


def test_of_who_announces_and_sends_nothing_one_line_is_said() -> None:
    ring = Ring()
    ring.announce("a")
    assert said(ring.pulse(1.0), m.GetChunk) == []
    assert len(said(ring.pulse(3.0), m.GetChunk)) == 3, "asked again"
    said_of = warnings(ring.pulse(DEADLINE_S))
    assert said_of == ["a has announced its exchange of round 1, and sent nothing of it for 30 s: done without"]
    assert len(ring.state.fetches) == 0


def test_a_word_that_it_is_on_its_way_is_waited_for() -> None:
    ring = Ring()
    ring.announce("a")
    ring.tell(ev.Arrived("a", m.Heartbeat(1, "waiting", (1,))), 29.0)
    assert said(ring.pulse(30.0), m.GetChunk) == []
    assert len(ring.state.fetches) == 1


def test_who_was_started_again_is_asked_for_nothing_of_before_and_told_of_nothing() -> None:
    ring = Ring()
    ring.trained()
    ring.announce("a")
    (keep,) = only(e.KeepRange, ring.chunk("a", 0))
    effects = ring.tell(ev.LinkUp("a", "peer", 2))
    assert only(e.DropVector, effects) == [e.DropVector(keep.number)]
    assert ring.state.offers.told() == {"c"}
    assert said(ring.announce("a", 1, 1), m.GetChunk) != []


def test_after_a_cut_both_ends_say_again_what_is_open() -> None:
    ring = Ring()
    ring.trained()
    ring.announce("a")
    (keep,) = only(e.KeepRange, ring.chunk("a", 0))
    ring.kept(keep.number, 0)
    effects = ring.tell(ev.LinkUp("a", "peer", 1))
    assert [each.to for each in only(e.Announce, effects)] == [("a",)]
    assert [asked.start for asked in said(effects, m.GetChunk)] == [2, 4], "and not what is here already"


def test_an_announcement_that_does_not_go_out_is_a_message_that_does_not() -> None:
    ring = Ring()
    ring.trained()
    effects = ring.tell(ev.SendFailed("a", "announcement", 1, "its queue is full", "slow"))
    assert warnings(effects) == ["exchange of round 1 could not be sent: its queue is full"]
    assert ring.state.offers.told() == {"c"}
    assert ring.tell(ev.SendFailed("a", "chunk", 1, "its queue is full", "slow")) == []


def test_what_is_handed_out_no_more_is_done_without() -> None:
    ring = Ring()
    ring.announce("a")
    ring.say("a", m.Refused("get_chunk", 9, "stale", "of another"))
    assert len(ring.state.fetches) == 1
    effects = ring.say("a", m.Refused("get_chunk", 1, "stale", "array 1 is no longer offered"))
    assert len(ring.state.fetches) == 0
    assert warnings(effects) == []


def test_of_who_has_other_limits_it_is_said() -> None:
    ring = Ring()
    ring.announce("a")
    effects = ring.say("a", m.Refused("get_chunk", 1, "length", "2 numbers are more than a message carries here"))
    assert len(ring.state.fetches) == 0
    (line,) = warnings(effects)
    assert line.startswith("a does not hand out its exchange of round 1: 2 numbers are more")


def test_a_stranger_and_what_is_none_of_its_business_are_passed_over() -> None:
    ring = Ring()
    assert ring.announce("stranger") == []
    walk = m.Announcement(4, m.Walk(1, 0, 0, MODEL))
    assert said(ring.say("a", walk), m.Fetched) == [m.Fetched(4)]
    assert len(ring.state.fetches) == 0


def test_who_has_left_is_owed_nothing() -> None:
    ring = Ring()
    ring.trained()
    assert ring.state.owed(1.0) == {"a", "c"}
    ring.say("a", m.Goodbye(1, "done"))
    ring.say("c", m.Fetched(1))
    assert ring.state.owed(1.0) == set()


GIVEN = m.Announcement(1, m.Model(4, {"columns": ["x"]}, MODEL))


def test_a_late_peer_takes_over_the_agreement_before_it_fetches_the_model() -> None:
    ring = Ring(late=True)
    assert only(e.ApplyAgreement, ring.say("a", GIVEN)) == [e.ApplyAgreement(agreement={"columns": ["x"]})]
    assert said(ring.log, m.GetChunk) == []
    assert said(ring.say("c", GIVEN), m.Fetched) == [m.Fetched(1)], "one is enough"
    assert [asked.start for asked in said(ring.tell(ev.ModelReady({}, MODEL, "w0")), m.GetChunk)] == [0, 2, 4]
    assert said(ring.pulse(5.0), m.GetModel) == []
    started = ring.fetch("a")
    assert [load.body for load in only(e.LoadWeights, started)] == ["all of a"]
    assert [train.round for train in only(e.Train, started)] == [5]
    assert only(e.ApplyAgreement, started) == []


def test_one_whose_giver_goes_meanwhile_starts_from_another_s() -> None:
    ring = Ring(late=True)
    ring.say("a", GIVEN)
    ring.tell(ev.LinkUp("a", "peer", 2))
    assert only(e.Train, ring.tell(ev.ModelReady({}, MODEL, "w0"))) == []
    assert ring.state.machine.status == "joining"
    assert len(said(ring.say("c", GIVEN), m.GetChunk)) == 3
    assert [train.round for train in only(e.Train, ring.fetch("c"))] == [5]


def test_a_first_model_that_is_none_of_what_was_agreed_on_is_not_fetched() -> None:
    ring = Ring(late=True)
    ring.say("a", m.Announcement(1, m.Model(4, {"columns": ["x"]}, m.Payload("a1b2", "float32", 1 << 40))))
    effects = ring.tell(ev.ModelReady({}, MODEL, "w0"))
    assert said(effects, m.GetChunk) == []
    assert [each.type for each in only(e.Publish, effects)] == ["update.rejected"]
    assert ring.state.machine.status == "joining"


def test_the_time_to_join_waits_while_chunks_come() -> None:
    ring = Ring(late=True)
    ring.say("a", GIVEN)
    ring.tell(ev.ModelReady({}, MODEL, "w0"))
    ring.now = 25.0
    ring.chunk("a", 0)
    join = ("join",)
    assert ring.tell(ev.TimerFired(join, 30.0), 30.0) == [e.SetTimer(join, 32.0)]
    assert [each.status for each in only(e.Finish, ring.tell(ev.TimerFired(join, 60.0), 60.0))] == ["failed"]
