"""The launcher's side of a Dask cluster: places asked for as tasks, what is delivered to them, and their ends.

A task is a place for one process (`place.hold_place`): Dask chooses its worker, and runs it again at another where that
is lost, as often as its own ``distributed.scheduler.allowed-failures`` says. What the process is to do goes to its
place, and signals do, by calls to that worker alone (`Client.run`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...config.schema import Experiment
from ..jobs import OWN_ROWS, imported_modules
from .delivery import Delivery, contents, keys_of, mark_of
from .executor import ExecutorFailed
from .place import hold_place, put
from .placing import Deliver, Effect, Exited, Place, Placing, Release, Say, shared_threads
from .sites_there import SiteFile, machines_of

if TYPE_CHECKING:
    from distributed import Client, Future

BEAT_S = 5.0  # between two signs of life to a worker that has a process
TICK_S = 0.5
REACH_S = 10.0  # in which a worker takes what it is told
DELIVER_S = 120.0  # and the rows of its nodes
LEAVE_S = 3.0  # in which places are given back at the end
WORKERS_GONE = "KilledWorker"  # what Dask calls it that a task's worker was lost too often
CANCELLED = "FutureCancelledError"  # and that it has forgotten a task
GONE = "the Dask scheduler has gone, or the tasks of this run were cancelled there"


class DaskExecutor:
    """Places processes on the workers of a Dask cluster.

    Parameters
    ----------
    client
        Asynchronous, of this event loop, and this executor's own.
    experiment
        As it is run there.
    placing
        Knows who has a place where.
    threads
        Of each worker, by its address.
    sites
        Where the rows of each node lie, by its name: in a file at some workers, or held by Dask; None: they are sent.
    """

    def __init__(
        self,
        client: Client,
        experiment: Experiment,
        placing: Placing,
        threads: Mapping[str, int],
        sites: Mapping[str, SiteFile | Future] | None = None,
    ) -> None:
        self.experiment = experiment
        self.exited: Callable[[int, int | str], None] = lambda _number, _how: None
        self.died: Callable[[str], None] = lambda _reason: None
        self.waits: Callable[[str], None] = lambda _reason: None
        self._client = client
        self._placing = placing
        self._threads = dict(threads)
        self._sites = sites
        self.rows_there = sites is not None
        self._topic = f"nervenet-{client.id}"
        self._futures: dict[int, Future] = {}
        self._deliveries: dict[int, tuple[Mapping[str, Any], Sequence[bytes]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._placed = asyncio.Event()
        self._failure = ""
        self._closing = False

    # The engine

    @property
    def finished(self) -> Callable[[tuple[str, ...]], bool]:
        """Whether nothing is missing of some nodes."""
        return self._placing.finished

    @finished.setter
    def finished(self, ask: Callable[[tuple[str, ...]], bool]) -> None:
        self._placing.finished = ask

    def attach(self) -> None:
        self._client.subscribe_topic(self._topic, self._announced)
        self._client.subscribe_topic("all", self._changed)
        self._start(self._beat())
        self._start(self._tick())

    async def spawn(self, job: Mapping[str, Any], descriptors: Sequence[int], *, within_s: float) -> int:  # noqa: ARG002
        """Ask for a place; what is to be done there is delivered when there is one: see `placed`."""
        number = len(self._futures)
        nodes = tuple(spec["name"] for spec in job["nodes"])
        # The first is the log of this machine; a worker has its own.
        self._deliveries[number] = job, [contents(descriptor) for descriptor in descriptors[1:]]
        self._placing.wanted(number, nodes, monotonic())
        held: tuple[Future, ...] = ()
        match None if self._sites is None else self._sites[nodes[0]]:
            case None:
                # Spread, where there are workers to choose from; Dask chooses where that one is gone.
                near = sorted(self._threads)
                where = {"workers": [near[number % len(near)]], "allow_other_workers": True} if near else {}
            case SiteFile(path, workers):
                self._deliveries[number] = {**job, OWN_ROWS: {"file": path}}, []
                where = {"workers": machines_of(workers)}
            case partition:
                self._deliveries[number] = {**job, OWN_ROWS: {"held": f"the partition of {nodes[0]}"}}, []
                held, where = (partition,), {}
        self._futures[number] = self._client.submit(
            hold_place, self._topic, number, *held, key=f"{self._topic}-{number}", pure=False, **where
        )
        self._start(self._follow(number, self._futures[number]))
        return number

    async def placed(self) -> None:
        """Wait until every process has a place, and deliver to all."""
        if self._placing.begun:
            return
        if said := shared_threads(len(self._futures), tuple(self._threads.values())):
            self.waits(said)
        try:
            async with asyncio.timeout(self._placing.deadline_s):
                await self._placed.wait()
        except TimeoutError:
            lacking = self._placing.lacking(tuple(self._threads.values()))
            raise ExecutorFailed(f"{lacking}, after {self._placing.deadline_s:g} s (cluster.deadline_s)") from None
        if self._failure:
            raise ExecutorFailed(self._failure)

    def signal(self, pid: int, number: int) -> None:
        place = self._placing.place_of(pid)
        if place is not None:
            self._start(self._told(place, "signal", number))
        elif pid in self._placing.waiting:  # there is nobody to stop
            self._do([Release(pid, None), *self._placing.ended(pid, 0)])

    async def close(self) -> None:
        """Give all places back, and end what is still there."""
        self._closing = True
        places = [self._placing.place_of(number) for number in self._futures]
        leaving = [asyncio.create_task(self._told(place, "leave", None)) for place in places if place is not None]
        if leaving:
            await asyncio.wait(leaving, timeout=LEAVE_S)
        for task in (*leaving, *self._tasks):
            task.cancel()
        for topic in (self._topic, "all"):
            with suppress(ValueError):  # the launch was refused before this was attached
                self._client.unsubscribe_topic(topic)
        with suppress(Exception):  # the scheduler may be gone
            async with asyncio.timeout(LEAVE_S):
                await self._client.cancel(list(self._futures.values()), force=True)

    # What the cluster tells

    def _announced(self, event: tuple[float, Mapping[str, Any]]) -> None:
        said = event[1]
        place = Place(said["token"], said["worker"])
        self._do(self._placing.announced(said["number"], place, said["version"]))
        if self._placing.begun or not self._placing.waiting:
            self._placed.set()

    def _changed(self, event: tuple[float, Mapping[str, Any]]) -> None:
        said = event[1]
        match said.get("action"):
            case "add-worker":
                self._threads.setdefault(said["worker"], 1)
                self._start(self._count_threads())
            case "remove-worker":
                self._threads.pop(said["worker"], None)
                if not self._closing:
                    self._do(self._placing.worker_gone(said["worker"], monotonic()))

    async def _count_threads(self) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(REACH_S):
                self._threads = dict(await self._client.nthreads())

    async def _follow(self, number: int, future: Future) -> None:
        """Wait for the end of a task: of its process, or of Dask's attempts to place it."""
        try:
            how: int | str = await future
        except asyncio.CancelledError:
            if self._closing or self._ended(number) or _is_cancelled(asyncio.current_task()):
                return
            self._fail(GONE)
            return
        except Exception as error:  # noqa: BLE001  (whatever the task or Dask raises)
            kind, said = type(error).__name__, str(error).partition("\n")[0]
            if kind == CANCELLED:
                self._fail(GONE)
                return
            how = f"given up by Dask: {kind}: {said}"
            if kind == WORKERS_GONE:
                how = f"its workers died, one after another: {said}"
        self._do(self._placing.ended(number, how))

    def _ended(self, number: int) -> bool:
        return self._placing.place_of(number) is None and number not in self._placing.waiting

    def _fail(self, reason: str) -> None:
        if not self._failure:
            self._failure = reason
            self._placed.set()
            self.died(reason)

    # What is done

    def _do(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Deliver(number, place):
                    self._start(self._deliver(number, place))
                case Release(number, place):
                    if place is not None:
                        self._start(self._told(place, "leave", None))
                    self._start(self._cancel(number))
                case Exited(number, how):
                    self._deliveries.pop(number, None)
                    self.exited(number, how)
                case Say(reason):
                    self.waits(reason)

    async def _deliver(self, number: int, place: Place) -> None:
        if number not in self._deliveries:
            return
        job, files = self._deliveries[number]
        nodes = [spec["name"] for spec in job["nodes"]]
        folder = job["experiment"]["network"].get("keys")
        keys = await asyncio.to_thread(keys_of, None if folder is None else Path(folder), nodes)
        modules = imported_modules(Experiment.from_dict(job["experiment"]))
        run_dir = job["nodes"][0]["run_dir"]
        packed = Delivery(job, files, keys, modules, run_dir, mark_of(Path(run_dir))).pack()
        if not await self._put(place, "job", packed, DELIVER_S) and self._placing.place_of(number) == place:
            why = f"worker {place.worker} did not take what its process is to do within {DELIVER_S:g} s"
            self._do([Release(number, place), *self._placing.ended(number, why)])

    async def _told(self, place: Place, kind: str, value: int | None) -> None:
        await self._put(place, kind, value, REACH_S)

    async def _put(self, place: Place, kind: str, value: object, within_s: float) -> bool:
        """Hand something to a place; return whether it was taken."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(within_s):
                taken = await self._client.run(put, place.token, kind, value, workers=[place.worker], on_error="return")
                return taken.get(place.worker) is True
        return False

    async def _cancel(self, number: int) -> None:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(REACH_S):
                await self._client.cancel([self._futures[number]], force=True)

    async def _beat(self) -> None:
        """Let every place know, every few seconds, that somebody waits for what it learns."""
        while True:
            await asyncio.sleep(BEAT_S)
            for number in self._futures:
                if (place := self._placing.place_of(number)) is not None:
                    self._start(self._told(place, "beat", None))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._do(self._placing.tick(monotonic(), tuple(self._threads.values())))

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_cancelled(task: asyncio.Task[Any] | None) -> bool:
    """Whether this very task is being ended, and not what it waits for."""
    return task is not None and bool(task.cancelling())
