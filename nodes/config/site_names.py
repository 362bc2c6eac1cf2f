"""Names of sites, from those of their files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

TAKEN = ("coordinator", "launcher", "broker", "baseline", "stream")
"""Names that are somebody else's."""


def site_names(files: Sequence[str | Path]) -> dict[str, Path]:
    """Return the files by the names of their sites, in the order of names: see `listed_sites`."""
    return dict(sorted(listed_sites(files).items()))


def listed_sites(files: Sequence[str | Path]) -> dict[str, Path]:
    """Return the files by the names of their sites, in the order in which they are listed.

    A site is called as its file, with the folder's name before it where two files have one name. What no node may be
    called is left out of it.
    """
    paths = [Path(file) for file in files]
    plain = [_clean(path.name.partition(".")[0]) for path in paths]
    found: dict[str, Path] = {}
    for name, path in zip(plain, paths, strict=True):
        if Counter(plain)[name] > 1:
            name = _clean(f"{path.absolute().parent.name}-{name}")
        count, first = 1, name
        while name in found:
            count += 1
            name = f"{first[:60]}-{count}"
        found[name] = path
    return found


def repeated(files: Sequence[str | Path]) -> list[str]:
    """Return a line for each file that several sites have, by whatever path: its rows count several times."""
    same: dict[Path, list[str]] = {}
    for file in files:
        same.setdefault(Path(file).resolve(), []).append(str(file))
    return [
        f"{len(paths)} sites have the rows of one file: {', '.join(paths)}" for paths in same.values() if len(paths) > 1
    ]


def _clean(name: str) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:64] or "site"
    return f"{cleaned[:58]}-site" if cleaned in TAKEN else cleaned
