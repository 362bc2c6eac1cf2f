"""Whatever befalls a federation: every round closes or fails by name, nothing counts twice, no wait is endless."""

import os
from typing import Any

import pytest
from drawn import SECONDS, bad_networks, node_faults
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from nervenet.broker.testing.faults import Faults

NAMES = [f"client-{i}" for i in range(5)]
PROFILE = settings.get_profile(os.environ.get("NERVENET_FAULTS", "faults"))


@st.composite
def misfortunes(draw: st.DrawFn) -> dict[str, Any]:
    names = st.sampled_from(NAMES)
    trainings = st.frozensets(st.tuples(names, st.integers(1, 4)), max_size=3)
    return {
        "train_s": draw(st.dictionaries(names, st.sampled_from([0.01, 2.0, 9.0, 15.0, 40.0]))),
        "hangs": draw(trainings),
        "fails": draw(trainings),
        "faults": draw(node_faults(NAMES, ["coordinator"])),
        "bad": draw(trainings),
        "screened": draw(trainings),
        "full": draw(st.frozensets(st.integers(0, 4), max_size=3)),
    }


@PROFILE
@given(
    faults=bad_networks([*NAMES, "coordinator"]),
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
        kind: [item for item in items if (item.node if kind == "faults" else item[0]) in [*there, "coordinator"]]
        if kind in ("faults", "hangs", "fails", "bad", "screened")
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
