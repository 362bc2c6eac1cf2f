"""``nervenet compare``: several run folders side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nervenet.nodes.report.record import RunRecord

WIDEST = 40  # characters of a cell; a list of a hundred sites is in --json


@click.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", is_flag=True, help="Print one JSON object: the figures of each run, and what differs.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Also write a page with curves, .html.")
def compare(runs: tuple[Path, ...], json: bool, out: Path | None) -> None:
    """Show the figures of runs side by side, and what their configurations differ in.

    RUN is a run folder, also of a run that failed, was interrupted or goes on. The page needs no network.
    """
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.report.record import read_record

    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise ExperimentError(f"--out {out}: expected the name of an .html file")
    records = [read_record(run) for run in runs]
    if out is not None:
        _write(records, out)
    if json:
        from nervenet.nodes.report.comparison import differences, figures_of
        from nervenet.nodes.results.run_dir import to_json

        say(to_json({"runs": [figures_of(record) for record in records], "differences": differences(records)}))
        return
    for line in table_lines(records):
        say(line)
    if out is not None:
        say(out)


def table_lines(records: Sequence[RunRecord]) -> list[str]:
    """Return the lines of the table, a column for each run."""
    from nervenet.nodes.report.comparison import compared_rows, labels_of
    from nervenet.nodes.runtime.printable import printable

    rows = [tuple(map(printable, row)) for row in (("", *labels_of(records)), *compared_rows(records))]
    rows = [tuple(_short(cell) for cell in row) for row in rows]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = (
        "   ".join([f" {label:<{wide[0]}}", *(f"{cell:>{width}}" for cell, width in zip(cells, wide[1:], strict=True))])
        for label, *cells in rows
    )
    return [head, " " + "─" * (len(head) - 1), *body]


def _short(cell: str) -> str:
    return cell if len(cell) <= WIDEST else f"{cell[: WIDEST - 1]}…"


def _write(records: Sequence[RunRecord], out: Path) -> None:
    from nervenet.nodes.config.keys import ExperimentError
    from nervenet.nodes.report.comparison import comparison_page
    from nervenet.nodes.report.written import write_page

    try:
        write_page(out, comparison_page(records))
    except OSError as error:
        raise ExperimentError(f"--out {out}: cannot be written: {error.strerror}") from None
