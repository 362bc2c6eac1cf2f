"""What does not go with regions is refused by name, before anything is started."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.experiment.loader import load_experiment
from nervenet.nodes.launching import preparation
from nervenet.nodes.launching.data_shares import DataShares
from nervenet.nodes.launching.launcher import launch
from nervenet.nodes.launching.preflight import capped, check_data
from nervenet.nodes.launching.regions import checks
from nervenet.nodes.launching.regions.checks import regional_problems

PLAIN = {"hierarchy.regions": 2, "nodes": 5}


def problem(**changes: Any) -> str:
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return next(regional_problems(load_experiment(overrides=PLAIN | given)), "")


def test_what_does_not_depend_on_each_client_goes_with_regions() -> None:
    assert problem() == ""
    for strategy in ("fedprox", "fedavgm", "fedadam"):
        assert problem(federated__strategy=strategy) == ""
    assert problem(evaluation__sites=True, federated__participation=0.5, federated__quorum=0.5) == ""
    assert problem(federated__min_clients=2, hierarchy__deadline_s=29, processes=2) == ""
    assert problem(cluster__on="dask") == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "gossip"}, "hierarchy.regions = 2: regions are of federated runs, and mode = 'gossip'"),
        ({"nodes": 1}, "hierarchy.regions = 2: expected at most nodes = 1"),
        ({"federated__strategy": "median"}, "federated.strategy = 'median'"),
        ({"federated__compression": "delta+int8"}, "federated.compression"),
        ({"federated__fine_tune": 2}, "federated.fine_tune"),
        ({"training__carry_optimizer": True}, "training.carry_optimizer"),
        ({"training__class_weight": "balanced"}, "training.class_weight"),
        ({"evaluation__site_matrix": True}, "evaluation.site_matrix"),
        ({"model__name": "sklearn.naive_bayes.GaussianNB", "rounds": 1}, "model.name"),
        ({"hierarchy__deadline_s": 30}, "expected less than federated.deadline_s = 30"),
        ({"federated__min_clients": 3}, "federated.min_clients = 3"),
        ({"network__min_nodes": 4}, "network.min_nodes = 4"),
        ({"network__transport": "inproc", "processes": 1}, "network.transport = 'inproc'"),
    ],
)
def test_what_does_not_go_with_regions_is_named(changes: dict[str, Any], words: str) -> None:
    assert words in problem(**changes)


def test_what_depends_on_the_number_of_sites_is_looked_at_when_they_are_counted() -> None:
    for changes in ({"nodes": 1}, {"federated.min_clients": 3}, {"network.min_nodes": 4}):
        asked = load_experiment(overrides=PLAIN | changes)
        assert list(regional_problems(asked))
        assert not list(regional_problems(asked, counted=False))
    for further in ({"mode": "gossip"}, {"federated.strategy": "median"}, {"hierarchy.deadline_s": 30}):
        assert list(regional_problems(load_experiment(overrides=PLAIN | further), counted=False))


async def test_what_no_region_learns_is_refused_before_an_engine_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(preparation, "open_engine", lambda *given: opened.append(given))
    server: Any = SimpleNamespace(close=lambda: None)
    asked = load_experiment(overrides=PLAIN | {"mode": "gossip"})
    with pytest.raises(ExperimentError, match=r"hierarchy\.regions = 2: regions are of federated runs"):
        await launch(asked, on=object(), data=object(), fork_server=server)
    assert opened == []


async def test_a_launch_refuses_it_before_there_is_a_folder(tmp_path: Path) -> None:
    closed: list[bool] = []
    server: Any = SimpleNamespace(close=lambda: closed.append(True))
    asked = load_experiment(overrides=PLAIN | {"hierarchy.regions": 9})
    with pytest.raises(ExperimentError, match=r"hierarchy\.regions = 9: expected at most nodes = 5"):
        await launch(asked, out=tmp_path / "run", fork_server=server)
    assert closed == [True]
    assert not (tmp_path / "run").exists()


def test_tables_whose_pipelines_ask_more_than_a_region_sums_are_refused() -> None:
    mixed = DataShares(("a",), "classification", 9, kinds=("category",))  # type: ignore[arg-type]
    with pytest.raises(ExperimentError, match=r"hierarchy\.regions = 2: .* has text, dates or gaps"):
        check_data(load_experiment(overrides=PLAIN), mixed, initial=False)
    check_data(load_experiment(overrides={"nodes": 5}), mixed, initial=False)


def test_rows_are_compared_within_a_region_and_then_between_them() -> None:
    experiment = load_experiment(overrides=PLAIN | {"nodes": 4, "federated.max_examples_ratio": 2.0})
    shares = DataShares(("a",), "classification", 9, sizes=(10, 10, 10, 50))
    assert [line.split()[0] for line in capped(experiment, shares)] == ["client-3", "region-1"]
    flat = load_experiment(overrides={"nodes": 4, "federated.max_examples_ratio": 2.0})
    assert [line.split()[0] for line in capped(flat, shares)] == ["client-3"]


def test_what_is_for_regions_needs_them() -> None:
    for key, value in (("region_rounds", 2), ("deadline_s", 3.0)):
        given = {f"hierarchy.{key}": value}
        (found,) = regional_problems(load_experiment(overrides={"nodes": 4} | given))
        assert found == f"hierarchy.{key} = {value}: is for regions; expected hierarchy.regions (--regions N) beside it"
        assert not list(regional_problems(load_experiment(overrides={"nodes": 4, "hierarchy.regions": 2} | given)))
    assert not list(regional_problems(load_experiment(overrides={"hierarchy.region_rounds": 1})))


def test_unless_they_are_looked_for_they_are_taken_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "idle_hierarchy", lambda experiment: [])
    assert not list(regional_problems(load_experiment(overrides={"hierarchy.region_rounds": 2})))
