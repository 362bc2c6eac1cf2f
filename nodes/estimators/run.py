"""What a run in this process has in common, federated or gossip: the rows by site, how far it has come, its end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from nervenet.models.data.data import Task
from nervenet.models.model import Model
from nervenet.models.preprocessing import Preprocessing, made_up
from nervenet.models.site_model import SiteModel
from numpy.typing import NDArray

from ..config.factory import build_site_model
from ..config.schema import Experiment

Rows: TypeAlias = tuple[NDArray[Any], ...]
"""X, y, and the weights of the rows if they have some; labels are the indices of classes."""

Record: TypeAlias = dict[str, Any]
"""What `history_` has of one round."""


@dataclass(frozen=True, eq=False)
class Progress:
    """How far a run has come: all that its next round depends on, as plain values and arrays.

    Between two runs a site may get other rows, and so nothing that belongs to its own is carried.
    """

    round: int
    agreement: Mapping[str, Any]
    weights: NDArray[Any]  # (parameters,): of the common model, the mean of the peers' under gossip
    clock: float = 0.0
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # of the strategy
    peers: Mapping[str, tuple[NDArray[Any], float]] = field(default_factory=dict)  # each one's weights and clock


@dataclass(frozen=True, eq=False)
class Learned:
    """What a run has come to."""

    site_model: SiteModel  # built, with the final weights
    progress: Progress
    history: list[Record]


@dataclass(frozen=True, eq=False)
class Job:
    """What a run is to do."""

    model: Model  # not built, and never changed: each site has a copy
    experiment: Experiment
    task: Task
    sites: Mapping[str, Rows]  # by the node's name
    classes: int | None  # how many all sites together have, None for regression
    known: bool = False  # whether they are known beforehand, as `partial_fit` is told; else round 0 finds them
    after: Progress | None = None  # what the run goes on from

    @property
    def columns(self) -> int:
        return int(next(iter(self.sites.values()))[0].shape[1])

    @property
    def agreement(self) -> Mapping[str, Any] | None:
        """What the sites have agreed on before; None: round 0 is to settle it."""
        if self.after is not None:
            return self.after.agreement
        if not self.known:
            return None
        zeros, ones = np.zeros(self.columns), np.ones(self.columns)
        labels = None if self.classes is None else tuple(range(self.classes))
        return Preprocessing(made_up(self.columns), labels, zeros, ones, clip=None).to_dict()

    def site_model(self, rows: Rows | None) -> SiteModel:
        return build_site_model(deepcopy(self.model), rows, self.experiment, task=self.task)

    def end(self, progress: Progress, history: list[Record], site_model: SiteModel) -> Learned:
        """Return what the run has come to; the model of a node is given the final weights."""
        site_model.set_weights(progress.weights)
        site_model.clock = progress.clock
        return Learned(site_model, progress, history)


class Steps(Protocol):
    """A run in this process, round after round."""

    @property
    def completed(self) -> int:
        """The last round that was done, by this run or by one that it goes on from."""
        ...

    def begin(self) -> None:
        """Settle what all must share before training."""
        ...

    def round(self, number: int) -> None: ...

    def end(self) -> Learned: ...


def stepwise(run: Steps, rounds: int) -> Learned:
    """Do so many rounds of a run."""
    run.begin()
    first = run.completed + 1
    for number in range(first, first + rounds):
        run.round(number)
    return run.end()


Runner: TypeAlias = Callable[[Job, int], Learned]
"""Does so many rounds of a job."""


def left_out(number: int, reasons: Mapping[str, str], everybody: int) -> None:
    """Say whose training of a round has no result; raise ValueError where nobody's has."""
    if not reasons:
        return
    said = "; ".join(f"{name}: {why}" for name, why in sorted(reasons.items()))
    if len(reasons) == everybody:
        raise ValueError(f"no site has a result in round {number}: {said}")
    warnings.warn(f"round {number} goes on without {len(reasons)} of {everybody} sites: {said}", stacklevel=2)
