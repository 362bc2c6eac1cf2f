#!/bin/sh
# scikit-learn 1.9.1 with joblib 1.6 on Linux: the first predict of NearestCentroid, or KMeans, in a process.
#
# Guess: predict computes, and starts no other process.
# Seen:  with more than one core, the first call that counts threads asks joblib for the number of physical cores, and
#        joblib runs `lscpu`. Where a process may start none (a sandbox, a test that forbids it) that is a warning out of
#        predict. LOKY_MAX_CPU_COUNT below the number of cores avoids it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy
"$folder/venv/bin/python" - <<'PYTHON'
import os
import subprocess
import sys

import joblib
import numpy as np
import sklearn
from sklearn.neighbors import NearestCentroid

print("scikit-learn", sklearn.__version__, "joblib", joblib.__version__)
if sys.platform != "linux" or (os.cpu_count() or 1) < 2:
    raise SystemExit("changed: not asked of one core, nor elsewhere in this way")
started = []
popen = subprocess.Popen.__init__
subprocess.Popen.__init__ = lambda self, args, *more, **named: (started.append(args), popen(self, args, *more, **named))[1]
X = np.arange(12.0).reshape(6, 2)
model = NearestCentroid().fit(X, [0, 0, 0, 1, 1, 1])
assert started == []
model.predict(X)
print("predict has started:", *started)
if not started:
    raise SystemExit("changed: predict starts no process")
PYTHON
