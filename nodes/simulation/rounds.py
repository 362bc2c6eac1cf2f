"""Gossip by whole rounds: what the machines of all peers come to where nothing is lost and nobody is late.

No message is made, and no machine asked: each round all peers train, and all mix, as rows of one matrix. The graph,
the mixing weights and their order, the draws and the arithmetic are those of the deployed peers, and so are the bits.
Which runs can be done so, `why_not` says.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from nervenet.broker import messages as m
from nervenet.models.mlp.mlp import MLP
from nervenet.models.model import LocalWork
from nervenet.models.site_model import kept_rows, training_rows
from numpy.typing import NDArray

from ..config.factory import build_model, build_schedule, task_settings
from ..config.schema import Experiment
from ..gossip.algorithms.averaging import DPSGD, Epidemic
from ..gossip.algorithms.registry import build_algorithm, has_rounds
from ..gossip.algorithms.requirements import suitable_mixing
from ..gossip.membership.swim import SwimRules
from ..gossip.worker import GossipWorker
from ..runtime import events as ev
from ..runtime.settling import settled
from .mixing import Mixing
from .nodes import Rows, site_model_of, unless_stopped
from .outcome import Outcome
from .peer_matrix import PeerMatrix
from .recording import Recording
from .timing import RoundTimes, VirtualClock
from .work import step_s

PATIENCE = 10  # deadlines that a training may take, as the machines have it
MOST_LISTED = 1_000  # peers, of whom each is in the line of a round; of more the line has the means
SHOWN_EVERY_S = 0.1  # by the real clock: how often whoever watches is shown where the peers are

Figures = Mapping[str, NDArray[Any]]


def why_not(experiment: Experiment, rows: Rows) -> str:
    """Return why a run cannot be done by whole rounds, or would be another one; empty where it can."""
    gossip, simulation = experiment.gossip, experiment.simulation
    if experiment.mode != "gossip":
        return "a federation goes by the machines of its coordinator and clients"
    if not has_rounds(gossip.algorithm):
        return f"gossip.algorithm = {gossip.algorithm!r} has no rounds"
    algorithm = build_algorithm(gossip.algorithm, gossip.arguments, gossip.compression)
    if type(algorithm) not in (DPSGD, Epidemic):
        return f"gossip.algorithm = {gossip.algorithm!r} sends and remembers more than a model"
    if experiment.model.name != "mlp":
        return f"model.name = {experiment.model.name!r} is not the built-in network"
    for key in ("loss", "offline"):
        if getattr(simulation, key):
            return f"with simulation.{key} peers have to do without each other"
    if simulation.lifetime_s is not None:
        return "with simulation.lifetime_s peers have to do without each other"
    late_s = 2 * (simulation.latency_s + simulation.jitter_s)
    patient = SwimRules().slower(1, experiment.network.suspect_after_s)
    if late_s >= patient.timeout_s:
        return f"pings would come back after {late_s:g} s, and be taken for late (network.suspect_after_s)"
    if any(len(each) > 2 for each in rows.nodes.values()) or experiment.training.class_weight is not None:
        return "rows or classes have weights"
    for key, chosen in (
        ("init", experiment.init is not None),
        ("evaluation.scorers", bool(experiment.evaluation.scorers)),
        ("site.allow", not experiment.site.allow.everything),
    ):
        if chosen:
            return f"{key} is the affair of each peer by itself"
    return ""


class WholeRounds:
    """The peers of an experiment; `run` lets them learn."""

    def __init__(self, experiment: Experiment, rows: Rows, recording: Recording, stopped: Callable[[], bool]) -> None:
        self._experiment, self._recording, self._stopped = experiment, recording, stopped
        gossip, seed = experiment.gossip, experiment.seed
        first, *others = sorted(rows.nodes)
        bare = replace(rows, test=None)
        sites = {first: site_model_of(experiment, rows, first)}
        shared = build_model(experiment)
        sites |= {other: site_model_of(experiment, bare, other, shared) for other in unless_stopped(others, stopped)}
        self._algorithm = build_algorithm(gossip.algorithm, gossip.arguments, gossip.compression)
        self._first = sites[first]
        self.worker = GossipWorker(self._first, self._algorithm, node=first, seed=seed, scale=experiment.data.scaling)
        self._ready: ev.ModelReady = settled([self.worker], sites, None)
        agreed = self._first.preprocessing
        prepared = {other: training_rows(sites[other], agreed) for other in unless_stopped(sites, stopped)}
        ordered = sorted(prepared.items(), key=lambda site: (len(site[1][1]), site[0]))
        self.work = LocalWork(**task_settings(experiment, self._first.model))
        assert isinstance(self._first.model, MLP)  # noqa: S101 - by `why_not`
        self.matrix = PeerMatrix(self._first.model, ordered, self.work, seed)
        place = {other: i for i, other in enumerate(self.matrix.names)}
        schedule = build_schedule(experiment, sorted(rows.nodes))
        rule = gossip.mixing or suitable_mixing(self._algorithm.needs, schedule)
        self.mixing = Mixing(schedule, self._algorithm.needs, rule, place, self._first.model.dtype)
        self._by_name = np.argsort(np.array(self.matrix.names))  # rows of the matrix in the order of names
        self._place_in_names = np.argsort(self._by_name)
        self._examples = {other: len(rows_[1]) for other, rows_ in prepared.items()}
        self._test = self._test_rows()
        self.header = _header_bytes(self._ready)
        self.outgoing = np.zeros(len(place), np.int64)
        self.completed = 0
        self.losses: dict[str, tuple[Any, Any]] = {}
        self.scores: dict[str, Any] = {}
        self.seconds: list[float] = []
        self._shown_at = 0.0

    # ----------------------------------------------------------------------------------------------------- virtual time

    def clock(self) -> VirtualClock:
        """Return the clock of all peers, at the beginning of the run."""
        simulation = self._experiment.simulation
        seed = self._experiment.seed if simulation.seed is None else simulation.seed
        training_s = np.array(
            [step_s(simulation, seed, name) * self.work.steps(self._examples[name]) for name in self.matrix.names]
        )
        nbytes = self.matrix.models.itemsize * self.matrix.models.shape[1] + self.header
        return VirtualClock(simulation, self.mixing, training_s, nbytes, seed)

    def late(self) -> str:
        """Return in which round a peer would not wait for another; empty where all wait for all."""
        clock, deadline_s = self.clock(), self._experiment.deadline_s
        if np.max(clock.training_s) >= PATIENCE * deadline_s:
            return f"a training would take more than {PATIENCE} deadlines of a round"
        for number in range(1, self._experiment.rounds + 1):
            if np.max(clock.round(number).waiting_s) >= deadline_s:
                return f"in round {number} a peer would wait longer than gossip.deadline_s for another"
        return ""

    # ----------------------------------------------------------------------------------------------------------- rounds

    def run(self, outcome: Outcome) -> None:
        """Do all rounds, or those before it is stopped, and note in `outcome` what came of it."""
        clock, recording, names = self.clock(), self._recording, self.matrix.names
        for name in sorted(names):
            recording.show(name, "peer", "node.ready", {"pid": os.getpid(), "examples": self._examples[name]})
        recording.begun(time.time())
        try:
            for number in range(1, self._experiment.rounds + 1):
                if self._stopped() or outcome.failed:
                    break
                self._round(number, clock.round(number), outcome)
        finally:
            self.matrix.close()
        outcome.virtual_s = float(np.max(clock.now))
        self._report(outcome)

    def _round(self, number: int, times: RoundTimes, outcome: Outcome) -> None:
        losses = self.matrix.train(number)
        self.matrix.mix(self.mixing, number)
        if (bad := self.matrix.first_not_finite()) is not None:
            what = f"mix failed: the mixture of round {number} must be finite"
            outcome.failed = f"{bad}: {what}; of the others, simulation.engine = 'machines' says what they do"
            return
        self.completed = number
        sent = self._sent(number)
        self.outgoing += sent
        figures: dict[str, NDArray[Any]] = {}
        experiment = self._experiment
        if number % experiment.evaluation.every == 0 or number == experiment.rounds:
            figures = self.matrix.evaluate(*self._test) if self._test is not None else {}
            self.scores = {name: values[self._by_name] for name, values in figures.items()}
        self._note_losses(losses, figures)
        self.seconds.append(float(times.duration_s.mean()))
        distance = self.matrix.consensus_distance() if figures else None
        row = _row(number, losses, times, int(sent.sum()), figures, distance)
        outcome.rows.append(row)
        listed = len(losses) <= MOST_LISTED
        line = self._line(number, losses, times, sent, distance) if listed else {"peers": [], "means": row}
        self._recording.write({"round": number, **line})
        self._show(number, losses, times, sent)

    def _sent(self, number: int) -> NDArray[np.int64]:
        """Return how many bytes each peer sends in a round."""
        nbytes = self.matrix.models.itemsize * self.matrix.models.shape[1] + self.header
        count = np.zeros(len(self.outgoing), np.int64)
        for terms in self.mixing.terms(number):
            others = terms.of[terms.of != terms.peers[:, None]]
            count += np.bincount(others, minlength=len(count))
        return np.asarray(count * nbytes)

    def _note_losses(self, losses: NDArray[Any], figures: Figures) -> None:
        for kind, values in (("train", losses), ("test", figures.get("loss"))):
            if values is not None:
                first, _ = self.losses.get(kind, (values, values))
                self.losses[kind] = (first, values)

    def _test_rows(self) -> tuple[Any, Any] | None:
        rows = kept_rows(self._first, "test")
        if rows is None or not len(rows[1]):
            return None
        agreed, model = self._first.preprocessing, self._first.model
        y = agreed.encode(rows[1])
        return agreed.transform(rows[0], model.dtype), y.astype(model.dtype) if agreed.classes is None else y

    # ---------------------------------------------------------------------------------------------------- what is said

    def _line(
        self, number: int, losses: NDArray[Any], times: RoundTimes, sent: NDArray[Any], distance: float | None
    ) -> dict[str, Any]:
        """Return the line of a round for the run folder, as `results.round_summaries` makes it of the peers' events."""
        order, names = self._by_name, [self.matrix.names[i] for i in self._by_name]
        participants: list[list[int]] = [[] for _ in names]
        for terms in self.mixing.terms(number):
            places = self._place_in_names[terms.of].tolist()
            for peer, of in zip(self._place_in_names[terms.peers].tolist(), places, strict=True):
                participants[peer] = [each for each in of if each != peer]
        completed = {
            "participants": participants,
            "age": number,
            "bytes_sent": sent[order].tolist(),
            "closed_by": "all",
            "duration_s": np.round(times.duration_s[order], 6).tolist(),
            "loss": losses[order].tolist(),
            "waiting_s": np.round(times.waiting_s[order], 6).tolist(),
        }
        line: dict[str, Any] = {"peers": names, "round.completed": completed}
        if distance is not None:
            line["metric.test"] = {name: values.tolist() for name, values in self.scores.items()}
            line["metric.test"]["examples"] = len(self._test[1]) if self._test is not None else 0
            line["consensus_distance"] = distance
        return line

    def _show(self, number: int, losses: NDArray[Any], times: RoundTimes, sent: NDArray[Any]) -> None:
        """Show whoever watches where the peers are, ten times a second and at the end."""
        now = time.monotonic()
        if now < self._shown_at + SHOWN_EVERY_S and number < self._experiment.rounds:
            return
        self._shown_at = now
        pace = number / max(1e-9, time.time() - (self._recording.first_round_at or 0.0))
        for place, name in enumerate(self.matrix.names):
            if not self._recording.watches(name):
                continue
            fields = {
                "round": number,
                "participants": [],
                "closed_by": "all",
                "duration_s": float(times.duration_s[place]),
                "loss": float(losses[place]),
                "bytes_sent": int(sent[place]),
                "bytes_sent_total": int(self.outgoing[place]),
                "rounds_per_s": pace,
            }
            self._recording.show(name, "peer", "round.completed", fields)
            if self.scores:
                at = int(self._place_in_names[place])
                judged = {name: float(values[at]) for name, values in self.scores.items()}
                self._recording.show(name, "peer", "metric.test", {"round": number, **judged})

    def _report(self, outcome: Outcome) -> None:
        """Note what each peer would report at its end."""
        layout, agreement = self._first.layout.to_dict(), self._first.preprocessing.to_dict()
        models, header = self.matrix.models, self.header
        width = models.itemsize * models.shape[1]
        examples = len(self._test[1]) if self._test is not None else 0
        for place, name in enumerate(self.matrix.names):
            sent, at = int(self.outgoing[place]), int(self._place_in_names[place])
            messages = sent // (width + header)
            metrics = {key: float(values[at]) for key, values in self.scores.items()}
            losses = {kind: [float(ends[0][place]), float(ends[1][place])] for kind, ends in self.losses.items()}
            outcome.results[name] = {
                "role": "peer",
                "completed_rounds": self.completed,
                "last_round": self.completed,
                "metrics": metrics | ({"examples": examples} if metrics else {}),
                "evaluated_on": "test",
                "bytes_sent": sent,
                "bytes_received": sent,
                "bytes_sent_by_kind": {"weights": messages * width, "control": messages * header},
                "round_s": self.seconds,
                "losses": losses,
                "layout": layout,
                "agreement": agreement,
            }
            outcome.arrays[name] = models[place]


def _header_bytes(ready: ev.ModelReady) -> int:
    """Return how long the header of a model is on the wire, in the middle of a run."""
    exchange = m.Exchange(100, ready.payload, 1.0, None, 2, 0.0)
    return 3 + len(msgspec.msgpack.encode(exchange)) + 5


def _row(
    number: int, losses: NDArray[Any], times: RoundTimes, sent: int, figures: Figures, distance: float | None
) -> dict[str, Any]:
    """Return the row of a round for ``round_metrics.jsonl``, as `results.round_metrics` makes it of all peers."""
    row: dict[str, Any] = {"round": number, "peers": len(losses), "closings": {"all": len(losses)}, "alone": 0}
    row |= {"bytes_sent": sent, "bytes_received": sent}
    row |= {"duration_s": float(times.duration_s.mean()), "train_loss": float(losses.mean())}
    for name, values in figures.items():
        row |= {name: float(values.mean()), f"{name}_min": float(values.min()), f"{name}_max": float(values.max())}
    return row | ({"evaluated_on": "test", "consensus_distance": distance} if distance is not None else {})
