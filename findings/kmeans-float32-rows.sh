#!/bin/sh
# scikit-learn 1.9.1, numpy 2.4.6: KMeans, MiniBatchKMeans and BisectingKMeans, fitted to float64, asked about float32.
#
# Guess: predict and score take float32 rows whatever fit was given, as transform does, and as PCA, StandardScaler and
#        NearestCentroid do: rows are converted.
# Seen:  predict and score raise ValueError, "Buffer dtype mismatch, expected 'const float' but got 'double'"; transform
#        takes them. The other way round, fitted to float32 and asked about float64, it is the same error.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans

print("scikit-learn", sklearn.__version__)
X = np.random.default_rng(0).normal(size=(60, 3))


def outcome(model, method, rows):
    try:
        getattr(model, method)(rows)
    except ValueError as error:
        return str(error)
    return "works"


for family in (KMeans, MiniBatchKMeans, BisectingKMeans):
    for fitted, asked in ((np.float64, np.float32), (np.float32, np.float64)):
        model = family(n_clusters=3, n_init=1, random_state=0).fit(X.astype(fitted))
        seen = {method: outcome(model, method, X.astype(asked)) for method in ("predict", "score", "transform")}
        print(f"{family.__name__}, fitted to {fitted.__name__}, asked about {asked.__name__}: {seen}")
        assert "mismatch" in seen["predict"] and "mismatch" in seen["score"], "changed: the rows are converted"
        assert seen["transform"] == "works"
PYTHON
