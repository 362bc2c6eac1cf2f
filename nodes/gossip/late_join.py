"""How a peer that has come late gets the model, the agreement and the round of a run that has begun."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from nervenet.broker import messages as m

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.payload_checks import payload_fault


class LateJoin:
    """Asks one neighbor after the other for its model, until one has given it.

    Attributes
    ----------
    model, body
        What was given: None so far.
    """

    def __init__(self, patience_s: float) -> None:
        self.model: m.Model | None = None
        self.body: ev.Body = None
        self._patience_s = patience_s
        self._asked = 0
        self._asked_at = -inf

    def ask(self, there: Sequence[str], now: float) -> list[e.Effect]:
        """Ask the next of those that are there, unless one was asked a moment ago."""
        if self.model is not None or not there or now < self._asked_at + self._patience_s:
            return []
        self._asked_at = now
        self._asked += 1
        return [e.Send((there[self._asked % len(there)],), m.GetModel())]

    def take(self, model: m.Model, body: ev.Body) -> list[e.Effect]:
        """Take what one gives; the first counts."""
        if self.model is not None:
            return []
        self.model, self.body = model, body
        return [e.CancelTimer(("join",)), e.ApplyAgreement(agreement=dict(model.agreement))]

    def fault(self, settled: ev.ModelReady, until: int) -> str | None:
        """Say why this peer cannot start from it: it does not fit the model that is here, or the run is over."""
        assert self.model is not None  # noqa: S101  (settled by `take`)
        fault = payload_fault(self.model.payload, settled.payload)
        if fault:
            return f"the model to start from does not fit the one that is here: {fault[1]}"
        if until and self.model.round >= until:
            return f"the run is over: it has completed round {self.model.round} of {until}"
        return None
