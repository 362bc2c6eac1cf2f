"""What a web view costs, and how soon it shows: each figure beside a floor measured in the same run.

`fold`: events of a gossip run, a second, that become what a browser is shown, beside decoding the same events.
`late`: seconds until a browser that comes late has read the whole state, beside a bare socket that sends as many bytes.
`relay`: events a second through a broker to three monitors that read, and what each has missed, beside a bare XSUB/XPUB
pair of ZeroMQ's own proxy; then the same with one of the three stopped (SIGSTOP), with the broker's memory.
`rounds`: rounds a second of a launch without and with `--web` and a browser, by turns.

`death`: seconds from kill -9 of a client to the message that tells browsers of it.

    python benchmarks/web_view.py [fold|late|relay|rounds|death] [--peers 256] [--processes 4] [--rounds 100]
                                  [--events 100000] [--turns 2]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import zmq
from nervenet.broker.broker import Broker
from nervenet.broker.events import decode_event, encode_event
from nervenet.nodes.web.browsers import Browsers
from nervenet.nodes.web.teller import Teller

EVENT = {"type": "exchange.received", "run": "r", "node": "peer-0", "role": "peer", "incarnation": 1}
EVENT |= {"seq": 0, "time": 1.7e9, "subject": "peer-1", "round": 7, "count": 1, "bytes": 4096}


def gossip(peers: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield the events of a ring of peers."""
    head = {"run": "r", "incarnation": 1}
    facts = {"mode": "gossip", "nodes": peers, "rounds": rounds, "data": "digits", "model": "mlp"}
    yield {**head, "type": "run.started", "node": "launcher", "role": "launcher", "seq": 1, "time": 1e9, **facts}
    for number in range(1, rounds + 1):
        for index in range(peers):
            mine = {**head, "node": f"peer-{index}", "role": "peer", "seq": number, "round": number}
            others = [f"peer-{(index + step) % peers}" for step in (-1, 1)]
            at = 1e9 + number
            yield {**mine, "type": "round.started", "time": at, "attempt": 0}
            took = {"duration_s": 0.9, "waiting_s": 0.1, "loss": 0.5, "bytes_sent": 9000, "bytes_received": 9000}
            took |= {"closed_by": "all", "participants": others, "bytes_sent_total": number * 9000}
            yield {**mine, "type": "round.completed", "time": at + 0.9, **took}
            measured = {"accuracy": 0.9, "loss": 0.4, "examples": 360, "sketch": [index / 7 + number] * 64}
            yield {**mine, "type": "metric.test", "time": at + 0.95, **measured}


def fold(peers: int, rounds: int) -> None:
    frames = [encode_event(event) for event in gossip(peers, rounds)]
    began = time.perf_counter()
    events = [decode_event(frame) for frame in frames]
    floor = len(events) / (time.perf_counter() - began)
    browsers, at = Browsers(Teller(), lambda: now), 1e9
    now = at
    told: list[int] = []
    browser = browsers.join()
    browser.put = lambda message: told.append(len(message))  # type: ignore[method-assign]
    began = time.perf_counter()
    for event in events:
        browsers.teller.update(event)
        if event["time"] - at >= 0.25:  # as often as a browser is told
            now = at = event["time"]
            browsers.tell()
    rate = len(events) / (time.perf_counter() - began)
    print(f"fold    {len(events)} events of {peers} peers, {rate:,.0f} a second; decoding alone {floor:,.0f}")
    print(f"        {sum(told) / rounds / 1000:.1f} kB a round to a browser")


def late(peers: int, rounds: int) -> None:
    asyncio.run(_late(peers, rounds))


async def _late(peers: int, rounds: int) -> None:
    from nervenet.scripts.web_server import clock, open_place, serve_web

    browsers, over = Browsers(Teller(), clock), asyncio.Event()
    for event in gossip(peers, rounds):
        browsers.teller.update(event)
    for number in range(rounds + 1, 10_001):  # the rest of the history, as its rows
        browsers.teller.run.columns.put({"round": number, "peers": peers, "accuracy": 0.9, "loss": 0.4}, "accuracy")
    place = open_place("127.0.0.1:0", None, None, None, insecure=False)

    async def wait() -> None:
        await over.wait()

    serving = asyncio.create_task(serve_web(place, browsers, wait()))
    await asyncio.to_thread(_whole, place.url)
    seconds, size = min([await asyncio.to_thread(_whole, place.url) for _ in range(5)])
    over.set()
    await serving
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_send_bare, args=(server, size), daemon=True).start()
        began = time.perf_counter()
        with socket.create_connection(server.getsockname()) as connection:
            while connection.recv(1 << 16):
                pass
        bare = time.perf_counter() - began
    print(
        f"late    {seconds * 1e3:.0f} ms to the whole state of {peers} peers after 10,000 rounds ({size / 1e6:.2f} MB);"
    )
    print(f"        a bare socket {bare * 1e3:.1f} ms")


