"""What the launcher waits for while its fork server imports: as long as that takes, and not in silence."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from nervenet.nodes.launching import forkserver_client
from nervenet.nodes.launching.forkserver import MessageReader, send
from nervenet.nodes.launching.forkserver_client import ForkServerClient, ForkServerError

DEADLINE_S = 60.0


class Started:
    """Stands for the process of the fork server: a test answers in its place."""

    def __init__(self, command: list[str], **_: Any) -> None:
        self.sock = socket.socket(fileno=os.dup(int(command[3])))
        self.reader = MessageReader(self.sock)
        self.requests: list[dict[str, Any]] = []

    def wait(self, within_s: float | None = None) -> int:
        self.sock.close()
        return 0

    def send_signal(self, number: int) -> None: ...

    def request(self) -> dict[str, Any]:
        while not self.requests:
            self.requests += [message for message, _ in self.reader.read()]
        return self.requests.pop(0)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServerClient]:
    monkeypatch.setattr(forkserver_client.subprocess, "Popen", Started)
    monkeypatch.setattr(forkserver_client, "SAY_EVERY_S", 0.05)
    found = ForkServerClient()
    yield found
    found.close()


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def check_a_fork_waits_for_what_is_imported(client: ForkServerClient) -> None:
    said: list[str] = []
    client.waits = said.append
    client.attach()
    server: Any = client._process
    client.preload(["sklearn.linear_model"])
    forking = asyncio.create_task(client.spawn({"kind": "broker"}, [], within_s=0.01))
    await until(lambda: len(said) > 1 or forking.done())
    if forking.done():
        forking.result()
    assert said[0] == (
        "the process from which nodes are forked still imports its own modules, sklearn.linear_model, for 0.05 s"
    )
    send(server.sock, {"preloaded": server.request()["preload"]})
    await until(lambda: not client._imports)
    send(server.sock, {"spawned": server.request()["spawn"], "pid": 7})
    assert await asyncio.wait_for(forking, DEADLINE_S) == 7


async def test_a_fork_waits_for_what_is_imported_and_says_so(client: ForkServerClient) -> None:
    await check_a_fork_waits_for_what_is_imported(client)


async def test_else_a_busy_machine_would_end_a_run_in_which_all_is_well(
    client: ForkServerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forkserver_client, "IMPORT_S", 0.0)
    with pytest.raises(ForkServerError, match=r"no process could be forked within 0\.01 s"):
        await check_a_fork_waits_for_what_is_imported(client)


async def test_a_fork_server_that_is_silent_though_it_imports_nothing_has_its_deadline(
    client: ForkServerClient,
) -> None:
    client.attach()
    server: Any = client._process
    first = asyncio.create_task(client.spawn({"kind": "broker"}, [], within_s=DEADLINE_S))
    await asyncio.sleep(0)
    client.preload(["sklearn.linear_model"])
    send(server.sock, {"spawned": server.request()["spawn"], "pid": 7})
    assert await first == 7
    assert list(client._imports.values()) == [["sklearn.linear_model"]], "which came after that fork"
    send(server.sock, {"preloaded": ["sklearn.linear_model"]})
    await until(lambda: not client._imports)
    with pytest.raises(ForkServerError, match="no process could be forked within 0 s"):
        await client.spawn({"kind": "broker"}, [], within_s=0.0)
