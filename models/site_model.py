"""SiteModel: one model, one site's rows, and the preprocessing of all sites: raw rows in, original labels out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .agreement.questions import Answer, Question, Questions
from .class_weights import ClassWeight
from .data.data import DataError, Task, checked_task
from .data.row_weights import relative
from .data.written import WrittenColumns
from .evaluate import evaluate
from .held_model import HeldModel
from .model import FitReport, LocalWork, some_of
from .moments import IncompatibleSites
from .own_questions import ASK, MOST_NUMBERS, OwnRows, agreed_in, answer_of, asks
from .pipeline.given import AUTO, digest_of, given_pipeline, import_steps
from .prepared_once import PreparedOnce
from .preprocessing import made_up
from .registry import as_model, models_with
from .rng import generator
from .site_agreement import Agreed, Asking, agreement_questions
from .site_answers import SiteAnswers
from .site_coverage import check_covered, check_same_layout
from .site_rows import SiteRows, check_own_targets
from .site_statistics import Scale, SiteStatistics
from .stored_inputs import check_in_batches, stored_inputs
from .summed import anchor, counted
from .table_preprocessing import AnyPreprocessing
from .tables.site_schema import SiteSchema
from .tables.stored_table import StoredTable
from .tables.table import Table
from .targetless import decoded, without_targets
from .weights import Layout, Vector

Rows = tuple[Any, NDArray[Any]]  # inputs: an array, or `PreparedRows` for a model that trains in batches


class SiteModel(HeldModel):
    """A model on one site: `answer` the `questions` of round 0, `build` with what came of them, `train` and the rest.

    Parameters
    ----------
    model
        An MLP, another `Model`, or a scikit-learn estimator whose copies can be averaged.
    X, y
        This site's raw rows, shapes (rows, columns) and (rows,), which are not modified: arrays of numbers, a sparse
        matrix; a data frame or a `Table`, which may have categories, dates and gaps. None where it only predicts.
    sample_weight
        How much each row counts, shape (rows,), finite and at least 0: in the loss, in the figures of its hold-out, and
        by their sum in how much this site counts. A row of weight 0 is as if it were not there. What round 0 agrees
        on, such as scales, counts rows. None: all count the same.
    columns
        A name for each column; by default those of a data frame, else x1, x2, … Columns are matched by their names.
    preprocess
        How tables are prepared: "auto", or an unfitted scikit-learn transformer, or the import path of one,
        ``module:object``. Plain numbers without gaps are standardized under "auto".
    min_frequency
        Categories that fewer rows of all sites have are taken together, under "auto"; None: none are.
    class_weight
        "balanced": n / (classes x rows of a class) over the training rows of all sites, as scikit-learn has it for one;
        or a weight by label. A row's own weight is multiplied by that of its class; figures of evaluations are not.
    task
        "classification" or "regression"; by default what the model can do, else what `agree` finds in all sites' rows.
    test
        A test set (X, y), or (X, y, sample_weight), in raw units, which may be read-only memory maps. It is prepared at
        its first use.
    holdout
        Share of this site's rows, drawn by `seed`, that is kept from training, for ``evaluate("holdout")``: of each
        class as far as there are rows.
    min_rows
        A site with fewer rows is refused, and so many are trained on whatever `holdout` says: what it tells in round 0
        about one row is the row itself.
    scorers
        Names of scikit-learn scorers that `evaluate` adds.
    written
        How the file of the rows writes those columns that say it, which rows to predict are read by.

    Raises CannotMerge: copies of the model cannot be averaged. Raises DataError: the arrays do not fit each other, are
    not numbers, or hold targets that the task or the model rules out; there are weights, and the model takes none; a
    step of `preprocess` cannot be fitted on the rows of all sites.
    """

    def __init__(
        self,
        model: object,
        X: Any = None,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        columns: Sequence[str] | None = None,
        task: str | None = None,
        test: tuple[Any, ...] | None = None,
        holdout: float = 0.0,
        min_rows: int = 1,
        seed: int = 0,
        scorers: Sequence[str] = (),
        preprocess: object = AUTO,
        min_frequency: int | None = None,
        class_weight: ClassWeight = None,
        written: WrittenColumns | None = None,
    ) -> None:
        self.model = as_model(model)
        self.preprocess = given_pipeline(preprocess)
        self._wanted: dict[str, Any] = {"min_frequency": min_frequency, "class_weight": class_weight}
        if class_weight is not None:
            check_weighable(self.model, "class weights")
        self.scorers = tuple(scorers)
        self.site = ""
        """The name under which this site answers in round 0."""
        self.most_numbers = MOST_NUMBERS  # of a model that one message can carry
        self._run_seed = seed
        y, task, test = without_targets(self.model, X, y, task, test)
        if (X is None) != (y is None):
            raise DataError("X and y come together, or neither")
        if not 0 <= holdout < 1:
            raise DataError(f"holdout must be at least 0 and below 1, found {holdout}")
        self.task = task_of(self.model, task)
        """What this is for, where that is known before round 0."""
        self.columns = () if columns is None else tuple(columns)
        self._rows: SiteRows | None = None
        self._raw: dict[str, SiteRows] = {}
        if X is not None:
            own = SiteRows.of("X", X, y, sample_weight, columns=columns, written=written)
            self._take(own, task, holdout, min_rows, seed)
        if test is not None:
            self._raw["test"] = SiteRows.of("the test set", *test, finite=False).named(self.columns or None)
        self._answers: SiteAnswers | None = None
        self._preprocessing: AnyPreprocessing | None = None
        self._seed: int | None = None
        self.common_weights: Vector | None = None  # where own weights were kept: those of the other sites
        self._train: Rows | None = None
        self._train_weight: NDArray[np.float64] | None = None  # of its rows, 1 on average
        self.weight: float | None = None
        """How much this site counts in an average of sites: the sum of the weights of its training rows, those of their
        classes included, as the objective Σ w_i l_i of all rows has it (McMahan et al. 2017, equation 1, with w_i for
        1). None: its rows; and before `build`.
        """
        self._prepared: dict[str, Rows] = {}

    def _take(self, rows: SiteRows, told: str | None, holdout: float, min_rows: int, seed: int) -> None:
        """Take this site's rows, after the checks that need no other site."""
        check_own_targets(self.model, rows.y, self.task, told)
        rows.check_floor(min_rows)
        if rows.weight is not None:
            check_weighable(self.model, "weights of rows")
        self.columns = rows.columns or made_up(rows.width)
        if isinstance(rows.X, StoredTable):
            check_in_batches(self.model, "X")
        if isinstance(rows.X, Table | StoredTable):
            import_steps()  # before this site has joined
        self._rows, out = rows.named(self.columns).split(holdout, seed, min_rows, self.task)
        if out is not None:
            self._raw["holdout"] = out

    @property
    def held_out(self) -> dict[str, int]:
        """How many rows this site keeps from training; of each class, where its targets look like labels."""
        rows = self._raw.get("holdout")
        return {} if rows is None else rows.counts(self.task)

    def __repr__(self) -> str:
        model = getattr(self.model, "given", self.model)  # a scikit-learn estimator as the user made it
        if self._preprocessing is None:
            return f"SiteModel({model!r}, not built yet)"
        agreed = self._preprocessing
        task = "regression" if agreed.classes is None else f"{len(agreed.classes)} classes"
        return f"SiteModel({model!r}, {agreed.n_features} columns, {task}, {self.layout.size} parameters)"

    @property
    def preprocess_digest(self) -> str | None:
        """What tells a pipeline of one's own from another; None under "auto"."""
        return None if self.preprocess is AUTO else digest_of(self.preprocess)

    @property
    def examples(self) -> int:
        return 0 if self._rows is None else len(self._rows)

    @property
    def has_categories(self) -> bool:
        """Whether this site's table has columns of categories, which it names in round 0."""
        X = None if self._rows is None else self._rows.X
        return isinstance(X, Table | StoredTable) and "category" in X.kinds

    @property
    def has_test(self) -> bool:
        return "test" in self._raw

    @property
    def built(self) -> bool:
        return self._preprocessing is not None

    @property
    def preprocessing(self) -> AnyPreprocessing:
        """What all sites agreed on. Raises RuntimeError before `build`."""
        if self._preprocessing is None:
            raise RuntimeError("the site model is not built yet: call build() first")
        return self._preprocessing

    @property
    def layout(self) -> Layout:
        """Layout of the weights. Raises RuntimeError before `build`."""
        self.preprocessing  # noqa: B018 - raises before build()
        return self.model.layout

    def statistics(self) -> SiteStatistics | SiteSchema:
        """Return what this site has: columns, classes (the hold-out's too), and moments of its training rows.

        Raises IncompatibleSites when there are no rows, or one has a value that is not a finite number.
        """
        return self._own_answers().statistics()

    def questions(
        self, scale: Scale = "standard", rows: Mapping[str, int] | None = None, seed: int | None = None
    ) -> Questions[Agreed]:
        """Return the dialog of round 0; `scale` as for `agree`, `rows` the most that each site counts for, by name.

        `seed` is the run's; by default that of the hold-out.
        """
        asking = Asking(self.model, self._run_seed if seed is None else seed, self.most_numbers)
        return agreement_questions(scale, self.task, rows or {}, self.preprocess, **self._wanted, asking=asking)

    def answer(self, question: Question) -> Answer:
        """Return this site's answer to a question of `questions`.

        Raises IncompatibleSites as `statistics` does, and for a question that is not known here.
        """
        if question.get("ask") == ASK and self._rows is not None:
            agreed = agreed_in(self.model, question)
            check_covered(self._rows, self._raw, agreed, self.task)
            return answer_of(self.model, question, own_rows(self.site, self._rows, agreed, self.model.dtype))
        return self._own_answers().answer(question)

    def _own_answers(self) -> SiteAnswers:
        if self._rows is None:
            raise IncompatibleSites("this site model has no rows of its own")
        if self._answers is None:
            self._answers = SiteAnswers(self._rows, self._raw.get("holdout"), self.columns, self.task)
        return self._answers

    def build(self, preprocessing: AnyPreprocessing, seed: int, *, keep_weights: bool = False) -> Layout:
        """Build the model for what was agreed, with the initial weights of all, and prepare this site's rows; once.

        Parameters
        ----------
        preprocessing
            What `questions` came to.
        seed
            The run's: the initial weights come from ``generator(seed, "init")``, the same for every site.
        keep_weights
            Start from the weights that the model already has.

        Raises IncompatibleSites when the preprocessing does not cover this site's columns or labels, or the model was
        built for another shape.
        """
        if self._preprocessing is not None and preprocessing == self._preprocessing and seed == self._seed:
            return self.model.layout
        check_covered(self._rows, self._raw, preprocessing, self.task)
        try:
            before = self.model.layout
        except RuntimeError:  # it is not built yet
            before = None
        own = self.model.get_weights() if keep_weights and before is not None else None
        if keep_weights and own is None:
            raise IncompatibleSites("keep_weights is for a model that is built already; this one has no weights yet")
        if asks(self.model):
            self.model.set_shape(preprocessing.model_shape)
        layout = self.model.build(preprocessing.n_features, preprocessing.n_classes, generator(seed, "init"))
        anchor(self.model, preprocessing)
        if before is not None and (own is not None or self._preprocessing is None):
            check_same_layout(before, layout, preprocessing)
        self.common_weights = None
        if own is not None:
            self.common_weights = self.model.get_weights()
            self.model.set_weights(own)
        self._preprocessing, self._seed = preprocessing, seed
        self._answers = None
        self._prepared.clear()
        self._train = None if self._rows is None else prepared(self._rows, preprocessing, self.model.dtype)
        weight = None if self._rows is None else self._rows.weights(preprocessing)
        if weight is not None:
            check_weighable(self.model)
        self._train_weight, self.weight = counted(self.model, weight)
        return layout

    def train(
        self,
        work: LocalWork,
        rng: np.random.Generator,
        stop: Callable[[], bool] = lambda: False,
        correction: Vector | None = None,
    ) -> FitReport:
        # Each only where it is wanted, so that a model of the user's own need not know of it.
        further = () if correction is None else (correction,)
        weighted = {} if self._train_weight is None else {"sample_weight": self._train_weight}
        return self.model.fit(*self._training_rows(), work, rng, stop, *further, **weighted)

    def training_loss(self) -> float:
        """Return the present model's mean loss over this site's training rows, weighted as they are: the `loss` of
        `evaluate.evaluate`.
        """
        return evaluate(self.model, *self._training_rows(), sample_weight=self._train_weight)["loss"]

    def _training_rows(self) -> Rows:
        self.preprocessing  # noqa: B018 - raises before build()
        if self._train is None:
            raise RuntimeError("this site model has no rows to train on")
        return self._train

    def evaluate(self, on: Literal["test", "holdout"] = "test", *, weighted: bool = True) -> dict[str, float]:
        """Return the figures of `evaluate.evaluate` for the present model, by the rows' weights unless not `weighted`,
        `examples`, the number of rows, and `weight`, the sum of the weights that counted; empty where there is no such
        set. A regression's loss is in standardized units.
        """
        if on not in self._raw:
            return {}
        if on not in self._prepared:
            self._prepared[on] = prepared(self._raw[on], self.preprocessing, self.model.dtype)
        X, y = self._prepared[on]
        weight = self._raw[on].weight if weighted else None
        known = {"examples": len(y)} if weight is None else {"examples": len(y), "weight": float(weight.sum())}
        return evaluate(self.model, X, y, self.scorers, weight) | known

    def predict(self, X: Any) -> NDArray[Any]:
        """Return original labels, or targets in their own units (float64), for raw inputs; clusters by their numbers.

        Raises ValueError when `X` is none of what `preprocessing.transform` takes.
        """
        return decoded(self.model, self.preprocessing, self.model.predict(self._inputs(X)))

    def predict_proba(self, X: Any) -> NDArray[Any] | None:
        """Return the probability of each class, shape (rows, classes), in the order of ``preprocessing.classes``; None
        for regression, and for a model that has no probabilities.
        """
        return self.model.probabilities(self._inputs(X))

    def _inputs(self, X: Any) -> NDArray[Any]:
        return self.preprocessing.transform(X, self.model.dtype)


