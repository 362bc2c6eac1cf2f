"""Mutated frames against a running federation: none may crash it, stop it, or take memory that it does not give back.

A launch with real processes learns iris; meanwhile strangers send mutants of every message of the protocol, made as by
tests/protocol/mutants.py, to both lanes of the coordinator and to the broker's directory, and mutants of an event to
its relay. Half of the strangers on the coordinator's lanes have introduced themselves first. Read from /proc, so on
Linux only: resident memory and descriptors of the broker and of the coordinator.

    python benchmarks/mutated_frames.py [--mutants 1000000]

Printed for each twentieth: mutants so far, rounds a second, memory and descriptors. At the end the launch is
interrupted, and has to leave a model whose weights are finite.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import zmq

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "protocol"))
from floods import listening
from mutants import EVENT, GOLDEN, mutate, mutate_bytes, mutate_fields
from nervenet.broker.codec import SIGNATURE, encode
from nervenet.broker.versions import hello

CLIENTS = 3
BURST = 500  # frames a turn; then what has been answered is read
PATIENCE_S = 60.0


def mutant(place: str, draw: random.Random) -> list[bytes]:
    """Return the frames of one mutant for a place: an event for the relay, any message for all others."""
    if place != "events":
        return mutate(draw.choice(GOLDEN), draw) or [b""]
    topic, body = EVENT["type"].encode(), SIGNATURE + msgpack.packb(EVENT)
    changed = mutate_fields(body, draw) if draw.random() < 0.6 else mutate_bytes(body, draw)
    return [topic if draw.random() < 0.9 else draw.randbytes(8), changed]


class Stranger:
    """A raw socket that sends mutants to one place, and is dialed anew when it gets no further."""

    def __init__(self, context: zmq.Context[Any], place: str, address: str, run: str, name: str | None) -> None:
        self.context, self.place, self.address, self.run, self.name = context, place, address, run, name
        self.sent = self.lives = 0
        self.socket = self._dial()

    def _dial(self) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.PUB if self.place == "events" else zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDTIMEO, 200)
        self.lives += 1
        if self.name is not None:
            socket.setsockopt(zmq.IDENTITY, f"{self.name}@{self.lives}".encode())
        socket.connect(self.address)
        if self.name is not None:
            socket.send_multipart(encode(hello(self.name, "client", self.run, self.lives)))
        if self.place == "events":
            time.sleep(0.05)  # a PUB drops what it is given before the subscription has come
        return socket

    def burst(self, count: int, draw: random.Random) -> int:
        """Send up to ``count`` mutants and read all answers; return how many were sent."""
        begun = self.sent
        try:
            for _ in range(count):
                self.socket.send_multipart(mutant(self.place, draw))
                self.sent += 1
            while self.place != "events" and self.socket.poll(0):
                self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:  # the connection has been closed on it
            self.socket.close()
            self.socket = self._dial()
        return self.sent - begun


def lanes_of(coordinator: dict[str, Any]) -> dict[str, str]:
    """Return the coordinator's addresses by lane, of which nodes.json has one; a stranger is not told the other."""
    control = str(coordinator["address"])
    host = control.rpartition(":")[0]
    (bulk,) = {f"{host}:{port}" for port in listening(int(coordinator["pid"]))} - {control}
    return {"control": control, "bulk": bulk}


def state(pid: int) -> tuple[float, int]:
    """Return a process's resident memory in MB, and how many descriptors it has."""
    status = Path(f"/proc/{pid}/status").read_text()
    return (
        next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")),
        len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208
    )


def rounds(out: Path) -> int:
    """Return the newest round that the launcher has recorded as completed."""
    try:
        with (out / "events.jsonl").open("rb") as lines:
            lines.seek(max(0, lines.seek(0, os.SEEK_END) - 200_000))
            ended = [line for line in lines.read().splitlines()[1:] if b'"type":"round.completed"' in line]
        return int(json.loads(ended[-1])["round"])
    except (OSError, ValueError, IndexError):
        return 0


def wait(what: str, ready: Any) -> Any:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := ready():
            return found
        time.sleep(0.1)
    raise SystemExit(f"{what}: not within {PATIENCE_S:.0f} s")


def nodes_of(out: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((out / "nodes.json").read_text()))
    except (OSError, ValueError):
        return {}