def _whole(url: str) -> tuple[float, int]:
    """Return the seconds until the first message of the stream has been read and parsed, and its bytes."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{url}/stream", timeout=60) as answer:
        answer.readline()
        data = answer.readline()
        json.loads(data[6:])
    return time.perf_counter() - began, len(data)


def _send_bare(server: socket.socket, size: int) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"x" * size)


def relay(events: int) -> None:
    for what, stopped in (("bare proxy", False), ("broker", False), ("broker, one stopped", True)):
        ready: Any = multiprocessing.get_context("spawn").Queue()
        start = _start(_proxy if what == "bare proxy" else _broker, ready)
        addresses = ready.get(timeout=60)
        told: Any = multiprocessing.get_context("spawn").Queue()
        monitors = [_start(_monitor, told, addresses["events_out"], events) for _ in range(3)]
        for _ in monitors:
            told.get(timeout=60)
        if stopped:
            os.kill(monitors[0].pid or 0, signal.SIGSTOP)
        before = _rss(start.pid)
        began = time.perf_counter()
        _publish(addresses["events_in"], events)
        counts = [told.get(timeout=120) for _ in monitors[1:] if True][: 2 if stopped else 3]
        if not stopped:
            counts.append(told.get(timeout=120))
        seconds = max(ended for _, ended in counts) - began
        grown = _rss(start.pid) - before
        if stopped:
            os.kill(monitors[0].pid or 0, signal.SIGCONT)
            counts.append(told.get(timeout=120))
        got = " ".join(f"{count:,}" for count, _ in counts)
        print(f"relay   {what}: {events / seconds:,.0f} events a second; of {events:,} came {got}; {grown:+.0f} MB")
        for process in (*monitors, start):
            process.terminate()
            process.join(30)


def _start(target: Any, *arguments: Any) -> Any:
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def _rss(pid: int | None) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _broker(ready: Any) -> None:
    async def serve() -> None:
        async with Broker("tcp://127.0.0.1:0") as broker:
            ready.put(dict(broker.addresses))
            await asyncio.Event().wait()

    asyncio.run(serve())


def _proxy(ready: Any) -> None:
    context = zmq.Context.instance()
    inward, outward = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for one in (inward, outward):
        one.setsockopt(zmq.SNDHWM, 100_000)
        one.setsockopt(zmq.RCVHWM, 100_000)
    ports = inward.bind_to_random_port("tcp://127.0.0.1"), outward.bind_to_random_port("tcp://127.0.0.1")
    ready.put({"events_in": f"tcp://127.0.0.1:{ports[0]}", "events_out": f"tcp://127.0.0.1:{ports[1]}"})
    zmq.proxy(inward, outward)


def _monitor(told: Any, address: str, events: int) -> None:
    """Count what comes, up to the last event or five silent seconds; decoded, as a monitor does."""
    context = zmq.Context.instance()
    subscriber = context.socket(zmq.SUB)
    subscriber.setsockopt(zmq.RCVHWM, 10_000)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"exchange")
    subscriber.connect(address)
    time.sleep(1.0)
    told.put("ready")
    count, ended = 0, time.perf_counter()
    while subscriber.poll(5000 if count else 60_000):
        while True:
            try:
                frames = subscriber.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            event = decode_event(frames)
            count += 1
            ended = time.perf_counter()
            if event["seq"] == events:
                told.put((count, ended))
                time.sleep(60)
    told.put((count, ended))


def _publish(address: str, events: int) -> None:
    context = zmq.Context.instance()
    publisher = context.socket(zmq.XPUB)
    publisher.setsockopt(zmq.SNDHWM, 0)
    publisher.connect(address)
    publisher.recv()  # the relay subscribes
    frames = encode_event(EVENT)
    for number in range(1, events + 1):
        body = b"%s%s" % (frames[1][:3], msgpack.packb({**EVENT, "seq": number}))
        publisher.send_multipart([frames[0], body])
    publisher.close(30_000)


def rounds(peers: int, processes: int, count: int, turns: int) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(turns):
        for web in (False, True) if turn % 2 == 0 else (True, False):
            rates[web].append(_launched(peers, processes, count, web=web))
            print(f"rounds  {'with' if web else 'without'} a web view: {rates[web][-1]:.2f} a second", flush=True)
    best = {web: max(found) for web, found in rates.items()}
    print(
        f"rounds  of {peers} peers: {100 * (1 - best[True] / best[False]):+.1f}% slower with a web view and a browser"
    )


def _launched(peers: int, processes: int, count: int, *, web: bool) -> float:
    """Return the rounds a second of a launch; a browser reads along where there is a web view."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--mode", "gossip", "--data", "digits", "--nodes", str(peers), "--rounds", str(count), "--quiet"]
        options += ["--processes", str(processes), "--set", "evaluation.baseline=false", "--out", f"{folder}/run"]
        options += ["--web", "127.0.0.1:0"] if web else []
        command = [sys.executable, "-m", "nervenet.scripts.main", "launch", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            if web:
                url = process.stderr.readline().split()[2]
                reader = [sys.executable, "-c", _READER, f"{url}/stream"]
                with subprocess.Popen(reader):
                    spent = _watch_processor(process)
                    process.communicate()
                print(f"rounds  the web view took {spent[0]:.1f} s of {spent[1]:.1f} s of processor time")
            else:
                process.communicate()
        rows = [json.loads(line) for line in Path(f"{folder}/run/events.jsonl").read_text().splitlines()]
    times = [row["time"] for row in rows if row.get("round") in (2, count) and row["type"].startswith("round.")]
    return (count - 2) / (max(times) - min(times))


def _watch_processor(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Return the processor time of the web view, and of all processes of a launch, when the rounds end."""
    import psutil

    launcher, found = psutil.Process(process.pid), (0.0, 0.0)
    while process.poll() is None:
        mine = everybody = 0.0
        for one in [launcher, *launcher.children(recursive=True)]:
            try:
                used = sum(one.cpu_times()[:2])
                mine += used if any("web_beside" in part for part in one.cmdline()) else 0.0
            except psutil.Error:
                continue
            everybody += used
        found = max(found, (mine, everybody))
        time.sleep(1.0)
    return found


_READER = """import json, sys, urllib.request
most = 0
with urllib.request.urlopen(sys.argv[1], timeout=600) as answer:
    for line in answer:
        if line.startswith(b"data:"):
            most = max(most, json.loads(line[5:]).get("behind_s") or 0)
print(f"rounds  the page was at most {most} s behind")"""


def death(turns: int) -> None:
    print("death   a client that is killed is lost in the page after", end=" ", flush=True)
    print(", ".join(f"{_seen_to_die():.2f} s" for _ in range(turns)))


def _seen_to_die() -> float:
    with tempfile.TemporaryDirectory() as folder:
        options = ["--data", "digits", "--nodes", "3", "--rounds", "1000000", "--quiet", "--web", "127.0.0.1:0"]
        options += ["--set", "evaluation.baseline=false", "--out", f"{folder}/run"]
        command = [sys.executable, "-m", "nervenet.scripts.main", "launch", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            assert process.stderr is not None
            killed = 0.0
            try:
                with urllib.request.urlopen(f"{process.stderr.readline().split()[2]}/stream", timeout=60) as answer:
                    for line in answer:
                        told = json.loads(line[5:]) if line.startswith(b"data:") else {}
                        if not killed and told.get("outcome", {}).get("round", 0) > 2:
                            nodes = json.loads(Path(f"{folder}/run/nodes.json").read_text())
                            os.kill(nodes["client-2"]["pid"], signal.SIGKILL)
                            killed = time.perf_counter()
                        elif told.get("nodes", {}).get("client-2", {}).get("state") == "lost":
                            return time.perf_counter() - killed
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate()
    raise AssertionError("the stream ended")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("part", nargs="?", choices=("fold", "late", "relay", "rounds", "death"))
    parser.add_argument("--peers", type=int, default=256)
    parser.add_argument("--processes", type=int, default=4, help="that host the peers of a launch")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--turns", type=int, default=2)
    asked = parser.parse_args()
    if asked.part in (None, "fold"):
        fold(asked.peers, asked.rounds)
    if asked.part in (None, "late"):
        late(asked.peers, asked.rounds)
    if asked.part in (None, "relay"):
        relay(asked.events)
    if asked.part in (None, "rounds"):
        rounds(asked.peers, asked.processes, asked.rounds, asked.turns)
    if asked.part in (None, "death"):
        death(asked.turns)


if __name__ == "__main__":
    main()
