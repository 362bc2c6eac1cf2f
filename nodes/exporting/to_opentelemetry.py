"""Runs as traces of OpenTelemetry: a trace a run, a span a round of each node, and in it what the time went into.

All from events, with the times that nodes say: a node makes no span, and waits for nobody who collects them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .exporters import ExportedRun

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

AT_ONCE = 512  # spans, after which those that wait are sent: beyond 2048 the library would drop them
ROUNDS = 8  # whose trainings are kept until the coordinator says that the round is complete
ATTRIBUTES = ("round", "node", "closed_by", "loss", "bytes_sent", "bytes_received", "staleness_mean", "age")


class ToOpenTelemetry:
    """`where` is the address of a collector (OTLP over HTTP), or a file of a JSON line a span.

    By default a collector, as the environment says (OTEL_EXPORTER_OTLP_ENDPOINT).
    """

    needs = "opentelemetry"

    def __init__(self, where: str, run: ExportedRun) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._file: IO[str] | None = None
        self._refused = 0  # spans that a collector did not take, which the library only logs
        exporter = self._exporter(where)
        about = {"service.name": "nervenet", **{f"nervenet.{key}": value for key, value in run.settings.items()}}
        # A provider of its own, and not the process's: an application may have one.
        self._provider = TracerProvider(resource=Resource.create(about), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("nervenet")
        self._name, self._root = run.name, None
        self._last = 0.0
        self._made = 0
        self._trainings: dict[int, list[Mapping[str, Any]]] = defaultdict(list)

    def _exporter(self, where: str) -> SpanExporter:
        if where and not where.startswith(("http://", "https://")):
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            self._file = Path(where).open("a", encoding="utf-8")  # noqa: SIM115 - closed with the exporter
            return ConsoleSpanExporter(out=self._file, formatter=lambda span: span.to_json(indent=None) + "\n")
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import SpanExportResult

        def export(spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result: SpanExportResult = to_collector(spans)
            self._refused += 0 if result is SpanExportResult.SUCCESS else len(spans)
            return result

        exporter = OTLPSpanExporter(endpoint=where or None)
        to_collector, exporter.export = exporter.export, export
        return exporter

    def write(self, number: int, figures: Mapping[str, float]) -> None:
        """Do nothing: what spans are made of are events."""

    def event(self, event: Mapping[str, Any]) -> None:
        kind, at, number = event.get("type"), event.get("time"), event.get("round")
        if not isinstance(at, int | float):
            return
        self._last = max(self._last, at)
        if self._root is None:
            self._root = self._span(self._name, None, at, {"run": event.get("run")})
        if kind == "metric.local" and event.get("role") == "client" and isinstance(number, int):
            self._trainings[number].append(event)
            for old in sorted(self._trainings)[:-ROUNDS]:
                del self._trainings[old]
        elif kind == "round.completed" and number and isinstance(event.get("duration_s"), int | float):
            self._round(event, at)

    def _round(self, event: Mapping[str, Any], end: float) -> None:
        begin, waiting = end - event["duration_s"], event.get("waiting_s")
        span = self._span("round", self._root, begin, {key: event.get(key) for key in ATTRIBUTES})
        if event.get("role") == "coordinator":
            for training in self._trainings.pop(event["round"], []):
                ended, node = training["time"], {"node": training.get("node"), "loss": training.get("loss")}
                began = max(begin, ended - (training.get("duration_s") or 0.0))
                self._part("send", span, begin, began, node)
                self._part("train", span, began, ended, node)
            if waiting is not None:
                self._part("wait", span, begin, begin + waiting, {})
            self._part("fold", span, end - (event.get("folding_s") or 0.0), end, {})
        elif waiting is not None:
            mixed = end - (event.get("mixing_s") or 0.0)
            self._part("train", span, begin, mixed - waiting, {})
            self._part("wait", span, mixed - waiting, mixed, {})
            self._part("mix", span, mixed, end, {})
        span.end(end_time=_ns(end))

    def _part(self, name: str, parent: Span, begin: float, end: float, attributes: Mapping[str, Any]) -> None:
        self._span(name, parent, begin, attributes).end(end_time=_ns(max(begin, end)))

    def _span(self, name: str, parent: Span | None, begin: float, attributes: Mapping[str, Any]) -> Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import set_span_in_context

        within = Context() if parent is None else set_span_in_context(parent, Context())
        self._made += 1
        if self._made % AT_ONCE == 0:
            self._provider.force_flush()
        known = {key: value for key, value in attributes.items() if isinstance(value, str | int | float)}
        return self._tracer.start_span(name, within, start_time=_ns(begin), attributes=known)

    def close(self, status: str) -> None:
        from opentelemetry.trace import Status, StatusCode

        if self._root is not None:
            self._root.set_attribute("status", status or "goes on")
            if status in ("failed", "interrupted"):
                self._root.set_status(Status(StatusCode.ERROR, status))
            self._root.end(end_time=_ns(self._last))
        self._provider.shutdown()
        if self._file is not None:
            self._file.close()
        if self._refused:
            raise OSError(f"the collector has not taken {self._refused} of {self._made} spans")


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
