"""Seven sites of skewed size and content, and what comes of the same rows pooled."""

import json
import re

import numpy as np
from nervenet.models.agreement.questions import Dialog
from nervenet.models.pipeline.fit import Fitted, PipelineSite, fit_questions
from nervenet.models.tables.table import GAP, Table

ROWS = (400, 1, 37, 90, 5, 2, 211)
NUMBERS = ("plain", "ties", "offset", "gappy", "tiny", "constant", "visits")
TEXTS = ("ward", "rare", "holes")
DTYPES = {"number": float, "category": object, "date": "datetime64[s]"}


def title(step):
    """The step as text, the same in every process: a function's own text has its address in memory."""
    return re.sub(r"<function (\w+) at 0x\w+>", r"\1", " ".join(str(step).split()))


def rows(seed=0):
    """The rows of each site, as columns by name, and their targets: classes, and a quantity.

    Site 1 has one row; site 2 has only gaps in `gappy` and `holes`; sites differ in their levels and categories.
    """
    rng = np.random.default_rng(seed)
    tables, classes, quantities = [], [], []
    for site, count in enumerate(ROWS):
        wards = np.array(["icu", "er", "lab", "ward é", f"only {site}"], object)
        rare = np.array([f"r{k}" for k in range(12)], object)
        holes = rng.choice(np.array(["yes", "no", GAP], object), count, p=[0.3, 0.5, 0.2])
        gappy = np.where(rng.random(count) < 0.3, np.nan, rng.normal(site, 2, count))
        if site == 2:
            gappy[:], holes[:] = np.nan, GAP
        tables.append(
            {
                "plain": rng.normal(site, 1 + site, count),
                "ties": rng.integers(-2, 3, count) + 0.0,
                "offset": 1e6 + site + rng.normal(size=count),
                "gappy": gappy,
                "tiny": rng.integers(-9, 9, count) * 5e-324,
                "constant": np.full(count, 0.1),
                "visits": rng.poisson(1 + site, count) + 0.0,
                "ward": rng.choice(wards, count),
                "rare": rng.choice(rare, count, p=np.arange(1, 13) / 78),
                "holes": holes,
                "day": np.datetime64("2026-01-01", "s") + rng.integers(0, 10**7, count),
            }
        )
        classes.append(rng.integers(0, 3, count))
        quantities.append(1e3 + rng.normal(size=count) + tables[-1]["ties"])
    return tables, classes, quantities


def kind(column):
    return "number" if column in NUMBERS else "date" if column == "day" else "category"


def table(columns, chosen):
    return Table(
        tuple(chosen),
        tuple(kind(name) for name in chosen),
        tuple(np.array(columns[name], DTYPES[kind(name)]) for name in chosen),
    )


def pool(tables):
    return {name: np.concatenate([one[name] for one in tables]) for name in tables[0]}


def frame(columns, chosen):
    import pandas as pd

    return pd.DataFrame({name: columns[name] for name in chosen})


def fitted(pipeline, chosen, seed=0, target=None, task=None, tables=None):
    """What the seven sites agree on, gone through JSON; and in how many exchanges."""
    found, classes, quantities = rows(seed)
    tables = tables or found
    targets = {None: [None] * len(tables), "classes": classes, "quantities": quantities}[target]
    sites = {
        f"s{k}": PipelineSite(pipeline, table(one, chosen), y)
        for k, (one, y) in enumerate(zip(tables, targets, strict=True))
    }
    task = task or {"classes": "classification", "quantities": "regression"}.get(target)
    dialog = Dialog(fit_questions(pipeline, chosen, [kind(name) for name in chosen], task=task))
    while dialog.question is not None:
        question = json.loads(json.dumps(dialog.question, allow_nan=False))
        assert question["ask"] == "fit"
        answers = {name: site.answer(question) for name, site in sites.items()}
        assert all(np.isfinite(answer.vector).all() for answer in answers.values())
        json.dumps({name: dict(answer.fields) for name, answer in answers.items()}, allow_nan=False)
        dialog.take(answers)
    done = dialog.agreed.to_dict()
    back = json.loads(json.dumps(done, allow_nan=False))
    assert back == done
    return Fitted.from_dict(back), dialog.step
