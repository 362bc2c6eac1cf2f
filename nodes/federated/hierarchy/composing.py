"""What may be asked of a region: what comes of its sum is what would come of its clients' own updates; pure."""

from __future__ import annotations

from collections.abc import Iterator

from nervenet.broker import messages as m
from nervenet.models.model import is_summed

from ...config import grown
from ...config.schema import Experiment
from ...large.sizes import Sizes

STRATEGIES = ("fedavg", "fedprox", "fedavgm", "fedadagrad", "fedadam", "fedyogi")
"""Those that depend on nothing but the mean of the updates by their rows, which a mean of means by rows is."""

_AVERAGED = ("epochs", "local_steps", "batch_size", "learning_rate", "proximal", "partial")
"""Settings of a task that say how its weights are come by, and nothing else."""

_OF_SITES = {
    "encoding": "federated.compression: what an encoding leaves out depends on whose update counted",
    "personal": "federated.personal: its arrays stay at the sites",
    "ditto": "federated.ditto: its models stay at the sites",
    "fine_tune": "federated.fine_tune: its models stay at the sites",
    "carry_optimizer": "training.carry_optimizer: what is carried depends on whose update counted",
}
"""Other settings, by what they are called where they are chosen, and why they are a site's own affair."""

_WORK = ("survey", "train", "evaluate", "finish")


def problems(experiment: Experiment, model: object = None) -> Iterator[str]:
    """Yield why an aggregator cannot take part in a run as its own experiment describes it."""
    federated, name = experiment.federated, experiment.federated.strategy
    if experiment.mode != "federated":
        yield f"mode = {experiment.mode!r}: an aggregator takes part in federated runs"
    if name not in STRATEGIES:
        yield f"federated.strategy = {name!r}: {_no_mean(name)}"
    chosen = {key: getattr(federated, key) for key in ("personal", "ditto", "fine_tune")}
    chosen |= {"encoding": federated.compression, "carry_optimizer": experiment.carry_optimizer}
    for key in filter(chosen.get, _OF_SITES):
        yield f"{_OF_SITES[key]}, and does not go with an aggregator; leave it out"
    if experiment.training.class_weight is not None:
        yield "training.class_weight: does not go with an aggregator, which sums no counts of classes"
    if experiment.evaluation.site_matrix:
        yield "evaluation.site_matrix = true: does not go with an aggregator, whose clients' own models stay below it"
    if experiment.init is not None:
        yield f"init = {experiment.init!r}: an aggregator is given the model: give it to the coordinator at the top"
    if is_summed(model) or grown.is_grown(experiment, model):
        yield (
            f"model.name = {experiment.model.name!r}: does not go with an aggregator: what its sites send are sums or "
            "trees, and no weights to average"
        )


def unsuited(task: m.Task, deadline_s: float | None, sizes: Sizes) -> str | None:
    """Return why a region cannot do a coordinator's task, or any further one, None if it can.

    `deadline_s` is what its own experiment says of its rounds; None: that is left open.
    """
    if task.work not in _WORK:
        return f"a region does no {task.work}: its clients' own models stay below it"
    if deadline_s is not None and task.work != "finish" and deadline_s >= task.deadline_s:
        return (
            f"hierarchy.deadline_s = {deadline_s:g}: a region's round must end before that of the coordinator above, "
            f"which lasts {task.deadline_s:g} s; expected less than that"
        )
    strategy = task.strategy if isinstance(task.strategy, str) else ""
    if strategy and strategy not in STRATEGIES:
        return f"the coordinator's federated.strategy = {strategy!r}: {_no_mean(strategy)}"
    for key, value in sorted(task.settings.items()):
        if value and key not in _AVERAGED:
            return f"the coordinator's {_OF_SITES.get(key, key)}, and does not go with an aggregator"
    payload = task.payload
    if payload is not None and payload.parts != m.Payload(payload.layout, payload.dtype, payload.length).parts:
        return f"{', '.join(payload.parts)} travel with the weights, and an aggregator averages weights alone"
    if isinstance(task.manifest, m.Manifest) or (payload is not None and sizes.too_large(payload)):
        limit = f"network.max_message_bytes = {sizes.message_bytes:,}"
        return f"the model is larger than a message ({limit}), and does not travel through an aggregator"
    return None


def _no_mean(name: str) -> str:
    expected = ", ".join(STRATEGIES)
    return f"{name} needs each client's own update, and an aggregator sends their mean; expected one of {expected}"
