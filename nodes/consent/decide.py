"""Whether a site takes part in what it is asked for: a pure function of the request and of the site's policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from ..config.site import AllowConfig

LAYOUT, MODEL = "layout:", "model:"
"""Before hashes in ``site.allow.models``."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a site is asked for, and what it is told, or knows, of the run; None: that has no part in it.

    Where something counts and nobody has told it, it is empty or 0: a site whose policy limits it declines.
    """

    run: str | None = None
    strategy: str | None = None  # of the coordinator, or the algorithm of gossip
    model: str | None = None  # its name
    model_hash: str = ""  # of its name and parameters
    layout: str = ""  # of its weights; empty before there are any
    round: int = 0
    rounds: int | None = None
    rows: int | None = None  # of this site
    clients: int | None = None  # that are asked together, or peers that exchange
    statistics: frozenset[str] = frozenset()  # in the words of `consent.statistics`


@dataclass(frozen=True)
class Declined:
    """What a site does not take part in: the key of its policy, what was found, and what it allows."""

    key: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.key}: found {self.found}; allowed: {self.allowed}"


Finding: TypeAlias = tuple[str, str] | None
"""What was found, and what is allowed; None where a request keeps to the policy."""


def decide(request: Request, allow: AllowConfig) -> Declined | None:
    """Return why a site declines a request, None where it takes part."""
    for key, check in CHECKS.items():
        finding = check(request, allow)
        if finding is not None:
            return Declined(f"site.allow.{key}", *finding)
    return None


def _runs(request: Request, allow: AllowConfig) -> Finding:
    if allow.runs is None or request.run is None or _matches(request.run, allow.runs):
        return None
    return f"run {request.run}", _listed(allow.runs)


def _strategies(request: Request, allow: AllowConfig) -> Finding:
    found = request.strategy
    if allow.strategies is None or found is None or (found and _matches(found, allow.strategies)):
        return None
    return found or "none named by the coordinator", _listed(allow.strategies)


def _models(request: Request, allow: AllowConfig) -> Finding:
    name = request.model
    if allow.models is None or name is None:
        return None
    short = name.rpartition(".")[2]
    for entry in allow.models:
        if entry.startswith(LAYOUT):
            if request.layout in ("", entry.removeprefix(LAYOUT)):  # before the first weights nobody can say
                return None
        elif entry.startswith(MODEL):
            if request.model_hash == entry.removeprefix(MODEL):
                return None
        elif fnmatchcase(name, entry) or fnmatchcase(short, entry):
            return None
    hashes = [f"{MODEL}{request.model_hash}"] if request.model_hash else []
    hashes += [f"{LAYOUT}{request.layout}"] if request.layout else []
    return f"{name} ({', '.join(hashes)})" if hashes else name, _listed(allow.models)


def _max_rounds(request: Request, allow: AllowConfig) -> Finding:
    most = allow.max_rounds
    if most is None or request.rounds is None:
        return None
    if not request.rounds:
        return "no number named by the coordinator", f"{most} at most"
    if request.rounds > most:
        return f"{request.rounds} rounds", f"{most} at most"
    return (f"round {request.round}", f"{most} at most") if request.round > most else None


def _min_rows(request: Request, allow: AllowConfig) -> Finding:
    least, found = allow.min_rows, request.rows
    if least is None or found is None or found >= least:
        return None
    return "fewer rows at this site", f"{least} at least"  # how many they are is not told


def _min_clients(request: Request, allow: AllowConfig) -> Finding:
    least, found = allow.min_clients, request.clients
    if least is None or found is None or found >= least:
        return None
    return f"{found} clients" if found else "no number named by the coordinator", f"{least} at least"


def _statistics(request: Request, allow: AllowConfig) -> Finding:
    if allow.statistics is None:
        return None
    refused = sorted(request.statistics.difference(allow.statistics))
    return (", ".join(refused), _listed(allow.statistics)) if refused else None


CHECKS: dict[str, Callable[[Request, AllowConfig], Finding]] = {
    "runs": _runs,
    "strategies": _strategies,
    "models": _models,
    "max_rounds": _max_rounds,
    "min_rows": _min_rows,
    "min_clients": _min_clients,
    "statistics": _statistics,
}
"""By the keys of [site.allow], in the order in which they are named where several fail."""


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _listed(allowed: Sequence[str]) -> str:
    return ", ".join(allowed) or "none"
