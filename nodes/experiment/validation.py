"""What no single key can know of itself: settings that contradict each other, and settings without effect."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..config.keys import ExperimentError
from ..federated.early_stopping import Goal, GoalError, reported

if TYPE_CHECKING:
    from ..config.schema import Experiment
    from ..topology import TopologyError

WILDCARDS = ("*", "0.0.0.0", "::", "[::]")

# A socket's path is limited to about 104 bytes, of which the nodes' own file names need some 40.
IPC_FOLDER_BYTES = 64

STEERING = ("sites", "until", "patience", "min_delta", "budget_s")  # keys of [evaluation] that a coordinator heeds


def check(experiment: "Experiment") -> None:
    """Raise :class:`ExperimentError` for the first contradiction that can be known without the data."""
    for problem in (*_common(experiment), *_network(experiment), *_evaluation(experiment), *_mode(experiment)):
        raise ExperimentError(problem)


def remarks(experiment: "Experiment") -> list[str]:
    """Name the settings that were changed from their defaults and have no effect in this run."""
    other = "gossip" if experiment.mode == "federated" else "federated"
    found = [f"{other}.{key} has no effect in {experiment.mode} mode" for key in _changed(getattr(experiment, other))]
    changed = _changed(experiment.evaluation)
    if experiment.mode == "gossip":
        found += [f"evaluation.{key} has no effect in gossip mode" for key in changed if key in STEERING]
    elif "min_delta" in changed and experiment.evaluation.patience is None:
        found.append("evaluation.min_delta has no effect without evaluation.patience")
    if experiment.model.name != "mlp":
        found += [
            f"model.{key} has no effect on {experiment.model.name}; give its own arguments under [model]"
            for key in _changed(experiment.model)
            if key in ("hidden", "activation", "dtype")
        ]
        found += [
            f"training.{key} has no effect on {experiment.model.name}; give its own arguments under [model]"
            for key in _changed(experiment.training)
            if key in ("optimizer", "learning_rate", "momentum", "nesterov", "l2")
        ]
    if experiment.mode == "federated" and experiment.federated.personal:
        found.append(
            "federated.personal: the coordinator's model has only the initial values of these arrays, and its "
            "test figures mean little; the clients' own are in the summary under personal"
        )
    uses = {"alpha": ("dirichlet", "quantity"), "shards_per_node": ("shards",), "column": ("column",)}
    for key, schemes in uses.items():
        if key in _changed(experiment.data) and experiment.data.partition not in schemes:
            found.append(f"data.{key} has no effect with data.partition = {experiment.data.partition!r}")
    federated = experiment.federated
    if experiment.mode == "federated" and federated.over_selection > 1 and experiment.asked == experiment.nodes:
        found.append("federated.over_selection has no effect where federated.participation wants every client")
    closing = [key for key in ("quorum", "over_selection") if key in _changed(federated)]
    if experiment.mode == "federated" and closing and _asynchronous(experiment):
        found += [
            f"federated.{key} has no effect with federated.strategy = {federated.strategy!r}, which has no rounds"
            for key in closing
        ]
    return found


def _asynchronous(experiment: "Experiment") -> bool:
    from ..federated.strategies.registry import make

    return make(experiment.federated.strategy, experiment.federated.arguments).demands.asynchronous


def _changed(section: object) -> list[str]:
    fresh = type(section)()
    return [
        field.name
        for field in dataclasses.fields(section)  # type: ignore[arg-type]
        if getattr(section, field.name) != getattr(fresh, field.name)
    ]


def _common(experiment: "Experiment") -> Iterator[str]:
    if experiment.model.name not in ("mlp", "pegasos") and "." not in experiment.model.name:
        yield (
            f"model.name = {experiment.model.name!r}: expected mlp, pegasos, or an import path such as "
            "sklearn.linear_model.SGDClassifier"
        )
    if experiment.process_count > experiment.nodes:
        yield f"processes = {experiment.processes}: expected at most one a node, and nodes = {experiment.nodes}"
    if experiment.network.min_nodes is not None and experiment.network.min_nodes > experiment.nodes:
        yield f"network.min_nodes = {experiment.network.min_nodes}: expected at most nodes = {experiment.nodes}"


def _network(experiment: "Experiment") -> Iterator[str]:
    network = experiment.network
    if network.bind in WILDCARDS and network.advertise is None:
        yield (
            f"network.bind = {network.bind!r}: a wildcard tells nobody where to dial; "
            "say where others reach this machine with network.advertise (--advertise HOST)"
        )
    if network.advertise in WILDCARDS:
        yield f"network.advertise = {network.advertise!r}: expected a host name or address that others can dial"
    if network.suspect_after_s < 2 * network.heartbeat_s:
        yield (
            f"network.suspect_after_s = {network.suspect_after_s:g}: expected at least two heartbeats, "
            f"and network.heartbeat_s = {network.heartbeat_s:g}"
        )
    if network.rejoin_deadline_s < network.suspect_after_s:
        yield (
            f"network.rejoin_deadline_s = {network.rejoin_deadline_s:g}: expected at least "
            f"network.suspect_after_s = {network.suspect_after_s:g}; nobody is waited for before he is missed"
        )
    if network.transport == "ipc" and "/" in network.bind and len(network.bind.encode()) > IPC_FOLDER_BYTES:
        length = len(network.bind.encode())
        yield (
            f"network.bind = {network.bind!r}: an ipc folder of {length} bytes; expected at most {IPC_FOLDER_BYTES}, "
            "since the operating system cuts a socket's path at about 104"
        )
    if network.transport == "inproc" and experiment.process_count > 1:
        yield (
            f"network.transport = 'inproc': reaches nodes of one process only, "
            f"and processes = {experiment.process_count}; expected tcp or ipc, or processes = 1"
        )


def _evaluation(experiment: "Experiment") -> Iterator[str]:
    evaluation = experiment.evaluation
    if evaluation.until is None:
        return
    try:
        Goal.parse(evaluation.until).check(reported(None, evaluation.scorers))
    except GoalError as error:
        yield f"evaluation.until = {evaluation.until!r}: {error}"


def check_task(experiment: "Experiment", task: str, columns: int) -> None:
    """Raise :class:`ExperimentError` for a goal that no evaluation of this task reports, and for personal arrays that
    the model does not have; for who knows the data.
    """
    if experiment.mode == "federated" and experiment.federated.personal:
        _check_personal(experiment, task, columns)
    evaluation = experiment.evaluation
    if evaluation.until is None or experiment.mode == "gossip":
        return
    try:
        Goal.parse(evaluation.until).check(reported(task, evaluation.scorers))
    except GoalError as error:
        raise ExperimentError(f"evaluation.until = {evaluation.until!r}: of a {task}, {error}") from None


def _check_personal(experiment: "Experiment", task: str, columns: int) -> None:
    from nervenet.models.local.personal import personal_names
    from nervenet.models.rng import generator

    from ..config.factory import build_model

    model = build_model(experiment)
    # The names of a model's arrays do not depend on how many classes there are.
    layout = model.build(columns, None if task == "regression" else 2, generator(experiment.seed, "init"))
    try:
        personal_names(layout, experiment.federated.personal)
    except ValueError as error:
        raise ExperimentError(f"federated.{error}") from None


def check_scorers(experiment: "Experiment") -> None:
    """Raise :class:`ExperimentError` for a scorer that scikit-learn does not have; loads it, if there are any."""
    if not experiment.evaluation.scorers:
        return
    from nervenet.models.evaluate import check_scorers as check_names

    try:
        check_names(experiment.evaluation.scorers)
    except ValueError as error:
        raise ExperimentError(f"evaluation.scorers: {error}") from None


def _mode(experiment: "Experiment") -> Iterator[str]:
    return _federated(experiment) if experiment.mode == "federated" else _gossip(experiment)


def _federated(experiment: "Experiment") -> Iterator[str]:
    yield from _strategy(experiment)
    yield from _compression(experiment)
    yield from _personal(experiment)
    least = experiment.federated.min_clients
    if least is not None and least > experiment.nodes:
        yield f"federated.min_clients = {least}: expected at most nodes = {experiment.nodes}"
    elif least is not None and least > experiment.asked:
        yield (
            f"federated.min_clients = {least}: expected at most the {experiment.asked} that "
            f"federated.participation = {experiment.federated.participation:g} of {experiment.nodes} nodes asks"
        )


def _compression(experiment: "Experiment") -> Iterator[str]:
    spec = experiment.federated.compression
    if not spec:
        return
    from nervenet.models.compress import parse

    try:
        parse(spec)
    except ValueError as error:
        yield f"federated.compression = {spec!r}: {error}"


def _personal(experiment: "Experiment") -> Iterator[str]:
    federated = experiment.federated
    kinds = [f"federated.{key}" for key in ("personal", "ditto", "fine_tune") if getattr(federated, key)]
    if federated.ditto and len(kinds) > 1:
        yield f"{' and '.join(kinds)}: federated.ditto makes each client's model by itself, and goes with neither"


def _strategy(experiment: "Experiment") -> Iterator[str]:
    """Build the strategy, which names what is wrong with its arguments, and ask about the number of clients."""
    federated = experiment.federated
    if federated.strategy == type(federated)().strategy and not (federated.arguments or federated.ditto):
        return  # plain averaging takes anything: nothing has to be imported to know that
    from ..federated.strategies import StrategyError
    from ..federated.strategies.registry import make

    strategy = make(federated.strategy, federated.arguments)
    try:
        strategy.check(experiment.asked)
    except StrategyError as error:
        yield f"federated.strategy = {federated.strategy!r}: {error}"
    except Exception as error:  # noqa: BLE001  (whatever the check of somebody's own strategy raises)
        yield f"federated.strategy = {federated.strategy!r}: its check raised {type(error).__name__}: {error}"
    demands = strategy.demands
    asked = {key: demands.settings.get(key) for key in ("proximal", "control")} | {"ditto": federated.ditto}
    if asked["control"]:
        asked["carry_optimizer"] = experiment.carry_optimizer
    yield from _support(experiment, {key: value for key, value in asked.items() if value}, demands.fednova_normalizer)


def _support(experiment: "Experiment", asked: dict[str, object], fednova_normalizer: bool) -> Iterator[str]:
    """Ask the model whether its training can do more than the plain thing."""
    if not asked and not fednova_normalizer:
        return
    from nervenet.models.local import LocalSettings, check_support
    from nervenet.models.model import LocalUnsupported

    from ..config.factory import build_model

    model = build_model(experiment)
    try:
        check_support(model, LocalSettings.from_dict(asked))
    except (LocalUnsupported, ValueError) as error:
        yield f"model.name = {experiment.model.name!r}: {error}"
    if fednova_normalizer and "fednova_normalizer" not in getattr(model, "capabilities", ()):
        name = experiment.federated.strategy
        yield (
            f"federated.strategy = {name!r}: {experiment.model.name} cannot say how far its steps reach; with mlp "
            "training.optimizer = 'sgd' can, as can scikit-learn's SGD models"
        )


def _gossip(experiment: "Experiment") -> Iterator[str]:
    from ..topology import TopologyError
    from .layout import rehearse

    try:
        rehearse(experiment)
    except TopologyError as error:
        yield by_key(error)
        return
    yield from _algorithm(experiment)


def _algorithm(experiment: "Experiment") -> Iterator[str]:
    """Build the algorithm, which names what is wrong with its arguments, and ask what its theory excludes."""
    gossip = experiment.gossip
    if gossip.algorithm in ("ad-psgd", "gossip-learning"):
        yield from _without_rounds(experiment)
        return
    plain = type(gossip)(topology=gossip.topology, degree=gossip.degree, deadline_s=gossip.deadline_s)
    if gossip == plain and gossip.topology not in ("static-exponential", "one-peer-exponential", "epidemic-local"):
        return  # averaging on a graph whose edges go both ways takes anything: nothing has to be imported to know that
    from ..gossip.algorithms.registry import build
    from ..gossip.algorithms.requirements import problems
    from .layout import rehearsal

    algorithm = build(gossip.algorithm, gossip.arguments, gossip.compression)
    found = list(problems(algorithm, experiment, rehearsal(experiment)))
    yield from found
    if algorithm.needs.correction and not found:
        yield from _correctable(experiment)


def _without_rounds(experiment: "Experiment") -> Iterator[str]:
    from ..gossip.algorithms.requirements import free_problems
    from ..gossip.asynchronous.registry import build
    from .layout import rehearsal

    gossip = experiment.gossip
    try:
        algorithm = build(gossip.algorithm, gossip.arguments)
    except ValueError as error:
        yield f"gossip.algorithm = {gossip.algorithm!r}: {error}"
        return
    yield from free_problems(algorithm, experiment, rehearsal(experiment))


def _correctable(experiment: "Experiment") -> Iterator[str]:
    """Ask the model whether something can be added to its gradients, and whether it knows how far its steps reach."""
    from nervenet.models.registry import models_with

    from ..config.factory import build_model

    if not {"correction", "fednova_normalizer"} <= set(getattr(build_model(experiment), "capabilities", ())):
        able = ", ".join(models_with("correction", "fednova_normalizer"))
        yield (
            f"gossip.algorithm = {experiment.gossip.algorithm!r}: corrects every gradient, and needs to know how far "
            f"the steps reach, which {experiment.model.name} cannot; models that can: {able}"
        )


def by_key(error: "TopologyError") -> str:
    """What is wrong with a graph, by the keys of the experiment file; the number of nodes is not one of [gossip]."""
    return str(error) if str(error).startswith(("nodes =", "members:")) else f"gossip.{error}"


def check_members(experiment: "Experiment", members: Sequence[str]) -> None:
    """Raise :class:`ExperimentError` for a file of edges that names others than the members; for who knows them."""
    from ..topology import TopologyError
    from .layout import check_members as check_names

    try:
        check_names(experiment, members)
    except TopologyError as error:
        raise ExperimentError(by_key(error)) from None
