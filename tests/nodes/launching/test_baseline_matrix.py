"""Each site's own model at the others: on rows that no site trains on, in the order of the sites."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nervenet.models import datasets
from nervenet.models.data.splits import split
from nervenet.models.site_model import kept_rows
from nervenet.models.site_statistics import agree
from nervenet.nodes.config.factory import build_model, build_site_model
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.launching import baselines
from nervenet.nodes.launching.baseline_matrix import SiteRowsKept, own_hold_outs
from nervenet.nodes.launching.baselines import local_only, trained
from nervenet.nodes.launching.shared_rows import pack_rows
from sklearn import metrics

TASKS = {"iris": "classification", "diabetes": "regression"}


def never() -> bool:
    return False


def divided(name: str, **keys: Any) -> tuple[Experiment, Any, Any, Any, Any]:
    """An experiment, its rows, the parts of three sites, its test rows and whose each is."""
    experiment = Experiment.from_dict({"data": {"name": name}, "rounds": 2, **keys})
    train, test = split(datasets.load(name), 0.2, seed=42)
    parts = np.array_split(np.random.default_rng(0).permutation(len(train)), [20, 60])
    return experiment, (train.X, train.y), parts, (test.X, test.y), np.arange(len(test)) % 3


@pytest.mark.parametrize("name", TASKS)
def test_each_model_has_scikit_learns_score_at_each_site(name: str) -> None:
    experiment, rows, parts, test, owners = divided(name, training={"learning_rate": 0.005})
    columns = tuple(datasets.load(name).columns)
    kept = SiteRowsKept(*test, owners, 3)
    mean, matrix = local_only(experiment, rows, parts, test, columns, TASKS[name], never, kept=kept)
    assert kept.rows == [len(test[1][place::3]) for place in range(3)]
    score = metrics.accuracy_score if name == "iris" else metrics.r2_score
    overall = []
    for part, found in zip(parts, matrix, strict=True):
        own = (rows[0][part], rows[1][part])
        classes = tuple(np.unique(rows[1]).tolist()) if name == "iris" else None
        model = trained(experiment, own, test, columns, TASKS[name], never, classes)
        for site in range(3):
            X, y = test[0][site::3], test[1][site::3]
            assert found[site] == pytest.approx(score(y, model.predict(X)), rel=1e-6)
        overall.append(score(test[1], model.predict(test[0])))
    assert mean == pytest.approx(np.mean(overall), rel=1e-5)


def test_a_site_without_rows_and_a_model_that_diverged_are_gaps() -> None:
    experiment, rows, parts, test, _ = divided("iris", training={"learning_rate": 1e30})
    columns = tuple(datasets.load("iris").columns)
    kept = SiteRowsKept(*test, np.where(np.arange(len(test[1])) % 2, 0, -1), 3)
    mean, matrix = local_only(experiment, rows, parts, test, columns, "classification", never, kept=kept)
    assert mean is None
    assert matrix == [[None] * 3] * 3
    assert kept.rows == [15, 0, 0]
    fine = trained(divided("iris")[0], rows, test, columns, "classification", never)
    first, *rest = kept.scores(fine)
    assert first is not None
    assert rest == [None, None]


def test_what_a_site_keeps_is_what_its_client_keeps() -> None:
    experiment, rows, parts, _, _ = divided("iris", evaluation={"sites": True}, seed=7)
    trained_on, kept = own_hold_outs(experiment, rows, parts, "classification")
    for place, part in enumerate(parts):
        own = (rows[0][part], rows[1][part])
        client = build_site_model(build_model(experiment), own, experiment, task="classification", holdout=0.2)
        client.build(agree({"one": client.statistics()}), 0)
        X, y = kept_rows(client) or (None, None)
        assert np.array_equal(X, kept.X[kept.owners == place])
        assert np.array_equal(y, kept.y[kept.owners == place])
        assert client.examples == len(trained_on[place])
        assert not set(trained_on[place]) & {i for i in part if i not in trained_on[place]}


async def reported(monkeypatch: pytest.MonkeyPatch, *, owned: bool, **evaluation: Any) -> dict[str, Any]:
    """What the baselines' process reports."""
    experiment, rows, parts, test, owners = divided("iris", evaluation=evaluation)
    reports: list[dict[str, Any]] = []

    async def report_once(*given: Any, **_: Any) -> None:
        reports.append(given[-1])

    monkeypatch.setattr(baselines, "report_once", report_once)
    further = [np.concatenate(parts), np.array([len(part) for part in parts]), *([owners] if owned else [])]
    whole = pack_rows(rows, test, further=further)
    job = {"experiment": experiment.to_dict(), "columns": list("abcd"), "task": "classification", "rounds": 1}
    job |= {"run": "r", "report_server": {}, "events_in": "tcp://127.0.0.1:9"}
    assert await baselines.report_baselines(job, [whole]) == 0
    return reports[0]


async def test_a_matrix_is_reported_where_sites_have_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (await reported(monkeypatch, owned=True))["site_matrix"]
    assert found["rows"] == [10, 10, 10]
    assert np.array(found["scores"]).shape == (3, 3)
    assert "site_matrix" not in await reported(monkeypatch, owned=False)
    assert "site_matrix" not in await reported(monkeypatch, owned=True, site_matrix=False)
    of_clients = (await reported(monkeypatch, owned=False, sites=True))["site_matrix"]
    assert of_clients["rows"] == [4, 8, 12]


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("held_out", [{"sites": True}, {}])
async def test_no_baseline_trains_on_what_clients_keep(
    monkeypatch: pytest.MonkeyPatch, owned: bool, held_out: dict[str, Any]
) -> None:
    sizes: list[int] = []
    train = baselines.trained

    def noted(experiment: Any, rows: tuple[Any, ...], *given: Any) -> Any:
        sizes.append(len(rows[1]))
        return train(experiment, rows, *given)

    monkeypatch.setattr(baselines, "trained", noted)
    await reported(monkeypatch, owned=owned, **held_out)
    together, *alone = sizes
    assert together == sum(alone) == 120 - (24 if held_out else 0)
