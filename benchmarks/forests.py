"""A forest of ten sites against one of as many trees on the pooled rows, and how long their union takes.

    python benchmarks/forests.py [--seeds 5] [--trees 200] [--sites 10]

Each line has both scores from the same split, the rival being scikit-learn's own forest on all training rows; beside it
one whose trees have no more rows than those of a site have, a random tenth of the pooled ones, which is what trees of
that size can do. The time is that of the union: the check of every tree that came, and the forest that is made of them,
by the clock and of this processor.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from nervenet.models.agreement.questions import Dialog
from nervenet.models.site_model import SiteModel
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import train_test_split

DATA = {
    "digits": (load_digits, RandomForestClassifier, ExtraTreesClassifier),
    "breast_cancer": (load_breast_cancer, RandomForestClassifier, ExtraTreesClassifier),
    "diabetes": (load_diabetes, RandomForestRegressor, ExtraTreesRegressor),
}


def federated(estimator: Any, X: Any, y: Any, test: Any, sites: int, seed: int) -> tuple[float, float, float, int]:
    """Return the score of the union, the seconds that it took once all trees were there, and its bytes."""
    parts = np.array_split(np.random.default_rng(seed).permutation(len(y)), sites)
    models = {f"site-{k:02d}": SiteModel(estimator, X[rows], y[rows]) for k, rows in enumerate(parts)}
    for name, model in models.items():
        model.site = name
    judge = SiteModel(estimator, test=test)
    dialog = Dialog(judge.questions(seed=seed))
    while dialog.question is not None:
        answers = {name: model.answer(dialog.question) for name, model in models.items()}
        began, used = time.perf_counter(), time.process_time()
        dialog.take(answers)
    agreed: Any = dialog.agreed
    judge.build(agreed.preprocessing, seed)
    judge.set_weights(agreed.weights)
    judge.model.predict(np.zeros((1, agreed.preprocessing.n_features)))  # the forest is made of its arrays here
    merging, used = time.perf_counter() - began, time.process_time() - used
    scores = judge.evaluate()
    return scores.get("accuracy", scores.get("r2", np.nan)), merging, used, agreed.weights.nbytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--sites", type=int, default=10)
    args = parser.parse_args()
    print(f"{args.sites} sites, {args.trees} trees in all, mean of {args.seeds} splits (and the worst difference)")
    heads = {"sites": 8, "pooled": 8, "diff": 8, "worst": 8, "tenth": 8, "merge s": 9, "cpu s": 7, "MiB": 7}
    print(f"{'data':14s}{'forest':24s}" + "".join(f"{head:>{width}s}" for head, width in heads.items()))
    for name, (load, *families) in DATA.items():
        X, y = load(return_X_y=True)
        for family in families:
            found = []
            for seed in range(args.seeds):
                labels = None if name == "diabetes" else y
                X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=labels)
                *told, size = federated(family(args.trees), X_train, y_train, (X_test, y_test), args.sites, seed)
                pooled = family(args.trees, random_state=seed).fit(X_train, y_train).score(X_test, y_test)
                few = family(args.trees, random_state=seed, bootstrap=True, max_samples=1 / args.sites)
                found.append((*told, size, pooled, few.fit(X_train, y_train).score(X_test, y_test)))
            scores, times, used, sizes, pools, tenths = np.array(found).T
            worst = (scores - pools)[np.argmax(np.abs(scores - pools))]
            print(
                f"{name:14s}{family.__name__:24s}{scores.mean():8.3f}{pools.mean():8.3f}{(scores - pools).mean():+8.3f}"
                f"{worst:+8.3f}{tenths.mean():8.3f}{times.max():9.3f}{used.max():7.3f}{sizes.mean() / 2**20:7.1f}"
            )


if __name__ == "__main__":
    main()
