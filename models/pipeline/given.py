"""The pipeline that a user brings: as an object, or by its import path."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any

from ..data.data import DataError
from ..plugins import imported

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
    """Return an unfitted scikit-learn transformer as it is, or the one of an import path, or `AUTO`.

    Raises DataError for anything else, and where one of its steps cannot be fitted on the rows of all sites.
    """
    if isinstance(preprocess, str) and preprocess == AUTO:
        return AUTO
    found, shown = preprocess, f"data.preprocess = {preprocess!r:.60}"
    if isinstance(preprocess, str):
        if ":" not in preprocess:
            raise DataError(
                f'{shown}: expected "{AUTO}", or the import path of a scikit-learn transformer, as in mine:prepare'
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


def import_steps() -> None:
    """Import what every pipeline needs: it takes seconds, in which nobody should wait for a site's answer."""
    from importlib import import_module

    for module in STEPS:
        import_module(module)


def digest_of(pipeline: Any) -> str:
    """Return a short text that is the same for the same pipeline, and most likely for no other."""
    from .description import describe_transformer

    described = json.dumps(describe_transformer(pipeline), sort_keys=True)
    return f"{type(pipeline).__name__} {blake2b(described.encode(), digest_size=4).hexdigest()}"
