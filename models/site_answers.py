"""A site's answers to the questions of round 0, from its own rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .agreement.questions import Answer, Question
from .data.data import Task
from .moments import IncompatibleSites, described
from .site_agreement import TABLE
from .site_rows import SiteRows
from .site_statistics import SiteStatistics
from .tables.rows import conform
from .tables.schema import Schema
from .tables.site_schema import SiteSchema
from .tables.table import Table
from .targets import checked_classes, class_indices

if TYPE_CHECKING:
    from .pipeline.fit import PipelineSite


class SiteAnswers:
    """What one site tells, of the rows that it trains on and those it holds out."""

    def __init__(self, rows: SiteRows, held_out: SiteRows | None, columns: tuple[str, ...], task: Task | None) -> None:
        self._rows, self._held_out = rows, held_out
        self._columns, self._task = columns, task
        self._fitting: tuple[str, PipelineSite] | None = None  # of the pipeline that was last asked about

    def statistics(self) -> SiteStatistics | SiteSchema:
        """Return columns, classes and moments; of a table with categories, dates or gaps its `SiteSchema`."""
        X, y = self._rows.X, self._rows.y
        if not isinstance(X, Table):
            more = None if self._held_out is None else self._held_out.y
            return replace(SiteStatistics.of(X, y, self._columns, self._task, more), written=self._rows.written)
        held_out = None if self._held_out is None else (self._held_out.table(), self._held_out.y)
        schema = SiteSchema.of(X, y, self._task, held_out)
        return replace(schema, statistics=replace(schema.statistics, written=self._rows.written))

    def answer(self, question: Question) -> Answer:
        """Return the answer to a question of `agreement_questions`.

        Raises IncompatibleSites when a value is not a finite number, what was agreed does not fit the rows, or the
        question is none of those.
        """
        match question.get("ask", "statistics"):
            case "statistics":
                statistics = self.statistics()
                return Answer(statistics.header(), statistics.vector())
            case "fit":
                return self._pipeline(question).answer({key: part for key, part in question.items() if key != TABLE})
        raise IncompatibleSites(f"this site has no answer to the question {question['ask']!r:.80}")

    def _pipeline(self, question: Question) -> PipelineSite:
        about = question.get(TABLE)
        if not isinstance(about, dict):
            raise IncompatibleSites("a question about a pipeline says which one")
        key = json.dumps(about, sort_keys=True)
        if self._fitting is None or self._fitting[0] != key:
            self._fitting = key, self._fitted(about)
        return self._fitting[1]

    def _fitted(self, about: dict[str, Any]) -> PipelineSite:
        from .pipeline.description import rebuild_transformer
        from .pipeline.fit import PipelineSite

        with described("question about a pipeline"):
            table = conform(self._rows.table(), Schema.from_dict(about["schema"]))
            pipeline, classes, y = rebuild_transformer(about["pipeline"]), about["classes"], self._rows.y
            target = y.astype(np.float64) if classes is None else class_indices(y, checked_classes(classes))
            return PipelineSite(pipeline, table, target)

    def forget(self) -> None:
        """Let go of what was kept from one question to the next."""
        self._fitting = None
