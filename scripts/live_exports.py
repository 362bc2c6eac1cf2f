"""``launch --export NAME[:WHERE]``: figures of a run go elsewhere while it goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .output import warn

INTERRUPTED_S = 5.0  # how long what has ended otherwise waits for an exporter

export_option = click.option(
    "--export",
    "exports",
    metavar="NAME[:WHERE]",
    multiple=True,
    help="Also to mlflow, tensorboard, wandb or opentelemetry while it goes on; see nervenet export. Repeatable.",
)


def targets_of(exports: Sequence[str]) -> list[tuple[str, str]]:
    """Return names and places. Raises ExperimentError or MissingExtra for what nothing can be exported to."""
    from nervenet.nodes.exporting.exporters import exporter_class

    targets = [(name, where) for name, _, where in (text.partition(":") for text in exports)]
    for name, _ in targets:
        exporter_class(name)
    return targets


def places_of(targets: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each target that says where its figures go, as far as this package knows."""
    from nervenet.nodes.exporting.exporters import exporter_class

    lines = []
    for name, where in targets:
        place = where or str(getattr(exporter_class(name), "usual", ""))
        lines.append(f"export to {name}: {place or f'where {name} is set to (--export {name}:WHERE says otherwise)'}")
    return lines


@contextlib.asynccontextmanager
async def exporting(
    targets: Sequence[tuple[str, str]], folders: Sequence[Path]
) -> AsyncIterator[Callable[[Mapping[str, Any]], None]]:
    """Yield what takes events; at the end, wait for the exporters as long as that is worth it."""
    if not targets:
        yield lambda _: None
        return
    from nervenet.nodes.exporting.live import END_S, LiveExport

    exports = [LiveExport(name, where, folders, warn) for name, where in targets]

    def take(event: Mapping[str, Any]) -> None:
        for export in exports:
            export.take(event)

    within_s = INTERRUPTED_S
    try:
        yield take
        within_s = END_S
    finally:
        await asyncio.gather(*(asyncio.to_thread(export.close, within_s) for export in exports))
