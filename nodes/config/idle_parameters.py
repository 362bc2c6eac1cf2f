"""Parameters of scikit-learn's estimators that training by rounds leaves unused."""

from __future__ import annotations

from collections.abc import Mapping


def idle_parameters(name: str, parameters: Mapping[str, object]) -> dict[str, str]:
    """Return why each parameter that has no effect on a model of this name has none; `parameters` are those given."""
    if not name.startswith("sklearn."):
        return {}
    network = name.startswith("sklearn.neural_network.")
    idle = {
        "max_iter": "training.epochs says how far a round goes, and rounds how many there are",
        "random_state": "all draws follow from the run's seed",
    }
    if name in ("sklearn.linear_model.SGDClassifier", "sklearn.linear_model.SGDRegressor") or (
        network and parameters.get("learning_rate") != "adaptive"  # which goes by them
    ):
        idle |= dict.fromkeys(("tol", "n_iter_no_change"), "nothing but the number of rounds ends the training")
    if network:
        idle["batch_size"] = "give training.batch_size"
    return idle
