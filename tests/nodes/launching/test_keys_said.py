"""In a launch, what is wrong with keys is said: in the log of a process, and by the server of reports."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nervenet.broker.security.allow_list import FOLDER, allow
from nervenet.broker.security.gate import Gate
from nervenet.broker.security.keys import new_key_pair, write_keys
from nervenet.broker.transport import ZmqTransport
from nervenet.broker.transport_events import ConnectionRefused
from nervenet.nodes.config.schema import NetworkConfig
from nervenet.nodes.launching import serving_broker
from nervenet.nodes.launching.report_server import ReportServer
from nervenet.nodes.runtime.secured import close_gate, security_of
from structlog.testing import capture_logs

DAMAGED = "damaged.pub"


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  what is waited for sets no event
            await asyncio.sleep(0.01)


def folder_of(folder: Path, name: str) -> str:
    """A folder of keys, of which one that is allowed is damaged."""
    _, public = write_keys(folder, new_key_pair(name))
    allow(folder, public, ["broker"])
    (folder / FOLDER / DAMAGED).write_text("no key")
    return str(folder)


async def logged_by_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    async def reported(*_: object, **__: object) -> None:
        pass

    looked = list[str]()
    look = Gate.look

    def looks(gate: Gate) -> None:
        look(gate)
        looked.extend(gate.allowed.problems)

    monkeypatch.setattr(serving_broker, "report_once", reported)
    monkeypatch.setattr(Gate, "look", looks)
    job = {"bind": "tcp://127.0.0.1:0", "keys": folder_of(tmp_path / "k", "broker"), "report_server": {}, "run": "r"}
    with capture_logs() as logs:
        broker = asyncio.create_task(serving_broker.serve_broker(job))
        await until(lambda: looked or broker.done())
        broker.cancel()
        await asyncio.gather(broker, return_exceptions=True)
    return [line for line in logs if DAMAGED in line.get("reason", "")]


async def test_the_process_of_a_broker_logs_a_damaged_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = await logged_by_a_broker(tmp_path, monkeypatch)
    assert (line["event"], line["node"], line["log_level"]) == ("keys", "broker", "warning")


async def test_without_a_voice_it_would_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_broker, "on_key_warning", lambda *_: None)
    assert await logged_by_a_broker(tmp_path, monkeypatch) == []


async def test_the_server_of_reports_hands_on_whom_it_refuses(tmp_path: Path) -> None:
    server_keys = security_of(NetworkConfig(keys=folder_of(tmp_path / "k", "launcher")), "launcher")
    _, public = write_keys(tmp_path / "s", new_key_pair("stranger"))
    allow(tmp_path / "s", tmp_path / "k" / "launcher.pub", ["launcher"])
    stranger_keys = security_of(NetworkConfig(keys=str(tmp_path / "s")), "stranger")
    refused = list[ConnectionRefused]()
    stranger = ZmqTransport("stranger", "client", "r", bind=None, security=stranger_keys)
    try:
        async with ReportServer(
            "r",
            "tcp://127.0.0.1:*",
            lambda *_: None,
            max_message_bytes=65_536,
            security=server_keys,
            on_refused=refused.append,
            roles={},
        ) as server:
            await stranger.open(lambda _: None, lambda _: None)
            stranger.link("launcher", server.transport.addresses)
            await until(lambda: refused)
            await stranger.close(0.0)
    finally:
        close_gate(server_keys)
        close_gate(stranger_keys)
    assert refused[0].key in public.read_text()
