"""Predictions as the bytes of an answer: JSON, CSV or a stream of Arrow record batches."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..results.run_dir import to_json
from .formats import ARROW, CSV

if TYPE_CHECKING:
    from numpy.typing import NDArray

JSON_LINE = msgspec.json.Encoder()


def predictions(media: str, y: NDArray[Any]) -> bytes:
    """Return labels, or quantities, one a row: ``{"y_pred": […]}``, or a column ``prediction``."""
    values = y.tolist()
    if media == CSV:
        return _csv(["prediction"], [values])
    if media == ARROW:
        return _arrow(["prediction"], [y if y.dtype.kind != "U" else values])
    return _json({"y_pred": values}, text=y.dtype.kind == "U")


def probabilities(media: str, found: NDArray[Any], classes: Sequence[Any]) -> bytes:
    """Return the probability of each class, one list a row: ``{"classes": […], "y_proba": [[…], …]}``, or a column
    ``probability LABEL`` for each.
    """
    names = [f"probability {label}" for label in classes]
    if media == CSV:
        return _csv(names, found.T.tolist())
    if media == ARROW:
        return _arrow(names, list(found.T))
    return _json({"classes": list(classes), "y_proba": found.tolist()}, text=True)


def _json(value: dict[str, Any], *, text: bool) -> bytes:
    """Return one object; what is no finite number becomes null."""
    return to_json(value).encode() if text else JSON_LINE.encode(value)


def _csv(names: list[str], columns: Sequence[Sequence[Any]]) -> bytes:
    if len(columns) == 1 and not isinstance(next(iter(columns[0]), ""), str):  # nothing to be put in quotes
        return "\n".join([*names, *map(repr, columns[0]), ""]).encode()
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return stream.getvalue().encode(errors="backslashreplace")


def _arrow(names: list[str], columns: Sequence[Any]) -> bytes:
    import pyarrow as pa

    batch = pa.record_batch([pa.array(column) for column in columns], names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
