"""Events in the words that a user reads."""

from nervenet.nodes.monitoring.notices import notice


def test_notices_are_worded() -> None:
    lost = notice({"type": "node.lost", "subject": "c-1", "reason": "killed"})
    assert lost == "c-1 is lost: killed (docs/errors.md#node-lost)"
    rejected = {"type": "update.rejected", "node": "c", "subject": "c-1", "round": 3, "reason": "not finite"}
    assert notice(rejected) == "an update of c-1 was rejected in round 3: not finite"
    assert notice({"type": "gap", "subject": "c-1", "missed": 4}) == "missed 4 events of c-1"
    assert notice({"type": "warning", "node": "stream", "reason": "the broker is away"}) == "stream: the broker is away"
    assert notice({"type": "metric.local", "node": "c-1"}) is None
