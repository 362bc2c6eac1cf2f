"""The seeded bad network."""

from __future__ import annotations

import asyncio

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nervenet.broker.messages import Heartbeat, Lane
from nervenet.broker.testing import Faults, MemoryNetwork, MemoryTransport, Partition
from nervenet.broker.transport import Arrival
from nervenet.broker.transport_events import LinkUp, SendFailed


def fates(faults: Faults, n: int = 2_000) -> list[list[float]]:
    return [faults("a", "b", Lane.BULK, 0.0) for _ in range(n)]


def test_faults_depend_on_the_seed_alone():
    assert fates(Faults(1, (0.0, 1.0), 0.2, 0.2)) == fates(Faults(1, (0.0, 1.0), 0.2, 0.2))
    assert fates(Faults(1, (0.0, 1.0), 0.2, 0.2)) != fates(Faults(2, (0.0, 1.0), 0.2, 0.2))


def test_fault_rates_are_as_configured():
    drawn = fates(Faults(3, (0.5, 1.5), drop=0.3, duplicate=0.25))
    assert abs(np.mean([len(delays) == 0 for delays in drawn]) - 0.3) < 0.03
    assert abs(np.mean([len(delays) == 2 for delays in drawn]) - 0.7 * 0.25) < 0.03
    delays = [delay for each in drawn for delay in each]
    assert 0.5 <= min(delays) < 0.51
    assert 1.49 < max(delays) < 1.5


@given(st.integers(0, 50))
def test_the_faults_of_a_route_do_not_depend_on_other_traffic(others):
    alone = fates(Faults(4, (0.0, 1.0), 0.3, 0.3), 20)
    faults = Faults(4, (0.0, 1.0), 0.3, 0.3)
    for _ in range(others):
        faults("b", "a", Lane.BULK, 0.0)
        faults("a", "b", Lane.CONTROL, 0.0)
    assert fates(faults, 20) == alone


def test_a_partition_separates_its_sides_for_its_time():
    faults = Faults(partitions=[Partition(frozenset({"a", "b"}), 1.0, 2.0)])
    for now, passes in ((0.9, True), (1.0, False), (1.9, False), (2.0, True)):
        assert bool(faults("a", "c", Lane.BULK, now)) is passes
        assert bool(faults("c", "b", Lane.BULK, now)) is passes
        assert faults("a", "b", Lane.BULK, now)
        assert faults("c", "d", Lane.BULK, now)


def test_spared_lanes_lose_nothing():
    faults = Faults(drop=1.0, lanes=(Lane.BULK,))
    assert faults("a", "b", Lane.BULK, 0.0) == []
    assert faults("a", "b", Lane.CONTROL, 0.0) == [0.001]


@given(st.lists(st.floats(0.0, 0.1), max_size=40))
def test_on_an_ordered_route_no_message_overtakes(gaps):
    faults = Faults(5, (0.0, 1.0), ordered=True)
    now, latest = 0.0, 0.0
    for gap in gaps:
        now += gap
        (delay,) = faults("a", "b", Lane.BULK, now)
        assert now + delay >= latest - 1e-9
        latest = now + delay


class VirtualClock:
    """Time that jumps from call to call."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, int, object, tuple[object, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when, callback, *args):
        self.calls.append((when, len(self.calls), callback, args))

    def run(self) -> None:
        while self.calls:
            self.calls.sort(key=lambda call: call[:2])
            when, _, callback, args = self.calls.pop(0)
            self.now = max(self.now, when)
            callback(*args)


def test_memory_transports_apply_faults_on_a_virtual_clock():
    clock = VirtualClock()
    fate = iter([[0.5], [], [0.1, 0.3]])
    network = MemoryNetwork(lambda *_: next(fate), clock)
    a, b = (MemoryTransport(name, "peer", "demo", network=network) for name in "ab")
    heard: list[tuple[float, object]] = []
    asyncio.run(a.open(lambda _: None, lambda _: None))
    asyncio.run(b.open(lambda item: heard.append((clock.now, item)), lambda _: None))
    a.link("b", b.addresses)
    clock.run()
    for round_ in range(3):
        a.send("b", Heartbeat(round_, "idle", ()))
    clock.run()
    assert isinstance(heard[0][1], LinkUp)
    rounds = [(now, item.message.round) for now, item in heard if isinstance(item, Arrival)]
    assert rounds == [(0.1, 2), (0.3, 2), (0.5, 0)]


def test_a_stopped_node_receives_later_and_its_queue_is_bounded():
    clock = VirtualClock()
    network = MemoryNetwork(clock=clock)
    a, b = (MemoryTransport(name, "peer", "demo", network=network) for name in "ab")
    at_a: list[object] = []
    at_b: list[object] = []
    asyncio.run(a.open(at_a.append, lambda _: None))
    asyncio.run(b.open(at_b.append, lambda _: None))
    a.link("b", b.addresses)
    clock.run()
    network.stop("b")
    for round_ in range(600):
        a.send("b", Heartbeat(round_, "idle", ()))
    clock.run()
    slow = [item for item in at_a if isinstance(item, SendFailed)]
    assert len(slow) == 600 - 512
    assert slow[0].cause == "slow"
    assert not [item for item in at_b if isinstance(item, Arrival)]
    network.resume("b")
    clock.run()
    assert len([item for item in at_b if isinstance(item, Arrival)]) == 512
