"""What no single key can know of itself: settings that contradict each other, or that the data or model rule out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from nervenet.models.plugins import suggest
from nervenet.models.tables.suffixes import SUFFIXES, kind_of

from ..config.arguments import unknown_argument
from ..config.factory import build_model, build_schedule, edge_list_members, initial_model, node_names
from ..config.grown import problems as grown_problems
from ..config.keys import ExperimentError, check_types
from ..config.schema import (
    DataConfig,
    Experiment,
    FederatedConfig,
    GossipConfig,
    ModelConfig,
    NetworkConfig,
    is_file_name,
)
from ..config.site_names import site_names
from ..config.summed import problems as summed_problems
from ..config.summed import summed_model, target_problems
from ..federated.early_stopping import Goal, GoalError, reported
from ..runtime.printable import printable
from ..topology import TOPOLOGIES, Schedule, TopologyError, check

if TYPE_CHECKING:
    from nervenet.models.model import Capability

WILDCARDS = ("*", "0.0.0.0", "::", "[::]")

# A socket's path is limited to about 104 bytes, of which the nodes' own file names need some 40.
IPC_FOLDER_BYTES = 64


def validate(experiment: Experiment) -> None:
    """Raise :class:`ExperimentError` for the first contradiction that can be known without the data.

    A `TypeError` for what is no experiment.
    """
    if not isinstance(experiment, Experiment):
        raise TypeError(
            f"experiment is a {type(experiment).__name__}; expected an Experiment, as load_experiment(path) or "
            "Experiment.from_dict(tables) return it"
        )
    check_types(experiment)
    for find_problems in (*ALWAYS, *(FEDERATED if experiment.mode == "federated" else GOSSIP)):
        for problem in filter(None, find_problems(experiment)):
            raise ExperimentError(problem)


def _text(experiment: Experiment) -> Iterator[str]:
    """Find names of files that are no UTF-8, as older systems have written them: no experiment file can hold them."""
    data, gossip = experiment.data, experiment.gossip
    named = {"data.name": [data.name], "data.sites": data.sites or [], "gossip.edges": [gossip.edges or ""]}
    for key, names in named.items():
        for name in names:
            if any("\ud800" <= c <= "\udfff" for c in name):
                yield f"{key}: {printable(name)}: the name is no UTF-8, and cannot be written down; rename the file"


def _arguments(experiment: Experiment) -> Iterator[str]:
    """Find keys that are neither a table's own nor an argument of what is chosen there."""
    federated, gossip = experiment.federated, experiment.gossip
    if federated.arguments:  # else nothing has to be imported to know that
        from ..federated.strategies.registry import STRATEGIES

        yield unknown_argument(STRATEGIES.key, federated.strategy, STRATEGIES[federated.strategy], federated.arguments)
    if gossip.arguments:
        from ..gossip.algorithms.registry import ALGORITHMS

        yield unknown_argument(ALGORITHMS.key, gossip.algorithm, ALGORITHMS[gossip.algorithm], gossip.arguments)


def _names(experiment: Experiment) -> Iterator[str]:
    try:
        TOPOLOGIES[experiment.gossip.topology]
    except TopologyError as error:
        yield _by_key(error)
    name = experiment.model.name
    if name == ModelConfig.name or "." in name or ":" in name:
        return
    from nervenet.models.registry import FAMILIES

    if name not in FAMILIES:
        plain = ", ".join(known for known in FAMILIES if "." not in known)
        yield (
            f"model.name = {name!r}: expected {plain}, an import path such as sklearn.linear_model.SGDClassifier, or "
            f"mypackage.mine:Model for your own{suggest(name, FAMILIES)}"
        )


OF_COLUMNS = ("drop", "id", "weight", "categorical", "numeric", "date", "columns", "missing_target")


def _rows(experiment: Experiment) -> Iterator[str]:
    data = experiment.data
    said = [key for key in OF_COLUMNS if getattr(data, key) != getattr(DataConfig, key, {})]
    if said:
        data.options  # noqa: B018 - says where columns are given two kinds, or two roles
    if data.sites and experiment.nodes != len(data.sites) and experiment.cluster.data == "launcher":
        yield (
            f"nodes = {experiment.nodes}: expected {len(data.sites)}, one for each file of data.sites "
            f"({', '.join(site_names(data.sites))})"
        )
    if said and not data.sites and not is_file_name(data.name):
        yield f"data.{said[0]}: is for files; {data.name} brings its own columns"
    if data.sites or data.partition != "column" or data.column is not None:
        return
    if kind_of(Path(data.name)) in SUFFIXES and kind_of(Path(data.name)) != ".npz":
        yield (
            "data.partition = 'column': needs data.column (--set data.column=NAME), the column whose values say where "
            "each row was collected"
        )


