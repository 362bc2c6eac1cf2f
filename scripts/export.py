"""``nervenet export``: a saved model as a fitted scikit-learn object, for those who have nothing of this package."""

from __future__ import annotations

from pathlib import Path

import click

from .output import say
from .saved_model import best_option, load_saved, own_option, saved_argument


@click.command()
@saved_argument
@click.option(
    "--to",
    "form",
    type=click.Choice(["skops"]),
    default="skops",
    help="The format: a file that skops.io.load reads. [default: skops]",
)
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="The file. [default: beside the model, model.skops]"
)
@best_option
@own_option
def export(saved: Path, form: str, out: Path | None, best: bool, own: str | None) -> None:
    """Write a saved model as a fitted scikit-learn object.

    RUN|MODEL is a run folder, or a model file. The object takes raw rows and predicts what is served; to load it needs
    scikit-learn and skops, and nothing of this package. The built-in network becomes an MLPClassifier or MLPRegressor.
    Prints the file, and how to load it.
    """
    from nervenet.models.exporting import to_sklearn
    from nervenet.models.extras import require
    from nervenet.nodes.config.keys import ExperimentError

    require("nervenet export", "skops")
    site_model, path = load_saved(saved, best=best, own=own)
    file = out or _beside(path, form)
    if file.suffix != f".{form}":
        raise ExperimentError(f"--out {file}: expected the name of a .{form} file")
    from nervenet.models.atomic_file import replacing
    from nervenet.models.sklearn.skops_file import skops_bytes, to_be_trusted

    content = skops_bytes(to_sklearn(site_model))
    try:
        with replacing(file) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise ExperimentError(f"--out {file}: cannot be written: {error.strerror}") from None
    trusted = to_be_trusted(content)
    say(file)
    say(f'skops.io.load("{file}"{f", trusted={trusted}" if trusted else ""})')


def _beside(path: Path, form: str) -> Path:
    return path / f"model.{form}" if path.is_dir() else path.with_suffix(f".{form}")
