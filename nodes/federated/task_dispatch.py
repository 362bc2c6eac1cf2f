"""Who is asked, what a task says, and what its answer must therefore be: pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace
from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .client_registry import ClientRegistry
from .coordinator_config import CoordinatorConfig
from .row_cap import capped
from .sampling import sample, share_of, surplus

NO_ROUND = -1
DEADLINES_ALONE = 10  # of a round: how long sites may train models of their own, which takes as long as all rounds


def deadline_s(config: CoordinatorConfig, work: str) -> float:
    """Return how long a task of this kind may take, in seconds."""
    return config.timing.deadline_s * (DEADLINES_ALONE if work == "alone" else 1)


def expected_payload(work: str, model: ev.ModelReady | None, config: CoordinatorConfig) -> m.Payload | None:
    """Return what goes out with a task, and comes back with its answer: the weights, and the strategy's parts."""
    if model is None or work == "survey":
        return None
    payload, parts = model.payload, config.strategy.demands.parts
    if work != "train" or parts == payload.parts:
        return payload
    return replace(payload, length=payload.length * len(parts), parts=parts)


def missing_codecs(spec: str, codecs: Collection[str]) -> list[str]:
    """Return the stages of an encoding that a client with these `codecs` cannot do."""
    stages = [stage.partition(":")[0] for stage in spec.split("+") if stage]
    return [stage for stage in stages if stage not in codecs]


def uncompressed(name: str, codecs: Collection[str], config: CoordinatorConfig) -> list[e.Effect]:
    """Say that a client cannot encode its updates as the run does, if so."""
    missing = missing_codecs(config.federated.compression, codecs)
    if not missing:
        return []
    reason = f"{name} cannot encode {', '.join(missing)}: its updates come as they are, without compression"
    return [e.Publish("warning", {"reason": reason, "subject": name})]


def _settings(work: m.TaskKind, encoding: str, config: CoordinatorConfig) -> dict[str, Any]:
    settings = dict(config.settings)
    if config.federated.partial and work == "train":
        settings["partial"] = True
    if encoding:
        settings["encoding"] = encoding
    return settings | dict(config.final_settings) if work == "finish" else settings


def tasks(
    config: CoordinatorConfig,
    registry: ClientRegistry,
    model: ev.ModelReady | None,
    names: Iterable[str],
    work: m.TaskKind,
    key: tuple[int, int],
    body: ev.Body,
    *,
    durable: int,
    resumed_after: int,
    clock: float = 0.0,
    rounds: int = 0,
    question: Mapping[str, Any] = {},
    clients: int = 0,
    needed: bool = False,
) -> list[e.Effect]:
    """Return one task for each client; those that are alike share a message.

    Alike are clients that hold the agreement already, or do not; and that can encode their answers as the run does, or
    cannot. Where a client carries what only an update that counted may change, its task says which was the last one.

    A client that answers to this incarnation of the coordinator for the first time is told no later round to be
    `durable` than the one `resumed_after`: what it carries of later ones is of the previous incarnation. `clients` is
    how many are asked together, whether or not all of them are asked now; `needed`, whether without one of them the
    round fails, which a region is told.
    """
    payload, compression = expected_payload(work, model, config), config.federated.compression
    if work == "alone":
        payload = None  # it starts from what the seed gives to all
    number, attempt = key
    effects: list[e.Effect] = []
    groups: dict[tuple[bool, str, int, bool], list[str]] = {}
    for name in names:
        client = registry[name]
        encodes = work == "train" and model is not None and not missing_codecs(compression, client.codecs)
        encoding = compression if encodes else ""
        carries = work == "train" and (encoding or len(config.strategy.demands.parts) > 1)
        known = client.counted if carries else NO_ROUND
        groups.setdefault((not client.ready, encoding, known, needed and name in registry.regions), []).append(name)
    for (new, encoding, counted, told), group in sorted(groups.items()):
        task = m.Task(
            round=number,
            attempt=attempt,
            work=work,
            deadline_s=deadline_s(config, work),
            evaluate=config.evaluate_sites and work == "train" and number > 1,
            settings=_settings(work, encoding, config),
            agreement=dict(model.agreement) if model and new else None,
            payload=payload,
            durable=min(durable, resumed_after) if new else durable,
            counted=None if counted == NO_ROUND else counted,
            clock=clock,
            rounds=rounds,
            question=dict(question) if question else UNSET,
            strategy=config.federated.strategy,
            clients=clients,
            origin=config.origin or UNSET,
            needed=told or UNSET,
        )
        effects.append(e.Send(tuple(group), task, body if payload else None))
    return effects


def choose(
    number: int, attempt: int, config: CoordinatorConfig, registry: ClientRegistry, least: int, floor: int = 1
) -> tuple[tuple[str, ...], int]:
    """Return who is asked to train, and how many answers are wanted of them, as many as the `floor` at least.

    Nobody on probation, unless fewer than `least` others are there.
    """
    pool, federated = registry.trusted(number, least), config.federated
    wanted = min(len(pool), max(floor, share_of(len(pool), federated.participation)))
    count = surplus(len(pool), wanted, federated.over_selection)
    return draw(pool, count, config, registry, round=number, attempt=attempt), wanted


def draw(
    pool: Iterable[str],
    count: int,
    config: CoordinatorConfig,
    registry: ClientRegistry,
    *,
    round: int,  # noqa: A002
    attempt: int,
) -> tuple[str, ...]:
    """Sample `count` of the clients in `pool`, none of which counts for more examples than anybody is believed."""
    cap = registry.cap(config.federated.max_examples_ratio)
    sizes = {name: min(cap, registry[name].examples) for name in pool}
    return sample(config.federated.sampling, sizes, count, seed=config.seed, round=round, attempt=attempt)


def capped_claims(config: CoordinatorConfig, registry: ClientRegistry) -> list[e.Effect]:
    """Name, once, each client that has more rows than anybody counts for."""
    if config.alike:
        return []
    ratio, median = config.federated.max_examples_ratio, registry.median
    return [
        e.Publish("warning", {"subject": client.name, "reason": capped(client.name, client.examples, median, ratio)})
        for client in registry.newly_capped(ratio)
    ]