def _weights(experiment: Experiment) -> Iterator[str]:
    """Find weights of rows or classes that the task has not, or the model cannot take."""
    classes = experiment.training.class_weight is not None
    key = "training.class_weight" if classes else "data.weight"
    if not classes and experiment.data.weight is None:
        return
    if classes and experiment.data.task == "regression":
        yield _NOT_OF_CLASSES
    from nervenet.models.data.data import DataError
    from nervenet.models.site_model import check_weighable

    model = build_model(experiment)
    if classes and getattr(model, "classifies", None) is False:
        yield f"{key}: is for classification, and {experiment.model.name} is a regressor"
    try:
        check_weighable(model, "class weights" if classes else "weights of rows")
    except DataError as error:
        yield f"{key}: {error}"


_NOT_OF_CLASSES = (
    "training.class_weight: is for classification, and the target is a quantity (data.task = 'regression')"
)


def _network(experiment: Experiment) -> Iterator[str]:
    network = experiment.network
    if experiment.process_count > experiment.nodes:
        yield f"processes = {experiment.processes}: expected at most one a node, and nodes = {experiment.nodes}"
    if experiment.min_nodes > experiment.nodes:
        yield f"network.min_nodes = {network.min_nodes}: expected at most nodes = {experiment.nodes}"
    if network.bind in WILDCARDS and network.advertise is None:
        yield (
            f"network.bind = {network.bind!r}: a wildcard tells nobody where to dial; "
            "say where others reach this machine with network.advertise (--advertise HOST)"
        )
    if network.advertise in WILDCARDS:
        yield f"network.advertise = {network.advertise!r}: expected a host name or address that others can dial"
    if network.transport == "ipc":
        yield from _ipc_folder(network)
    if network.transport == "inproc" and experiment.process_count > 1:
        yield (
            f"network.transport = 'inproc': reaches nodes of one process only, "
            f"and processes = {experiment.process_count}; expected tcp or ipc, or processes = 1"
        )

    if network.insecure and network.keys is not None:
        yield f"network.insecure = true: without keys, and network.keys = {network.keys!r}; leave one of them out"
    if network.suspect_after_s < 2 * network.heartbeat_s:
        yield (
            f"network.suspect_after_s = {network.suspect_after_s:g}: expected at least two heartbeats, "
            f"and network.heartbeat_s = {network.heartbeat_s:g}"
        )
    if network.rejoin_deadline_s < network.suspect_after_s:
        yield (
            f"network.rejoin_deadline_s = {network.rejoin_deadline_s:g}: expected at least "
            f"network.suspect_after_s = {network.suspect_after_s:g}; no node is waited for before it is suspected"
        )


def _ipc_folder(network: NetworkConfig) -> Iterator[str]:
    own = network.bind.startswith("/")
    length = len(os.fsencode(network.bind if own else gettempdir()))
    if "/" in network.bind and not own:
        yield f"network.bind = {network.bind!r}: expected the whole path of an ipc folder, from / on"
    elif length > IPC_FOLDER_BYTES:
        found = f"an ipc folder of {length} bytes" if own else f"names no ipc folder, and TMPDIR has {length} bytes"
        yield (
            f"network.bind = {network.bind!r}: {found}; expected a folder of at most {IPC_FOLDER_BYTES}, "
            "since the operating system cuts a socket's path at about 104"
        )


def _goal(experiment: Experiment, task: str | None = None) -> Iterator[str]:
    """Find a goal that is none, or that no evaluation (of that task) reports."""
    evaluation = experiment.evaluation
    if evaluation.until is None:
        return
    try:
        Goal.parse(evaluation.until).check(reported(task, evaluation.scorers))
    except GoalError as error:
        of = f"of a {task}, " if task else ""
        yield f"evaluation.until = {evaluation.until!r}: {of}{error}"


