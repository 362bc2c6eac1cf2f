"""What the workers of all roles have in common: one model, and the effects that every role asks for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nervenet.broker.messages import Payload
from nervenet.models.data.data import DataError
from nervenet.models.moments import IncompatibleSites
from nervenet.models.site_agreement import Agreed
from nervenet.models.site_model import SiteModel
from nervenet.models.table_preprocessing import AnyPreprocessing, preprocessing_of
from nervenet.models.weights import Vector, is_finite, sketch

from . import effects as e
from . import events as ev
from .inquiry import Inquiry, check_size, survey
from .shared_agreement import SharedAgreements
from .worker import Cancellation, Deferred

if TYPE_CHECKING:
    from nervenet.models.artifact import SavedModel

Scale: TypeAlias = Literal["standard", "unit", "none"]


class ModelWorker:
    """Performs what every role asks for; a role's own worker adds what only that role does.

    Parameters
    ----------
    site_model
        The model and its data.
    node, seed
        The node's name and the run's seed: the address of its draws.
    scale
        How inputs are scaled: ``data.scale`` of the experiment.
    init
        ``"common"``: start from the weights that the seed gives to all; ``"own"``: keep those of a model that has been
        built already.
    initial
        A saved model that this run starts from, in place of those weights, where no other node settles it.
    sketches
        Whether an evaluation has a 64-number projection of the weights, from which a monitor can compute distances.
    """

    def __init__(
        self,
        site_model: SiteModel,
        *,
        node: str,
        seed: int,
        scale: Scale = "standard",
        init: str = "common",
        initial: SavedModel | None = None,
        sketches: bool = False,
    ) -> None:
        if init not in ("common", "own"):
            raise ValueError(f'init must be "common" or "own", found {init!r}')
        self.site_model = site_model
        site_model.site = node
        self.node = node
        self.seed = seed
        self._scale = scale
        self._init = init
        self._initial = initial
        self._sketches = sketches
        self.shared: SharedAgreements | None = None  # with other nodes of the process
        self._inquiry = Inquiry(lambda rows: site_model.questions(scale, rows, seed))

    def snapshot(self, effect: e.Effect) -> e.Effect:
        return effect

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:  # noqa: ARG002
        """Survey, apply an agreement, evaluate, load weights.

        Raises
        ------
        TypeError
            It is none of these.
        """
        match effect:
            case e.Survey():
                return survey(self.site_model.answer, effect)
            case e.ApplyAgreement():
                return self.apply_agreement(effect)
            case e.Evaluate(number, which, body):
                return ev.Evaluated(number, which, self._evaluate(which, body))
            case e.LoadWeights(body, clock):
                self.adopt(body, clock)
                return None
        raise TypeError(f"{type(self).__name__} performs no {type(effect).__name__}")

    def apply_agreement(self, effect: e.ApplyAgreement) -> ev.ModelReady | ev.NextQuestion:
        """Go on with the sites' answers, or take over an agreement made elsewhere; once all agree, build the model.

        Raises
        ------
        IncompatibleSites
            The sites do not fit each other, or this one does not fit the agreement; it names who and what.
        UnsuitableStart
            They do not fit the saved model that the run starts from.
        """
        if effect.agreement is not None:
            try:
                return self._ready(preprocessing_of(effect.agreement))
            except (IncompatibleSites, DataError):
                raise
            except Exception as error:  # another node's word: whatever it leads to, this is what it was
                raise IncompatibleSites(
                    f"what others have agreed on cannot be used here: {type(error).__name__}: {error}"
                ) from error
        if self.shared is None:
            found = self._inquiry.take(effect)
        else:
            found = self.shared.of(effect, lambda: self._inquiry.take(effect), _shareable)
        if isinstance(found, ev.NextQuestion):
            return found
        agreement = found.preprocessing
        if self._initial is not None:
            from nervenet.models.initial_model import start_from

            start_from(self._initial, self.site_model, agreement, self._scale, self.seed)
            agreement = self.site_model.preprocessing
        return self._ready(agreement, found.cautions, found.weights)

    def _ready(
        self, agreement: AnyPreprocessing, cautions: tuple[str, ...] = (), learned: Vector | None = None
    ) -> ev.ModelReady:
        site_model, settled = self.site_model, agreement.to_dict()
        check_size("what all sites have agreed on", settled)
        layout = site_model.build(agreement, self.seed, keep_weights=self._init == "own")
        if learned is not None:
            site_model.set_weights(learned)
        weights = site_model.get_weights()
        sizes = tuple(math.prod(shape) for shape in layout.shapes)
        payload = payload_of(site_model)
        return ev.ModelReady(settled, payload, weights, weights, sizes, clock=site_model.clock, cautions=cautions)

    def set_weights(self, body: Any) -> None:
        """Put weights into the model in order to measure them."""
        self.site_model.set_weights(body)

    def adopt(self, body: Any, clock: float | None = None) -> None:
        """Go on from these weights, with a learning-rate schedule that has come so far (None: as far as here)."""
        self.site_model.set_weights(body)
        if clock is not None:
            self.site_model.clock = clock

    def _evaluate(self, which: str, body: Any) -> dict[str, Any]:
        if body is not None:
            self.set_weights(body)
        metrics: dict[str, Any] = finite_only(self.site_model.evaluate("test" if which == "test" else "holdout"))
        if self._sketches:
            metrics["sketch"] = sketch(self.site_model.get_weights(), self.seed)
        return metrics

    def unpack(self, array: Any, payload: Payload | None) -> tuple[Any, str | None]:
        """Return the vector that came, decoded if it was encoded, and what is wrong with its values (None: nothing)."""
        if payload is not None and payload.encoding:
            try:
                array = self._decoded(array, payload)
            except ValueError as error:
                return None, f"cannot be decoded as {payload.encoding}: {error}"
        return array, None if is_finite(array) else "values must be finite, found NaN or infinity"

    def _decoded(self, array: Any, payload: Payload) -> Any:
        from nervenet.models.compress import parse

        if not self.site_model.built:
            raise ValueError("no layout is settled yet")
        layout = self.site_model.layout
        return parse(payload.encoding).decode(array, layout.size, layout.dtype, parts=len(payload.parts))


def _shareable(found: object) -> bool:
    """Whether a dialog is over, with nothing in what was agreed that a model would go on changing."""
    return isinstance(found, Agreed) and found.weights is None


def payload_of(site_model: SiteModel) -> Payload:
    """Return what the wire says of a model's weights."""
    layout = site_model.layout
    return Payload(layout=layout.hash, dtype=layout.dtype, length=layout.size)


def finite_only(metrics: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is not a finite number: nobody can average it, and JSON cannot say it."""
    return {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
