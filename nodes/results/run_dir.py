"""The run folder: written while the run goes on, readable at any moment, complete at the end."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from nervenet.broker.errors import see
from nervenet.models.atomic_file import replacing
from nervenet.models.extras import how_to_install, installed
from nervenet.models.pipeline.description_text import is_described

from ..config.keys import ExperimentError
from ..config.schema import Experiment
from ..runtime.printable import printable, printable_json
from ..runtime.round_history import Reported, Row, rows_of
from .earlier import Earlier, of_events
from .event_log import CURRENT, FIRST, EventLog, LogInUse, at_leisure, kept_of, parts_of, read_events, read_parts
from .round_metrics import FILE as ROUNDS
from .round_metrics import RecordedRounds, read_rows, run_rows, with_dropped, with_earlier
from .rows_file import RowsFile, changing_rows

# An event is written within this time (seconds), so that a killed launcher loses little; a write for each event would
# cost more than the events.
FLUSH_AFTER_S = 0.5
AT_A_TIME = 4096  # events of which rows are made, when they are dropped
STILL_OPEN = 64  # rounds behind the newest one, of which further events may come

PRIVATE = 0o700  # models and events tell of the data: a run folder is its owner's alone
PREPROCESS = "preprocess.json"  # the pipeline that a program gave as an object
COORDINATOR = "coordinator"  # the folder of its checkpoints, whatever the node is called

_JSON = msgspec.json.Encoder(enc_hook=lambda value: value.tolist())


def to_json(value: object) -> str:
    """Return one line of JSON; numbers that are not finite become null, NumPy's scalars and arrays plain ones."""
    try:
        line = _JSON.encode(value).decode()
    except UnicodeEncodeError:  # half of a character, as in a file's name, which no reader of JSON takes
        line = _JSON.encode(_whole(value)).decode()
    return printable_json(line)


def _whole(value: Any) -> Any:
    """Return a value with half characters as `printable` shows them."""
    match value:
        case str():
            return "".join(printable(c) if "\ud800" <= c <= "\udfff" else c for c in value)
        case Mapping():
            return {_whole(key): _whole(each) for key, each in value.items()}
        case list() | tuple():
            return [_whole(each) for each in value]
    return value


def new_default_dir(experiment: Experiment, now: datetime, root: Path = Path("runs")) -> Path:
    """Make and return ``runs/<UTC time>-<mode>-<data>``, with a number appended where that is taken.

    Of several processes that ask within one second, each gets a folder of its own: making it decides, not looking.
    """
    first = root / f"{now:%Y%m%dT%H%M%SZ}-{experiment.mode}-{experiment.data.label}"
    path, count = first, 1
    while True:
        try:
            path.mkdir(mode=PRIVATE, parents=True)
        except FileExistsError:
            count += 1
            path = first.with_name(f"{first.name}~{count}")
        except OSError as error:
            raise ExperimentError(
                f"{path}: cannot be used as a run folder: {error.strerror}; choose one by --out"
            ) from None
        else:
            return path


def not_written(experiment: Experiment) -> list[str]:
    """Return a line for each file of a run folder that this installation cannot write."""
    files = {"matplotlib": "curves.png"}
    if experiment.model.name.startswith("sklearn."):
        files["skops"] = "model.skops"
    return [f"no {file}: {how_to_install(package)}" for package, file in files.items() if not installed(package)]


def checkpoint_dir(run: Path, name: str) -> Path:
    """Return the folder, in a run folder, of the durable state of a node."""
    return run / "checkpoints" / name


def has_checkpoints(run: Path) -> bool:
    """Whether a run can be resumed: there are checkpoints of the coordinator, or states of every peer."""
    peers = [name for name, facts in read_nodes(run).items() if facts.get("role") == "peer"]
    return all(any(checkpoint_dir(run, name).glob("round-*")) for name in peers or [COORDINATOR])


def check_run_dir(path: Path, file: Path | None = None, out: Path | None = None) -> None:
    """Raise `ExperimentError` for what is no run folder to resume, or with an experiment file or another folder."""
    if file is not None:
        raise ExperimentError(f"--resume {path}: brings its own experiment; leave out {file}")
    if out is not None:
        raise ExperimentError(f"--resume {path}: goes on in that folder; leave out --out {out}")
    if not path.is_dir():
        raise ExperimentError(f"--resume {path}: there is no such run folder")
    if not (path / "experiment.toml").is_file():
        raise ExperimentError(f"--resume {path}: is no run folder: it holds no experiment.toml")


