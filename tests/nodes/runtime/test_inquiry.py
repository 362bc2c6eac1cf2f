"""The dialog of round 0 in a worker: asked step by step, from the start again where that is wanted."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from nervenet.models.agreement.asked import MalformedQuestion
from nervenet.models.agreement.questions import Answer, Questions
from nervenet.models.moments import IncompatibleSites
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime import events as ev
from nervenet.nodes.runtime import inquiry
from nervenet.nodes.runtime.inquiry import Inquiry, survey


def three_questions(rows: Mapping[str, int]) -> Questions[float]:
    """The largest value above the mean of all, which is above the mean of the means."""
    found = yield {"ask": "mean"}
    means = [float(answer.vector[0]) for answer in found.values()]
    found = yield {"ask": "sum", "about": float(np.mean(means)), "rows": dict(rows)}
    total = sum(float(answer.vector[0]) for answer in found.values())
    found = yield {"ask": "largest", "above": total}
    return max(float(answer.vector[0]) for answer in found.values())


def surveys(**values: float) -> dict[str, Any]:
    return {name: ({}, np.array([value])) for name, value in values.items()}


def test_questions_follow_each_other_until_all_have_agreed() -> None:
    dialog = Inquiry(three_questions)
    first = e.ApplyAgreement(surveys=surveys(a=1.0, b=3.0), rows={"a": 7})
    assert dialog.take(first) == ev.NextQuestion(1, {"ask": "sum", "about": 2.0, "rows": {"a": 7}})
    second = e.ApplyAgreement(surveys=surveys(a=1.0, b=2.0), step=1)
    assert dialog.take(second) == ev.NextQuestion(2, {"ask": "largest", "above": 3.0})
    assert dialog.take(e.ApplyAgreement(surveys=surveys(a=9.0, b=5.0), step=2)) == 9.0


def test_step_0_begins_anew_with_others() -> None:
    dialog = Inquiry(three_questions)
    dialog.take(e.ApplyAgreement(surveys=surveys(a=1.0, b=3.0)))
    again = dialog.take(e.ApplyAgreement(surveys=surveys(a=1.0)))
    assert isinstance(again, ev.NextQuestion)
    assert again.question["about"] == 1.0


def test_answers_to_another_question_than_the_open_one_are_an_error() -> None:
    dialog = Inquiry(three_questions)
    dialog.take(e.ApplyAgreement(surveys=surveys(a=1.0)))
    dialog.take(e.ApplyAgreement(surveys=surveys(a=1.0), step=1))
    with pytest.raises(RuntimeError, match="question 1 of round 0 is not the open one"):
        dialog.take(e.ApplyAgreement(surveys=surveys(a=1.0), step=1))


def test_the_sites_stay_the_same() -> None:
    dialog = Inquiry(three_questions)
    dialog.take(e.ApplyAgreement(surveys=surveys(a=1.0, b=3.0)))
    with pytest.raises(IncompatibleSites, match="site b"):
        dialog.take(e.ApplyAgreement(surveys=surveys(a=1.0), step=1))


def test_what_is_too_large_to_be_sent_is_said_before_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiry, "MOST_BYTES", 40)
    with pytest.raises(ValueError, match=r"question 1 of round 0 is \d+ bytes; at most 40 can be sent"):
        Inquiry(three_questions).take(e.ApplyAgreement(surveys=surveys(a=1.0), rows={"a" * 40: 1}))
    with pytest.raises(ValueError, match=r"the answer to question 3 of round 0 is \d+ bytes; at most 40"):
        survey(lambda question: Answer({"text": "x" * 40}, np.empty(0)), e.Survey({"ask": "x"}, 3))
    monkeypatch.setattr(inquiry, "MOST_NUMBERS", 2)
    with pytest.raises(ValueError, match="at most 2 numbers, found 3"):
        survey(lambda question: Answer({}, np.zeros(3)), e.Survey())


@pytest.mark.parametrize("vector", [np.zeros(2, np.float32), np.zeros((2, 2))])
def test_an_answer_has_a_vector_of_float64(vector: Any) -> None:
    with pytest.raises(ValueError, match="an answer has a vector of float64, found"):
        survey(lambda question: Answer({}, vector), e.Survey())


def no_such_question(question: Any) -> Answer:
    raise MalformedQuestion(f"ask is {question['ask']!r}; allowed: 'statistics', 'fit'")


def broken(question: Any) -> Answer:
    return Answer({}, np.zeros(len(question["columns"])))


def check_refused(answer: Any, question: dict[str, Any], reason: str) -> None:
    found = survey(answer, e.Survey(question, 4, "hub"))
    assert found == ev.QuestionRefused(4, "hub", f"asked by hub: {reason}")


REFUSED = [
    (no_such_question, {"ask": 3}, "ask is 3; allowed: 'statistics', 'fit'"),
    (
        broken,
        {"ask": "fit", "part": "rows", "columns": 7},
        "the question 'fit' (part 'rows') cannot be answered here: TypeError: object of type 'int' has no len()",
    ),
]


@pytest.mark.parametrize(("answer", "question", "reason"), REFUSED)
def test_a_question_that_nobody_asks_is_refused_by_the_name_of_the_asker(
    answer: Any, question: dict[str, Any], reason: str
) -> None:
    check_refused(answer, question, reason)


@pytest.mark.parametrize(("answer", "question", "reason"), REFUSED)
def test_else_the_site_would_raise_what_its_code_raises(
    monkeypatch: pytest.MonkeyPatch, answer: Any, question: dict[str, Any], reason: str
) -> None:
    monkeypatch.setattr(inquiry, "_refused", lambda *_: answer(question))
    with pytest.raises((TypeError, MalformedQuestion)):
        check_refused(answer, question, reason)


def test_a_site_that_is_at_fault_itself_says_so() -> None:
    def answer(question: Any) -> Answer:
        raise IncompatibleSites("column 'age' has an infinity")

    with pytest.raises(IncompatibleSites, match=r"^column 'age' has an infinity"):
        survey(answer, e.Survey({}, 0, "hub"))


def test_answers_of_which_nobody_can_make_sense_are_told_by_whose_they_are() -> None:
    def ask(_rows: Mapping[str, int]) -> Questions[float]:
        found = yield {"ask": "mean"}
        return sum(answer.fields["mean"] for answer in found.values())

    wrong = {"a": ({"mean": 1.0}, np.empty(0)), "b": ({"mean": [1.0]}, np.empty(0))}
    with pytest.raises(IncompatibleSites, match=r"what a, b answered to the question 'mean' does not fit .*TypeError"):
        Inquiry(ask).take(e.ApplyAgreement(surveys=wrong))


def test_an_answer_says_which_question_it_answers() -> None:
    found = survey(lambda question: Answer({"asked": dict(question)}, np.arange(4.0)[::2]), e.Survey({"ask": "x"}, 3))
    assert isinstance(found, ev.Surveyed)
    assert (found.fields, found.step) == ({"asked": {"ask": "x"}}, 3)
    assert found.body.flags.c_contiguous
