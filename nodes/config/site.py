"""The table [site]: what a site takes part in, whatever others ask of it, and what it keeps a record of."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from .ranges import Count, Text

Statistic = Literal[
    "moments",
    "categories",
    "quantiles",
    "limits",
    "counts",
    "correlations",
    "scores",
    "reports",
    "trees",
    "site-matrix",
]
"""What a site may be asked to tell, beside the weights of a model; `consent.statistics` says which question tells what.
"""


@dataclass(frozen=True, kw_only=True)
class AllowConfig:
    """What a site takes part in; what is left open is not limited."""

    runs: tuple[Text, ...] | None = None  # names of runs, or patterns: ["retina-*"]; []: none
    # Strategies of a coordinator, and algorithms of gossip, by name or pattern. A coordinator says which one it has.
    strategies: tuple[Text, ...] | None = None
    # Models by name or pattern ("mlp", "sklearn.linear_model.*"), by the hash of name and parameters ("model:HASH") or
    # by that of the layout ("layout:HASH"); `nervenet node` refuses another one with its hash.
    models: tuple[Text, ...] | None = None
    max_rounds: Count | None = None  # most rounds of a run
    min_rows: Count | None = None  # fewest rows of this site's own with which it tells anything
    min_clients: Count | None = None  # fewest clients that are asked together with it, itself included; or peers
    # What it tells beside weights: moments, categories, quantiles, limits, counts, correlations, scores, reports,
    # trees, site-matrix (docs/security.md). []: nothing, and so no round 0.
    statistics: tuple[Statistic, ...] | None = None

    @cached_property
    def everything(self) -> bool:
        """Whether nothing is limited."""
        return self == AllowConfig()


@dataclass(frozen=True, kw_only=True)
class SiteConfig:
    """What holds at one site alone."""

    allow: AllowConfig = field(default_factory=AllowConfig)
    # Keep an audit log of what was asked and sent. Open: a node of its own does, the nodes of a launch do not.
    audit: bool | None = None
    # Folder of the audit log. Open: that of --out or --resume, else nervenet/audit where programs keep their state.
    audit_dir: Text | None = None
    unrecorded: bool = False  # send even what cannot be written into the audit log, because the disk is full
