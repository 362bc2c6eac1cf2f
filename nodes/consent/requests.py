"""What a site is asked for: from a coordinator's task, from a question among peers, or by its own command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from msgspec import UNSET
from nervenet.broker import messages as m
from nervenet.broker.errors import see

from ..config.keys import ExperimentError
from ..config.site import AllowConfig
from .decide import Declined, Request, decide
from .statistics import told_at_work, told_by

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

    from ..config.schema import Experiment


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a site allows, and what it knows of itself and of the run that it has joined."""

    allow: AllowConfig = field(default_factory=AllowConfig)
    run: str | None = None
    model: str | None = None
    model_hash: str = ""
    rows: int | None = None
    categories: bool = False  # whether its first answer in round 0 names some
    # Of a peer, whose own configuration says so:
    strategy: str | None = None
    rounds: int | None = None

    @classmethod
    def of(cls, experiment: Experiment, run: str, site_model: SiteModel) -> Self:
        """Return the policy of a client, or of a peer, which knows the run's algorithm and its rounds."""
        gossip = experiment.mode == "gossip"
        described = site_model.model.describe()
        return cls(
            allow=experiment.site.allow,
            run=run,
            model=str(described["name"]),
            model_hash=model_hash(described),
            rows=site_model.examples,
            categories=site_model.has_categories,
            strategy=experiment.gossip.algorithm if gossip else None,
            rounds=experiment.rounds if gossip else None,
        )

    def of_task(self, task: m.Task) -> Declined | None:
        """Return why the site does not do a coordinator's task; the last one asks for nothing."""
        if self.allow.everything or task.work == "finish":
            return None
        question = {} if task.question is UNSET else task.question
        describing = question.get("ask") == "describe"
        survey = told_by(question, categories=self.categories) if task.work == "survey" else frozenset[str]()
        request = Request(
            run=self.run,
            strategy=None if describing else task.strategy or "",
            model=None if describing else self.model,
            model_hash=self.model_hash,
            layout=task.payload.layout if task.payload else "",
            round=task.round,
            rounds=None if describing else task.rounds,
            rows=self.rows,
            clients=task.clients or 0,
            statistics=survey | told_at_work(task.work, evaluate=task.evaluate),
        )
        return decide(request, self.allow)

    def among_peers(self, question: Mapping[str, Any] | None, peers: int) -> Declined | None:
        """Return why a peer does not answer a question of round 0 (None: there is none), among so many peers."""
        if self.allow.everything:
            return None
        told = frozenset[str]() if question is None else told_by(question, categories=self.categories)
        request = Request(
            run=self.run,
            strategy=self.strategy,
            model=self.model,
            model_hash=self.model_hash,
            rounds=self.rounds,
            rows=self.rows,
            clients=peers,
            statistics=told,
        )
        return decide(request, self.allow)

    def check(self) -> None:
        """Refuse what a site's own command line contradicts, before anybody is told anything.

        Raises
        ------
        ExperimentError
        """
        request = Request(
            run=self.run,
            strategy=self.strategy,
            model=self.model,
            model_hash=self.model_hash,
            rounds=self.rounds,
            rows=self.rows,
        )
        declined = decide(request, self.allow)
        if declined is not None:
            raise ExperimentError(f"{declined}; the site's own policy does not admit this run{see('site-declines')}")


def model_hash(described: Mapping[str, Any]) -> str:
    """Return what tells a model by its name and parameters: the first 16 digits of the SHA-256 of both as JSON."""
    text = json.dumps(described, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
