"""Networks as they are: whether runs with default settings end well over a slow, a cut and a forgetful network.

Two network namespaces on one machine stand for a hub and for the sites, joined by one link: 10 Mbit/s each way, shared
by all sites (tc, token bucket). Needs root and Linux; makes and removes the namespaces nervenet-hub and nervenet-sites.

    python benchmarks/slow_network.py [shared] [outage] [forgotten]

shared       four sites and a model of 5 MB: a round takes longer than its 30 s
outage       the link is down for 60 s in the midst of a run
forgotten    all connections that stand are forgotten, as by a NAT that was restarted: nothing comes through them any
             more, and neither side is told; new ones are let through

Each scenario runs once federated and once by gossip.

2026-11, 2 cores of a shared machine, before and after what the kernel holds counted as on its way, the last model was
waited for, all nodes waited equally long, and who is back had to be back on both lanes:

                          before                                            after
shared     federated      rounds 2 and 3 of 3 without updates,              3 of 3, each with all four, 189 s
                          no site got the final model
           gossip         3 of 3                                            3 of 3, 59 s
outage     federated      given up after 30 s, or by three failed rounds    400 of 400, 1 failed, 70 s
           gossip         400 of 400                                        400 of 400, 64 s
forgotten  federated      given up by three failed rounds                   400 of 400, 2 failed, 54 s
           gossip         400 of 400                                        400 of 400, 14 s

Later, beside much other work: all rounds again, none failed or one; 148 and 37 s, 76 and 78 s, 47 and 34 s.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HUB, SITES = "nervenet-hub", "nervenet-sites"
HUB_IP, SITES_IP = "10.77.0.1", "10.77.0.2"
RATE = "10mbit"
MODEL = 1_250_000  # parameters of the 5 MB model: 64 inputs, 10 classes, this many / 75 hidden units
LIMIT_S = 900.0


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check)


def lay_network(rate: str) -> None:
    """Make both namespaces and their link; ``rate`` is empty for one without a limit."""
    remove_network()
    for namespace in (HUB, SITES):
        ip("netns", "add", namespace)
        ip("-n", namespace, "link", "set", "lo", "up")
    ip("link", "add", "nn-hub", "netns", HUB, "type", "veth", "peer", "name", "nn-sites", "netns", SITES)
    for namespace, device, address in ((HUB, "nn-hub", HUB_IP), (SITES, "nn-sites", SITES_IP)):
        ip("-n", namespace, "addr", "add", f"{address}/24", "dev", device)
        ip("-n", namespace, "link", "set", device, "up")
        if rate:
            shape = ["qdisc", "add", "dev", device, "root", "tbf", "rate", rate, "burst", "32k", "latency", "200ms"]
            subprocess.run(["ip", "netns", "exec", namespace, "tc", *shape], check=True)


def remove_network() -> None:
    for namespace in (HUB, SITES):
        ip("netns", "del", namespace, check=False)


def link(up: bool) -> None:
    ip("-n", SITES, "link", "set", "nn-sites", "up" if up else "down")


def forget() -> None:
    """Take the sites' address away, and give them another one, as a NAT does that was restarted."""
    ip("-n", SITES, "addr", "del", f"{SITES_IP}/24", "dev", "nn-sites")  # in this order: it takes later ones with it
    ip("-n", SITES, "addr", "add", "10.77.0.3/24", "dev", "nn-sites")


