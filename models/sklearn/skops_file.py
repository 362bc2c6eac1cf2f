"""model.skops: a fitted scikit-learn estimator with the original labels, behind the preprocessing that was agreed.

Loading it needs scikit-learn and skops, and nothing of this package.
"""

from __future__ import annotations

import io
import json
import zipfile
from copy import deepcopy
from typing import Any

from ..extras import how_to_install, installed
from ..model import Model
from ..preprocessing import Preprocessing
from ..table_preprocessing import AnyPreprocessing
from ..weights import Vector
from .fitted_pipeline import fitted_pipeline

NOTE = (
    "model.skops is a fitted scikit-learn estimator that takes raw inputs, to be read by skops.io.load{trusted}; it "
    "scales and clips them as agreed, and predicts what is served, to the last bit"
)


def export(model: Model, preprocessing: AnyPreprocessing, vector: Vector) -> tuple[bytes | None, str | None]:
    """Return the content of model.skops and the note about it for model.json; two times None for other models.

    The model itself is left as it is.
    """
    if not hasattr(type(model), "estimator"):
        return None, None
    if not installed("skops"):
        return None, f"there is no model.skops: {how_to_install('skops')}"
    copy: Any = deepcopy(model)
    copy.set_weights(vector)
    content = skops_bytes(fitted_pipeline(copy.estimator, preprocessing))
    return content, _note(content, tables=not isinstance(preprocessing, Preprocessing))


def skops_bytes(estimator: Any) -> bytes:
    """Return a fitted estimator as the content of a skops file: the same estimator gives the same bytes."""
    from skops.io import dumps

    return _reproducible(dumps(estimator))


def to_be_trusted(content: bytes) -> list[str]:
    """Return the names that skops wants to be told of before it loads a file: NumPy's types and functions, if any."""
    from skops.io import get_untrusted_types

    return sorted(get_untrusted_types(data=content))


def _note(content: bytes, *, tables: bool) -> str:
    """Say how to load it."""
    trusted = to_be_trusted(content)
    if not tables:
        return NOTE.format(trusted=f"(…, trusted={trusted})" if trusted else "")
    return (
        "model.skops is a fitted scikit-learn Pipeline that takes a pandas frame of raw columns, dates as "
        "datetime64, categories as text (codes, too), stripped, gaps as NaN (None is none), to be read by "
        f"skops.io.load(…, trusted={trusted}); it predicts what is served"
    )


def _reproducible(content: bytes) -> bytes:
    """Rewrite a skops archive so that the same estimator gives the same bytes.

    skops names each object, and the file of each array, by its address in memory, and dates every file.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(files.pop("schema.json"))
    numbers: dict[int, int] = {}
    renamed: dict[str, str] = {}
    _renumber(schema, numbers, renamed)
    ordered = {renamed[name]: files[name] for name in renamed} | {"schema.json": json.dumps(schema, indent=2).encode()}
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive:
        for name, data in ordered.items():
            archive.writestr(zipfile.ZipInfo(name), data)  # dated 1980, as a ZipInfo is by default
    return result.getvalue()


def _renumber(node: Any, numbers: dict[int, int], renamed: dict[str, str]) -> None:
    """Replace addresses by the order of their appearance, in place."""
    if isinstance(node, dict):
        if isinstance(node.get("__id__"), int):
            node["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = renamed.setdefault(node["file"], f"{len(renamed) + 1}.{suffix}")
        for child in node.values():
            _renumber(child, numbers, renamed)
    elif isinstance(node, list):
        for child in node:
            _renumber(child, numbers, renamed)
