"""Files of small tables; and three sites with mixed ones, in another order, with gaps, an id, a ward of its own."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from nervenet.models.tables.table import DATES, GAP, Table

KINDS = {
    "patient": "category",
    "admitted": "date",
    "age": "number",
    "sex": "category",
    "crp": "number",
    "ward": "category",
}
WARDS = {"north": ["cardiology", "surgery"], "south": ["surgery", "geriatrics"], "west": ["cardiology", "rehab"]}


def rows_of(name, rows, seed):
    """Return a site's table and its labels, which can be learned."""
    rng = np.random.default_rng(seed)
    age, crp = rng.normal(60, 15, rows).round(1), rng.exponential(20, rows).round(2)
    ward, sex = rng.choice(WARDS[name], rows).astype(object), rng.choice(["f", "m"], rows).astype(object)
    risk = (age - 60) / 15 + (crp - 20) / 15 + (ward == "geriatrics") + rng.normal(0, 0.5, rows)
    age[rng.random(rows) < 0.08], crp[rng.random(rows) < 0.1], ward[rng.random(rows) < 0.05] = np.nan, np.nan, GAP
    columns = {
        "patient": np.array([f"{name}-{place}" for place in range(rows)], object),
        "admitted": (np.datetime64("2026-01-01") + rng.integers(0, 250, rows)).astype(DATES),
        "age": age,
        "sex": sex,
        "crp": crp,
        "ward": ward,
    }
    order = tuple(rng.permutation(list(columns)).tolist())
    table = Table(order, tuple(KINDS[column] for column in order), tuple(columns[column] for column in order))
    return table, np.where(risk > 0.5, "poor", "good")


@pytest.fixture(scope="session")
def sites():
    return {"north": rows_of("north", 220, 1), "south": rows_of("south", 90, 2), "west": rows_of("west", 60, 3)}


@pytest.fixture(scope="session")
def pooled(sites):
    """All rows in one place."""
    columns = sites["north"][0].columns
    parts = [table.select(columns) for table, _ in sites.values()]
    arrays = tuple(np.concatenate([part[name] for part in parts]) for name in columns)
    return Table(columns, parts[0].kinds, arrays), np.concatenate([y for _, y in sites.values()])


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of text into the test's folder, packed where its name ends in .gz."""

    def write(text: str, name: str = "site.csv", encoding: str = "utf-8") -> Path:
        content = text.encode(encoding)
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write
