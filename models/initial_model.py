"""A saved model as the start of a run, and whether its weights mean there what they meant where they were learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .artifact import SavedModel
from .model import Model
from .plugins import listed
from .preprocessing import Preprocessing
from .registry import describe
from .rng import generator
from .site_model import SiteModel
from .table_preprocessing import AnyPreprocessing, TablePreprocessing
from .weights import Layout


class UnsuitableStart(ValueError):
    """A saved model that a run cannot start from; the message says what was found and what is allowed."""


def start_from(saved: SavedModel, site_model: SiteModel, agreed: AnyPreprocessing, scale: str, seed: int) -> None:
    """Build a site's model with saved weights and the clock of their schedule.

    The saved preprocessing takes the place of what the sites have `agreed`: under other scales the weights would mean
    something else. `scale` is the run's, as of `site_statistics.agree`. Raises UnsuitableStart.
    """
    check_sites(saved, agreed.all_columns, agreed.classes, scale)
    _check_kinds(saved.preprocessing, agreed)
    check_model(saved, site_model.model)
    weights = None
    if agreed.classes is not None and agreed.class_weights is not None:  # those of this run, by label
        known = dict(zip(agreed.classes, agreed.class_weights, strict=True))
        weights = tuple(known.get(label, 1.0) for label in saved.preprocessing.classes or ())
    site_model.build(replace(saved.preprocessing, class_weights=weights), seed)
    site_model.set_weights(saved.weights)
    site_model.clock = saved.clock


def check_sites(saved: SavedModel, columns: Sequence[str], classes: Sequence[object] | None, scale: str) -> None:
    """Raise UnsuitableStart for sites with other columns or further classes than the model has, or another scale.

    `classes` are None for regression. Sites may lack classes that the model has: it keeps them.
    """
    known = saved.preprocessing
    tables = isinstance(known, TablePreprocessing)  # which take what they know, and leave the rest
    if not set(columns) >= set(known.columns) or (not tables and set(columns) != set(known.columns)):
        lacks, adds = (
            [name for name in one if name not in other]
            for one, other in ((known.columns, columns), (columns, known.columns))
        )
        parts = [f"{verb} {listed(names)}" for verb, names in (("lack", lacks), ("add", adds)) if names]
        raise UnsuitableStart(
            f"was trained on {len(known.columns)} columns ({listed(known.columns)}); the sites have {len(columns)}, "
            f"they {' and '.join(parts)}"
        )
    if (classes is None) != (known.classes is None):
        other = "regression" if classes is None else "classification"
        raise UnsuitableStart(f"is for {known.task}; the sites have data for {other}")
    if further := [label for label in classes or () if label not in (known.classes or ())]:
        raise UnsuitableStart(
            f"knows the classes {listed(known.classes or ())}; the sites also have {listed(further)}, and may have "
            "those classes alone"
        )
    if not isinstance(known, TablePreprocessing) and _scale(known) != scale:
        raise UnsuitableStart(f"was not trained with data.scale = {scale!r}, but with {_scale(known)!r}; give that")


def _check_kinds(known: AnyPreprocessing, agreed: AnyPreprocessing) -> None:
    if not isinstance(agreed, TablePreprocessing):
        return
    if not isinstance(known, TablePreprocessing):
        raise UnsuitableStart("was trained on plain numbers; the sites have text, dates or empty cells")
    there, here = (dict(zip(one.schema.columns, one.schema.kinds, strict=True)) for one in (known, agreed))
    for name, kind in there.items():
        if here.get(name, kind) != kind:
            raise UnsuitableStart(f"takes column {name!r} for a {kind}; at the sites it is a {here[name]}")


def check_model(saved: SavedModel, model: Model) -> None:
    """Raise UnsuitableStart for a model whose arrays, their type or the activation between them are others."""
    known = saved.preprocessing
    try:
        layout = model.layout
    except RuntimeError:  # it is not built yet
        layout = model.build(known.n_features, known.n_classes, generator(0, "init"))
    own = describe(model)
    there, here = (each["parameters"].get("activation") for each in (saved.model, own))
    if layout.hash == saved.layout.hash and there == here:
        return
    found, wanted = _words(saved.model["name"], saved.layout, there), _words(own["name"], layout, here)
    raise UnsuitableStart(f"is {found}; this run's model is {wanted}, and they must be the same")


def _words(name: str, layout: Layout, activation: object) -> str:
    arrays = ", ".join(f"{name} {shape}" for name, shape in zip(layout.names, layout.shapes, strict=True))
    return f"{name} of {layout.dtype} ({arrays}{f'; {activation}' if activation else ''})"


def _scale(known: Preprocessing) -> str:
    if known.clip is None:
        return "none"
    return "standard" if known.center.any() else "unit"
