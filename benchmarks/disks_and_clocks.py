"""What becomes of a run whose clock is set, whose disk is full or whose folder is read-only, for each kind of node.

python benchmarks/disks_and_clocks.py [--mode federated gossip] [--jobs 2]

In the middle of a launch of four nodes: the wall clock of one process is set forward or back by an hour; no file of one
process can grow for three seconds, or until the end; the run folder is read-only for three seconds, or until the end.
Prints a line for each: how the run ended, what it said of it, and whether the result is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from process_histories import TRACE
from processes import LAUNCHER, LaunchedRun
from vocabulary import ClockJump, DiskFull, Fault, ReadOnly

HOUR_S = 3600.0
FOREVER_S = 1000.0


def cases(mode: str) -> list[Fault]:
    """Return what befalls a run, one at a time."""
    nodes = ["coordinator", "client-1"] if mode == "federated" else ["peer-1"]
    found: list[Fault] = []
    for node in (LAUNCHER, "broker", *nodes):
        found += [ClockJump(node, 0.5, HOUR_S), ClockJump(node, 0.5, -HOUR_S)]
    for node in (LAUNCHER, *nodes):
        found += [DiskFull(node, 0.5, 3.0), DiskFull(node, 0.5, FOREVER_S)]
    return [*found, ReadOnly(0.5, 3.0), ReadOnly(0.5, FOREVER_S)]


async def play(mode: str, fault: Fault, folder: Path, number: int, rounds: int) -> bool:
    """Play one; whether it went wrong."""
    words = ("--mode", mode, "--nodes", 4, "--rounds", rounds, "--data", "digits", "--set", "evaluation.baseline=false")
    async with LaunchedRun(words, folder, number, relayed=False) as run:
        await run.in_round(5)
        befalling = asyncio.create_task(run.befall([fault]))
        try:
            async with asyncio.timeout(180):
                code = await run.process.wait()
        except TimeoutError:
            code = None
        befalling.cancel()
        await asyncio.gather(befalling, return_exceptions=True)
        left = len(run.session())
        text = run.said
        try:
            summary = json.loads((folder / "summary.json").read_bytes())
        except (OSError, ValueError):
            summary = {}
        warnings = sorted({str(x.get("reason")) for x in run.events() if x.get("type") == "warning"})
        lost = sorted({str(x.get("subject")) for x in run.events() if x.get("type") in ("node.lost", "node.suspect")})
    model = (folder / "model.safetensors").exists()
    log = (folder / "nodes.log").read_text(errors="replace")
    kept = summary.get("status"), summary.get("completed_rounds"), "model" if model else "no model"
    wrong = code is None or left > 0 or bool(TRACE.search(text) or TRACE.search(log))
    print(f"{'WRONG ' if wrong else ''}{mode}: {fault} -> exit {code}, {kept}, lost or suspected {lost}, {left} left")
    for line in [*warnings, *text.strip().splitlines()[-3:]]:
        print(f"      {line[:300]}")
    for where in (text, log):
        if found := TRACE.search(where):
            print(f"      {where[max(0, found.start() - 200) : found.start() + 1800]}", flush=True)
    return wrong


async def everything(asked: argparse.Namespace) -> bool:
    """Play all of them; whether one went wrong."""
    slots: asyncio.Queue[int] = asyncio.Queue()
    for number in range(asked.jobs):
        slots.put_nowait(220 + number)
    with tempfile.TemporaryDirectory(prefix="disks-") as folder:

        async def one(mode: str, fault: Fault, index: int) -> bool:
            number = await slots.get()
            try:
                return await play(mode, fault, Path(folder) / f"{mode}-{index}", number, asked.rounds)
            finally:
                slots.put_nowait(number)

        all_cases = [(mode, fault) for mode in asked.mode for fault in cases(mode)]
        wrong = await asyncio.gather(*(one(*case, index) for index, case in enumerate(all_cases)))
    print(f"{sum(wrong)} of {len(wrong)} went wrong")
    return any(wrong)


def main() -> int:
    """Play all that is asked for; 1 if one went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--mode", nargs="+", choices=["federated", "gossip"], default=["federated", "gossip"])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=150)
    return int(asyncio.run(everything(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
