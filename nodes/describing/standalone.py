"""The two halves of a description between machines: what ``nervenet node coordinator|client --describe`` runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from nervenet.models.agreement.questions import Answer, Question
from nervenet.models.describe.description import Description
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.tables.columns import read_columns
from nervenet.models.tables.options import ReadOptions

from ..config.schema import Experiment
from ..consent.requests import Policy
from ..launching.described_site import SHARED, UNTOLD
from ..roles.base import Role
from ..roles.inquiry import Inquirer, Respondent
from ..runtime.auditing import audit_dir_of
from ..runtime.identity import NodeIdentity, default_name
from ..runtime.printable import listed
from ..runtime.secured import key_name, security_of

OnNote = Callable[[str], None]
Node = TypeVar("Node", bound=Role)


async def ask_sites(
    asked: DescribeOptions,
    experiment: Experiment,
    identity: NodeIdentity,
    on_note: OnNote,
    on_wait: OnNote | None = None,
) -> Description:
    """Ask `experiment.nodes` sites, each at a node of its own, and return their description.

    `on_note` is told what a person should know, `on_wait` whom this node waits for, each time that has changed.
    Raises NodeFailed if they could not agree, or fewer than `federated.min_clients` answered (all of them by default).
    """
    if experiment.federated.min_clients is None:
        experiment = replace(experiment, federated=replace(experiment.federated, min_clients=experiment.nodes))
    async with _noted(Inquirer(lambda: describe_questions(asked), experiment, identity), on_note, on_wait) as node:
        return await node.agreed()


async def answer_for(
    file: Path,
    options: ReadOptions,
    min_rows: int,
    experiment: Experiment,
    identity: NodeIdentity,
    on_note: OnNote,
    on_wait: OnNote | None = None,
) -> None:
    """Answer the questions of the coordinator for one file, and say how much was given away; as `ask_sites` otherwise.

    Raises DataError for a file that cannot be described; NodeFailed if the run failed.
    """
    table, notes = await asyncio.to_thread(read_columns, file, options)
    for note in notes:
        on_note(note)
    describer = SiteDescriber(table, min_rows)
    told: list[int] = []
    declined: set[str] = set()

    def answer(question: Question) -> Answer:
        found = describer.answer(question)
        told.append(found.vector.size)
        declined.update([found.fields["declined"]] if "declined" in found.fields else [])
        return found

    Policy(allow=experiment.site.allow, run=identity.run, rows=len(table)).check()
    respondent = Respondent(answer, UNTOLD, experiment, identity, len(table))
    async with _noted(respondent, on_note, on_wait) as node:
        await node.done()
    gave = f"answered {len(told)} questions, with {sum(told):,} numbers"
    on_note(f"told nothing: {file.name} {declined.pop()}" if declined else gave)


def identity_of(
    role: str, experiment: Experiment, *, broker: str, run: str, name: str | None, **where: Any
) -> NodeIdentity:
    """Return the identity of a node of such a run: one that trains, or counts on other sites, is refused among them."""
    security = security_of(experiment.network, name, role)
    name = name or key_name(security) or ("coordinator" if role == "coordinator" else default_name("site"))
    shared_config = {**SHARED, "nodes": experiment.nodes}
    where["audit_dir"] = audit_dir_of(experiment.site, None, usual=True)
    return NodeIdentity(broker, run, name, shared_config=shared_config, security=security, **where)


def _noted(node: Node, on_note: OnNote, on_wait: OnNote | None) -> Node:
    """Have what happens on the way said: warnings, who is lost, and whom it waits for."""

    def said(event: dict[str, Any]) -> None:
        if on_wait is not None and (waited_for := _waited_for(event)):
            on_wait(f"waiting for {waited_for}")
        if event.get("type") == "warning":
            on_note(f"warning: {event.get('reason')}")
        elif event.get("type") == "site.declined":
            on_note(f"declined what {event.get('subject')} asks: {event.get('reason')}")
        elif event.get("type") in ("node.lost", "node.suspect"):
            on_note(f"{event.get('subject')}: {event.get('reason', event['type'])}")

    node.session.on_event = said
    return node


def _waited_for(event: Mapping[str, Any]) -> str:
    """Return whom a node waits for, by its event; empty where it is none of those."""
    if event.get("type") == "node.waiting":
        return str(event.get("reason") or "")
    if event.get("type") != "round.progress" or not event.get("unanswered"):
        return ""
    names = [str(name) for name in event.get("waiting", ())]
    return f"{listed(names, 3)} to answer question {event.get('question')}"
