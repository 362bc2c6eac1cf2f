"""Round 0: which questions are put to the sites, whatever their tables hold, and what comes of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from typing import Any, NamedTuple, TypeVar

from .agreement.questions import Answers, Questions
from .class_weights import ClassWeight, class_weight_questions
from .data.data import Task
from .model import Model, is_summed
from .moments import IncompatibleSites, Moments
from .own_questions import MOST_NUMBERS, Sites, model_questions
from .pipeline.given import AUTO
from .plugins import listed
from .site_statistics import Scale, agree, agreed_classes, agreed_task
from .summed import with_pooled
from .table_preprocessing import AnyPreprocessing, TablePreprocessing
from .tables.cautions import cautions
from .tables.schema import Schema, agree_schema
from .tables.site_schema import SiteSchema
from .weights import Vector

T = TypeVar("T")

TABLE = "table"
"""Under this key a question of the pipeline's has what a site needs to answer it: schema, classes, pipeline."""


class Agreed(NamedTuple):
    """What round 0 comes to; `cautions` are what the sites should know of their answers."""

    preprocessing: AnyPreprocessing
    cautions: tuple[str, ...] = ()
    weights: Vector | None = None  # that the model's own questions came to, in place of those that a seed gives


class Asking(NamedTuple):
    """A model that may have questions of its own, and what they are to know; see `own_questions.Sites`."""

    model: Model
    seed: int = 0
    most_numbers: int = MOST_NUMBERS


def agreement_questions(
    scale: Scale,
    task: Task | None,
    rows: Mapping[str, int],
    preprocess: Any = AUTO,
    min_frequency: int | None = None,
    class_weight: ClassWeight = None,
    asking: Asking | None = None,
) -> Questions[Agreed]:
    """Return the dialog.

    The first question is empty: what each site has. Where all have plain numbers without gaps that is the only one;
    else a pipeline is fitted, one question after another.

    Parameters
    ----------
    scale, task
        As for `site_statistics.agree`.
    rows
        The most that each site counts for, by its name; looked at when the first answers are there, and for plain
        numbers alone.
    preprocess
        `AUTO`, or an unfitted scikit-learn transformer.
    min_frequency
        Under `AUTO`: categories that fewer rows of all sites have are taken together.
    class_weight
        "balanced" over the training rows of all sites, which are then asked for their counts; or a weight by label.
    asking
        The model, whose own questions come last where it has some; one of sums over rows is told of the rows of all.

    Raises IncompatibleSites: the sites do not fit each other, or one has answered something else.
    """
    answers = yield {}
    told = _told(answers)
    plain = not any("kinds" in fields for fields, _ in answers.values())
    if plain and preprocess is AUTO:
        statistics = {site: known.statistics.limited(rows.get(site)) for site, known in told.items()}
        found = Agreed(agree(statistics, scale, task))
    else:
        found = yield from _of_tables(scale, task, preprocess, min_frequency, told)
    if asking is not None and is_summed(asking.model):
        all_rows = {site: known.statistics for site, known in told.items()}
        found = found._replace(preprocessing=with_pooled(found.preprocessing, all_rows))
    weights = yield from class_weight_questions(class_weight, found.preprocessing.classes, rows)
    if weights is not None:
        found = found._replace(preprocessing=replace(found.preprocessing, class_weights=weights))
    if asking is None:
        return found
    agreed = found.preprocessing
    counts = {site: _counted(known, rows.get(site)) for site, known in told.items()}
    sites = Sites(counts, agreed.n_features, agreed.n_classes, asking.seed, asking.most_numbers)
    settled = yield from model_questions(asking.model, agreed, sites)
    if settled is None:
        return found
    return found._replace(preprocessing=replace(agreed, model_shape=settled.shape), weights=settled.weights)


def _counted(told: SiteSchema, most: int | None) -> int:
    rows = int(told.statistics.inputs.n)
    return rows if most is None else max(1, min(rows, most))


def _of_tables(
    scale: Scale,
    task: Task | None,
    preprocess: Any,
    min_frequency: int | None,
    told: Mapping[str, SiteSchema],
) -> Questions[Agreed]:
    from .pipeline.description import describe_transformer
    from .pipeline.fit import fit_questions

    schema, told = agree_schema(told)
    statistics = {site: known.statistics for site, known in told.items()}
    task = task or agreed_task(statistics.values())
    classes = agreed_classes(statistics, task)
    found = list(cautions(schema, told, classes))
    if preprocess is AUTO:
        from .tables.auto import auto_pipeline

        found += [f'column "{name}" is left out: {why}' for name, why in schema.left_out.items()]
        used = schema.used
        _check_used(used, schema)
        pipeline = auto_pipeline(used, told, scale, min_frequency)
    else:
        used, pipeline = schema.select(_columns_of(preprocess, schema.columns)), preprocess
    description = describe_transformer(pipeline)
    about = {"schema": used.to_dict(), "classes": None if classes is None else list(classes), "pipeline": description}
    fitted = yield from _about(fit_questions(pipeline, used.columns, used.kinds, task=task), about)
    left_out = tuple(name for name in schema.columns if name not in used.columns)
    if classes is not None:
        return Agreed(TablePreprocessing(used, left_out, classes, description, fitted), tuple(found))
    target = reduce(Moments.merge, (known.target for known in statistics.values() if known.target is not None))
    center, spread = (0.0, 1.0) if scale == "none" else (float(target.mean[0]), float(target.deviation[0]) or 1.0)
    return Agreed(TablePreprocessing(used, left_out, None, description, fitted, center, spread), tuple(found))


def _about(questions: Questions[T], about: Mapping[str, Any]) -> Questions[T]:
    """Return the same dialog with what all its questions are about in each of them."""
    try:
        question = next(questions)
        while True:
            answers = yield {**question, TABLE: about}
            question = questions.send(answers)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def _told(answers: Answers) -> dict[str, SiteSchema]:
    told = {}
    for site, (fields, vector) in answers.items():
        try:
            told[site] = SiteSchema.from_parts(fields, vector)
        except IncompatibleSites as error:
            raise IncompatibleSites(f"site {site}: {error}", site) from error
    return told


def _check_used(used: Schema, schema: Schema) -> None:
    if not used.columns:
        reasons = [f"{name} ({why})" for name, why in schema.left_out.items()]
        raise IncompatibleSites(f"no column is left for the model: {listed(reasons)}")


def _columns_of(pipeline: Any, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that a pipeline takes: those that a ColumnTransformer names where it drops the rest, or all.

    Raises IncompatibleSites where one is named that the sites do not have.
    """
    first = pipeline.steps[0][1] if hasattr(pipeline, "steps") else pipeline
    if not hasattr(first, "transformers"):
        return columns
    given = [[names] if isinstance(names, str) else names for _, _, names in first.transformers]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in given):
        return columns
    named = [name for names in given for name in names]
    for name in named:
        if name not in columns:
            raise IncompatibleSites(f"data.preprocess: no site has a column {name!r}; they have {listed(columns)}")
    return columns if first.remainder != "drop" else tuple(name for name in columns if name in named)
