"""Settings without effect are named."""

from nervenet.nodes.experiment.ineffective import warnings
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
    }
    assert warnings(load_experiment(overrides=steering)) == []
    found = warnings(load_experiment(overrides={**steering, "mode": "gossip"}))
    assert sorted(found) == sorted(f"{key} has no effect in gossip mode" for key in steering)
    alone = warnings(load_experiment(overrides={"evaluation.min_delta": 0.1}))
    assert alone == ["evaluation.min_delta has no effect without evaluation.patience"]
