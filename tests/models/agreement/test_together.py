"""Dialogs side by side: one exchange carries a question of each, and each is sent the answers to its own."""

import numpy as np
import pytest
from nervenet.models.agreement.questions import Answer, Dialog, settle
from nervenet.models.agreement.together import answer_together, together
from nervenet.models.moments import IncompatibleSites


def total(name, times):
    found = 0.0
    for _ in range(times):
        answers = yield {"ask": name}
        found += sum(answer.vector.sum() + answer.fields["more"] for answer in answers.values())
    return found


def site(**values):
    def one(question):
        return Answer({"more": len(question["ask"])}, np.full(len(question["ask"]), values[question["ask"]]))

    return lambda question: answer_together(question, one)


def test_each_dialog_has_its_own_answers_however_long_it_lasts():
    dialogs = [total("a", 1), total("bb", 3), total("ccc", 0), together([total("a", 2), total("bb", 1)])]
    found = settle(together(dialogs), {"s": site(a=1.0, bb=10.0), "t": site(a=2.0, bb=20.0)})
    a, b = 1 + 2 + 2, 2 * (10 + 20) + 4
    assert found == [a, 3 * b, 0.0, [2 * a, b]]


def test_the_longest_dialog_says_how_many_exchanges_there_are():
    dialog = Dialog(together([total("a", 1), total("bb", 3)]))
    asked = []
    while dialog.question is not None:
        asked.append(dialog.question)
        dialog.take({"s": site(a=1.0, bb=2.0)(dialog.question)})
    assert asked == [{"questions": [{"ask": "a"}, {"ask": "bb"}]}, {"ask": "bb"}, {"ask": "bb"}]


def test_parts_share_the_other_fields_of_their_question():
    seen = []
    answer_together(
        {"step": 1, "questions": [{"ask": "a"}, {"ask": "b", "step": 2}]},
        lambda q: seen.append(q) or Answer({}, np.empty(0)),
    )
    assert seen == [{"step": 1, "ask": "a"}, {"step": 2, "ask": "b"}]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"parts": [{}], "lengths": [1]},
        {"parts": [{}, {}], "lengths": [1, 1]},
        {"parts": [{}, {}], "lengths": [-1, 4]},
        {"parts": [{}, {}], "lengths": [True, 2]},
        {"parts": [{}, 1], "lengths": [1, 2]},
        {"parts": 2, "lengths": 2},
    ],
)
def test_an_answer_to_fewer_or_other_parts_is_refused_by_name(fields):
    dialog = Dialog(together([total("a", 1), total("bb", 1)]))
    good = site(a=1.0, bb=2.0)(dialog.question)
    with pytest.raises(IncompatibleSites, match="site b has not answered each of 2 questions") as caught:
        dialog.take({"a": good, "b": Answer(fields, good.vector)})
    assert caught.value.site == "b"
