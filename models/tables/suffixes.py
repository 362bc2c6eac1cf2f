"""The kinds of file that can be read, by their endings."""

from __future__ import annotations

from pathlib import Path

_TEXT = (".csv", ".tsv", ".arff", ".svm", ".libsvm")

SUFFIXES = (
    *(".npz", ".csv", ".parquet", ".tsv", ".feather", ".arrow", ".npy"),
    *_TEXT[2:],
    *(f"{kind}.gz" for kind in _TEXT),
)
"""The endings that are known, in lower case."""

ALLOWED = ", ".join(suffix for suffix in SUFFIXES if not suffix.endswith(".gz")) + ", or one of text as .gz"
"""The same for messages."""


def why_no_file(path: Path) -> str:
    """Return why a path cannot be read as a file; empty if it can: a pipe is read once, and may never end."""
    if path.is_file():
        return ""
    if path.is_dir():
        return "is a folder, expected a file"
    if path.exists():
        return "is a pipe or a device, expected a file"
    return "a link to no such file" if path.is_symlink() else "no such file"


def kind_of(path: Path) -> str:
    """Return the ending that says what a file is, ".csv" or ".csv.gz"; empty where there is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])
