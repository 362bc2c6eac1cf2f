"""``nervenet describe``: federated statistics of several files, one node each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nervenet.models.describe.description import Description
    from nervenet.models.tables.options import ReadOptions


Command = TypeVar("Command", bound="Callable[..., Any]")


def columns_option(name: str, text: str) -> Callable[[Command], Command]:
    return click.option(name, metavar="COLUMN,…", multiple=True, help=text)


@click.command()
@click.option(
    "--data",
    metavar="FILE…",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="The sites' files, one node each; sites are called as their files are.",
)
@click.argument("more", metavar="[FILE]…", nargs=-1, type=click.Path(path_type=Path), help="More files.")
@click.option("--min-rows", metavar="N", type=click.IntRange(1), default=10, show_default=True, help=(
    "A site, or a column of one, with fewer values is left out, and no count below it is shown."))  # fmt: skip
@click.option("--bins", metavar="N", type=click.IntRange(1, 1000), default=20, show_default=True, help=(
    "Bins of a histogram, at most."))  # fmt: skip
@click.option("--correlations", is_flag=True, help="Also of every two columns of numbers.")
@columns_option("--drop", "Columns that are left out.")
@columns_option("--categorical", "Columns of categories, though they look like numbers.")
@columns_option("--numeric", "Columns of numbers.")
@columns_option("--date", "Columns of dates.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder for description.json and page.html")
@click.option("--json", is_flag=True, help="The whole description as JSON on standard output.")
@click.pass_obj
def describe(
    early: Mapping[str, Any] | None,
    /,
    data: tuple[Path, ...],
    more: tuple[Path, ...],
    min_rows: int,
    bins: int,
    correlations: bool,
    out: Path | None,
    json: bool,
    **columns: tuple[str, ...],
) -> None:
    """Describe the tables of several sites, of which none hands out its rows.

    Counts, gaps, means, exact quartiles, histograms, categories and dates: of all sites together and of each, without a
    small count. What each site gave away for it is listed.
    """
    from nervenet.nodes.describing.files import check_out, write_description
    from nervenet.nodes.results.run_dir import to_json
    from nervenet.nodes.runtime.printable import printable

    from .description_table import print_description
    from .signals import run

    if out is not None:
        check_out(out)
    options = _options(columns)
    asked = {"min_rows": min_rows, "bins": bins, "correlations": correlations, "options": options}

    def note(text: str) -> None:
        print(printable(text), file=sys.stderr, flush=True)

    fork_server = (early or {}).get("fork_server")
    found = run(lambda: _describe((*data, *more), **asked, on_note=note, fork_server=fork_server)).to_dict()
    for name, column in found["columns"].items():
        if column["kind"] == "mixed":
            note(f"warning: column {name} is {column['note']}")
    written = () if out is None else write_description(found, out)
    if json:
        print(to_json(found), flush=True)
        return
    from nervenet.models.extras import installed

    print_description(found, sys.stdout, rich=sys.stdout.isatty() and installed("rich"))
    for path in written:
        print(printable(path))


async def _describe(files: tuple[Path, ...], **asked: Any) -> Description:
    from nervenet.nodes.describing.describe import describe as start

    return await start(files, **asked)


def _options(columns: Mapping[str, tuple[str, ...]]) -> ReadOptions:
    from nervenet.models.tables.options import ReadOptions

    listed = {key: tuple(name for text in texts for name in text.split(",")) for key, texts in columns.items()}
    return ReadOptions(
        drop=listed["drop"], categorical=listed["categorical"], numeric=listed["numeric"], date=listed["date"]
    )
