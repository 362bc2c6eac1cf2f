"""describe: what several sites together know of their tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nervenet.models.agreement.questions import settle
from nervenet.models.describe.description import Description
from nervenet.models.describe.questions import DescribeOptions, describe_questions
from nervenet.models.describe.site import MIN_ROWS, SiteDescriber
from nervenet.models.tables.columns import read_columns
from nervenet.models.tables.options import ReadOptions


async def describe(
    files: Sequence[Path | str],
    *,
    min_rows: int = MIN_ROWS,
    bins: int = 20,
    correlations: bool = False,
    options: ReadOptions | None = None,
    on_note: Callable[[str], None] | None = None,
    **_: Any,
) -> Description:
    """Return the statistics of the columns of several files, one site each."""
    names = {Path(file).name.split(".")[0]: Path(file) for file in files}

    def tables() -> Mapping[str, SiteDescriber]:
        found = {}
        for name, path in names.items():
            table, notes = read_columns(path, options)
            for note in notes:
                (on_note or (lambda _: None))(note)
            found[name] = SiteDescriber(table, min_rows)
        return found

    asked = DescribeOptions(min_rows, bins, correlations)
    sites = await asyncio.to_thread(tables)
    return settle(describe_questions(asked), {name: site.answer for name, site in sites.items()})
