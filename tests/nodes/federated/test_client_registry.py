"""The coordinator's list of clients."""

import pytest
from nervenet.nodes.federated import client_registry
from nervenet.nodes.federated.client_registry import ClientRegistry


def watched_after(strangers: int) -> tuple[int, bool, bool]:
    """Connect and lose ever new names; return how many are watched, and whether clients that were lost are known."""
    registry = ClientRegistry(suspect_after_s=1.0, lost_after_s=2.0)
    for name in ("lost", "left", "here"):
        registry.linked(name, 7, 0.0)
        registry.enroll(name, 5, 0.0)
    registry.leave("left")
    registry.linked("left", 7, 0.0)
    for number in range(strangers):
        registry.linked(f"stranger-{number}", 1, float(number))
        registry.liveness.heard("here", float(number))
        registry.review(float(number), 0.0)
    assert registry.living() == ["here"]
    assert "here" in registry.liveness._heard
    return len(registry.liveness._heard), registry.is_lost("lost"), registry._incarnations["left"] == 7


def test_names_that_were_never_ready_are_forgotten_and_clients_are_not() -> None:
    watched, lost, left = watched_after(1_000)
    assert watched < client_registry.MOST_LOST + 10
    assert (lost, left) == (True, True)


def test_all_of_them_would_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_registry, "MOST_LOST", 10**9)
    assert watched_after(1_000)[0] == 1_003
