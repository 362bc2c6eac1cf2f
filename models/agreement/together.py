"""Independent dialogs side by side: each exchange carries one question of every dialog that is not over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..moments import IncompatibleSites
from .asked import MalformedQuestion, is_list, is_map, shown
from .questions import Answer, Answers, Question, Questions


def together(dialogs: Sequence[Questions[Any]]) -> Questions[list[Any]]:
    """Run dialogs that do not need each other's results, and return what each of them agreed on.

    A question is that of the only dialog which is left, or has those of several as `questions`. Raises
    IncompatibleSites: an answer does not fit, naming the site.
    """
    agreed: dict[int, Any] = {}
    open_questions: dict[int, Question] = {}
    for place, dialog in enumerate(dialogs):
        _go_on(place, dialog, None, open_questions, agreed)
    while open_questions:
        asked = dict(open_questions)
        open_questions.clear()
        if len(asked) == 1:
            parts = [(yield next(iter(asked.values())))]
        else:
            answers = yield {"questions": list(asked.values())}
            split = {site: _parts(site, answer, len(asked)) for site, answer in answers.items()}
            parts = [{site: found[k] for site, found in split.items()} for k in range(len(asked))]
        for place, part in zip(asked, parts, strict=True):
            _go_on(place, dialogs[place], part, open_questions, agreed)
    return [agreed[place] for place in range(len(dialogs))]


def answer_together(question: Question, answer: Callable[[Question], Answer]) -> Answer:
    """Return a site's answer to one question, or to several, which share the other fields.

    Raises MalformedQuestion unless several come as a list of maps.
    """
    if "questions" not in question:
        return answer(question)
    if not is_list(question["questions"]) or not all(is_map(one) and one for one in question["questions"]):
        raise MalformedQuestion(f"questions are {shown(question['questions'])}; expected a list of maps")
    shared = {key: value for key, value in question.items() if key != "questions"}
    parts = [answer_together({**shared, **one}, answer) for one in question["questions"]]
    fields = {"parts": [dict(part.fields) for part in parts], "lengths": [len(part.vector) for part in parts]}
    return Answer(fields, np.concatenate([np.empty(0), *(part.vector for part in parts)]))


def _go_on(
    place: int,
    dialog: Questions[Any],
    answers: Answers | None,
    open_questions: dict[int, Question],
    agreed: dict[int, Any],
) -> None:
    try:
        open_questions[place] = next(dialog) if answers is None else dialog.send(answers)
    except StopIteration as end:
        agreed[place] = end.value


def _parts(site: str, answer: Answer, count: int) -> list[Answer]:
    fields, lengths = answer.fields.get("parts"), answer.fields.get("lengths")
    if (
        not (isinstance(fields, list) and isinstance(lengths, list) and len(fields) == len(lengths) == count)
        or not all(isinstance(some, dict) for some in fields)
        or not all(type(length) is int and length >= 0 for length in lengths)
        or sum(lengths) != len(answer.vector)
    ):
        raise IncompatibleSites(f"site {site} has not answered each of {count} questions", site)
    vectors = np.split(answer.vector, np.cumsum(lengths)[:-1])
    return [Answer(some, vector) for some, vector in zip(fields, vectors, strict=True)]
