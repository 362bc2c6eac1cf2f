"""Federated against pooled on mixed tables: is what differs the averaging, or one of the two at a disadvantage?

The three hospitals of docs/tables.md (examples/three_hospitals.py: 220, 90 and 60 rows), learned by the built-in
network with the defaults: by three sites that average after every 5 epochs, and from all rows in one place. Both fit
the same pipeline on the same rows, and start from the same weights. Nothing is sent: all in this process.

First the same files with other rows held out each time, 74 rows, as a launch does; then files drawn anew each time,
judged on 7,400 fresh rows. A figure is a mean over the repetitions with its standard error; differences are paired.

    python benchmarks/federated_against_pooled.py [REPETITIONS]
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import csv
import random
import sys
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
from nervenet.models import MLP, LocalWork, SiteModel, datasets, generator
from nervenet.models.aggregate import weighted_mean
from nervenet.models.agreement.questions import settle
from nervenet.models.data.data import Dataset
from nervenet.models.data.splits import split_rows
from nervenet.models.tables.options import ReadOptions
from nervenet.models.tables.pooling import aligned, stacked

EPOCHS = 5  # between two averages
AFTER = (1, 2, 4, 8, 20, 40)  # rounds; of pooled rows as many times 5 epochs
FRESH = 20  # times as many rows to judge by as there are to learn from

spec = spec_from_file_location("three_hospitals", Path(__file__).parents[1] / "examples/three_hospitals.py")
hospitals = module_from_spec(spec)
spec.loader.exec_module(hospitals)


def drawn(seed: int, times: int = 1) -> dict[str, Dataset]:
    """Read the three files as a node does, of so many times as many rows."""
    chance, found = random.Random(seed), {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (count, columns, wards) in hospitals.SITES.items():
            path = Path(folder, f"{name}.csv")
            with path.open("w", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, columns)
                writer.writeheader()
                writer.writerows(hospitals.rows(name, count * times, wards, chance))
            found[name] = datasets.load(str(path), options=ReadOptions(target="outcome", id="patient_id"))
    return aligned(found, "classification")


def built(sites: dict[str, Dataset], seed: int) -> dict[str, SiteModel]:
    models = {name: SiteModel(MLP(), rows.X, rows.y, task=rows.task) for name, rows in sites.items()}
    agreed = settle(next(iter(models.values())).questions(), {name: one.answer for name, one in models.items()})
    for one in models.values():
        one.build(agreed.preprocessing, seed)
    return models


def learned(sites: dict[str, Dataset], test: Dataset, seed: int, *, carry: bool = False) -> list[float]:
    """Return the accuracy after each of `AFTER` rounds. One site is all rows in one place; `carry` keeps momentum."""
    models, found = built(sites, seed), []
    first, sizes = next(iter(models.values())), [one.examples for one in models.values()]
    for number in range(1, AFTER[-1] + 1):
        for name, one in models.items():
            work = LocalWork(epochs=EPOCHS, batch_size=16, carry_optimizer=carry)
            one.train(work, generator(seed, name, number, "batches"))
        mean = weighted_mean([one.get_weights() for one in models.values()], sizes)
        for one in models.values():
            one.set_weights(mean)
        if number in AFTER:
            found.append(float((first.predict(test.X) == test.y).mean()))
    return found


def shuffled(whole: Dataset, like: dict[str, Dataset], seed: int) -> dict[str, Dataset]:
    """Return sites of the same sizes among which all rows were dealt at random."""
    order = np.random.default_rng(seed).permutation(len(whole))
    edges = np.cumsum([len(rows) for rows in like.values()])[:-1]
    return {name: whole.take(part) for name, part in zip(like, np.split(order, edges), strict=True)}


def compared(sites: dict[str, Dataset], test: Dataset, seed: int) -> dict[str, list[float]]:
    whole = stacked(list(sites.values()), "all")
    return {
        "federated": learned(sites, test, seed),
        "federated, rows dealt at random": learned(shuffled(whole, sites, seed), test, seed),
        "pooled, as the baseline": learned({"all": whole}, test, seed, carry=True),
        "pooled, momentum reset each 5 epochs": learned({"all": whole}, test, seed),
    }


def of_splits(repetition: int) -> dict[str, list[float]]:
    sites = drawn(1)
    parts = {name: split_rows(rows, 0.2, seed=repetition) for name, rows in sites.items()}
    train = {name: rows.take(parts[name][0]) for name, rows in sites.items()}
    held = stacked([rows.take(parts[name][1]) for name, rows in sites.items()], "held out")
    return compared(train, held, repetition)


def of_draws(repetition: int) -> dict[str, list[float]]:
    test = stacked(list(drawn(10_000 + repetition, FRESH).values()), "fresh")
    return compared(drawn(repetition), test, repetition)


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    for title, once in (("other rows held out", of_splits), ("files drawn anew", of_draws)):
        runs = [once(repetition) for repetition in range(repetitions)]
        print(f"{title}, {repetitions} times; accuracy after epochs")
        print(f"{'':38}{''.join(f'{EPOCHS * rounds:>16}' for rounds in AFTER)}")
        federated = np.array([run["federated"] for run in runs])
        for name in runs[0]:
            figures = np.array([run[name] for run in runs])
            print(f"{name:38}{shown(figures, '.4f')}")
            if name != "federated":
                print(f"{'  less federated':38}{shown(figures - federated, '+.4f')}", flush=True)


def shown(figures: np.ndarray, form: str) -> str:
    errors = figures.std(axis=0, ddof=1) / np.sqrt(len(figures))
    return "".join(
        f"{f'{mean:{form}} ± {error:.4f}':>16}" for mean, error in zip(figures.mean(axis=0), errors, strict=True)
    )


if __name__ == "__main__":
    main()
