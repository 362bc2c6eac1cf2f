"""How long all sites take to agree on exact quantiles, beside what each site's own RobustScaler.fit takes.

Every site has as many rows of as many columns, without gaps. The agreement is a RobustScaler over all of them, in this
process: all answers of all sites, and what the one who asks makes of them. The rival is RobustScaler.fit of each site's
own rows, which agrees on nothing. Both run on one core, in turns; a smaller table shows what does not grow with rows.

    python benchmarks/round_zero.py [SITES ROWS COLUMNS]
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import sys
import time

import numpy as np
from nervenet.models.agreement.questions import Dialog
from nervenet.models.pipeline.fit import PipelineSite, fit_questions
from nervenet.models.tables.table import Table
from sklearn.preprocessing import RobustScaler

CASES = ((8, 1_000, 200), (8, 100_000, 200))


def tables(sites: int, rows: int, columns: int) -> list[Table]:
    """Sites of different levels and spreads; a third of the columns rounded, so that values come again."""
    names, kinds = tuple(f"x{k}" for k in range(columns)), ("number",) * columns
    found = []
    for site in range(sites):
        rng = np.random.default_rng(site)
        drawn = (rng.normal(k % 7 + site, 1 + site, rows) for k in range(columns))
        found.append(Table(names, kinds, tuple(x.round(1) if k % 3 == 0 else x for k, x in enumerate(drawn))))
    return found


def agreed(sites: list[Table]) -> tuple[float, float, int]:
    """Seconds, those of them at the one who asks, and bytes of the longest answer."""
    start = time.perf_counter()
    step = RobustScaler()
    answering = {f"s{k}": PipelineSite(step, table) for k, table in enumerate(sites)}
    dialog = Dialog(fit_questions(step, sites[0].columns, sites[0].kinds, task=None))
    asking, longest = 0.0, 0
    while dialog.question is not None:
        answers = {name: site.answer(dialog.question) for name, site in answering.items()}
        longest = max(longest, *(answer.vector.nbytes for answer in answers.values()))
        begun = time.perf_counter()
        dialog.take(answers)
        asking += time.perf_counter() - begun
    return time.perf_counter() - start, asking, longest


def alone(sites: list[Table]) -> float:
    """Seconds of every site's own fit, one after the other."""
    matrices = [table.block(table.columns) for table in sites]
    start = time.perf_counter()
    for X in matrices:
        RobustScaler().fit(X)
    return time.perf_counter() - start


def main() -> None:
    cases = (tuple(map(int, sys.argv[1:])),) if sys.argv[1:] else CASES
    print("sites x rows x columns      agreed, s   asking, s   longest answer   own fits, s   agreed/own")
    for sites, rows, columns in cases:
        found = tables(sites, rows, columns)
        own = alone(found)
        together, asking, longest = agreed(found)
        own = min(own, alone(found))
        line = f"{sites} x {rows:,} x {columns}".ljust(25)
        line += f"{together:12.2f} {asking:11.2f} {longest / 2**20:12.1f} MiB {own:13.2f} {together / own:12.2f}"
        print(line)


if __name__ == "__main__":
    main()
