"""Strangers and broken nodes talk to a running coordinator over tcp: they are counted, named and dropped."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import numpy as np
import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.codec import encode
from nervenet.broker.messages import VERSION, Hello, Payload, Update
from nervenet.models import MLP, datasets
from nervenet.nodes import Client, Coordinator, Experiment

Frames = list[Any]
MODEL = Payload(layout="0" * 16, dtype="float32", length=3)


class Stranger:
    """A raw socket on each lane, in a thread of its own, that says what no node would."""

    def __init__(self, addresses: dict[str, str], run: str) -> None:
        self.addresses, self.run = addresses, run
        self.answers: list[bytes] = []
        self.round = 1
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._attack, daemon=True)
        self.thread.start()

    def _attack(self) -> None:
        context = zmq.Context()
        try:
            for frames in self.garbage():
                for lane in ("control", "bulk"):
                    self.say(context, lane, [frames])
            hello = encode(Hello("mallory", "client", self.run, 1, VERSION))
            update = encode(Update(1, 0, 10, {}, None, MODEL), np.ones(3, np.float32))
            self.say(context, "bulk", [update])  # without a HELLO
            self.say(context, "bulk", [encode(Hello("mallory", "client", "another-run", 1, VERSION)), update])
            # Introduced as it should be, and yet nobody has invited it.
            control = self.dial(context, "control", b"mallory@1")
            bulk = self.dial(context, "bulk", b"mallory@1")
            for socket in (control, bulk):
                socket.send_multipart(hello)
            for socket in (control, bulk):
                assert socket.poll(60_000), "a well-formed HELLO is answered"
                self.answers += socket.recv_multipart()
            for _ in range(100):
                bulk.send_multipart(encode(Update(self.round + 1, 0, 10, {}, None, MODEL), np.ones(3, np.float32)))
                bulk.poll(10)
            control.send_multipart([b"NV" + bytes([VERSION]) + bytes(100_000)])  # over the lane's limit
            time.sleep(0)
            control.poll(500)
            control.close(0)
            bulk.close(0)
        finally:
            context.term()
            self.done.set()

    def garbage(self) -> list[Frames]:
        header = b"NV" + bytes([VERSION])
        other = msgpack.packb({"t": "hello", "node": "mallory", "role": "client", "run": self.run, "incarnation": 1})
        return [
            [b""],
            [b"GET / HTTP/1.1\r\n\r\n"],
            [bytes(range(256))],
            [b"NV" + bytes([VERSION + 1]) + other],  # a version to come
            [header + other],  # a field is missing
            [header + msgpack.packb({"t": "no_such_message"})],
            [header + msgpack.packb([1, 2, 3])],
            [header + b"\xdd\xff\xff\xff\xff"],  # a list of four thousand million
            [b"a"] * 50,
        ]

    def dial(self, context: "zmq.Context[Any]", lane: str, name: bytes = b"") -> "zmq.Socket[Any]":
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 1000)
        if name:
            socket.setsockopt(zmq.IDENTITY, name)
        socket.connect(self.addresses[lane])
        return socket

    def say(self, context: "zmq.Context[Any]", lane: str, messages: list[Frames]) -> None:
        with self.dial(context, lane) as socket:
            for frames in messages:
                socket.send_multipart(frames)
            if socket.poll(50):
                self.answers += socket.recv_multipart()


def poisoned(number: int, update: Update, array: Any) -> tuple[Update, Any]:
    """What the broken client makes of its answer to round `number`; never three in a row, or it would not be asked."""
    payload = update.payload
    assert payload is not None
    match number:
        case 2:
            return update, np.full_like(array, np.nan)
        case 3:
            return msgspec.structs.replace(update, payload=msgspec.structs.replace(payload, layout="f" * 16)), array
        case 5:
            short = msgspec.structs.replace(payload, length=payload.length - 1)
            return msgspec.structs.replace(update, payload=short), array[:-1].copy()
        case 6:
            return msgspec.structs.replace(update, examples=0), array
        case 8:
            wide = msgspec.structs.replace(payload, dtype="float64")
            return msgspec.structs.replace(update, payload=wide), array.astype(np.float64)
        case 9:
            return msgspec.structs.replace(update, round=8), array
        case 11:
            return msgspec.structs.replace(
                update, payload=msgspec.structs.replace(payload, parts=("weights", "x"))
            ), array
        case 12:
            return msgspec.structs.replace(update, examples=10**9), array * np.float32(-50)
    return update, array


def breaking(client: Client) -> None:
    """Corrupt a client's answers, beginning with round 2."""
    send: Callable[..., None] = client.session.transport.send

    def spoil(to: Any, message: Any, array: Any = None) -> None:
        if isinstance(message, Update) and message.round:
            message, array = poisoned(message.round, message, array)
        send(to, message, array)

    client.session.transport.send = spoil  # type: ignore[method-assign]


