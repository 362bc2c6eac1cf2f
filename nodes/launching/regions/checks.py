"""What does not go with the regions of a launch, found before anything is started; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...config.factory import node_names
from ...config.keys import ExperimentError
from ...config.schema import Experiment
from ...config.summed import summed_model
from ...experiment.ineffective import idle_hierarchy
from ...federated.hierarchy.composing import problems
from .plan import regions_of


def check_regions(experiment: Experiment, *, counted: bool = True) -> None:
    """Raise `ExperimentError` for the first thing that does not go with ``hierarchy.regions``, by name.

    Not `counted`: how many sites there are is known when the workers of an engine have looked.
    """
    for problem in regional_problems(experiment, counted=counted):
        raise ExperimentError(problem)


def check_regional_learning(experiment: Experiment) -> None:
    """Raise `ExperimentError` for what no regions can learn, wherever their nodes are."""
    for problem in _of_learning(experiment):
        raise ExperimentError(problem)


def check_regional_rows(experiment: Experiment, *, tables: bool) -> None:
    """Raise `ExperimentError` for rows of which a region could not sum what round 0 asks."""
    if tables and experiment.hierarchy.regions is not None:
        raise ExperimentError(
            f"{_asked(experiment)}: {experiment.data.label} has text, dates or gaps, and the pipelines of such tables "
            "ask the sites more in round 0 than a region sums; expected tables of numbers, or no regions"
        )


def regional_problems(experiment: Experiment, *, counted: bool = True) -> Iterator[str]:
    """Yield what does not go with the regions that an experiment asks for; nothing where it asks for none.

    What depends on the number of clients is left out where that is not `counted` yet.
    """
    yield from _of_learning(experiment, counted=counted)
    yield from _of_processes(experiment, counted=counted)


def _of_learning(experiment: Experiment, *, counted: bool = True) -> Iterator[str]:
    count, federated = experiment.hierarchy.regions, experiment.federated
    if count is None:
        for key in idle_hierarchy(experiment):
            value = getattr(experiment.hierarchy, key)
            yield f"hierarchy.{key} = {value}: is for regions; expected hierarchy.regions (--regions N) beside it"
        return
    asked = _asked(experiment)
    if experiment.mode != "federated":
        yield f"{asked}: regions are of federated runs, and mode = {experiment.mode!r}"
        return
    if counted and count > (nodes := len(node_names(experiment))):
        yield f"{asked}: expected at most nodes = {nodes}: each region has a client at least"
        return
    # A saved model is the coordinator's to start from.
    yield from problems(replace(experiment, init=None), summed_model(experiment))
    deadline_s = experiment.hierarchy.deadline_s
    if deadline_s is not None and deadline_s >= federated.deadline_s:
        yield (
            f"hierarchy.deadline_s = {deadline_s:g}: a region's round must end before that of the coordinator above; "
            f"expected less than federated.deadline_s = {federated.deadline_s:g}"
        )
    if not counted:
        return
    smallest = min(len(region.clients) for region in regions_of(experiment).all)
    least = federated.min_clients
    if least is not None and least > min(count, smallest):
        yield (
            f"federated.min_clients = {least}: holds for the clients of a region, and for the regions; expected at "
            f"most {min(count, smallest)}: there are {count} regions, the smallest of {smallest}"
        )


def _of_processes(experiment: Experiment, *, counted: bool) -> Iterator[str]:
    asked, network = _asked(experiment), experiment.network
    if experiment.hierarchy.regions is None:
        return
    if counted and network.min_nodes not in (None, experiment.nodes):
        yield f"network.min_nodes = {network.min_nodes}: does not go with {asked}: a region waits for all its clients"
    if network.transport == "inproc":
        yield f"network.transport = 'inproc': does not go with {asked}, each with an aggregator in its own process"


def _asked(experiment: Experiment) -> str:
    return f"hierarchy.regions = {experiment.hierarchy.regions}"
