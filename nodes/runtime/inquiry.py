"""Round 0 in a worker: the dialog of all sites, question after question, and the answers of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import msgpack
import msgspec
import numpy as np
from nervenet.broker.codec import plain
from nervenet.models.agreement.questions import Answer, Dialog, Question, Questions

from . import effects as e
from . import events as ev
from .payload_checks import MOST_NUMBERS

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
            They do not fit each other.
        ValueError
            The next question is too large to be sent.
        """
        if effect.step == 0:
            self._dialog = Dialog(self._begin(effect.rows))
        dialog = self._dialog
        if dialog is None or dialog.step != effect.step:
            raise RuntimeError(f"question {effect.step} of round 0 is not the open one")
        dialog.take({name: Answer(fields, body) for name, (fields, body) in effect.surveys.items()})
        if dialog.question is None:
            self._dialog = None
            return dialog.agreed  # type: ignore[return-value]  # the dialog is over
        check_size(f"question {dialog.step} of round 0", dialog.question)
        return ev.NextQuestion(dialog.step, dialog.question)


def survey(answer: Callable[[Question], Answer], effect: e.Survey) -> ev.Surveyed:
    """Return a site's answer. Raises ValueError for one that is no vector, or too large to be sent."""
    fields, vector = answer(effect.question)
    vector = np.ascontiguousarray(vector)
    if vector.ndim != 1 or vector.dtype != np.float64:
        raise ValueError(f"an answer has a vector of float64, found {vector.dtype} of shape {vector.shape}")
    if len(vector) > MOST_NUMBERS:
        raise ValueError(f"an answer has at most {MOST_NUMBERS} numbers, found {len(vector)}")
    check_size(f"the answer to question {effect.step} of round 0", fields)
    return ev.Surveyed(fields, vector, effect.step)


def check_size(what: str, fields: Mapping[str, Any]) -> None:
    """Raise ValueError for a map that does not fit the header of a message."""
    size = len(msgpack.packb(msgspec.to_builtins(fields, enc_hook=plain)))
    if size > MOST_BYTES:
        raise ValueError(f"{what} is {size} bytes; at most {MOST_BYTES} can be sent")
