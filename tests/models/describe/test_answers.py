"""An answer that no honest site would give ends the dialog, by the site's name."""

import numpy as np
import pytest
from nervenet.models.agreement.questions import Answer, settle
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import SiteDescriber
from nervenet.models.moments import IncompatibleSites
from nervenet.models.tables.table import Table

ROWS = np.arange(20.0)


def honest():
    words = np.array(["red", "blue"] * 10, dtype=object)
    return SiteDescriber(Table(("x", "z", "c"), ("number", "number", "category"), (ROWS, ROWS * 2, words)))


def fields(change):
    return lambda answer: Answer({**answer.fields, **change}, answer.vector)


def vector(change):
    return lambda answer: Answer(answer.fields, change(answer.vector.copy()))


LIES = {
    "no rows": ("columns", fields({"rows": "many"})),
    "an unknown kind": ("columns", fields({"columns": {"x": "picture"}})),
    "columns that are none": ("columns", fields({"columns": 7})),
    "too few figures": ("figures", vector(lambda v: v[:-1])),
    "too many figures": ("figures", vector(lambda v: np.append(v, 1.0))),
    "more values than rows": ("figures", vector(lambda v: v + 100)),
    "a negative sum of squares": ("figures", vector(lambda v: np.where(np.arange(len(v)) == 2, -1.0, v))),
    "a minimum above the maximum": ("figures", vector(lambda v: np.where(np.arange(len(v)) == 3, 99.0, v))),
    "names that are none": ("figures", fields({"names": {"c": [1, 2]}})),
    "few that are no list": ("figures", fields({"few": 3})),
    "too few ranges": ("ranks", vector(lambda v: v[:-1])),
    "counts that do not add up": ("counts", vector(lambda v: v + 1)),
    "half a row": ("counts", vector(lambda v: v + 0.5)),
    "too few sums": ("co-moments", vector(lambda v: v[:-1])),
    "silence after the first question": ("counts", fields({"declined": "has had enough"})),
}


@pytest.mark.parametrize(("part", "lie"), LIES.values(), ids=LIES)
def test_a_malformed_answer_names_the_site(part, lie):
    def answer(question):
        told = honest().answer(question)
        return lie(told) if question["part"] == part else told

    with pytest.raises(IncompatibleSites) as caught:
        settle(describe_questions(DescribeOptions(correlations=True)), {"a": honest().answer, "b": answer})
    assert caught.value.site == "b"


def test_a_question_that_no_site_knows_is_refused():
    with pytest.raises(IncompatibleSites, match="is asked 'describe', part 'rows'; allowed: 'describe'"):
        honest().answer({"ask": "describe", "part": "rows"})
