"""How a run ends: what ends it early, and what must still come in before it is over. Holds no round and no client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime import effects as e
from ..runtime import events as ev
from .checkpointing import CheckpointPolicy
from .early_stopping import Stop
from .evaluation import Judging
from .round import Round
from .rules import RoundRules


class Ending:
    """Follows a run to its end, beside the rounds: evaluations, checkpoints, and the reason to stop.

    Attributes
    ----------
    judging, keeper
        What the evaluations have said, and what has been written: both are waited for.
    stopped
        Why the run ends before its last round, None as long as it does not.
    due
        Why it is to end as soon as no round is open.
    held
        Whether a round has closed whose fold waits for the evaluation of the one before.
    begun
        Whether no round is to come.
    final
        Whether the last model is there.
    parted
        Whether everybody has been sent it.
    """

    def __init__(self, rules: RoundRules, judging: Judging, keeper: CheckpointPolicy) -> None:
        self.rules, self.judging, self.keeper = rules, judging, keeper
        self.stopped: Stop | None = None
        self.due: Stop | None = None
        self.held = False
        self.begun = False
        self.final = False
        self.parted = False

    def measure(self, number: int, body: ev.Body, fields: Mapping[str, Any], now: float) -> list[e.Effect]:
        """Have the model of a complete round evaluated, if it is its turn; of the round `fields` tell."""
        if not self.judging.due(number, last=self.due is not None):
            return [e.Completed(number, fields)]
        return [patience("evaluate", number, now, self.rules), self.judging.ask(number, body, fields)]

    def early(self, stop: Stop, number: int, current: Round | None) -> list[e.Effect]:
        """Say that the run ends with round `number`; nobody is waited for any more, in the `current` one neither."""
        self.stopped, self.held = stop, False
        told = {"round": number, "stopped_by": stop.by, "reason": stop.reason}
        effects: list[e.Effect] = [e.Publish("run.stopping", told), e.CancelTimer(("wait",))]
        if current and not current.closing:
            # The end may have to wait for a checkpoint: until then answers come in that would close this round.
            current.closing = "stopping"
            effects.append(e.CancelTimer(("deadline", current.number, current.attempt)))
        return effects

    def begin(self, number: int) -> bool:
        """No round is to come; true if the sites are still to say what they think of the model of the last one."""
        self.begun = True
        return self.rules.evaluate_sites and self.judging.sited != number

    def conclude(self) -> None:
        """The last model is there: what is left to write is written at once."""
        self.final = True
        self.keeper.hurry()
        if self.rules.evaluate_sites or self.stopped:
            self.keeper.again()  # whoever takes this up need not ask those who have left

    def hand_over(self) -> bool:
        """Whether the clients get the final model now, and may go; true once, when the last checkpoint is written."""
        if not self.final or self.parted or self.keeper.busy:
            return False
        self.parted = True
        return True

    @property
    def over(self) -> bool:
        """Whether nothing is left to wait for: the clients may go, and the last evaluation is in."""
        return self.parted and not self.judging.pending


def patience(kind: str, number: int, now: float, rules: RoundRules) -> e.Effect:
    """The coordinator's own worker is waited for, too, and not for ever."""
    return e.SetTimer(("work", kind, number), now + rules.work_deadline_s)
