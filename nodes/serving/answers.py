"""What each request is answered, whichever server carries it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..results.run_dir import to_json
from ..runtime.exposition import TEXT
from .csv_rows import in_utf8, numbers_of_csv, table_of_csv
from .formats import ARROW, CSV, JSON, asked_for, charset_of, sent_as
from .json_rows import SHORT_BYTES, NumberRows, TableRows
from .metrics import Metrics
from .openapi import document, has_probabilities
from .refusals import FIELD, Malformed, NoModelYet, NothingToTell, Refusal
from .written import predictions, probabilities

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

MAX_BODY_BYTES = 16 * 2**20
MAX_ROWS = 100_000

BODY_S = 30.0  # in which a body has to arrive

_NO_PROBABILITIES = "this model has no probabilities"

QUICK_S = 0.005  # what takes longer is not computed on an event loop

Info = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and what it is."""

    status: int
    body: bytes
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for predictions says in its headers."""

    content_type: str = ""
    accept: str = ""
    encoding: str = ""


class Answers:
    """The answers from a model, which may be replaced by another one at any moment; may be asked by several threads.

    Parameters
    ----------
    site_model, info, max_body_bytes, max_rows, allows
        See `app.predictor_app`.
    """

    def __init__(
        self,
        site_model: SiteModel,
        info: Info | None = None,
        *,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_rows: int = MAX_ROWS,
        allows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.max_body_bytes, self.max_rows = max_body_bytes, max_rows
        self.allows = allows
        self.metrics = Metrics()
        self.quick = True  # whether a short request may be computed where it arrives
        self._took_s = 0.0
        self._served: tuple[SiteModel, Info] = (site_model, info or {})
        self._reader: tuple[object, NumberRows | TableRows] | None = None

    def serve(self, site_model: SiteModel, info: Info | None = None) -> None:
        """Answer by another model from now on; a request that is being answered keeps the one that it began with."""
        self._served = (site_model, info or {})
        self.metrics.swapped()

    def at_once(self, body: bytes | bytearray, asked: Asked) -> bool:
        """Return whether a request may be answered where it arrives: a thread would cost more than its answer.

        Other formats than JSON may import a package first.
        """
        plain = not (CSV in asked.content_type or ARROW in asked.content_type or ARROW in asked.accept)
        return self.quick and plain and len(body) < SHORT_BYTES

    def predict(self, body: bytes | bytearray, asked: Asked = Asked(), *, proba: bool = False) -> Answer:
        """Return the predictions for the rows of a body, or the probabilities of the classes."""
        began = time.perf_counter()
        site_model = self._served[0]
        try:
            answer = self._predict(site_model, body, asked, proba=proba)
        except Refusal as error:
            answer = self.refused(error)
        except ValueError as error:  # a pipeline that makes no number of a row
            answer = self.refused(Malformed(f"{FIELD}: {error}"))
        if len(body) < SHORT_BYTES:  # a busy machine makes one of many slow, and a large model all
            before, self._took_s = self._took_s, time.perf_counter() - began
            self.quick = min(before, self._took_s) < QUICK_S
        return answer

    def _predict(self, site_model: SiteModel, body: bytes | bytearray, asked: Asked, *, proba: bool) -> Answer:
        if not site_model.built:
            raise NoModelYet("there is no model yet; the nodes have not agreed on one")
        classes = site_model.preprocessing.classes
        if proba and classes is None:
            raise NothingToTell("this model predicts a quantity: it has no classes, and no probabilities of them")
        media = asked_for(asked.accept)
        sent = sent_as(asked.content_type, asked.encoding)
        if sent == CSV:
            body = in_utf8(body, charset_of(asked.content_type))
        rows = self._rows(site_model, body, sent)
        self.metrics.predicted(len(rows))
        if not len(rows):  # estimators want one row at least
            return _of_no_rows(site_model, media, proba=proba)
        if not proba:
            return Answer(200, predictions(media, site_model.predict(rows)), media)
        found = site_model.predict_proba(rows)
        if found is None:
            raise NothingToTell(_NO_PROBABILITIES)
        return Answer(200, probabilities(media, found, classes or ()), media)

    def _rows(self, site_model: SiteModel, body: bytes | bytearray, media: str) -> Any:
        agreed = site_model.preprocessing
        schema = getattr(agreed, "schema", None)
        if media == CSV:
            if schema is not None:
                return table_of_csv(body, schema, self.max_rows)
            return numbers_of_csv(body, agreed.columns, getattr(agreed, "written", {}), self.max_rows)
        if media == ARROW:
            from .arrow_rows import numbers_of_arrow, table_of_arrow

            if schema is not None:
                return table_of_arrow(body, schema, self.max_rows)
            return numbers_of_arrow(body, agreed.columns, self.max_rows)
        reader = self._reader
        if reader is None or reader[0] is not agreed:
            made = NumberRows(agreed.columns) if schema is None else TableRows(schema)
            self._reader = reader = (agreed, made)
        return reader[1].read(body, self.max_rows)

    def healthz(self) -> Answer:
        return _said(200, {"status": "ok" if self._served[0].built else "waiting for a model"})

    def model(self) -> Answer:
        return _said(200, {"round": None, "metrics": {}, **self._info(), **describe(self._served[0])})

    def openapi(self) -> Answer:
        """Return the OpenAPI document for the present model."""
        fields = document(self._served[0], max_rows=self.max_rows, secured=not self.allows(""))
        return _said(200, fields)

    def exposition(self) -> Answer:
        """Return the metrics in the text format of Prometheus; without its library, that it is missing."""
        if self.metrics.missing:
            return self.failed(501, "GET /metrics", self.metrics.missing)
        number = self._info().get("round")
        return Answer(200, self.metrics.exposition(number if isinstance(number, int) else None), TEXT)

    def _info(self) -> Mapping[str, Any]:
        info = self._served[1]
        return info() if callable(info) else info

    def check_length(self, announced: str) -> None:
        """Raise `Malformed` for a body that is announced as too long."""
        if announced.isdigit() and int(announced) > self.max_body_bytes:
            raise Malformed(f"the body has {announced} bytes; expected at most {self.max_body_bytes}")

    @staticmethod
    def refused(error: Refusal) -> Answer:
        return _said(error.status, {"error": str(error)})

    @staticmethod
    def unauthorized() -> Answer:
        reason = "no token, or a wrong one; expected the header Authorization: Bearer TOKEN"
        return _said(401, {"error": reason}, {"www-authenticate": "Bearer"})

    @staticmethod
    def late() -> Answer:
        return _said(408, {"error": f"the body has not arrived in {BODY_S:g} s"})

    @staticmethod
    def failed(status: int, request: str, why: object, methods: str = "") -> Answer:
        """Return what is answered to another path or method, or where the model itself fails."""
        why = f"{why}; allowed: {methods}" if methods else why
        return _said(status, {"error": f"{request}: {why}"}, {"allow": methods} if methods else {})


def warm(site_model: SiteModel) -> SiteModel:
    """Return a model that has predicted a row: it has imported what it needs, and made what it makes once."""
    agreed = site_model.preprocessing
    schema = getattr(agreed, "schema", None)
    row = np.zeros((1, len(agreed.columns))) if schema is None else [[None] * len(agreed.columns)]
    with suppress(ValueError):  # a pipeline may make no number of such a row
        site_model.predict(row)
    return site_model


def describe(site_model: SiteModel) -> dict[str, Any]:
    """Return layout, columns and classes of a model, as JSON values."""
    if not site_model.built:
        return {"layout": None}
    layout, preprocessing = site_model.layout, site_model.preprocessing
    kinds = {"kinds": preprocessing.schema.kinds} if hasattr(preprocessing, "schema") else {}
    return kinds | {
        "layout": {**layout.to_dict(), "hash": layout.hash, "parameters": layout.size},
        "columns": preprocessing.columns,
        "classes": preprocessing.classes,
    }


def _of_no_rows(site_model: SiteModel, media: str, *, proba: bool) -> Answer:
    classes = site_model.preprocessing.classes
    if not proba:
        y = np.empty(0) if classes is None else np.array(classes)[:0]
        return Answer(200, predictions(media, y), media)
    if not has_probabilities(site_model):
        raise NothingToTell(_NO_PROBABILITIES)
    return Answer(200, probabilities(media, np.empty((0, len(classes or ()))), classes or ()), media)


def _said(status: int, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, to_json(fields).encode(), headers=headers or {})
