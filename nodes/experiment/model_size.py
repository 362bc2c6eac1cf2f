"""Whether a model fits a message, or else the run has it in chunks: known by its size, before anything is started."""

from __future__ import annotations

from math import prod

from nervenet.models.model import CannotMerge

from ..config.factory import build_model
from ..config.keys import ExperimentError
from ..config.schema import Experiment, FederatedConfig, GossipConfig

HEADER_BYTES = 1_024  # of a message around the weights


def check_size(experiment: Experiment, columns: int, classes: int | None) -> None:
    """Raise :class:`ExperimentError` for a model of more bytes than one message may carry, where none travels in
    chunks.
    """
    limit, model = experiment.network.max_message_bytes, build_model(experiment)
    try:
        if hasattr(model, "shapes"):
            # Without building it: one that is far too large cannot even be built.
            count = sum(map(prod, model.shapes(columns, classes).values()))
        else:
            from nervenet.models.rng import generator

            count = model.build(columns, classes, generator(experiment.seed, "init")).size
    except ValueError:
        return  # what it cannot learn is told by who trains it
    except CannotMerge:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ExperimentError(
            f"model.name = {experiment.model.name!r} fails as it is made for {columns} columns: {found}"
        ) from error
    parts = _parts(experiment)
    size = len(parts) * count * int(model.dtype.removeprefix("float")) // 8
    if size + HEADER_BYTES <= limit:
        return
    larger = _why_not_in_chunks(experiment)
    if larger:
        several = f" each in {len(parts)} parts ({', '.join(parts)})" if len(parts) > 1 else ""
        raise ExperimentError(
            f"model: {count:,} parameters of {model.dtype}{several} are {size:,} bytes, and a message carries at most "
            f"network.max_message_bytes = {limit:,}; {larger}; or choose a smaller model, or raise that limit for all "
            "nodes"
        )


def _why_not_in_chunks(experiment: Experiment) -> str | None:
    """Return why a model that no message carries cannot travel in chunks in this run, and what can; None if it can."""
    if experiment.mode == "gossip":
        if experiment.cluster.on is None:
            return None  # whatever peers send is announced, and fetched in chunks
        return "peers that cluster.on places report their models in a message each: larger ones do without it"
    from ..federated.large.suited import unsuited
    from ..federated.strategies.registry import build_strategy

    federated = experiment.federated
    strategy = build_strategy(federated.strategy, federated.arguments)
    return unsuited(strategy, federated, site_matrix=experiment.evaluation.site_matrix is True)


def _parts(experiment: Experiment) -> tuple[str, ...]:
    """Return the vectors, each as long as the model, that one message carries."""
    federated, gossip = experiment.federated, experiment.gossip
    chosen = federated.strategy if experiment.mode == "federated" else gossip.algorithm
    if chosen in (FederatedConfig.strategy, GossipConfig.algorithm):
        return ("weights",)  # plain averaging: nothing has to be imported to know that
    if experiment.mode == "federated":
        from ..federated.strategies.registry import build_strategy

        return build_strategy(federated.strategy, federated.arguments).demands.parts
    from ..gossip.algorithms.registry import build_algorithm, has_rounds

    if not has_rounds(gossip.algorithm):
        return ("weights",)
    parts: tuple[str, ...] = build_algorithm(gossip.algorithm, gossip.arguments, gossip.compression).needs.parts
    return parts
