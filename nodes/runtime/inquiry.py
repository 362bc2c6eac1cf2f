"""Round 0 in a worker: the dialog of all sites, question after question, and the answers of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import msgpack
import msgspec
import numpy as np
from nervenet.broker.codec import plain
from nervenet.models.agreement.asked import MalformedQuestion, shown
from nervenet.models.agreement.questions import Answer, Dialog, Question, Questions
from nervenet.models.data.data import DataError
from nervenet.models.model import CannotMerge
from nervenet.models.moments import IncompatibleSites

from . import effects as e
from . import events as ev
from .payload_checks import MOST_NUMBERS
from .printable import listed

MOST_BYTES = 1_000_000
"""Of a question, and of the fields of an answer: they travel in a message's header, which has a limit."""

T = TypeVar("T")

Begin: TypeAlias = Callable[[Mapping[str, int]], Questions[T]]
"""Begins a dialog, given the most rows that each site counts for, by name."""


class Inquiry(Generic[T]):
    """The dialog of a run: what is asked next, or what was agreed, once all sites have answered."""

    def __init__(self, begin: Begin[T]) -> None:
        self._begin = begin
        self._dialog: Dialog[T] | None = None

    def take(self, effect: e.ApplyAgreement) -> ev.NextQuestion | T:
        """Go on with the answers of all sites to question `effect.step`.

        Raises
        ------
        IncompatibleSites
            They do not fit each other; whoever has sent what nobody can make sense of is named.
        ValueError
            The next question is too large to be sent.
        """
        if effect.step == 0:
            self._dialog = Dialog(self._begin(effect.rows))
        dialog = self._dialog
        if dialog is None or dialog.step != effect.step:
            raise RuntimeError(f"question {effect.step} of round 0 is not the open one")
        answers = {name: Answer(fields, body) for name, (fields, body) in effect.surveys.items()}
        about = asked_about(dialog.question or {})
        try:
            dialog.take(answers)
        except (IncompatibleSites, DataError, CannotMerge):
            raise
        except Exception as error:  # the answers are other nodes': they are named
            raise IncompatibleSites(
                f"what {listed(sorted(answers))} answered to {about} does not fit together "
                f"({type(error).__name__}: {error})"
            ) from error
        if dialog.question is None:
            self._dialog = None
            return dialog.agreed  # type: ignore[return-value]  # the dialog is over
        check_size(f"question {dialog.step} of round 0", dialog.question)
        return ev.NextQuestion(dialog.step, dialog.question)


def survey(answer: Callable[[Question], Answer], effect: e.Survey) -> ev.Surveyed | ev.QuestionRefused:
    """Return a site's answer, or why it gives none: nobody asks such a question, or what answers it has failed at it.

    Raises
    ------
    IncompatibleSites, DataError
        The site's own rows are at fault.
    ValueError
        An answer is no vector, or too large to be sent.
    """
    try:
        fields, vector = answer(effect.question)
    except MalformedQuestion as error:
        return _refused(effect, str(error))
    except (IncompatibleSites, DataError):
        raise
    except Exception as error:  # noqa: BLE001  (whatever somebody else's question leads to, they are named)
        reason = f"{asked_about(effect.question)} cannot be answered here: {type(error).__name__}: {error}"
        return _refused(effect, reason)
    vector = np.ascontiguousarray(vector)
    if vector.ndim != 1 or vector.dtype != np.float64:
        raise ValueError(f"an answer has a vector of float64, found {vector.dtype} of shape {vector.shape}")
    if len(vector) > MOST_NUMBERS:
        raise ValueError(f"an answer has at most {MOST_NUMBERS} numbers, found {len(vector)}")
    check_size(f"the answer to question {effect.step} of round 0", fields)
    return ev.Surveyed(fields, vector, effect.step)


def _refused(effect: e.Survey, reason: str) -> ev.QuestionRefused:
    asked = f"asked by {effect.asker}: " if effect.asker else ""
    return ev.QuestionRefused(effect.step, effect.asker, f"{asked}{reason}")


def asked_about(question: Question) -> str:
    """Return what a question is about, for people; `question` may be anybody's."""
    part = f" (part {shown(question['part'])})" if "part" in question else ""
    return f"the question {shown(question.get('ask', 'statistics'))}{part}"


def check_size(what: str, fields: Mapping[str, Any]) -> None:
    """Raise ValueError for a map that does not fit the header of a message."""
    size = len(msgpack.packb(msgspec.to_builtins(fields, enc_hook=plain)))
    if size > MOST_BYTES:
        raise ValueError(f"{what} is {size} bytes; at most {MOST_BYTES} can be sent")