async def test_the_run_goes_on_and_names_them() -> None:
    data = datasets.load("iris")
    order = np.random.default_rng(0).permutation(150)
    parts = [(data.X[rows], data.y[rows]) for rows in np.array_split(order[30:], 3)]
    X, y = data.X[order[:30]], data.y[order[:30]]
    events: list[dict[str, Any]] = []
    async with Broker("tcp://127.0.0.1:0") as broker, asyncio.timeout(240):
        directory = broker.addresses["directory"]
        plan = Experiment.from_dict({"nodes": 3, "rounds": 100_000, "federated": {"deadline_s": 4.0}})
        finished = asyncio.Event()

        async def follow(k: int) -> None:
            client = Client(MLP((8,)), parts[k], broker=directory, run="f", name=f"c{k}", experiment=plan, holdout=0.0)
            if k == 2:
                breaking(client)
            async with client:
                await finished.wait()

        async def lead() -> None:
            coordinator = Coordinator(MLP((8,)), broker=directory, run="f", experiment=plan, test=(X, y))
            coordinator.session.on_event = events.append
            async with coordinator:
                stranger = None
                async for report in coordinator.rounds():
                    if report.round == 1:
                        stranger = Stranger(dict(coordinator.session.transport.addresses), "f")
                    if stranger:
                        stranger.round = report.round
                        if stranger.done.is_set() and report.round > 20:
                            break
                assert report.accuracy is not None
                assert report.accuracy > 0.85
                assert set(report.participants) == {"c0", "c1", "c2"}
                assert np.isfinite(coordinator.model.get_weights()).all()
                assert stranger is not None
                assert any(b"refused" in answer for answer in stranger.answers)  # they are told why
            finished.set()

        await asyncio.gather(lead(), *(follow(k) for k in range(3)))

    refused = [(e["subject"], e["round"], e["reason"]) for e in events if e["type"] == "update.rejected"]
    named = {2: "finite", 3: "layout", 5: "length", 6: "examples", 8: "dtype", 11: "parts", 12: "examples"}
    for number, word in named.items():
        assert any(subject == "c2" and n == number and word in why for subject, n, why in refused), (number, refused)
    assert any("round 8" in why and "closed" in why for _, n, why in refused if n == 8), refused
    rounds = {e["round"]: e for e in events if e["type"] == "round.completed"}
    for number in named:
        assert rounds[number]["participants"] == ["c0", "c1"], rounds[number]
        assert "c2" in rounds[number]["missing"]
        assert rounds[number]["closed_by"] != "deadline"  # refused at once, and so not waited for
    assert any(subject == "mallory" and "not asked" in why for subject, _, why in refused), [
        r for r in refused if r[0] != "c2"
    ][-12:]
    assert sum(e["type"] == "update.rejected" for e in events) > 10
    strangers = [e for e in events if e["type"] == "connection.refused"]
    assert any("no message" in e["reason"] for e in strangers)  # the garbage, in few events however much it was
    assert len(strangers) < 18, [e["reason"] for e in strangers]
