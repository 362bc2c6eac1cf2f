"""Fitting a pipeline on the rows of all sites: the questions, what a site answers, and what is agreed.

Branches of a ColumnTransformer or a FeatureUnion are agreed side by side, the steps of a Pipeline one after another,
since each reads what the one before it made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..agreement.questions import Answer, Question, Questions
from ..agreement.together import answer_together, together
from ..data.data import DataError, Task
from ..moments import IncompatibleSites
from ..tables.table import Kind, Table
from .answers import counts_of, vector_of
from .asked import check_asked
from .inputs import Inputs, is_sparse, matrix
from .parts import tell
from .step import Asked, NoExactMerge, State, family
from .tree import Frame, apply, bare, behind, branches, gives_frames, join, joined_names, leaves, reach, shape_of, title

T = TypeVar("T")

States = dict[str, State]

MOST_LEARNED = 80_000
"""A question goes in the header of a message, with what the steps before it have learned."""

_MAYBE_SPARSE = ("HashingVectorizer", "FeatureHasher", "MissingIndicator", "SparseRandomProjection")


@dataclass(frozen=True)
class Fitted:
    """A pipeline that all sites have agreed on: what each step has learned, by its path."""

    columns: tuple[str, ...]  # of the table that it takes
    kinds: tuple[Kind, ...]
    states: States
    names: tuple[str, ...]  # of its outputs

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that JSON and msgpack carry exactly."""
        return {
            "columns": list(self.columns),
            "kinds": list(self.kinds),
            "states": self.states,
            "names": list(self.names),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Fitted:
        """Return what `to_dict` described. Raises IncompatibleSites for anything else."""
        try:
            columns, kinds, names = (tuple(map(str, fields[key])) for key in ("columns", "kinds", "names"))
            states = {str(path): dict(state) for path, state in fields["states"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise IncompatibleSites(f"not a fitted pipeline: {error!r}") from error
        return cls(columns, kinds, states, names)  # type: ignore[arg-type]  # kinds are text


def check_pipeline(pipeline: Any) -> None:
    """Raise NoExactMerge, naming step and the nearest one, if a step cannot be fitted by exact merges."""
    for path, step in leaves(pipeline):
        try:
            family(step)
        except NoExactMerge as error:
            where = f"step {path!r}: " if path else ""
            raise NoExactMerge(f"{where}{error}") from None


def fit_questions(
    pipeline: Any, columns: Sequence[str], kinds: Sequence[Kind], *, task: Task | None
) -> Questions[Fitted]:
    """Ask all sites for what a pipeline learns from their rows; a site answers with `PipelineSite`.

    Parameters
    ----------
    pipeline
        An unfitted scikit-learn transformer: Pipeline, ColumnTransformer, FeatureUnion or a single step.
    columns, kinds
        Of the table that every site has.
    task
        Of the target, for steps that read it.

    Raises NoExactMerge before any question: a step has no exact merge. Raises DataError: a column is asked for that is
    not there. While the answers are taken, raises IncompatibleSites naming a site whose answer does not fit.
    """
    check_pipeline(pipeline)
    frame = Frame(tuple(columns), tuple(kinds))
    return _agreed(pipeline, frame, task)


def _agreed(pipeline: Any, frame: Frame, task: Task | None) -> Questions[Fitted]:
    states, outputs = yield from _marked(_fit(pipeline, "", frame, {}, task), {"ask": "fit"})
    return Fitted(frame.names, frame.kinds or (), states, outputs.names)


def _marked(questions: Questions[T], fields: Mapping[str, Any]) -> Questions[T]:
    """Ask the same questions with some more fields."""
    try:
        question = next(questions)
        while True:
            question = questions.send((yield {**fields, **question}))
    except StopIteration as end:
        found: T = end.value
        return found


def _fit(
    step: Any, path: str, frame: Frame, before: Mapping[str, State], task: Task | None
) -> Questions[tuple[States, Frame]]:
    """Agree on a step, given the states of the `before` it, and return the states and the columns behind it."""
    match shape_of(step):
        case "pass":
            return {}, frame
        case "leaf":
            return (yield from _fit_leaf(step, path, frame, before, task))
        case "chain":
            states: States = {}
            for name, one in step.steps:
                found, frame = yield from _fit(one, join(path, name), frame, {**before, **states}, task)
                states |= found
            return states, frame
    parts = branches(step, path, frame)
    done = yield from together(
        [_fit(part.step, join(path, part.name), part.frame(frame), before, task) for part in parts]
    )
    states = {below: state for found, _ in done for below, state in found.items()}
    if shape_of(step) == "columns" and any(maybe_sparse(part.step) for part in parts):
        _, _, filled, cells = yield from _outputs(path, {**before, **states})
        states[path] = {"sparse": bool(cells and filled / cells < step.sparse_threshold)}
    return states, Frame(joined_names(step, parts, [some.names for _, some in done]), None, gives_frames(step))


def _fit_leaf(
    step: Any, path: str, frame: Frame, before: Mapping[str, State], task: Task | None
) -> Questions[tuple[States, Frame]]:
    asked = Asked(frame.names, task, title(step, path))
    if (learned := sum(_size(state) for state in before.values())) > MOST_LEARNED:
        raise IncompatibleSites(
            f"the steps before {asked.title} have learned {learned:,} values; each question about it carries them, "
            f"and at most {MOST_LEARNED:,}. Take fewer quantiles or categories there"
        )
    fields = {"step": path, "class": type(step).__name__, "fitted": dict(before)}
    state = yield from _marked(family(step).questions(step, asked), fields)
    outputs = behind(bare(step, path, {path: state}, frame), state, path, frame)
    if not outputs.names:
        _, width, _, _ = yield from _outputs(path, {**before, path: state})
        state = {**state, "outputs": width}
        outputs = behind(bare(step, path, {path: state}, frame), state, path, frame)
    return {path: state}, outputs


def _outputs(path: str, states: Mapping[str, State]) -> Questions[tuple[int, int, int, int]]:
    """Ask for what a step makes of all rows: rows, columns, cells that are not zero in a sparse part, cells."""
    answers = yield {"step": path, "part": "outputs", "fitted": dict(states)}
    found = {site: counts_of(site, vector_of(site, answer, 4)).astype(int) for site, answer in answers.items()}
    first = next(iter(found.values()))
    for site, one in found.items():
        if one[1] != first[1]:
            raise IncompatibleSites(f"site {site} has {one[1]} outputs of step {path!r}, others have {first[1]}", site)
    rows, filled, cells = (int(sum(one[k] for one in found.values())) for k in (0, 2, 3))
    return rows, int(first[1]), filled, cells


def _size(value: Any) -> int:
    """Return how many plain values there are in a state."""
    if isinstance(value, dict | list | tuple):
        return sum(_size(some) for some in (value.values() if isinstance(value, dict) else value))
    return 1 + len(value) // 9 if isinstance(value, str) else 1


def maybe_sparse(step: Any) -> bool:
    """Whether some of what a step makes of rows may be a sparse matrix."""
    for _, leaf in leaves(step):
        parameters = leaf.get_params(deep=False)
        if parameters.get("sparse_output") or parameters.get("encode") == "onehot":
            return True
        if type(leaf).__name__ in _MAYBE_SPARSE:
            return True
    return False


class PipelineSite:
    """The rows of one site, about which `fit_questions` asks.

    Parameters
    ----------
    pipeline
        The same as that of the one who asks.
    table
        This site's rows, with the agreed columns in the agreed order.
    target
        Shape (rows,), for steps that read it; None: there is none.
    first
        The number of the first row, for messages.
    """

    def __init__(self, pipeline: Any, table: Table, target: NDArray[Any] | None = None, first: int = 0) -> None:
        self._pipeline = pipeline
        self._table = table
        self._target = target
        self._first = first
        self._kept: dict[str, tuple[Mapping[str, State], Inputs]] = {}

    def answer(self, question: Question) -> Answer:
        """Return the answer to one question.

        Raises DataError: the rows have what a step does not take, or the pipeline has no such step. Raises
        IncompatibleSites: no fit comes of what was learned before; as a MalformedQuestion where nobody asks such a one.
        """
        before, self._kept = self._kept, {}
        return answer_together(question, lambda one: self._answer(one, before))

    def _answer(self, question: Question, kept: Mapping[str, tuple[Mapping[str, State], Inputs]]) -> Answer:
        part, path = check_asked(question), question["step"]
        if part == "outputs":
            return self.outputs(path, question["fitted"])
        known = self._kept.get(path) or kept.get(path)  # a step is asked about several times, and its branches in turns
        if known is None or known[0] != question["fitted"]:
            known = question["fitted"], self.inputs(path, question.get("class"), question["fitted"])
        self._kept[path] = known
        return tell(question, known[1])

    def inputs(self, path: str, kind: str | None, states: Mapping[str, State]) -> Inputs:
        """Return what flows into a step. Raises DataError: it is another one here."""
        frame = Frame(self._table.columns, self._table.kinds)
        step, X, below = reach(self._pipeline, "", path, frame, self._table, states)
        if kind != type(step).__name__:
            raise DataError(f"step {path!r} is a {type(step).__name__} at this site, others have a {kind}")
        return Inputs(X, below.names, title(step, path), self._target, self._first)

    def outputs(self, path: str, states: Mapping[str, State]) -> Answer:
        """Return rows, columns, cells that are not zero in a sparse part, and cells of what a step makes."""
        frame = Frame(self._table.columns, self._table.kinds)
        step, X, below = reach(self._pipeline, "", path, frame, self._table, states)
        flows = branches(step, path, below) if shape_of(step) == "columns" else []
        made = [apply(one.step, join(path, one.name), one.frame(below), one.select(X), states)[0] for one in flows]
        pieces = [matrix(piece) for piece in made or [apply(step, path, below, X, states)[0]]]
        width = sum(piece.shape[1] for piece in pieces)
        filled = sum(piece.nnz if is_sparse(piece) else piece.shape[0] * piece.shape[1] for piece in pieces)
        cells = sum(piece.shape[0] * piece.shape[1] for piece in pieces)
        return Answer({}, np.array([len(self._table), width, filled, cells], np.float64))


def transform(pipeline: Any, fitted: Fitted, table: Table) -> NDArray[np.float64]:
    """Return what a fitted pipeline makes of a table, shape (rows, outputs).

    Columns are found by name. Raises DataError: a column is missing or of another kind, or an output is no number.
    """
    chosen = table.select(fitted.columns)
    for name, found, agreed in zip(fitted.columns, chosen.kinds, fitted.kinds, strict=True):
        if found != agreed:
            raise DataError(f"column {name!r} is a {found}; agreed was a {agreed}")
    from sklearn import config_context

    with config_context(transform_output="default"):
        X, _ = apply(pipeline, "", Frame(fitted.columns, fitted.kinds), chosen, fitted.states)
    inputs = Inputs(X, fitted.names, "the output of the pipeline")
    return np.ascontiguousarray(inputs.numbers())
