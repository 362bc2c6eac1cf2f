"""The fitted scikit-learn object of an agreed pipeline: as if it had been fitted on a data frame of all sites' rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..tables.table import Kind
from .fit import Fitted
from .step import State, family
from .tree import Frame, Part, branches, gives_frames, join, joined_names, names_of, shape_of


def fitted_estimator(
    pipeline: Any,
    fitted: Fitted,
    columns: Sequence[str] | None = None,
    kinds: Sequence[Kind] | None = None,
    *,
    framed: bool = True,
) -> Any:
    """Return a plain scikit-learn object, fitted, that takes a data frame with the agreed columns.

    `pipeline` stays unfitted. `columns` and `kinds` are those of `fitted`, unless they are given. Not `framed`: it is
    fitted as on an array, whose columns have no names.
    """
    frame = Frame(tuple(columns or fitted.columns), tuple(kinds or fitted.kinds), framed)
    return _restored(pipeline, "", frame, fitted.states)[0]


def _restored(step: Any, path: str, frame: Frame, states: Mapping[str, State]) -> tuple[Any, Frame]:
    from sklearn.base import clone

    match shape_of(step):
        case "pass":
            return step, frame
        case "leaf":
            return _leaf(step, path, frame, states)
        case "chain":
            whole, steps = clone(step), []
            for name, one in step.steps:
                done, frame = _restored(one, join(path, name), frame, states)
                steps.append((name, done))
            whole.steps = steps
            return whole, frame
    whole = clone(step)
    parts = branches(step, path, frame)
    done = [_branch(step, part, path, frame, states) for part in parts]
    names = [some.names for _, some in done]
    if shape_of(step) == "union":
        found = {part.name: one for part, (one, _) in zip(parts, done, strict=True)}
        whole.transformer_list = [(name, found.get(name, one)) for name, one in step.transformer_list]
    else:
        _fill(whole, step, path, frame, [one for one, _ in done], names, states)
    return whole, Frame(joined_names(step, parts, names), None, gives_frames(step))


def _branch(step: Any, part: Part, path: str, frame: Frame, states: Mapping[str, State]) -> tuple[Any, Frame]:
    """Return a branch's fitted step: scikit-learn puts a FunctionTransformer where rows are passed through."""
    if shape_of(part.step) != "pass":
        return _restored(part.step, join(path, part.name), part.frame(frame), states)
    from sklearn.preprocessing import FunctionTransformer

    one = FunctionTransformer(feature_names_out="one-to-one")
    if shape_of(step) == "columns":
        output = getattr(step, "_sklearn_output_config", {}).get("transform", "default")
        one = one.set_params(accept_sparse=True, check_inverse=False).set_output(transform=output)
    return _named(one, part.frame(frame)), part.frame(frame)


def _fill(
    whole: Any,
    step: Any,
    path: str,
    frame: Frame,
    fitted: list[Any],
    names: list[tuple[str, ...]],
    states: Mapping[str, State],
) -> None:
    """Set what a ColumnTransformer learns; its own methods do what they need no rows for."""
    from .columns import places, resolved

    _named(whole, frame)
    whole._columns = [resolved(columns, frame.names, frame.kinds, path) for _, _, columns in step.transformers]
    whole._transformer_to_input_indices = {
        name: places(columns, frame.names, path)
        for (name, _, _), columns in zip(step.transformers, whole._columns, strict=True)
    }
    whole._validate_remainder(None)
    whole._update_fitted_transformers(fitted)
    whole.sparse_output_ = states.get(path, {}).get("sparse", False)
    whole._record_output_indices([np.empty((0, len(some))) for some in names])


def _leaf(step: Any, path: str, frame: Frame, states: Mapping[str, State]) -> tuple[Any, Frame]:
    from sklearn.base import clone

    fitted = family(step).restore(clone(step), states[path], len(frame.names))
    if frame.framed:
        _named(fitted, frame)
    names = names_of(fitted, frame) or ("",) * states[path].get("outputs", 0)
    return fitted, Frame(names, None, gives_frames(fitted) or _passes_frames(fitted, frame))


def _named(step: Any, frame: Frame) -> Any:
    if type(step).__name__ in ("HashingVectorizer", "FeatureHasher"):
        return step  # they look at no columns
    step.n_features_in_ = len(frame.names)
    if frame.framed:
        step.feature_names_in_ = np.array(frame.names, object)
    return step


def _passes_frames(step: Any, frame: Frame) -> bool:
    """Whether a function that is given a data frame returns one, which the next step then sees."""
    if not frame.framed or type(step).__name__ != "FunctionTransformer" or step.validate:
        return False
    if step.func is None:
        return True
    try:
        import pandas as pd

        cells: Mapping[str | None, Any] = {"category": "", "date": np.datetime64(0, "s"), None: 0.0, "number": 0.0}
        kinds = frame.kinds or (None,) * len(frame.names)
        sample = pd.DataFrame({name: [cells[kind]] for name, kind in zip(frame.names, kinds, strict=True)})
        return hasattr(step.transform(sample), "columns")
    except Exception:  # noqa: BLE001  # no pandas, or the function does not like the sample
        return False