def own_rows(site: str, rows: SiteRows, agreed: AnyPreprocessing, dtype: str) -> OwnRows:
    """Return a site's rows as its model answers a question of its own from them."""
    weight = rows.weights(agreed)
    return OwnRows(site, *prepared(rows, agreed, dtype), agreed.n_classes, None if weight is None else relative(weight))


def share_test_rows(site_model: SiteModel, once: PreparedOnce) -> None:
    """Have the test set prepared by what the other site models of the process that have the same one use, too."""
    if (rows := site_model._raw.get("test")) is not None:  # noqa: SLF001  (its own module; the class is long enough)
        site_model._raw["test"] = replace(rows, once=once)  # noqa: SLF001


def prepared(rows: SiteRows, agreed: AnyPreprocessing, dtype: str) -> Rows:
    """Return raw rows as a model of `dtype` takes them."""
    if rows.once is not None:
        return rows.once.of(agreed, rows.columns, dtype, lambda: prepared(replace(rows, once=None), agreed, dtype))
    encoded = agreed.encode(rows.y)
    y = encoded.astype(dtype) if agreed.classes is None else encoded
    inputs: Any = rows.inputs(agreed.columns)
    if isinstance(inputs, StoredTable):
        return stored_inputs(agreed, inputs, dtype), y
    return agreed.transform(inputs, dtype), y


