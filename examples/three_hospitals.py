"""Write the files of docs/tables.md: three hospitals' tables, made up, and three patients to predict for.

Run it where the files are to be: ``python examples/three_hospitals.py``.
"""

import csv
import random
from pathlib import Path

COLUMNS = ["patient_id", "admitted", "age", "sex", "crp", "ward", "outcome"]
SITES = {
    "north": (220, COLUMNS, ["cardiology", "surgery"]),
    "south": (90, ["outcome", "ward", "crp", "sex", "age", "admitted", "patient_id"], ["surgery", "geriatrics"]),
    "west": (60, COLUMNS[::-1], ["cardiology", "geriatrics", "rehab"]),
}
NEW: list[list[object]] = [
    ["new-0", "2026-08-24", "91", "f", "74.5", "geriatrics"],
    ["new-1", "2026-03-02", "38", "m", "2.1", ""],  # nobody wrote down the ward
    ["new-2", "", "85", "f", "120", "intensive care"],  # a ward that no hospital has
]


def rows(name: str, count: int, wards: list[str], chance: random.Random) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for number in range(count):
        age, crp, ward = chance.gauss(60, 15), chance.expovariate(1 / 20), chance.choice(wards)
        risk = (age - 60) / 15 + (crp - 20) / 15 + (ward == "geriatrics") + chance.gauss(0, 0.7)
        found.append(
            {
                "patient_id": f"{name}-{number}",
                "admitted": f"2026-0{chance.randint(1, 9)}-{chance.randint(10, 28)}",
                "age": "" if chance.random() < 0.08 else round(age, 1),
                "sex": chance.choice("fm"),
                "crp": "" if chance.random() < 0.1 else round(crp, 2),
                "ward": ward,
                "outcome": "poor" if risk > 0.6 else "good",
            }
        )
    return found


def write(name: str, columns: list[str], lines: list[list[object]]) -> None:
    with Path(f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *lines])
    print(f"{name}.csv: {len(lines)} rows of {', '.join(columns)}")


def main() -> None:
    chance = random.Random(1)
    for name, (count, columns, wards) in SITES.items():
        write(name, columns, [[row[column] for column in columns] for row in rows(name, count, wards, chance)])
    write("new", COLUMNS[:-1], NEW)


if __name__ == "__main__":
    main()
