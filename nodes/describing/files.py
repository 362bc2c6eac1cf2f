"""The files of a description: ``description.json`` and ``page.html``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nervenet.models.atomic_file import replacing

from ..config.keys import ExperimentError
from ..results.run_dir import PRIVATE, to_json
from .page import page_of

JSON, PAGE = "description.json", "page.html"


def check_out(folder: Path) -> None:
    """Make the folder. Raises ExperimentError where that cannot be done."""
    try:
        folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"--out {folder}: cannot be used as a folder: {error.strerror}") from None


def write_description(description: Mapping[str, Any], folder: Path) -> tuple[Path, ...]:
    """Write both files into a folder that is there, and return their paths. Raises ExperimentError."""
    texts = {JSON: to_json(description) + "\n", PAGE: page_of(description)}
    for name, text in texts.items():
        try:
            with replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ExperimentError(f"--out {folder}: {name} cannot be written: {error.strerror}") from None
    return tuple(folder / name for name in texts)
