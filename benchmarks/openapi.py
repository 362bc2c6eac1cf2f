"""Whether `nervenet serve` answers as its OpenAPI document says: all checks of schemathesis against three models.

A model of numbers, one of a table with gaps, and one that predicts a quantity, each served by a process of its own.
schemathesis makes requests from the document, that fit it and that do not, and holds every answer against it. It is not
among the packages for development: it is installed in a folder of its own, unless one is named that has it.

    python benchmarks/openapi.py [--schemathesis FOLDER] [--examples 60]
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HOOKS = "NERVENET_OPENAPI"  # the document's address, where this file is the extension of schemathesis


def models(folder: Path) -> list[Path]:
    """Save three models, and return where."""
    from nervenet.models import MLP, SiteModel, save_model
    from nervenet.models.agreement.questions import settle
    from nervenet.models.tables.table import DATES, GAP, Table

    X = np.random.default_rng(0).normal(size=(60, 3))
    names = ["sepal length", "sepal width", "petal, length"]
    table = Table(
        ("age", "ward", "day"),
        ("number", "category", "date"),
        (
            np.array([50.0, GAP, 70.0, 40.0]),
            np.array(["eye", "ear", GAP, "eye"], object),
            np.array(["2026-01-31", "2026-02-01", "NaT", "2026-03-01"], DATES),
        ),
    )
    sites = {
        "numbers": SiteModel(MLP(hidden=(8,)), X, np.arange(60) % 3 + 7, columns=names),
        "table": SiteModel(MLP(hidden=(8,)), table, np.array(["good", "poor", "poor", "good"])),
        "quantity": SiteModel(MLP(hidden=(8,)), X, X @ np.arange(3.0) * 100, columns=names),
    }
    for name, site in sites.items():
        site.build(settle(site.questions(), {"only": site.answer}).preprocessing, seed=0)
        save_model(folder / name, site)
    return [folder / name for name in sites]


@contextmanager
def served(model: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "nervenet.scripts.main", "serve", str(model), "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[1].removesuffix("/predict") + "/openapi.json"
        finally:
            server.kill()


def checked(document: str, schemathesis: Path, examples: int) -> bool:
    """Print what schemathesis finds, in short; return whether it finds nothing."""
    here = Path(__file__)
    path = os.pathsep.join([str(schemathesis), str(here.parent)])
    env = os.environ | {"PYTHONPATH": path, "SCHEMATHESIS_HOOKS": here.stem, HOOKS: document, "NO_COLOR": "1"}
    run = "from schemathesis.cli import schemathesis; schemathesis()"
    options = [
        "run",
        document,
        "--checks",
        "all",
        "-n",
        str(examples),
        "--continue-on-failure",
        "--generation-database=none",
    ]
    found = subprocess.run([sys.executable, "-c", run, *options], env=env, capture_output=True, text=True)
    said = found.stdout + found.stderr
    failed = re.search(r"=+ (?:FAILURES|ERRORS) =+.*?(?==+ SUMMARY)", said, re.DOTALL)
    cases = re.search(r"Test cases:\s+(.*)", said)
    print(failed[0] if failed else "", end="")
    print(cases[1] if cases else said, flush=True)
    return found.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--schemathesis", type=Path)
    parser.add_argument("--examples", type=int, default=60)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tool = arguments.schemathesis
        if tool is None:
            tool = folder / "schemathesis"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tool), "schemathesis>=4"]
            subprocess.run(command, check=True)
        fine = True
        for model in models(folder):
            print(f"{model.name:10}", end=" ", flush=True)
            fine = checked(stack.enter_context(served(model)), tool, arguments.examples) and fine
    return 0 if fine else 1


# What a schema cannot describe: rows as CSV and as Arrow.


def describe_rows(address: str) -> None:
    """Tell schemathesis how rows for this model are made in the formats that are no JSON."""
    import pyarrow as pa
    import schemathesis
    from hypothesis import strategies as st

    with urllib.request.urlopen(address) as answer:
        document = json.load(answer)
    cells = document["components"]["schemas"]["Rows"]["properties"]["X_test"]["items"]["anyOf"][1]["properties"]
    names = list(cells)

    def values(name: str) -> st.SearchStrategy[Any]:
        kinds = cells[name]["anyOf"]
        if any(kind.get("format") == "date" for kind in kinds):
            return st.dates(min_value=dt.date(1900, 1, 1))
        return st.sampled_from(["eye", "ear"]) if {"type": "string"} in kinds else st.floats(-1e6, 1e6)

    rows = st.lists(st.tuples(*map(values, names)), min_size=1, max_size=5)

    def as_csv(found: list[tuple[Any, ...]]) -> bytes:
        import csv

        text = io.StringIO()
        csv.writer(text).writerows([names, *found])
        return text.getvalue().encode()

    def as_arrow(found: list[tuple[Any, ...]]) -> bytes:
        table = pa.table({name: [row[place] for row in found] for place, name in enumerate(names)})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return sink.getvalue()

    schemathesis.openapi.media_type("text/csv", rows.map(as_csv))
    schemathesis.openapi.media_type("application/vnd.apache.arrow.stream", rows.map(as_arrow))


if __name__ == "__main__":
    sys.exit(main())
elif HOOKS in os.environ:
    describe_rows(os.environ[HOOKS])