def check_weighable(model: object, what: str = "weights of rows or classes") -> None:
    """Raise DataError for a model whose training takes no row weights; it lists those that do."""
    if "sample_weight" in getattr(model, "capabilities", ()):
        return
    name = str(model.describe()["name"]).rpartition(".")[2]  # type: ignore[attr-defined]
    able = some_of(models_with("sample_weight"))
    raise DataError(f"{name} takes no sample_weight, and so no {what}; models that do: {able}")


def training_rows(site_model: SiteModel, agreed: AnyPreprocessing) -> Rows:
    """Return the rows that a site trains on as its model takes them; it need not be built, but must have rows."""
    rows = site_model._rows  # noqa: SLF001  (its own module; the class is long enough)
    if rows is None:
        raise RuntimeError("this site model has no rows of its own")
    if site_model.built:
        return site_model._training_rows()  # noqa: SLF001
    return prepared(rows, agreed, site_model.model.dtype)


def kept_rows(site_model: SiteModel, on: Literal["test", "holdout"] = "holdout") -> tuple[Any, ...] | None:
    """Return the raw rows that a built model is evaluated on: X in the agreed order of columns, y, and their weights if
    they have some; None without.
    """
    rows = site_model._raw.get(on)  # noqa: SLF001  (its own module; the class is long enough)
    if rows is None:
        return None
    X = rows.inputs(site_model.preprocessing.columns)
    return (X, rows.y) if rows.weight is None else (X, rows.y, rows.weight)


def task_of(model: object, told: str | None = None) -> Task | None:
    """Return the task that was `told`, else what the model can do if that is only one thing, else None.

    Raises DataError for an unknown task, and for one that the model cannot do.
    """
    classifies = getattr(model, "classifies", None)
    able: Task | None = None if classifies is None else "classification" if classifies else "regression"
    if told is None:
        return able
    task = checked_task(told)
    if able not in (None, task):
        name = str(model.describe()["name"]).rpartition(".")[2]  # type: ignore[attr-defined]
        raise DataError(f"task {task!r}: {name} is for {able} alone")
    return task
