"""The matrix of sites: once the last round is over, each site trains a model on its own rows, and all judge them all.

First every site that lives is asked for its model, then, model by model, for its figures on the rows that it keeps. A
site that is gone, or does not answer in time, leaves gaps by name, and is not waited for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..runtime import events as ev
from ..runtime.event_types import HOLDOUT
from .round import MOST, MOST_BYTES, Round

MOST_SITES = 100
"""There are as many models, and each goes to all sites."""

SCORES = ("accuracy", "r2")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be asked next: of whom, and about which model (its handle)."""

    work: Literal["alone", "judge"]
    names: tuple[str, ...]
    body: ev.Body = None


class SiteMatrix:
    """Decides who is asked next, and keeps what came."""

    def __init__(self, *, wanted: bool) -> None:
        self.over = not wanted
        self.sites: tuple[str, ...] = ()
        self.missing: dict[str, str] = {}  # why a site has no model, or has not judged some
        self._models: dict[str, ev.Body] = {}  # handles of those that are still to be judged
        self._judged = ""  # whose model is being judged
        self._silent: set[str] = set()
        self._found: dict[str, Mapping[str, Mapping[str, float]]] = {}  # by model and site, metrics

    def next(self, living: Sequence[str]) -> Asked | None:
        """Return what is to be asked of the living clients; None when nothing is left to be."""
        if self.over:
            return None
        if not self.sites:
            self.sites = tuple(sorted(living))
            self.over = not 1 < len(living) <= MOST_SITES
            if len(living) > MOST_SITES:
                self.missing = {"all": f"{len(living)} sites are more than the {MOST_SITES} that are compared"}
            return None if self.over else Asked("alone", self.sites)
        judges = tuple(name for name in self.sites if name in living and name not in self._silent)
        if not self._models or not judges:
            self.over, self._models = True, {}
            return None
        self._judged = min(self._models)
        return Asked("judge", judges, self._models.pop(self._judged))

    def take(self, current: Round) -> None:
        """Keep what has come of a round that was asked for."""
        missing = current.missing("no answer")
        if current.work == "alone":
            self._models = {each.client: each.body for each in current.contributions()}
            self.missing |= {name: f"has sent no model of its own: {why}" for name, why in missing.items()}
            return
        self._found[self._judged] = {each.client: each.metrics for each in current.contributions()}
        self._silent |= missing.keys()
        for name, why in missing.items():
            reason = f"has not judged the model of {self._judged} and those after it: {why}"
            self.missing[name] = f"{self.missing[name]}; {reason}" if name in self.missing else reason

    def result(self) -> dict[str, Any]:
        """Return the matrix as far as it is known, ``site_matrix`` of docs/summary.md; empty where there is none."""
        if not self._found and not self.missing:
            return {}
        names = {name for of_site in self._found.values() for metrics in of_site.values() for name in metrics}
        score = next((name for name in SCORES if HOLDOUT + name in names), "")
        rows = [max((self._figure(m, s, "examples") or 0 for m in self._found), default=0) for s in self.sites]
        scores = [[self._figure(model, site, score) for site in self.sites] for model in self.sites]
        found: dict[str, Any] = {"sites": list(self.sites), "rows": list(map(int, rows)), "scores": scores}
        return found | ({"missing": dict(sorted(self.missing.items()))} if self.missing else {})

    def _figure(self, model: str, site: str, name: str) -> float | None:
        value = self._found.get(model, {}).get(site, {}).get(HOLDOUT + name)
        most = MOST_BYTES if name == "examples" else MOST
        return float(value) if value is not None and abs(value) <= most else None
