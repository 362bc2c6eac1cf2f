"""The model that ``serve`` and ``predict`` are asked for, from a run folder or one of its files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nervenet.models.site_model import SiteModel

saved_argument = click.argument("saved", metavar="RUN|MODEL", type=click.Path(path_type=Path))
best_option = click.option("--best", is_flag=True, help="Of a run folder: the best round's model, not the last.")
own_option = click.option(
    "--model", "own", metavar="MODULE:CLASS", help="For a model of a class of your own: its import path."
)


def load_saved(saved: Path, *, best: bool, own: str | None) -> tuple[SiteModel, Path]:
    """Return the model, and the path by which it was found."""
    from nervenet.models.artifact import load_model
    from nervenet.models.versions import OtherVersion
    from nervenet.nodes.config.keys import ExperimentError

    from .output import warn

    if best and not saved.is_dir():
        raise ExperimentError(f"--best: needs a run folder; {saved} is a model file")
    path = saved / "best.json" if best else saved
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always", OtherVersion)
        site_model = load_model(path, model=own)
    for each in noted:
        warn(each.message)
    return site_model, path
