"""What a run will need of this machine, counted before anything is started, against what the machine allows."""

from __future__ import annotations

from collections.abc import Sequence

from nervenet.broker.errors import see

from ..config.factory import build_schedule, node_names
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from .launch_keys import has_keys
from .rlimits import allowed_files, allowed_processes, open_files

# Open files, counted in real runs and rounded up: of a process, of a hosted node by itself, of a link between peers
# (both ends dial, on two lanes), of a node at the launcher, and at the broker and the coordinator.
PROCESS, NODE, LINK, AT_LAUNCHER, AT_SERVER = 48, 18, 6, 3, 2
INPROC_LINK = 2  # no connection beneath
REGION = 8  # members for which a region counts: its aggregator is two nodes, and the launcher listens in its run
# The same where the nodes of a process share an inbox: of a node, and of a link between two processes.
HOSTED_NODE, HOST_LINK = 5, 8
# What keys add: the authenticator of a process, and the sockets that watch each handshake.
KEYED_PROCESS, KEYED_NODE, KEYED_LINK = 12, 8, 4
# Processes and threads: of the launcher, its broker and the coordinator, of a process, of a node in it.
SERVICES, THREADS, NODE_THREADS = 24, 5, 2


def files_of_process(experiment: Experiment, names: Sequence[str], *, shared: bool = False) -> int:
    """Return how many files a process opens at most that hosts these clients or peers; `shared`: behind one inbox."""
    if shared:
        return PROCESS + HOSTED_NODE * len(names) + HOST_LINK * (experiment.process_count + 1)
    return _process(experiment) + _files_of_nodes(experiment, names)


def check_machine(
    experiment: Experiment,
    groups: Sequence[Sequence[str]],
    *,
    own_files: int,
    files: int,
    processes: int,
    shared: bool = False,
    regions: int = 0,
) -> None:
    """Refuse a run that this machine does not allow.

    Parameters
    ----------
    experiment
        The run.
    groups
        The names of the clients or peers of each process on this machine.
    own_files, files
        How many files this process may open, and each of its children.
    processes
        How many processes and threads there may be.
    shared
        Whether the nodes of a process share an inbox.
    regions
        How many aggregators there are, each in a process of its own.

    Raises
    ------
    ExperimentError
        It names what is needed, what is allowed, and what to change.
    """
    count = experiment.nodes
    members = count + (experiment.mode == "federated") + regions * REGION
    raising = "raise the limit (ulimit -n)"
    process = _process(experiment)
    linked = HOST_LINK * (len(groups) + 1) if shared else AT_LAUNCHER * members
    needs = {"the launcher": (open_files() + process + linked, own_files)}
    needs["the broker"] = (process + AT_SERVER * (members + 2), files)
    if experiment.mode == "federated":
        needs["the coordinator"] = (process + (linked if shared else AT_SERVER * (members + 2)), files)
    for who, (needed, allowed) in needs.items():
        if needed > allowed:
            raise ExperimentError(
                f"nodes = {count}: {who} needs about {needed:,} open files, and {allowed:,} are allowed; "
                f"{raising}, or have fewer --nodes{see('out-of-files')}"
            )
    counted = ((files_of_process(experiment, names, shared=shared), len(names)) for names in groups)
    largest, of = max(counted, default=(0, 1))
    if largest > files:
        each = (largest - process) / of
        fitting = int((files - process) // each)
        way = f"more processes (--processes {-(-count // fitting)})" if fitting else "fewer --nodes"
        raise ExperimentError(
            f"processes = {len(groups)}: a process of {of} nodes needs about {largest:,} open files, and {files:,} "
            f"are allowed; {raising}, or have {way}{see('out-of-files')}"
        )
    threads = SERVICES + THREADS * (len(groups) + regions) + NODE_THREADS * (sum(map(len, groups)) + 2 * regions)
    if threads > processes:
        raise ExperimentError(
            f"nodes = {count}, processes = {len(groups)}: they need about {threads:,} processes and threads, and "
            f"{processes:,} are allowed; raise the limit (ulimit -u, or pids.max of the container), or have fewer"
        )


def check_this_machine(
    experiment: Experiment, groups: Sequence[Sequence[str]], *, shared: bool, regions: int = 0
) -> None:
    """Refuse a run that this machine does not allow as it is: see `check_machine`."""
    own, files = allowed_files()
    limits = {"own_files": own, "files": files, "processes": allowed_processes()}
    check_machine(experiment, groups, **limits, shared=shared, regions=regions)


def _process(experiment: Experiment) -> int:
    return PROCESS + (KEYED_PROCESS if has_keys(experiment) else 0)


def _files_of_nodes(experiment: Experiment, names: Sequence[str]) -> int:
    keyed = has_keys(experiment)
    node = NODE + (KEYED_NODE if keyed else 0)
    if experiment.mode == "federated":
        return node * len(names)
    from ..gossip.algorithms.registry import has_rounds
    from ..gossip.membership.peer_sampling import SIZE
    from ..gossip.membership.service import FEW
    from ..gossip.survey_tree import tree_of
    from ..topology import every_neighbor

    others = experiment.nodes - 1
    by_rounds = has_rounds(experiment.gossip.algorithm)  # then members watch each other: few all, many some
    link = INPROC_LINK if experiment.network.transport == "inproc" else LINK + (KEYED_LINK if keyed else 0)
    schedule = build_schedule(experiment, node_names(experiment))
    near = every_neighbor(schedule)
    watched = 0 if not by_rounds else others if others <= FEW else SIZE + 2
    tree = tree_of(schedule)

    def links(name: str) -> int:
        by_tree = 0 if tree is None else len(set(tree.sides(name)) - set(near[name]))
        return min(others, len(near.get(name, ())) + watched + by_tree)

    return sum(node + link * links(name) for name in names)
