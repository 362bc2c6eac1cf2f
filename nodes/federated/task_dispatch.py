"""What a task says, and what its answer must therefore be: pure functions of what has been settled."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from msgspec.structs import replace
from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from .client_registry import ClientRegistry
from .rules import RoundRules
from .sampling import sample, share_of, surplus

UNTOLD = -1  # no round


def expected(work: str, settled: ev.ModelReady | None, rules: RoundRules) -> m.Payload | None:
    """Describe what goes out with a task, and comes back with its answer: the weights, and the strategy's parts."""
    if settled is None or work == "survey":
        return None
    payload, parts = settled.payload, rules.strategy.demands.parts
    if work != "train" or parts == payload.parts:
        return payload
    return replace(payload, length=payload.length * len(parts), parts=parts)


def lacking(spec: str, codecs: Collection[str]) -> list[str]:
    """Give the stages of an encoding that a client, by the `codecs` it named, cannot do."""
    stages = [stage.partition(":")[0] for stage in spec.split("+") if stage]
    return [stage for stage in stages if stage not in codecs]


def encoding(
    name: str, work: m.TaskKind, rules: RoundRules, roll: ClientRegistry, settled: ev.ModelReady | None
) -> str:
    """Say how a client shall encode its answer: as the run does, or not at all where the client cannot."""
    if work != "train" or not rules.compression or settled is None:
        return ""
    return "" if lacking(rules.compression, roll[name].codecs) else rules.compression


def settings_for(work: m.TaskKind, agreed: str, rules: RoundRules) -> dict[str, Any]:
    """Give the settings of a task; `agreed` is the encoding of its answer."""
    settings = dict(rules.settings)
    if rules.partial and work == "train":
        settings["partial"] = True
    if agreed:
        settings["encoding"] = agreed
    return settings | dict(rules.parting) if work == "finish" else settings


def tasks(
    names: Iterable[str],
    work: m.TaskKind,
    number: int,
    attempt: int,
    body: ev.Body,
    *,
    rules: RoundRules,
    roll: ClientRegistry,
    settled: ev.ModelReady | None,
    durable: int,
    began: int,
) -> list[e.Effect]:
    """One task to each, the same one to all that are alike: who hold the agreement already, or do not; who can encode
    their answers as the run does, or cannot.

    Who carries what only an update that counted may change is told which was the last that did.

    A client that answers to this life of the coordinator for the first time is told no later round to be `durable` than
    that after which this life `began`: what it carries of later ones is of a former life.
    """
    payload = expected(work, settled, rules)
    effects: list[e.Effect] = []
    groups: dict[tuple[bool, str, int], list[str]] = {}
    for name in names:
        agreed = encoding(name, work, rules, roll, settled)
        tells = work == "train" and (agreed or len(rules.strategy.demands.parts) > 1)
        alike = (not roll[name].settled, agreed, roll[name].counted if tells else UNTOLD)
        groups.setdefault(alike, []).append(name)
    for (new, agreed, counted), group in sorted(groups.items()):
        task = m.Task(
            round=number,
            attempt=attempt,
            work=work,
            deadline_s=rules.deadline_s,
            evaluate=rules.evaluate_sites and work == "train" and number > 1,
            settings=settings_for(work, agreed, rules),
            agreement=dict(settled.agreement) if settled and new else None,
            payload=payload,
            durable=min(durable, began) if new else durable,
            counted=None if counted == UNTOLD else counted,
        )
        effects.append(e.Send(tuple(group), task, body if payload else None))
    return effects


def whom(number: int, attempt: int, rules: RoundRules, roll: ClientRegistry, least: int) -> tuple[tuple[str, ...], int]:
    """Say who is asked to train, and how many answers are wanted of them.

    Nobody on probation, unless fewer than `least` others are there.
    """
    pool = roll.trusted(number)
    if len(pool) < least:
        pool = roll.living()
    cap = roll.cap(rules.max_examples_ratio)
    sizes = {name: min(cap, roll[name].examples) for name in pool}
    wanted = share_of(len(pool), rules.participation)
    count = surplus(len(pool), wanted, rules.over_selection)
    return sample(rules.sampling, sizes, count, seed=rules.seed, round=number, attempt=attempt), wanted


def doubts(rules: RoundRules, roll: ClientRegistry) -> list[e.Effect]:
    """Name, once, each client that claims more rows than anybody is believed."""
    ratio, median = rules.max_examples_ratio, roll.median
    return [
        e.Publish(
            "warning",
            {
                "subject": client.name,
                "reason": f"{client.name} claims {client.examples} examples, more than {ratio:g} times the median "
                f"of those enrolled ({median}): its updates are rejected; if it has them, raise "
                "federated.max_examples_ratio",
            },
        )
        for client in roll.beyond_belief(ratio)
    ]
