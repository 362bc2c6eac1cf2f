"""A pipeline as a tree of steps: what flows into each, where its outputs go, and what their columns are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data.data import DataError
from ..moments import IncompatibleSites
from ..tables.table import Kind, Table
from .columns import places, resolved
from .inputs import is_sparse, matrix
from .step import NoExactMerge, State, family


@dataclass(frozen=True)
class Frame:
    """The columns that flow into a step."""

    names: tuple[str, ...]
    kinds: tuple[Kind, ...] | None  # of a table's columns; None behind a step
    framed: bool = True  # whether a user's data frame arrives there as one


@dataclass(frozen=True)
class Part:
    """One branch of a ColumnTransformer or FeatureUnion."""

    name: str
    step: Any
    columns: Any  # as scikit-learn keeps them; None: all
    places: tuple[int, ...]
    alone: bool  # one column by its name, which arrives with shape (rows,)
    weight: float | None

    def frame(self, whole: Frame) -> Frame:
        kinds = None if whole.kinds is None else tuple(whole.kinds[place] for place in self.places)
        return replace(whole, names=tuple(whole.names[place] for place in self.places), kinds=kinds)

    def select(self, X: Any) -> Any:
        if self.columns is None:
            return X
        if isinstance(X, Table):
            chosen = X.select([X.columns[place] for place in self.places])
            return chosen.arrays[0] if self.alone else chosen
        return X[:, self.places[0]] if self.alone else X[:, list(self.places)]


def shape_of(step: Any) -> str:
    """Return what a step is: "chain", "columns", "union", "pass", "drop" or "leaf"."""
    if step is None or isinstance(step, str):
        if step not in (None, "passthrough", "drop"):
            raise NoExactMerge(f"step {step!r} is unknown; allowed: passthrough, drop, or a transformer")
        return "drop" if step == "drop" else "pass"
    if isinstance(step, type):
        raise NoExactMerge(f"{step.__name__} is a class; write {step.__name__}()")
    shapes = {"Pipeline": "chain", "ColumnTransformer": "columns", "FeatureUnion": "union"}
    return shapes.get(type(step).__name__, "leaf")


def join(path: str, name: str) -> str:
    return f"{path}__{name}" if path else name


def title(step: Any, path: str) -> str:
    """Return what errors call a step."""
    return f"step {path!r} ({type(step).__name__})" if path else type(step).__name__


def branches(step: Any, path: str, frame: Frame) -> list[Part]:
    """Return the branches of a ColumnTransformer or FeatureUnion that have an output, the remainder last."""
    weights = step.transformer_weights or {}
    every = tuple(range(len(frame.names)))
    if shape_of(step) == "union":
        return [
            Part(name, one, None, every, False, weights.get(name))
            for name, one in step.transformer_list
            if shape_of(one) != "drop"
        ]
    found = []
    for name, one, columns in step.transformers:
        columns = resolved(columns, frame.names, frame.kinds, title(step, path))
        where = tuple(places(columns, frame.names, title(step, path)))
        found.append(Part(name, one, columns, where, np.isscalar(columns), weights.get(name)))
    used = {place for part in found for place in part.places}
    rest = tuple(place for place in every if place not in used)
    found.append(Part("remainder", step.remainder, list(rest), rest, False, weights.get("remainder")))
    return [part for part in found if part.places and shape_of(part.step) != "drop"]


def leaves(step: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Return the steps that learn or compute something, with their paths."""
    match shape_of(step):
        case "chain":
            children = step.steps
        case "columns":
            children = [(name, one) for name, one, _ in step.transformers] + [("remainder", step.remainder)]
        case "union":
            children = step.transformer_list
        case "leaf":
            yield path, step
            return
        case _:
            return
    for name, one in children:
        yield from leaves(one, join(path, name))


def names_of(fitted: Any, frame: Frame) -> tuple[str, ...] | None:
    """Return what a fitted step calls its outputs; None if it does not say."""
    try:
        return tuple(map(str, fitted.get_feature_names_out(np.array(frame.names, object))))
    except (AttributeError, ValueError):
        return None


