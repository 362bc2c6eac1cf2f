"""The pipeline that a user brings: as an object, by its import path, or as the JSON that describes one."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

from ..data.data import DataError
from ..plugins import imported
from .description_text import is_described, normalized

AUTO = "auto"
"""In place of a pipeline: what suits the columns."""

STEPS = (
    "nervenet.models.pipeline.fit",
    "nervenet.models.tables.auto",
    "sklearn.compose",
    "sklearn.impute",
    "sklearn.pipeline",
    "sklearn.preprocessing",
)


def given_pipeline(preprocess: object) -> Any:
    """Return an unfitted scikit-learn transformer as it is, the one of an import path or of JSON, or `AUTO`.

    Raises DataError for anything else, and where one of its steps cannot be fitted on the rows of all sites.
    """
    if isinstance(preprocess, str) and preprocess == AUTO:
        return AUTO
    found, shown = preprocess, f"data.preprocess = {preprocess!r:.60}"
    if isinstance(preprocess, str) and is_described(preprocess):
        found = _rebuilt(preprocess)
    elif isinstance(preprocess, str):
        if ":" not in preprocess:
            raise DataError(
                f'{shown}: expected "{AUTO}", the import path of a scikit-learn transformer, as in mine:prepare, or, '
                "in an experiment file, a .json file that describes one"
            )
        try:
            found = imported(preprocess, "data.preprocess")
        except ValueError as error:
            raise DataError(str(error)) from None
    if isinstance(found, type) or not hasattr(found, "transform") or not hasattr(found, "get_params"):
        raise DataError(f"{shown}: {found!r:.60} is no scikit-learn transformer")
    from .description import describe_transformer
    from .fit import check_pipeline
    from .step import NoExactMerge

    try:
        check_pipeline(found)
        describe_transformer(found)  # as it travels to the sites, and into the model's file
    except (NoExactMerge, TypeError) as error:
        raise DataError(f"data.preprocess: {error}") from None
    return found


def description_of(pipeline: Any) -> str:
    """Return an unfitted pipeline as the JSON that `given_pipeline` takes; equal texts mean equal pipelines.

    Raises TypeError, naming it, for what has no description.
    """
    from .description import describe_transformer

    return normalized(describe_transformer(pipeline))


def _rebuilt(text: str) -> Any:
    from .description import rebuild_transformer

    try:
        return rebuild_transformer(json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"data.preprocess: {text:.60}… describes no pipeline: {error}") from None


def import_steps() -> None:
    """Import what every pipeline needs: it takes seconds, in which nobody should wait for a site's answer."""
    from importlib import import_module

    for module in STEPS:
        import_module(module)


def digest_of(pipeline: Any) -> str:
    """Return a short text that is the same for the same pipeline, and most likely for no other."""
    described = description_of(pipeline).encode()
    return f"{type(pipeline).__name__} {blake2b(described, digest_size=4).hexdigest()}"