def _strategy(experiment: Experiment) -> Iterator[str]:
    """Build the strategy, which names what is wrong with its arguments, and ask about the number of clients."""
    federated = experiment.federated
    if federated.strategy == FederatedConfig.strategy and not (federated.arguments or federated.ditto):
        return  # plain averaging takes anything: nothing has to be imported to know that
    from ..federated.strategies import StrategyError
    from ..federated.strategies.registry import build_strategy

    strategy = build_strategy(federated.strategy, federated.arguments)
    try:
        strategy.check(experiment.clients_per_round)
    except StrategyError as error:
        yield f"federated.strategy = {federated.strategy!r}: {error}"
    except Exception as error:  # noqa: BLE001  (whatever the check of a user's own strategy raises)
        yield f"federated.strategy = {federated.strategy!r}: its check raised {type(error).__name__}: {error}"
    demands = strategy.demands
    asked = {key: demands.settings.get(key) for key in ("proximal", "control")} | {"ditto": federated.ditto}
    if asked["control"]:
        asked["carry_optimizer"] = experiment.carry_optimizer
    asked = {key: value for key, value in asked.items() if value}
    if not asked and not demands.fednova_normalizer:
        return  # plain training, which every model can do
    from nervenet.models.local import LocalSettings, check_support
    from nervenet.models.model import LocalUnsupported

    model = build_model(experiment)
    try:
        check_support(model, LocalSettings.from_dict(asked))
    except (LocalUnsupported, ValueError) as error:
        of_strategy = demands.settings.get("proximal") or demands.settings.get("control")
        asking = "strategy" if of_strategy else "ditto"
        yield f"federated.{asking} = {getattr(federated, asking)!r}: {error}"
    if demands.fednova_normalizer and "fednova_normalizer" not in getattr(model, "capabilities", ()):
        yield (
            f"federated.strategy = {federated.strategy!r}: {experiment.model.name} cannot say how far its steps reach; "
            "with mlp training.optimizer = 'sgd' can, as can scikit-learn's SGD models"
        )


def _clients(experiment: Experiment) -> Iterator[str]:
    federated = experiment.federated
    if federated.compression:
        from nervenet.models.compress import parse

        try:
            parse(federated.compression)
        except ValueError as error:
            yield f"federated.compression = {federated.compression!r}: {error}"
    kinds = [f"federated.{key}" for key in ("personal", "ditto", "fine_tune") if getattr(federated, key)]
    if federated.ditto and len(kinds) > 1:
        yield f"{' and '.join(kinds)}: federated.ditto makes each client's model by itself, and goes with neither"

    least, wanted = federated.min_clients or 0, experiment.clients_per_round
    if least > experiment.nodes:
        yield f"federated.min_clients = {least}: expected at most nodes = {experiment.nodes}"
    elif least > wanted:
        yield (
            f"federated.min_clients = {least}: expected at most the {wanted} that "
            f"federated.participation = {federated.participation:g} of {experiment.nodes} nodes asks"
        )


def _topology(experiment: Experiment) -> Iterator[str]:
    """Find what can be known before anybody has a name, drawing a graph only where that may fail.

    Of a file of edges with the users' own names only their number is checked.
    """
    gossip = experiment.gossip
    try:
        check(
            gossip.topology, experiment.nodes, degree=gossip.degree, probability=gossip.probability, edges=gossip.edges
        )
        if gossip.topology in ("edges", "erdos-renyi") or gossip.topology not in TOPOLOGIES.builtin:
            _rehearsed(experiment)
    except TopologyError as error:
        yield _by_key(error)


def _rehearsed(experiment: Experiment) -> Schedule:
    """Lay the topology over the names that `launch` gives, or those of a file of edges that has as many of its own."""
    gossip = experiment.gossip
    if gossip.topology == "edges":
        return build_schedule(experiment, edge_list_members(gossip.edges or "", experiment.nodes))
    return build_schedule(experiment, node_names(experiment))


def _algorithm(experiment: Experiment) -> Iterator[str]:
    """Build the algorithm, which names what is wrong with its arguments, and ask what its theory excludes."""
    gossip = experiment.gossip
    if (gossip.min_peers or 0) > experiment.nodes:
        yield f"gossip.min_peers = {gossip.min_peers}: expected at most nodes = {experiment.nodes}"
    plain = GossipConfig(topology=gossip.topology, degree=gossip.degree, deadline_s=gossip.deadline_s)
    if gossip == plain and not TOPOLOGIES[gossip.topology].directed:
        return  # averaging on a graph whose edges go both ways takes anything: nothing has to be imported to know that
    from ..gossip.algorithms import requirements
    from ..gossip.algorithms.registry import build_algorithm, has_rounds

    algorithm = build_algorithm(gossip.algorithm, gossip.arguments, gossip.compression)
    if not has_rounds(gossip.algorithm):
        if gossip.min_peers:
            yield f"gossip.min_peers = {gossip.min_peers}: is for rounds, and {gossip.algorithm} has none"
        allowed = {"directed": algorithm.directed, "varying": algorithm.varying}
        yield from requirements.asynchronous_problems(experiment, _rehearsed(experiment), **allowed)
        return
    yield from requirements.problems(algorithm, experiment, _rehearsed(experiment))
    if not algorithm.needs.correction:
        return
    from nervenet.models.registry import models_with

    needed: tuple[Capability, ...] = ("correction", "fednova_normalizer")
    if not set(needed) <= getattr(build_model(experiment), "capabilities", frozenset()):
        yield (
            f"gossip.algorithm = {gossip.algorithm!r}: corrects every gradient, and needs to know how far the steps "
            f"reach, which {experiment.model.name} cannot; models that can: {', '.join(models_with(*needed))}"
        )


