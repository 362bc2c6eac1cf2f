"""A node that is cancelled while it waits for the others' goodbyes closes its sockets all the same."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nervenet.models import MLP
from nervenet.nodes import Coordinator, Experiment, Peer
from nervenet.nodes.roles.base import GOODBYES_S, Role

ROWS = np.zeros((12, 2)), np.arange(12) % 2
WHERE: dict[str, Any] = {"broker": "tcp://127.0.0.1:9", "run": "demo"}


def peer() -> Any:
    node = Peer(MLP(), ROWS, name="north", experiment=Experiment.from_dict({"mode": "gossip"}), **WHERE)
    node._state = SimpleNamespace(status="resting")  # type: ignore[assignment]
    return node


def coordinator() -> Any:
    node = Coordinator(MLP(), **WHERE)
    finished = asyncio.get_running_loop().create_future()
    finished.set_result(None)
    node._node = SimpleNamespace(finished=finished)  # type: ignore[assignment]
    return node


async def closed_though_cancelled(make: Any, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a node closes its session that is cancelled while it waits."""
    node = make()
    waits, closed = asyncio.Event(), []

    async def wait_for_goodbyes(_within_s: float, _last: object = None) -> None:
        waits.set()
        await asyncio.Event().wait()

    async def close(reason: str = "done") -> None:
        closed.append(reason)

    session = node.session
    end = session.close
    monkeypatch.setattr(session.connections, "wait_for_goodbyes", wait_for_goodbyes)
    monkeypatch.setattr(session, "close", close)
    monkeypatch.setattr(session, "send_goodbye", lambda *_, **__: None)
    leaving = asyncio.create_task(node.__aexit__(None, None, None))
    async with asyncio.timeout(60):
        await waits.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await end()
    return closed == ["done"]


@pytest.mark.parametrize("make", [peer, coordinator])
async def test_who_is_cancelled_while_it_waits_closes_its_sockets(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await closed_though_cancelled(make, monkeypatch)


async def leave_in_turn(self: Any, error: object, *_: object) -> None:
    await self.session.connections.wait_for_goodbyes(GOODBYES_S)
    await self.session.close(self._leaving(error))


@pytest.mark.parametrize(("make", "cls", "name"), [(peer, Peer, "__aexit__"), (coordinator, Role, "_leave_clients")])
async def test_one_after_the_other_they_would_stay_open(
    make: Any, cls: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launched node's were then closed beneath its event loop, and an embedded one's program waited for ever."""
    monkeypatch.setattr(cls, name, leave_in_turn)
    assert not await closed_though_cancelled(make, monkeypatch)
