"""Whatever befalls a gossip run: each peer reaches its last round, mixes what belongs to a round, each model once."""

import os
from typing import Any

import pytest
from drawn import bad_networks, node_faults
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nervenet.broker.testing.faults import Faults

NAMES = [f"peer-{i}" for i in range(6)]
PROFILE = settings.get_profile(os.environ.get("NERVENET_FAULTS", "faults"))


@st.composite
def misfortunes(draw: st.DrawFn) -> dict[str, Any]:
    names = st.sampled_from(NAMES[:4])
    trainings = st.frozensets(st.tuples(names, st.integers(1, 6)), max_size=2)
    return {
        "train_s": draw(st.dictionaries(names, st.sampled_from([0.01, 2.0, 9.0, 15.0, 40.0]))),
        "hangs": draw(trainings),
        "fails": draw(trainings),
        "faults": draw(node_faults(NAMES[:4])),
    }


@PROFILE
@given(
    faults=bad_networks(NAMES),
    misfortune=misfortunes(),
    topology=st.sampled_from(["ring", "complete", "star", "torus"]),
    peers=st.sampled_from([4, 6]),
    rounds=st.integers(1, 6),
    questions=st.sampled_from([1, 4]),
)
@example(faults=Faults(), misfortune={}, topology="ring", peers=4, rounds=6, questions=4)
def test_each_peer_reaches_its_last_round(
    gossip: Any,
    trouble: Any,
    faults: Faults,
    misfortune: dict[str, Any],
    topology: str,
    peers: int,
    rounds: int,
    questions: int,
) -> None:
    gossip(peers, topology, rounds=rounds, faults=faults, trouble=trouble(**misfortune), questions=questions).run()


def test_a_model_of_another_round_would_be_seen(gossip: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watching itself can fail."""
    from nervenet.nodes.gossip.inbox import Inbox

    take, begin = Inbox.take, Inbox.open

    def _take(self: Inbox) -> Any:
        self.left = dict(self.received)  # type: ignore[attr-defined]
        return take(self)

    def _open(self: Inbox, number: int) -> None:
        begin(self, number)
        self.received = {**getattr(self, "left", {}), **self.received}

    monkeypatch.setattr(Inbox, "take", _take)
    monkeypatch.setattr(Inbox, "open", _open)
    with pytest.raises(AssertionError, match="another round"):
        gossip().run()


def test_a_wait_without_a_deadline_would_be_seen(gossip: Any, trouble: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nervenet.nodes.gossip.round_machine import PeerMachine

    timer = PeerMachine._timer

    def _timer(self: PeerMachine, key: Any, now: float) -> Any:
        return [] if key[0] in ("deadline", "training") else timer(self, key, now)

    monkeypatch.setattr(PeerMachine, "_timer", _timer)
    with pytest.raises(AssertionError, match="still waits"):
        gossip(trouble=trouble(hangs=[("peer-1", 2)])).run()
