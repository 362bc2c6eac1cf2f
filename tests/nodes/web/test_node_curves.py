"""What is kept of each node's rounds is bounded, and follows a node that goes back."""

from nervenet.nodes.web.node_curves import NodeCurves


def test_a_round_that_is_said_twice_is_kept_as_it_was_said_last() -> None:
    curves = NodeCurves()
    curves.put("a", 1, 0.5, None)
    curves.put("a", 2, 0.4, None)
    curves.put("a", 2, 0.4, 0.9)
    assert curves.of("a") == {"round": [1, 2], "loss": [0.5, 0.4], "metric": [None, 0.9]}
    assert curves.of("b") is None


def test_what_came_after_a_round_that_a_node_goes_back_to_is_forgotten() -> None:
    curves = NodeCurves()
    for number in range(1, 9):
        curves.put("a", number, 1 / number, None)
    curves.put("a", 3, 0.7, 0.1)
    assert curves.of("a") == {"round": [1, 2, 3], "loss": [1.0, 0.5, 0.7], "metric": [None, None, 0.1]}


def test_of_many_rounds_the_newest_are_all_there_and_the_first_ones_coarsely() -> None:
    curves = NodeCurves(most=64)
    for number in range(10_000):
        curves.put("a", number, float(number), None)
    found = curves.of("a")
    assert found is not None
    rounds = [number for number in found["round"] if number is not None]
    assert len(rounds) <= 64
    assert rounds == sorted(set(rounds))
    assert rounds[-32:] == list(range(9968, 10_000))
    assert found["loss"] == found["round"]
