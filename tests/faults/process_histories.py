"""Histories of a real launch, drawn from seeds, and what must hold in every one of them.

1. ``ends``: the launch ends by itself, within what its deadlines allow after the last fault, or the last round.
2. ``said``: it ends with a result (exit code 0, a summary that says completed) or with a named failure (1, a reason on
   the last line and in the summary); a launcher that was killed leaves a folder that can be read. No traceback.
3. ``nobody``: no process of it is left some seconds later, also of those that are stopped; where the launcher itself
   was killed, these are continued first.
4. ``waits``: no round lasts longer than its deadline, and the time for which somebody stood still or was cut off.
5. ``once``: an incarnation completes each round once, in order; federated: so does the coordinator, without a gap. A
   peer that was alone, and says that it goes back to the others, goes on from their round.
6. ``right``: the model is finite; who took part in a round was a node of the run, and counts once; nobody is given up
   whom nothing has befallen.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from nervenet.models.rng import generator
from nervenet.nodes.config.schema import Timing
from processes import FORK_SERVER, LAUNCHER, LaunchedRun, Rounds
from vocabulary import Cut, Fault, Forget, Kill, Slow, Stop, over_at, standing_s

NODES = 8
DEADLINE_S = 30.0  # of a round, by default
# Who is asleep or gone may be waited for: until it is back (rejoin), then three attempts of a round that fail.
PATIENCE_S = 60.0 + Timing().rejoin_deadline_s + 3 * DEADLINE_S
LEFT_S = 10.0  # in which every process has to be gone
MOMENT_S = 5.0  # by which a busy machine is late
BACK = "it is back from "  # what a peer says that has been alone, and goes back to the round of the others
TRACE = re.compile(
    r'(?m)^Traceback \(most recent|never retrieved|never awaited|Assertion failed|Fatal Python error|"level":"critical"'
)


@dataclass(frozen=True)
class ProcessHistory:
    """One history; the same seed always draws the same."""

    seed: int
    mode: str
    after_round: int
    faults: tuple[Fault, ...]


@dataclass
class Outcome:
    """What came of a history."""

    history: ProcessHistory
    code: int | None
    seconds: float
    waited_s: float  # after the last fault was over
    status: str
    reason: str
    breaches: list[str] = field(default_factory=list)
    performed: list[tuple[float, str]] = field(default_factory=list)


def names(mode: str) -> list[str]:
    return [f"{'client' if mode == 'federated' else 'peer'}-{k}" for k in range(NODES)]


def draw_process_history(
    seed: int, mode: str, lengths: tuple[float, ...] = (3.0, 12.0), *, forgets: bool = False
) -> ProcessHistory:
    """Draw one to three faults of processes of every kind; `forgets`: and of devices on the way."""
    rng = generator(seed, "processes", mode)
    nodes = names(mode)
    special = [LAUNCHER, FORK_SERVER, "broker"] + (["coordinator"] if mode == "federated" else [])

    def somebody() -> str:
        return str(rng.choice(special)) if rng.random() < 0.5 else str(rng.choice(nodes))

    def length() -> float:
        return float(rng.choice(lengths))

    faults: list[Fault] = []
    for _ in range(int(rng.integers(1, 4))):
        at = round(float(rng.uniform(0.0, 4.0)), 3)
        match int(rng.choice(5, p=[0.2, 0.4, 0.2, 0.1, 0.1])):
            case 0:
                victim = somebody()
                if victim in (LAUNCHER, FORK_SERVER, "coordinator") and rng.random() < 0.5:
                    victim = str(rng.choice(nodes))  # the run cannot outlive those: not in every other history
                faults.append(Kill(victim, at))
            case 1:
                faults.append(Stop(somebody(), at, length()))
            case 2:
                side = frozenset(str(name) for name in rng.choice(nodes, int(rng.integers(1, 4)), replace=False))
                faults.append(Cut(side, at, length(), bool(rng.random() < 0.5)))
            case 3 if forgets:
                faults.append(Forget(str(rng.choice([*nodes, *special[3:]])), at))
            case _:
                faults.append(Slow(at, length(), 0.05))
    return ProcessHistory(seed, mode, int(rng.choice([0, 1, 20])), tuple(faults))


async def play(history: ProcessHistory, folder: Path, number: int, rounds: int, more: tuple[str, ...] = ()) -> Outcome:
    """Launch, let befall it what the history says, and look at what is left."""
    words = ("--mode", history.mode, "--nodes", NODES, "--rounds", rounds, "--set", "evaluation.baseline=false")
    # A relay of Python slows a run down on a busy machine: only where something befalls the connections.
    relayed = any(isinstance(fault, Cut | Slow | Forget) for fault in history.faults)
    async with LaunchedRun((*words, "--data", "digits", *more), folder, number, relayed) as run:
        await run.in_round(history.after_round)
        began = time.monotonic()
        befalling = asyncio.create_task(run.befall(history.faults))
        longest = over_at(history.faults) + standing_s(history.faults) + PATIENCE_S
        code = await ended(run, began, longest)
        at_end = time.monotonic()
        befalling.cancel()
        await asyncio.gather(befalling, return_exceptions=True)
        outcome = Outcome(history, code, at_end - run.began, at_end - began - over_at(history.faults), "", "")
        if code is None:
            left = [f"{pid}" for pid in run.session()]
            outcome.breaches.append(f"ends: still running {longest:.0f} s after its last round: {left}")
        else:
            if code == -signal.SIGKILL:  # of the launcher: nobody is left who could end one that stands still
                run.go_on()
            until = time.monotonic() + LEFT_S
            while (orphans := run.session()) and time.monotonic() < until:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            if orphans:
                outcome.breaches.append(f"nobody: {len(orphans)} processes are left {LEFT_S:g} s after the end")
        outcome.performed = run.performed
        outcome.breaches += breaches(history, run, outcome)
        return outcome


async def ended(run: LaunchedRun, began: float, longest_s: float) -> int | None:
    """Wait for the end of a run, so long at most after `began` and after each round that it completes; return how."""
    rounds, last, since = Rounds(run.folder), 0, began
    while True:
        try:
            async with asyncio.timeout(1.0):
                return await run.process.wait()
        except TimeoutError:
            if (number := rounds.look()) > last:
                last, since = number, time.monotonic()
            if time.monotonic() > since + longest_s:
                return None


def breaches(history: ProcessHistory, run: LaunchedRun, outcome: Outcome) -> Iterator[str]:
    """Yield what did not hold."""
    yield from said(history, run, outcome)
    events = list(run.events())
    yield from waits(history, events)
    yield from once(history, events)
    yield from right(history, run, events, outcome)


def said(history: ProcessHistory, run: LaunchedRun, outcome: Outcome) -> Iterator[str]:
    killed = any(isinstance(fault, Kill) and fault.node == LAUNCHER for fault in history.faults)
    try:
        summary = json.loads((run.folder / "summary.json").read_bytes())
    except (OSError, ValueError) as error:
        summary = {}
        if outcome.code in (0, 1):
            yield f"said: no summary: {error}"
    outcome.status, outcome.reason = summary.get("status", ""), summary.get("reason") or ""
    said_last = run.said.strip().splitlines()[-1:] or [""]
    match outcome.code:
        case 0 if outcome.status != "completed":
            yield f"said: exit code 0 and status {outcome.status!r}"
        case 1 if outcome.status == "completed" or not outcome.reason or not said_last[0].startswith("nervenet:"):
            yield f"said: exit code 1, status {outcome.status!r}, reason {outcome.reason!r}, last line {said_last[0]!r}"
        case code if code not in (0, 1, None) and not (killed and code == -9):
            yield f"said: exit code {code}, last line {said_last[0]!r}"
    log = run.folder / "nodes.log"
    logged = log.read_text(errors="replace") if log.exists() else ""
    for where, text in (("standard error", run.said), ("nodes.log", logged)):
        if found := TRACE.search(text):
            yield f"said: {where} has {text[max(0, found.start() - 300) : found.start() + 1500]!r}"


def waits(history: ProcessHistory, events: list[dict[str, Any]]) -> Iterator[str]:
    longest = DEADLINE_S + standing_s(history.faults) + MOMENT_S
    for event in events:
        if event.get("type") == "round.completed" and float(event.get("duration_s") or 0.0) > longest:
            yield f"waits: {event['node']} was {event['duration_s']:.1f} s in round {event['round']}"


def once(history: ProcessHistory, events: list[dict[str, Any]]) -> Iterator[str]:
    done: dict[tuple[str, Any], list[int]] = defaultdict(list)
    backs: Counter[tuple[str, Any]] = Counter()
    for event in events:
        if event.get("role") in ("coordinator", "peer"):
            who = event["node"], event["incarnation"]
            if event.get("type") == "round.completed":
                done[who].append(event["round"])
            backs[who] += event.get("type") == "warning" and str(event.get("reason")).startswith(BACK)
    for who, rounds in done.items():
        if backs[who]:  # of a round that peers complete at different times, the events stand together, in no order
            twice = [number for number, times in Counter(rounds).items() if times > 1 + backs[who]]
        else:
            twice = [after for before, after in pairwise(rounds) if after <= before]
        if twice:
            yield f"once: {who[0]} completed rounds twice or out of order: {twice[:5]}"


def right(history: ProcessHistory, run: LaunchedRun, events: list[dict[str, Any]], outcome: Outcome) -> Iterator[str]:
    there = set(names(history.mode))
    for event in events:
        took_part = event.get("participants")
        if event.get("type") != "round.completed" or took_part is None:
            continue
        if len(set(took_part)) != len(took_part) or not set(took_part) <= there:
            yield f"right: round {event['round']} of {event['node']} was of {took_part}"
    if outcome.status == "completed":
        try:
            from safetensors.numpy import load_file

            arrays = load_file(run.folder / "model.safetensors")
        except (OSError, ValueError) as error:
            yield f"right: no model: {error}"
            return
        if not arrays or not all(np.isfinite(array).all() for array in arrays.values()):
            yield "right: the model is not finite"
        summary = json.loads((run.folder / "summary.json").read_bytes())
        if not 0.5 < (summary.get("accuracy") or 0.0) <= 1.0:
            yield f"right: accuracy {summary.get('accuracy')}"
        # Who sleeps, or is cut off, when the run ends is waited for no longer than its deadline.
        victims = {name for fault in history.faults for name in getattr(fault, "side", (getattr(fault, "node", ""),))}
        if strangers := set(summary.get("nodes_lost", ())) - victims:
            reasons = {name: summary.get("lost_because", {}).get(name) for name in sorted(strangers)}
            yield f"right: nodes lost that nobody killed: {reasons}"
