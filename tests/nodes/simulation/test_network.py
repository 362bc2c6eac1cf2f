"""When a message arrives on a network that is a model of one."""

from nervenet.broker.messages import Lane
from nervenet.nodes.config.simulation import SimulationConfig
from nervenet.nodes.simulation.network import VirtualNetwork


def network(**keys: float) -> VirtualNetwork:
    return VirtualNetwork(SimulationConfig(**{"latency_s": 0.5, **keys}), seed=1)


def test_models_share_the_line_of_their_sender_and_what_is_urgent_passes_them() -> None:
    slow = network(bandwidth=100.0)
    assert slow.arrival("a", "b", Lane.BULK, 200, 1, 0.0) == 2.5
    assert slow.arrival("a", "c", Lane.BULK, 200, 1, 0.0) == 4.5, "after the first"
    assert slow.arrival("a", "c", Lane.CONTROL, 200, 1, 0.0) == 0.5


def test_models_of_several_senders_share_the_line_of_their_receiver() -> None:
    slow = network(bandwidth=100.0)
    assert slow.arrival("a", "c", Lane.BULK, 200, 1, 0.0) == 2.5
    assert slow.arrival("b", "c", Lane.BULK, 200, 1, 0.0) == 4.5


def test_what_is_on_its_way_is_known_until_it_has_arrived() -> None:
    slow = network(bandwidth=100.0)
    slow.arrival("a", "b", Lane.BULK, 200, 7, 0.0)
    assert slow.sending("a", "b", 2.0) == (7,)
    assert slow.sending("a", "b", 2.5) == ()
    assert slow.sending("b", "a", 2.0) == ()


def test_messages_of_a_connection_keep_their_order_whatever_delays_are_drawn() -> None:
    jittery = network(jitter_s=1.0)
    found = [jittery.arrival("a", "b", Lane.CONTROL, 10, 1, 0.01 * i) for i in range(50)]
    assert found == sorted(found, key=lambda at: at or 0.0)
    assert len({*found}) > 5


def test_the_share_that_is_lost_is_that_which_was_asked_for_and_drawn_from_the_seed() -> None:
    lossy, again = network(loss=0.2), network(loss=0.2)
    found = [lossy.arrival("a", "b", Lane.CONTROL, 10, 1, 0.0) for _ in range(2_000)]
    assert 340 < found.count(None) < 460
    assert found == [again.arrival("a", "b", Lane.CONTROL, 10, 1, 0.0) for _ in range(2_000)]


def test_nothing_comes_to_or_from_who_is_away() -> None:
    calm = network()
    calm.away.add("b")
    assert calm.arrival("a", "b", Lane.BULK, 10, 1, 0.0) is None
    assert calm.arrival("b", "a", Lane.BULK, 10, 1, 0.0) is None
    assert calm.arrival("a", "c", Lane.BULK, 10, 1, 0.0) == 0.5
