"""What strangers can do to a running round, and to the memory of a broker and a coordinator, by flooding them.

A federated run of 8 client processes goes on all the while. The flooder is a process of its own and takes part of a
processor, so each kind of flood is sent, at the pace of `FLOODS`, against the run, and, as the rival, against sockets
of another process that take what comes and do nothing (a sink): in pairs of short windows, one after the other, each
first in turn, since a machine has faster and slower minutes. ``slower`` is by how much fewer rounds a second the
coordinator completes with the flood than with the rival: the median of the pairs, and between which of them it lies 19
times in 20 (the ranks of a sign test). ``cost`` is the processor time that all processes of the run take with the
flood, less what as many rounds take with the rival, as a share of all processors: that can be read on a machine that
has other work, too, where the paces of a pair differ by anything. Last comes one longer flood, for the peaks of memory,
and what is left after ``--settle`` seconds.

With ``--keys`` the run has keys, and the strangers have none. With ``--rival zmq`` the sink has sockets of ZeroMQ like
the run's, with nothing of ours behind them: what it takes to accept, greet and end a connection is theirs.

    python benchmarks/floods.py [--keys] [--only KIND ...] [--pairs 8] [--window 3] [--seconds 8] [--settle 60]
        [--rival sink|zmq] [--hard]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import zmq
from nervenet.broker.codec import encode
from nervenet.broker.events import encode_event
from nervenet.broker.messages import GetSnapshot, Hello, Join
from nervenet.broker.sockets import make

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER"
KINDS = ("directory.server", "events.in", "events.out", "inbox.control", "inbox.bulk")
PORTS = ("directory", "events_in", "events_out", "control", "bulk")
MB = 1_000_000
REST_S = 1.0  # after a flood, in which its connections end


class Stranger:
    """A connection that speaks just enough of ZMTP 3 to send what no ZeroMQ socket would."""

    def __init__(
        self,
        address: str,
        identity: bytes = b"",
        kind: bytes = b"DEALER",
        *,
        greet: bool = True,
        connected: socket.socket | None = None,
    ) -> None:
        self.socket = connected or socket.create_connection(_place(address), timeout=2)
        self.socket.settimeout(2)
        if not greet:
            return
        self.socket.sendall(GREETING)
        body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
        body += b"\x08Identity" + len(identity).to_bytes(4, "big") + identity
        self.socket.sendall(b"\x04" + bytes([len(body)]) + body)
        with contextlib.suppress(OSError, IndexError):  # a message before its READY would be taken for a breach
            self.socket.recv(64, socket.MSG_WAITALL)
            self.socket.recv(self.socket.recv(2, socket.MSG_WAITALL)[1], socket.MSG_WAITALL)

    def frame(self, data: bytes, *, more: bool = False) -> None:
        """Send a frame."""
        self.socket.sendall(bytes([2 | more]) + len(data).to_bytes(8, "big") + data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            self.socket.close()


class Crowd:
    """Dials without waiting for an answer, which who is kept out has none of; greets those that are let in."""

    def __init__(self) -> None:
        self._dialing = selectors.DefaultSelector()

    def dial(self, address: str, then: Callable[[socket.socket], None]) -> None:
        one = socket.socket()
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(_place(address))
        self._dialing.register(one, selectors.EVENT_WRITE, then)

    def turn(self) -> None:
        """Hand over those that are connected by now."""
        for key, _ in self._dialing.select(0):
            self._dialing.unregister(key.fileobj)
            with contextlib.suppress(OSError):  # it has been ended
                key.data(key.fileobj)


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return host, int(port)


# ------------------------------------------------------------------------------------------------------------- floods
# Each yields the number of bytes, or of connections, that it has just sent, so that its pace can be kept.


def hellos(at: dict[str, str], run: str) -> Iterator[int]:
    """5,000 strangers who introduce themselves on both lanes of the coordinator, and stay."""
    kept: list[Stranger] = []
    crowd = Crowd()

    def introduce(name: str, lane: str, connected: socket.socket) -> None:
        kept.append(Stranger(at[lane], f"{name}@1".encode(), connected=connected))
        kept[-1].frame(encode(Hello(name, "client", run, 1, 1))[0])

    for number in range(5_000):
        for lane in ("control", "bulk"):
            crowd.dial(at[lane], partial(introduce, f"stranger-{number}", lane))
        crowd.turn()
        yield 1
    while True:
        crowd.turn()
        yield 1


def silent(at: dict[str, str], _run: str) -> Iterator[int]:
    """Connections that ZeroMQ has greeted and over which nothing is said, to each socket as many as it takes."""
    kept: deque[Stranger] = deque(maxlen=15_000)
    crowd = Crowd()

    def greet(number: int, place: str, connected: socket.socket) -> None:
        kept.append(Stranger(at[place], f"silent-{number}@1".encode(), kind=_kind(place), connected=connected))

    for number in range(10**9):
        place = PORTS[number % 5]
        crowd.dial(at[place], partial(greet, number, place))
        crowd.turn()
        yield 1


def half_open(at: dict[str, str], _run: str) -> Iterator[int]:
    """1,000 connections that say nothing, 200 to each socket."""
    kept: list[socket.socket] = []
    crowd = Crowd()
    for number in range(1_000):
        crowd.dial(at[PORTS[number % 5]], kept.append)
        crowd.turn()
        yield 1
    while True:
        crowd.turn()
        yield 1


def deaf(at: dict[str, str], run: str) -> Iterator[int]:
    """Twenty subscribers of everything that never read, beside events of 30 kB."""
    kept = [Stranger(at["events_out"], kind=b"SUB") for _ in range(20)]
    for one in kept:
        one.frame(b"\x01")
    publisher = Stranger(at["events_in"], kind=b"PUB")
    for number in range(10**9):
        size = event(publisher, run, f"s{number % 50}", "x" * 30_000, number)
        yield size


def bodies(at: dict[str, str], _run: str) -> Iterator[int]:
    """Bodies of 100 MB to every socket, before any HELLO."""
    piece = bytes(MB)
    while True:
        for place in PORTS:
            one = Stranger(at[place], f"body-{random.random()}@1".encode(), kind=_kind(place))
            with contextlib.suppress(OSError):
                one.socket.sendall(b"\x02" + (100 * MB).to_bytes(8, "big"))
                for _ in range(100):
                    one.socket.sendall(piece)
                    yield MB
            one.close()
            yield 10_000


def parts(at: dict[str, str], _run: str) -> Iterator[int]:
    """A message of parts without an end, before any HELLO, one to each socket; cut off, another."""
    piece = bytes(60_000)
    open_: dict[str, Stranger] = {}
    while True:
        for place in PORTS:
            try:
                one = open_.get(place) or Stranger(at[place], f"parts-{random.random()}@1".encode(), kind=_kind(place))
                open_[place] = one
                one.frame(piece, more=True)
                yield len(piece)
            except OSError:
                open_.pop(place).close()
                yield 10_000


def crumbs(at: dict[str, str], _run: str) -> Iterator[int]:
    """The same of empty parts, each of which costs its receiver more than its sender."""
    piece = b"\x01\x00" * 10_000
    while True:
        one = Stranger(at["control"], f"crumbs-{random.random()}@1".encode())
        with contextlib.suppress(OSError):
            for _ in range(2_000):
                one.socket.sendall(piece)
                yield len(piece)
        one.close()
        yield 10_000


def last_values(at: dict[str, str], run: str) -> Iterator[int]:
    """Events of 60 kB, small numbers all, each of another subject."""
    publisher = Stranger(at["events_in"], kind=b"PUB")
    many = list(range(120)) * 480
    for number in range(10**9):
        try:
            yield event(publisher, run, f"subject-{number}", many, number)
        except OSError:
            publisher = Stranger(at["events_in"], kind=b"PUB")
            yield 10_000


def terms(at: dict[str, str], _run: str) -> Iterator[int]:
    """Joins that open a run each, with 60 kB of terms of small numbers."""
    for number in range(10**9):
        try:
            one = Stranger(at["directory"], f"joins-{number}".encode())
            many = {str(key): key for key in range(8_000)}
            join = Join(1, f"run-{number}", "n", "client", 1, 1, {}, many, 9, 3600.0)
            frame = encode(join)[0]
            one.frame(frame)
            yield len(frame)
        except OSError:
            yield 10_000


def subscriptions(at: dict[str, str], _run: str) -> Iterator[int]:
    """Subscriptions to long topics, all different."""
    one = Stranger(at["events_out"], kind=b"SUB")
    while True:
        try:
            topic = b"\x01" + random.randbytes(200)
            one.frame(topic)
            yield len(topic)
        except OSError:
            one = Stranger(at["events_out"], kind=b"SUB")
            yield 10_000


def unread(at: dict[str, str], run: str) -> Iterator[int]:
    """Requests for the snapshot by those who never read the answer, after 8 MB of last values."""
    publisher = Stranger(at["events_in"], kind=b"PUB")
    for number in range(130):
        yield event(publisher, run, f"subject-{number}", "x" * 60_000, number)
    ask = encode(GetSnapshot(1, ""))[0]
    one = Stranger(at["directory"], b"asks")
    while True:
        try:
            one.frame(ask)
            yield 10_000
        except OSError:
            one = Stranger(at["directory"], f"asks-{random.random()}".encode())
            yield 10_000


def nothing(_at: dict[str, str], _run: str) -> Iterator[int]:
    """Nobody."""
    while True:
        yield 1


FLOODS: dict[str, tuple[Callable[[dict[str, str], str], Iterator[int]], float]] = {
    # per second: connections, or strangers, for the first ones, bytes for the others
    "nothing": (nothing, 10),
    "hellos": (hellos, 1_000),
    "half_open": (half_open, 500),
    "silent": (silent, 1_000),
    "deaf": (deaf, 3 * MB),
    "bodies": (bodies, 50 * MB),
    "parts": (parts, 50 * MB),
    "crumbs": (crumbs, 1 * MB),
    "last_values": (last_values, 3 * MB),
    "terms": (terms, 3 * MB),
    "subscriptions": (subscriptions, MB / 10),
    "unread": (unread, 2 * MB),
}


def event(to: Stranger, run: str, subject: str, ballast: Any, number: int) -> int:
    head = {"type": "warning", "run": run, "node": "stranger", "role": "client", "incarnation": 1}
    fields = head | {"seq": number + 1, "time": time.time(), "subject": subject, "reason": ballast}
    topic, body = encode_event(fields)
    to.frame(topic, more=True)
    to.frame(body)
    return len(body)


def _kind(place: str) -> bytes:
    return {"events_in": b"PUB", "events_out": b"SUB"}.get(place, b"DEALER")


def flood(kind: str, at: dict[str, str], run: str, seconds: float, pace: float) -> None:
    """Send at a pace, in the process of its own, from when it is told to."""
    print("ready", flush=True)
    sys.stdin.readline()
    until, due = time.monotonic() + seconds, time.monotonic()
    made = FLOODS[kind][0](at, run)
    sent = failed = 0
    while time.monotonic() < until:
        try:
            count = next(made)
        except StopIteration:
            made, count = FLOODS[kind][0](at, run), 10_000
        except OSError:
            failed += 1
            made, count = FLOODS[kind][0](at, run), 10_000
        sent += count
        due += count / pace
        if (ahead := due - time.monotonic()) > 0:
            time.sleep(min(ahead, 1.0))
        else:
            due = max(due, time.monotonic() - 0.1)
    print(json.dumps({"sent": sent, "failed": failed}), flush=True)


def sink(count: int) -> None:
    """Accept on free ports, greet, read and forget; print the ports."""
    selector = selectors.DefaultSelector()
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(count)]
    for listener in listeners:
        selector.register(listener, selectors.EVENT_READ, "listener")
    print(json.dumps([each.getsockname()[1] for each in listeners]), flush=True)
    while True:
        for key, _ in selector.select():
            if key.data == "listener":
                connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
                with contextlib.suppress(OSError):
                    connection.sendall(GREETING + READY)  # so that strangers are as quick here as with the run
                selector.register(connection, selectors.EVENT_READ, "connection")
            elif not _drained(key.fileobj):
                selector.unregister(key.fileobj)
                key.fileobj.close()  # type: ignore[union-attr]


def bare() -> None:
    """Read and forget as well, by sockets of ZeroMQ, of the same kinds and with the same options; print the ports."""
    context = zmq.Context()
    sockets = [make(context, kind) for kind in KINDS]
    print(json.dumps([each.bind_to_random_port("tcp://127.0.0.1") for each in sockets]), flush=True)
    sockets[1].send(b"\x01")  # of events, everything
    poller = zmq.Poller()
    for each in sockets:
        poller.register(each, zmq.POLLIN)
    while True:
        for each, _ in poller.poll():
            with contextlib.suppress(zmq.Again):
                while True:
                    each.recv(zmq.NOBLOCK, copy=False)


def _drained(connection: Any) -> bool:
    try:
        return bool(connection.recv(MB))
    except OSError:
        return False


# ------------------------------------------------------------------------------------------------------------ the run


class Run:
    """A launched run: the times at which its rounds were completed, and the processes of broker and coordinator."""

    def __init__(self, folder: Path, *, keys: bool) -> None:
        self.folder = folder / "run"
        self.rounds: list[tuple[float, int]] = []
        self.ended = threading.Event()
        self.refused: dict[str, int] = {}
        command = [sys.executable, "-m", "nervenet.scripts.main", "launch", "--mode", "federated", "--nodes", "8"]
        command += ["--rounds", "1000000", "--epochs", "1", "--json", "--out", str(self.folder)]
        command += ["--set", "evaluation.baseline=false", "--set", "evaluation.every=100"]
        command += ["--keys", str(folder / "keys")] if keys else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(folder / "err").open("w"), text=True)
        threading.Thread(target=self._follow, daemon=True).start()
        self._ready = threading.Event()
        if not self._ready.wait(60):
            raise SystemExit((folder / "err").read_text())
        nodes = json.loads((self.folder / "nodes.json").read_text())
        self.pids = {name: nodes[name]["pid"] for name in ("broker", "coordinator")}
        self.broker, self.control = nodes["broker"]["address"], nodes["coordinator"]["address"]
        launcher = psutil.Process(self.process.pid)
        self.processes = [launcher, *launcher.children(recursive=True)]

    def _follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with contextlib.suppress(ValueError, KeyError):
                event = json.loads(line)
                if event["type"] == "round.completed" and event["role"] == "coordinator":
                    self.rounds.append((event["time"], event["round"]))
                    self.run = event["run"]
                    if event["round"] > 20:
                        self._ready.set()
                elif event["type"] == "connection.refused":
                    self.refused[event["reason"]] = self.refused.get(event["reason"], 0) + event["count"]
        self.ended.set()

    def addresses(self) -> dict[str, str]:
        host, _, port = self.broker.rpartition(":")
        at = {"directory": self.broker, "events_in": f"{host}:{int(port) + 1}", "events_out": f"{host}:{int(port) + 2}"}
        # A stranger is not told the other lane; from the system, who owns both.
        (bulk,) = {f"{host}:{port}" for port in listening(self.pids["coordinator"])} - {self.control}
        return at | {"control": self.control, "bulk": bulk}

    def pace(self, since: float, until: float) -> float:
        """Rounds per second between two times."""
        inside = [(at, number) for at, number in self.rounds if since <= at <= until]
        if len(inside) < 2:
            return 0.0
        return (inside[-1][1] - inside[0][1]) / max(until - since, 1e-9)

    def processor_s(self) -> float:
        """Seconds of processor time of all its processes so far."""
        found = 0.0
        for process in self.processes:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                found += times.user + times.system
        return found

    def memory(self) -> dict[str, float]:
        """Resident memory in MB, by process."""
        page = os.sysconf("SC_PAGE_SIZE")
        found = {}
        for name, pid in self.pids.items():
            with contextlib.suppress(OSError, IndexError):
                found[name] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page / MB
        return found

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()


def listening(pid: int) -> list[int]:
    """Return the TCP ports on which a process listens."""
    inodes = {
        str(link.readlink()).removeprefix("socket:[").rstrip("]")
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if str(link.readlink()).startswith("socket:")
    }
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sorted(int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes)


def child(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextlib.contextmanager
def flooding(run: Run, kind: str, at: dict[str, str], seconds: float, pace: float) -> Iterator[subprocess.Popen[str]]:
    """Yield a flooder that has just begun; afterwards its connections are gone."""
    given = {"flood": kind, "at": json.dumps(at), "run": run.run, "seconds": seconds, "pace": pace}
    flooder = child(*(word for name, value in given.items() for word in (f"--{name}", str(value))))
    assert flooder.stdout is not None
    assert flooder.stdin is not None
    flooder.stdout.readline()
    flooder.stdin.write("go\n")
    flooder.stdin.flush()
    try:
        yield flooder
        flooder.wait()
    finally:
        flooder.kill()
        flooder.wait()


def window(run: Run, kind: str, at: dict[str, str], seconds: float, pace: float) -> tuple[float, float]:
    """Flood addresses for a while; return, a second, rounds and seconds of processor time."""
    with flooding(run, kind, at, seconds, pace):
        began, before = time.time(), run.processor_s()
        time.sleep(seconds)
        ended, after = time.time(), run.processor_s()
    time.sleep(REST_S)
    return run.pace(began, ended), (after - before) / (ended - began)


def peaks(run: Run, kind: str, at: dict[str, str], seconds: float, pace: float) -> tuple[dict[str, float], Any]:
    """Flood addresses for longer; return the greatest memory by process, and what the flooder has sent."""
    peak = run.memory()
    with flooding(run, kind, at, seconds, pace) as flooder:
        while flooder.poll() is None:
            time.sleep(0.02)
            peak = {name: max(peak[name], value) for name, value in run.memory().items()}
        assert flooder.stdout is not None
        sent = json.loads(flooder.stdout.read() or "{}")
    return peak, sent.get("sent")


def interval(values: list[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Return the median, and between which values the true one lies, whatever their distribution (sign test)."""
    if not values:
        return math.nan, math.nan, math.nan
    ordered, count = sorted(values), len(values)
    rank, missed = 0, 2 * 0.5**count
    while rank + 1 < count / 2 and missed + 2 * math.comb(count, rank + 1) * 0.5**count <= 1 - confidence:
        rank += 1
        missed += 2 * math.comb(count, rank) * 0.5**count
    return statistics.median(ordered), ordered[rank], ordered[-1 - rank]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(FLOODS), default=list(FLOODS))
    parser.add_argument("--pairs", type=int, default=8, help="0: the memory alone")
    parser.add_argument("--window", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--settle", type=float, default=60.0)
    parser.add_argument("--hard", action="store_true", help="as fast as it can, for the memory alone")
    parser.add_argument("--flood")
    parser.add_argument("--at")
    parser.add_argument("--run")
    parser.add_argument("--pace", type=float)
    parser.add_argument("--rival", choices=["sink", "zmq"], default="sink")
    parser.add_argument("--serve", choices=["sink", "zmq"])
    arguments = parser.parse_args()
    if arguments.flood:
        flood(arguments.flood, json.loads(arguments.at), arguments.run, arguments.seconds, arguments.pace)
        return
    if arguments.serve:
        bare() if arguments.serve == "zmq" else sink(len(PORTS))
        return
    with tempfile.TemporaryDirectory() as folder:
        sinking = child("--serve", arguments.rival)
        assert sinking.stdout is not None
        ports = json.loads(sinking.stdout.readline())
        elsewhere = {place: f"tcp://127.0.0.1:{port}" for place, port in zip(PORTS, ports, strict=True)}
        keyed = "keys" if arguments.keys else "plain"
        print(f"{keyed}; {arguments.pairs} pairs, against a rival of {arguments.rival}; resident memory in MB")
        heads = f"{'rounds/s':>16}{'slower':>8}{'':17}{'cost':>8}{'':17}"
        print(f"{'':14}{heads}   broker before, peak, settled   coordinator")
        try:
            for kind in arguments.only:
                (Path(folder) / kind).mkdir()
                report(Path(folder) / kind, kind, elsewhere, arguments)
        finally:
            sinking.kill()


def report(folder: Path, kind: str, elsewhere: dict[str, str], arguments: argparse.Namespace) -> None:
    run = Run(folder, keys=arguments.keys)
    try:
        at = run.addresses()
        rate = 1e12 if arguments.hard else FLOODS[kind][1]
        before = run.memory()
        found: dict[str, list[tuple[float, float]]] = {"rival": [], "flood": []}
        for pair in range(arguments.pairs):
            for which in ("rival", "flood") if pair % 2 else ("flood", "rival"):
                where = at if which == "flood" else elsewhere
                found[which].append(window(run, kind, where, arguments.window, rate))
        pairs = [pair for pair in zip(found["rival"], found["flood"], strict=True) if pair[0][0]]
        slower = interval([1 - flood[0] / rival[0] for rival, flood in pairs])
        costs = [(flood[1] - flood[0] * rival[1] / rival[0]) / (os.cpu_count() or 1) for rival, flood in pairs]
        rounds = [statistics.median([each[0] for each in found[which]] or [math.nan]) for which in found]
        peak, sent = peaks(run, kind, at, arguments.seconds, rate)
        time.sleep(arguments.settle)
        settled = run.memory()
        told = "   ".join(f"{before[name]:6.0f} {peak[name]:6.0f} {settled.get(name, 0):6.0f}" for name in run.pids)
        rates = f"{rounds[0]:8.1f}{rounds[1]:8.1f}"
        lines = sum(1 for _ in (run.folder / "events.jsonl").open())
        shares = "".join(
            f"{middle:8.1%} ({least:6.1%}, {most:6.1%})" for middle, least, most in (slower, interval(costs))
        )
        print(f"{kind:14}{rates}{shares}   {told}   sent {sent}, {lines} lines of events", flush=True)
        for reason, count in sorted(run.refused.items())[:6]:
            print(f"{'':16}{count:>7} x {reason[:110]}")
        if run.ended.is_set():
            print(f"{'':16}the run has ended: {(folder / 'err').read_text()[-300:]}")
    finally:
        run.end()


if __name__ == "__main__":
    main()