class RunDir:
    """One run's folder; a context manager, because the last events are buffered.

    An existing run goes on after the round `resumed`; `damaged` are states of peers that could not be read, and were
    skipped; `earlier` is what its previous incarnations took; `refused` is why events could not be written, if they
    could not. Events take about `max_log_bytes`; of what is older, the rounds are kept. Raises `ExperimentError` if a
    new folder is not empty or cannot be created, or another process is writing to an existing one.
    """

    def __init__(
        self,
        path: Path,
        *,
        existing: bool = False,
        resumed: int | None = None,
        damaged: tuple[str, ...] = (),
        max_log_bytes: int = Experiment.max_log_bytes,
    ) -> None:
        self.path, self.resumed, self.damaged = path, resumed, damaged
        self.refused: str | None = None
        self._is_new = not existing
        self._untold: list[str] = []
        self._refused_files: set[str] = set()
        self._has_dropped = False
        self.earlier = of_events(read_events(path), read_summary(path)) if existing else Earlier()
        if not existing:
            _create(path)
        try:
            with _usable(path):
                self._events = EventLog(path, max_log_bytes, self._dropping)
        except LogInUse:
            reason = f"{path}: another process is writing to this run folder; stop it first{see('run-folder-in-use')}"
            raise ExperimentError(reason) from None
        self._flushed = time.monotonic()

    def __enter__(self) -> "RunDir":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def checkpoint_dir(self, role: str, name: str) -> Path:
        return checkpoint_dir(self.path.absolute(), COORDINATOR if role == "coordinator" else name)

    def write_experiment(self, experiment: Experiment) -> None:
        """Write it, first of all: where even that is refused, a new folder is left empty, and can be used again."""
        try:
            self._write_experiment(experiment)
        except ExperimentError:
            if self._is_new:
                _empty(self.path)
            raise

    def _write_experiment(self, experiment: Experiment) -> None:
        with _usable(self.path):
            if is_described(experiment.data.preprocess):
                write_atomically(self.path / PREPROCESS, _indented(msgspec.json.decode(experiment.data.preprocess)))
                experiment = replace(experiment, data=replace(experiment.data, preprocess=PREPROCESS))
            write_atomically(self.path / "experiment.toml", experiment.to_toml())

    def write_nodes(self, nodes: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``{node: {"role", "pid", "address"}}``; by the broker's entry, monitors find it."""
        write_atomically(self.path / "nodes.json", _indented(nodes))

    def renew_nodes(self, nodes: Mapping[str, Mapping[str, Any]]) -> str | None:
        """Write them again in mid-run. A full disk ends no run: why that was not possible is returned."""
        try:
            self.write_nodes(nodes)
        except OSError as error:
            return f"{self.path / 'nodes.json'} is not up to date: {error.strerror or error}{see('not-written')}"
        return None

    def record(self, event: Mapping[str, Any]) -> str | None:
        """Append one event as a line. A full disk ends no run: why events cannot be written is returned, once."""
        with self._noting_refusal():
            self._events.write(f"{to_json(event)}\n".encode())
        if time.monotonic() - self._flushed >= FLUSH_AFTER_S:
            self.flush()
        return self.refusal()

    def refusal(self) -> str | None:
        """Return why something could not be written, if that has not been returned yet."""
        return self._untold.pop(0) if self._untold else None

    def flush(self) -> None:
        with self._noting_refusal():
            self._events.flush()
        self._flushed = time.monotonic()

    @contextmanager
    def _noting_refusal(self, name: str = CURRENT) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.refused = f"{self.path / name} is not whole: {error.strerror or error}{see('not-written')}"
            if name not in self._refused_files:
                self._refused_files.add(name)
                self._untold.append(self.refused)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        write_atomically(self.path / "summary.json", _indented(summary))

    def write_rounds(
        self, mode: str, reported: Mapping[str, Sequence[Reported]], baseline: Mapping[str, float | None] | None = None
    ) -> None:
        """Write ``round_metrics.jsonl`` and ``curves.png``; imports matplotlib.

        They are made of what nodes have `reported` of their rounds, and of the events recorded so far. Of many rounds
        that takes seconds: not for an event loop.
        """

        self.flush()
        with self._noting_refusal():
            self._events.settle()
        rows: list[Row] = []
        with self._noting_refusal(ROUNDS):
            known = {name: dict(row for part in parts for row in rows_of(*part)) for name, parts in reported.items()}
            recorded = RecordedRounds(read_parts(*parts_of(self.path)))
            rows = run_rows(mode, recorded, known)
            if self._has_dropped:
                rows = with_dropped(rows, read_rows(self.path), recorded)
            elif self.resumed is not None:
                rows = with_earlier(rows, read_rows(self.path), self.resumed)
            self._write_rows(rows)
        self._draw(rows, baseline)

    def write_known_rounds(self, rows: Sequence[Row], baseline: Mapping[str, float | None] | None = None) -> None:
        """Write the same of rows that are known already."""
        with self._noting_refusal(ROUNDS):
            self._write_rows(rows)
        self._draw(rows, baseline)

    def _draw(self, rows: Sequence[Row], baseline: Mapping[str, float | None] | None) -> None:
        if not installed("matplotlib"):
            return  # which `not_written` says beforehand
        from .plots import draw_curves

        with self._noting_refusal("curves.png"):
            draw_curves(rows, self.path / "curves.png", baseline)

    def _write_rows(self, rows: Sequence[Row]) -> None:
        write_atomically(self.path / ROUNDS, "".join(f"{to_json(row)}\n" for row in rows))

    def _dropping(self, part: Path) -> None:
        """Keep of a part of the events what the rounds were, and what a summary of all incarnations is made of.

        A part may be long, and a run longer: of neither is more held than of some rounds.
        """
        recorded = RecordedRounds()
        with changing_rows(self.path) as rows:
            if not self._has_dropped and self.resumed is not None:
                rows.take(self.resumed + 1)  # what was done after the last checkpoint is done again
            for count, event in enumerate(at_leisure(read_parts(part), self._events.in_haste), 1):
                recorded.add(event)
                if count % AT_A_TIME == 0:
                    _add_rows(rows, recorded.take(max(recorded.numbers, default=0) - STILL_OPEN))
            _add_rows(rows, recorded.take())
        lines = kept_of(at_leisure(read_parts(self.path / FIRST, part), self._events.in_haste))
        write_atomically(self.path / FIRST, "".join(f"{to_json(line)}\n" for line in lines))
        self._has_dropped = True

    def close(self) -> None:
        with self._noting_refusal():
            self._events.close()


def _add_rows(rows: RowsFile, recorded: RecordedRounds) -> None:
    """Add what was recorded of further rounds; a round may be among the last ones already."""
    first = min(recorded.numbers, default=math.inf)
    before = rows.take(first if recorded.rewound is None else min(first, recorded.rewound + 1))
    new = with_dropped(run_rows(recorded.mode, recorded, {}), before, recorded)
    rows.add(f"{to_json(row)}\n".encode() for row in new)


def read_summary(path: Path) -> dict[str, Any]:
    """Return ``summary.json`` of a run folder; empty if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((path / "summary.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}


def read_nodes(path: Path) -> dict[str, dict[str, Any]]:
    """Return ``nodes.json`` of a run folder; empty if there is none, or it cannot be read."""
    try:
        return msgspec.json.decode((path / "nodes.json").read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.DecodeError):
        return {}


NODES_LOG = "nodes.log"
"""What the processes of a launch say; a node that was started by itself has none."""

KEYS = "keys"
"""Where a launch that leaves this machine keeps its keys, for as long as it runs."""


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _create(path: Path) -> None:
    try:
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        occupied = any(path.iterdir())
    except OSError as error:
        raise ExperimentError(f"--out {path}: cannot be used as a run folder: {error.strerror}") from None
    if occupied:
        raise ExperimentError(f"--out {path}: exists and is not empty; choose another folder, or remove it")


def _empty(path: Path) -> None:
    """Empty a folder in which nothing has been recorded."""
    with suppress(OSError):
        if not (path / CURRENT).stat().st_size:
            for name in (CURRENT, PREPROCESS):
                (path / name).unlink(missing_ok=True)


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExperimentError(f"{path}: cannot be used as a run folder: {error.strerror or error}") from None


def _indented(value: object) -> str:
    return msgspec.json.format(to_json(value), indent=2) + "\n"
