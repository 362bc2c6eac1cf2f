"""From the keywords of an embedded node to the same checked experiment and learner that a launched one has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..experiment.validation import check_scorers
from .keys import override
from .schema import Experiment, ExperimentError

if TYPE_CHECKING:
    from nervenet.models.model import Model
    from nervenet.models.site_model import SiteModel


def experiment_from_keywords(mode: str, wanted: Mapping[str, object], base: Experiment | None) -> Experiment:
    """Lay the keywords that were given over `base` (or the defaults, for two nodes) and check the whole.

    Raises
    ------
    ExperimentError
        Naming the key, what was found and what is allowed.
    """
    tables: dict[str, Any] = {"nodes": 2} if base is None else base.to_dict()
    given = {key: value for key, value in wanted.items() if value is not None}
    experiment = Experiment.from_dict(override(tables, {**given, "mode": mode}))
    check_scorers(experiment)
    return experiment


def build_model(experiment: Experiment) -> Model:
    """Build the model that an experiment names.

    Raises
    ------
    ExperimentError, CannotMerge
        For an unknown name or argument, or an estimator whose copies cannot be averaged.
    """
    from nervenet.models.registry import named_model

    model, training = experiment.model, experiment.training
    parameters: dict[str, Any] = dict(model.parameters)
    if model.name == "mlp":
        parameters |= {
            "hidden": model.hidden,
            "activation": model.activation,
            "dtype": model.dtype,
            "optimizer": training.rule,
            "learning_rate": training.learning_rate,
            "momentum": training.momentum,
            "l2": training.l2,
        }
    try:
        return named_model(model.name, parameters)
    except ValueError as error:
        raise ExperimentError(f"model.name: {error}") from error


def build_site_model(
    model: object,
    data: tuple[Any, Any] | None,
    experiment: Experiment,
    *,
    columns: Sequence[str] | None = None,
    task: str | None = None,
    test: tuple[Any, Any] | None = None,
    holdout: float = 0.0,
) -> SiteModel:
    """Tie a model to one site's rows.

    `task` is what the whole data set is for ("classification" or "regression"): a site's own few rows may look
    otherwise. A model that can do only one of the two knows better, and keeps its own.

    Raises
    ------
    CannotMerge
        If copies of the model cannot be averaged.
    """
    from nervenet.models.registry import as_model
    from nervenet.models.site_model import SiteModel

    X, y = data if data is not None else (None, None)
    ready = as_model(model)
    return SiteModel(
        ready,
        X,
        y,
        columns=columns,
        task=task if getattr(ready, "classifies", None) is None else None,
        test=test,
        holdout=0.0 if test is not None else holdout,
        seed=experiment.seed,
        scorers=experiment.evaluation.scorers,
    )
