"""Many histories drawn from seeds - crashes, stops, cuts, bad networks - and whether each keeps every promise.

python benchmarks/histories.py gossip    [--seeds 1000] [--first 0] [--processes 2]    on virtual time
python benchmarks/histories.py all-reduce [--seeds 1000] [--first 0] [--processes 2]   on virtual time
python benchmarks/histories.py federated [--seeds 1000] [--first 0] [--processes 2]    on virtual time
python benchmarks/histories.py processes --mode federated [--seeds 100] [--first 0] [--jobs 2] [--lengths 3 12]

On virtual time the deployed machines run over a simulated network; what is drawn and what must hold is in
tests/faults/gossip_drawn.py and gossip_promises.py, all_reduce_histories.py, and federated_drawn.py. Over real
processes a launch of eight nodes is disturbed: every kind of process is killed, or stopped and continued, connections
are cut and slowed through a relay; see process_histories.py. Prints the seed of each history that broke a promise,
which plays it again, and counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

import all_reduce_histories
import federated_drawn
import gossip_drawn
from gossip_histories import Played
from gossip_promises import PROMISES, announced, breaches, kept
from process_histories import Outcome, draw_process_history, play


def of_gossip(seed: int) -> tuple[int, str, list[str], Counter[str]]:
    """Play one: its seed, what it ran, the breaches, and counts."""
    history = gossip_drawn.draw(seed)
    run = Played(history).play()
    mutual, rounds = kept(run) if announced(run) and not run.needs.mass else (0, 0)
    counts = Counter({"incarnations of peers": len(run.incarnations), "rounds": rounds, "rounds kept": mutual})
    return seed, f"{history.algorithm} on {history.topology}", breaches(run), counts


def of_all_reduce(seed: int) -> tuple[int, str, list[str], Counter[str]]:
    """Play one whose rounds are all-reduces, as `of_gossip`."""
    run = all_reduce_histories.PlayedAllReduce(all_reduce_histories.draw_all_reduce(seed)).play()
    whole, closed = all_reduce_histories.whole_rounds(run)
    counts = Counter({"incarnations of peers": len(run.incarnations), "rounds": closed, "rounds whole": whole})
    return seed, "all-reduce", all_reduce_histories.breaches(run), counts


def of_federation(seed: int) -> tuple[int, str, list[str], Counter[str]]:
    """Play one, as `of_gossip`."""
    history = federated_drawn.draw(seed)
    what = "a bad network" if history.network["drop"] or history.network["duplicate"] else "a good network"
    try:
        run = history.play()
    except AssertionError as error:
        return seed, what, [f"federated: {error}"], Counter()
    ended = run.sim.nodes["coordinator"].finished
    status = "killed" if ended is None else ended.status
    return seed, what, [], Counter({f"ended: {status}": 1, "rounds": run.state.run.completed})


VIRTUAL = {"gossip": of_gossip, "federated": of_federation, "all-reduce": of_all_reduce}


def virtual(mode: str, asked: argparse.Namespace) -> bool:
    """Play many; whether one broke a promise."""
    began = time.monotonic()
    ran: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    failed = 0
    seeds = range(asked.first, asked.first + asked.seeds)
    with Pool(asked.processes) as pool:
        for seed, what, found, counted in pool.imap_unordered(VIRTUAL[mode], seeds, chunksize=4):
            ran[what] += 1
            counts += counted
            broken.update({breach.split(":", 1)[0] for breach in found})
            if found:
                failed += 1
                print(f"seed {seed} ({what}): {len(found)} breaches, first: {found[0]}", flush=True)
            if sum(ran.values()) % 100 == 0:
                print(f"{sum(ran.values())} played, {failed} broke a promise", flush=True)
    for what, count in sorted(ran.items()):
        print(f"{count:>8} histories of {what}")
    print(f"{asked.seeds - failed:>8} of {asked.seeds} keep all promises")
    named = {"gossip": tuple(PROMISES), "federated": ("federated",)}
    for promise in named.get(mode) or [each.__name__ for each in all_reduce_histories.PROMISES]:
        print(f"{broken[promise]:>8} break {promise!r}")
    for what, count in sorted(counts.items()):
        print(f"{count:>8} {what}")
    print(f"{time.monotonic() - began:.0f} s on {asked.processes} processes")
    return bool(failed)


async def real(asked: argparse.Namespace) -> bool:
    """Play many over real processes, a few at a time; whether one broke a promise."""
    slots: asyncio.Queue[int] = asyncio.Queue()
    for number in range(asked.jobs):
        slots.put_nowait(number + asked.slot)
    counts: Counter[str] = Counter()
    waited: list[float] = []
    with tempfile.TemporaryDirectory(prefix="histories-") as folder:

        async def one(seed: int) -> None:
            number = await slots.get()
            try:
                history = draw_process_history(seed, asked.mode, tuple(asked.lengths), forgets=asked.forgets)
                outcome = await play(history, Path(folder) / f"{seed}", number, asked.rounds)
            finally:
                slots.put_nowait(number)
            show(outcome)
            counts["played"] += 1
            counts["ended by themselves"] += outcome.code is not None
            counts[f"ended: {outcome.status or 'the launcher was killed'}"] += 1
            counts["faults that befell them"] += len(outcome.performed)
            counts["over before anything befell them"] += not outcome.performed
            counts["broke a promise"] += bool(outcome.breaches)
            counts.update(f"broke {breach.split(':', 1)[0]!r}" for breach in outcome.breaches)
            waited.append(outcome.waited_s)

        await asyncio.gather(*(one(seed) for seed in range(asked.first, asked.first + asked.seeds)))
    for what, count in sorted(counts.items()):
        print(f"{count:>6} {what}")
    waited.sort()
    print(
        f"seconds from the last fault's end to the run's: median {waited[len(waited) // 2]:.1f}, most {waited[-1]:.1f}"
    )
    return bool(counts["broke a promise"])


def show(outcome: Outcome) -> None:
    """Print what came of one history."""
    history = outcome.history
    faults = "; ".join(map(str, history.faults)) + f" ({len(outcome.performed)} of them befell it)"
    end = f"{outcome.status or 'no status'} (exit {outcome.code}) after {outcome.seconds:.0f} s"
    print(f"seed {history.seed}, {history.mode}, from round {history.after_round}: {faults} -> {end}", flush=True)
    if outcome.reason:
        print(f"    {outcome.reason[:300]}", flush=True)
    for breach in outcome.breaches:
        print(f"    BROKE {breach[:1500]}", flush=True)


def main() -> int:
    """Play the histories that are asked for; 1 if one broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", nargs="?", choices=[*VIRTUAL, "processes"], default="gossip")
    parser.add_argument("--seeds", type=int, default=None, help="how many (1000; of processes 100)")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mode", choices=["federated", "gossip"], default="federated")
    parser.add_argument("--jobs", type=int, default=2, help="launches at a time")
    parser.add_argument("--slot", type=int, default=1, help="the first loopback network 127.SLOT, one for each job")
    parser.add_argument("--rounds", type=int, default=150, help="enough that a run is not over before its faults")
    parser.add_argument("--lengths", type=float, nargs="+", default=[3.0, 12.0], help="of stops and cuts, in seconds")
    parser.add_argument("--forgets", action="store_true", help="connections that a device on the way forgot, too")
    asked = parser.parse_args()
    asked.seeds = asked.seeds or (100 if asked.what == "processes" else 1000)
    return int(asyncio.run(real(asked)) if asked.what == "processes" else virtual(asked.what, asked))


if __name__ == "__main__":
    sys.exit(main())
