"""What several peers of a process hold of a site's answer is held once, and told from any other to the bit."""

from typing import Any

import numpy as np
import pytest
from nervenet.nodes.runtime.site_answer import STEPS, SameAnswers, SiteAnswer

FIELDS: dict[str, Any] = {"columns": ["x", "y"], "n": 3}


def answer(fields: Any = FIELDS, body: Any = (1.0, float("nan")), origin: str = "a") -> SiteAnswer:
    return SiteAnswer.of(origin, dict(fields), np.array(body))


def test_the_same_answer_is_held_once() -> None:
    same = SameAnswers()
    first = same.of(0, answer())
    assert all(same.of(0, answer()) is first for _ in range(3))
    assert first.fields == FIELDS
    np.testing.assert_array_equal(first.body, [1.0, np.nan])


@pytest.mark.parametrize(
    "other",
    [
        answer({**FIELDS, "n": 3.0}),
        answer({**FIELDS, "n": 4}),
        answer({"columns": ["x", "y"]}),
        answer(body=(1.0, 2.0)),
        answer(body=(-1.0, float("nan"))),
        answer(body=(1.0, float("nan"), 0.0)),
        answer(body=np.array([1.0, np.nan], np.float32)),
    ],
)
def test_any_other_bit_is_another_answer(other: SiteAnswer) -> None:
    same = SameAnswers()
    first = same.of(0, answer())
    found = same.of(0, other)
    assert found is not first
    assert found.packed == other.packed
    np.testing.assert_array_equal(found.body, other.body)


def test_answers_to_other_questions_and_of_others_are_told_apart() -> None:
    same = SameAnswers()
    found = [same.of(0, answer()), same.of(1, answer()), same.of(0, answer(origin="b"))]
    assert len({id(each) for each in found}) == 3


def test_of_a_part_of_a_message_only_that_part_is_kept() -> None:
    message = np.zeros(1000)
    found = SameAnswers().of(0, SiteAnswer.of("a", {}, message[3:5]))
    assert found.body.base is None
    with pytest.raises(ValueError, match="read-only"):
        found.body[0] = 1.0


def test_answers_to_questions_long_over_are_forgotten() -> None:
    same = SameAnswers()
    first = same.of(0, answer())
    for step in range(1, STEPS + 1):
        same.of(step, answer())
    assert same.of(0, answer()) is not first
