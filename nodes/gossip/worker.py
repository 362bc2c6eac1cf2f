"""GossipWorker: the peer's half of the worker. Trains and steps as the algorithm has it, and keeps its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any

from nervenet.broker.messages import Payload
from nervenet.models.model import LocalWork
from nervenet.models.rng import generator
from nervenet.models.weights import is_finite

from ..runtime import effects as e
from ..runtime import events as ev
from .algorithms import Algorithm, Incoming, Parcel, Progress, State

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

    from .states import States

STATE, MOMENTS, WEIGHTS = "algorithm/", "moments/", "weights"


class GossipWorker:
    """Does a peer's trainings and mixings in the worker thread.

    Parameters
    ----------
    learner
        The model and its data.
    algorithm
        What is sent, and what is made of what came.
    node, seed
        The peer's name and the run's seed: the address of its draws.
    states
        The folder for what the peer would go on from after its own death; None: nothing is kept.

    Attributes
    ----------
    state
        What the algorithm remembers.
    """

    def __init__(
        self,
        site_model: SiteModel,
        algorithm: Algorithm,
        *,
        node: str,
        seed: int,
        states: States | None = None,
    ) -> None:
        self.site_model = site_model
        self.algorithm = algorithm
        self.node = node
        self.seed = seed
        self.states = states
        self.state: State = {}
        self._weights: Any = None  # that training starts from
        self._mine: Any = None  # what was sent to all

    def begin(self, weights: Any, common: Any) -> None:
        """Start from these weights; `common` are those that the seed gives to all."""
        self._weights = weights
        self.state = self.algorithm.init(weights, common)

    def adopt(self, weights: Any) -> None:
        """Start from the model of a run that has begun already."""
        self.site_model.set_weights(weights)
        self.begin(weights, weights if self.site_model.common_weights is None else self.site_model.common_weights)

    def train(self, job: e.Train, stop: Callable[[], bool]) -> ev.Trained:
        """Train one round, and say what is sent.

        Raises
        ------
        ArithmeticError
            There is no finite result, or none that could be encoded.
        LocalUnsupported
            The model cannot take the algorithm's correction.
        """
        from nervenet.models.compress import CodecError

        rng = generator(self.seed, self.node, job.round, "batches")
        report = self.site_model.train(LocalWork(**job.settings), rng, stop, self.algorithm.correction(self.state))
        if report.cancelled:
            return ev.Trained(job.round, job.attempt, None, report.examples, {}, cancelled=True)
        what = "the weights after training (a smaller training.learning_rate may help)"
        progress = Progress(
            before=self._weights,
            after=_finite(self.site_model.get_weights(), what),
            reach=float("nan") if report.fednova_normalizer is None else report.fednova_normalizer * report.rate,
            to=job.to,
            whole=job.whole,
            rng=generator(self.seed, self.node, job.round, "codec"),
        )
        try:
            self.state, outgoing = self.algorithm.outgoing(self.state, progress)
        except CodecError as error:
            raise ArithmeticError(f"{what} must be finite and of a size that can be encoded: {error}") from error
        self._mine = outgoing.common.vector
        metrics = {"loss": report.loss, "steps": float(report.steps)}
        return ev.Trained(
            job.round,
            job.attempt,
            self._mine,
            report.examples,
            {name: value for name, value in metrics.items() if isfinite(value)},
            payload=self._payload(outgoing.common),
            base=outgoing.common.base,
            apart={
                peer: ev.OutgoingModel(parcel.vector, self._payload(parcel), parcel.mass, parcel.base)
                for peer, parcel in outgoing.apart.items()
            },
        )

    def mix(self, job: e.Mix) -> ev.Mixed:
        """Make the next model of what came.

        Raises
        ------
        ArithmeticError
            It is not finite.
        """
        inbox: dict[str, Incoming] = {}
        row: dict[str, float] = {}
        unreadable: list[str] = []
        for place, name in enumerate(job.names):
            if name != self.node:
                came = self._came(job, place)
                if came is None:
                    unreadable.append(name)
                    continue
                inbox[name] = came
            row[name] = job.coefficients[place]
        stepped = self.algorithm.step(self.state, self._mine, inbox, row)
        self.state, self._weights = stepped.state, _finite(stepped.weights, "the mixture")
        self.site_model.set_weights(self._weights)
        return ev.Mixed(job.round, self._weights, stepped.metrics, (*stepped.wanted, *unreadable))

    def forget(self, peer: str) -> None:
        """Drop what is remembered of a life of a neighbor that is over."""
        self.state = self.algorithm.forget(self.state, peer)

    def _came(self, job: e.Mix, place: int) -> Incoming | None:
        """Give one of the messages, decoded if that could not be done when it came."""
        vector, name = job.bodies[place], job.names[place]
        encoded = name in job.differences
        if encoded and vector.dtype.name == "uint8":
            from .algorithms.choco import Choco

            assert isinstance(self.algorithm, Choco)  # noqa: S101
            layout = self.site_model.layout
            try:
                vector = self.algorithm.compressor.decode(vector, layout.size, layout.dtype)
            except ValueError:
                return None
        mass = job.masses[place] if job.masses else 1.0
        return Incoming(vector, mass, job.bases[place] if job.bases else None, encoded)

    def _payload(self, parcel: Parcel) -> Payload:
        layout, vector = self.site_model.layout, parcel.vector
        parts = self.algorithm.needs.parts
        dtype = "uint8" if parcel.encoding else layout.dtype
        return Payload(self.site_model.rule, layout.hash, dtype, vector.size, parcel.encoding, parts)

    def kept(self) -> dict[str, Any]:
        """Give all that the next rounds depend on: arrays that nobody changes any more."""
        kept: dict[str, Any] = {WEIGHTS: self._weights}
        kept |= {STATE + name: array for name, array in self.state.items()}
        return kept | {MOMENTS + name: array for name, array in self.site_model.get_state().items()}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Go on from what was kept of a round."""
        self._weights = kept[WEIGHTS]
        self.state = {n.removeprefix(STATE): array for n, array in kept.items() if n.startswith(STATE)}
        self.site_model.set_weights(self._weights)
        moments = {n.removeprefix(MOMENTS): array for n, array in kept.items() if n.startswith(MOMENTS)}
        if moments:
            self.site_model.set_state(moments)


def _finite(vector: Any, what: str) -> Any:
    if not is_finite(vector):
        raise ArithmeticError(f"{what} must be finite, found NaN or infinity")
    return vector
