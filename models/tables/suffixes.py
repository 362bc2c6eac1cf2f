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


def kind_of(path: Path) -> str:
    """Return the ending that says what a file is, ".csv" or ".csv.gz"; empty where there is none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return "".join(suffixes[-2:] if suffixes[-1:] == [".gz"] else suffixes[-1:])
