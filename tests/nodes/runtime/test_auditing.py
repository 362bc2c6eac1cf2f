"""A message leaves a node only once it is recorded."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nervenet.broker import messages as m
from nervenet.broker.security.plain import Plain
from nervenet.nodes.audit.chain import records
from nervenet.nodes.audit.log import AuditError, AuditLog
from nervenet.nodes.config.site import SiteConfig
from nervenet.nodes.runtime import auditing
from nervenet.nodes.runtime.auditing import Auditor, audit_dir_of

VECTOR = np.arange(5, dtype=np.float32)
PAYLOAD = m.Payload("a1b2", "float32", 5)
UPDATE = m.Update(3, 0, 25, {"loss": 0.5}, None, PAYLOAD)


class Disk:
    """A disk that can be full."""

    def __init__(self) -> None:
        self.full = False

    def write(self, file: int, content: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(file, content)


class Node:
    """What an auditor sees of its node."""

    def __init__(self, folder: Path, *, unrecorded: bool = False) -> None:
        self.disk = Disk()
        self.log = AuditLog(folder, "north", write=self.disk.write)
        self.auditor = Auditor(self.log, Plain(False), unrecorded=unrecorded)
        self.sent: list[tuple[tuple[str, ...], m.Message]] = []
        self.recorded: list[int] = []  # how many records there were when each was sent
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.failed: list[BaseException] = []
        loop = asyncio.get_running_loop()
        publish: Callable[..., None] = lambda kind, fields: self.events.append((kind, dict(fields)))  # noqa: E731
        self.auditor.open({"node": "north"})
        self.auditor.attach(loop.call_soon_threadsafe, self.send, publish, self.failed.append)

    def send(self, to: Any, message: m.Message, _body: Any) -> None:
        self.sent.append((tuple(to), message))
        self.recorded.append(len(self.records))

    @property
    def records(self) -> list[dict[str, Any]]:
        return records([self.log.path.read_bytes()])

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.sent) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def close(self) -> None:
        await asyncio.to_thread(self.auditor.close, "done")


async def test_a_message_is_recorded_before_it_is_sent_and_the_order_is_kept(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.auditor.received("hub", m.Task(3, 0, "train", 9.0, False, {}), None)
    big = np.zeros(2_000_000, np.float32)
    node.auditor.send(("hub",), m.Update(1, 0, 25, {}, None, m.Payload("a1b2", "float32", big.size)), big)
    for number in (2, 3):
        node.auditor.send(("hub",), m.Update(number, 0, 25, {}, None, PAYLOAD), VECTOR)
    assert node.sent == [], "nothing leaves in the call itself"
    await node.until(3)
    assert [message.round for _, message in node.sent] == [1, 2, 3]
    assert all(count >= number + 3 for number, count in enumerate(node.recorded))
    await node.close()
    kinds = [record["kind"] for record in node.records]
    assert kinds == ["opened", "received", "sent", "sent", "sent", "closed"]


async def test_signs_of_life_do_not_wait(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.auditor.send(("hub",), m.Heartbeat(1, "idle", ()), None)
    assert len(node.sent) == 1
    await node.close()


async def test_a_client_whose_disk_is_full_declines_and_goes_on_when_it_is_not(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.full = True
    node.auditor.send(("hub",), UPDATE, VECTOR)
    await node.until(1)
    ((to, declined),) = node.sent
    assert to == ("hub",)
    assert isinstance(declined, m.Declined)
    assert declined.key == "site.unrecorded"
    assert declined.reason.startswith("the audit log cannot be written: No space left on device (")
    node.auditor.send(("hub",), UPDATE, VECTOR)
    assert [kind for kind, _ in node.events] == ["site.declined"], "once, until a record is written again"
    node.sent.pop()
    node.disk.full = False
    node.auditor.send(("hub",), UPDATE, VECTOR)
    await node.until(2)
    assert node.sent[1][1] is UPDATE
    await node.close()
    assert [record["kind"] for record in node.records] == ["opened", "unrecorded", "sent", "closed"]


async def test_with_keys_a_record_has_those_of_the_others(tmp_path: Path) -> None:
    node = Node(tmp_path)
    entries = {"hub": SimpleNamespace(public="HUB-KEY")}
    node.auditor._security = SimpleNamespace(keys=SimpleNamespace(public="OWN"), server=entries.get)  # type: ignore[assignment]
    node.auditor.received("hub", m.Task(3, 0, "train", 9.0, False, {}), None)
    node.auditor.send(("hub", "stranger"), UPDATE, VECTOR)
    await node.close()
    assert [record.get("keys") for record in node.records] == [None, ["HUB-KEY"], ["HUB-KEY", ""], None]


async def test_a_peer_whose_disk_is_full_says_goodbye_and_ends(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.disk.full = True
    node.auditor.send(("a", "c"), m.Exchange(4, PAYLOAD), VECTOR)
    await node.until(1)
    ((to, goodbye),) = node.sent
    assert to == ("a", "c")
    assert isinstance(goodbye, m.Goodbye)
    assert goodbye.reason.startswith("declined: the audit log cannot be written")
    assert "site.unrecorded = true" in str(node.failed[0])
    await node.close()


@pytest.mark.parametrize("big", [False, True], ids=["at once", "in a thread"])
async def test_a_client_whose_log_was_changed_in_mid_run_declines(tmp_path: Path, big: bool) -> None:
    vector = np.zeros(100_000, np.float32) if big else VECTOR
    node = Node(tmp_path)
    with node.log.path.open("ab") as file:
        file.write(b'{"n":2}\n')
    for number in (1, 2):
        node.auditor.send(("hub",), m.Update(number, 0, 25, {}, None, PAYLOAD), vector)
    await node.until(2)
    first, second = (message for _, message in node.sent)
    assert isinstance(first, m.Declined)
    assert isinstance(second, m.Declined)
    assert "the last line is not as it was written" in first.reason
    await node.close()


@pytest.mark.parametrize(
    ("unrecorded", "message", "vector"),
    [(True, UPDATE, VECTOR), (False, m.Task(3, 0, "train", 9.0, False, {}, payload=PAYLOAD), VECTOR)],
)
async def test_a_site_that_says_so_and_a_coordinator_send_unrecorded_with_a_warning(
    tmp_path: Path, unrecorded: bool, message: m.Message, vector: Any
) -> None:
    node = Node(tmp_path, unrecorded=unrecorded)
    node.disk.full = True
    node.auditor.send(("hub",), message, vector)
    await node.until(1)
    assert node.sent == [(("hub",), message)]
    ((kind, fields),) = node.events
    assert kind == "warning"
    assert fields["reason"].endswith("was sent unrecorded")
    await node.close()


async def test_a_node_whose_disk_is_full_does_not_begin(tmp_path: Path) -> None:
    disk = Disk()
    disk.full = True
    auditor = Auditor(AuditLog(tmp_path, "north", write=disk.write), Plain(False), unrecorded=False)
    with pytest.raises(AuditError, match="No space left on device; a site sends nothing unrecorded"):
        auditor.open({})
    auditor.close("")


async def closed_on_a_disk_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, joins: bool = True
) -> tuple[bool, list[str]]:
    """Whether a node whose disk stands still while it writes its last record can leave, and what it says."""
    monkeypatch.setattr(auditing, "CLOSING_S", 0.01)
    node, stands, goes_on = Node(tmp_path), threading.Event(), threading.Event()
    write = node.disk.write

    def standing(file: int, content: bytes) -> int:
        stands.set()
        goes_on.wait(60)
        return write(file, content)

    node.log._write = standing
    big = np.zeros(2_000_000, np.float32)
    node.auditor.send(("hub",), m.Update(1, 0, 25, {}, None, m.Payload("a1b2", "float32", big.size)), big)
    try:
        assert await asyncio.to_thread(stands.wait, 60)
        closing = asyncio.create_task(node.close())
        await asyncio.wait({closing}, timeout=60 if joins else 0.1)
        left = closing.done()
        await asyncio.sleep(0)  # what a thread says is heard in the next turn
        return left, [fields["reason"] for _, fields in node.events]
    finally:
        goes_on.set()
        await closing
        for lane in (node.auditor._outgoing, node.auditor._incoming):
            lane.close()
            if lane.thread is not None:
                await asyncio.to_thread(lane.thread.join, 60)


async def test_a_disk_that_stands_still_keeps_no_node_that_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, (said,) = await closed_on_a_disk_that_stands_still(tmp_path, monkeypatch)
    assert left
    assert said.startswith("the audit log was not closed within 0.01 s: its last records are missing")


async def test_whoever_waited_for_the_lock_would_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Auditor, "close", lambda auditor, reason: auditor._close(reason))
    assert await closed_on_a_disk_that_stands_still(tmp_path, monkeypatch, joins=False) == (False, [])


def test_where_a_node_keeps_its_log() -> None:
    assert audit_dir_of(SiteConfig(), "out", usual=True) == Path("out/audit")
    assert audit_dir_of(SiteConfig(), "out", usual=False) is None
    assert audit_dir_of(SiteConfig(audit=False), "out", usual=True) is None
    assert audit_dir_of(SiteConfig(audit=True), "out", usual=False) == Path("out/audit")
    assert audit_dir_of(SiteConfig(audit_dir="/var/log/n"), "out", usual=False) == Path("/var/log/n")
    alone = audit_dir_of(SiteConfig(), None, usual=True)
    assert alone is not None
    assert alone.parts[-2:] == ("nervenet", "audit")
