"""Files of small tables."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a file of text into the test's folder, packed where its name ends in .gz."""

    def write(text: str, name: str = "site.csv", encoding: str = "utf-8") -> Path:
        content = text.encode(encoding)
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write
