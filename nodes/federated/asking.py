"""What a task says, and what its answer must therefore be: pure functions of what has been settled."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace
from nervenet.broker import messages as m

from .. import effects as e
from .roll import Roll
from .rules import RoundRules
from .sampling import sample, share_of, surplus


def expected(work: str, settled: e.Settled | None, rules: RoundRules) -> m.Payload | None:
    """Describe what goes out with a task, and comes back with its answer: the weights, and the strategy's parts."""
    if settled is None or work == "survey":
        return None
    payload, parts = settled.payload, rules.strategy.demands.parts
    if work != "train" or parts == payload.parts:
        return payload
    return replace(payload, length=payload.length * len(parts), parts=parts)


def tasks(
    names: Iterable[str],
    work: m.Errand,
    number: int,
    attempt: int,
    body: e.Body,
    *,
    rules: RoundRules,
    roll: Roll,
    settled: e.Settled | None,
    durable: int,
) -> list[e.Effect]:
    """One task to each, encoded at most twice: with the agreement to those who do not hold it yet, and without."""
    payload = expected(work, settled, rules)
    settings = dict(rules.settings)
    if rules.partial and work == "train":
        settings["partial"] = True
    effects: list[e.Effect] = []
    names = tuple(names)
    for holds in (True, False):
        group = tuple(n for n in names if roll[n].settled is holds)
        if not group:
            continue
        task = m.Task(
            round=number,
            attempt=attempt,
            work=work,
            deadline_s=rules.deadline_s,
            evaluate=rules.evaluate_sites and work == "train" and number > 1,
            settings=settings,
            agreement=dict(settled.agreement) if settled and not holds else None,
            payload=payload,
            durable=durable,
        )
        effects.append(e.Send(group, task, body if payload else None))
    return effects


def whom(number: int, attempt: int, rules: RoundRules, roll: Roll, least: int) -> tuple[tuple[str, ...], int]:
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


def doubts(rules: RoundRules, roll: Roll) -> list[e.Effect]:
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
