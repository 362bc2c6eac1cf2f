"""Parameters of scikit-learn's estimators that training by rounds leaves unused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nervenet.models.model import Model


def idle_lines(name: str, parameters: Mapping[str, object]) -> list[str]:
    """Return a line for each of these parameters of a model that has no effect, whoever gave them: file or program."""
    idle = idle_parameters(name, parameters)
    return [f"model.{key} has no effect here: {why}" for key, why in idle.items() if key in parameters]


def idle_lines_of(model: Model) -> list[str]:
    """Return `idle_lines` of what a program has given a scikit-learn estimator beyond the defaults of its class."""
    chosen = getattr(model, "chosen_parameters", None)
    if chosen is None:
        return []
    drawn = getattr(model, "given", None)
    seed = {} if getattr(drawn, "random_state", None) is None else {"random_state": "given"}
    return idle_lines(str(model.describe()["name"]), chosen() | seed)


def idle_parameters(name: str, parameters: Mapping[str, object]) -> dict[str, str]:
    """Return why each parameter that has no effect on a model of this name has none; `parameters` are those given."""
    if not name.startswith("sklearn."):
        return {}
    from nervenet.models.model import is_summed
    from nervenet.models.registry import FAMILIES, family_of

    if name in FAMILIES.builtin and is_summed(family := family_of(name, parameters)):
        return dict(family.idle)
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
