"""What the theory of an algorithm excludes, checked before a run starts: each refusal names the two that do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...config.schema import Experiment
from ...topology import Rows, Schedule
from ...topology.mixing import MixingError, uniform, weigh
from .base import Algorithm, AlgorithmError, Needs
from .registry import ALGORITHMS, synchronous_names

DRAWN = 5  # rounds that are looked at of graphs that never repeat


def suitable_mixing(needs: Needs, schedule: Schedule) -> str:
    """Choose the mixing rule where an experiment leaves it open."""
    if needs.mass:
        return "push-sum"
    return "uniform" if schedule.directed or not needs.doubly else "metropolis-hastings"


def problems(algorithm: Algorithm, experiment: Experiment, schedule: Schedule) -> Iterator[str]:
    """Compare what an algorithm needs with the graph, the mixing, the local training and the compression."""
    needs = algorithm.needs
    misfit = _graph(experiment, schedule, directed=needs.directed, varying=needs.varying)
    if misfit:
        yield misfit
        return
    yield from _mixing(algorithm, experiment, schedule)
    yield from _training(needs, experiment)
    yield from _compression(needs, experiment)


def asynchronous_problems(
    experiment: Experiment, schedule: Schedule, *, directed: bool, varying: bool
) -> Iterator[str]:
    """Compare what an algorithm without rounds allows with the graph, and name the settings that are for others."""
    gossip = experiment.gossip
    misfit = _graph(experiment, schedule, directed=directed, varying=varying)
    if misfit:
        yield misfit
    if gossip.compression:
        fits = _those(lambda n: n.compression)
        yield (
            f"gossip.compression = {gossip.compression!r}: gossip.algorithm = {gossip.algorithm!r} does not compress "
            f"what it sends; of the algorithms {fits} does"
        )
    if gossip.mixing:
        yield (
            f"gossip.mixing = {gossip.mixing!r}: gossip.algorithm = {gossip.algorithm!r} has no rounds, and so no "
            "mixing matrix; expected none"
        )
    if gossip.algorithm == "gossip-learning" and experiment.model.parameters.get("learning_rate") == "adaptive":
        yield (
            "model.learning_rate = 'adaptive': what a model that walks brings of its schedule is its age, and these "
            "rates follow the losses on the way; expected constant or invscaling"
        )


def _graph(experiment: Experiment, schedule: Schedule, *, directed: bool, varying: bool) -> str:
    """Return which property of the graph an algorithm has no theory for; empty: it has."""
    who, graph = (f"gossip.{key} = {getattr(experiment.gossip, key)!r}" for key in ("algorithm", "topology"))
    if schedule.directed and not directed:
        fits = _those(lambda n: n.directed)
        return f"{who}: has no theory for {graph}, whose edges go one way; of the algorithms {fits} have"
    if not schedule.fixed and not varying:
        fits = _those(lambda n: n.varying)
        return f"{who}: has no theory for {graph}, which changes from round to round; of the algorithms {fits} have"
    return ""


def _mixing(algorithm: Algorithm, experiment: Experiment, schedule: Schedule) -> Iterator[str]:
    needs, gossip = algorithm.needs, experiment.gossip
    who, rule = f"gossip.algorithm = {gossip.algorithm!r}", gossip.mixing or suitable_mixing(needs, schedule)
    if (rule == "push-sum") != needs.mass:
        fits = _those(lambda n: n.mass) if rule == "push-sum" else "push-sum"
        yield f"{who}: does not go with gossip.mixing = {gossip.mixing!r}; expected {fits}"
        return
    if not (needs.doubly or needs.mass) and rule != "uniform":
        yield f"{who}: counts all alike, and does not go with gossip.mixing = {gossip.mixing!r}; expected uniform"
        return
    for number in range(1, (schedule.period or DRAWN) + 1):
        out = schedule.out(number)
        try:
            rows: Rows = weigh(schedule, number, rule, doubly=True) if needs.doubly else uniform(out)
            algorithm.check(out, rows)
        except MixingError as error:
            fits = _those(lambda n: n.directed and not n.doubly)
            yield (
                f"{who}: needs a doubly stochastic mixing matrix, and on gossip.topology = {gossip.topology!r} "
                f"{error}; of the algorithms {fits} need none"
            )
            return
        except AlgorithmError as error:
            yield f"{who}: on gossip.topology = {gossip.topology!r}, {error}"
            return


def _training(needs: Needs, experiment: Experiment) -> Iterator[str]:
    training, who = experiment.training, f"gossip.algorithm = {experiment.gossip.algorithm!r}"
    if needs.plain and experiment.model.name == "mlp" and training.rule != "sgd":
        adam = training.optimizer == "adam"
        found = "training.optimizer = 'adam'" if adam else f"training.momentum = {training.momentum:g}"
        yield (
            f"{who}: its local steps must be plain gradient steps, and {found}; "
            "expected training.optimizer = 'sgd' with training.momentum = 0"
        )
    if needs.steps is not None and training.local_steps != needs.steps:
        key = "epochs" if training.local_steps is None else "local_steps"
        found, wanted = f"training.{key} = {getattr(training, key)}", f"training.local_steps = {needs.steps}"
        yield f"{who}: takes {needs.steps} local step a round, and {found}; expected {wanted}"


def _compression(needs: Needs, experiment: Experiment) -> Iterator[str]:
    gossip = experiment.gossip
    if not gossip.compression:
        return
    if not needs.compression:
        fits = _those(lambda n: n.compression)
        yield (
            f"gossip.compression = {gossip.compression!r}: gossip.algorithm = {gossip.algorithm!r} sends models whole, "
            f"and what compression leaves out would be lost; of the algorithms {fits} makes up for it"
        )
        return
    from nervenet.models.compress import parse

    from .choco import as_difference

    try:
        parse(as_difference(gossip.compression))
    except ValueError as error:
        yield f"gossip.compression = {gossip.compression!r}: {error}"


def _those(fit: Callable[[Needs], bool]) -> str:
    return ", ".join(name for name in synchronous_names() if fit(ALGORITHMS[name].needs))
