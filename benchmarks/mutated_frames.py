"""Mutated frames against a running federation: none may crash it, stop it, or take memory that it does not give back.

A broker, a coordinator and three clients, a process each, learn iris; meanwhile strangers send mutants of every message
of the protocol, made as by tests/protocol/mutants.py, to both lanes of the coordinator and to the broker's directory,
and mutants of an event to its relay. Half of those on the coordinator's lanes have introduced themselves first, and
are members then: the run is one that no launcher has closed. Each connection is ended by the guard after so many that
are no message, and a new one is dialed, from one loopback address after another, since each has a pace.

What counts is what has been *read*: the two processes note each call of the codec that a mutant has led to. Sent is
more, because what an ended connection had left is not read. Read from /proc, so on Linux only: resident memory and
descriptors.

    python benchmarks/mutated_frames.py [--mutants 1000000] [--seconds 1200] [--seed 0] [--out FOLDER]

Printed for each twentieth: mutants read so far, rounds a second, the longest time without a round, memory and
descriptors. It ends early after ``--seconds``. At the end the coordinator is interrupted, and has to leave a model
whose weights are finite.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import mmap
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgpack
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "protocol"))
from floods import Stranger, listening
from mutants import EVENT, GOLDEN, mutate, mutate_bytes, mutate_fields
from nervenet.broker.codec import SIGNATURE, encode
from nervenet.broker.versions import hello

CLIENTS = 3
RUN = "mutants"
PATIENCE_S = 60.0
OPEN = 24  # connections to a place at a time, that have sent; and as many that are about to
ADDRESSES = 250  # of 127.0.0.0/8 that they come from
PLACES = ("control", "bulk", "control, introduced", "bulk, introduced", "directory", "events")
TURNS = {"control, introduced": 3, "directory": 2}  # a large frame ends these connections early
MANY = {"directory": 50, "events": 220, "control, introduced": 80, "bulk, introduced": 240}  # mutants over a connection
STRANGERS = 20
READ = ("control", "bulk", "directory", "events")  # the codec's callers, each with a number of its own


# --------------------------------------------------------------------------------------- in the processes under attack


def node(counts: Path, arguments: list[str]) -> int:
    """Run the command line of nervenet, and note what of others than its nodes its codec has been given."""
    with counts.open("r+b") as file:
        numbers = np.frombuffer(mmap.mmap(file.fileno(), 8 * len(READ)), np.int64)
    (_count_requests if arguments[0] == "broker" else _count_messages)(numbers)
    from nervenet.scripts.main import main as command

    sys.argv = ["nervenet", *arguments]
    return int(command() or 0)


def _count_messages(numbers: Any) -> None:
    from nervenet.broker.endpoint import Endpoint
    from nervenet.broker.inbound import Inbound

    receive, read = Inbound._receive, Endpoint.read  # noqa: SLF001
    lanes: list[int] = []

    def note_lane(inbound: Any, lane: Any, identity: bytes, frames: list[Any]) -> None:
        lanes.append(READ.index(lane.value) if identity.startswith(b"mutant") else -1)
        try:
            receive(inbound, lane, identity, frames)
        finally:
            lanes.pop()

    def note_read(endpoint: Any, sender: str, frames: list[Any], *, known: bool = True) -> Any:
        if lanes and lanes[-1] >= 0:
            numbers[lanes[-1]] += 1
        return read(endpoint, sender, frames, known=known)

    Inbound._receive, Endpoint.read = note_lane, note_read  # type: ignore[method-assign]  # noqa: SLF001


def _count_requests(numbers: Any) -> None:
    from nervenet.broker import relay
    from nervenet.broker.directory_server import DirectoryServer

    answer, head = DirectoryServer._answer, relay.decode_head  # noqa: SLF001

    def note_request(server: Any, identity: bytes, *rest: Any) -> None:
        numbers[READ.index("directory")] += identity.startswith(b"mutant")
        answer(server, identity, *rest)

    def note_event(frames: Any) -> Any:
        numbers[READ.index("events")] += not (len(frames) == 2 and RUN.encode() in bytes(frames[1]))
        return head(frames)

    DirectoryServer._answer, relay.decode_head = note_request, note_event  # type: ignore[method-assign]  # noqa: SLF001


# ----------------------------------------------------------------------------------------------------------- strangers


def mutant(place: str, draw: random.Random) -> list[bytes]:
    """Return the frames of one mutant for a place: an event for the relay, any message for all others."""
    if place != "events":
        return mutate(draw.choice(GOLDEN), draw) or [b""]
    topic, body = EVENT["type"].encode(), SIGNATURE + msgpack.packb(EVENT)
    changed = mutate_fields(body, draw) if draw.random() < 0.6 else mutate_bytes(body, draw)
    return [topic if draw.random() < 0.9 else draw.randbytes(8), changed]


def on_wire(frames: list[bytes]) -> bytes:
    """Return a message as ZMTP has it: a flag whether more follow, a length, the frame."""
    last = len(frames) - 1
    return b"".join(bytes([2 | (at < last)]) + len(frame).to_bytes(8, "big") + frame for at, frame in enumerate(frames))


class Crowd:
    """Connections to one place, each of which sends its mutants and is left to be ended; the oldest then goes.

    To the relay they send later: a publisher is none of its strangers any more after a second.
    """

    def __init__(self, place: str, address: str) -> None:
        self.place, self.address = place, address
        self.sent = self.lives = self.kept_out = 0
        self._number = PLACES.index(place)
        self._silent: deque[Stranger] = deque()
        self._open: deque[Stranger] = deque()
        self._from = itertools.cycle(f"127.77.{self._number}.{1 + at}" for at in range(ADDRESSES))

    def turn(self, draw: random.Random) -> None:
        """Dial one more, and have the oldest one send."""
        while len(self._open) >= OPEN:
            self._open.popleft().close()
        host, port = self.address.removeprefix("tcp://").rsplit(":", 1)
        self.lives += 1
        try:
            connected = socket.create_connection((host, int(port)), 0.5, (next(self._from), 0))
        except OSError:
            self.kept_out += 1
            return
        name, kind = f"mutant-{self._number}-{self.lives}", b"PUB" if self.place == "events" else b"DEALER"
        with contextlib.suppress(OSError):  # it has been ended
            self._silent.append(Stranger(self.address, f"{name}@1".encode(), kind, connected=connected))
            if "introduced" in self.place:
                self._silent[-1].frame(encode(hello(name, "client", RUN, 1))[0])
            if len(self._silent) > (OPEN if self.place == "events" else 0):
                self._open.append(self._silent.popleft())
                mutants = [mutant(self.place, draw) for _ in range(MANY.get(self.place, STRANGERS))]
                self._open[-1].socket.sendall(b"".join(map(on_wire, mutants)))
                self.sent += len(mutants)


# ------------------------------------------------------------------------------------------------------------- the run


class Federation:
    """The processes under attack."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "coordinator"
        self.counts = folder / "counts"
        self.counts.write_bytes(bytes(8 * len(READ)))
        self._map = mmap.mmap(os.open(self.counts, os.O_RDWR), 8 * len(READ))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start("broker", "broker", "--bind", "tcp://127.0.0.1:0")
        self.broker = wait("the broker's address", lambda: self._said("broker", "tcp://"))
        common = ["--broker", self.broker, "--run", RUN, "--data", "iris", "--nodes", str(CLIENTS)]
        common += ["--rounds", "10000000", "--epochs", "1"]
        out = ["--out", str(self.out), "--set", "evaluation.every=50", "--set", "federated.min_clients=2", "--json"]
        self.start("coordinator", "node", "coordinator", *common, *out)
        for number in range(CLIENTS):
            self.start(f"site-{number}", "node", "client", *common, "--name", f"site-{number}", "--quiet")
        self.round, self.gap_s, self._since = 0, 0.0, time.monotonic()
        self._lines = (folder / "coordinator.said").open("rb")
        wait("twenty rounds", lambda: self.look() >= 20)

    def start(self, name: str, *arguments: str) -> None:
        command = [sys.executable, __file__, "--node", str(self.counts), "--", *arguments]
        with (self.folder / f"{name}.said").open("wb") as said, (self.folder / f"{name}.err").open("wb") as err:
            self.processes[name] = subprocess.Popen(command, stdout=said, stderr=err)

    def _said(self, name: str, word: str) -> str:
        words = ((self.folder / f"{name}.said").read_text() + (self.folder / f"{name}.err").read_text()).split()
        return next((each.rstrip(",;.") for each in words if each.startswith(word)), "")

    def look(self) -> int:
        """Return the newest round, and note for how long there has been none."""
        now, before = time.monotonic(), self.round
        for line in self._lines:
            if b'"round.completed"' in line:
                with contextlib.suppress(ValueError, KeyError):  # a line that is being written
                    self.round = max(self.round, int(json.loads(line)["round"]))
        if self.round > before:
            self._since = now
        self.gap_s = max(self.gap_s, now - self._since)
        return self.round

    def read(self) -> dict[str, int]:
        """Return how many mutants the codec has been given so far, by place."""
        return dict(zip(READ, (int(each) for each in np.frombuffer(self._map, np.int64)), strict=True))

    def ended(self) -> list[str]:
        return [name for name, process in self.processes.items() if process.poll() is not None]

    def addresses(self) -> dict[str, str]:
        """Return the address of each place: of the coordinator's two ports, control is bound first."""
        host, port = self.broker.rsplit(":", 1)
        control, bulk = (f"{host}:{each}" for each in self._lanes())
        found = {"directory": self.broker, "events": f"{host}:{int(port) + 1}"}
        return found | {place: bulk if place.startswith("bulk") else control for place in PLACES[:4]}

    def _lanes(self) -> tuple[int, int]:
        nodes = json.loads((self.out / "nodes.json").read_text())
        control = int(str(nodes["coordinator"]["address"]).rpartition(":")[2])
        (bulk,) = set(listening(self.processes["coordinator"].pid)) - {control}
        return control, bulk

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


