"""What the processes of a run are told to do: which nodes share one, what each node is, and which rows it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

from nervenet.models.data.written import written_to_dict

from ..config.factory import build_schedule
from ..config.schema import Experiment
from ..topology import TOPOLOGIES, every_neighbor
from .data_shares import DataShares
from .hosts import ROLE
from .neighborhoods import brought_together
from .regions.plan import Regions

OWN_ROWS = "own_rows"
"""Of a job of one node whose rows lie at its worker: where, as {"file": path} or {"held": what they are called}."""


def group_nodes(experiment: Experiment, names: Sequence[str]) -> list[Sequence[str]]:
    """Return which clients or peers share a process: of peers neighbors, as far as can be, who exchange in memory."""
    count = min(experiment.process_count, len(names))
    if experiment.mode == "gossip":  # neighbors on a ring or a grid are near each other by name
        bounds = [len(names) * i // count for i in range(count + 1)]
        groups = [names[start:end] for start, end in pairwise(bounds)]
        drawn = TOPOLOGIES[experiment.gossip.topology].drawn and 1 < count < len(names)
        graph = build_schedule(experiment, names) if drawn else None
        return groups if graph is None or not graph.fixed else brought_together(groups, every_neighbor(graph))
    return [names[i::count] for i in range(count)]


def hosted_nodes(
    experiment: Experiment, roles: Mapping[str, str], shares: DataShares, empty: int, server_last: bool = False
) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Yield the nodes that each process hosts, and the descriptors of their rows: the test set, then their shares.

    `empty` stands for rows that a process does not get. A coordinator comes first; last where the places
    of the others may take long, since it waits only so long for its clients.
    """
    training_nodes = [name for name, role in roles.items() if role in ("client", "peer")]
    data = dict(zip(training_nodes, shares.nodes, strict=True))
    server = [[name] for name, role in roles.items() if role in ("coordinator", "aggregator")]
    groups = group_nodes(experiment, training_nodes)
    for group in [*groups, *server] if server_last else [*server, *groups]:
        evaluates = any(roles[name] in ("coordinator", "peer") for name in group)
        yield tuple(group), [shares.test if evaluates else empty, *(data.get(name, empty) for name in group)]


def data_job(kind: str, experiment: Experiment, shares: DataShares) -> dict[str, Any]:
    """Return what a process that is given rows has to know of them and of the run."""
    rows: dict[str, Any] = {
        "columns": list(shares.columns),
        "kinds": shares.kinds and list(shares.kinds),
        "weighted": shares.weighted,
        "task": shares.task,
    }
    return {"kind": kind, "experiment": experiment.to_dict(), **rows, **written_to_dict(shares.written)}


def node_job(
    name: str, role: str, checkpoint_dir: Callable[[str, str], Path | None], run_dir: Path | None
) -> dict[str, Any]:
    """Return what one node is and where it keeps its state."""
    folder = checkpoint_dir(role, name)
    checkpoints = None if folder is None else str(folder)
    return {"name": name, "role": role, "checkpoint_dir": checkpoints, "run_dir": str(run_dir or "")}


def group_job(
    place: int, group: Sequence[str], roles: Mapping[str, str], enrolled: Mapping[str, str], regions: Regions, *of: Any
) -> dict[str, Any]:
    """Return what a process, one of several by its place, is told of its nodes, and its name if they share an inbox.

    `enrolled` has the roles of all that take part, by name: of hosts, too, the launcher's first. `of` are the further
    arguments of `node_job`.
    """
    hosts = [name for name, role in enrolled.items() if role == ROLE][1:]
    nodes = [node_job(name, roles[name], *of) | regions.told(name) for name in group]
    return {"nodes": nodes, "host": hosts[place] if hosts else None}


def imported_modules(experiment: Experiment) -> list[str]:
    """Return what this experiment's nodes import beyond the fork server's own: once, and not once a node."""
    modules = []
    if experiment.model.name.startswith("sklearn."):
        modules += ["nervenet.models.sklearn.adapters", experiment.model.name.rpartition(".")[0]]
    if experiment.mode == "gossip":
        if TOPOLOGIES[experiment.gossip.topology].drawn:
            modules.append("networkx")
        modules.append("nervenet.models.compress")  # ten milliseconds of every peer's first training
    if experiment.evaluation.scorers:
        modules.append("sklearn.metrics")
    return modules


def import_ahead(experiment: Experiment) -> Thread | None:
    """Import what the results of a scikit-learn model are written with, while the nodes learn; return the thread.

    At the end of the run it would be waited for. Other models have less to import, and runs that are shorter.
    """
    if not experiment.model.name.startswith("sklearn."):
        return None

    def load() -> None:
        with suppress(ImportError):  # which file is not written for want of it is said where it would be
            import_module("skops.io")
            import_module("matplotlib.backends.backend_agg")
            import_module("matplotlib.figure")

    thread = Thread(target=load, name="imports ahead", daemon=True)
    thread.start()
    return thread