def main() -> int:
    """Print the table; 1 if the run was disturbed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the run folder, which is kept (default: a temporary one)")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, zmq.Context() as context:
        out = options.out or Path(folder) / "run"
        command = [sys.executable, "-m", "nervenet.scripts.main", "launch", "--mode", "federated", "--data", "iris"]
        command += ["--nodes", str(CLIENTS), "--rounds", "10000000", "--out", str(out), "--quiet"]
        command += ["--set", "evaluation.baseline=false", "--set", "evaluation.every=50", "--epochs", "1"]
        said = (options.out or Path(folder)).with_suffix(".said")  # a pipe that nobody reads would stop the launcher
        with said.open("wb") as errors:
            launch = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            nodes = wait("nodes.json", lambda: nodes_of(out))
            run = json.loads(wait("an event", lambda: (out / "events.jsonl").read_text().splitlines())[0])["run"]
            pids = {name: nodes[name]["pid"] for name in ("broker", "coordinator")}
            host, port = nodes["broker"]["address"].rsplit(":", 1)
            lanes = lanes_of(nodes["coordinator"])
            wait("twenty rounds", lambda: rounds(out) >= 20)
            strangers = [
                Stranger(context, lane, lanes[lane], run, name)
                for lane in ("control", "bulk")
                for name in (None, f"mallory-{lane}")
            ]
            strangers.append(Stranger(context, "directory", nodes["broker"]["address"], run, None))
            strangers.append(Stranger(context, "events", f"{host}:{int(port) + 1}", run, None))
            passed = attack(strangers, options.mutants, draw, pids, out, launch)
            done = rounds(out)
            wait("fifty rounds more", lambda: rounds(out) >= done + 50)
            time.sleep(5)
            for name, pid in pids.items():
                print(
                    f"{name}, five seconds after the last mutant: {state(pid)[0]:.0f} MB, {state(pid)[1]} descriptors"
                )
            launch.send_signal(signal.SIGINT)
            launch.wait(timeout=PATIENCE_S)
            summary = json.loads((out / "summary.json").read_text())
            finite = finite_weights(out)
            lost, refused = summary["nodes_lost"], sum(summary["updates_rejected"].values())
            print(f"exit {launch.returncode}, {summary['completed_rounds']} rounds, lost {lost}, rejected {refused}")
            print(f"weights finite: {finite}; accuracy {summary['accuracy']:.3f}")
            print(f"the launcher printed {said.stat().st_size:,} bytes of warnings")
            if launch.returncode != 130:
                print(said.read_text()[-2_000:])
            return 0 if passed and launch.returncode == 130 and finite and not lost else 1
        finally:
            if launch.poll() is None:
                launch.kill()
                launch.wait()


def attack(
    strangers: list[Stranger],
    mutants: int,
    draw: random.Random,
    pids: dict[str, int],
    out: Path,
    launch: subprocess.Popen[bytes],
) -> bool:
    """Send the mutants in turn, and print a line for each twentieth; false if a process ended."""
    print(f"{'mutants':>9} {'a second':>9} {'rounds/s':>9} {'broker MB':>10} {'fds':>4} {'coord. MB':>10} {'fds':>4}")

    def line(sent: int, rate: float, pace: float) -> None:
        (b_mb, b_fds), (c_mb, c_fds) = state(pids["broker"]), state(pids["coordinator"])
        print(f"{sent:9,} {rate:9,.0f} {pace:9.1f} {b_mb:10.1f} {b_fds:4d} {c_mb:10.1f} {c_fds:4d}", flush=True)

    before = rounds(out)
    time.sleep(5)
    line(0, 0, (rounds(out) - before) / 5)
    sent = 0
    for part in range(1, 21):
        began, first, known = time.monotonic(), sent, rounds(out)
        while sent < mutants * part // 20:
            for stranger in strangers:
                sent += stranger.burst(min(BURST, mutants // 120 + 1), draw)
            if launch.poll() is not None:
                print(f"the launch has ended, exit {launch.returncode}")
                return False
        took = time.monotonic() - began
        line(sent, (sent - first) / took, (rounds(out) - known) / took)
    print(
        "sent to each: "
        + ", ".join(f"{s.name or 'stranger'} {s.place} {s.sent:,} ({s.lives} lives)" for s in strangers)
    )
    return True


def finite_weights(out: Path) -> bool:
    from safetensors.numpy import load_file

    return all(bool(np.isfinite(array).all()) for array in load_file(out / "model.safetensors").values())


if __name__ == "__main__":
    raise SystemExit(main())
