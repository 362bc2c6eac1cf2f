"""Who was told to end by somebody else is lost, if the launcher is not told the same in time."""

from nervenet.nodes.launching.departures import Departures


def test_who_left_is_due_after_a_while_with_what_was_said_first() -> None:
    left = Departures(1.0)
    assert not left
    left.note("client-0", "killed by SIGTERM", 5.0)
    left.note("client-0", "ended with exit code 0", 5.5)
    left.note("client-1", "killed by SIGINT", 5.8)
    assert list(left.due(5.9)) == []
    assert list(left.due(6.0)) == [("client-0", "killed by SIGTERM")]
    assert left
    assert list(left.due(9.0)) == [("client-1", "killed by SIGINT")]
    assert not left
