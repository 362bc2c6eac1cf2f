"""ARFF files as raw tables.

Read here, since SciPy's reader refuses a file with a text attribute, which most mixed tables have, takes a ``?`` among
nominal values for a label, and names no line; scikit-learn's is private. All that is needed of the header is the names,
and that nominal attributes are categories, and strings no numbers: other kinds are told by the values.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..data.data import DataError
from .csv_file import Lines, check_header
from .dates import looks_like_date
from .options import USUAL_GAPS
from .raw import RawTable, Words
from .suffixes import kind_of
from .text_file import SAMPLE, decoded, encodings, opened

_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ATTRIBUTE = re.compile(rf"@attribute\s+({_QUOTED}|[^\s{{]+)\s*(.+)", re.IGNORECASE)
_CELL = re.compile(rf"\s*({_QUOTED}|[^,\t'\"]*)\s*(?:[,\t]|$)")


def read_arff(path: Path) -> RawTable:
    """Return a file of @attribute lines and the rows below @data; ``?`` is a gap, lines that begin with % are notes.

    Raises DataError: it is sparse, or no such file; the line is named.
    """
    with opened(path) as stream:
        sample = stream.read(SAMPLE)
    for encoding in encodings(sample):
        try:
            return _read(path, encoding)
        except UnicodeDecodeError as error:
            last = error
    raise DataError(f"{path}: not a readable {kind_of(path)} file ({last})") from last


def _read(path: Path, encoding: str) -> RawTable:
    nominal: dict[str, bool] = {}
    texts: set[str] = set()
    rows: list[list[str]] = []
    lines: list[int] = []
    in_data = False
    with decoded(path, encoding) as stream:
        for place, line in enumerate(stream, start=1):
            line = line.strip()
            if not line or line.startswith("%"):
                continue
            if in_data:
                if line.startswith("{"):
                    raise DataError(f"{path}: line {place} is a sparse row; expected values separated by commas")
                rows.append(_cells(path, place, line, len(nominal)))
                lines.append(place)
            elif found := _ATTRIBUTE.fullmatch(line):
                name, kind = _unquoted(found[1]), found[2].strip()
                if name in nominal:
                    raise DataError(f"{path}: line {place}: two columns are called {name!r}")
                nominal[name] = kind.startswith("{")
                if kind.lower() == "string":
                    texts.add(name)
            elif line.lower().startswith("@data"):
                check_header(path, list(nominal))
                in_data = True
            elif not line.lower().startswith("@relation"):
                raise DataError(f'{path}: line {place}: found "{line[:40]}", expected @relation, @attribute or @data')
    if not rows:
        raise DataError(f"{path}: no rows below @data")
    columns = dict(zip(nominal, zip(*rows, strict=True), strict=True))
    cells = {name: Words.of(values, category=nominal[name]) for name, values in columns.items()}
    for name in texts:  # whose words may be numbers, and are none; dates have long been written as strings
        words = [word for word in cells[name].words if word not in USUAL_GAPS]
        if not all(map(looks_like_date, words)):
            cells[name] = replace(cells[name], category=True)
    return RawTable(str(path), tuple(nominal), len(rows), cells.__getitem__, Lines(np.array(lines)))


def _cells(path: Path, place: int, line: str, width: int) -> list[str]:
    found, position = [], 0
    while position < len(line):
        cell = _CELL.match(line, position)
        if cell is None:
            raise DataError(f'{path}: line {place}: found "{line[position : position + 40]}", expected a value')
        found.append(_unquoted(cell[1].strip()))
        position = cell.end()
    if line.endswith((",", "\t")):
        found.append("")
    if len(found) != width:
        raise DataError(f"{path}: line {place} has {len(found)} cells, the header names {width} columns")
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] in ("'", '"') else text
