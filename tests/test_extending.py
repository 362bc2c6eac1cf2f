"""docs/extending.md: its distribution is installed as it stands there."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nervenet.models import Model
from nervenet.models.agreement.questions import settle
from nervenet.models.model import CannotMerge, LocalWork
from nervenet.models.rng import generator
from nervenet.models.site_model import SiteModel
from nervenet.nodes import ExperimentError, launch, load_experiment
from sklearn.dummy import DummyRegressor

from . import warm

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = {
    found["file"]: found["text"]
    for found in re.finditer(r"```\w+\n(?P<text># (?P<file>\S+)\n.*?)```", PAGE, re.DOTALL | re.MULTILINE)
}
DISTRIBUTION = tomllib.loads(BLOCKS["pyproject.toml"])["project"]
LIMITS = {"cautious": 30, "wheel": 15, "lazy": 60, "huber": 60, "adaline": 60, "dummy": 30, "to_sqlite": 30}


def install(folder: Path, entry_points: dict[str, dict[str, str]]) -> None:
    """Lay the distribution out as an installer does."""
    for name in (name for name in BLOCKS if name.endswith(".py")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(BLOCKS[name])
    metadata = folder / f"{DISTRIBUTION['name'].replace('-', '_')}-{DISTRIBUTION['version']}.dist-info"
    metadata.mkdir()
    named = f"Metadata-Version: 2.1\nName: {DISTRIBUTION['name']}\nVersion: {DISTRIBUTION['version']}\n"
    (metadata / "METADATA").write_text(named)
    groups = (
        f"[{group}]\n" + "".join(f"{name} = {where}\n" for name, where in group_of.items())
        for group, group_of in entry_points.items()
    )
    (metadata / "entry_points.txt").write_text("".join(groups))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path of this process and of those that it starts."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "nervenet_extras"]:
        del sys.modules[name]


@pytest.fixture
def installed(site: Path) -> None:
    install(site, DISTRIBUTION["entry-points"])


@pytest.mark.parametrize(("name", "lines"), LIMITS.items())
def test_each_example_is_short(name: str, lines: int) -> None:
    assert len(BLOCKS[f"nervenet_extras/{name}.py"].splitlines()) < lines


def test_every_entry_point_has_its_example() -> None:
    wheres = [where for group in DISTRIBUTION["entry-points"].values() for where in group.values()]
    assert {f"{where.partition(':')[0].replace('.', '/')}.py" for where in wheres} == set(BLOCKS) - {"pyproject.toml"}
    for where in wheres:
        module, _, attribute = where.partition(":")
        tree = ast.parse(BLOCKS[f"{module.replace('.', '/')}.py"])
        names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        names |= {target.id for node in tree.body if isinstance(node, ast.Assign) for target in node.targets}  # type: ignore[attr-defined]
        assert attribute in names


@pytest.mark.e2e
async def test_an_estimator_of_another_package_trains(installed: None, tmp_path: Path) -> None:
    """The other parts train as the page says: `test_pages`."""
    small = {"nodes": 4, "rounds": 8, "processes": 1, "evaluation.baseline": False, "data.name": "iris"}
    keys = {"model.name": "nervenet_extras.adaline:Adaline", "model.rate": 0.02}
    with warm.warm_fork_servers():
        summary = await launch(load_experiment(overrides={**small, **keys}), out=tmp_path / "run")
    assert summary["status"] == "completed"
    assert summary["accuracy"] > 0.7


def test_a_family_of_sums_of_another_package_is_exact(installed: None) -> None:
    X, y = np.arange(12.0).reshape(6, 2), np.array([1.0, 2.0, 4.0, 8.0, 16.0, 1e6])
    sites = {name: SiteModel(DummyRegressor(), X[rows], y[rows]) for name, rows in (("a", [0]), ("b", range(1, 6)))}
    agreed = settle(sites["a"].questions("none"), {name: each.answer for name, each in sites.items()}).preprocessing
    for each in sites.values():
        each.build(agreed, 0)
        each.train(LocalWork(), generator(0))
    sites["a"].set_weights(np.mean([each.get_weights() for each in sites.values()], axis=0))
    assert sites["a"].predict(X[:1]) == pytest.approx([y.mean()], rel=1e-12)
    named = load_experiment(overrides={"model.name": "sklearn.dummy.DummyRegressor"})
    assert (named.rounds, named.data.scaling) == (1, "none")
    with pytest.raises(CannotMerge, match="strategy='median' does not follow from sums"):
        SiteModel(DummyRegressor(strategy="median"), X, y)


def test_an_argument_of_another_packages_part_is_checked_like_any_other(installed: None) -> None:
    with pytest.raises(ExperimentError, match=r"federated.share = 2: expected a number <= 1"):
        load_experiment(overrides={"federated.strategy": "cautious", "federated.share": 2})
    with pytest.raises(ExperimentError, match=r"gossip.shard: there is no such key; did you mean gossip.share\?"):
        load_experiment(overrides={"mode": "gossip", "gossip.algorithm": "lazy", "gossip.shard": 0.5})
    with pytest.raises(ExperimentError, match=r"huber has no parameter 'rat'; allowed are delta, rate"):
        load_experiment(overrides={"federated.strategy": "fedprox", "model.name": "huber", "model.rat": 1})


@pytest.mark.parametrize(
    ("key", "near", "name"),
    [
        ("federated.strategy", "cautios", "cautious"),
        ("gossip.topology", "weel", "wheel"),
        ("gossip.algorithm", "lasy", "lazy"),
        ("model.name", "hubert", "huber"),
    ],
)
def test_a_wrong_name_lists_those_of_other_packages_too(installed: None, key: str, near: str, name: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        load_experiment(overrides={"mode": "gossip" if key.startswith("gossip") else "federated", key: near})
    assert re.search(rf"{key} = '{near}': expected .*\b{name}\b.* \(did you mean {name}\?\)", str(caught.value))


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ("nervenet_extras.nothing:Cautious", "cannot be imported: No module named 'nervenet_extras.nothing'"),
        ("nervenet_extras.cautious:Nothing", "cannot be imported: module 'nervenet_extras.cautious' has no attribute"),
        ("nervenet_extras.lazy:Lazy", "lacks demands, apply; docs/extending.md describes what is expected"),
    ],
)
def test_an_entry_point_that_cannot_be_used_is_named(site: Path, where: str, reason: str) -> None:
    install(site, {"nervenet.strategies": {"cautious": where}})
    with pytest.raises(ExperimentError) as caught:
        load_experiment(overrides={"federated.strategy": "cautious"})
    assert str(caught.value).startswith(f"federated.strategy = 'cautious': {reason}")


def test_a_row_that_is_no_topology_is_refused(site: Path) -> None:
    install(site, {"nervenet.topologies": {"wheel": "nervenet_extras.wheel:wheel"}})
    with pytest.raises(ExperimentError, match=r"gossip.topology = 'wheel': is no nervenet.nodes.topology.Topology"):
        load_experiment(overrides={"mode": "gossip", "gossip.topology": "wheel"})


def test_a_built_in_name_is_not_replaced(site: Path) -> None:
    install(site, {"nervenet.strategies": {"fedavgm": "nervenet_extras.nothing:Nothing"}})
    assert load_experiment(overrides={"federated.strategy": "fedavgm"}).federated.strategy == "fedavgm"


def test_every_member_of_the_model_protocol_is_described() -> None:
    table = PAGE[PAGE.index("## The Model protocol") :]
    described = re.findall(r"^\| `(\w+)", table, re.MULTILINE)
    members = {name for name in {**vars(Model), **Model.__annotations__} if not name.startswith("_")}
    assert sorted(described) == sorted(members)
