"""Client: federated learning in a user's asyncio program, the training half. It only ever dials out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nervenet.broker.messages import Roster
from nervenet.models.site_model import SiteModel

from ..checkpoint.client_state import ClientStateStore
from ..config.factory import training_settings
from ..config.schema import Experiment, TrainingConfig
from ..consent.requests import Policy
from ..federated.client_machine import ClientConfig, ClientMachine
from ..federated.client_worker import ClientWorker
from ..federated.large.client import LargeClient
from ..large.sizes import Sizes
from ..large.vectors import Room
from ..runtime.identity import NodeIdentity
from ..runtime.node import Publish
from ..runtime.round_reports import TOGETHER_S
from .base import Role


class Client(Role):
    """Trains on its own data when the coordinator asks, and reports the weights; the data stays where it is.

    When the coordinator dies it is waited for, `network.rejoin_deadline_s` seconds, at whatever address it comes back.

    An asynchronous context manager that lives in the caller's event loop: see `Role`.

    Parameters
    ----------
    model
        An `MLP`, any other `nervenet.models.Model`, or a scikit-learn estimator whose copies can be averaged: the same
        as the coordinator's.
    data
        This site's rows, raw (scaling is agreed with the others): X of shape (n, d), numbers, or a data frame that may
        have text, dates and gaps; y of shape (n,); and, as a third, sample_weight of shape (n,) where rows count
        differently: see `nervenet.models.SiteModel`.
    broker, run
        Address of the broker that introduces the nodes, and the name of the run.
    name
        This client's name, unique in the run.
    replace
        Take the name from another node of the run, even if that one still answers; else that raises `NameTaken`. One
        that no longer answers loses it once its lease is over.
    nodes
        How many clients make the run; as the coordinator says.
    seed
        Of the run; as the coordinator says.
    holdout
        Share of this site's rows that is not trained on but used for federated evaluation, in [0, 1).
    columns
        Names of the columns of X, compared between the sites before any training.
    checkpoint_dir
        Folder, of this client alone, for what it carries from round to round (moments, control variates, residuals,
        personal weights): a client that is started again under its name then goes on exactly where it was. None: a
        client that is started again starts afresh. Where nothing is carried nothing is written.
    experiment
        Everything else that an experiment file says.

    Raises
    ------
    ExperimentError, CannotMerge
        From the constructor, for values that cannot be.
    BrokerUnreachable, JoinRefused, RosterIncomplete
        On entering; each names who and what.
    """

    role = "client"
    together_s = TOGETHER_S
    binds = False

    def __init__(
        self,
        model: object,
        data: tuple[Any, ...],
        *,
        broker: str,
        run: str,
        name: str | None = None,
        replace: bool = False,
        nodes: int | None = None,
        seed: int | None = None,
        holdout: float = 0.2,
        columns: Sequence[str] | None = None,
        checkpoint_dir: Path | str | None = None,
        experiment: Experiment | None = None,
    ) -> None:
        from ..config.factory import build_site_model
        from ..experiment.loader import experiment_from_keywords

        experiment = experiment_from_keywords("federated", {"nodes": nodes, "seed": seed}, experiment, model)
        site_model = build_site_model(model, data, experiment, columns=columns, holdout=holdout)
        self._embed(site_model, experiment, broker, run, name, checkpoint_dir, replace=replace)

    def _set_up(self, site_model: SiteModel, experiment: Experiment, identity: NodeIdentity) -> None:
        super()._set_up(site_model, experiment, identity)
        self._worker: ClientWorker | None = None
        self._coordinator = ""

    async def __aexit__(self, *error: object) -> None:
        await self._leave_coordinator(self._coordinator, error[0])

    def _begin(self, roster: Roster) -> None:
        coordinator = self._coordinator_in(roster)
        from nervenet.models.compress import supported

        session = self.session
        self._coordinator = coordinator.node
        timing = self.experiment.timing
        settings = training_settings(self.experiment, self.model.model)
        config = ClientConfig(
            self._coordinator,
            self.model.examples,
            os.getpid(),
            timing,
            supported(),
            settings,
            sends_own=self.experiment.evaluation.site_matrix is True,
            policy=Policy.of(self.experiment, self.identity.run, self.model),
            told={key: value for key, value in settings.items() if value != getattr(TrainingConfig, key)},
        )
        name, seed, loop = self.identity.name, self.experiment.seed, asyncio.get_running_loop()
        states = ClientStateStore(self.identity.checkpoint_dir, _from_thread(loop, session.publish))
        scale = self.experiment.data.scaling
        report_rows = self.experiment.evaluation.report_rows
        room = Room.of(self.experiment.network, self.identity.checkpoint_dir)
        self._worker = ClientWorker(
            self.model, node=name, seed=seed, states=states, scale=scale, report_rows=report_rows, room=room
        )
        machine = LargeClient(ClientMachine(config), Sizes.of(self.experiment.network))
        self._answer_to(coordinator, machine, self._worker)

    @property
    def weights(self) -> Any:
        """This client's own model, a flat vector, where personalization was asked for and the run is over; else None.

        The model of the run is its coordinator's.
        """
        return None if self._worker is None else self._worker.personal


def _from_thread(loop: asyncio.AbstractEventLoop, publish: Publish) -> Callable[[str], None]:
    def warn(reason: str) -> None:
        with suppress(RuntimeError):  # the owner's loop is gone
            loop.call_soon_threadsafe(publish, "warning", {"reason": reason})

    return warn
