"""StoredSite: the answers about a site's rows that stay on disk, block by block, the same to the bit as in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import reduce
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..agreement.column_moments import ColumnMoments
from ..agreement.order_statistics import summed
from ..agreement.questions import Answer, Question
from ..agreement.together import answer_together
from ..data.data import DataError
from ..tables.rows import conform
from ..tables.schema import Schema
from ..tables.stored_table import StoredTable
from .asked import check_asked
from .categories import check_told, tell_values, told_values, values_answer
from .fit import PipelineSite
from .inputs import Inputs
from .parts import tell
from .statistics import numbers_of
from .targets import tell_classes
from .tree import Frame, branches, shape_of


class StoredSite:
    """As `PipelineSite`, of a `StoredTable` with the agreed columns, whose kinds those of the schema replace."""

    def __init__(self, pipeline: Any, table: StoredTable, schema: Schema, target: NDArray[Any] | None = None) -> None:
        self._pipeline, self._table, self._schema, self._target = pipeline, table, schema, target

    def answer(self, question: Question) -> Answer:
        """Return the answer to one question. Raises DataError: the rows have what a step does not take, or it needs all
        of them at once.
        """
        return answer_together(question, self._answer)

    def _answer(self, question: Question) -> Answer:
        part, path = check_asked(question), question["step"]
        sites = self._sites(path)
        if part == "outputs":
            return _outputs(site.outputs(path, question["fitted"]) for site in sites)
        blocks = (site.inputs(path, question.get("class"), question["fitted"]) for site in sites)
        if part not in FOLDS:
            raise DataError(
                f"{next(blocks).title} needs all rows at once, and these are read in batches: take another step, or a "
                "data.in_memory_mb above what the file takes"
            )
        return FOLDS[part](question, blocks)

    def _sites(self, path: str) -> Iterator[PipelineSite]:
        start = 0
        for block in self._table.blocks(self._needed(path)):
            target = None if self._target is None else self._target[start : start + len(block)]
            yield PipelineSite(self._pipeline, conform(block, self._schema), target, start)
            start += len(block)

    def _needed(self, path: str) -> Collection[str]:
        """Return the columns that flow into a step, as far as the pipeline divides them first of all."""
        frame = Frame(self._schema.columns, self._schema.kinds)
        if shape_of(self._pipeline) == "columns":
            for part in branches(self._pipeline, "", frame):
                if path == part.name or path.startswith(f"{part.name}__"):
                    return [frame.names[place] for place in part.places]
        return frame.names


def _outputs(answers: Iterable[Answer]) -> Answer:
    vectors = [answer.vector for answer in answers]
    rows, _, filled, cells = np.sum(vectors, axis=0)
    return Answer({}, np.array([rows, vectors[0][1], filled, cells]))


def _sum(question: Question, blocks: Iterator[Inputs]) -> Answer:
    return Answer({}, np.sum([tell(question, block).vector for block in blocks], axis=0))


def _first(question: Question, blocks: Iterator[Inputs]) -> Answer:
    return tell(question, next(blocks))


def _moments(question: Question, blocks: Iterator[Inputs]) -> Answer:
    first = next(blocks)
    parts = (numbers_of(question, block) for block in chain([first], blocks))
    return Answer({}, ColumnMoments.of_parts(parts, len(first.names)).vector())


def _extremes(question: Question, blocks: Iterator[Inputs]) -> Answer:
    def both(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        (n, low, high), (m, least, most) = np.split(one[1:], 3), np.split(other[1:], 3)
        low = np.where(n > 0, np.where(m > 0, np.minimum(low, least), low), least)
        high = np.where(n > 0, np.where(m > 0, np.maximum(high, most), high), most)
        return np.concatenate([one[:1] + other[:1], n + m, low, high])

    return Answer({}, reduce(both, (tell(question, block).vector for block in blocks)))


def _order(question: Question, blocks: Iterator[Inputs]) -> Answer:
    return summed(question["order"], (tell(question, block) for block in blocks))


def _values(question: Question, blocks: Iterator[Inputs]) -> Answer:
    total, names, title = 0, tuple[str, ...](), ""
    dtypes: list[str] = []
    merged: list[dict[Any, int]] = []
    for block in blocks:
        answer = tell_values(question, block)
        names, title, dtypes = block.names, block.title, answer.fields["dtypes"]
        rows, columns, _ = told_values("", answer, dtypes)
        total += rows
        merged = merged or [{} for _ in columns]
        for known, own, name in zip(merged, columns, names, strict=True):
            for value, count in own.items():
                known[value] = known.get(value, 0) + count
            check_told(title, name, len(known) - (None in known))
    found = []
    for known in merged:
        values = sorted(value for value in known if value is not None)
        found.append((values, [*(known[value] for value in values), known.get(None, 0)]))
    return values_answer(title, total, dtypes, found)


def _classes(question: Question, blocks: Iterator[Inputs]) -> Answer:
    return tell_classes(question, _target_of(blocks))


def _target_of(blocks: Iterator[Inputs]) -> Inputs:
    first = next(blocks)
    target = np.concatenate([first.labels(), *(block.labels() for block in blocks)])
    return Inputs(np.empty((len(target), 0)), (), first.title, target)


FOLDS: Mapping[str, Callable[[Question, Iterator[Inputs]], Answer]] = {
    "rows": _sum,
    "missing": _sum,
    "dtypes": _first,
    "moments": _moments,
    "extremes": _extremes,
    "order": _order,
    "values": _values,
    "classes": _classes,
}
"""How a site answers a part from blocks of its rows; a part that is not here takes all of them."""
