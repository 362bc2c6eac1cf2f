"""Files with nothing to learn are refused before a process starts, naming file, column and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nervenet.models.data.data import DataError
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.config.schema import Experiment
from nervenet.nodes.experiment.model_size import check_size
from nervenet.nodes.launching import data_shares, learnable
from nervenet.nodes.launching.data_shares import divide

ONE_CLASS = ("x,ward,y", lambda row: f"{row / 2},{'ab'[row % 2]},yes")
IDS = ("id,k,y", lambda row: f"n{row},same,{'pq'[row % 2]}")
CONSTANTS = ("u,k,y", lambda row: f"1,same,{'pq'[row % 2]}")
PLAIN = ("u,k,y", lambda row: f"1,2,{'pq'[row % 2]}")
ONLY_DATES = ("admitted,y", lambda row: f"2026-01-{1 + row % 28:02},{'pq'[row % 2]}")
CODES = ("ward,y", lambda row: f"{row % 3}a,{'pq'[row % 2]}")


def experiment(folder: Path, kind: tuple[str, Any], *, sites: bool, **data: Any) -> Experiment:
    header, row = kind
    files = [folder / "north.csv", folder / "south.csv"]
    for place, file in enumerate(files):
        file.write_text("\n".join([header, *map(row, range(place * 30, place * 30 + 30))]))
    source = {"sites": list(map(str, files))} if sites else {"name": str(files[0])}
    return Experiment.from_dict({"nodes": 2, "data": {**source, **data}})


@pytest.mark.parametrize("sites", [True, False], ids=["sites", "one file"])
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (ONE_CLASS, 'north.csv.*: column "y", the target, has yes in all .* rows; expected two classes.*--target'),
        (IDS, "north.csv.*: no column is left for the model: id .each row has another text.*k .all rows have 'same'"),
        (CONSTANTS, "no column is left for the model: u .all rows have the same value.*k .all rows have 'same'"),
        (PLAIN, "no column is left for the model: u .all rows have the same value.*k .all rows have the same value"),
    ],
)
def test_files_with_nothing_to_learn_are_refused(tmp_path: Path, kind: Any, said: str, *, sites: bool) -> None:
    with pytest.raises(DataError, match=said) as refused:
        divide(experiment(tmp_path, kind, sites=sites))
    assert "south.csv" in str(refused.value) or not sites


@pytest.mark.parametrize("kind", [ONLY_DATES, CODES])
def test_a_single_column_of_use_is_enough(tmp_path: Path, kind: Any) -> None:
    divide(experiment(tmp_path, kind, sites=True)).close()


def test_a_pipeline_of_ones_own_leaves_nothing_out(tmp_path: Path) -> None:
    divide(experiment(tmp_path, IDS, sites=True, preprocess="mine:prepare")).close()


def test_without_the_checks_processes_would_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_shares, "check_classes", lambda *_: None)
    monkeypatch.setattr(data_shares, "check_columns", lambda *_: None)
    for kind in (ONE_CLASS, IDS, CONSTANTS, PLAIN):
        divide(experiment(tmp_path, kind, sites=True)).close()


def test_a_model_is_as_wide_as_its_categories_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shares(**data: Any) -> int:
        found = divide(experiment(tmp_path, wide, sites=True, **data))
        found.close()
        check_size(own, found.features, 2)
        return found.features

    wide = ("admitted,code,x,y", lambda row: f"2026-01-{1 + row % 28:02},c{row // 2},{row / 4},{'pq'[row % 2]}")
    network = {"max_message_bytes": 65_536}
    whole = {"strategy": "krum"}  # needs each update in one message
    own = Experiment.from_dict({"nodes": 2, "federated": whole, "network": network, "model": {"hidden": [700]}})
    with pytest.raises(ExperimentError, match=r"parameters of float32 are [\d,]+ bytes, and a message carries at most"):
        shares()
    assert shares(min_frequency=3) == 7  # all codes are rare, and taken together
    assert shares(drop=["code"]) == 6
    monkeypatch.setattr(learnable, "_features", lambda *_: 1)
    assert shares() == 3  # by its columns alone the model would pass


QUANTITY = ("x,ward,y", lambda row: f"{row / 4},{'abc'[row % 3]},{row * 1.5}")


def test_of_a_quantity_and_categories_smaller_steps_are_advised(tmp_path: Path) -> None:
    def notes(kind: Any = QUANTITY, **tables: Any) -> tuple[str, ...]:
        chosen = experiment(tmp_path, kind, sites=True).to_dict() | tables
        shares = divide(Experiment.from_dict(chosen))
        shares.close()
        return shares.notes

    [advice] = notes()
    assert "--learning-rate 0.005" in advice
    assert notes(training={"learning_rate": 0.005}) == ()
    assert notes(training={"optimizer": "adam"}) == ()
    assert notes(model={"name": "sklearn.linear_model.SGDRegressor"}) == ()
    assert notes(ONLY_DATES) == ()
    assert notes(("x,z,y", lambda row: f"{row / 4},{row % 3},{row * 1.5}")) == ()
