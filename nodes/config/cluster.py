"""The table [cluster] of an experiment."""

from dataclasses import dataclass
from typing import Literal

from .ranges import Positive, Text


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Where launch places the processes of clients or peers; broker and coordinator are on its own machine."""

    # dask: workers of its own on this machine; dask://HOST:PORT, dask+tls://HOST:PORT: those of that scheduler; or what
    # an installed package brings. None: this machine, without an engine.
    on: Text | None = None
    # Where the files of data.sites are: at the launcher, or at the workers, each of which is asked what matches there.
    data: Literal["launcher", "workers"] = "launcher"
    # How long the processes wait for workers, at first and where a worker is lost.
    deadline_s: Positive = 60.0
