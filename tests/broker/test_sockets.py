"""How dialling again is paced: quick at first, calm later, and not all at once."""

from __future__ import annotations

import pytest
import zmq
from nervenet.broker.codec import Limits
from nervenet.broker.sockets import SOCKETS, make
from zmq.utils.monitor import recv_monitor_message

DIALLING = [kind for kind, row in SOCKETS.items() if zmq.RECONNECT_IVL in row.options]


@pytest.fixture
def context():
    with zmq.Context() as context:
        yield context


def pauses(context: zmq.Context, count: int) -> list[int]:
    """What ZeroMQ says that it waits, in milliseconds, where nobody listens."""
    with make(context, "link.control", Limits()) as socket:
        monitor = socket.get_monitor_socket(zmq.EVENT_CONNECT_RETRIED)
        socket.connect("tcp://127.0.0.1:1")
        found = []
        while len(found) < count:
            assert monitor.poll(60_000)
            found.append(int(recv_monitor_message(monitor)["value"]))
        socket.disable_monitor()
        monitor.close()
    return found


def test_pauses_double(context):
    first, *more = pauses(context, 4)
    assert 37 <= first <= 63
    assert more == [2 * first, 4 * first, 8 * first]


def test_every_socket_has_its_own_backoff(context):
    assert "directory.client" in DIALLING
    assert "link.bulk" in DIALLING
    paces = set()
    for kind in DIALLING * 8:
        with make(context, kind, Limits()) as socket:
            first, last = socket.getsockopt(zmq.RECONNECT_IVL), socket.getsockopt(zmq.RECONNECT_IVL_MAX)
        assert 37 <= first <= 63
        assert 750 <= last <= 1250
        paces.add((first, last))
    assert len(paces) > 10
