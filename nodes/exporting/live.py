"""Exports while a run goes on, by a thread of their own: the run waits for none of them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..results.round_metrics import RecordedRounds, run_rows
from .exporters import Exporter, exported_run, exporter_class, figures_of, flush

HELD = 50_000  # events that may wait for an exporter; more are not taken
EVERY_S = 0.5  # so often they are worked off: one by one, a thread would take turns with the run's own for each
END_S = 60.0  # how long the end of a run waits for it


class CompletedRounds:
    """Which rounds are done, from events: each once, in order, when everybody who lives is beyond it."""

    def __init__(self) -> None:
        self._recorded = RecordedRounds()
        self._last: dict[str, int] = {}
        self._done = 0

    def take(self, event: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Take an event and return the rows of the rounds that are done by it."""
        self._recorded.add(event)
        kind, role, number = event.get("type"), event.get("role"), event.get("round")
        if kind == "node.lost":
            self._last.pop(str(event.get("subject")), None)
        elif kind == "node.ready" and role == "peer" and "subject" not in event:
            self._last.setdefault(str(event.get("node")), 0)
        elif kind == "round.completed" and role in ("coordinator", "peer") and isinstance(number, int):
            self._last[str(event.get("node"))] = number
            return self._rows(min(self._last.values()))
        return []

    def rest(self) -> list[dict[str, Any]]:
        return self._rows(None)

    def _rows(self, before: int | None) -> list[dict[str, Any]]:
        # A round is measured after it is complete: what everybody is beyond has its figures.
        if before is not None and before <= self._done + 1:
            return []
        taken = self._recorded.take() if before is None else self._recorded.take(before)
        rows = [row for row in run_rows(taken.mode, taken, {}) if row["round"] > self._done]
        self._done = max([self._done, *(row["round"] for row in rows)])
        return rows


class LiveExport:
    """One export of a run that goes on; `take` its events, `close` at its end. `say` is told what goes wrong, once.

    Raises
    ------
    ExperimentError, MissingExtra
        As `exporter_class`.
    """

    def __init__(self, name: str, where: str, folders: Sequence[Path], say: Callable[[str], None]) -> None:
        self._class = exporter_class(name)
        self._name, self._where, self._folders, self._say = name, where, folders, say
        self._queue: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._missed = 0
        self._failed = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"export to {name}", daemon=True)
        self._thread.start()

    def take(self, event: Mapping[str, Any]) -> None:
        """Hand an event to the thread."""
        if self._failed:
            return
        if self._queue.qsize() < HELD:
            self._queue.put(event)
        else:
            self._missed += 1

    def close(self, within_s: float = END_S) -> None:
        """Wait, so long at most, until all is exported; in a thread, where an event loop goes on."""
        self._queue.put(None)
        self._ending.set()
        self._thread.join(within_s)
        if self._thread.is_alive():
            self._say(f"the export to {self._name} has not ended within {within_s:g} s: its last rounds are missing")
        elif self._missed and not self._failed:
            self._say(f"the export to {self._name} was too slow: it misses {self._missed} events")

    def _run(self) -> None:
        try:
            self._export()
        except Exception as error:  # noqa: BLE001  (whatever a package raises ends the export, and not the run)
            self._failed = True
            self._say(f"the export to {self._name} has ended: {type(error).__name__}: {error}")

    def _export(self) -> None:
        rounds, exporter, status = CompletedRounds(), None, ""
        try:
            for batch in self._batches():
                exporter = exporter or self._class(self._where, exported_run(self._folders[0]))
                for event in batch:
                    if hasattr(exporter, "event"):
                        exporter.event(event)
                    _write(exporter, rounds.take(event))
                    if event.get("type") in ("run.completed", "run.failed") and event.get("role") == "launcher":
                        status = str(event.get("status") or "")
                flush(exporter)
            if exporter is not None:
                _write(exporter, rounds.rest())
        except BaseException:
            if exporter is not None:
                with contextlib.suppress(Exception):  # what is said is why it ended
                    exporter.close("")
            raise
        if exporter is not None:
            exporter.close(status)

    def _batches(self) -> Iterator[list[Mapping[str, Any]]]:
        """Yield what has come meanwhile, until the end."""
        event = self._queue.get()
        while event is not None:
            self._ending.wait(EVERY_S)
            batch = [event]
            for _ in range(self._queue.qsize()):
                event = self._queue.get()
                if event is None:
                    break
                batch.append(event)
            yield batch
            if event is not None:
                event = self._queue.get()


def _write(exporter: Exporter, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        exporter.write(row["round"], figures_of(row))
