"""What it costs to kill a run: the same experiment undisturbed, and killed with -9 at random moments and resumed.

    python benchmarks/resume.py [--kills 20] [--data digits] [--nodes 4] [--rounds 300] [--strategy fedavg] [--set K=V]

Three ways to die, each `--kills` times: the coordinator of a launch (``nervenet launch --resume``), the launcher, which
takes its nodes with it, and a coordinator started by hand whose clients live (``nervenet node coordinator --resume``).

Prints, for each kill: the last round that was told before it, the round of the checkpoint that was gone on with, rounds
run again, seconds of the resumed run (by hand: until the end, from the new start), whether the final model is bit for
bit that of the undisturbed run, and whether any round was counted twice or left out.
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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NERVENET = [sys.executable, "-m", "nervenet.scripts.main"]
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Death:
    """One kill and what came of it."""

    told: int
    resumed_after: int
    seconds: float
    same: bool
    once: bool


def events(folder: Path) -> list[dict[str, Any]]:
    """What a run folder tells; a line that was cut short is left out."""
    found = []
    for line in (folder / "events.jsonl").read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def told(folder: Path) -> list[int]:
    """Rounds that were completed, in the order in which they were told."""
    return [x["round"] for x in events(folder) if x["type"] == "round.completed"]


def counted_once(folder: Path, rounds: int) -> bool:
    """Whether the last life went on after its checkpoint, each round once, and the summary counts them all."""
    lines = events(folder)
    last = max(k for k, x in enumerate(lines) if x["type"] == "run.started")
    after = lines[last]["resumed_after"]
    numbers = [x["round"] for x in lines[last:] if x["type"] == "round.completed"]
    summary = json.loads((folder / "summary.json").read_text())
    done = (summary["completed_rounds"], summary["status"], summary["undisturbed"])
    return numbers == list(range(after + 1, rounds + 1)) and done == (rounds, "completed", True)


def start(*words: object) -> subprocess.Popen[bytes]:
    """Start a command, silently."""
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
    return subprocess.Popen([*NERVENET, *map(str, words)], **silent)  # type: ignore[call-overload,no-any-return]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise SystemExit(f"not within {PATIENCE_S:g} s: {what}")
        time.sleep(0.002)


def checkpointed(folder: Path) -> bool:
    """Whether a run can be gone on with: before that it has nothing to lose."""
    return any((folder / "checkpoints" / "coordinator").glob("round-*"))


def complete(folder: Path) -> bool:
    """Whether a run has its result already."""
    summary = folder / "summary.json"
    return summary.exists() and json.loads(summary.read_text())["status"] == "completed"


def ended(*processes: subprocess.Popen[bytes]) -> None:
    """Wait until processes have ended well."""
    for process in processes:
        if process.wait(PATIENCE_S) != 0:
            raise SystemExit(f"exit code {process.returncode}: {process.args}")


class Launches:
    """Runs of ``nervenet launch``; `victim` is the coordinator or the launcher."""

    def __init__(self, work: Path, words: list[str], victim: str) -> None:
        self.work = work
        self.words = words
        self.victim = victim

    def undisturbed(self, folder: Path) -> float:
        """Run to the end; gives the seconds from round 0."""
        run = start("launch", *self.words, "--out", folder)
        self._ready(folder)
        began = time.monotonic()
        ended(run)
        return time.monotonic() - began

    def killed(self, folder: Path, after_s: float) -> bool:
        """Kill after so many seconds; False if the run was over by then."""
        run = start("launch", *self.words, "--out", folder)
        pid = self._ready(folder)
        time.sleep(after_s)
        with suppress(ProcessLookupError):
            os.kill(pid if self.victim == "coordinator" else run.pid, signal.SIGKILL)
        run.wait(PATIENCE_S)
        return not complete(folder)

    def resumed(self, folder: Path) -> float:
        """Go on to the end; gives the seconds of the whole command."""
        began = time.monotonic()
        ended(start("launch", "--resume", folder))
        return time.monotonic() - began

    def _ready(self, folder: Path) -> int:
        path = folder / "nodes.json"
        wait_for(lambda: path.exists() and checkpointed(folder), "the nodes are ready, and round 0 is complete")
        return int(json.loads(path.read_text())["coordinator"]["pid"])


class ByHand:
    """A broker, clients and a coordinator, each a command of its own; only the coordinator is killed."""

    def __init__(self, work: Path, words: list[str], broker: str) -> None:
        self.work = work
        self.words = words
        self.broker = broker
        self._clients: list[subprocess.Popen[bytes]] = []
        self._where: list[object] = []

    def undisturbed(self, folder: Path) -> float:
        """Run to the end; gives the seconds from round 0."""
        coordinator = self._start(folder)
        began = time.monotonic()
        ended(coordinator, *self._clients)
        return time.monotonic() - began

    def killed(self, folder: Path, after_s: float) -> bool:
        """Kill after so many seconds; False if the run was over by then."""
        coordinator = self._start(folder)
        time.sleep(after_s)
        coordinator.kill()
        coordinator.wait()
        if complete(folder):
            ended(*self._clients)
            return False
        return True

    def resumed(self, folder: Path) -> float:
        """Go on to the end; gives the seconds from the coordinator's start."""
        began = time.monotonic()
        ended(start("node", "coordinator", *self._where, "--resume", folder), *self._clients)
        return time.monotonic() - began

    def _start(self, folder: Path) -> subprocess.Popen[bytes]:
        self._where = ["--broker", self.broker, "--run", folder.name]
        sites = sorted((self.work / "sites").iterdir())
        # One name for all: what differs between the sites is their data, and what they call themselves.
        common = [*self._where, *self.words, "--nodes", len(sites)]
        self._clients = [start("node", "client", *common, "--name", s.stem, "--data", s) for s in sites]
        coordinator = start("node", "coordinator", *common, "--out", folder)
        wait_for(lambda: checkpointed(folder), "the first checkpoint")
        return coordinator


