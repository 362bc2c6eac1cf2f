"""A model's own questions in round 0: what it learns of all sites at once, after they have agreed on the preprocessing.

A model that has `questions` and `answer` (`AskingModel`) puts them to the sites, which answer from their prepared rows.
What comes of it are the weights of the run's first round, or the sizes of their arrays where those depend on the rows,
or both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeGuard

from numpy.typing import NDArray

from .agreement.asked import Field, MalformedQuestion, check_fields, is_map, is_text
from .agreement.questions import Answer, Question, Questions
from .model import Model
from .moments import IncompatibleSites
from .table_preprocessing import AnyPreprocessing, preprocessing_of
from .weights import Vector

ASK = "model"
"""What a question of round 0 asks, which the model and not the preprocessing needs; its part is the model's own."""

MOST_NUMBERS = 1 << 24
"""Of an answer, where nobody has said how much a message carries."""


class Sites(NamedTuple):
    """What a model knows of the sites before it asks them anything."""

    rows: Mapping[str, int]  # that each of them trains on, by its name, in the order of names
    n_features: int
    n_classes: int | None  # None: regression
    seed: int  # of the run
    most_numbers: int = MOST_NUMBERS  # in one message, and so in the weights of a model


class OwnRows(NamedTuple):
    """The rows that a site answers from: prepared as all have agreed."""

    site: str  # its name
    X: NDArray[Any]  # (rows, n_features), of the model's dtype
    y: NDArray[Any]  # (rows,): int64 class indices, or float targets in standardized units
    n_classes: int | None
    weight: NDArray[Any] | None  # (rows,), float64 above 0; None: all count the same


class Settled(NamedTuple):
    """What a model's own questions have come to."""

    shape: Mapping[str, int] | None  # plain numbers by which `set_shape` knows the layout; None: it depends on no row
    weights: Vector | None  # of the run's first round; None: those that it would have without questions


class AskingModel(Model, Protocol):
    """What a `Model` has besides, if it asks."""

    def questions(self, sites: Sites) -> Questions[Settled]:
        """Return the dialog; ``ask`` of each question says which one it is.

        It reads no rows and draws nothing, so that all peers come to the same end. Raises IncompatibleSites, naming
        the site, where an answer is none.
        """
        ...

    def answer(self, question: Question, rows: OwnRows) -> Answer:
        """Return a site's answer. Raises MalformedQuestion for a question that is none of `questions`, and
        IncompatibleSites where this site's rows are why there is no answer.
        """
        ...

    def set_shape(self, shape: Mapping[str, int] | None) -> None:
        """Take what `Settled.shape` was, before `build`; None: nothing was agreed yet.

        Raises IncompatibleSites for a shape that no model of this family has.
        """
        ...


def asks(model: object) -> TypeGuard[AskingModel]:
    """Whether a model has questions of its own."""
    return all(hasattr(type(model), name) for name in ("questions", "answer", "set_shape"))


def model_questions(model: object, agreed: AnyPreprocessing, sites: Sites) -> Questions[Settled | None]:
    """Put a model's own questions to the sites; None, and not a question, where it has none."""
    if not asks(model):
        return None
    dialog, answers = model.questions(sites), None
    about = agreed.to_dict()
    try:
        while True:
            question = next(dialog) if answers is None else dialog.send(answers)
            answers = yield {"ask": ASK, "part": question["ask"], "question": dict(question), "agreed": about}
    except StopIteration as end:
        settled: Settled = end.value
        return settled


_FIELDS = {
    "ask": Field(f"'{ASK}'", lambda found: found == ASK),
    "part": Field("a text", is_text),
    "question": Field("a question of the model's", is_map),
    "agreed": Field("what all sites have agreed on", is_map),
}


def agreed_in(model: object, question: Question) -> AnyPreprocessing:
    """Return the preprocessing that a question of `model_questions` is about.

    Raises MalformedQuestion, also where this site's model has no questions.
    """
    if not asks(model):
        raise MalformedQuestion(f"ask is '{ASK}', and the model of this site has no questions of its own")
    check_fields(f"the question '{ASK}'", question, _FIELDS)
    try:
        return preprocessing_of(question["agreed"])
    except Exception as error:  # another node's word, of any version
        raise MalformedQuestion(f"the question '{ASK}' is about what this site cannot use: {error}") from error


def answer_of(model: object, question: Question, rows: OwnRows) -> Answer:
    """Return a site's answer to a question of `model_questions`, of which `agreed_in` has taken the rest."""
    own = question["question"]
    if not asks(model) or own.get("ask") != question["part"]:
        raise MalformedQuestion(f"the model of this site has no question {question['part']!r}")
    if not rows.site:
        raise IncompatibleSites("this site model has no name (`site`), by which its model is asked")
    return model.answer(own, rows)
