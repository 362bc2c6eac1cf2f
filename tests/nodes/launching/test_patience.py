"""For how long results are waited for after the last sign of progress."""

from typing import Any

from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching.patience import grace_of


def grace(missing: str, mode: str, **results: dict[str, Any]) -> float:
    """Return the patience for a node, by what others have reported."""
    experiment = Experiment.from_dict({"nodes": 3, "mode": mode, "network": {"join_deadline_s": 60}})
    return grace_of([missing], {name.replace("_", "-"): fields for name, fields in results.items()}, experiment)


def test_who_is_silent_to_all_others_is_not_waited_for_as_those_who_work_are() -> None:
    assert grace("peer-2", "gossip", peer_0={"silent": ["peer-2"]}) == 10.0
    assert grace("peer-1", "gossip", peer_0={"silent": ["peer-2"]}) == 120.0  # it may still be working


def test_whose_figures_alone_are_missing_is_not_either() -> None:
    assert grace("client-1", "federated", client_0={}) == 120.0
    assert grace("client-1", "federated", client_0={}, coordinator={}) == 10.0  # the result is here
