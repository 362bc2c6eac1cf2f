#!/bin/sh
# nvflare 2.9.0, federated statistics: the helpers by which its controller and its sites compute them, in its order.
#
# Guess: `precision`, 4 by default, rounds what is printed: mean and deviation of all sites are those of one table to
#        as many digits as are shown, and a histogram between the smallest and the largest value counts each row once.
# Seen:  it rounds what the next step is computed from, and to decimals, not digits. Doses in grams, 2e-5 on average,
#        have a mean and a deviation of 0.0, and bins whose edges have become equal count rows again: 609 of 600. Of
#        ages smallest and largest value are rounded inwards as often as not, and a histogram then loses the row or
#        two at its ends: 538 of 540. A `precision` of 12 mends that, but not the bins of the doses, 666 of 600 then:
#        four decimals of a column's unit have to be enough.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nvflare==2.9.0 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import pandas as pd
from nvflare.app_common.app_constant import StatisticsConstants as Names
from nvflare.app_common.statistics.numeric_stats import get_global_stats
from nvflare.app_opt.statistics.df.df_core_statistics import DFStatisticsCore

print("nvflare", version("nvflare"), "pandas", pd.__version__)
rng = np.random.default_rng(0)
rows = pd.DataFrame({"dose": rng.gamma(2, 1e-5, 600), "age": rng.uniform(20, 90, 600)})
rows.loc[::10, "age"] = np.nan
sites = {"north": DFStatisticsCore(), "south": DFStatisticsCore()}
sites["north"].data, sites["south"].data = {"all": rows[:500]}, {"all": rows[500:]}


def asked(question):
    return {name: {"all": {column: question(site, column) for column in rows}} for name, site in sites.items()}


def federated(precision):
    first = {
        Names.STATS_COUNT: asked(lambda site, column: site.count("all", column)),
        Names.STATS_SUM: asked(lambda site, column: site.sum("all", column)),
        Names.STATS_MEAN: asked(lambda site, column: site.mean("all", column)),
        Names.STATS_MIN: asked(lambda site, column: site.min_value("all", column)),
        Names.STATS_MAX: asked(lambda site, column: site.max_value("all", column)),
    }
    known = get_global_stats({}, first, Names.STATS_1st_STATISTICS, {}, precision)
    of = {name: known[name]["all"] for name in first}
    counts, means, least, largest = (of[name] for name in (
        Names.STATS_COUNT, Names.STATS_MEAN, Names.STATS_MIN, Names.STATS_MAX
    ))
    second = {
        Names.STATS_VAR: asked(lambda site, c: site.variance_with_mean("all", c, means[c], counts[c])),
        Names.STATS_STDDEV: asked(lambda site, c: site.stddev("all", c)),
        Names.STATS_HISTOGRAM: asked(lambda site, c: site.histogram("all", c, 10, least[c], largest[c])),
    }
    known = get_global_stats(known, second, Names.STATS_2nd_STATISTICS, {}, precision)
    bins = {column: known[Names.STATS_HISTOGRAM]["all"][column].bins for column in rows}
    return {
        column: (
            float(known[Names.STATS_MEAN]["all"][column]),
            float(known[Names.STATS_STDDEV]["all"][column]),
            int(sum(each.sample_count for each in bins[column])),
        )
        for column in rows
    }


found = federated(4)
for column in rows:
    pooled = float(rows[column].mean()), float(rows[column].std()), int(rows[column].count())
    print(f"{column}: mean, deviation, rows in the histogram: {found[column]}; of one table {pooled}")
print("with a precision of 12 (the histogram's stays 4):", federated(12))
if found["dose"][1] > 0 and found["dose"][2] == 600 and found["age"][2] == 540:
    raise SystemExit("changed: only what is printed is rounded")
assert found["dose"][:2] == (0.0, 0.0) and found["dose"][2] != 600 and found["age"][2] < 540
PYTHON
