"""An audit log for people: a row for each record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("record", "time (UTC)", "what", "who", "about", "round", "rows", "bytes", "sha256", "decision")


def row(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a record, in the order of `COLUMNS`."""
    kind = str(record.get("kind"))
    size = record.get("bytes")
    return (
        str(record.get("n", "")),
        str(record.get("time", ""))[:19].replace("T", " "),
        kind,
        _who(record),
        _about(record),
        str(record.get("round", "")),
        str(record.get("examples", "")),
        "" if size is None else f"{size:,}",
        str(record.get("sha256", ""))[:12],
        _decision(kind, record),
    )


def _who(record: Mapping[str, Any]) -> str:
    names = record.get("to", record.get("from"))
    if names is None:
        return " ".join(str(record[key]) for key in ("role", "node") if key in record)
    shown = ", ".join(map(str, names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def _about(record: Mapping[str, Any]) -> str:
    kind = record.get("kind")
    if kind == "opened":
        return f"run {record.get('run')}, nervenet {record.get('version')}"
    if kind == "unrecorded":
        return f"{record.get('records')} records are missing"
    parts = [record.get(key) for key in ("message", "work", "question", "strategy")]
    parts += [f"of {record['origin']}"] if "origin" in record else []
    return " ".join(str(part) for part in parts if part)


def _decision(kind: str, record: Mapping[str, Any]) -> str:
    if kind == "closed":
        return str(record.get("reason", ""))
    if record.get("message") == "declined":
        return f"declined: {record.get('reason', '')}"
    if kind == "sent" and record.get("message") == "update":
        return "answered"
    return ""
