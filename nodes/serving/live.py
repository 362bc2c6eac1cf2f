"""The model of a run that goes on, read from the run folder of its coordinator or of its peers as it learns.

Weights pass through no broker and reach no monitor; what a run keeps on its disk is for who may read that folder, and
so is what is served from it. A coordinator writes a checkpoint a second at most, a peer one in half a second or more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nervenet.broker.event_log import attributes
from nervenet.models.aggregate import plain_mean
from nervenet.models.artifact import ModelFileError, load_model, read_extra
from nervenet.models.mlp.mlp import MLP
from nervenet.models.registry import rebuild
from nervenet.models.site_model import SiteModel
from nervenet.models.table_preprocessing import preprocessing_of

from ..checkpoint.store import CheckpointError, CheckpointStore, State
from ..config.factory import build_model
from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..federated.checkpoint_writer import WEIGHTS
from ..results.newest_run import RUNS, run_of_broker, starting_run
from ..results.run_dir import COORDINATOR, read_nodes
from ..runtime.printable import printable
from .answers import Answers, warm

LOOK_S = 0.5  # between two looks at the folder

_FINAL = "model.json"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A model, and what `GET /model` says of it."""

    site_model: SiteModel
    info: Mapping[str, Any]


class RunFollower:
    """Looks into a run folder for a newer model than the last one. It reads files: not for an event loop.

    `own` is the class, or import path, of a model of one's own. `warn` hears, once, why what is there is not served.
    """

    def __init__(self, run: Path, own: object = None, warn: Callable[[str], None] = lambda _: None) -> None:
        self.run, self._own, self._warn = run, own, warn
        self._seen: object = None
        self._round = -1
        self._said: set[str] = set()

    def newest(self) -> Found | None:
        """Return the model if it is newer than what was returned before; None if it is not, or there is none."""
        try:
            return self._newer()
        except OSError as error:  # as where too many files are open: the folder is looked into again
            self._say(f"{self.run}: {printable(error)}; the model before it is served, if there is one")
            return None

    def _newer(self) -> Found | None:
        seen = self._signature()
        if seen == self._seen:
            return None
        try:
            found = self._final() or self._learning()
        except (CheckpointError, ModelFileError, ExperimentError, ValueError, TypeError, KeyError) as error:
            self._say(f"{self.run}: {printable(error)}; the model before it is served, if there is one")
            found = None
        self._seen = seen
        return found

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._warn(line)

    def _folders(self) -> list[Path]:
        """Return where the run's weights are kept: by its coordinator, or by each of its peers."""
        checkpoints = self.run / "checkpoints"
        if (checkpoints / COORDINATOR).is_dir():
            return [checkpoints / COORDINATOR]
        peers = sorted(name for name, facts in read_nodes(self.run).items() if facts.get("role") == "peer")
        return [checkpoints / name for name in peers]

    def _signature(self) -> object:
        """Return what differs as soon as a newer model may be there."""
        files = [self.run / _FINAL]
        newest = [CheckpointStore(folder).rounds[:1] for folder in self._folders()]
        return newest, [_stamp(path) for path in files]

    def _final(self) -> Found | None:
        """Return the model that the run has come to; None before it has, and while a resumed run learns on."""
        path = self.run / _FINAL
        if not path.is_file():
            return None
        extra = read_extra(path)
        number = extra.get("round")
        kept = [store.rounds[0] for folder in self._folders() if (store := CheckpointStore(folder)).rounds]
        if not isinstance(number, int) or number < self._round or number < min(kept, default=0):
            return None
        self._round = number
        return Found(warm(load_model(path, model=self._own)), {"live": False, **extra})

    def _learning(self) -> Found | None:
        states = [state for folder in self._folders() if (state := CheckpointStore(folder, self._say).latest())]
        number = min((state.round for state in states), default=-1)
        if number <= self._round:
            return None
        site_model = self._built(states)
        self._round = number
        return Found(site_model, {"live": True, "round": number})

    def _built(self, states: list[State]) -> SiteModel:
        record = states[0].record
        agreed = record.get("agreement") or record["machine"]["agreement"]
        experiment = Experiment.from_dict(record["experiment"])
        site_model = SiteModel(self._model(experiment))
        site_model.build(preprocessing_of(agreed), experiment.seed)
        vectors = [state.arrays[WEIGHTS] for state in states]
        site_model.set_weights(plain_mean(vectors))
        return warm(site_model)

    def _model(self, experiment: Experiment) -> Any:
        name = experiment.model.name
        if ":" in name or self._own is not None:
            return rebuild({"name": name, "parameters": dict(experiment.model.parameters)}, self._own)
        return build_model(experiment)


async def run_of(broker: str, root: Path = RUNS) -> Path:
    """Return the folder below `root` of the run that a broker introduces, as soon as no run is just starting there.

    Raises ExperimentError where there is none.
    """
    starting = starting_run(root, time.time())  # first: what has begun between the two looks is found by the second
    while (found := await asyncio.to_thread(run_of_broker, broker, root)) is None:
        if starting is None:
            raise ExperimentError(
                f"--broker {broker}: no run folder below {root}/ is of that broker; weights are read from the run "
                "folder of a coordinator, a peer or a launch: nervenet serve RUN --follow, on its machine"
            )
        await asyncio.sleep(LOOK_S)
        starting = starting_run(root, time.time())
    return found


def no_model() -> SiteModel:
    """Return a model that is not built: whoever is asked for predictions answers by 503."""
    return SiteModel(MLP())


async def follow(answers: Answers, follower: RunFollower, look_s: float = LOOK_S) -> None:
    """Let the answers come from the newest model of a run, until this is cancelled."""
    while True:
        found = await asyncio.to_thread(follower.newest)
        if found is not None:
            answers.serve(found.site_model, found.info)
            _logger.info("a newer model is served", extra=attributes({"round": found.info.get("round")}))
        await asyncio.sleep(look_s)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        known = path.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_ino
