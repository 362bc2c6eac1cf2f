"""What places the processes of a run's nodes has to do, and which there are: on this machine the fork server does it.

Another is chosen by ``cluster.on``: the name of one, or an address that begins with it, as in ``dask://HOST:PORT``.
Installed packages bring more by the entry point group ``nervenet.executors``; docs/extending.md shows how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from nervenet.models.plugins import Registry

from ...config.keys import ExperimentError
from ...config.schema import Experiment


class ExecutorFailed(RuntimeError):
    """The engine that places the processes has gone, or has no place for them; the message says so."""


class Executor(Protocol):
    """Starts processes that host nodes, and tells of their ends. All is called on the launcher's event loop.

    Attributes
    ----------
    exited
        To be called with a process's number and how it ended: its exit code (negative: the signal), or words.
    died
        To be called with the reason when no process can be started, watched or stopped any more.
    waits
        To be called now and then with what is waited for.
    """

    exited: Callable[[int, int | str], None]
    died: Callable[[str], None]
    waits: Callable[[str], None]

    def attach(self) -> None:
        """Begin to call these, on the running event loop."""

    async def spawn(self, job: Mapping[str, Any], descriptors: Sequence[int], *, within_s: float) -> int:
        """Have a process do `job`, and return the number by which it is known.

        The descriptors are open files that the process gets: its log, and what `job` says of the rest. They are the
        caller's, who closes them when this has returned.
        """

    def signal(self, pid: int, number: int) -> None:
        """Have a signal sent to a process; to one that has ended: nothing."""


class Engine(Executor, Protocol):
    """An executor beyond this machine: an engine that has places for processes, and may lose them and find others.

    Attributes
    ----------
    experiment
        As it is run there: with addresses at which its nodes and this launcher reach each other, and a node for each
        site whose rows lie there.
    rows_there
        Whether the rows lie there: then no process is sent any.
    finished
        Asked whether nothing is missing of some nodes, so that they need no other place where theirs is lost.
    """

    experiment: Experiment
    rows_there: bool
    finished: Callable[[tuple[str, ...]], bool]

    async def placed(self) -> None:
        """Wait until every process that was asked for has a place, and begin them; at once if they have begun.

        Raises
        ------
        ExecutorFailed
            Not within the deadline of the experiment (``cluster.deadline_s``).
        """


@dataclass(frozen=True)
class Wanted:
    """What is asked of an engine that is opened.

    Attributes
    ----------
    experiment
        What is run, as its owner has written it.
    address
        What stands behind ``NAME://`` in ``cluster.on``, and of ``NAME+tls://HOST:PORT`` what stands behind the plus;
        empty: an engine of its own, here.
    client
        What a program has given in place of an address: a client or a cluster of that engine; None: nothing.
    data
        A collection of that engine whose parts are the sites; None: there is none.
    say
        Takes what is waited for while it is opened.
    """

    experiment: Experiment
    address: str
    client: object | None
    data: object | None
    say: Callable[[str], None]


Open = Callable[[Wanted], AbstractAsyncContextManager[Engine]]


EXECUTORS: Registry[Open] = Registry(
    "cluster.on",
    "nervenet.executors",
    {"dask": "dask_cluster:open_dask"},
    package=__package__,
    error=ExperimentError,
    check=lambda found: "" if callable(found) else "cannot be called",
)
"""By name what opens an engine: from `Wanted` to an async context manager of an `Engine`."""


def open_engine(
    experiment: Experiment, client: object | None, data: object | None, say: Callable[[str], None]
) -> AbstractAsyncContextManager[Engine] | None:
    """Return what opens the engine that an experiment, or a program, asks for; None: this machine.

    Raises
    ------
    ExperimentError
        No executor has that name, or it cannot be imported.
    """
    on = experiment.cluster.on
    if on is None and client is None:
        if data is not None or experiment.cluster.data != "launcher":
            what = "data" if data is not None else f"cluster.data = {experiment.cluster.data!r}"
            raise ExperimentError(f"{what}: lies at the workers of an engine; expected cluster.on (--on) with it")
        return None
    scheme, _, address = (on or _name_of(client)).partition("://")
    name, _, transport = scheme.partition("+")
    address = f"{transport}://{address}" if transport else address
    return EXECUTORS[name](Wanted(experiment, address, client, data, say))


def _name_of(client: object) -> str:
    """Return the executor of which a program's object is: by the package that its class is from."""
    package = type(client).__module__.partition(".")[0]
    return {"distributed": "dask"}.get(package, package.partition("_")[0])
