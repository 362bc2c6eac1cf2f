"""Settings without effect are named."""

from nervenet.nodes.experiment.ineffective import idle_in_simulation, idle_simulation, warnings
from nervenet.nodes.experiment.loader import load_experiment


def test_settings_without_effect_are_named_only_when_changed() -> None:
    assert warnings(load_experiment()) == []
    assert warnings(load_experiment(overrides={"gossip.topology": "star"})) == [
        "gossip.topology has no effect in federated mode"
    ]
    assert "data.alpha has no effect" in warnings(load_experiment(overrides={"data.alpha": 0.3}))[0]
    given = {"model.name": "sklearn.linear_model.SGDClassifier", "training.learning_rate": 0.1}
    assert "training.learning_rate has no effect" in warnings(load_experiment(overrides=given))[0]
    steering = {
        "evaluation.until": "r2=0.4",
        "evaluation.patience": 3,
        "evaluation.budget_s": 9,
        "evaluation.sites": True,
        "evaluation.report_rows": 5,
    }
    assert warnings(load_experiment(overrides=steering)) == []
    found = warnings(load_experiment(overrides={**steering, "mode": "gossip"}))
    assert sorted(found) == sorted(f"{key} has no effect in gossip mode" for key in steering)
    alone = warnings(load_experiment(overrides={"evaluation.min_delta": 0.1}))
    assert alone == ["evaluation.min_delta has no effect without evaluation.patience"]


def given_defaults(said: tuple[str, ...]) -> list[str]:
    """What is told of keys of another mode that are given the values which they have anyway."""
    given = {"gossip.topology": "ring", "gossip.algorithm": "dpsgd", "mode": "federated"}
    assert load_experiment(overrides=given) == load_experiment()
    return warnings(load_experiment(overrides=given), said)


def test_what_is_said_of_another_mode_is_named_even_where_it_is_the_default() -> None:
    assert given_defaults(("gossip.topology", "mode")) == ["gossip.topology has no effect in federated mode"]
    steering = {"evaluation.patience": None, "federated.participation": 1.0, "federated.strategy": "fedavg"}
    found = warnings(load_experiment(overrides={"mode": "gossip", **steering}), list(steering))
    assert sorted(found) == sorted(f"{key} has no effect in gossip mode" for key in steering)
    (idle,) = idle_simulation(load_experiment(), ["hierarchy.region_rounds", "rounds"])
    assert idle == "hierarchy.region_rounds has no effect without hierarchy.regions"


def test_without_knowing_what_was_said_a_default_of_another_mode_goes_unnamed() -> None:
    assert given_defaults(()) == []  # as it was for who had typed --topology ring


def test_what_a_simulation_has_none_of_is_named() -> None:
    given = {"cluster.on": "dask", "network.insecure": True, "site.audit": True, "processes": 2}
    assert idle_in_simulation(load_experiment()) == []
    found = idle_in_simulation(load_experiment(overrides=given))
    assert sorted(found) == sorted(f"{key} has no effect in nervenet simulate" for key in given)
    assert warnings(load_experiment(overrides=given)) == []  # for a launch they have


def test_what_only_regions_have_is_named_where_there_are_none() -> None:
    given = {"hierarchy.region_rounds": 1}
    line = "hierarchy.region_rounds has no effect without hierarchy.regions"
    for idle in (idle_in_simulation, idle_simulation):
        assert idle(load_experiment(overrides=given), list(given)) == [line]
        assert idle(load_experiment(overrides=given | {"hierarchy.regions": 2}), list(given)) == []
        assert idle(load_experiment(overrides={"hierarchy.region_rounds": 2})) == [], "which is refused"


def idle(name: str, **parameters: object) -> str:
    given = {"model.name": f"sklearn.{name}", **{f"model.{key}": value for key, value in parameters.items()}}
    return " ".join(warnings(load_experiment(overrides=given)))


def test_parameters_that_training_by_rounds_leaves_unused_are_named() -> None:
    given = {"max_iter": 7, "random_state": 1, "tol": 0.1, "n_iter_no_change": 3}
    for name in ("linear_model.SGDClassifier", "neural_network.MLPClassifier"):
        found = idle(name, **given)
        assert all(f"model.{key} has no effect" in found for key in given), name
    adaptive = idle("neural_network.MLPClassifier", learning_rate="adaptive", solver="sgd", **given)
    assert "model.tol" not in adaptive
    assert "model.max_iter" in adaptive
    assert "model.batch_size has no effect here: give training.batch_size" in idle(
        "neural_network.MLPClassifier", batch_size=3
    )
    logistic = idle("linear_model.LogisticRegression", max_iter=7, tol=0.1)
    assert "model.max_iter" in logistic
    assert "model.tol" not in logistic, "its solver goes by it"


def test_logistic_regression_has_no_batches() -> None:
    given = {"model.name": "sklearn.linear_model.LogisticRegression", "training.batch_size": 3, "training.epochs": 2}
    (found,) = warnings(load_experiment(overrides=given))
    assert "training.batch_size has no effect on LogisticRegression" in found


def test_weights_that_cancel_in_batches_of_one_row_are_named() -> None:
    given = {"training.class_weight": "balanced", "training.batch_size": 1}
    assert "so that in training they cancel" in warnings(load_experiment(overrides=given))[0]
    assert warnings(load_experiment(overrides=given | {"model.name": "sklearn.linear_model.SGDClassifier"})) == []
