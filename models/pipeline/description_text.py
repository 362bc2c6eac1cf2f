"""The description of a pipeline as text, in a configuration: whoever only reads those imports nothing else."""

from __future__ import annotations

import json
from typing import Any


def is_described(preprocess: str) -> bool:
    """Whether a value of ``data.preprocess`` is the JSON of a pipeline, and neither a word nor an import path."""
    return preprocess.startswith("{")


def normalized(described: Any) -> str:
    """Return a description as the one text that all who compare it have."""
    return json.dumps(described, sort_keys=True, allow_nan=False)
