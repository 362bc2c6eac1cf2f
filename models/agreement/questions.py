"""Round 0 as a dialog: questions that every site answers from its own rows, until all of them have agreed.

A dialog is a generator. It yields a question, is sent the answers of all sites, yields the next, and returns what was
agreed. It reads no rows and draws no random numbers, so that whoever runs it on the same answers - a coordinator, or
every peer by itself - asks the same questions and comes to the same end. A question is complete in itself: a site that
has forgotten the earlier ones can answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..moments import IncompatibleSites

Question: TypeAlias = Mapping[str, Any]
"""Plain values that msgpack carries; ``ask`` says which question it is."""

MOST_QUESTIONS = 10_000
"""A dialog that has not come to an end after so many never will."""


class Answer(NamedTuple):
    """What one site says: plain values that msgpack carries, and one vector of float64, which may be empty."""

    fields: Mapping[str, Any]
    vector: NDArray[np.float64]


Answers: TypeAlias = Mapping[str, Answer]
"""By the site's name, in the order of names."""

T = TypeVar("T")

Questions: TypeAlias = Generator[Question, Answers, T]


class Dialog(Generic[T]):
    """A dialog in progress: `question` is open until `take` has been given the answers of all sites to it.

    `step` counts the questions from 0; `question` is None and `agreed` is set at the end. `sites` are fixed by the
    first answers.
    """

    def __init__(self, questions: Questions[T]) -> None:
        self._questions = questions
        self.step = 0
        self.sites: tuple[str, ...] | None = None
        self.agreed: T | None = None
        self.question: Question | None = None
        self._next(None)

    def take(self, answers: Answers) -> None:
        """Go on with the answers of all sites.

        Raises IncompatibleSites when they do not fit each other, or are not those of the sites that answered before.
        """
        if self.question is None:
            raise RuntimeError("the dialog is over")
        ordered = {site: answers[site] for site in sorted(answers)}
        if self.sites is not None and tuple(ordered) != self.sites:
            gone = [site for site in self.sites if site not in ordered] or [s for s in ordered if s not in self.sites]
            raise IncompatibleSites(f"site {gone[0]} has not answered all questions of round 0, but some", gone[0])
        self.sites = tuple(ordered)
        self.step += 1
        self._next(ordered)

    def _next(self, answers: Answers | None) -> None:
        if self.step > MOST_QUESTIONS:
            raise IncompatibleSites(f"no agreement after {MOST_QUESTIONS} questions")
        try:
            self.question = next(self._questions) if answers is None else self._questions.send(answers)
        except StopIteration as end:
            self.question, self.agreed = None, end.value


def settle(questions: Questions[T], sites: Mapping[str, Callable[[Question], Answer]]) -> T:
    """Return what the sites agree on, each of them a function that answers; all in this process."""
    dialog = Dialog(questions)
    while dialog.question is not None:
        dialog.take({site: answer(dialog.question) for site, answer in sites.items()})
    return dialog.agreed  # type: ignore[return-value]  # the dialog is over
