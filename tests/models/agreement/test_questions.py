"""Dialogs of round 0: the same answers lead to the same end, and the sites stay those that answered first."""

import numpy as np
import pytest
from nervenet.models.agreement.questions import Answer, Dialog, settle
from nervenet.models.moments import IncompatibleSites


def largest_above_mean():
    answers = yield {"ask": "sum"}
    rows, total = (sum(answer.vector[k] for answer in answers.values()) for k in (0, 1))
    answers = yield {"ask": "above", "mean": total / rows}
    return max(answer.fields["largest"] for answer in answers.values())


def site(*values):
    def answer(question):
        if question["ask"] == "sum":
            return Answer({}, np.array([len(values), sum(values)], float))
        return Answer({"largest": max([v for v in values if v > question["mean"]], default=0)}, np.empty(0))

    return answer


def test_a_dialog_asks_until_all_have_agreed():
    assert settle(largest_above_mean(), {"b": site(1, 2), "a": site(9, 30)}) == 30


def test_answers_come_in_the_order_of_names_whatever_order_they_arrived_in():
    def order():
        return tuple((yield {"ask": "name"}))

    dialog = Dialog(order())
    dialog.take({name: Answer({}, np.empty(0)) for name in ("c", "a", "b")})
    assert dialog.agreed == ("a", "b", "c")
    assert dialog.question is None


@pytest.mark.parametrize("second", [{"a"}, {"a", "b", "c"}])
def test_a_site_that_answers_only_some_questions_is_named(second):
    dialog = Dialog(largest_above_mean())
    dialog.take({name: site(1, 2)({"ask": "sum"}) for name in ("a", "b")})
    with pytest.raises(IncompatibleSites, match="has not answered all questions") as caught:
        dialog.take({name: Answer({"largest": 1}, np.empty(0)) for name in second})
    assert caught.value.site in ("b", "c")