@dataclass
class Run:
    """The processes of one run by hand, and what they say."""

    mode: str
    folder: Path
    options: Sequence[str]
    sites: int = 4
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        broker = self.spawn(HUB, "broker", ["broker", "--bind", f"tcp://{HUB_IP}:5555"])
        until = time.monotonic() + 30
        while b"tcp://" not in (self.folder / "broker.out").read_bytes():
            if broker.poll() is not None or time.monotonic() > until:
                raise SystemExit((self.folder / "broker.err").read_text())
            time.sleep(0.1)
        if self.mode == "federated":
            self.node(HUB, "coordinator", "coordinator", HUB_IP)
        for k in range(self.sites):
            role = "client" if self.mode == "federated" else "peer"
            where = HUB if role == "peer" and k < self.sites // 2 else SITES
            self.node(where, role, f"site-{k}", HUB_IP if where == HUB else SITES_IP, share=k)

    def node(self, namespace: str, role: str, name: str, host: str, share: int | None = None) -> None:
        words = ["node", role, "--broker", f"tcp://{HUB_IP}:5555", "--run", "slow", "--name", name]
        words += ["--nodes", str(self.sites), "--json", "--out", str(self.folder / name)]
        if role != "client":
            words += ["--set", f"network.bind={host}"]
        if share is not None:
            words += ["--data", str(self.folder.parent / f"share-{share}.npz")]
        self.spawn(namespace, name, [*words, *self.options])

    def spawn(self, namespace: str, name: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
        command = [
            "ip",
            "netns",
            "exec",
            namespace,
            sys.executable,
            "-m",
            "nervenet.scripts.main",
            *words,
            "--insecure",
        ]
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("wb") as errors:
            self.processes[name] = subprocess.Popen(
                command, stdout=out, stderr=errors, env=dict(os.environ, OMP_NUM_THREADS="1")
            )
        return self.processes[name]

    def events(self, name: str, kind: str) -> list[dict[str, object]]:
        found = []
        for line in (self.folder / f"{name}.out").read_text().splitlines():
            if line.startswith("{") and f'"type":"{kind}"' in line.replace(" ", ""):
                found.append(json.loads(line))
        return found

    @property
    def witness(self) -> str:
        return "coordinator" if self.mode == "federated" else "site-0"

    def wait(self, rounds: int) -> bool:
        """Wait until a round is done; false if the run has ended before, or not in time."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until and self.processes[self.witness].poll() is None:
            if len(self.events(self.witness, "round.completed")) > rounds:
                return True
            time.sleep(0.2)
        return False

    def finish(self) -> dict[str, int | None]:
        until = time.monotonic() + LIMIT_S
        nodes = {name: process for name, process in self.processes.items() if name != "broker"}
        while time.monotonic() < until and any(process.poll() is None for process in nodes.values()):
            if self.processes[self.witness].poll() is not None:
                until = min(until, time.monotonic() + 120)  # the others have learned by then that it is over
            time.sleep(0.2)
        codes = {name: process.poll() for name, process in nodes.items()}
        self.kill()
        return codes

    def kill(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def report(self, scenario: str, codes: dict[str, int | None], wall_s: float) -> bool:
        done = self.events(self.witness, "round.completed")
        failed = self.events(self.witness, "round.failed")
        lost = self.events(self.witness, "node.lost")
        totals = [self.events(name, "round.completed") or self.events(name, "metric.local") for name in codes]
        sent = sum(int(str(events[-1].get("bytes_sent_total", 0))) for events in totals if events)
        ended = ", ".join(f"{name} {code}" for name, code in codes.items() if code != 0) or "all 0"
        closed = sorted({str(event.get("closed_by")) for event in done})
        print(
            f"{scenario:10} {self.mode:10} {len(done):6d} {len(failed):6d} {len(lost):5d} {wall_s:7.1f} "
            f"{sent / 1e6:9.1f}  closed by {'/'.join(closed) or '-'}; exit codes: {ended}",
            flush=True,
        )
        for name, code in codes.items():
            if code != 0:
                print(f"    {name}: {(self.folder / f'{name}.err').read_text().strip()[-300:]}")
        return all(code == 0 for code in codes.values())


def shares(folder: Path, sites: int) -> None:
    import numpy as np
    from nervenet.models import datasets

    data = datasets.load("digits")
    for k in range(sites):
        np.savez(folder / f"share-{k}.npz", X=data.X[k::sites][:64], y=data.y[k::sites][:64])


def scenario(name: str, mode: str, folder: Path) -> bool:
    """Run one scenario and print its line."""
    large = ["--hidden", str(MODEL // 75), "--epochs", "1", "--batch-size", "64", "--rounds", "3"]
    small = ["--epochs", "1", "--rounds", "400"]
    lay_network(RATE if name == "shared" else "")
    (folder / name / mode).mkdir(parents=True)
    shares(folder / name, 4)
    run = Run(mode, folder / name / mode, large if name == "shared" else small)
    began = time.monotonic()
    try:
        run.start()
        disturbance: Callable[[], None] | None = {"outage": outage, "forgotten": forget}.get(name)
        if disturbance is not None and run.wait(20):
            worker = threading.Thread(target=disturbance)
            worker.start()
            worker.join()
        codes = run.finish()
        return run.report(name, codes, time.monotonic() - began)
    finally:
        run.kill()
        remove_network()


def outage() -> None:
    link(False)
    time.sleep(60)
    link(True)


def main() -> int:
    """Print the table; 1 if a run did not end as asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", default=["shared", "outage", "forgotten"])
    parser.add_argument("--mode", choices=["federated", "gossip"])
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("not run: network namespaces need root")
        return 0
    print(f"{'':10} {'mode':10} {'rounds':>6} {'failed':>6} {'lost':>5} {'wall s':>7} {'MB sent':>9}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        modes = [options.mode] if options.mode else ["federated", "gossip"]
        ended = [scenario(name, mode, folder) for name in options.scenarios for mode in modes]
        return 0 if all(ended) else 1


if __name__ == "__main__":
    raise SystemExit(main())
