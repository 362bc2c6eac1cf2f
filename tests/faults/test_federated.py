"""Whatever befalls a federation: every round closes or fails by name, nothing counts twice, no wait is endless."""

import os
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from nervenet.broker.messages import Lane
from nervenet.broker.testing.faults import Faults, Partition

NAMES = [f"client-{i}" for i in range(5)]
SECONDS = st.floats(0.0, 40.0)
PROFILE = settings.get_profile(os.environ.get("NERVENET_FAULTS", "faults"))


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
def misfortunes(draw: st.DrawFn) -> dict[str, Any]:
    names = st.sampled_from(NAMES)
    trainings = st.frozensets(st.tuples(names, st.integers(1, 4)), max_size=3)
    again = st.one_of(st.none(), SECONDS)
    return {
        "train_s": draw(st.dictionaries(names, st.sampled_from([0.01, 2.0, 9.0, 15.0, 40.0]))),
        "hangs": draw(trainings),
        "fails": draw(trainings),
        "stalls": draw(
            st.lists(st.tuples(st.sampled_from([*NAMES, "coordinator"]), SECONDS, st.floats(0.1, 30.0)), max_size=2)
        ),
        "crashes": draw(st.lists(st.tuples(names, SECONDS, again), max_size=3, unique_by=lambda crash: crash[0])),
        "bad": draw(trainings),
        "screened": draw(trainings),
        "full": draw(st.frozensets(st.integers(0, 4), max_size=3)),
        "noticed": draw(st.booleans()),
    }


@PROFILE
@given(
    faults=bad_networks(),
    misfortune=misfortunes(),
    clients=st.integers(1, 5),
    questions=st.sampled_from([1, 3]),
    late=st.dictionaries(st.sampled_from(["xenia", "yuri"]), SECONDS),
    rules=st.fixed_dictionaries(
        {
            "rounds": st.integers(1, 4),
            "quorum": st.sampled_from([0.5, 0.8, 1.0]),
            "participation": st.sampled_from([0.3, 1.0]),
            "sampling": st.sampled_from(["uniform", "weighted", "round-robin"]),
            "over_selection": st.sampled_from([1.0, 1.3, 3.0]),
            "probation_rounds": st.sampled_from([1, 5]),
            "min_clients": st.sampled_from([None, 1, 3]),
            "evaluate_sites": st.booleans(),
            "evaluate_test": st.booleans(),
            "site_matrix": st.booleans(),
        }
    ),
)
@example(faults=Faults(), misfortune={}, clients=4, questions=3, late={}, rules={})
def test_every_round_closes_or_fails_by_name(
    federation: Any,
    trouble: Any,
    faults: Faults,
    misfortune: dict[str, Any],
    clients: int,
    questions: int,
    late: dict[str, float],
    rules: dict[str, Any],
) -> None:
    there = NAMES[:clients]
    misfortune = {
        kind: [item for item in items if item[0] in [*there, "coordinator"]]
        if kind in ("stalls", "crashes", "hangs", "fails", "bad", "screened")
        else items
        for kind, items in misfortune.items()
    }
    federation(clients, faults=faults, trouble=trouble(**misfortune), late=late, questions=questions, **rules).run()


def test_a_fold_that_counts_an_update_twice_would_be_seen(federation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watching itself can fail."""
    from nervenet.nodes.federated.sync_rounds import SyncRounds
    from nervenet.nodes.runtime import effects as e

    close = SyncRounds._close

    def _close(self: SyncRounds, by: str, now: float) -> list[e.Effect]:
        effects = close(self, by, now)
        return [
            replace(f, contributions=(*f.contributions, f.contributions[0])) if isinstance(f, e.Fold) else f
            for f in effects
        ]

    monkeypatch.setattr(SyncRounds, "_close", _close)
    with pytest.raises(AssertionError, match="counts twice"):
        federation().run()


def test_a_wait_without_a_deadline_would_be_seen(
    federation: Any, trouble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nervenet.nodes.federated.sync_rounds import SyncRounds

    monkeypatch.setattr(SyncRounds, "timer", lambda self, key, now: [])
    with pytest.raises(AssertionError, match="still waits"):
        federation(trouble=trouble(hangs=[("client-1", 2)])).run()
