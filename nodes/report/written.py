"""Pages as files; what makes them is imported when the first is written."""

from __future__ import annotations

from pathlib import Path

from nervenet.broker.errors import see
from nervenet.models.atomic_file import replacing

FILE = "report.html"


def write_report(path: Path) -> str | None:
    """Write ``report.html`` of a run folder; return why that was not possible, since no run ends because of it."""
    try:
        from .record import read_record
        from .run_report import report_page

        write_page(path / FILE, report_page(read_record(path)))
    except OSError as error:
        return f"{path / FILE} is not written: {error.strerror or error}{see('not-written')}"
    except Exception as error:  # noqa: BLE001  (whatever stands in a folder: the run is over, and its result is there)
        return f"{path / FILE} is not written: {type(error).__name__}: {error}"
    return None


def write_page(file: Path, text: str) -> None:
    """Replace a page in one step."""
    with replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
