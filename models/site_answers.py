"""A site's answers to the questions of round 0, from its own rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .agreement.asked import Field, MalformedQuestion, check_fields, is_list, is_map, is_scalar, shown
from .agreement.questions import Answer, Question
from .class_weights import count_classes
from .data.data import DataError, Task
from .moments import IncompatibleSites, Moments
from .site_agreement import TABLE
from .site_rows import SiteRows
from .site_statistics import SiteStatistics
from .tables.rows import conform
from .tables.schema import Schema
from .tables.site_schema import SiteSchema
from .tables.stored_table import StoredTable
from .tables.table import Table
from .targets import checked_classes, class_indices

if TYPE_CHECKING:
    from .pipeline.fit import PipelineSite
    from .pipeline.stored_site import StoredSite


_STATISTICS = {"ask": Field("'statistics'", lambda found: found == "statistics", needed=False)}
_COUNTS = {
    "ask": Field("'class counts'", lambda found: found == "class counts"),
    "classes": Field("a list of labels", lambda found: is_list(found) and all(map(is_scalar, found))),
}
ALLOWED = "'statistics', 'fit', 'class counts', 'model'"
_ABOUT = {
    "schema": Field("a schema", is_map),
    "pipeline": Field("the description of a transformer", is_map),
    "classes": Field("a list of labels, or nil", lambda found: found is None or isinstance(found, list | tuple)),
}


class SiteAnswers:
    """What one site tells, of the rows that it trains on and those it holds out."""

    def __init__(self, rows: SiteRows, held_out: SiteRows | None, columns: tuple[str, ...], task: Task | None) -> None:
        self._rows, self._held_out = rows, held_out
        self._columns, self._task = columns, task
        self._fitting: tuple[str, PipelineSite | StoredSite] | None = None  # of the pipeline that was last asked about

    def statistics(self) -> SiteStatistics | SiteSchema:
        """Return columns, classes and moments; of a table with categories, dates or gaps its `SiteSchema`."""
        X, y = self._rows.X, self._rows.y
        more = None if self._held_out is None else self._held_out.y
        if isinstance(X, StoredTable) and X.plain:
            target = SiteStatistics.of(np.zeros((len(y), 1)), y, ("none",), self._task, more)
            parts = (block.block(block.columns) for block in X.blocks())
            inputs = Moments.of_parts(parts, len(X.columns))
            return replace(target, columns=self._columns, inputs=inputs, written=self._rows.written)
        if not isinstance(X, Table | StoredTable):
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
                check_fields("the question for the statistics of a site", question, _STATISTICS)
                statistics = self.statistics()
                return Answer(statistics.header(), statistics.vector())
            case "class counts":
                check_fields("the question 'class counts'", question, _COUNTS)
                return count_classes(question, self._rows.y, self._rows.weight)
            case "fit":
                return self._fit(question)
        found = shown(question["ask"])
        raise MalformedQuestion(f"ask is {found}, which this version does not know; allowed: {ALLOWED}")

    def _fit(self, question: Question) -> Answer:
        pipeline = self._pipeline(question)
        try:
            return pipeline.answer({key: part for key, part in question.items() if key != TABLE})
        except (IncompatibleSites, DataError):
            raise
        except Exception as error:  # the steps come with the question, and may have any parameters
            what = f"the question 'fit' (part {shown(question.get('part'))}, step {shown(question.get('step'))})"
            raise MalformedQuestion(f"{what} cannot be answered: {type(error).__name__}: {error}") from error

    def _pipeline(self, question: Question) -> PipelineSite | StoredSite:
        found = question.get(TABLE)
        about: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
        check_fields("the table of the question 'fit'", about, _ABOUT)
        key = json.dumps(about, sort_keys=True)
        if self._fitting is None or self._fitting[0] != key:
            self._fitting = key, self._fitted(about)
        return self._fitting[1]

    def _fitted(self, about: Mapping[str, Any]) -> PipelineSite | StoredSite:
        from .pipeline.description import rebuild_transformer
        from .pipeline.fit import PipelineSite, check_pipeline
        from .pipeline.stored_site import StoredSite

        try:
            table, schema = self._rows.table(), Schema.from_dict(about["schema"])
            pipeline, classes, y = rebuild_transformer(about["pipeline"]), about["classes"], self._rows.y
            check_pipeline(pipeline)
            target = y.astype(np.float64) if classes is None else class_indices(y, checked_classes(classes))
            if isinstance(table, StoredTable):
                return StoredSite(pipeline, table.select(schema.columns), schema, target)
            return PipelineSite(pipeline, conform(table, schema), target)
        except IncompatibleSites:
            raise
        except Exception as error:  # another release of scikit-learn may raise anything at what it does not know
            raise MalformedQuestion(f"the question 'fit' is about what this site cannot make: {error}") from error

    def forget(self) -> None:
        """Let go of what was kept from one question to the next."""
        self._fitting = None
