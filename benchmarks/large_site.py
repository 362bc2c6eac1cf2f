"""A site whose table is larger than memory, and one that is not: peak memory and time beside pyarrow's alone.

    python benchmarks/large_site.py                  10,000,000 rows of 20 inputs, as CSV and as Parquet, trained on
    python benchmarks/large_site.py --rows 1000000   the same, smaller
    python benchmarks/large_site.py --read           a CSV file of 1 GB, read into memory

Each figure is of a process of its own. "train" does what a node does with its file: reads it in batches, keeps 20 % of
the rows, agrees in round 0, trains an epoch and judges itself. Files of several GB go to --folder, and are removed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

INPUTS = 20
BLOCK = 500_000


def write(path: Path, rows: int, *, mixed: bool) -> None:
    """Write a table: numbers; if `mixed`, with gaps, a date and two columns of words."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    rng = np.random.default_rng(0)
    days = np.array([str(np.datetime64("2024-01-01") + day) for day in range(700)])
    words = np.array(["cardiology", "surgery", "geriatrics", "rehab", ""])
    writer = None
    with path.open("wb") as stream:
        for start in range(0, rows, BLOCK):
            n = min(BLOCK, rows - start)
            numbers = INPUTS - 3 if mixed else INPUTS
            X = rng.normal(size=(n, numbers)).round(6)
            columns = {f"x{place}": X[:, place] for place in range(numbers)}
            y = np.where(X[:, 0] + rng.normal(size=n) > 0, "poor", "good")
            if mixed:
                columns["x1"] = pa.array(X[:, 1], mask=rng.random(n) < 0.05)
                columns["admitted"] = days[rng.integers(0, len(days), n)]
                columns["ward"] = words[rng.integers(0, len(words), n)]
                columns["sex"] = np.array(["f", "m"])[rng.integers(0, 2, n)]
            table = pa.table({**columns, "y": y})
            if path.suffix == ".csv":
                csv.write_csv(table, stream, csv.WriteOptions(include_header=not start, quoting_style="none"))
                continue
            writer = writer or parquet.ParquetWriter(stream, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def train(path: Path) -> dict[str, float]:
    """Do what a node does with a file, on the rows that it leaves on disk."""
    from nervenet.models import MLP, datasets
    from nervenet.models.agreement.questions import settle
    from nervenet.models.model import LocalWork
    from nervenet.models.rng import generator
    from nervenet.models.site_model import SiteModel
    from nervenet.models.tables.stored_table import StoredTable

    times = [time.monotonic()]
    found = datasets.load(path, target="y", in_memory_mb=0.001)
    assert isinstance(found.X, StoredTable)
    times.append(time.monotonic())
    site = SiteModel(MLP(), found.X, found.y, columns=found.columns, holdout=0.2)
    site.build(settle(site.questions(), {"site": site.answer}).preprocessing, 0)
    times.append(time.monotonic())
    site.train(LocalWork(epochs=1, batch_size=256), generator(0))
    times.append(time.monotonic())
    figures = site.evaluate("holdout")
    names = ("read_s", "round_zero_s", "epoch_s")
    return dict(zip(names, np.diff(times).round(1).tolist(), strict=True)) | {"accuracy": figures["accuracy"]}


def read(path: Path) -> dict[str, float]:
    from nervenet.models import datasets

    return {"rows": len(datasets.load(path, target="y"))}


def arrow(path: Path) -> dict[str, float]:
    from pyarrow import csv, parquet

    return {"rows": (csv.read_csv(path) if path.suffix == ".csv" else parquet.read_table(path)).num_rows}


def child(what: str, path: Path) -> None:
    """Do one thing, and print it with the time it took and the most memory that this process has had."""
    begun, cpu = time.monotonic(), time.process_time()
    found = {"train": train, "read": read, "arrow": arrow}[what](path)
    with Path("/proc/self/status").open() as status:
        peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
    took = {"s": round(time.monotonic() - begun, 1), "cpu_s": round(time.process_time() - cpu, 1)}
    print(json.dumps({**took, "peak_mib": round(peak), **found}))


def measured(what: str, path: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", what, str(path)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def shown(label: str, figures: dict[str, float]) -> None:
    print(f"{label:<26}", ", ".join(f"{name} {value:,}" for name, value in figures.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int)
    parser.add_argument("--read", action="store_true")
    parser.add_argument("--kinds", nargs="+", default=["csv", "parquet"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--child", nargs=2)
    chosen = parser.parse_args()
    if chosen.child:
        child(chosen.child[0], Path(chosen.child[1]))
        return
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        if chosen.read:
            path = Path(folder) / "site.csv"
            write(path, chosen.rows or 5_300_000, mixed=False)
            print(f"{path.stat().st_size / 1e9:.2f} GB of CSV")
            rounds = [(measured("arrow", path), measured("read", path)) for _ in range(chosen.repeats)]
            for one, other in rounds:
                shown("pyarrow.csv.read_csv", one)
                shown("read as a site's rows", other)
            for name in ("s", "cpu_s", "peak_mib"):
                ratio = min(other[name] for _, other in rounds) / min(one[name] for one, _ in rounds)
                print(f"{name}: {ratio:.2f} x")
            return
        for kind in chosen.kinds:
            for mixed in (False, True):
                path = Path(folder) / f"site.{kind}"
                write(path, chosen.rows or 10_000_000, mixed=mixed)
                what = f"{'mixed' if mixed else 'numbers'}, {path.stat().st_size / 1e9:.2f} GB {kind}"
                shown(what, measured("train", path))
                if kind == "csv" and not mixed:
                    shown("pyarrow.csv.read_csv", measured("arrow", path))
                path.unlink()


if __name__ == "__main__":
    main()
