"""What a site's own file is, as far as others will hear of it: its columns, its target, its number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.keys import ExperimentError
from ..config.schema import is_file_name

if TYPE_CHECKING:
    from ..config.schema import Experiment

MOST_BYTES = 2**25  # of a file that is read only to be shown: a second or two


@dataclass(frozen=True)
class SiteRows:
    """The file that a site brings. Without `columns` it was too large to be read for that."""

    file: str
    rows: int = 0
    columns: tuple[str, ...] = ()
    target: str = ""
    test_size: float = 0.0


def rows_of(experiment: Experiment) -> SiteRows:
    """Read the rows that a site brings, for its owner to see what will be told of them.

    Raises
    ------
    DataError, ExperimentError
        They are not there, or not as the site says.
    """
    data = experiment.data
    path = Path(data.name).expanduser()
    if is_file_name(data.name):
        try:
            size = path.stat().st_size
        except OSError as error:
            raise ExperimentError(f"data.name = {data.name!r}: cannot be read: {error.strerror}") from None
        if size > MOST_BYTES or path.is_dir():
            return SiteRows(data.name)
    from nervenet.models import datasets

    found = datasets.load(data.name, task=data.task, options=data.options)
    return SiteRows(data.name, len(found.y), tuple(map(str, found.columns)), found.target, data.test_size)
