"""What runs in a Dask worker: a task that holds a place for one process of nodes.

The task itself knows nothing: neither rows nor keys are in it, for the scheduler keeps tasks and repeats them. It
announces itself, and the launcher sends to this place what its process is to do. The launcher's signs of life come the
same way; without them for long the process is ended, since nobody will ask for what it learns.
"""

from __future__ import annotations

import os
import queue
import secrets
import signal
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...results.run_dir import NODES_LOG
from ..jobs import OWN_ROWS
from .delivery import Delivery, mark_of, remove_keys, write_keys
from .link import host_of, is_within
from .own_rows import with_own_rows
from .worker_host import WorkerHost, in_file, worker_host

SILENT_S = 60.0  # without a sign of the launcher, after which a place is given up
END_S = 5.0  # that a process is given then between the two signals
LEFT = "given back"

_places: dict[str, queue.SimpleQueue[tuple[str, Any]]] = {}


def hold_place(topic: str, number: int, held: object = None) -> int | str:
    """Hold a place for process `number` of a run, and return how it ended: its exit code, or words.

    `topic` is that of the run's events. `held` are the rows of the process's node, where Dask has them: it has chosen
    this worker for that they are here.
    """
    from distributed import get_worker, secede

    worker = get_worker()
    secede()  # what is waited for here takes no processor: other tasks may have this thread's turn
    token, inbox = secrets.token_hex(8), queue.SimpleQueue[tuple[str, Any]]()
    _places[token] = inbox
    folder = Path(tempfile.gettempdir()) / f"nervenet-keys-{token}"
    try:
        with worker_host() as host:
            said = {"number": number, "token": token, "worker": worker.address, "version": version("nervenet")}
            worker.log_event(topic, said)
            return _hold(host, inbox, worker.address, folder, held)
    finally:
        del _places[token]
        remove_keys(folder)


def put(token: str, kind: str, value: Any = None) -> bool:
    """Hand something to a place of this worker; return whether there is such a place.

    It raises nothing: a worker's log would show what it was given.
    """
    inbox = _places.get(token)
    if inbox is None:
        return False
    inbox.put((kind, value))
    return True


def _hold(
    host: WorkerHost, inbox: queue.SimpleQueue[tuple[str, Any]], address: str, folder: Path, held: object
) -> int | str:
    pid = 0
    ending = ""  # why the process is being ended
    while True:
        try:
            kind, value = inbox.get(timeout=END_S if ending else SILENT_S)
        except queue.Empty:
            if not pid:
                return f"nothing was heard of the launcher for {SILENT_S:g} s"
            host.signal(pid, signal.SIGKILL if ending else signal.SIGTERM)
            ending = f"ended, since nothing was heard of the launcher for {SILENT_S:g} s"
            continue
        match kind:
            case "job":
                try:
                    pid = _start(host, value, inbox, address, folder, held)
                except Exception as error:  # noqa: BLE001  (whatever it is, the launcher hears of it)
                    return f"could not be started: {type(error).__name__}: {error}"
            case "signal" if pid:
                host.signal(pid, value)
            case "signal" | "leave":
                if not pid:
                    return LEFT
                host.signal(pid, signal.SIGKILL)
            case "exited":
                return ending or value
            case "beat":
                pass


def _start(
    host: WorkerHost, packed: bytes, inbox: queue.SimpleQueue[tuple[str, Any]], address: str, folder: Path, held: object
) -> int:
    """Start the process of a delivery and return its id."""
    delivery = Delivery.unpack(packed)
    host.preload(delivery.preload)
    if delivery.keys:
        folder.mkdir(mode=0o700)
        host.remove_at_end(folder)
        write_keys(folder, delivery.keys)
    run_dir = Path(delivery.run_dir)
    shared = bool(delivery.mark) and mark_of(run_dir) == delivery.mark
    job = at_worker(delivery.job, address, folder if delivery.keys else None, shared=shared)
    descriptors = [_log(run_dir if shared else None)]
    try:
        if OWN_ROWS in job:
            job, rows = with_own_rows(job, held)
            descriptors += [in_file(b""), rows]  # there is no test set: the node holds some of its rows out
        else:
            descriptors += map(in_file, delivery.files)
        return host.spawn(job, descriptors, lambda how: inbox.put(("exited", how)))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _log(run_dir: Path | None) -> int:
    """Return a descriptor of what the nodes write to: the run folder's log where it is here, else their worker's."""
    if run_dir is None:
        return os.dup(2)
    return os.open(run_dir / NODES_LOG, os.O_WRONLY | os.O_APPEND)


def at_worker(job: Mapping[str, Any], address: str, keys: Path | None, *, shared: bool) -> dict[str, Any]:
    """Return a job as a process at a worker gets it: its nodes listen where the worker does.

    They keep what they need to go on after their death where the run folder is `shared` with the launcher's machine.
    """
    experiment = dict(job["experiment"])
    network = dict(experiment["network"])
    if not is_within(address):
        network["bind"] = host_of(address)
    network.pop("advertise", None)
    network.pop("keys", None)
    if keys is not None:
        network["keys"] = str(keys)
    nodes = [spec if shared else {**spec, "checkpoint_dir": None, "run_dir": ""} for spec in job["nodes"]]
    return {**job, "nodes": nodes, "experiment": experiment | {"network": network}}
