"""A topology is one function and one row: what the row says of its graphs is checked."""

import pytest
from nervenet.nodes.topology import TOPOLOGIES, Arguments, Schedule, Topology, TopologyError, schedule

ARGUMENTS = Arguments(("a", "b", "c"), 1, 0.5, 0, None)


def test_a_function_that_returns_a_graph_makes_a_fixed_topology() -> None:
    one_way = Topology("in a circle", lambda a: {"a": ("b",), "b": ("c",), "c": ("a",)}, directed=True)
    built = one_way.schedule("circle", ARGUMENTS)
    assert (built.fixed, built.directed, built.out(7)["a"]) == (True, True, ("b",))


@pytest.mark.parametrize(
    ("built", "flag"),
    [
        (Schedule.of({"a": ("b",), "b": ("a",)}, directed=True), "directed"),
        (Schedule.of({"a": ("b",), "b": ("a",)}, {"a": (), "b": ()}), "time_varying"),
    ],
)
def test_a_graph_that_its_row_does_not_announce_is_refused(built: Schedule, flag: str) -> None:
    with pytest.raises(TopologyError, match=f"topology = 'mine': its graph is {flag}; expected a row that says"):
        Topology("mine", lambda a: built).schedule("mine", ARGUMENTS)


@pytest.mark.parametrize("name", [name for name in TOPOLOGIES if name != "edges"])
def test_the_flags_say_what_the_graphs_are(name: str) -> None:
    row, built = TOPOLOGIES[name], schedule(name, [f"p{i:02d}" for i in range(16)])
    assert (row.directed, row.time_varying) == (built.directed, not built.fixed)


@pytest.mark.parametrize("name", [name for name, row in TOPOLOGIES.items() if row.relaid_on_change])
def test_what_is_laid_anew_exists_for_each_number_of_members(name: str) -> None:
    for n in range(2, 20):
        assert len(schedule(name, [f"p{i:02d}" for i in range(n)]).out(1)) == n