def kill_at_random(runs: Launches | ByHand, name: str, kills: int, rounds: int) -> list[Death]:
    """Run it undisturbed, then kill it again and again; prints a line for each."""
    whole = runs.work / f"{name}-undisturbed"
    seconds = runs.undisturbed(whole)
    model = (whole / "model.safetensors").read_bytes()
    print(f"\n{name}: {rounds} rounds, {seconds:.1f} s undisturbed")
    print(f"{'kill':>4} {'told':>5} {'from':>5} {'again':>5} {'seconds':>8}  {'same bits':9} each round once")
    chance = random.Random(name)
    deaths: list[Death] = []
    while len(deaths) < kills:
        folder = runs.work / f"{name}-{len(deaths)}-{chance.getrandbits(32):x}"
        if not runs.killed(folder, chance.uniform(0.0, seconds)):
            continue
        before = max(told(folder), default=0)
        took = runs.resumed(folder)
        after = next(x["resumed_after"] for x in reversed(events(folder)) if x["type"] == "run.started")
        same = (folder / "model.safetensors").read_bytes() == model
        deaths.append(Death(before, after, took, same, counted_once(folder, rounds)))
        one = deaths[-1]
        numbers = f"{one.told:5} {one.resumed_after:5} {max(0, one.told - one.resumed_after):5} {one.seconds:8.2f}"
        print(f"{len(deaths):4} {numbers}  {one.same!s:9} {one.once}", flush=True)
    same, once = sum(d.same for d in deaths), sum(d.once for d in deaths)
    print(f"{name}: {kills} kills, {len(deaths)} resumes, {same} identical final models, {once} with each round once")
    return deaths


def sites(work: Path, nodes: int) -> None:
    """Write each site's own rows: ten numbers, and whether their sum is positive."""
    import numpy as np

    (work / "sites").mkdir()
    for k in range(nodes):
        X = np.random.default_rng(k).normal(size=(400, 10))
        lines = [",".join([*(f"{v:.4f}" for v in x), str(int(x.sum() > 0))]) for x in X]
        header = ",".join([*(f"x{i}" for i in range(10)), "y"])
        (work / "sites" / f"site{k}.csv").write_text(header + "\n" + "\n".join(lines) + "\n")


def main() -> int:
    """Kill, resume, compare; exit code 1 if any final model differs or any round was counted twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--strategy", default="fedavg")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--who", nargs="+", default=["coordinator", "launcher", "by-hand"])
    options = parser.parse_args()
    common = ["--rounds", str(options.rounds), "--set", f"federated.strategy={options.strategy}"]
    for pair in options.set:
        common += ["--set", pair]
    deaths: list[Death] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        launched = [
            *common,
            "--data",
            options.data,
            "--nodes",
            str(options.nodes),
            "--set",
            "evaluation.baseline=false",
        ]
        for victim in ("coordinator", "launcher"):
            if victim in options.who:
                runs = Launches(work, launched, victim)
                deaths += kill_at_random(runs, victim, options.kills, options.rounds)
        if "by-hand" in options.who:
            sites(work, options.nodes)
            broker = subprocess.Popen(
                [*NERVENET, "broker", "--bind", "tcp://127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            try:
                assert broker.stdout is not None
                address = next(line for line in broker.stdout if b"directory" in line).split()[-1].decode()
                hand = ByHand(work, common, address)
                deaths += kill_at_random(hand, "by-hand", options.kills, options.rounds)
            finally:
                broker.terminate()
                broker.wait(10)
    return 0 if all(death.same and death.once for death in deaths) else 1


if __name__ == "__main__":
    raise SystemExit(main())
