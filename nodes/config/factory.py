"""From an experiment to the parts of a node: its model, its graph, and what each of its tasks says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..topology import Schedule, schedule
from ..topology.edge_list import read
from .keys import ExperimentError
from .schema import Experiment
from .site_names import site_names

if TYPE_CHECKING:
    from nervenet.models.artifact import SavedModel
    from nervenet.models.data.written import WrittenColumns
    from nervenet.models.model import Model
    from nervenet.models.prepared_once import PreparedOnce
    from nervenet.models.site_model import SiteModel


def build_model(experiment: Experiment) -> Model:
    """Build the model that an experiment names.

    Raises
    ------
    ExperimentError, CannotMerge
        For an unknown name or argument, or an estimator whose copies cannot be averaged.
    """
    from nervenet.models.registry import named_model, parameters_of

    model, training = experiment.model, experiment.training
    parameters: dict[str, Any] = dict(model.parameters)
    try:
        own = parameters_of(model.name)
        parameters |= {key: getattr(model, key) for key in ("hidden", "activation", "dtype") if key in own}
        if model.name == "mlp":
            parameters |= {key: getattr(training, key) for key in ("learning_rate", "momentum", "l2")}
            parameters["optimizer"] = training.rule
        return named_model(model.name, parameters)
    except ValueError as error:
        text = str(error)
        raise ExperimentError(text if text.startswith("model.name") else f"model.name: {text}") from error


def initial_model(experiment: Experiment) -> SavedModel | None:
    """Return the saved model that an experiment starts from, if it does; ExperimentError if it cannot be read."""
    if experiment.init is None:
        return None
    from nervenet.models.artifact import ModelFileError, read_model

    try:
        return read_model(experiment.init)
    except ModelFileError as error:
        raise ExperimentError(f"init = {experiment.init!r}: {error}") from None


def build_site_model(
    model: object,
    data: tuple[Any, ...] | None,
    experiment: Experiment,
    *,
    columns: Sequence[str] | None = None,
    task: str | None = None,
    test: tuple[Any, ...] | None = None,
    test_rows: PreparedOnce | None = None,
    holdout: float = 0.0,
    written: WrittenColumns | None = None,
) -> SiteModel:
    """Tie a model to one site's rows: X and y, and how much each of them counts, if that differs.

    `written` is how the rows' file writes its columns; by `test_rows` the test set is prepared for others, too.

    `task` is what the whole data set is for ("classification" or "regression"), where that is known; else
    ``data.task`` says it, or the model, or in round 0 all sites together.

    Raises
    ------
    CannotMerge
        If copies of the model cannot be averaged.
    DataError
        For rows that the model cannot learn, or too few of them; for a pipeline that cannot be fitted on those of all.
    """
    from nervenet.models.registry import as_model
    from nervenet.models.site_model import SiteModel, share_test_rows

    own = as_model(model)
    if experiment.training.trees == "shared" and hasattr(own, "share_trees"):
        own.share_trees()
    site_model = SiteModel(
        own,
        *(data or (None, None)),
        columns=columns,
        task=task or experiment.data.task,
        test=test,
        holdout=0.0 if test is not None else holdout,
        min_rows=experiment.data.min_rows,
        seed=experiment.seed,
        scorers=experiment.evaluation.scorers,
        preprocess=experiment.data.preprocess,
        min_frequency=experiment.data.min_frequency,
        class_weight=experiment.training.class_weight,
        written=written,
    )
    if test_rows is not None:
        share_test_rows(site_model, test_rows)
    return site_model


def with_preprocess(experiment: Experiment, preprocess: object) -> Experiment:
    """Return an experiment with a pipeline of the user's own: as JSON, which any process, and a run folder, can hold.

    Raises DataError, naming the step, for one that cannot be fitted on the rows of all sites, or has no description.
    """
    if preprocess is None:
        return experiment
    from nervenet.models.pipeline.given import description_of, given_pipeline

    found = given_pipeline(preprocess)
    text = preprocess if isinstance(preprocess, str) else description_of(found)
    return replace(experiment, data=replace(experiment.data, preprocess=text))


def training_settings(experiment: Experiment, model: object) -> dict[str, Any]:
    """Return what a site may set for itself of how it trains: how much, in which batches, at which rate.

    The rate is that of the built-in network, however it was made; other models have theirs under [model].
    """
    training = experiment.training
    settings: dict[str, Any] = {key: getattr(training, key) for key in ("epochs", "local_steps", "batch_size")}
    if getattr(model, "name", None) == "mlp":
        settings["learning_rate"] = getattr(model, "learning_rate", None)
    return settings


def task_settings(experiment: Experiment, model: object) -> dict[str, Any]:
    """Return the training settings of one round, as a task carries them (`nervenet.models.local.LocalSettings`).

    Those that ``federated.site_settings`` leaves to the sites are not among them.
    """
    federated, settings = experiment.federated, training_settings(experiment, model)
    settings["carry_optimizer"] = experiment.carry_optimizer
    if experiment.mode == "federated":
        for key in federated.site_settings:
            settings.pop(key, None)
        if "epochs" in federated.site_settings:
            del settings["local_steps"]
        settings |= {"personal": list(federated.personal)} if federated.personal else {}
        settings |= {"ditto": federated.ditto} if federated.ditto else {}
    return settings


def final_task_settings(experiment: Experiment) -> dict[str, Any]:
    """Return what the last task of a federated run carries in addition to the training settings."""
    epochs = experiment.federated.fine_tune
    return {"fine_tune": epochs} if epochs else {}


def build_schedule(experiment: Experiment, members: Sequence[str]) -> Schedule:
    """Lay the experiment's topology over the members; every peer that knows their names gets the same.

    Raises
    ------
    TopologyError
    """
    gossip = experiment.gossip
    return schedule(
        gossip.topology,
        members,
        degree=gossip.degree,
        seed=experiment.seed,
        probability=gossip.probability,
        edges=gossip.edges,
    )


def default_node_names(count: int, role: str) -> list[str]:
    """Return the names that a launcher gives `count` nodes of one role: numbered, so that they sort in that order."""
    return [f"{role}-{i:0{len(str(count - 1))}d}" for i in range(count)]


def node_names(experiment: Experiment) -> list[str]:
    """Return the names of the clients or peers of a launched run, in their order: its sites', where it has some."""
    if experiment.data.sites:
        return list(site_names(experiment.data.sites))
    return default_node_names(experiment.nodes, "client" if experiment.mode == "federated" else "peer")


def edge_list_members(edges: str, count: int | None) -> list[str]:
    """Return the names in a file of edges, if they are the users' own and as many as `count`; else the default names.

    Without a count: as many as the file names, or as its greatest number asks for.
    """
    words = read(edges).words
    numbers = [int(word) for word in words if word.isdecimal()]
    names = default_node_names(count or max(len(words), max(numbers, default=0) + 1), "peer")
    own = len(words) == len(names) and not numbers and not set(words) & set(names)
    return words if own else names
