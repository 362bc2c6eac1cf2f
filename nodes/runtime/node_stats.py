"""What a node's result is judged by: counted from its own events, and reported by request and reply."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .payload_checks import brief
from .round_history import RoundHistory

DISTURBING = {"node.suspect": "suspected", "node.lost": "lost", "round.failed": "a round failed"}
INCOMPLETE = {"deadline", "overtaken"}
# What a report holds must fit a message, whatever strangers send and however many they are.
# LONGEST_LINE is in bytes.
# ROUNDS are those whose durations are kept, which go with each checkpoint: it must not cost more the later it comes.
ROUNDS, LINES, LONGEST_LINE, NAMES = 1_000, 100, 2_000, 500
OTHERS = "(others)"  # what is counted of all who came when there were so many names already


class NodeStats:
    """Follows a node's events and completed rounds; `report` returns what they come to."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.completed = 0
        self.skipped = 0  # rounds that a peer which was left behind has jumped over
        self.mixed: Counter[str] = Counter()  # a peer's rounds by whose models went into them; "" for nobody's
        self.history = RoundHistory()  # of this incarnation
        self.metrics: dict[str, Any] = {}
        self.evaluated_on = ""  # test or holdout: what the metrics are of
        self.sites: dict[str, Any] = {}  # what the sites measured on their own rows, as far as they were asked
        self.stopped: dict[str, Any] = {}  # why the run ends before its last round, if it does
        self.losses: dict[str, tuple[float, float]] = {}  # train and test: the first one and the last
        self.round_s = array("d")  # of the last rounds
        self._timed = 0  # how many there were in all
        self.staleness: Counter[int] = Counter()  # updates by the steps that were made while they were
        self.rejected: Counter[str] = Counter()
        self.disturbed: list[str] = []
        self.warnings: list[str] = []
        self.silent: set[str] = set()  # suspected or lost, and not heard again since
        self._lasting = ("", 0, 0)  # what the last rounds did without, the first of them and the last
        self._marks: dict[int, dict[str, Any]] = {}  # by round, what was known when it was complete
        self.personal: dict[str, float] = {}
        self.mass: dict[str, Any] = {}  # push-sum: a peer's mass, and how much more each other has had of it than given

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        if kind.startswith("node.") and "subject" in fields:
            self._heard(str(fields["subject"]), silent=kind in DISTURBING)
        if kind == "round.completed":
            self._round(fields)
            self.history.completed(fields)
        elif kind == "metric.test" or (kind == "metric.local" and self.role == "peer"):
            self.metrics = {k: v for k, v in fields.items() if isinstance(v, (int, float))}
            local = kind == "metric.local" or fields.get("source") == "sites"
            self.evaluated_on = "holdout" if local else "test"
            if fields.get("source") == "sites":
                self.sites = dict(fields)
            self._note_loss("test", fields.get("loss"))
            self._judged(fields)
            self.history.judged(kind, fields)
        elif kind == "metric.local":
            self._note_loss("train", fields.get("loss"))
        elif kind == "metric.sites":
            self.sites = dict(fields)
            self._judged(fields)
        elif kind == "metric.personal":
            self.personal = {k: float(v) for k, v in fields.items() if k != "round"}
        elif kind == "run.stopping":
            self.stopped = {"stopped_by": fields["stopped_by"], "reason": fields["reason"]}
        elif kind == "update.rejected":
            name = brief(str(fields.get("subject")))
            self.rejected[name if name in self.rejected or len(self.rejected) < NAMES else OTHERS] += 1
        elif kind == "warning":
            _append(self.warnings, str(fields.get("reason", "")))
        elif kind in DISTURBING:
            subject = fields.get("subject", "")
            _append(self.disturbed, f"{DISTURBING[kind]} {subject}: {fields.get('reason', '')}".replace(" :", ":"))

    def _heard(self, name: str, *, silent: bool) -> None:
        if not silent:
            self.silent.discard(name)
        elif len(self.silent) < NAMES:
            self.silent.add(name)

    def _round(self, fields: Mapping[str, Any]) -> None:
        number = int(fields["round"])
        if number:
            self._jumped(number)
            self.completed = number
            self._note_loss("train", fields.get("loss"))
            if self.role == "peer":
                self.mixed.update(fields.get("participants") or ("",))
            self._time(float(fields["duration_s"]))
            self.staleness.update(fields.get("staleness", ()))
        if "mass" in fields:
            self.mass = {"held": float(fields["mass"]), "out": dict(fields.get("mass_out", {}))}
        by = fields.get("closed_by")
        if by == "alone":
            self._without("mixed with nobody", number)
        elif by in INCOMPLETE or fields.get("missing"):
            missing = "; ".join(f"{name}: {why}" for name, why in sorted(fields.get("missing", {}).items()))
            self._without(f"closed by {by} without {missing}", number)
        self._mark(number)

    def _time(self, seconds: float) -> None:
        self._timed += 1
        self.round_s.append(seconds)
        if len(self.round_s) > 2 * ROUNDS:
            del self.round_s[:-ROUNDS]

    def _timed_by(self, count: int) -> list[float]:
        """Return the durations of the last rounds of the first `count`."""
        end = len(self.round_s) - (self._timed - count)
        return self.round_s[max(0, end - ROUNDS) : max(0, end)].tolist()

    def _note_loss(self, kind: str, loss: Any) -> None:
        if isinstance(loss, int | float) and math.isfinite(loss):
            self.losses[kind] = (self.losses.get(kind, (loss, loss))[0], loss)

    def _jumped(self, number: int) -> None:
        """Count the rounds between the last one and this: a peer has not done them. Who came late has missed none.

        One that was alone may come back to earlier ones.
        """
        first = self.completed + 1
        if number < first and self.role == "peer":
            again = f"round {number}" if first == number + 1 else f"rounds {number} to {self.completed}"
            _append(self.disturbed, f"{again} done again with the others: it had done them alone")
        if first < number and (self.completed or 0 in self._marks):
            self.skipped += number - first
            shown = f"round {first}" if first == number - 1 else f"rounds {first} to {number - 1}"
            _append(self.disturbed, f"{shown} left out: it was left behind, and joined round {number}")

    def _without(self, line: str, number: int) -> None:
        """Keep one line for what holds of consecutive rounds: each lacks a dead neighbor until it is known to be."""
        same, first, last = self._lasting
        shown = f"rounds {first} to {last}" if first < last else f"round {first}"
        if same == line and last == number - 1 and self.disturbed[-1:] == [f"{shown} {line}"]:
            self._lasting = (line, first, number)
            self.disturbed[-1] = f"rounds {first} to {number} {line}"
        else:
            self._lasting = (line, number, number)
            _append(self.disturbed, f"round {number} {line}")

    def _mark(self, number: int) -> None:
        """Note how long the lists are, and copy what is small: a round must not cost more the later it comes."""
        mark = {
            "metrics": self.metrics,
            "evaluated_on": self.evaluated_on,
            "sites": self.sites,
            "round_s": self._timed,
            "rejected": dict(self.rejected),
            "staleness": sorted(self.staleness.items()),
            "disturbed": (len(self.disturbed), self.disturbed[-1:]),
            "warnings": len(self.warnings),
            "skipped": self.skipped,
            "mixed": dict(self.mixed),
            "losses": dict(self.losses),
        }
        before = [n for n in sorted(self._marks) if n < number][-1:]
        self._marks = {n: self._marks[n] for n in before} | {number: mark}

    def _judged(self, fields: Mapping[str, Any]) -> None:
        judged = int(fields.get("round", -1))
        for number, known in self._marks.items():
            if "test" in self.losses and 0 <= judged <= number:  # the first one counts for all rounds from there on
                known["losses"] = known["losses"] | {"test": self.losses["test"]}
        mark = self._marks.get(judged)
        if mark is not None:
            mark |= {"metrics": self.metrics, "evaluated_on": self.evaluated_on, "sites": self.sites}

    def as_of(self, number: int) -> dict[str, Any]:
        """Return what was known when a round was complete, the last one or the one before.

        What came later is run again by the incarnation that goes on from there, and must not count twice.
        """
        if number not in self._marks:
            raise RuntimeError(f"round {number} is not noted; rounds {sorted(self._marks)} are")
        mark = self._marks[number]
        lines, last = mark["disturbed"]
        return {
            **mark,
            "round_s": self._timed_by(mark["round_s"]),
            "disturbed": [*self.disturbed[: max(0, lines - 1)], *last],  # later rounds may have lengthened the last
            "warnings": self.warnings[: mark["warnings"]],
        }

    def restore(self, number: int, known: Mapping[str, Any]) -> None:
        """Go on from what `as_of` gave in a previous incarnation."""
        self.completed = number
        self.metrics, self.evaluated_on = dict(known["metrics"]), str(known.get("evaluated_on", ""))
        self.sites = dict(known["sites"])
        self.round_s = array("d", known["round_s"])
        self._timed = len(self.round_s)
        self.staleness = Counter({int(steps): int(times) for steps, times in known["staleness"]})
        self.rejected = Counter(known["rejected"])
        self.losses = {kind: (float(first), float(last)) for kind, (first, last) in known.get("losses", {}).items()}
        self.skipped, self.mixed = int(known.get("skipped", 0)), Counter(known.get("mixed", {}))
        self.warnings = [*known["warnings"], *self.warnings]  # this incarnation's stay
        self.disturbed = [*known["disturbed"], *self.disturbed]
        self._mark(number)

    def report(self, counters: Any) -> dict[str, Any]:
        found: dict[str, Any] = {
            "role": self.role,
            "completed_rounds": self.completed - self.skipped,
            "last_round": self.completed,
            "metrics": self.metrics,
            "bytes_sent": counters.bytes_sent,
            "bytes_received": counters.bytes_received,
            "bytes_sent_by_kind": dict(counters.sent_by_kind),
            "round_s": self._timed_by(self._timed),
            "rejected": dict(self.rejected),
            "disturbed": self.disturbed,
            "warnings": self.warnings,
        }
        if self.staleness:
            total = sum(steps * updates for steps, updates in self.staleness.items())
            found["staleness"] = {"mean": total / self.staleness.total(), "max": max(self.staleness)}
        further: dict[str, Any] = {
            "losses": {kind: list(ends) for kind, ends in self.losses.items()},
            "evaluated_on": self.evaluated_on,
            "sites": self.sites,
            "stopped": self.stopped,
            "mass": self.mass,
            "personal": self.personal,
        }
        if self.disturbed and self.mixed:
            further["alone"] = self.mixed[""]
            further["mixed_with"] = {name: self.mixed[name] for name in sorted(self.mixed)[:LINES] if name}
        further["silent"] = sorted(self.silent)
        return found | {name: value for name, value in further.items() if value}


def _append(lines: list[str], line: str) -> None:
    if len(lines) < LINES:  # a run of a million rounds must not remember each
        encoded = line.encode(errors="replace")
        short = encoded[:LONGEST_LINE].decode(errors="ignore")  # no part of a character
        lines.append(line if len(encoded) <= LONGEST_LINE else f"{short}…")
