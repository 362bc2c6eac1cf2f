"""``nervenet predict``: predictions from a saved model for the rows of a file."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from .output import warn
from .saved_model import best_option, load_saved, own_option, saved_argument

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel


@click.command()
@saved_argument
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write a .csv file. [default: print]")
@click.option("--proba", is_flag=True, help="Also the probability of each class.")
@best_option
@own_option
def predict(saved: Path, file: Path, out: Path | None, proba: bool, best: bool, own: str | None) -> None:
    """Predict the rows of a file with a saved model.

    RUN|MODEL is a run folder, or a model file; FILE rows as .csv, .parquet, .npz or others. Columns are found by their
    names, or by their places where the model has learned from columns without names; others, such as an id or the
    target, are ignored. Prints a line for each row, in their order.
    """
    if out is not None:
        _check_out(out, file)
    site_model, _ = load_saved(saved, best=best, own=own)
    X, ignored = _inputs(site_model, file)
    if ignored:
        warn(", ".join(ignored), "ignored")
    header, columns = _predictions(site_model, X, proba=proba)
    lines = zip(*columns, strict=True)
    if out is None:
        _write(sys.stdout, header, lines)
        return
    from nervenet.models.atomic_file import replacing
    from nervenet.nodes.config.keys import ExperimentError

    try:
        with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
            _write(stream, header, lines)
    except OSError as error:
        raise ExperimentError(f"--out {out}: cannot be written: {error.strerror}") from None


def _inputs(site_model: SiteModel, file: Path) -> tuple[Any, tuple[str, ...]]:
    """Return the model's columns of a file, as the sites agreed on them, and the names of the other columns."""
    from nervenet.models.table_preprocessing import TablePreprocessing
    from nervenet.models.tables.inputs import read_inputs, read_numbers

    agreed = site_model.preprocessing
    if isinstance(agreed, TablePreprocessing):
        return read_inputs(file, agreed.columns, agreed.schema.kinds, agreed.schema.written)
    found = read_numbers(file, agreed.columns, agreed.written)
    if found.table.columns != agreed.columns:
        said = ", ".join(f"{own} is {name}" for own, name in zip(agreed.columns, found.table.columns, strict=True))
        sys.stderr.write(f"the model's columns have no names; the file's are taken by their places: {said}\n")
    return found.X, found.ignored


def _check_out(out: Path, file: Path) -> None:
    from nervenet.nodes.config.keys import ExperimentError

    if out.suffix.lower() != ".csv":
        raise ExperimentError(f"--out {out}: expected the name of a .csv file")
    if out.exists() and file.exists() and out.samefile(file):
        raise ExperimentError(
            f"--out {out}: is the file of the rows, which predictions would replace; expected another"
        )


def _predictions(site_model: SiteModel, X: Any, *, proba: bool) -> tuple[list[str], list[list[Any]]]:
    """Return the header and the columns of the result."""
    header, columns = ["prediction"], [site_model.predict(X).tolist()]
    if proba:
        from nervenet.nodes.config.keys import ExperimentError

        found, classes = site_model.predict_proba(X), site_model.preprocessing.classes
        if found is None or classes is None:
            why = "predicts a quantity" if classes is None else "has no probabilities"
            raise ExperimentError(f"--proba: this model, {site_model.model.describe()['name']}, {why}")
        header += [f"probability {label}" for label in classes]
        columns += found.T.tolist()
    return header, columns


def _write(stream: TextIO, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
