"""What a run may ask of a model that is grown in round 0: each refusal names its key."""

from typing import Any

import pytest
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.experiment.ineffective import warnings
from nervenet.nodes.experiment.loader import checked_experiment

FOREST = {"name": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 20}


SHARED = {"trees": "shared"}


def made(**tables: Any) -> Any:
    return checked_experiment({"model": FOREST, **tables})


def test_one_round_where_it_is_left_open() -> None:
    assert made().rounds == 1
    assert made(mode="gossip").rounds == 1
    assert made(rounds=4).rounds == 4
    assert checked_experiment({}).rounds == 20


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"init": "runs/first"}, "init = 'runs/first': its model is grown in round 0"),
        ({"evaluation": {"site_matrix": True}}, "evaluation.site_matrix = true"),
        ({"federated": {"personal": ["value"]}}, r"federated.personal = \['value'\]"),
        ({"federated": {"ditto": 0.1}}, "federated.ditto = 0.1"),
        ({"federated": {"fine_tune": 2}}, "federated.fine_tune = 2"),
        ({"federated": {"compression": "float16"}}, "federated.compression = 'float16'.*rounded trees are none"),
        ({"mode": "gossip", "gossip": {"algorithm": "choco"}}, "gossip.algorithm = 'choco'"),
        ({"model": FOREST | {"max_leaf_nodes": 9}, "training": SHARED}, "training.trees = 'shared': max_leaf_nodes"),
        ({"training": SHARED | {"class_weight": "balanced"}}, "training.class_weight: with training.trees = 'shared'"),
        ({"data": {"name": "a.csv", "weight": "w"}, "training": SHARED}, "data.weight: with training.trees = 'shared'"),
    ],
)
def test_what_a_forest_has_no_use_for_is_refused(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        made(**tables)


def test_bytes_that_come_back_as_they_were_are_allowed() -> None:
    assert made(federated={"compression": "deflate"}).rounds == 1


def test_settings_of_steps_are_named() -> None:
    found = warnings(made(rounds=3, training={"epochs": 2, "learning_rate": 0.1, "class_weight": "balanced"}))
    assert found == [
        "training.epochs has no effect on a model that is grown in round 0",
        "training.learning_rate has no effect on a model that is grown in round 0",
        "rounds beyond 1 have no effect on a model that is grown in round 0",
    ]


def test_trees_that_all_sites_grow_are_of_a_forest() -> None:
    assert warnings(made(training=SHARED)) == []
    found = warnings(checked_experiment({"training": SHARED}))
    assert found == ["training.trees has no effect on mlp, which is no forest"]


def check_a_strategy_that_a_forest_cannot_follow_is_named_by_its_key() -> None:
    for key, value in (("strategy", "fedprox"), ("strategy", "scaffold")):
        with pytest.raises(ExperimentError) as refused:
            made(federated={key: value})
        assert f"federated.{key} = {value!r}: sklearn.ensemble.RandomForestClassifier: " in str(refused.value)


def test_a_strategy_that_a_forest_cannot_follow_is_named_by_its_key() -> None:
    check_a_strategy_that_a_forest_cannot_follow_is_named_by_its_key()


def test_without_the_check_it_would_be_found_in_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.models.local.check_support", lambda *given: None)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check_a_strategy_that_a_forest_cannot_follow_is_named_by_its_key()
