"""All that steers a peer's machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..config.schema import EvaluationConfig, Timing
from ..consent.requests import Policy
from ..runtime.site_answer import SameAnswers
from .algorithms.base import Needs
from .survey_tree import SpanningTree


@dataclass(frozen=True)
class PeerRules:
    name: str
    members: tuple[str, ...]
    timing: Timing = field(default_factory=Timing)
    hosted: float = 1.0  # peers in its process, itself included
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    evaluate_on: str = "test"  # or "holdout": this peer's own rows kept apart
    settings: Mapping[str, Any] = field(default_factory=dict)  # of each training
    policy: Policy = field(default_factory=Policy)  # what this peer's site takes part in
    tree: SpanningTree | None = None  # by which many meet; None: they are few, or this one is late
    same: SameAnswers | None = None  # that peers of its process hold, too; None: it is there by itself
    # With rounds:
    needs: Needs = field(default_factory=Needs)  # the algorithm's
    encoding: str = ""  # how what is sent may be encoded; whole it may be, too
    keeps: bool = False  # checkpoints to go on from after its own death
    min_peers: int = 0  # that must be there for a round to begin
    wait_deadline_s: float = 120.0  # how long they are waited for
    held: tuple[int, ...] = ()  # rounds of which it has one from a previous incarnation
    # Without:
    neighbors: tuple[str, ...] = ()
    shortcuts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # addresses, to be dialed for round 0
    seed: int = 0
    incarnation: int = 0  # larger at each start of the name
