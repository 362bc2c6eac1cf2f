"""Partial views: bounded, fresh, balanced, and connected even when half of all peers die."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from nervenet.broker.messages import Contact
from nervenet.nodes.gossip.membership.peer_sampling import PartialView


def contact(name: str, age: int = 0, incarnation: int = 1) -> Contact:
    return Contact(name, incarnation, {"control": f"tcp://{name}:1"}, age)


class Town:
    """Peers that trade their views, once a cycle, each time in another order; the dead do not answer."""

    def __init__(self, n: int, size: int, seed: int = 0) -> None:
        self.order = np.random.default_rng(seed)
        self.views = {f"p{i:03d}": PartialView(contact(f"p{i:03d}"), seed, size=size, traded=4) for i in range(n)}
        for view in self.views.values():  # each knows the first and its successor: a star of newcomers
            number = int(view.me.node[1:])
            view.fill([contact("p000"), contact(f"p{(number + 1) % n:03d}")])

    def cycle(self) -> None:
        for name in self.order.permutation(sorted(self.views)):
            offer = self.views[name].trade()
            if offer is None:
                continue
            partner, sent = offer
            if partner in self.views:
                self.views[name].answered(partner, self.views[partner].take(name, sent))

    def graph(self) -> nx.DiGraph:
        graph = nx.DiGraph()
        graph.add_nodes_from(self.views)
        graph.add_edges_from((a, b) for a, view in self.views.items() for b in view.contacts if b in self.views)
        return graph


@pytest.mark.parametrize("seed", range(3))
def test_in_degrees_are_balanced_and_the_graph_is_connected(seed):
    town = Town(128, 12, seed)
    for _ in range(40):
        town.cycle()
    graph = town.graph()
    degrees = np.array([d for _, d in graph.in_degree()])
    assert {len(view.contacts) for view in town.views.values()} <= {10, 11, 12}
    assert nx.is_strongly_connected(graph)
    assert degrees.min() >= 5
    assert degrees.std() < 3.0, "a graph drawn at random has sqrt(12) = 3.5"


def test_half_of_all_die_and_the_rest_stays_connected_and_forgets_them():
    town = Town(128, 12)
    for _ in range(30):
        town.cycle()
    for name in sorted(town.views)[::2]:
        del town.views[name]
    assert nx.is_weakly_connected(town.graph()), "at the very moment of their death"
    for _ in range(20):
        town.cycle()
    assert nx.is_strongly_connected(town.graph())
    stale = sum(name not in town.views for view in town.views.values() for name in view.contacts)
    assert stale <= 0.02 * sum(len(view.contacts) for view in town.views.values())


def test_a_view_holds_no_more_than_its_size_and_never_its_owner():
    view = PartialView(contact("me"), 0, size=3, traded=2)
    view.fill([contact(name) for name in "abcdef"])
    assert len(view.contacts) == 3
    view.take("a", [contact("me"), contact("x"), contact("y"), contact("z")])
    assert len(view.contacts) == 3
    assert "me" not in view.contacts


def test_it_trades_with_whom_it_has_known_longest_and_does_not_count_on_an_answer():
    view = PartialView(contact("me"), 0, size=3)
    view.fill([contact("old", 5), contact("new", 0)])
    partner, sent = view.trade()
    assert partner == "old"
    assert sent[0] == contact("me")
    assert set(view.contacts) == {"new"}


def test_a_newer_incarnation_and_a_fresher_contact_replace_what_was_known():
    view = PartialView(contact("me"), 0)
    view.fill([contact("a", 7)])
    view.take("b", [contact("a", 2)])
    assert view.contacts["a"].age == 2
    view.take("b", [contact("a", 9, incarnation=2)])
    assert view.contacts["a"].incarnation == 2
    view.take("b", [contact("a", 0, incarnation=1)])
    assert view.contacts["a"].incarnation == 2


def test_nobody_to_trade_with():
    assert PartialView(contact("me"), 0).trade() is None
