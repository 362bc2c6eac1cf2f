"""A forest of ten sites against one of as many trees on the pooled rows, and how long their union takes.

    python benchmarks/forests.py [--data digits] [--forest Random] [--seeds 5] [--trees 200] [--sites 10]

Each line has all scores from the same splits, the rival being scikit-learn's own forest on all training rows: that of
the sites' own trees, and that of trees which all sites grow together (`training.trees = "shared"`), with how many
seconds all of them took and how many MiB a site has sent; beside them one whose trees have no more rows than those of a
site have, a random tenth of the pooled ones, which is what trees of that size can do. "merge s" is the time of the
union: the check of every tree that came, and the forest that is made of them, by the clock and of this processor.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from nervenet.models.agreement.questions import Dialog
from nervenet.models.registry import as_model
from nervenet.models.site_model import SiteModel
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.model_selection import train_test_split

DATA = {
    "digits": (load_digits, RandomForestClassifier, ExtraTreesClassifier),
    "breast_cancer": (load_breast_cancer, RandomForestClassifier, ExtraTreesClassifier),
    "diabetes": (load_diabetes, RandomForestRegressor, ExtraTreesRegressor),
}


def federated(
    estimator: Any, X: Any, y: Any, test: Any, sites: int, seed: int, *, shared: bool
) -> tuple[float, float, float, float, float, float]:
    """Return the score, the seconds of the clock and of this processor that making the forest took once all answers
    were there, its MiB, the seconds of all, and the MiB of a site's answers.
    """

    def model_of() -> Any:
        model = as_model(estimator)
        if shared:
            model.share_trees()  # type: ignore[attr-defined]  # it is a forest
        return model

    parts = np.array_split(np.random.default_rng(seed).permutation(len(y)), sites)
    models = {f"site-{k:02d}": SiteModel(model_of(), X[rows], y[rows]) for k, rows in enumerate(parts)}
    for name, model in models.items():
        model.site = name
    judge, start, sent = SiteModel(model_of(), test=test), time.perf_counter(), 0
    dialog = Dialog(judge.questions(seed=seed))
    while dialog.question is not None:
        answers = {name: model.answer(dialog.question) for name, model in models.items()}
        sent += sum(answer.vector.nbytes for answer in answers.values())
        began, used = time.perf_counter(), time.process_time()
        dialog.take(answers)
    agreed: Any = dialog.agreed
    judge.build(agreed.preprocessing, seed)
    judge.set_weights(agreed.weights)
    judge.model.predict(np.zeros((1, agreed.preprocessing.n_features)))  # the forest is made of its arrays here
    merging, used, whole = time.perf_counter() - began, time.process_time() - used, time.perf_counter() - start
    scores, size = judge.evaluate(), agreed.weights.nbytes / 2**20
    return scores.get("accuracy", scores.get("r2", np.nan)), merging, used, size, whole, sent / sites / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument("--data", choices=DATA)
    parser.add_argument("--forest", default="", help="a part of the names of those that are wanted")
    args = parser.parse_args()
    print(f"{args.sites} sites, {args.trees} trees in all, mean of {args.seeds} splits (and the worst difference)")
    heads = (
        "own",
        "diff",
        "worst",
        "shared",
        "diff",
        "worst",
        "pooled",
        "tenth",
        "merge s",
        "cpu s",
        "MiB",
        "all s",
        "sent",
    )
    print(f"{'data':14s}{'forest':24s}" + "".join(f"{head:>8s}" for head in heads))
    for name, (load, *families) in DATA.items():
        if args.data not in (None, name):
            continue
        X, y = load(return_X_y=True)
        for family in families:
            if args.forest not in family.__name__:
                continue
            found = []
            for seed in range(args.seeds):
                labels = None if name == "diabetes" else y
                X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=seed, stratify=labels)
                rows = (X_train, y_train, (X_test, y_test), args.sites, seed)
                own, merging, used, size, *_ = federated(family(args.trees), *rows, shared=False)
                shared, *_, whole, sent = federated(family(args.trees), *rows, shared=True)
                pooled = family(args.trees, random_state=seed).fit(X_train, y_train).score(X_test, y_test)
                few = family(args.trees, random_state=seed, bootstrap=True, max_samples=1 / args.sites)
                tenth = few.fit(X_train, y_train).score(X_test, y_test)
                found.append((own, shared, pooled, tenth, merging, used, size, whole, sent))
            scores, together, pools, tenths, times, cpu, sizes, wholes, sents = np.array(found).T
            line = f"{name:14s}{family.__name__:24s}"
            for mine in (scores, together):
                apart = mine - pools
                line += f"{mine.mean():8.3f}{apart.mean():+8.3f}{apart[np.argmax(np.abs(apart))]:+8.3f}"
            line += f"{pools.mean():8.3f}{tenths.mean():8.3f}{times.max():8.3f}{cpu.max():8.3f}{sizes.mean():8.1f}"
            print(f"{line}{wholes.mean():8.1f}{sents.mean():8.1f}", flush=True)


if __name__ == "__main__":
    main()
