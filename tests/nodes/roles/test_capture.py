"""A federated run whose every connection is recorded on the way: what somebody on the network can read of it."""

from __future__ import annotations

import asyncio
import socket as system
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nervenet.broker import inbound
from nervenet.broker.broker import Broker
from nervenet.broker.transport import ZmqTransport
from nervenet.models import MLP, datasets
from nervenet.nodes import Client, Coordinator, Experiment
from nervenet.nodes.launching.launch_keys import _make
from nervenet.nodes.monitoring.monitor import Monitor
from nervenet.nodes.runtime.secured import close_gate, security_of

DEADLINE_S = 240.0
RUN, SITES = "a-study-of-flowers", ("northern-site", "southern-site")
FIELDS = (
    b"incarnation",
    b"shared_config",
    b"addresses",
    b"min_nodes",
    b"round.completed",
    b"participants",
    b"examples",
)


class Recorder:
    """Stands in front of addresses, passes on what comes either way, and keeps all of it."""

    def __init__(self) -> None:
        self.streams: list[bytearray] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    def in_front_of(self, address: str) -> str:
        """Return an address that leads to another one."""
        listening = system.create_server(("127.0.0.1", 0))
        port = int(address.rpartition(":")[2])
        self._keep(self._serve(listening, port))
        return f"tcp://127.0.0.1:{listening.getsockname()[1]}"

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, listening: system.socket, port: int) -> None:
        async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(self._record(reader, there_writer), self._record(there_reader, writer))

        async with await asyncio.start_server(passed_on, sock=listening) as server:
            await server.serve_forever()

    async def _record(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = bytearray()
        self.streams.append(stream)
        try:
            while chunk := await reader.read(1 << 16):
                stream += chunk
                writer.write(chunk)
        except OSError:  # one side has hung up
            pass
        finally:
            writer.close()

    def saw(self, what: bytes) -> bool:
        return any(what in stream for stream in self.streams)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def recorded(monkeypatch: pytest.MonkeyPatch, network: Any) -> AsyncIterator[tuple[Recorder, str]]:
    """A broker, and the recorder in front of it and of every inbox that is opened meanwhile."""
    recorder, advertised = Recorder(), inbound.advertised
    security = security_of(network, "broker")
    with monkeypatch.context() as patch:
        patch.setattr(inbound, "advertised", lambda *where: recorder.in_front_of(advertised(*where)))
        async with Broker("tcp://127.0.0.1:0", security=security) as serving:
            for service in ("events_in", "events_out"):
                setattr(serving._directory, service, recorder.in_front_of(serving.addresses[service]))
            yield recorder, recorder.in_front_of(serving.address)
    close_gate(security)
    await recorder.close()


async def captured(
    monkeypatch: pytest.MonkeyPatch, keys: Path | None
) -> tuple[Recorder, list[np.ndarray[Any, Any]], np.ndarray[Any, Any]]:
    """What was recorded of a run, the arrays that its nodes sent, and the model that it came to."""
    if keys is not None:
        _make(keys, {"coordinator": "coordinator", **dict.fromkeys(SITES, "client")})
    network = {"join_deadline_s": 60, **({} if keys is None else {"keys": str(keys)})}
    wanted = Experiment.from_dict({"mode": "federated", "nodes": 2, "rounds": 3, "network": network})
    data, sent, seen = datasets.load("iris"), list[Any](), list[str]()
    parts = np.array_split(np.random.default_rng(0).permutation(len(data.y)), 2)
    send = ZmqTransport.send

    def noted(transport: ZmqTransport, to: Any, message: Any, array: Any = None) -> None:
        if array is not None:
            sent.append(np.array(array))
        send(transport, to, message, array)

    monkeypatch.setattr(ZmqTransport, "send", noted)
    async with recorded(monkeypatch, wanted.network) as (recorder, broker):

        async def lead() -> Any:
            async with Coordinator(MLP((8,)), broker=broker, run=RUN, experiment=wanted) as coordinator:
                async for report in coordinator.rounds():
                    assert report.participants == SITES
                return coordinator.model.get_weights()

        async def follow(name: str, rows: Any) -> None:
            words: dict[str, Any] = {"broker": broker, "run": RUN, "name": name, "experiment": wanted}
            async with Client(MLP((8,)), (data.X[rows], data.y[rows]), **words) as client:
                async for _ in client.rounds():
                    pass

        async def watch() -> None:
            async with Monitor(broker, keys=keys, name=None if keys is None else "monitor") as events:
                async for event in events:
                    seen.append(event.type)

        watching = asyncio.create_task(watch())
        async with asyncio.timeout(DEADLINE_S):
            model, *_ = await asyncio.gather(lead(), *(follow(*each) for each in zip(SITES, parts, strict=True)))
            while "round.completed" not in seen:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return recorder, sent, np.array(model)


def readable(recorder: Recorder, sent: list[Any]) -> dict[str, list[str]]:
    """What stands in a recording: of what was sent as arrays the first 16 bytes are enough."""
    words = [*FIELDS, RUN.encode(), *(name.encode() for name in SITES)]
    starts = [array.tobytes()[:16] for array in sent if array.nbytes >= 16 and array.tobytes()[:16].count(0) < 4]
    return {
        "words": [word.decode() for word in words if recorder.saw(word)],
        "weights": [start.hex() for start in starts if recorder.saw(start)],
    }


async def test_with_keys_nobody_on_the_way_reads_weights_or_fields_or_names(tmp_path, monkeypatch):
    plain, sent_plain, model_plain = await captured(monkeypatch, None)
    curve, sent, model = await captured(monkeypatch, tmp_path / "keys")
    # The same recorder reads all of it where there are no keys.
    found = readable(plain, sent_plain)
    assert len(found["words"]) == len(FIELDS) + 1 + len(SITES)
    assert len(found["weights"]) >= 9  # three rounds of two clients, and what they were sent
    assert readable(curve, sent) == {"words": [], "weights": []}
    # And it was the same run, all of which came by it.
    assert np.array_equal(model, model_plain)
    assert sum(map(len, curve.streams)) > sum(map(len, plain.streams))
