"""LocalTraining: one client's rounds, from a task's weights to the update, and the state between them."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import FitReport, LocalWork
from ..rng import generator, generator_when_drawn
from ..site_model import SiteModel
from ..weights import IncompatibleWeights, Vector, checked_finite
from .encoding import encoded
from .personal import PREFIX, arrays_of, personal_names, with_arrays
from .result import LocalResult
from .settings import LocalSettings, check_support

State = dict[str, NDArray[Any]]

MOMENTS, DITTO_MOMENTS = "moments/", "ditto-moments/"
SHARED = ("control", "residual")  # the server's sums take part in what these become: only if the update counted
BEFORE = "before/"  # what they were before the last round
VECTORS = (*SHARED, "ditto", *(BEFORE + name for name in SHARED))


def _never() -> bool:
    return False


class LocalTraining:
    """What a client does with the tasks of its coordinator, and what it carries from one to the next.

    Its state changes at the end of a round that has something to send, and only then: after a round that failed or was
    cancelled the same task can come again.

    Parameters
    ----------
    site_model
        Built before the first task; whatever its model holds is replaced by each.
    node, seed
        The client's name and the run's seed: the address of its draws.
    """

    def __init__(self, site_model: SiteModel, *, node: str, seed: int) -> None:
        self.site_model = site_model
        self.node = node
        self.seed = seed
        # Code of a user's own may ask what it is given for its class.
        foreign = getattr(site_model.model, "runs_foreign_code", True)
        self._generator = generator if foreign else generator_when_drawn
        self._state: State = {}
        self._fresh: State | None = None
        self._works: dict[tuple[float, bool], LocalWork] = {}  # of the settings that were supported last
        self._supported: LocalSettings | None = None  # those that were looked at last

    def get_state(self) -> State:
        """Return what later rounds depend on, the arrays read-only; empty if that is nothing."""
        return dict(self._state)

    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Replace the state by one that `get_state` returned. Raises ValueError for a name that is never in one."""
        for name in state:
            if name not in VECTORS and not name.startswith((MOMENTS, DITTO_MOMENTS, PREFIX)):
                raise ValueError(f"a client's state has no {name!r}")
        self._state = {name: _read_only(np.array(array)) for name, array in state.items()}

    def set_weights(self, received: Vector, settings: LocalSettings) -> None:
        """Put received weights into the model as this client uses them: its personal arrays over them."""
        self.site_model.set_weights(self._with_personal(self._split(received, settings)[0], settings))

    def train(
        self,
        received: Vector,
        settings: LocalSettings,
        number: int,
        stop: Callable[[], bool] = _never,
        *,
        counted: bool = True,
        clock: float | None = None,
        screened: bool = False,
    ) -> LocalResult:
        """Do one round's work; return what is sent. The model is left with the weights that training ended at.

        SCAFFOLD's own control variate follows option II (Karimireddy et al. 2020, algorithm 1, line 12),
        c_i⁺ = c_i - c + (x - y) / (K η), with the K steps of size η counted as FedNova counts them: K is the
        `fednova_normalizer`, K steps for plain SGD. An update with momentum is a weighted sum of its gradients, and the
        normalizer the sum of those weights, so that c_i⁺ stays what it is meant to be: a mean of the gradients along
        the way, without the correction that was added to each.

        Parameters
        ----------
        received : (parts * size,) array
            The weights; with `settings.control` the server's control variate behind them. Not modified.
        settings : LocalSettings
        number : int
            The round: part of the address of its draws.
        stop : callable
            Returns true when training should end early.
        counted : bool
            Whether the server counted the last result. If not, the control variate and the residual are what they were
            before it; what stays here, such as moments and personal arrays, is as it is.
        clock : float
            How far the learning-rate schedule of the received weights has come: it is theirs, and never kept here.
            None: it begins.
        screened : bool
            Whether the values of `received` are known to be finite: they are not looked at again.

        Raises
        ------
        LocalUnsupported
            The model cannot be trained as the settings ask.
        IncompatibleWeights
            `received` does not fit.
        ValueError
            `settings.personal` names no array of the model, or all; `settings.encoding` is no codec.
        ArithmeticError
            Training diverged: there is no finite result.
        """
        if settings is not self._supported:
            check_support(self.site_model.model, settings)
            self._supported = settings
            self._works.clear()
        weights, control = self._split(received, settings, screened=screened)
        start = self._with_personal(weights, settings)
        state = self._state_before(counted)
        shared = {name: state[name] for name in SHARED if name in state}
        metrics: dict[str, float] = {}
        if settings.probe:
            self.site_model.set_weights(start)
            metrics["probe_loss"] = self.site_model.training_loss()
        own = self._checked(shared.get("control"))
        correction = control if own is None or control is None else control - own
        rng = self._generator(self.seed, self.node, number, "batches")
        report = self._fit(start, state, MOMENTS, settings, settings.proximal, rng, stop, correction, clock)
        reached = self.site_model.clock
        if report.cancelled and not (settings.partial and report.steps):
            return LocalResult(None, settings.encoding, settings.parts, report.examples, cancelled=True)
        after = self.site_model.trained_weights()
        metrics |= {"loss": report.loss, "steps": float(report.steps)}
        if report.fednova_normalizer is not None:
            metrics["fednova_normalizer"] = report.fednova_normalizer
        if report.cancelled:
            metrics["partial"] = 1.0

        sent = after
        if settings.personal:
            layout = self.site_model.layout
            mine = personal_names(layout, settings.personal)
            sent = with_arrays(layout, after, arrays_of(layout, weights, mine))
            state |= {PREFIX + name: array for name, array in arrays_of(layout, after, mine).items()}
        vector: NDArray[Any] = sent
        if control is not None:
            # Of the personal arrays, where sent is what was received and c is zero, this is zero, too.
            reach = (report.fednova_normalizer or 0.0) * report.rate
            change = (weights - sent) / weights.dtype.type(reach) - control if reach else np.zeros_like(control)
            state["control"] = change if own is None else own + change
            vector = checked_finite(np.concatenate([sent, change]), "the change of the control variate")
        if settings.ditto:
            personal = self._train_personal(weights, state, settings, number, stop)
            if personal.cancelled and not settings.partial:
                return LocalResult(None, settings.encoding, settings.parts, report.examples, cancelled=True)
            metrics["personal_loss"] = personal.loss
            self.site_model.set_weights(after)
        residual = state.pop("residual", None)
        if settings.encoding:
            rng = generator(self.seed, self.node, number, "codec")
            vector, residual, about = encoded(settings.encoding, vector, weights, residual, rng)
            metrics |= about
            if residual is not None:
                state["residual"] = residual
        state |= {BEFORE + name: array for name, array in shared.items() if name in state}
        self._state = {name: _read_only(array) for name, array in state.items()}
        metrics = {name: float(value) for name, value in metrics.items() if isfinite(value)}
        return LocalResult(vector, settings.encoding, settings.parts, report.examples, metrics, reached)

    def personal_weights(self, received: Vector | None = None) -> Vector:
        """Return the weights of this client's own model.

        Parameters
        ----------
        received : (size,) array or None
            The global weights, without further parts; not needed for Ditto.

        Returns
        -------
        (size,) array
            Ditto's personal model; or the received weights with FedPer's personal arrays over them, if there are any.
        """
        own = self._checked(self._state.get("ditto"))
        if own is not None:
            return own
        if received is None:
            raise ValueError("this client has no whole model of its own: the global weights are needed")
        return with_arrays(self.site_model.layout, received, self._personal_arrays())

    def fine_tune(
        self,
        received: Vector,
        epochs: int,
        clock: float | None = None,
        *,
        batch_size: int = 16,
        learning_rate: float | None = None,
        stop: Callable[[], bool] = _never,
    ) -> FitReport:
        """Train on from the final global weights, for this client alone; its state does not change.

        The model is left with the tuned weights. Raises ArithmeticError if they are not finite.
        """
        settings = LocalSettings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
        rng = generator(self.seed, self.node, "fine-tune")
        start = with_arrays(self.site_model.layout, received, self._personal_arrays())
        report = self._fit(start, dict(self._state), MOMENTS, settings, 0.0, rng, stop, None, clock)
        self.site_model.trained_weights()
        return report

    def _train_personal(
        self, weights: Vector, state: State, settings: LocalSettings, number: int, stop: Callable[[], bool]
    ) -> FitReport:
        """Ditto (Li et al. 2021, arXiv 2012.04221, algorithm 1): v <- v - η (∇F(v) + λ (v - x)), x what was received.

        The proximal term of `LocalWork` pulls to the start v_0 of the fit, so λ (v_0 - x) is added to every gradient.
        """
        own = self._checked(self._state.get("ditto"))
        correction = None if own is None else weights.dtype.type(settings.ditto) * (own - weights)
        rng = generator(self.seed, self.node, number, "ditto")
        start = weights if own is None else own
        report = self._fit(start, state, DITTO_MOMENTS, settings, settings.ditto, rng, stop, correction)
        state["ditto"] = self.site_model.trained_weights()
        return report

    def _fit(
        self,
        start: Vector,
        state: State,
        prefix: str,
        settings: LocalSettings,
        proximal: float,
        rng: np.random.Generator,
        stop: Callable[[], bool],
        correction: Vector | None,
        clock: float | None = None,
    ) -> FitReport:
        """Train from `start`, with what `state` has under a prefix, and update that; the schedule goes on at `clock`.

        Without one the schedule goes on where `state` has left it, for a model that is this client's own.
        """
        if self._fresh is None:
            self._fresh = self.site_model.get_state(moments=False)
        carried = {name.removeprefix(prefix): state.pop(name) for name in list(state) if name.startswith(prefix)}
        self.site_model.set_weights(start)
        if carried or self._fresh:
            self.site_model.set_state(self._fresh | carried)
        if clock is not None:
            self.site_model.clock = clock
        report = self.site_model.train(self._work(settings, proximal, carry=bool(carried)), rng, stop, correction)
        after = self.site_model.get_state(moments=settings.carry_optimizer)
        if prefix == MOMENTS and self.site_model.scheduled:
            del after["t"]  # it goes with the weights
        state |= {prefix + name: array for name, array in after.items()}
        return report

    def _work(self, settings: LocalSettings, proximal: float, *, carry: bool) -> LocalWork:
        """Return how much to train, the same object round after round: what it says is checked as it is made."""
        if settings is not self._supported:
            return settings.work(proximal, carry=carry)
        found = self._works.get((proximal, carry))
        if found is None:
            found = self._works[proximal, carry] = settings.work(proximal, carry=carry)
        return found

    def _split(
        self, received: Vector, settings: LocalSettings, *, screened: bool = False
    ) -> tuple[Vector, Vector | None]:
        layout, parts = self.site_model.layout, settings.parts
        if received.ndim != 1 or received.size != len(parts) * layout.size:
            expected = f"{' and '.join(parts)}, {len(parts)} x {layout.size} elements, were expected"
            raise IncompatibleWeights("length", f"received an array of shape {received.shape}; {expected}")
        pieces = [received] if len(parts) == 1 else list(received.reshape(len(parts), layout.size))
        for piece in pieces:
            layout.check(piece, values=not screened)
        return pieces[0], pieces[1] if settings.control else None

    def _with_personal(self, weights: Vector, settings: LocalSettings) -> Vector:
        if not settings.personal:
            return weights
        names = personal_names(self.site_model.layout, settings.personal)
        arrays = {name: array for name, array in self._personal_arrays().items() if name in names}
        return with_arrays(self.site_model.layout, weights, arrays)

    def _personal_arrays(self) -> State:
        return {n.removeprefix(PREFIX): array for n, array in self._state.items() if n.startswith(PREFIX)}

    def _state_before(self, counted: bool) -> State:
        """Return what a round starts from: without what the last one added to it, if that did not count."""
        state = {name: array for name, array in self._state.items() if not name.startswith(BEFORE)}
        if counted:
            return state
        before = {name.removeprefix(BEFORE): self._state[name] for name in self._state if name.startswith(BEFORE)}
        return {name: array for name, array in state.items() if name not in SHARED} | before

    def _checked(self, vector: Vector | None) -> Vector | None:
        if vector is not None:
            self.site_model.layout.check(vector)
        return vector


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
