"""describe: what several sites together know of their tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nervenet.models.agreement.questions import settle
from nervenet.models.data.data import DataError
from nervenet.models.describe.description import Description
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import MIN_ROWS, SiteDescriber
from nervenet.models.tables.options import ReadOptions
from nervenet.models.tables.suffixes import why_no_file
from nervenet.models.tables.table import Table

from ..config.site_names import repeated, site_names

if TYPE_CHECKING:
    from ..launching.forkserver_client import ForkServerClient


async def describe(
    sites: Path | str | Sequence[Path | str] | Mapping[str, Any],
    *,
    min_rows: int = MIN_ROWS,
    bins: int = 20,
    correlations: bool = False,
    options: ReadOptions | None = None,
    on_note: Callable[[str], None] | None = None,
    fork_server: ForkServerClient | None = None,
) -> Description:
    """Return the statistics of every column, of all sites together and of each, without a row or a small count.

    Parameters
    ----------
    sites
        Files, each read and answered for by a process of its own; or by name: files, or data frames (pandas, polars,
        pyarrow), which are answered for in this process.
    min_rows
        The floor: a site, or a column of one, with fewer values is left out, and no count below it is shown.
    bins
        Bins of a histogram, at most, besides those of long tails.
    correlations
        Whether to ask for those of every two columns of numbers, too.
    options
        How files are read: columns to `drop`, and which are `categorical`, `numeric` or `date`.
    on_note
        Called with each line about how a file was read.
    fork_server
        Forks the processes, where it was started earlier. It is closed at the end.

    Returns
    -------
    Description
        Its `to_dict()` is what docs/describe.md describes.

    Raises
    ------
    DataError
        For a file or frame that cannot be described, naming it and the place.
    IncompatibleSites, NodeFailed
        No site has as many rows as the floor; a process ended before its time.
    """
    asked = DescribeOptions(min_rows, bins, correlations)
    sites = [sites] if isinstance(sites, str | Path) else sites
    given = dict(sites) if isinstance(sites, Mapping) else site_names(sites)
    if not given:
        raise DataError("there are no sites to describe: give a file or more")
    if not all(isinstance(site, str | Path) for site in given.values()):
        return await asyncio.to_thread(_in_memory, given, asked)
    from .spawned import describe_files

    files = {name: Path(file) for name, file in sorted(given.items())}
    for file in files.values():
        if why := why_no_file(file):
            raise DataError(f"{file}: {why}")
    note = on_note or (lambda _: None)
    for line in repeated(list(files.values())):
        note(f"warning: {line}")
    return await describe_files(files, asked, options or ReadOptions(), fork_server=fork_server, on_note=note)


def _in_memory(frames: Mapping[str, Any], asked: DescribeOptions) -> Description:
    from nervenet.models.tables.frames import table_of

    tables = {name: frame if isinstance(frame, Table) else table_of(frame, what=name) for name, frame in frames.items()}
    sites = {name: SiteDescriber(table, asked.min_rows).answer for name, table in tables.items()}
    return settle(describe_questions(asked), sites)
