"""``report.html``: one run as a page that needs nothing else."""

from __future__ import annotations

from . import sections
from .page import element, page
from .record import RunRecord

PARTS = (
    sections.figures,
    sections.curves,
    sections.nodes,
    sections.confusion,
    sections.classes,
    sections.disturbances,
    sections.timing,
    sections.configuration,
    sections.repeat,
)


def report_page(record: RunRecord) -> str:
    """Return the report of a run, its outcome first."""
    title = sections.title(record)
    folder = element("p", f"run folder {record.name}", class_="quiet")
    body = [part(record) for part in PARTS]
    return page(title, element("h1", title), sections.outcome(record), folder, *body)
