"""A run's figures go where others are: from its folder, or while it goes on, which no exporter holds up."""

from __future__ import annotations

import json
import os
import posixpath
import re
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nervenet.models.extras import MissingExtra
from nervenet.nodes.config.keys import ExperimentError
from nervenet.nodes.exporting import exporters, live, to_opentelemetry
from nervenet.nodes.exporting.export import export_run
from nervenet.nodes.exporting.exporters import ExportedRun, exporter_class, figures_of
from nervenet.nodes.exporting.live import CompletedRounds, LiveExport
from nervenet.nodes.exporting.to_mlflow import ToMLflow

ROWS = [{"round": n, "loss": 1 / n, "accuracy": 0.5 + n / 10, "closed_by": "all", "duration_s": 0.5} for n in (1, 2, 3)]


def event(kind: str, node: str, role: str, at: float, **more: Any) -> dict[str, Any]:
    head = {"type": kind, "run": "r", "node": node, "role": role, "incarnation": 1, "seq": 1, "time": at}
    return {**head, **more}


def federated(rounds: int) -> Iterator[dict[str, Any]]:
    yield event("run.started", "launcher", "launcher", 99.0, mode="federated")
    for number in range(1, rounds + 1):
        end = 100.0 + number
        for name in ("a", "b"):
            yield event("metric.local", name, "client", end - 0.25, round=number, duration_s=0.5, loss=0.4)
        times = {"duration_s": 1.0, "waiting_s": 0.875, "folding_s": 0.125}
        yield event("round.completed", "coordinator", "coordinator", end, round=number, closed_by="all", **times)
        yield event("metric.test", "coordinator", "coordinator", end, round=number, accuracy=0.9, loss=0.2)
    yield event("run.completed", "launcher", "launcher", 200.0, status="completed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run = tmp_path / "first"
    run.mkdir()
    (run / "experiment.toml").write_text('mode = "federated"\n[training]\nepochs = 5\n', encoding="utf-8")
    (run / "round_metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (run / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in federated(3)), encoding="utf-8")
    (run / "summary.json").write_text('{"status": "completed"}', encoding="utf-8")
    return run


class Noting:
    """An exporter that notes what it is given, and may be held or fail."""

    needs = "json"
    noted: list[Any]
    held: threading.Event | None = None
    fails = False

    def __init__(self, where: str, run: ExportedRun) -> None:
        self.noted += [(where, run.name, dict(run.settings))]

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        if self.held is not None:
            self.held.wait(60)
        if self.fails:
            raise OSError("no space left")
        self.noted.append((number, dict(figures)))

    def close(self, status: str) -> None:
        self.noted.append(status)


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> type[Noting]:
    cls = type("Another", (Noting,), {"noted": []})
    monkeypatch.setitem(exporters.EXPORTERS.builtin, "noting", cls)  # type: ignore[index]
    return cls


def test_a_run_folder_is_exported_in_the_order_of_its_rounds(folder: Path, noting: type[Noting]) -> None:
    assert export_run(folder, "noting", "there") == 3
    first, *rounds, status = noting.noted
    assert first == ("there", "first", {"mode": "federated", "training.epochs": 5})
    assert rounds[1] == (2, {"loss": 0.5, "accuracy": 0.7, "duration_s": 0.5})
    assert [number for number, _ in rounds] == [1, 2, 3]
    assert status == "completed"


def test_of_a_run_that_goes_on_its_events_say_what_there_is(folder: Path, noting: type[Noting]) -> None:
    (folder / "round_metrics.jsonl").unlink()
    (folder / "summary.json").unlink()
    assert export_run(folder, "noting", "") == 3
    assert noting.noted[-1] == ""


def test_what_is_no_number_is_left_out() -> None:
    row = {"round": 3, "loss": float("nan"), "closed_by": "all", "closings": {"all": 2}, "peers": 2}
    assert figures_of(row) == {"peers": 2.0}


def test_another_name_a_missing_package_and_another_folder_are_said(
    tmp_path: Path, noting: type[Noting], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExperimentError, match=r"--export = 'mlfow': expected one of mlflow, .*did you mean mlflow"):
        exporter_class("mlfow")
    with pytest.raises(ExperimentError, match="is no run folder"):
        export_run(tmp_path, "noting", "")
    monkeypatch.setattr("nervenet.models.extras.installed", lambda _: False)
    with pytest.raises(MissingExtra, match=r'the export to wandb needs wandb; .* "nervenet\[wandb\]"'):
        exporter_class("wandb")


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_an_exporter_is_a_short_file(name: str) -> None:
    source = Path(exporters.__file__).with_name(f"to_{name}.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) < 50


def test_a_round_is_done_when_its_model_was_measured() -> None:
    rounds, seen = CompletedRounds(), []
    for each in federated(3):
        seen += [(row["round"], row.get("accuracy")) for row in rounds.take(each)]
    assert seen == [(1, 0.9), (2, 0.9)]
    assert [row["round"] for row in rounds.rest()] == [3]
    assert rounds.rest() == []


def test_a_round_of_peers_is_done_when_all_who_live_are_beyond_it() -> None:
    def done(peer: str, number: int) -> list[int]:
        found = event("round.completed", peer, "peer", 1.0, round=number, closed_by="all", loss=0.1)
        return [row["round"] for row in rounds.take(found)]

    rounds = CompletedRounds()
    for peer in ("a", "b"):
        rounds.take(event("node.ready", peer, "peer", 0.0))
    assert [done("a", 1), done("a", 2), done("b", 1), done("b", 2)] == [[], [], [], [1]]
    rounds.take(event("node.lost", "launcher", "launcher", 1.0, subject="b", reason="its process has ended"))
    assert done("a", 3) == [2]


def test_a_run_is_exported_while_it_goes_on(folder: Path, noting: type[Noting]) -> None:
    said = list[str]()
    export = LiveExport("noting", "", [folder], said.append)
    for each in federated(3):
        export.take(each)
    export.close()
    assert [each[0] for each in noting.noted[1:-1]] == [1, 2, 3]
    assert (noting.noted[-1], said) == ("completed", [])


def test_an_exporter_that_fails_ends_and_is_said_once(folder: Path, noting: type[Noting]) -> None:
    noting.fails = True
    said = list[str]()
    export = LiveExport("noting", "", [folder], said.append)
    for each in federated(5):
        export.take(each)
    export.close()
    assert said == ["the export to noting has ended: OSError: no space left"]


@pytest.mark.parametrize("as_it_was", [False, True])
def test_an_exporter_that_fails_at_the_end_holds_nobody_up(
    folder: Path, noting: type[Noting], monkeypatch: pytest.MonkeyPatch, as_it_was: bool
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no space left")

    def wait_for_the_end(self: LiveExport) -> None:
        run(self)
        while self._queue.get() is not None:
            pass

    run = LiveExport._run
    monkeypatch.setattr(noting, "close", fails)
    if as_it_was:
        monkeypatch.setattr(LiveExport, "_run", wait_for_the_end)
    said, told = list[str](), threading.Event()
    export = LiveExport("noting", "", [folder], lambda text: (said.append(text), told.set()))  # type: ignore[func-returns-value]
    export.take(next(federated(1)))
    ending = threading.Thread(target=export.close)
    ending.start()
    assert told.wait(60)
    ending.join(0.5 if as_it_was else 30)
    assert ending.is_alive() == as_it_was
    assert said == ["the export to noting has ended: OSError: no space left"]
    export.close()
    ending.join(60)


def test_rounds_that_are_held_back_are_handed_over_while_the_run_goes_on(
    folder: Path, noting: type[Noting], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = threading.Event()
    monkeypatch.setattr(noting, "flush", lambda _: flushed.set(), raising=False)
    export = LiveExport("noting", "", [folder], print)
    for each in federated(3):
        export.take(each)
    assert flushed.wait(60)
    assert noting.noted[-1] != "completed", "it is not over"
    export.close()
    assert noting.noted[-1] == "completed"


def test_what_fails_of_an_export_is_a_line(folder: Path, noting: type[Noting]) -> None:
    noting.fails = True
    with pytest.raises(ExperimentError, match=r"^the export to noting at there failed: OSError: no space left$"):
        export_run(folder, "noting", "there")


def test_an_exporter_that_hangs_holds_up_neither_the_run_nor_its_end(
    folder: Path, noting: type[Noting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HELD", 10)
    noting.held = threading.Event()
    said = list[str]()
    export = LiveExport("noting", "", [folder], said.append)
    for each in federated(1000):
        export.take(each)
    export.close(0.01)
    assert said == ["the export to noting has not ended within 0.01 s: its last rounds are missing"]
    noting.held.set()
    export.close()
    assert "was too slow: it misses " in said[1]


def records(path: Path) -> Iterator[bytes]:
    """Yield what a file of TensorBoard holds: length and checksum, the record, its checksum."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        length = struct.unpack_from("<Q", data, at)[0]
        yield data[at + 12 : at + 12 + length]
        at += 16 + length


def test_tensorboard_reads_a_run(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    from tensorboardX.proto.event_pb2 import Event

    export_run(folder, "tensorboard", str(tmp_path / "board"))
    values = [
        (each.step, value.tag, round(value.simple_value, 3))
        for record in records(next((tmp_path / "board" / "first").iterdir()))
        for each in [Event.FromString(record)]
        for value in each.summary.value
        if value.HasField("simple_value")
    ]
    assert [(step, value) for step, tag, value in values if tag == "accuracy"] == [(1, 0.6), (2, 0.7), (3, 0.8)]
    assert {tag for _, tag, _ in values} == {"accuracy", "loss", "duration_s"}


@pytest.mark.e2e
def test_mlflow_reads_a_run(folder: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="sqlalchemy, which MLflow keeps runs by, is not installed")
    where = f"sqlite:///{tmp_path / 'mlflow.db'}"
    export_run(folder, "mlflow", where)
    client = mlflow.MlflowClient(tracking_uri=where)
    (run,) = client.search_runs([client.get_experiment_by_name("nervenet").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["training.epochs"]) == ("first", "FINISHED", "5")
    history = client.get_metric_history(run.info.run_id, "accuracy")
    assert [(each.step, round(each.value, 3)) for each in history] == [(1, 0.6), (2, 0.7), (3, 0.8)]


class Printing:
    """Stands in for MLflow's client, which prints two addresses at the end of a run that a server keeps."""

    def __init__(self, tracking_uri: str | None) -> None:
        self.uri = tracking_uri

    def get_experiment_by_name(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(experiment_id=name)

    def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id=experiment + run_name))

    def log_batch(self, *_: Any, **__: Any) -> None:
        pass

    def set_terminated(self, run: str, status: str) -> None:
        if os.environ.get("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT") != "true":
            print(f"View run {run} at {self.uri}: {status}")


def printed_by_mlflow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], set_to: str | None) -> str:
    entities = SimpleNamespace(Param=lambda *_: None, Metric=lambda *_: None)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Printing, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    for name in ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # so that it is as it was, afterwards
        monkeypatch.delenv(name)
    if set_to is not None:
        monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", set_to)
    ToMLflow("http://h:1", ExportedRun("first", {})).close("completed")
    return capsys.readouterr().out


def test_mlflow_leaves_standard_output_to_the_events(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed_by_mlflow(monkeypatch, capsys, None) == ""


def test_who_wants_its_addresses_there_has_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed_by_mlflow(monkeypatch, capsys, "false") == "View run nervenetfirst at http://h:1: FINISHED\n"


COLUMNS = {f"data.columns.{name}.kind": name for name in ("dose (mg)", "dose [mg]", "Größe", "a//b", "%", "x" * 300)}


def refused_by_mlflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The parameters of a run with odd columns whose names MLflow 3 would not take, and in their place nothing."""
    told: list[tuple[str, str]] = []
    entities = SimpleNamespace(Param=lambda *param: told.append(param), Metric=None)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=Printing, entities=entities))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    for name in ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "true")
    ToMLflow("", ExportedRun("first", COLUMNS)).close("completed")
    assert [value for _, value in told] == list(COLUMNS.values())
    assert len({name for name, _ in told}) == len(COLUMNS)

    def taken(name: str) -> bool:
        return bool(re.fullmatch(r"[/\w.\- :]*", name)) and len(name) <= 250 and posixpath.normpath(name) == name

    return {name: value for name, value in told if not taken(name)}


def test_whatever_columns_are_called_mlflow_takes_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused_by_mlflow(monkeypatch) == {}


def test_by_their_own_names_it_would_refuse_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nervenet.nodes.exporting.to_mlflow.plain_settings", lambda settings: settings)
    assert len(refused_by_mlflow(monkeypatch)) == 5


@pytest.mark.e2e
def test_weights_and_biases_keeps_a_run_for_later(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    from wandb.proto.wandb_internal_pb2 import Record

    export_run(folder, "wandb", str(tmp_path))
    data, at, steps = next(tmp_path.glob("wandb/offline-*/*.wandb")).read_bytes(), 7, []
    while at + 7 <= len(data):  # records of the LevelDB log format, of which these few fill no block
        length, kind = struct.unpack_from("<HB", data, at + 4)
        assert kind == 1
        record = Record.FromString(data[at + 7 : at + 7 + length])
        if record.HasField("history"):
            values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            steps.append((record.history.step.num, round(values["accuracy"], 3)))
        at += 7 + length
    assert steps == [(1, 0.6), (2, 0.7), (3, 0.8)]


def test_a_run_is_a_trace_with_a_span_for_each_round_and_its_parts(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    export_run(folder, "opentelemetry", str(tmp_path / "spans.jsonl"))
    spans = [json.loads(line) for line in (tmp_path / "spans.jsonl").read_text().splitlines()]
    assert len({span["context"]["trace_id"] for span in spans}) == 1
    (root,) = [span for span in spans if span["parent_id"] is None]
    assert (root["name"], root["attributes"]["status"]) == ("first", "completed")
    rounds = [span for span in spans if span["name"] == "round"]
    assert [span["attributes"]["round"] for span in rounds] == [1, 2, 3]
    assert {span["parent_id"] for span in rounds} == {root["context"]["span_id"]}
    parts = [span for span in spans if span["parent_id"] == rounds[1]["context"]["span_id"]]
    assert sorted(span["name"] for span in parts) == ["fold", "send", "send", "train", "train", "wait"]
    times = {span["name"]: (span["start_time"][17:], span["end_time"][17:]) for span in parts}
    assert times["wait"] == ("41.000000Z", "41.875000Z")
    assert times["train"] == ("41.250000Z", "41.750000Z")
    assert times["fold"] == ("41.875000Z", "42.000000Z")


@pytest.mark.parametrize("as_it_was", [False, True])
def test_no_span_is_dropped_of_a_run_with_many(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_it_was: bool
) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "32")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "32")
    monkeypatch.setattr(to_opentelemetry, "AT_ONCE", 10**9 if as_it_was else 16)
    (folder / "events.jsonl").write_text("".join(json.dumps(each) + "\n" for each in federated(500)))
    export_run(folder, "opentelemetry", str(tmp_path / "spans.jsonl"))
    spans = (tmp_path / "spans.jsonl").read_text().splitlines()
    assert (len(spans) < 500 * 7 + 1) == as_it_was


def test_a_collector_that_is_not_there_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    pytest.importorskip("opentelemetry.exporter", reason="its exporter is not installed")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ExperimentError, match="failed: OSError: the collector has not taken 22 of 22 spans"):
            export_run(folder, "opentelemetry", where)


def test_a_round_of_a_peer_has_what_it_says_of_itself(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")
    exporter: Any = exporter_class("opentelemetry")(str(tmp_path / "spans.jsonl"), ExportedRun("r"))
    times = {"duration_s": 1.0, "waiting_s": 0.25, "mixing_s": 0.125}
    exporter.event(event("round.completed", "a", "peer", 102.0, round=1, closed_by="all", **times))
    exporter.close("failed")
    spans = [json.loads(line) for line in (tmp_path / "spans.jsonl").read_text().splitlines()]
    times = {span["name"]: (span["start_time"][17:], span["end_time"][17:]) for span in spans}
    assert times["train"] == ("41.000000Z", "41.625000Z")
    assert times["wait"] == ("41.625000Z", "41.875000Z")
    assert times["mix"] == ("41.875000Z", "42.000000Z")
    assert next(span["status"] for span in spans if span["name"] == "r")["status_code"] == "ERROR"
