"""The algorithms without rounds, by name, with the arguments that an experiment file gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ...config.ranges import Count, Positive, Share
from .ad_psgd import AdPsgdMachine
from .gossip_learning import GossipLearningMachine, GossipLearningRules
from .machine import AsyncPeerMachine, AsyncPeerRules
from .token_account import ACCOUNTS


@dataclass(frozen=True)
class AdPsgd:
    """AD-PSGD (Lian et al. 2018): see `pairwise`."""

    undirected: ClassVar[bool] = True
    varying: ClassVar[bool] = False

    max_staleness: Count = 16  # averages that may change a model while it trains; few: more is refused
    patience_s: Positive = 1.0  # how long a proposal or a pledge keeps a peer from others; well above a round trip

    def machine(self, rules: AsyncPeerRules) -> AsyncPeerMachine:
        """Build the machine of one peer."""
        return AdPsgdMachine(rules, max_staleness=self.max_staleness, patience_s=self.patience_s)


@dataclass(frozen=True)
class GossipLearning:
    """Models that walk (Ormándi et al. 2013; Hegedűs et al. 2021): see `walking`."""

    undirected: ClassVar[bool] = False
    varying: ClassVar[bool] = True

    variant: Literal["rw", "mu", "um"] = "mu"  # rw: update; mu: merge, then update; um: update both, then merge
    merge: Literal["age", "mean"] = "age"  # weights proportional to the ages, or "mean"
    against: Literal["own", "last"] = (
        "own"  # merge with the peer's own model (2021), or with the "last" that came before (2013)
    )
    # proactive: a model every period; the others answer at once, tokens allowing
    tokens: Literal["proactive", "simple", "generalized", "randomized"] = "proactive"
    capacity: int = 20  # tokens that can be saved: the longest burst
    reactivity: int = 10  # generalized, randomized: 1 spends all there is, the larger the more is saved
    period_s: Positive = 0.1  # well above the time of a training, or most of what comes is superseded
    parts: Count = 1  # a message holds one of so many parts, each with an age of its own
    layers: bool = False  # the parts are the arrays of the model
    share: Share = 1.0  # or a random share of the elements
    queue: Count = 8  # models that may wait for the training that runs, one a neighbor

    def __post_init__(self) -> None:
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
