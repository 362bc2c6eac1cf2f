"""ClientWorker: the client's half of the worker. Trains as tasks ask, and keeps what it carries from round to round."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nervenet.broker.messages import Payload
from nervenet.models.local import LocalSettings, LocalTraining

from ..runtime import effects as e
from ..runtime import events as ev
from .client_machine import FINE_TUNE

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

    from ..checkpoint.client_state import ClientStateStore


class ClientWorker:
    """Does what a client's tasks ask for, in the worker thread.

    A task of round r starts from the newest state of a round before r, whatever has been done meanwhile, so that a
    repeated task gives the same bytes; the state after it is kept before the answer leaves.

    Parameters
    ----------
    learner
        The model and its data.
    node, seed
        The client's name and the run's seed: the address of its draws.
    carried
        Keeps the states.

    Attributes
    ----------
    personal
        This client's own model, a flat vector, once `personalize` has made one.
    """

    def __init__(self, site_model: SiteModel, *, node: str, seed: int, carried: ClientStateStore) -> None:
        self.site_model = site_model
        self.local = LocalTraining(site_model, node=node, seed=seed)
        self.carried = carried
        self.personal: Any = None
        self._at = 0  # the round that `local` has the state of
        self._life: int | None = None
        self._settings: tuple[Mapping[str, Any], LocalSettings] = ({}, LocalSettings())

    def train(self, job: e.Train, stop: Callable[[], bool], unwanted: Callable[[], bool]) -> ev.Trained:
        """Do one task; `unwanted` says after the end that nobody will take what was done.

        Raises
        ------
        ArithmeticError
            There is no finite result, or none that could be encoded.
        LocalUnsupported, ValueError
            The model cannot do, or has not, what the settings ask for.
        CheckpointError
            A carried state is of a newer format.
        """
        settings = self._read(job.settings)
        self._return_to(job)
        body = self.site_model.get_weights() if job.body is None else job.body
        metrics: dict[str, float] = {}
        if job.evaluate:
            self.local.set_weights(body, settings)
            metrics = {f"holdout_{key}": value for key, value in self.site_model.evaluate("holdout").items()}
        before = self.local.get_state()
        counted = job.counted is None or job.counted >= self._at
        result = self._trained(body, settings, job.round, stop, counted)
        if result.cancelled or (result.metrics.get("partial") and unwanted()):
            if not result.cancelled:
                self.local.set_state(before)
            return ev.Trained(job.round, job.attempt, None, result.examples, metrics, cancelled=True)
        self._keep(job)
        payload = None
        if result.encoding or len(result.parts) > 1:
            layout, vector = self.site_model.layout, result.vector
            dtype = "uint8" if result.encoding else layout.dtype
            length = 0 if vector is None else vector.size
            payload = Payload(self.site_model.rule, layout.hash, dtype, length, result.encoding, result.parts)
        told = {k: float(v) for k, v in {**result.metrics, **metrics}.items() if math.isfinite(v)}
        return ev.Trained(job.round, job.attempt, result.vector, result.examples, told, payload=payload)

    def set_weights(self, body: Any) -> None:
        """Put the weights of all into the model as this client uses them: its FedPer arrays over them."""
        self.local.set_weights(body, dataclasses.replace(self._settings[1], control=False))

    def personalize(self, job: e.Personalize, stop: Callable[[], bool]) -> ev.Personalized:
        """Make this client's own model of the final one, and measure both on the client's hold-out.

        The model is left with the weights that are its own: Ditto's, or the final ones with FedPer's arrays over them,
        or these trained on.
        """
        wanted = dict(job.settings)
        epochs = int(wanted.pop(FINE_TUNE, 0))
        settings = self._read(wanted)
        self._resume(job.round + 1)
        self.site_model.set_weights(job.body)
        common = self.site_model.evaluate("holdout")
        if epochs:
            self.local.fine_tune(job.body, epochs, batch_size=settings.batch_size, stop=stop)
        else:
            self.site_model.set_weights(self.local.personal_weights(job.body))
        self.personal = self.site_model.get_weights()
        own = self.site_model.evaluate("holdout")
        told = {**own, **{f"global_{key}": value for key, value in common.items() if key != "examples"}}
        return ev.Personalized(job.round, {k: float(v) for k, v in told.items() if math.isfinite(v)})

    def _trained(self, body: Any, settings: LocalSettings, number: int, stop: Callable[[], bool], counted: bool) -> Any:
        if not settings.encoding:
            return self.local.train(body, settings, number, stop, counted=counted)
        from nervenet.models.compress import CodecError

        try:
            return self.local.train(body, settings, number, stop, counted=counted)
        except CodecError as error:
            what = f"the weights after training, sent as {settings.encoding},"
            raise ArithmeticError(f"{what} must be finite and of a size that it can hold: {error}") from error

    def _read(self, settings: Mapping[str, Any]) -> LocalSettings:
        """Check the settings once; they hardly ever change from task to task."""
        if self._settings[0] != settings:
            self._settings = (dict(settings), LocalSettings.from_dict(settings))
        return self._settings[1]

    def _return_to(self, job: e.Train) -> None:
        """Stand where this task starts from, wherever the work stands now."""
        if job.incarnation != self._life:
            self._life = job.incarnation
            self.carried.rewind(job.durable, job.incarnation)
        self._resume(job.round)

    def _resume(self, number: int) -> None:
        if self._newest(number) == self._at:
            return
        self.local.set_state(self.carried.before(number) or {})
        self._at = self._newest(number)  # asked again: a damaged file has been passed over

    def _newest(self, number: int) -> int:
        return max((known for known in self.carried.rounds if known < number), default=0)

    def _keep(self, job: e.Train) -> None:
        state = self.local.get_state()
        self.carried.put(job.round, state, job.incarnation)
        self.carried.prune(job.durable)
        if self.carried.rounds:
            self._at = job.round
