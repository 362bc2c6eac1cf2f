"""The algorithms without rounds, by name, with the arguments that an experiment file gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Protocol, TypeAlias

from .ad_psgd import AdPsgdMachine
from .gossip_learning import GossipLearningMachine, GossipLearningRules
from .machine import AsyncPeerMachine, AsyncPeerRules
from .model_merge import RULES
from .token_account import ACCOUNTS
from .walk import OTHERS, RECIPES


class FreeAlgorithm(Protocol):
    """Makes a peer's machine."""

    undirected: ClassVar[bool]
    """Whether an edge must go both ways."""
    varying: ClassVar[bool]
    """Whether it is sound on graphs that change from round to round, of which it takes the union."""

    def machine(self, rules: AsyncPeerRules) -> AsyncPeerMachine:
        """Build the machine of one peer."""
        ...


@dataclass(frozen=True)
class AdPsgd:
    """AD-PSGD (Lian et al. 2018): see `pairwise`."""

    undirected: ClassVar[bool] = True
    varying: ClassVar[bool] = False

    max_staleness: int = 16  # averages that may change a model while it trains; few: more is refused
    patience_s: float = 1.0  # how long a proposal or a pledge keeps a peer from others; well above a round trip

    def __post_init__(self) -> None:
        _at_least("max_staleness", self.max_staleness, 1)
        _above("patience_s", self.patience_s)

    def machine(self, rules: AsyncPeerRules) -> AsyncPeerMachine:
        """Build the machine of one peer."""
        return AdPsgdMachine(rules, max_staleness=self.max_staleness, patience_s=self.patience_s)


@dataclass(frozen=True)
class GossipLearning:
    """Models that walk (Ormándi et al. 2013; Hegedűs et al. 2021): see `walking`."""

    undirected: ClassVar[bool] = False
    varying: ClassVar[bool] = True

    variant: str = "mu"  # rw: update; mu: merge, then update; um: update both, then merge
    merge: str = "age"  # weights proportional to the ages, or "mean"
    against: str = "own"  # merge with the peer's own model (2021), or with the "last" that came before (2013)
    tokens: str = "proactive"  # a model every period; simple, generalized, randomized: answers at once, tokens allowing
    capacity: int = 20  # tokens that can be saved: the longest burst
    reactivity: int = 10  # generalized, randomized: 1 spends all there is, the larger the more is saved
    period_s: float = 0.1  # well above the time of a training, or most of what comes is superseded
    parts: int = 1  # a message holds one of so many parts, each with an age of its own
    layers: bool = False  # the parts are the arrays of the model
    share: float = 1.0  # or a random share of the elements
    queue: int = 8  # models that may wait for the training that runs, one a neighbor

    def __post_init__(self) -> None:
        for key, allowed in (("variant", RECIPES), ("merge", RULES), ("against", OTHERS), ("tokens", ACCOUNTS)):
            if getattr(self, key) not in allowed:
                raise ValueError(f"{key} must be one of {', '.join(allowed)}; found {getattr(self, key)!r}")
        for key in ("parts", "queue"):
            _at_least(key, getattr(self, key), 1)
        _above("period_s", self.period_s)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, found {self.share}")
        ACCOUNTS[self.tokens](self.capacity, self.reactivity)
        partial = [key for key in ("parts", "layers", "share") if getattr(self, key) != getattr(type(self), key)]
        if len(partial) > 1:
            raise ValueError(f"{' and '.join(partial)}: a message holds one kind of part; give one of them")
        if partial and (self.variant != "mu" or self.against != "own"):
            raise ValueError(
                f"{partial[0]}: a part of a model can only be merged into one's own: variant 'mu', against 'own'; "
                f"found variant {self.variant!r}, against {self.against!r}"
            )

    def machine(self, rules: AsyncPeerRules) -> AsyncPeerMachine:
        """Build the machine of one peer."""
        walk = GossipLearningRules(
            variant=self.variant,
            merge=self.merge,
            against=self.against,
            account=ACCOUNTS[self.tokens](self.capacity, self.reactivity),
            period_s=self.period_s,
            parts=self.parts,
            layers=self.layers,
            share=self.share,
            queue=self.queue,
        )
        return GossipLearningMachine(rules, walk)


Free: TypeAlias = AdPsgd | GossipLearning

ALGORITHMS: Mapping[str, type[AdPsgd] | type[GossipLearning]] = {"ad-psgd": AdPsgd, "gossip-learning": GossipLearning}
NAMES = tuple(ALGORITHMS)


def arguments_of(name: str) -> tuple[str, ...]:
    """Give the keys that an algorithm has of its own; none for a name that is not here."""
    return tuple(f.name for f in fields(ALGORITHMS[name])) if name in ALGORITHMS else ()


def build(name: str, arguments: Mapping[str, Any]) -> Free:
    """Make an algorithm of its name and arguments.

    Raises
    ------
    ValueError
        Unknown name, unknown argument, or a value that cannot be; says what is allowed.
    """
    if name not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {name!r}; allowed are {', '.join(NAMES)}")
    kind = ALGORITHMS[name]
    known = {f.name: type(f.default) for f in fields(kind)}
    for key, value in arguments.items():
        if key not in known:
            raise ValueError(f"{name} has no argument {key!r}; allowed are {', '.join(known)}")
        wanted = known[key]
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise ValueError(f"{key} must be {wanted.__name__}, found {value!r}")
    return kind(**arguments)


def _at_least(key: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{key} must be at least {least}, found {value}")


def _above(key: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise ValueError(f"{key} must be above 0, found {value}")
