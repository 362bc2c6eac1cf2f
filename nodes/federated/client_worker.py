"""The client's worker: trains as tasks ask, and keeps what it carries from round to round."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from nervenet.broker.messages import Payload
from nervenet.models.local import LocalSettings, LocalTraining
from nervenet.models.site_model import SiteModel, kept_rows

from ..checkpoint.client_state import ClientStateStore
from ..large.vectors import Received, Room
from ..runtime import effects as e
from ..runtime import events as ev
from ..runtime.event_types import HOLDOUT
from ..runtime.model_worker import ModelWorker, Scale, finite_only
from ..runtime.worker import Cancellation, Deferred
from .personalization import FINE_TUNE


class ClientWorker(ModelWorker):
    def __init__(
        self,
        site_model: SiteModel,
        *,
        node: str,
        seed: int,
        states: ClientStateStore,
        scale: Scale = "standard",
        report_rows: int = 10,
        room: Room | None = None,
    ) -> None:
        super().__init__(site_model, node=node, seed=seed, scale=scale)
        # A task is one training: the loop is not held up by the next one, as that of a peer would be. Foreign code may
        # wait for something, run a loop of its own, or keep something for its thread alone.
        self.trains_at_once = not getattr(site_model.model, "runs_foreign_code", True)
        self._report_rows = report_rows  # of fewer nothing is counted for others
        self.local = LocalTraining(site_model, node=node, seed=seed)
        self.states = states
        self._received = Received(room or Room())
        self.personal: Any = None  # this client's own model, a flat vector, once personalization has made one
        self._at = 0  # the round that `local` has the state of
        self._coordinator: int | None = None  # the incarnation that asked last
        self._settings: tuple[Mapping[str, Any], LocalSettings] = ({}, LocalSettings())

    def perform(self, effect: e.Effect, cancellation: Cancellation) -> ev.Event | Deferred | None:
        match effect:
            case e.Train():
                return self.train(effect, cancellation)
            case e.Personalize():
                return self.personalize(effect, cancellation.requested)
            case e.KeepRange():
                return self._received.keep(effect)
            case e.TrainAlone():
                return self.train_alone(effect, cancellation.requested)
            case e.Evaluate(number, which, body, plain=True):
                self.site_model.set_weights(body)  # another site's model is judged with all its arrays
                # By rows, as the report is that the common model has beside it.
                return ev.Evaluated(number, which, finite_only(self.site_model.evaluate("holdout", weighted=False)))
            case e.Evaluate(number, which, body, counted=True):
                return ev.Evaluated(number, which, self._evaluate(which, body), self._counts())
            case _:
                return super().perform(effect, cancellation)

    def _counts(self) -> dict[str, Any]:
        """Return what this site tells of the present model's predictions of its hold-out, by rows; empty: nothing."""
        from nervenet.models.score_counts import told
        from nervenet.models.score_report import counts_on

        rows = kept_rows(self.site_model)
        return {} if rows is None else told(counts_on(self.site_model, *rows[:2]), self._report_rows)

    def train(self, effect: e.Train, cancellation: Cancellation) -> ev.Trained:
        """Do one task.

        Raises
        ------
        ArithmeticError
            There is no finite result, or none that could be encoded.
        LocalUnsupported, ValueError
            The model cannot do, or has not, what the settings ask for.
        CheckpointError
            A state is of a newer format.
        """
        settings = self._checked(effect.settings)
        if effect.incarnation != self._coordinator:
            self._coordinator = effect.incarnation
            self.states.rewind(effect.durable, effect.incarnation)
        self._resume(effect.round)
        body = self.site_model.get_weights() if effect.body is None else effect.body
        metrics: dict[str, float] = {}
        if effect.evaluate:
            self.local.set_weights(body, settings)
            metrics = {f"{HOLDOUT}{key}": value for key, value in self.site_model.evaluate("holdout").items()}
        before = self.local.get_state()
        counted = effect.counted is None or effect.counted >= self._at
        result = self._trained(body, settings, effect, cancellation.requested, counted)
        if result.cancelled or (result.metrics.get("partial") and cancellation.discarded()):
            if not result.cancelled:
                self.local.set_state(before)
            return ev.Trained(effect.round, effect.attempt, None, result.examples, metrics, cancelled=True)
        self._keep(effect)
        payload = None
        if result.encoding or len(result.parts) > 1:
            layout, vector = self.site_model.layout, result.vector
            dtype = "uint8" if result.encoding else layout.dtype
            length = 0 if vector is None else vector.size
            payload = Payload(layout.hash, dtype, length, result.encoding, result.parts)
        weight = self.site_model.weight
        weighed = {} if weight is None else {"weight": weight}
        figures = finite_only({**result.metrics, **metrics, **weighed})
        sent, clock = (result.vector, result.examples, figures), result.clock
        return ev.Trained(effect.round, effect.attempt, *sent, payload=payload, clock=clock)

    def train_alone(self, effect: e.TrainAlone, stop: Callable[[], bool]) -> ev.TrainedAlone:
        """Train a model of this site's rows only, beside the one that it shares.

        Raises
        ------
        ArithmeticError
            It has diverged.
        """
        from nervenet.models.local.alone import train_alone

        work = self._checked(effect.settings)
        weights = train_alone(self.site_model, work, effect.rounds, node=self.node, seed=self.seed, stop=stop)
        return ev.TrainedAlone(effect.round, effect.attempt, weights)

    def set_weights(self, body: Any) -> None:
        """Put the weights of all into the model as this client uses them: its FedPer arrays over them."""
        self.local.set_weights(body, dataclasses.replace(self._settings[1], control=False))

    def personalize(self, effect: e.Personalize, stop: Callable[[], bool]) -> ev.Personalized:
        """Make this client's own model of the final one, and measure both on the client's hold-out.

        The model is left with the weights that are its own: Ditto's, or the final ones with FedPer's arrays over them,
        or these trained on.
        """
        wanted = dict(effect.settings)
        epochs = int(wanted.pop(FINE_TUNE, 0))
        settings = self._checked(wanted)
        self._resume(effect.round + 1)
        self.site_model.set_weights(effect.body)
        common = self.site_model.evaluate("holdout")
        if epochs:
            size, rate = settings.batch_size, settings.learning_rate
            self.local.fine_tune(effect.body, epochs, effect.clock, batch_size=size, learning_rate=rate, stop=stop)
        else:
            self.site_model.set_weights(self.local.personal_weights(effect.body))
        self.personal = self.site_model.get_weights()
        own = self.site_model.evaluate("holdout")
        figures = {
            **own,
            **{f"global_{key}": value for key, value in common.items() if key not in ("examples", "weight")},
        }
        return ev.Personalized(effect.round, finite_only(figures))

    def _trained(
        self, body: Any, settings: LocalSettings, effect: e.Train, stop: Callable[[], bool], counted: bool
    ) -> Any:
        screened = effect.body is not None  # when it arrived

        def train() -> Any:
            return self.local.train(
                body, settings, effect.round, stop, counted=counted, clock=effect.clock, screened=screened
            )

        if not settings.encoding:
            return train()
        from nervenet.models.compress import CodecError

        try:
            return train()
        except CodecError as error:
            what = f"the weights after training, sent as {settings.encoding},"
            raise ArithmeticError(f"{what} must be finite and of a size that it can hold: {error}") from error

    def _checked(self, settings: Mapping[str, Any]) -> LocalSettings:
        if self._settings[0] != settings:
            self._settings = (dict(settings), LocalSettings.from_dict(settings))
        return self._settings[1]

    def _resume(self, number: int) -> None:
        """Return to where a task of this round starts from, wherever the work stands now."""
        if self._newest(number) == self._at:
            return
        self.local.set_state(self.states.before(number) or {})
        self._at = self._newest(number)  # asked again: a damaged file has been passed over

    def _newest(self, number: int) -> int:
        return self.states.newest_before(number)

    def _keep(self, effect: e.Train) -> None:
        self.states.put(effect.round, self.local.get_state(), effect.incarnation)
        self.states.prune(effect.durable)
        if self.states.rounds:  # what carries nothing keeps nothing
            self._at = effect.round
