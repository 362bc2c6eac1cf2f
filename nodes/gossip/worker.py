"""The peer's worker: trains and steps as the algorithm has it, and keeps its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace
from nervenet.broker.messages import Payload
from nervenet.models.model import FitReport, LocalWork, in_one_round
from nervenet.models.rng import generator, generator_when_drawn
from nervenet.models.site_model import SiteModel
from nervenet.models.weights import checked_finite, is_finite

from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.model_worker import ModelWorker, Scale, finite_only
from ..runtime.worker import Cancellation, Deferred
from .algorithms import Algorithm, Incoming, OutgoingVector, Progress, State
from .checkpoint_writer import CheckpointWriter

if TYPE_CHECKING:
    from nervenet.models.artifact import SavedModel

STATE, MOMENTS, WEIGHTS = "algorithm/", "moments/", "weights"  # before the names of arrays in a checkpoint
SUMMED = "summed"  # in a checkpoint: this peer's sums are in the mixture


class GossipWorker(ModelWorker):
    """Does a peer's trainings and mixings; `state` is what the algorithm remembers.

    `writer` keeps what the peer would go on from after its own death; None: nothing is kept.
    """

    def __init__(
        self,
        site_model: SiteModel,
        algorithm: Algorithm,
        *,
        node: str,
        seed: int,
        scale: Scale = "standard",
        init: str = "common",
        initial: SavedModel | None = None,
        sketches: bool = False,
        writer: CheckpointWriter | None = None,
    ) -> None:
        super().__init__(site_model, node=node, seed=seed, scale=scale, init=init, initial=initial, sketches=sketches)
        self.algorithm = algorithm
        self.writer = writer
        self.state: State = {}
        self._weights: Any = None  # that training starts from
        self._mine: Any = None  # what was sent to all
        self._summed = False  # whether its sums are in the mixture

    def snapshot(self, effect: e.Effect) -> e.Effect:
        """Return a state to be saved with what the machine does not know of its round."""
        if isinstance(effect, e.SaveState) and self.writer is not None:
            return self.writer.complete(effect)
        return effect

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        match effect:
            case e.Train():
                return self.train(effect, cancellation.requested)
            case e.Mix():
                return self.mix(effect)
            case e.Forget(peer):
                self.state = self.algorithm.forget(self.state, peer)
                return None
            case e.SaveState():
                return self._save(effect)
            case _:
                return super().perform(effect, cancellation)

    def apply_agreement(self, effect: e.ApplyAgreement) -> ev.ModelReady | ev.NextQuestion:
        kept = self.writer.read(effect.round) if effect.round and self.writer is not None else None
        ready = super().apply_agreement(effect if kept is None else replace(effect, agreement=kept.record["agreement"]))
        if isinstance(ready, ev.NextQuestion):
            return ready
        self.begin(ready.body)
        if kept is None:
            return replace(ready, round=effect.round)
        self.restore(kept.arrays)
        weights = self.site_model.get_weights()
        clock = self.site_model.clock
        return replace(ready, body=weights, outgoing=weights, round=effect.round, clock=clock)

    def begin(self, weights: Any) -> None:
        common = self.site_model.common_weights
        self._weights = weights
        self.state = self.algorithm.init(weights, weights if common is None else common)

    def adopt(self, body: Any, clock: float | None = None) -> None:
        super().adopt(body, clock)
        self.begin(body)
        # Of a previous incarnation that had done a round, the sums are in what the neighbors hold.
        self._summed = self.writer is not None and bool(self.writer.held) and in_one_round(self.site_model.model)

    def train(self, effect: e.Train, stop: Callable[[], bool]) -> ev.Trained:
        """Train one round; return what is sent.

        Raises
        ------
        ArithmeticError
            There is no finite result, or none that could be encoded.
        LocalUnsupported
            The model cannot take the algorithm's correction.
        """
        from nervenet.models.compress import CodecError

        rng = generator(self.seed, self.node, effect.round, "batches")
        work, correction = LocalWork(**effect.settings), self.algorithm.correction(self.state)
        report = self._fit(work, rng, stop, correction)
        if report.cancelled:
            return ev.Trained(effect.round, effect.attempt, None, report.examples, {}, cancelled=True)
        progress = Progress(
            before=self._weights,
            after=self.site_model.trained_weights(),
            reach=float("nan") if report.fednova_normalizer is None else report.fednova_normalizer * report.rate,
            to=effect.to,
            whole=effect.whole,
            rng=generator_when_drawn(self.seed, self.node, effect.round, "codec"),
        )
        try:
            self.state, outgoing = self.algorithm.outgoing(self.state, progress)
        except CodecError as error:
            what = "the weights after training must be finite and of a size that can be encoded"
            raise ArithmeticError(f"{what}: {error}") from error
        self._mine = outgoing.common.vector
        return ev.Trained(
            effect.round,
            effect.attempt,
            self._mine,
            report.examples,
            finite_only({"loss": report.loss, "steps": report.steps}),
            payload=self._payload(outgoing.common),
            base=outgoing.common.base,
            apart={
                peer: ev.OutgoingModel(item.vector, self._payload(item), item.mass, item.base)
                for peer, item in outgoing.apart.items()
            },
            clock=self.site_model.clock,
        )

    def _fit(self, work: LocalWork, rng: np.random.Generator, stop: Callable[[], bool], correction: Any) -> FitReport:
        """Train; sums that no further exchange changes only once: put in again, they would undo the mixing."""
        once = in_one_round(self.site_model.model)
        if once and self._summed:
            return FitReport(nan, self.site_model.examples, 0, False)
        report = self.site_model.train(work, rng, stop, correction)
        self._summed = once and not report.cancelled
        return report

    def mix(self, effect: e.Mix) -> ev.Mixed:
        """Make the next model of what came.

        Raises
        ------
        ArithmeticError
            It is not finite.
        """
        inbox: dict[str, Incoming] = {}
        row: dict[str, float] = {}
        clocks: list[float] = []
        unreadable: list[str] = []
        for place, name in enumerate(effect.names):
            if name != self.node:
                came = self._came(effect, place)
                if came is None:
                    unreadable.append(name)
                    continue
                inbox[name] = came
            row[name] = effect.coefficients[place]
            clocks.append(effect.clocks[place] if effect.clocks else 0.0)
        stepped = self.algorithm.step(self.state, self._mine, inbox, row)
        self.state, self._weights = stepped.state, checked_finite(stepped.weights, "the mixture")
        self.site_model.set_weights(self._weights)
        clock = self.site_model.clock = self.algorithm.clock(clocks, tuple(row.values()))
        wanted = (*stepped.wanted, *unreadable)
        return ev.Mixed(effect.round, self._weights, stepped.metrics, wanted, clock)

    def unpack(self, array: Any, payload: Payload | None) -> tuple[Any, str | None]:
        """Decode and check an array; one that came before the model is built is decoded when it is wanted."""
        if payload is not None and payload.encoding and not self.site_model.built:
            return array, None
        return super().unpack(array, payload)

    def _came(self, effect: e.Mix, place: int) -> Incoming | None:
        """Return one of the messages, decoded if that could not be done when it came; None if it cannot be read."""
        vector, name = effect.bodies[place], effect.names[place]
        encoded = name in effect.differences
        if encoded and vector.dtype.name == "uint8":
            from .algorithms.choco import Choco

            assert isinstance(self.algorithm, Choco)  # noqa: S101
            layout = self.site_model.layout
            try:
                vector = self.algorithm.compressor.decode(vector, layout.size, layout.dtype)
            except ValueError:
                return None
            if not is_finite(vector):
                return None
        mass = effect.masses[place] if effect.masses else 1.0
        return Incoming(vector, mass, effect.bases[place] if effect.bases else None, encoded)

    def _payload(self, item: OutgoingVector) -> Payload:
        layout, vector = self.site_model.layout, item.vector
        parts = self.algorithm.needs.parts
        dtype = "uint8" if item.encoding else layout.dtype
        return Payload(layout.hash, dtype, vector.size, item.encoding, parts)

    def _save(self, effect: e.SaveState) -> Deferred:
        """Return the writing of what there is now: no array of it is changed any more, training makes new ones."""
        if self.writer is None:
            raise RuntimeError("only a peer's worker with a folder keeps states")
        writer, kept = self.writer, self.kept()

        def write() -> ev.Saved:
            writer.write(effect, kept)
            return ev.Saved(effect.round)

        return write

    def kept(self) -> dict[str, Any]:
        """Return all that the next rounds depend on: arrays that nobody changes any more."""
        kept: dict[str, Any] = {WEIGHTS: self._weights}
        if self._summed:
            kept[SUMMED] = np.ones(1)
        kept |= {STATE + name: array for name, array in self.state.items()}
        return kept | {MOMENTS + name: array for name, array in self.site_model.get_state().items()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        self._weights, self._summed = kept[WEIGHTS], SUMMED in kept
        self.state = {n.removeprefix(STATE): array for n, array in kept.items() if n.startswith(STATE)}
        self.site_model.set_weights(self._weights)
        moments = {n.removeprefix(MOMENTS): array for n, array in kept.items() if n.startswith(MOMENTS)}
        if moments:
            self.site_model.set_state(moments)
