"""Runs of round 0 alone: questions that all sites answer, and nothing is trained."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
from nervenet.broker.broker import Broker
from nervenet.models.agreement.questions import Answer, Question, Questions
from nervenet.models.moments import IncompatibleSites
from nervenet.nodes import Experiment, NodeFailed
from nervenet.nodes.roles.inquiry import Inquirer, Respondent
from nervenet.nodes.runtime.identity import NodeIdentity

DEADLINE_S = 240.0
PURPOSE = {"mode": "federated", "purpose": "describe"}


def largest_above_mean() -> Questions[dict[str, float]]:
    answers = yield {"ask": "sum"}
    rows, total = (sum(float(answer.vector[k]) for answer in answers.values()) for k in (0, 1))
    answers = yield {"ask": "above", "mean": total / rows}
    above = sum(float(answer.vector[0]) for answer in answers.values())
    answers = yield {"ask": "largest"}
    return {"above": above, "largest": max(float(answer.vector[0]) for answer in answers.values())}


def site(*values: float) -> Callable[[Question], Answer]:
    def answer(question: Question) -> Answer:
        found = {
            "sum": [len(values), sum(values)],
            "above": [sum(value > question.get("mean", 0.0) for value in values)],
            "largest": [max(values)],
        }
        return Answer({"asked": question["ask"]}, np.array(found[question["ask"]], np.float64))

    return answer


async def inquire(
    answers: dict[str, Callable[[Question], Answer]],
    questions: Callable[[], Questions[Any]] = largest_above_mean,
    **federated: Any,
) -> tuple[Any, dict[str, BaseException | None]]:
    """Return what was agreed, or the reason why not, and how it ended for each site."""
    experiment = Experiment.from_dict({"nodes": len(answers), "federated": federated})
    ends: dict[str, BaseException | None] = {}

    async def respond(name: str, address: str) -> None:
        identity = NodeIdentity(address, "survey", name, shared_config=PURPOSE)
        try:
            async with Respondent(answers[name], 10, experiment, identity) as node:
                await node.done()
            ends[name] = None
        except Exception as error:  # noqa: BLE001
            ends[name] = error

    async with asyncio.timeout(DEADLINE_S), Broker("tcp://127.0.0.1:0") as broker:
        sites = [asyncio.create_task(respond(name, broker.address)) for name in answers]
        try:
            identity = NodeIdentity(broker.address, "survey", "coordinator", shared_config=PURPOSE)
            async with Inquirer(questions, experiment, identity) as node:
                found: Any = await node.agreed()
        except NodeFailed as error:
            found = error
        await asyncio.gather(*sites)
    return found, ends


def test_it_ends_when_all_sites_have_answered_all_questions() -> None:
    sites = {"a": site(1, 2), "b": site(9, 30), "c": site(4)}
    found, ends = asyncio.run(inquire(sites))
    assert found == {"above": 1.0, "largest": 30.0}
    assert ends == dict.fromkeys(sites)


def test_without_a_site_that_cannot_answer_it_starts_again() -> None:
    def forgetful(question: Question) -> Answer:
        if question["ask"] == "above":
            raise IncompatibleSites("no rows are left")
        return site(100)(question)

    found, ends = asyncio.run(inquire({"a": site(1, 2), "b": site(9, 30), "c": forgetful}))
    assert found == {"above": 1.0, "largest": 30.0}
    assert ends["a"] is None


def test_where_all_are_needed_the_run_fails_by_the_name_of_the_one_that_cannot_answer() -> None:
    def forgetful(question: Question) -> Answer:
        if question["ask"] == "above":
            raise IncompatibleSites("no rows are left")
        return site(100)(question)

    found, ends = asyncio.run(inquire({"a": site(1, 2), "b": forgetful}, min_clients=2))
    assert isinstance(found, NodeFailed)
    assert "b: declined: survey failed: IncompatibleSites: no rows are left" in str(found)
    assert "no rows are left" in str(ends["a"])


def test_sites_that_do_not_fit_each_other_end_the_run_by_name() -> None:
    def refused() -> Questions[None]:
        yield {"ask": "sum"}
        raise IncompatibleSites("site b: in other units than the rest", "b")

    found, ends = asyncio.run(inquire({"a": site(1, 2), "b": site(1)}, refused))
    assert str(found) == "IncompatibleSites: site b: in other units than the rest"
    assert all("in other units" in str(end) for end in ends.values())
