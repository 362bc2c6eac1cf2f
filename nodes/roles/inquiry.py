"""Inquirer and respondents: a run that is round 0 alone. Questions are asked and answered, nothing is trained."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from nervenet.broker.messages import Payload, Roster
from nervenet.models.agreement.questions import Answer, Dialog, Question, Questions
from nervenet.models.weights import is_finite

from ..config.schema import Experiment
from ..consent.requests import Policy
from ..federated.client_machine import ClientConfig, ClientMachine
from ..federated.coordinator_config import CoordinatorConfig
from ..federated.coordinator_machine import CoordinatorMachine
from ..federated.strategies.averaging import FedAvg
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.identity import NodeIdentity, members_of
from ..runtime.inquiry import Inquiry, survey
from ..runtime.worker import Cancellation
from .base import Role

T = TypeVar("T")
UNCAPPED = 1e12  # times the rows of the median site: what is told is told of all rows


class InquiryWorker(Generic[T]):
    """Asks or answers, in the worker's thread; `agreed` is what all sites have come to."""

    def __init__(
        self, questions: Callable[[], Questions[T]] | None = None, answer: Callable[[Question], Answer] | None = None
    ) -> None:
        self.agreed: T | None = None
        self._inquiry = None if questions is None else Inquiry(lambda _rows: questions())
        self._answer = answer

    def snapshot(self, effect: e.Effect) -> e.Effect:
        return effect

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | None:  # noqa: ARG002
        """Answer a question, or go on with the answers of all.

        Raises
        ------
        TypeError
            It is another effect.
        """
        if isinstance(effect, e.Survey) and self._answer is not None:
            return survey(self._answer, effect)
        if isinstance(effect, e.ApplyAgreement) and self._inquiry is not None:
            found = self._inquiry.take(effect)
            if isinstance(found, ev.NextQuestion):
                return found
            self.agreed = found
            return ev.Agreed()
        raise TypeError(f"a run of round 0 alone has no {type(effect).__name__}")

    def unpack(self, array: Any, payload: Payload | None) -> tuple[Any, str | None]:
        if payload is not None and payload.encoding:
            return None, f"cannot be decoded as {payload.encoding}: no encoding was agreed"
        return array, None if is_finite(array) else "values must be finite, found NaN or infinity"


class Inquirer(Role, Generic[T]):
    """Asks all sites, question after question, until they have agreed.

    Parameters
    ----------
    questions
        Begins the dialog; called again where it must start anew, because a site was lost.
    experiment
        How many `nodes` there are, and what it says of the network, `federated.deadline_s` and
        `federated.min_clients`.
    identity
        `shared_config` is what tells this run from others: all respondents must bring the same.
    """

    role = "coordinator"

    def __init__(self, questions: Callable[[], Questions[T]], experiment: Experiment, identity: NodeIdentity) -> None:
        self._first = Dialog(questions()).question or {}
        self._worker = InquiryWorker(questions)
        self._take_place(experiment, identity)

    async def __aexit__(self, *error: object) -> None:
        await self._leave_clients(error[0])

    def _begin(self, roster: Roster) -> None:
        clients = members_of(roster, "client")
        config = CoordinatorConfig.of(self.experiment, clients, FedAvg(), has_test=True)
        uncapped = replace(config.federated, max_examples_ratio=UNCAPPED)
        config = replace(config, rounds=max(1, config.rounds), federated=uncapped, first_question=self._first)
        self.session.attach(self._start(CoordinatorMachine(config), self._worker))

    def _own_rows(self) -> tuple[int, Mapping[str, int]]:
        return 0, {}

    async def agreed(self) -> T:
        """Return what the dialog has come to, once all sites have answered all questions.

        Raises
        ------
        NodeFailed
            They could not agree; the reason is the message.
        """
        async for _ in self.rounds():
            pass
        return self._worker.agreed  # type: ignore[return-value]  # the dialog is over


class Respondent(Role):
    """Answers the questions of an `Inquirer` from one site's rows, which stay where they are. It only ever dials out.

    Parameters
    ----------
    answer
        Called in a thread of its own, one question after the other. What it raises is declined by its message.
    examples
        How many rows the site says that it has, at least 1.
    rows
        How many it has, for its own policy; None: as many as it says.
    experiment, identity
        As for `Inquirer`.
    """

    role = "client"
    binds = False

    def __init__(
        self,
        answer: Callable[[Question], Answer],
        examples: int,
        experiment: Experiment,
        identity: NodeIdentity,
        rows: int | None = None,
    ) -> None:
        self._worker = InquiryWorker[Any](answer=answer)
        self._examples = examples
        self._rows = examples if rows is None else rows
        self._coordinator = ""
        self._take_place(experiment, identity)

    async def __aexit__(self, *error: object) -> None:
        await self._leave_coordinator(self._coordinator, error[0])

    def _begin(self, roster: Roster) -> None:
        coordinator = self._coordinator_in(roster)
        self._coordinator = coordinator.node
        policy = Policy(allow=self.experiment.site.allow, run=self.identity.run, rows=self._rows)
        config = ClientConfig(self._coordinator, self._examples, os.getpid(), self.experiment.timing, policy=policy)
        self._answer_to(coordinator, ClientMachine(config), self._worker)

    def _own_rows(self) -> tuple[int, Mapping[str, int]]:
        return self._examples, {}

    async def done(self) -> None:
        """Return when all questions are answered, and the inquirer needs this site no longer.

        Raises
        ------
        NodeFailed
            The run has failed, or the inquirer is gone; the reason is the message.
        """
        async for _ in self.rounds():
            pass
