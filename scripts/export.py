"""``nervenet export``: a saved model, or the figures of a run, for those who have nothing of this package."""

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
    metavar="NAME",
    default="skops",
    help="The model as skops.io.load reads it, or the figures of a run: mlflow, tensorboard, wandb, opentelemetry. "
    "[default: skops]",
)
@click.option("--where", metavar="WHERE", help="Of figures: a tracking URI, folder or collector (docs/watching.md).")
@click.option(
    "--out", metavar="FILE", type=click.Path(path_type=Path), help="The file. [default: beside the model, model.skops]"
)
@best_option
@own_option
def export(saved: Path, form: str, where: str | None, out: Path | None, best: bool, own: str | None) -> None:
    """Write a saved model as a fitted scikit-learn object, or a run's figures to where others are.

    RUN|MODEL is a run folder, or a model file; figures are those of a run folder. The object takes raw rows and
    predicts what is served; to load it needs scikit-learn and skops, and nothing of this package. The built-in network
    becomes an MLPClassifier or MLPRegressor. Prints the file, and how to load it.
    """
    from nervenet.models.exporting import to_sklearn
    from nervenet.models.extras import require
    from nervenet.nodes.config.keys import ExperimentError

    if form != "skops":
        from nervenet.models.plugins import suggest
        from nervenet.nodes.exporting.export import export_run
        from nervenet.nodes.exporting.exporters import EXPORTERS

        if form not in EXPORTERS:
            known = ("skops", *EXPORTERS)
            raise ExperimentError(f"--to {form}: expected one of {', '.join(known)}{suggest(form, known)}")
        if out is not None or best or own is not None:
            raise ExperimentError(f"--to {form}: --out, --best and --own are of a model; figures go to --where")
        rounds = export_run(saved, form, where or "")
        say(f"{rounds} rounds to {form}{f' at {where}' if where else ''}")
        return
    if where is not None:
        raise ExperimentError(f"--where {where}: is of figures, with --to; a model goes to --out")
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
