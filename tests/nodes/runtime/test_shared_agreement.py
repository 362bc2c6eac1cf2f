"""What several peers of a process agree on is made once, of the same answers alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nervenet.nodes.runtime import effects as e
from nervenet.nodes.runtime.shared_agreement import SharedAgreements, digest_of

VECTOR = np.array([3.0, 0.5])
ANSWERS: dict[str, tuple[dict[str, Any], Any]] = {"a": ({"columns": ["x"]}, VECTOR), "b": ({"n": 1}, VECTOR + 1)}


def asked(answers: Any = ANSWERS, **more: Any) -> e.ApplyAgreement:
    return e.ApplyAgreement(surveys=answers, **more)


class Counted:
    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> int:
        self.made += 1
        return self.made


def test_the_same_answers_are_settled_once() -> None:
    shared, make = SharedAgreements(), Counted()
    copies = {name: (dict(fields), body.copy()) for name, (fields, body) in reversed(ANSWERS.items())}
    assert [shared.of(asked(answers), make, lambda _: True) for answers in (ANSWERS, copies)] == [1, 1]


@pytest.mark.parametrize(
    "other",
    [
        {**ANSWERS, "b": ({"n": 1}, np.nextafter(VECTOR + 1, 9))},
        {**ANSWERS, "b": ({"n": 1.0}, VECTOR + 1)},
        {**ANSWERS, "c": ({}, VECTOR)},
        {"a": ANSWERS["b"], "b": ANSWERS["a"]},
    ],
)
def test_any_other_bit_is_another_agreement(other: Any) -> None:
    shared, make = SharedAgreements(), Counted()
    assert [shared.of(asked(answers), make, lambda _: True) for answers in (ANSWERS, other)] == [1, 2]
    assert digest_of(asked()) != digest_of(asked(rows={"a": 3}))


def test_the_very_same_answers_are_not_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    shared, make = SharedAgreements(), Counted()
    shared.of(asked(), make, lambda _: True)
    monkeypatch.setattr("nervenet.nodes.runtime.shared_agreement.digest_of", lambda _: pytest.fail("looked through"))
    assert shared.of(asked(dict(reversed(ANSWERS.items()))), make, lambda _: True) == 1


@pytest.mark.parametrize("more", [{"rows": {"a": 3}}, {"answers": {"a": ANSWERS["a"]}}])
def test_fewer_of_them_or_rows_are_another_agreement(more: Any) -> None:
    shared, make = SharedAgreements(), Counted()
    assert [shared.of(asked(**each), make, lambda _: True) for each in ({}, more, {})] == [1, 2, 3]


def test_what_goes_on_or_is_not_to_be_shared_each_makes_by_itself() -> None:
    shared, make = SharedAgreements(), Counted()
    assert [shared.of(asked(), make, lambda _: False) for _ in range(2)] == [1, 2]
    assert [shared.of(asked(step=1), make, lambda _: True) for _ in range(2)] == [3, 4]


def test_who_fails_leaves_nothing_behind() -> None:
    shared = SharedAgreements()

    def fail() -> None:
        raise ValueError("they do not fit")

    for _ in range(2):
        with pytest.raises(ValueError, match="do not fit"):
            shared.of(asked(), fail, lambda _: True)
    assert shared.of(asked(), Counted(), lambda _: True) == 1


def test_what_is_made_of_the_very_same_is_made_once() -> None:
    shared, one, made = SharedAgreements(), ["a"], iter(range(9))
    assert [shared.made_of(each, lambda: next(made)) for each in (one, one, list(one), list(one))] == [0, 0, 1, 2]
