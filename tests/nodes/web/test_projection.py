"""Models that differ lie apart in the plane, and stay where they are from one look to the next."""

import math

from nervenet.nodes.web.projection import project


def test_two_groups_lie_apart() -> None:
    points = project({"a": [0.0] * 8, "b": [0.1, *[0.0] * 7], "c": [5.0] * 8, "d": [5.1, *[5.0] * 7]}, {})
    assert math.dist(points["a"], points["b"]) < 1 < math.dist(points["a"], points["c"])


def test_axes_do_not_flip() -> None:
    sketches = {"a": [1.0, 0.0, 0.0], "b": [-1.0, 0.5, 0.0], "c": [0.0, -0.5, 0.2]}
    before = project(sketches, {})
    flipped = {name: (-x, -y) for name, (x, y) in before.items()}
    for known in (before, flipped):
        now = project({name: [v * 1.01 for v in sketch] for name, sketch in sketches.items()}, known)
        assert all(math.dist(now[name], known[name]) < 0.1 for name in sketches)


def test_what_cannot_be_placed_is_left_out() -> None:
    assert project({}, {}) == {}
    assert project({"a": [1.0, 2.0]}, {}) == {}
    assert project({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0] * 9}, {}).keys() == {"a", "b"}
    assert project({"a": [1e308, -1e308], "b": [-1e308, 1e308]}, {}).keys() in ({"a", "b"}, set())
    assert project({"a": [0.0, 0.0], "b": [0.0, 0.0]}, {}) == {"a": (0.0, 0.0), "b": (0.0, 0.0)}