def state(pid: int) -> tuple[float, int]:
    """Return a process's resident memory in MB, and how many descriptors it has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return (
        next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")),
        len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208
    )


def wait(what: str, ready: Any) -> Any:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if found := ready():
                return found
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {PATIENCE_S:.0f} s")


def attack(run: Federation, crowds: list[Crowd], options: argparse.Namespace) -> bool:
    """Send mutants in turn until so many have been read; print a line for each twentieth; false if a process ended."""
    print(
        f"{'read':>9} {'a second':>9} {'rounds/s':>9} {'gap s':>6} "
        f"{'broker MB':>10} {'fds':>5} {'coord. MB':>10} {'fds':>5}"
    )
    pids = [run.processes[name].pid for name in ("broker", "coordinator")]
    draw = random.Random(options.seed)

    def line(read: int, rate: float, pace: float) -> None:
        (b_mb, b_fds), (c_mb, c_fds) = (state(pid) for pid in pids)
        print(
            f"{read:9,} {rate:9,.0f} {pace:9.1f} {run.gap_s:6.2f} {b_mb:10.1f} {b_fds:5d} {c_mb:10.1f} {c_fds:5d}",
            flush=True,
        )

    before = run.look()
    time.sleep(5)
    line(0, 0, (run.look() - before) / 5)
    until = time.monotonic() + options.seconds
    for part in range(1, 21):
        began, first, known, run.gap_s = time.monotonic(), sum(run.read().values()), run.look(), 0.0
        while sum(run.read().values()) < options.mutants * part // 20 and time.monotonic() < until:
            for crowd in crowds:
                for _ in range(TURNS.get(crowd.place, 1)):
                    crowd.turn(draw)
                run.look()
            if run.ended():
                print(f"ended: {', '.join(run.ended())}")
                return False
        took = max(time.monotonic() - began, 1e-9)
        line(sum(run.read().values()), (sum(run.read().values()) - first) / took, (run.look() - known) / took)
        if time.monotonic() >= until:
            break
    for place, count in run.read().items():
        of = [each for each in crowds if each.place.startswith(place)]
        sent, lives, out = (sum(getattr(each, what) for each in of) for what in ("sent", "lives", "kept_out"))
        print(f"{place}: {count:,} read of {sent:,} sent over {lives:,} connections, {out:,} kept out")
    return True


def main() -> int:
    """Print the table; 1 if the run was disturbed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=1_200.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, help="what the processes leave, which is kept (default: a temporary folder)"
    )
    parser.add_argument("--node", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options, more = parser.parse_known_args()
    if options.node:
        at = sys.argv.index("--")
        return node(options.node, sys.argv[at + 1 :])
    if more:
        parser.error(f"unknown: {' '.join(more)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        kept = options.out or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        run = Federation(kept)
        try:
            at_ = run.addresses()
            passed = attack(run, [Crowd(place, at_[place]) for place in PLACES], options)
            done = run.look()
            wait("fifty rounds more", lambda: run.look() >= done + 50)
            time.sleep(5)
            for name in ("broker", "coordinator"):
                mb, fds = state(run.processes[name].pid)
                print(f"{name}, five seconds after the last mutant: {mb:.0f} MB, {fds} descriptors")
            coordinator = run.processes["coordinator"]
            coordinator.send_signal(signal.SIGINT)
            coordinator.wait(timeout=PATIENCE_S)
            summary = json.loads((run.out / "summary.json").read_text())
            finite = finite_weights(run.out)
            lost = [name for name in summary["nodes_lost"] if not name.startswith("mutant")]
            refused = sum(summary["updates_rejected"].values())
            print(
                f"exit {coordinator.returncode}, {summary['completed_rounds']} rounds, lost {lost}, rejected {refused}"
            )
            print(f"weights finite: {finite}; accuracy {summary['accuracy']:.3f}")
            return 0 if passed and coordinator.returncode == 130 and finite and not lost else 1
        finally:
            run.close()


def finite_weights(out: Path) -> bool:
    from safetensors.numpy import load_file

    return all(bool(np.isfinite(array).all()) for array in load_file(out / "model.safetensors").values())


if __name__ == "__main__":
    raise SystemExit(main())