def _summed(experiment: Experiment) -> Iterator[str]:
    """Find what has no meaning for a model that is a sum over rows, or is grown in round 0."""
    yield from grown_problems(experiment)
    yield from target_problems(experiment)
    model = summed_model(experiment)
    if model is not None:
        yield from summed_problems(experiment, model)


Check = Callable[[Experiment], Iterator[str]]

ALWAYS: tuple[Check, ...] = (_text, _arguments, _names, _rows, _weights, _network, _goal, _summed)
FEDERATED: tuple[Check, ...] = (_strategy, _clients)
GOSSIP: tuple[Check, ...] = (_topology, _algorithm)


def check_task(experiment: Experiment, task: str, columns: int) -> None:
    """Check what depends on the data, for who knows it.

    Raises
    ------
    ExperimentError
        For a goal that no evaluation of this task reports, and for personal arrays that the model does not have.
    """
    if experiment.mode == "gossip":
        return
    for problem in _goal(experiment, task):
        raise ExperimentError(problem)
    if not experiment.federated.personal:
        return
    from nervenet.models.local.personal import personal_names
    from nervenet.models.rng import generator

    # The names of a model's arrays do not depend on how many classes there are.
    classes = None if task == "regression" else 2
    layout = build_model(experiment).build(columns, classes, generator(experiment.seed, "init"))
    try:
        personal_names(layout, experiment.federated.personal)
    except ValueError as error:
        raise ExperimentError(f"federated.{error}") from None


def check_class_weight(experiment: Experiment, classes: Sequence[object] | None) -> None:
    """Raise :class:`ExperimentError` for class weights of a regression (no classes), or of a label that none has."""
    wanted = experiment.training.class_weight
    if wanted is None:
        return
    if classes is None:
        raise ExperimentError(_NOT_OF_CLASSES)
    if isinstance(wanted, str):
        return
    labels = [str(label) for label in classes]
    for label in wanted:
        if label not in labels:
            raise ExperimentError(
                f"training.class_weight.{label}: there is no such class{suggest(label, labels)}; "
                f"the target has {', '.join(labels)}"
            )


def check_initial(experiment: Experiment, columns: Sequence[str], classes: Sequence[object] | None) -> None:
    """Raise :class:`ExperimentError` for a saved model that the run cannot start from (regression: no classes)."""
    saved = initial_model(experiment)
    if saved is None:
        return
    from nervenet.models.initial_model import UnsuitableStart, check_model, check_sites

    try:
        check_model(saved, build_model(experiment))
        check_sites(saved, columns, classes, experiment.data.scaling)
    except UnsuitableStart as error:
        raise ExperimentError(f"init = {experiment.init!r}: {error}") from None


def check_scorers(experiment: Experiment) -> None:
    """Raise :class:`ExperimentError` for a scorer that scikit-learn does not have; loads it, if there are any."""
    if not experiment.evaluation.scorers:
        return
    from nervenet.models.evaluate import check_scorers as check_names

    try:
        check_names(experiment.evaluation.scorers)
    except ValueError as error:
        raise ExperimentError(f"evaluation.scorers: {error}") from None


def check_preprocess(experiment: Experiment) -> None:
    """Raise :class:`ExperimentError` for a pipeline that cannot be imported, or fitted on the rows of all sites."""
    if experiment.data.preprocess == DataConfig.preprocess:
        return
    from nervenet.models.data.data import DataError
    from nervenet.models.pipeline.given import given_pipeline

    try:
        given_pipeline(experiment.data.preprocess)
    except DataError as error:
        raise ExperimentError(str(error)) from None


def check_members(experiment: Experiment, members: Sequence[str]) -> None:
    """Raise :class:`ExperimentError` for a file of edges that names others than the members; for who knows them."""
    if experiment.mode == "gossip" and experiment.gossip.topology == "edges":
        try:
            build_schedule(experiment, members)
        except TopologyError as error:
            raise ExperimentError(_by_key(error)) from None


def _by_key(error: TopologyError) -> str:
    """Return what is wrong with a graph by the keys of the experiment file; the number of nodes is not in [gossip]."""
    return str(error) if str(error).startswith(("nodes =", "members:")) else f"gossip.{error}"
