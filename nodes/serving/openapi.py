"""The OpenAPI document (3.1) of a server: which rows this model takes, by name and kind, and what it answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from nervenet.broker.versions import RELEASE

from .formats import ARROW, CSV, JSON, formats
from .refusals import FIELD

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel
    from nervenet.models.tables.schema import Schema

_LARGEST = float(np.finfo(np.float64).max)
_NUMBER = {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST}
_TRUTH = {"type": "boolean", "description": "1 or 0"}


def has_probabilities(site_model: SiteModel) -> bool:
    """Return whether a built model tells the probability of each class."""
    if site_model.preprocessing.classes is None:
        return False
    model = site_model.model
    return model.probabilities(np.zeros((1, site_model.preprocessing.n_features), model.dtype)) is not None


def document(site_model: SiteModel, *, max_rows: int, secured: bool) -> dict[str, Any]:
    """Return the document; of a model that is not built yet, without what its rows are."""
    built = site_model.built
    paths: dict[str, Any] = {
        "/predict": {"post": _asking("predict", "The label, or the quantity, of each row.", _Y(site_model), max_rows)}
    }
    if built and has_probabilities(site_model):
        what = "The probability of each class, of each row."
        paths["/predict_proba"] = {"post": _asking("predict_proba", what, _probabilities(site_model), max_rows)}
    health = _telling("healthz", "Whether the server is up.", {"status": {"type": "string"}})
    paths["/healthz"] = {"get": health | {"security": []}}
    paths["/model"] = {"get": _telling("model", "What is served.", {"round": {"type": ["integer", "null"]}})}
    paths["/openapi.json"] = {"get": _telling("openapi", "This document.", {"openapi": {"type": "string"}})}
    metrics = {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text format"}
    paths["/metrics"] = {"get": {"operationId": "metrics", "summary": "Counts.", "responses": _responses(metrics)}}
    components: dict[str, Any] = {
        "schemas": {
            "Rows": _rows(site_model, max_rows),
            "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
        }
    }
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "nervenet serve", "version": RELEASE},
        "paths": paths,
        "components": components,
    }
    if secured:
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _rows(site_model: SiteModel, max_rows: int) -> dict[str, Any]:
    if not site_model.built:
        row: dict[str, Any] = {"type": ["array", "object"]}
    else:
        agreed = site_model.preprocessing
        schema = getattr(agreed, "schema", None)
        row = _number_row(agreed.columns) if schema is None else _table_row(schema)
    field = {"type": "array", "maxItems": max_rows, "items": row}
    return {"type": "object", "required": [FIELD], "properties": {FIELD: field}}


def _number_row(columns: tuple[str, ...]) -> dict[str, Any]:
    cell = {"anyOf": [_NUMBER, _TRUTH]}
    width = len(columns)
    return {
        "anyOf": [
            {"type": "array", "description": ", ".join(columns), "minItems": width, "maxItems": width, "items": cell},
            {"type": "object", "required": list(columns), "properties": dict.fromkeys(columns, cell)},
        ]
    }


def _table_row(schema: Schema) -> dict[str, Any]:
    cells = [_table_cell(name, kind, schema) for name, kind in zip(schema.columns, schema.kinds, strict=True)]
    by_name, width = dict(zip(schema.columns, cells, strict=True)), len(schema.columns)
    return {
        "anyOf": [
            {
                "type": "array",
                "description": ", ".join(schema.columns),
                "minItems": width,
                "maxItems": width,
                "prefixItems": cells,
                "items": False,
            },
            {"type": "object", "properties": by_name, "additionalProperties": False},
            # One that has all columns may have others; of one that has not, another name may be a lacking one's.
            {"type": "object", "properties": by_name, "required": list(schema.columns)},
        ]
    }


def _table_cell(name: str, kind: str, schema: Schema) -> dict[str, Any]:
    from nervenet.models.data.written import Written
    from nervenet.models.tables.options import ColumnOptions

    if kind == "category":
        return {"anyOf": [{"type": "string"}, _NUMBER, _TRUTH, _GAP]}
    words = ColumnOptions(gaps=schema.written.get(name, Written()).gaps).gap_words
    written = {"type": "string", "pattern": rf"^\s*({'|'.join(map(re.escape, sorted(words)))})\s*$"}
    other = [_NUMBER, _TRUTH] if kind == "number" else [{"type": "string", "format": "date"}]
    return {"anyOf": [*other, _GAP, written | {"description": "a gap, as the sites write it"}]}


_GAP = {"type": "null", "description": "a gap"}


def _Y(site_model: SiteModel) -> dict[str, Any]:  # noqa: N802
    classes = site_model.preprocessing.classes if site_model.built else None
    label = {"enum": list(classes)} if classes is not None else {"type": ["number", "null", "string"]}
    if site_model.built and classes is None:
        label = {"type": ["number", "null"]}
    return {"required": ["y_pred"], "properties": {"y_pred": {"type": "array", "items": label}}}


def _probabilities(site_model: SiteModel) -> dict[str, Any]:
    classes = list(site_model.preprocessing.classes or ())
    row = {
        "type": "array",
        "minItems": len(classes),
        "maxItems": len(classes),
        "items": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    }
    return {
        "required": ["classes", "y_proba"],
        "properties": {"classes": {"const": classes}, "y_proba": {"type": "array", "items": row}},
    }


def _asking(name: str, summary: str, answer: dict[str, Any], max_rows: int) -> dict[str, Any]:
    described = {
        JSON: {"schema": {"$ref": "#/components/schemas/Rows"}},
        CSV: {"schema": {"type": "string", "description": f"a header line, and at most {max_rows} rows"}},
        ARROW: {"schema": {"type": "string", "format": "binary", "description": "record batches, not packed"}},
    }
    body = {media: described[media] for media in formats()}
    content: dict[str, Any] = {JSON: {"schema": {"type": "object"} | answer}}
    content |= {media: {"schema": {"type": "string"}} for media in formats() if media != JSON}
    refusals = ("401", "406", "408", "415", "422", "503")
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": body},
        "responses": _responses({"description": "the answers, in the order of the rows", "content": content}, refusals),
    }


def _telling(name: str, summary: str, properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": list(properties), "properties": properties}
    answer = {"description": summary, "content": {JSON: {"schema": schema}}}
    return {"operationId": name, "summary": summary, "responses": _responses(answer)}


_WHY = {
    "401": "no token, or a wrong one",
    "406": "no format that is written here",
    "408": "the body has not arrived in time",
    "415": "no format that is read here",
    "422": "rows that the model cannot take; which, and what is expected",
    "503": "there is no model yet",
}


def _responses(answer: dict[str, Any], refusals: tuple[str, ...] = ("401",)) -> dict[str, Any]:
    error = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"200": answer} | {status: {"description": _WHY[status], "content": error} for status in refusals}
