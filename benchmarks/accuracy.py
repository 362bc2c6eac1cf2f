"""What is learned, through real processes, beside centralised training and each node alone in the same run.

python benchmarks/accuracy.py [--seeds 0 1 2]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """One row of the table: a launch, and what it must reach."""

    name: str
    options: str
    goal: str
    below_centralised: float | None = None  # mean may lie this much below
    worst_below: float | None = None
    least: float | None = None  # mean at least
    worst_least: float | None = None
    seeds: tuple[int, ...] = (0,)

    def holds(self, found: dict[str, float]) -> bool:
        """Whether a summary meets the goal."""
        score, worst = found["score"], found["worst"]
        central = found["centralised"]
        return (
            (self.below_centralised is None or score >= central - self.below_centralised)
            and (self.worst_below is None or worst >= central - self.worst_below)
            and (self.least is None or score >= self.least)
            and (self.worst_least is None or worst >= self.worst_least)
        )


FEDERATED, RING = "--mode federated", "--mode gossip --topology ring"
SKEWED = "--partition dirichlet --alpha 0.3"
CASES = (
    Case("digits, federated, 20 rounds", f"{FEDERATED} --data digits", "centralised - .02", below_centralised=0.02),
    Case(
        "digits, ring, 60 rounds",
        f"{RING} --data digits --rounds 60",
        "centralised - .03, worst - .04",
        below_centralised=0.03,
        worst_below=0.04,
    ),
    Case(
        "digits, ring, Dirichlet .3",
        f"{RING} --data digits --rounds 60 {SKEWED}",
        ".95, worst .93",
        least=0.95,
        worst_least=0.93,
        seeds=(0, 1, 2),
    ),
    Case("iris, 4 nodes, federated", f"{FEDERATED} --data iris --nodes 4 --rounds 50", ".93", least=0.93),
    Case("iris, 4 nodes, ring", f"{RING} --data iris --nodes 4 --rounds 50", ".93", least=0.93),
    Case("wine, federated", f"{FEDERATED} --data wine", ".969 (trial .989)", least=0.969),
    Case("wine, ring", f"{RING} --data wine", ".964 (trial .984)", least=0.964),
    Case("breast_cancer, federated", f"{FEDERATED} --data breast_cancer", ".962 (trial .982)", least=0.962),
    Case("breast_cancer, ring", f"{RING} --data breast_cancer", ".960 (trial .980)", least=0.960),
    Case("diabetes, federated (R2)", f"{FEDERATED} --data diabetes", ".424 (trial .474)", least=0.424),
    Case("diabetes, ring (R2)", f"{RING} --data diabetes", ".402 (trial .452)", least=0.402),
)


def run(options: str, seed: int) -> dict[str, float]:
    """Launch, and give the figures of its summary."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "nervenet.scripts.main", "launch", "--quiet", "--seed", str(seed)]
        subprocess.run([*command, *options.split(), "--out", f"{folder}/run"], check=True, stdout=subprocess.DEVNULL)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    score = "accuracy" if "accuracy" in summary else "r2"
    return {
        "score": summary[score],
        "worst": summary[f"{score}_min"],
        "centralised": summary["baseline"]["centralised"],
        "alone": summary["baseline"]["local_only_mean"],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", help="instead of each row's own; prints their mean")
    args = parser.parse_args()
    print(f"{'run':32} {'seed':>5} {'score':>6} {'worst':>6} {'central':>7} {'alone':>6}  goal")
    for case in CASES:
        seeds = args.seeds or case.seeds
        rows = [run(case.options, seed) for seed in seeds]
        for seed, row in zip(seeds, rows, strict=True):
            print(_line(case.name, str(seed), row), f" {case.goal}: {'holds' if case.holds(row) else 'FALLS SHORT'}")
        if len(rows) > 1:
            mean = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
            print(_line("", "mean", mean), f" {'holds' if case.holds(mean) else 'FALLS SHORT'}")
        sys.stdout.flush()


def _line(name: str, seed: str, row: dict[str, float]) -> str:
    return f"{name:32} {seed:>5} {row['score']:6.3f} {row['worst']:6.3f} {row['centralised']:7.3f} {row['alone']:6.3f}"


if __name__ == "__main__":
    main()
