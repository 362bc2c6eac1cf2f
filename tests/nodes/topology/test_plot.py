"""The picture of a topology."""

from pathlib import Path

import pytest
from nervenet.nodes.topology import TOPOLOGIES, every_neighbor, schedule
from nervenet.nodes.topology.analysis import measure
from nervenet.nodes.topology.plot import FLOOR, draw_topology, falling, lay_out

PNG = b"\x89PNG\r\n\x1a\n"


def names(n: int) -> list[str]:
    return [f"peer-{i:03}" for i in range(n)]


@pytest.mark.parametrize(
    ("name", "n"),
    [("star", 1), ("star", 9), ("torus", 60), ("base-k", 9), ("epidemic-local", 9), ("static-exponential", 9)],
)
def test_any_graph_is_drawn_and_only_the_picture_is_left(name: str, n: int, tmp_path: Path) -> None:
    made = schedule(name, names(n))
    draw_topology(measure(name, made, most=200), made, tmp_path / "it.png", rounds=2)
    assert [path.name for path in tmp_path.iterdir()] == ["it.png"]
    assert (tmp_path / "it.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES if name != "edges"])
def test_everybody_has_a_place_of_his_own(name: str) -> None:
    places = lay_out(name, every_neighbor(schedule(name, names(16))))
    assert sorted(places) == names(16)
    assert len({(round(x, 3), round(y, 3)) for x, y in places.values()}) == 16


def test_a_curve_ends_where_it_leaves_the_axis() -> None:
    assert falling([1.0, 1e-3, 1e-7, 1e-9]) == ([0, 1, 2], [1.0, 1e-3, 1e-7])
    assert falling([1.0, 0.5, 0.0, 0.0]) == ([0, 1, 2], [1.0, 0.5, FLOOR])
    assert falling([1.0, 0.5]) == ([0, 1], [1.0, 0.5])
