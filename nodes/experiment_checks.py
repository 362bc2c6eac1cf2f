"""What no single key can know of itself: settings that contradict each other, and settings without effect."""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .experiment_keys import ExperimentError

if TYPE_CHECKING:
    from .experiment import Experiment

WILDCARDS = ("*", "0.0.0.0", "::", "[::]")

# A socket's path is limited to about 104 bytes, of which the nodes' own file names need some 40.
IPC_FOLDER_BYTES = 64


def check(experiment: "Experiment") -> None:
    """Raise :class:`ExperimentError` for the first contradiction that can be known without the data."""
    for problem in (*_common(experiment), *_network(experiment), *_mode(experiment)):
        raise ExperimentError(problem)


def remarks(experiment: "Experiment") -> list[str]:
    """Name the settings that were changed from their defaults and have no effect in this run."""
    other = "gossip" if experiment.mode == "federated" else "federated"
    found = [f"{other}.{key} has no effect in {experiment.mode} mode" for key in _changed(getattr(experiment, other))]
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
    uses = {"alpha": ("dirichlet", "quantity"), "shards_per_node": ("shards",), "column": ("column",)}
    for key, schemes in uses.items():
        if key in _changed(experiment.data) and experiment.data.partition not in schemes:
            found.append(f"data.{key} has no effect with data.partition = {experiment.data.partition!r}")
    return found


def _changed(section: object) -> list[str]:
    fresh = type(section)()
    return [
        field.name
        for field in dataclasses.fields(section)  # type: ignore[arg-type]
        if getattr(section, field.name) != getattr(fresh, field.name)
    ]


def _common(experiment: "Experiment") -> Iterator[str]:
    if experiment.model.name != "mlp" and "." not in experiment.model.name:
        yield (
            f"model.name = {experiment.model.name!r}: expected mlp, or an import path such as "
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


def _mode(experiment: "Experiment") -> Iterator[str]:
    return _federated(experiment) if experiment.mode == "federated" else _gossip(experiment)


def _federated(experiment: "Experiment") -> Iterator[str]:
    yield from _strategy(experiment)
    least = experiment.federated.min_clients
    if least is not None and least > experiment.nodes:
        yield f"federated.min_clients = {least}: expected at most nodes = {experiment.nodes}"
    elif least is not None and least > experiment.asked:
        yield (
            f"federated.min_clients = {least}: expected at most the {experiment.asked} that "
            f"federated.participation = {experiment.federated.participation:g} of {experiment.nodes} nodes asks"
        )


def _strategy(experiment: "Experiment") -> Iterator[str]:
    """Build the strategy, which names what is wrong with its arguments, and ask about the number of clients."""
    federated = experiment.federated
    if federated.strategy == type(federated)().strategy and not federated.arguments:
        return  # plain averaging takes anything: nothing has to be imported to know that
    from .federated.strategies import StrategyError
    from .federated.strategies.registry import make

    strategy = make(federated.strategy, federated.arguments)
    try:
        strategy.check(experiment.asked)
    except StrategyError as error:
        yield f"federated.strategy = {federated.strategy!r}: {error}"
    except Exception as error:  # noqa: BLE001  (whatever the check of somebody's own strategy raises)
        yield f"federated.strategy = {federated.strategy!r}: its check raised {type(error).__name__}: {error}"


def _gossip(experiment: "Experiment") -> Iterator[str]:
    gossip, nodes = experiment.gossip, experiment.nodes
    if gossip.topology == "torus" and not any(nodes % rows == 0 for rows in range(2, int(nodes**0.5) + 1)):
        yield f"nodes = {nodes}: a torus is a rectangle of at least 2 x 2; expected for example 4, 6, 8, 9 or 16 nodes"
    if gossip.degree is None:
        return
    if gossip.topology == "random-regular":
        if gossip.degree >= nodes:
            yield f"gossip.degree = {gossip.degree}: expected fewer neighbours than nodes = {nodes}"
        elif gossip.degree * nodes % 2:
            yield f"gossip.degree = {gossip.degree}: degree x nodes must be even, and nodes = {nodes}"
        elif gossip.degree == 1 and nodes > 2:
            yield "gossip.degree = 1: expected 2 or more; pairs that know only each other never agree with the rest"
    elif gossip.degree != 2 or gossip.topology != "ring":
        yield f"gossip.degree = {gossip.degree}: is for gossip.topology = 'random-regular', not {gossip.topology!r}"