def joined_names(step: Any, parts: Sequence[Part], names: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of all branches' outputs, with the branch before them as `verbose_feature_names_out` says."""
    verbose = getattr(step, "verbose_feature_names_out", True)
    if isinstance(verbose, bool):
        verbose = "{transformer_name}__{feature_name}" if verbose else "{feature_name}"
    if isinstance(verbose, str):
        form = verbose
        verbose = lambda name, column: form.format(transformer_name=name, feature_name=column)  # noqa: E731
    return tuple(verbose(part.name, name) for part, some in zip(parts, names, strict=True) for name in some)


def bare(step: Any, path: str, states: Mapping[str, State], frame: Frame) -> Any:
    """Return a leaf that is fitted as its state says, for arrays without names.

    Raises DataError: there is no state. Raises IncompatibleSites: no fit comes of what the sites have told.
    """
    from sklearn.base import clone

    if path not in states:
        raise DataError(f"nothing was learned of step {path!r}; this is another pipeline")
    try:
        fitted = family(step).restore(clone(step), states[path], len(frame.names))
    except (ValueError, TypeError, LookupError, AttributeError) as error:  # what scikit-learn's own fit refuses, too
        raise IncompatibleSites(f"{title(step, path)} cannot be fitted: {error}") from error
    if hasattr(fitted, "_sklearn_output_config"):
        fitted.set_output(transform="default")
    return fitted


def behind(fitted: Any, state: State, path: str, frame: Frame) -> Frame:
    """Return the columns behind a fitted leaf."""
    names = names_of(fitted, frame)
    if names is None:
        names = tuple(f"{path or type(fitted).__name__.lower()}{place}" for place in range(state.get("outputs", 0)))
    return Frame(names, None, gives_frames(fitted))


def gives_frames(step: Any) -> bool:
    """Whether a step was told to return data frames, by `set_output` or scikit-learn's configuration."""
    from sklearn import get_config

    own = getattr(step, "_sklearn_output_config", {}).get("transform")
    return bool((own or get_config().get("transform_output", "default")) != "default")


def apply(step: Any, path: str, frame: Frame, X: Any, states: Mapping[str, State]) -> tuple[Any, Frame]:
    """Return what a fitted step makes of rows, and the columns of that. Raises DataError: it does not take them."""
    match shape_of(step):
        case "chain":
            for name, one in step.steps:
                X, frame = apply(one, join(path, name), frame, X, states)
            return X, frame
        case "pass":
            return X, frame
        case "leaf":
            fitted = bare(step, path, states, frame)
            outputs = behind(fitted, states[path], path, frame)
            if not (len(X) if isinstance(X, Table) else X.shape[0]):
                return np.zeros((0, len(outputs.names))), outputs
            try:
                return fitted.transform(matrix(X)), outputs
            except Exception as error:  # a user's own function may raise anything
                raise DataError(f"{title(step, path)}: {error}") from error
    parts = branches(step, path, frame)
    done = [apply(part.step, join(path, part.name), part.frame(frame), part.select(X), states) for part in parts]
    pieces = [
        piece if part.weight is None else piece * part.weight for part, (piece, _) in zip(parts, done, strict=True)
    ]
    names = joined_names(step, parts, [found.names for _, found in done])
    union = shape_of(step) == "union"
    dense = not union and not states.get(path, {}).get("sparse", False)
    return stacked(pieces, len(X) if isinstance(X, Table) else X.shape[0], dense), Frame(
        names, None, gives_frames(step)
    )


def stacked(pieces: Sequence[Any], rows: int, dense: bool) -> Any:
    """Return outputs side by side: sparse where one is, unless `dense`."""
    if not pieces:
        return np.zeros((rows, 0))
    flat = [matrix(piece) for piece in pieces]
    if not dense and any(is_sparse(piece) for piece in flat):
        from scipy import sparse

        return sparse.hstack([piece if is_sparse(piece) else piece.astype(np.float64) for piece in flat]).tocsr()
    return np.hstack([piece.toarray() if is_sparse(piece) else piece for piece in flat])


def reach(step: Any, path: str, goal: str, frame: Frame, X: Any, states: Mapping[str, State]) -> tuple[Any, Any, Frame]:
    """Return a step by its path, with the rows and the columns that flow into it.

    Raises DataError: there is no such step.
    """
    if path == goal:
        return step, X, frame
    if shape_of(step) == "chain":
        for name, one in step.steps:
            below = join(path, name)
            if goal == below or goal.startswith(f"{below}__"):
                return reach(one, below, goal, frame, X, states)
            X, frame = apply(one, below, frame, X, states)
    elif shape_of(step) in ("columns", "union"):
        for part in branches(step, path, frame):
            below = join(path, part.name)
            if goal == below or goal.startswith(f"{below}__"):
                return reach(part.step, below, goal, part.frame(frame), part.select(X), states)
    raise DataError(f"the pipeline of this site has no step {goal!r}")
