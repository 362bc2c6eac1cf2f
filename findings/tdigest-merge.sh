#!/bin/sh
# tdigest 0.5.2.2: quantiles of values that lie in several places, by a digest of each and the sum of the digests.
#
# Guess: a + b is a function of a and b: whoever adds the same digests has the same quantiles, to the bit.
# Seen:  the centroids of b are added in an order that is drawn anew each time from Python's global generator: medians of
#        the same two digests differ in the third digit. Sites that agree by comparing results never do, unless all seed it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tdigest==0.5.2.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import random
from importlib.metadata import version

import numpy as np
from tdigest import TDigest

print("tdigest", version("tdigest"))
rng = np.random.default_rng(0)
digests = []
for _ in range(2):
    digest = TDigest()
    random.seed(0)
    digest.batch_update(rng.normal(size=2000))
    digests.append(digest)
first, second = digests
medians = [float((first + second).percentile(50)) for _ in range(20)]
print("medians of the same sum, 20 times:", len(set(medians)), "values,", f"{min(medians):.5f} to {max(medians):.5f}")
seeded = set()
for _ in range(5):
    random.seed(7)
    seeded.add(float((first + second).percentile(50)))
print("with random.seed before each:", len(seeded), "value")
if len(set(medians)) == 1:
    raise SystemExit("changed: the same digests have the same sum")
PYTHON
