"""What is found wrong with a launch before anything is started, and what is only said beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..config.factory import node_names
from ..config.schema import Experiment
from ..config.summed import summed_model
from ..experiment.model_size import check_size
from ..experiment.validation import check_class_weight, check_initial, check_task
from ..federated.row_cap import capped_of
from .data_shares import DataShares
from .regions.checks import check_regional_rows
from .regions.plan import regions_of


def check_data(experiment: Experiment, shares: DataShares, *, initial: bool) -> None:
    """Refuse what the data rule out; of rows that nobody has read yet, the nodes find it in round 0.

    `initial`: whether it begins, maybe from a saved model.

    Raises
    ------
    ExperimentError
    """
    check_task(experiment, shares.task, shares.features)
    check_class_weight(experiment, shares.classes)
    check_regional_rows(experiment, tables=shares.kinds is not None)
    check_size(experiment, shares.features, None if shares.classes is None else len(shares.classes))
    if initial:
        check_initial(experiment, shares.columns, shares.classes)


def capped(experiment: Experiment, shares: DataShares) -> list[str]:
    """Return what federated.max_examples_ratio will do, which only the launcher can say before anything starts."""
    weighted = shares.weighted or experiment.training.class_weight is not None
    if experiment.mode == "gossip" or weighted:  # then it is the weights that are compared, round by round
        return []
    if summed_model(experiment) is not None or not shares.sizes:  # all count alike, or nobody has read them yet
        return []
    sizes = dict(zip(node_names(experiment), shares.sizes, strict=True))
    ratio = experiment.federated.max_examples_ratio
    return [line for together in _compared(experiment, sizes) for line in capped_of(together, ratio)]


def _compared(experiment: Experiment, sizes: Mapping[str, int]) -> Iterator[Mapping[str, int]]:
    """Yield the rows of those whom one coordinator compares: the clients of each region, and then these."""
    regions = regions_of(experiment).clients
    if not regions:
        yield sizes
        return
    within = {region: {name: sizes[name] for name in clients} for region, clients in regions.items()}
    yield from within.values()
    yield {region: sum(rows.values()) for region, rows in within.items()}
